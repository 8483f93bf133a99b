//! What the kernel hands back, read without asking it: names of pins, names in
//! maps, replies of netlink. All of it may have been written by others.

use monitor_common::InterfaceRecord;

pub use super::{
    interfaces::{OwnAddress, interface, own_address},
    neighbours::{Neighbour, neighbour},
    netlink::{Progress, netlink_reply},
};
use crate::snapshot::Mode;

/// The interface that a pinned link is named after; `None`: it is not ours.
#[must_use]
pub fn linked_interface(pin: &str) -> Option<String> {
    let name = String::from_utf8(hex::decode(pin).ok()?).ok()?;
    (name.len() < libc::IFNAMSIZ).then_some(name)
}

/// The number of the generation that a directory of pins is named after.
#[must_use]
pub fn generation_number(pin: &str) -> Option<u64> {
    pin.strip_prefix("gen-")?.parse().ok()
}

/// Whether a directory of pins is named after an ABI: `v` and 16 hexadecimal digits.
#[must_use]
pub fn is_state(pin: &str) -> bool {
    pin.strip_prefix('v')
        .is_some_and(|hash| hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// A name that is padded with zeros; empty where the slot is free.
#[must_use]
pub fn padded_name(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// How an interface is attached; `None` where it is not.
#[must_use]
pub fn attach_mode(record: &InterfaceRecord) -> Option<Mode> {
    match record.mode {
        1 => Some(Mode::Native),
        2 => Some(Mode::Generic),
        _ => None,
    }
}
