//! The classifier at the egress of an interface on kernels before 6.6: a filter of the queueing
//! discipline `clsact`, made over netlink.
//!
//! The filter has a priority and a handle of its own, by which it is found again. It belongs to
//! the interface, so it stays without a process. The queueing discipline may belong to other
//! programs too, so it is never removed.

use std::{io, os::fd::BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{
        TcAttribute, TcBpfFlags, TcFilterBpf, TcFilterBpfOption, TcHandle, TcHeader, TcMessage,
        TcOption,
    },
};

use super::{
    netlink::{change, dump},
    sys::raw,
};

/// Priority of the filter. A filter before it can end the search, so it comes before those to
/// which `tc` gives a priority (from 49,152 down).
const PRIORITY: u16 = 13;
/// Handle of the filter: `mon1` in ASCII.
const HANDLE: u32 = 0x6d6f_6e31;
/// Name of the filter in lists.
const NAME: &str = "monitor_egress";

/// `ETH_P_ALL` in network order.
const EVERY_PROTOCOL: u16 = 0x0003_u16.to_be();

/// Adds the filter, and the queueing discipline if there is none.
pub(super) fn create(index: u32, program: BorrowedFd<'_>) -> io::Result<()> {
    let qdisc = RouteNetlinkMessage::NewQueueDiscipline(message(
        TcHeader {
            index: signed(index),
            handle: TcHandle {
                major: TcHandle::CLSACT.major,
                minor: 0,
            },
            parent: TcHandle::CLSACT,
            ..TcHeader::default()
        },
        vec![TcAttribute::Kind("clsact".to_owned())],
    ));
    match change(&qdisc, NLM_F_CREATE | NLM_F_EXCL) {
        // Another program made it.
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
        other => other?,
    }
    // A daemon that was killed can have left the filter. Then its mark was removed with the
    // pins, and nothing else names the filter.
    match change(&filter(index, program), NLM_F_CREATE | NLM_F_EXCL) {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => replace(index, program),
        other => other,
    }
}

/// Replaces the program of the filter in one step (`list_replace_rcu` in `cls_bpf_change`).
pub(super) fn replace(index: u32, program: BorrowedFd<'_>) -> io::Result<()> {
    change(&filter(index, program), 0)
}

/// Removes the filter. No filter, or no interface, is no error.
pub(super) fn remove(index: u32) -> io::Result<()> {
    if program(index)?.is_none() {
        return Ok(());
    }
    let filter = message(
        header(index),
        vec![TcAttribute::Kind(TcFilterBpf::KIND.to_owned())],
    );
    match change(&RouteNetlinkMessage::DelTrafficFilter(filter), 0) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => Ok(()),
        other => other,
    }
}

/// Id of the program that the filter runs; `None` if there is no filter or no interface.
pub(super) fn program(index: u32) -> io::Result<Option<u32>> {
    let every = TcHeader {
        handle: TcHandle::UNSPEC,
        info: 0,
        ..header(index)
    };
    let request = RouteNetlinkMessage::GetTrafficFilter(message(every, Vec::new()));
    let ids = dump(&request, |found| match found {
        RouteNetlinkMessage::NewTrafficFilter(found) => own_program(&found, index),
        _ => None,
    });
    Ok(ids?.first().copied())
}

fn own_program(found: &TcMessage, index: u32) -> Option<u32> {
    let TcHeader { handle, info, .. } = header(index);
    if found.header.handle != handle || found.header.info != info {
        return None;
    }
    let options = found
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            TcAttribute::Options(options) => Some(options),
            _ => None,
        });
    options?.iter().find_map(|option| match option {
        TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => Some(*id),
        _ => None,
    })
}

/// The request that makes the filter run a program.
fn filter(index: u32, program: BorrowedFd<'_>) -> RouteNetlinkMessage {
    let options = [
        TcFilterBpfOption::ProgFd(raw(program)),
        TcFilterBpfOption::ProgName(NAME.to_owned()),
        // The program's return value is the verdict.
        TcFilterBpfOption::Flags(TcBpfFlags::DirectAction),
    ];
    RouteNetlinkMessage::NewTrafficFilter(message(
        header(index),
        vec![
            TcAttribute::Kind(TcFilterBpf::KIND.to_owned()),
            TcAttribute::Options(options.into_iter().map(TcOption::Bpf).collect()),
        ],
    ))
}

/// Names the filter of an interface.
fn header(index: u32) -> TcHeader {
    TcHeader {
        index: signed(index),
        handle: HANDLE.into(),
        parent: TcHandle {
            major: TcHandle::CLSACT.major,
            minor: TcHandle::MIN_EGRESS,
        },
        info: u32::from(PRIORITY) << 16 | u32::from(EVERY_PROTOCOL),
        ..TcHeader::default()
    }
}

fn message(header: TcHeader, attributes: Vec<TcAttribute>) -> TcMessage {
    TcMessage::from_parts(header, attributes)
}

fn signed(index: u32) -> i32 {
    i32::try_from(index).expect("an interface index is positive in the kernel")
}
