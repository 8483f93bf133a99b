//! The blocks of a capture's file: copied packets → blocks, with a limit and with counts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use monitor_common::{
    MAX_INTERFACES,
    capture::{CAPTURE_FRAME_BYTES, CAPTURE_HEADER_BYTES},
};
use nix::sys::utsname::{UtsName, uname};

use crate::{
    capture::blocks::{self, Packet, Section, Statistics},
    clock::{from_the_second, up_to_the_second},
    control::capture::CaptureProgress,
    daemon::core::CaptureSession,
    datapath::{CaptureNames, CapturedPacket},
    evidence::captured::{CaptureEnd, CaptureFile, CaptureLosses, Captured, content},
    policy::{Direction, PolicyName},
};

/// Blocks are sent when they have so many bytes, or when no packet waits.
const CHUNK: usize = 64 << 10;

/// Stands for a name that cannot be read.
const UNKNOWN: &str = "(unknown)";
/// An interface whose name cannot be read.
const UNKNOWN_INTERFACE: (&str, Direction) = (UNKNOWN, Direction::Out);

/// Bytes that stay free for the end of the file: for each interface its description, at most 100
/// bytes, and its counts, at most 250 bytes.
const END_BYTES: u64 = 350 * MAX_INTERFACES as u64;

/// The blocks of a file that is being written, and what is counted meanwhile.
pub(super) struct CaptureBlocks {
    policy: PolicyName,
    snap_length: u32,
    max: u64,
    /// Blocks that are not sent yet.
    chunk: Vec<u8>,
    /// Packets in them.
    chunk_packets: u64,
    /// Size of all blocks until now.
    bytes: u64,
    packets: u64,
    /// Time of the first and of the last packet.
    times: Option<(Timestamp, Timestamp)>,
    /// Interfaces of the file, by slot.
    interfaces: BTreeMap<u32, Interface>,
    /// Packets that the kernel did not copy, by interface slot.
    lost_by_kernel: BTreeMap<u32, u64>,
    /// Packets for which the file had no room, by interface slot.
    lost_here: BTreeMap<u32, u64>,
    is_full: bool,
}

struct Interface {
    /// Number of the interface in the file.
    number: u32,
    written: u64,
}

impl CaptureBlocks {
    /// The first block of a file.
    pub(super) fn new(session: &CaptureSession) -> Self {
        let bytes = if session.payload {
            CAPTURE_FRAME_BYTES
        } else {
            CAPTURE_HEADER_BYTES
        };
        let mut file = Self {
            policy: session.policy.clone(),
            snap_length: u32::try_from(bytes).unwrap_or(u32::MAX),
            max: session.max,
            chunk: Vec::new(),
            chunk_packets: 0,
            bytes: 0,
            packets: 0,
            times: None,
            interfaces: BTreeMap::new(),
            lost_by_kernel: BTreeMap::new(),
            lost_here: BTreeMap::new(),
            is_full: false,
        };
        file.append(&section(session));
        file
    }

    /// True if a packet found no room in the file.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Adds a packet. `send` sends blocks with so many packets, and returns false if there is no
    /// room. Returns false if there is no room for another packet.
    pub(super) fn put(
        &mut self,
        packet: &CapturedPacket<'_>,
        names: &mut CaptureNames,
        send: impl FnMut(&[u8], u64) -> bool,
    ) -> bool {
        let blocks = self.blocks(packet, names);
        self.is_full |= self.bytes + blocks.len() as u64 + END_BYTES > self.max;
        if self.is_full {
            *self.lost_here.entry(packet.interface).or_default() += 1;
            return true;
        }
        self.interface(packet.interface).written += 1;
        self.packets += 1;
        let (first, last) = self.times.unwrap_or((packet.at, packet.at));
        self.times = Some((first.min(packet.at), last.max(packet.at)));
        self.append(&blocks);
        self.chunk_packets += 1;
        if !self.has_room() {
            self.flush(send);
        }
        self.has_room()
    }

    /// The interface in this slot. Numbers it if it is new.
    fn interface(&mut self, slot: u32) -> &mut Interface {
        let number = self.next_interface();
        let new = Interface { number, written: 0 };
        self.interfaces.entry(slot).or_insert(new)
    }

