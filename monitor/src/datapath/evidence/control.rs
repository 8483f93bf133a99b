//! The control words of the evidence maps. One store of eight bytes changes a word.

use std::mem::offset_of;

use monitor_common::evidence::{EvidenceControl, FLOW_SECRETS};

use crate::datapath::{
    Error,
    maps::{Maps, not_mapped},
    object::evidence,
    shared_array::{ArrayOf, WritableArray},
};

const WORD: usize = size_of::<u64>();
const EPOCH: usize = offset_of!(EvidenceControl, epoch) / WORD;
const CLEARED: usize = offset_of!(EvidenceControl, cleared) / WORD;
const INSTANCE: usize = offset_of!(EvidenceControl, instance) / WORD;
const SECRETS: usize = offset_of!(EvidenceControl, secrets) / WORD;
const REPLAY_NOW: usize = offset_of!(EvidenceControl, replay_now) / WORD;
const REPLAY_LENGTH: usize = offset_of!(EvidenceControl, replay_length) / WORD;

/// The mapped control words.
pub(in crate::datapath) struct Control(WritableArray);

impl Control {
    pub(super) fn new(maps: &mut impl Maps) -> Result<Self, Error> {
        let array: ArrayOf<EvidenceControl> = maps.map(evidence::CONTROL)?;
        let words = array
            .write()
            .map_err(not_mapped("map", evidence::CONTROL))?;
        Ok(Self(words))
    }

    /// Writes the secrets and the first epoch, unless the maps have them. The caller calls
    /// it before any program uses the maps.
    pub(in crate::datapath) fn initialise(&self) -> Result<(), Error> {
        if self.instance() != 0 {
            return Ok(());
        }
        for index in 0..FLOW_SECRETS {
            self.0.store(0, SECRETS + index, random()?);
        }
        self.0.store(0, CLEARED, 0);
        self.0.store(0, EPOCH, 1);
        // The last store completes the initialisation. SQLite holds it as a positive number.
        self.0.store(0, INSTANCE, random()? >> 1 | 1);
        Ok(())
    }

    /// Number of the epoch in which programs record.
    pub(in crate::datapath) fn epoch(&self) -> u64 {
        self.0.load(0, EPOCH)
    }

    pub(super) fn set_epoch(&self, epoch: u64) {
        self.0.store(0, EPOCH, epoch);
    }

    /// The last epoch whose table was cleared.
    pub(in crate::datapath) fn cleared(&self) -> u64 {
        self.0.load(0, CLEARED)
    }

    pub(super) fn set_cleared(&self, epoch: u64) {
        self.0.store(0, CLEARED, epoch);
    }

    /// Random number that names these maps in the store.
    pub(in crate::datapath) fn instance(&self) -> u64 {
        self.0.load(0, INSTANCE)
    }

    /// States time, in ticks, and length on the wire, in bytes, of the next packet of a
    /// replay.
    pub(in crate::datapath) fn state_packet(&self, ticks: u64, length: u64) {
        self.0.store(0, REPLAY_NOW, ticks);
        self.0.store(0, REPLAY_LENGTH, length);
    }
}

fn random() -> Result<u64, Error> {
    let number = getrandom::u64();
    number.map_err(|error| Error::system("read random bytes", std::io::Error::other(error)))
}
