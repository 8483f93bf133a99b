//! Data from the kernel.

use std::hint::black_box;

use monitor::{datapath::decode, policy::Direction};
use monitor_common::{InterfaceRecord, PolicyRecord};
use netlink_packet_route::RouteNetlinkMessage;

/// Names of pins, records of maps, and replies of netlink.
pub fn kernel(bytes: &[u8]) {
    if let Ok(name) = str::from_utf8(bytes) {
        black_box((decode::is_state(name), decode::generation_number(name)));
        if let Some(interface) = decode::linked_interface(name) {
            assert!(interface.len() < 16, "{interface:?}");
        }
    }
    if let Some(name) = bytes.first_chunk() {
        let name = decode::padded_name(&PolicyRecord { name: *name }.name);
        assert!(!name.contains('\0'));
    }
    if let Some((name, rest)) = bytes.split_first_chunk()
        && let Some(mode) = rest.first_chunk()
    {
        let mode = u32::from_ne_bytes(*mode);
        let record = InterfaceRecord {
            name: *name,
            mode,
            direction: mode,
        };
        assert_eq!(
            decode::attach_mode(&record).is_some(),
            matches!(mode, 1..=6)
        );
        assert_eq!(decode::direction(&record) == Direction::In, mode == 1);
    }
    // An error is a valid result: the kernel may report one.
    let _ = decode::netlink_reply(bytes, |message| match message {
        RouteNetlinkMessage::NewLink(link) => drop(decode::interface(link)),
        RouteNetlinkMessage::NewAddress(address) => drop(decode::own_address(&address)),
        RouteNetlinkMessage::NewNeighbour(neighbour) => drop(decode::neighbour(&neighbour)),
        _ => {}
    });
}
