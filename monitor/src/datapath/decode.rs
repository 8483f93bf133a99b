//! What the kernel hands back, read without asking it: names of pins, names in
//! maps, replies of netlink. All of it may have been written by others.

use std::io;

use monitor_common::InterfaceRecord;
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;

pub use super::{
    interfaces::{OwnAddress, interface, own_address},
    neighbours::{Neighbour, neighbour},
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

/// Hands out the messages of one reply to a dump, and says whether it was the last.
pub fn netlink_reply(reply: &[u8], mut found: impl FnMut(RouteNetlinkMessage)) -> io::Result<bool> {
    let mut rest = reply;
    while let Some(length) = message_length(rest) {
        // What the library cannot read is about some other kind of device.
        if let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest) {
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(true),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(message) => found(message),
                _ => {}
            }
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(false)
}

/// Bytes to the next message: the first field of the header (netlink(7)), padded to four.
fn message_length(rest: &[u8]) -> Option<usize> {
    let length = u32::from_ne_bytes(*rest.first_chunk()?);
    (length > 0).then(|| (length as usize).next_multiple_of(4))
}
