//! Decodes data from the kernel without system calls: names of pins, names in maps,
//! netlink messages. Other programs may have written the data, so every byte string
//! must be accepted without a panic.

use monitor_common::{DIRECTION_IN, InterfaceRecord};

pub use super::{
    interfaces::{OwnAddress, interface, own_address},
    neighbours::{Neighbour, neighbour},
    netlink::{Progress, netlink_reply},
};
use crate::{policy::Direction, snapshot::Mode};

/// Interface name that the file name of a pinned link encodes. `None` if it encodes
/// no interface name.
#[must_use]
pub fn linked_interface(pin: &str) -> Option<String> {
    let name = String::from_utf8(hex::decode(pin).ok()?).ok()?;
    (name.len() < libc::IFNAMSIZ).then_some(name)
}

/// Generation number in the name of a directory of pins. `None` for other
/// directories.
#[must_use]
pub fn generation_number(pin: &str) -> Option<u64> {
    pin.strip_prefix("gen-")?.parse().ok()
}

/// True if the name of a directory of pins is an ABI hash: `v` and 16 hexadecimal
/// digits.
#[must_use]
pub fn is_state(pin: &str) -> bool {
    pin.strip_prefix('v')
        .is_some_and(|hash| hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Name without the zero bytes that pad it; empty if the slot is free.
#[must_use]
pub fn padded_name(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// True if the program of an interface reads frames in several buffers.
#[must_use]
pub fn reads_frags(record: &InterfaceRecord) -> bool {
    matches!(record.mode, 3 | 4)
}

/// Mode in which an interface is attached; `None` if it is not attached.
#[must_use]
pub fn attach_mode(record: &InterfaceRecord) -> Option<Mode> {
    match record.mode {
        1 | 3 => Some(Mode::Native),
        2 | 4 => Some(Mode::Generic),
        5 => Some(Mode::Tcx),
        6 => Some(Mode::Clsact),
        _ => None,
    }
}

/// Direction of the packets that a slot counts.
#[must_use]
pub const fn direction(record: &InterfaceRecord) -> Direction {
    match record.direction {
        DIRECTION_IN => Direction::In,
        _ => Direction::Out,
    }
}
