//! Stores evidence in a SQLite database in the state directory: flows by time, claims,
//! devices, generations, attachments, losses and events.
//!
//! One process writes, by [`Store`]. Other processes read at the same time, by
//! [`StoreReader`]. A write is one transaction: after `kill -9` or on a full disk it is there
//! completely or not at all. After a power failure the writes of the last minutes may be
//! missing.
//!
//! For each state of the kernel's maps ([`Instance`]), policy and verdict:
//!
//! ```text
//! sums of all drained tables = sums of the stored rows + removed sums
//! ```

pub mod alert_queue;
mod aside;
mod bucket;
mod bucket_sum;
mod budget;
mod capture;
mod claims;
mod compact;
mod contact_list;
mod device_sums;
mod error;
mod findings;
mod forget;
mod mark;
mod marked;
mod merkle_log;
mod migrate;
mod open;
mod page_event;
mod period;
mod published;
mod query;
mod reader;
mod records;
mod remove;
mod room;
mod rows;
mod schema;
mod settings;
mod setup;
mod types;
mod write;
mod writer;

use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::Connection;

pub use compact::Compacted;
pub use contact_list::{
    ContactList, ContactQuery, DeviceTimes, Hit, ListedContact, TimeSlots, To, Verdict,
};
pub use device_sums::{DeviceSum, DeviceSums};
pub use error::{Remedy, StoreError};
pub use forget::Forgotten;
pub use marked::{Contact, ContactEnd, Cut, Segment, Segments, Times, Unclear};
pub use merkle_log::{
    AskedProof, EarlierLines, Fewer, KEY_FILE, LogCheck, MOST_LINES, WrongLine, known_key,
    signing_key,
};
pub use open::{Damage, Migration, Opened};
pub use period::{GroupSum, LeftOut, PeriodQuery, PeriodSums, RemovedSums, Slot};
pub use query::{DestinationRange, FlowQuery, StoredFlows};
pub use reader::{StoreReader, View};
pub use room::StoreSize;
pub use schema::FILE;
pub use settings::{StoreLimits, StoreSettings};
pub use setup::{Setup, StatedPolicies};
pub use types::{
    Attachment, DeviceFact, Drained, EncryptedDns, Event, Instance, Loss, PolicySum, Removal,
    RemovedSum, StoredDevice, StoredEvent, StoredGeneration, StoredLoss, Written,
};

/// The evidence store, open for writing. At most one process may hold it.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    /// Path of the database.
    path: PathBuf,
    settings: StoreSettings,
    known: writer::Known,
    /// Time of the last checkpoint.
    checkpointed: Option<Timestamp>,
    sweep: compact::Sweep,
}

#[cfg(test)]
mod tests;