    fn next_interface(&self) -> u32 {
        u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX)
    }

    /// The block of a packet. If it is the first one of its interface, the block of the interface
    /// comes before.
    fn blocks(&self, packet: &CapturedPacket<'_>, names: &mut CaptureNames) -> Vec<u8> {
        let mut blocks = Vec::new();
        let known = self.interfaces.get(&packet.interface);
        if known.is_none() {
            let (name, direction) = names
                .interface(packet.interface)
                .unwrap_or(UNKNOWN_INTERFACE);
            blocks = blocks::interface(name, direction, self.snap_length);
        }
        let next = self.next_interface();
        let effective = names.policy_name(packet.effective).unwrap_or(UNKNOWN);
        blocks.extend(blocks::packet(&Packet {
            interface: known.map_or(next, |interface| interface.number),
            at: packet.at,
            length: packet.length,
            data: packet.data,
            comment: &comment(self.policy.as_str(), effective, packet.dropped),
        }));
        blocks
    }

    /// True if another packet finds room before blocks are sent.
    pub(super) fn has_room(&self) -> bool {
        self.chunk.len() < CHUNK
    }

    fn append(&mut self, blocks: &[u8]) {
        self.chunk.extend(blocks);
        self.bytes += blocks.len() as u64;
    }

    /// Sends the blocks that wait, if there is room.
    pub(super) fn flush(&mut self, mut send: impl FnMut(&[u8], u64) -> bool) {
        if !self.chunk.is_empty() && send(&self.chunk, self.chunk_packets) {
            self.chunk.clear();
            self.chunk_packets = 0;
        }
    }

    /// Sets the packets that the kernel did not copy, by interface slot.
    pub(super) fn set_lost_by_kernel(&mut self, lost: BTreeMap<u32, u64>) {
        self.lost_by_kernel = lost;
    }

    pub(super) fn progress(&self) -> CaptureProgress {
        CaptureProgress {
            packets: self.packets,
            bytes: self.bytes,
            lost: self.losses().sum(),
        }
    }

    fn losses(&self) -> CaptureLosses {
        CaptureLosses {
            ring_full: self.lost_by_kernel.values().sum(),
            file_full: self.lost_here.values().sum(),
            not_sent: 0,
        }
    }

    /// Adds the counts of each interface at the end of the file.
    pub(super) fn finish(
        &mut self,
        end: CaptureEnd,
        rested_seconds: u64,
        session: &mut CaptureSession,
    ) -> Captured {
        let until = Timestamp::now();
        self.add_interfaces_without_packets(&mut session.names);
        let mut interfaces: Vec<_> = self.interfaces.iter().collect();
        interfaces.sort_by_key(|(_, interface)| interface.number);
        let lost = |lost: &BTreeMap<u32, u64>, slot| lost.get(slot).copied().unwrap_or_default();
        let ends: Vec<u8> = interfaces
            .into_iter()
            .flat_map(|(slot, interface)| {
                let losses = CaptureLosses {
                    ring_full: lost(&self.lost_by_kernel, slot),
                    file_full: lost(&self.lost_here, slot),
                    not_sent: 0,
                };
                blocks::statistics(&Statistics {
                    interface: interface.number,
                    since: session.since,
                    until,
                    written: interface.written,
                    lost: losses.sum(),
                    comment: &losses.text(),
                })
            })
            .collect();
        self.append(&ends);
        Captured {
            capture: session.id.clone(),
            policy: self.policy.clone(),
            since: from_the_second(session.since),
            until: up_to_the_second(until),
            payload: session.payload,
            packets: self.packets,
            bytes: self.bytes,
            lost: self.losses().sum(),
            lost_by: self.losses(),
            first: self.times.map(|(first, _)| first.to_string()),
            last: self.times.map(|(_, last)| last.to_string()),
            rested_seconds,
            end,
            sha256: None,
            file: CaptureFile::Unknown,
        }
    }

    /// Describes the interfaces of which all packets were lost.
    fn add_interfaces_without_packets(&mut self, names: &mut CaptureNames) {
        let lost = self.lost_by_kernel.keys().chain(self.lost_here.keys());
        let slots: Vec<_> = lost.copied().collect();
        for slot in slots {
            if !self.interfaces.contains_key(&slot) {
                let (name, direction) = names.interface(slot).unwrap_or(UNKNOWN_INTERFACE);
                let block = blocks::interface(name, direction, self.snap_length);
                self.append(&block);
                self.interface(slot);
            }
        }
    }
}

/// What is known about a packet: `policy seen: passed; decided by allowed`.
fn comment(policy: &str, effective: &str, dropped: bool) -> String {
    let verdict = if dropped { "dropped" } else { "passed" };
    if policy == effective {
        format!("policy {policy}: {verdict}")
    } else {
        format!("policy {policy}: {verdict}; decided by {effective}")
    }
}

fn section(session: &CaptureSession) -> Vec<u8> {
    let system = uname().ok();
    let system = system.as_ref();
    let text = |text: Option<&std::ffi::OsStr>| {
        let text = text.map(|text| text.to_string_lossy().into_owned());
        text.unwrap_or_default()
    };
    let os = [
        text(system.map(UtsName::sysname)),
        text(system.map(UtsName::release)),
    ];
    let content = content(session.payload);
    blocks::section(&Section {
        hardware: &text(system.map(UtsName::machine)),
        os: &os.join(" "),
        application: concat!("monitor ", env!("CARGO_PKG_VERSION")),
        comment: &format!("packets that policy {} matched, {content}", session.policy),
    })
}
