//! What an operator may switch on to watch single packets.

use core::net::{Ipv4Addr, Ipv6Addr};

use aya_ebpf::programs::XdpContext;
use aya_log_ebpf::debug;
use monitor_common::MatchSet;

use crate::{
    decide::Verdict,
    maps::LOG_PACKETS,
    parse::{Destination, Packet},
};

/// Writes a matched packet to the log where `run --log-packets` asks for it.
#[inline(always)]
pub(crate) fn matched(ctx: &XdpContext, packet: &Packet, set: &MatchSet, verdict: Verdict) {
    if LOG_PACKETS.load() == 0 {
        return;
    }
    let slot = set.entries[0].policy;
    let verdict = match verdict {
        Verdict::Passed => "passed",
        Verdict::Dropped => "dropped",
    };
    match packet.destination {
        Destination::Ipv4(address) => debug!(
            ctx,
            "{} {:mac} -> {:i} policy slot {}",
            verdict,
            packet.source_mac,
            Ipv4Addr::from(address),
            slot
        ),
        Destination::Ipv6(address) => debug!(
            ctx,
            "{} {:mac} -> {:i} policy slot {}",
            verdict,
            packet.source_mac,
            Ipv6Addr::from(address),
            slot
        ),
    }
}
