//! Writes pcapng, block by block (draft-ietf-opsawg-pcapng). A file is valid after each block.

use std::borrow::Cow;

use jiff::Timestamp;
use pcap_parser::{
    EnhancedPacketBlock, InterfaceDescriptionBlock, InterfaceStatisticsBlock, Linktype, OptionCode,
    PcapNGOption, SectionHeaderBlock, ToVec,
};

use crate::policy::Direction;

/// Option `epb_flags` of an Enhanced Packet Block.
const EPB_FLAGS: OptionCode = OptionCode(2);

/// Value of [`EPB_FLAGS`]: the packet was received.
const INBOUND: u32 = 1;

/// Times count nanoseconds: 10^-9 s.
const NANOSECONDS: u8 = 9;

/// The longest text of an option, in bytes.
const LONGEST_TEXT: usize = 1024;

/// What a file says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section<'a> {
    /// The machine, such as `x86_64`.
    pub hardware: &'a str,
    /// The operating system and its version.
    pub os: &'a str,
    /// The program that writes the file, and its version.
    pub application: &'a str,
    /// What the file contains.
    pub comment: &'a str,
}

/// A packet of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Number of the interface: 0 for the first interface of the file.
    pub interface: u32,
    /// Time of the packet.
    pub at: Timestamp,
    /// Length on the wire, bytes.
    pub length: u32,
    /// The first bytes of the frame, with its Ethernet header.
    pub data: &'a [u8],
    /// What is known about the packet.
    pub comment: &'a str,
}

/// The packets of an interface, for the end of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics<'a> {
    /// Number of the interface.
    pub interface: u32,
    /// Begin of the capture.
    pub since: Timestamp,
    /// End of the capture.
    pub until: Timestamp,
    /// Packets in the file.
    pub written: u64,
    /// Packets that should be in the file, and are not.
    pub lost: u64,
    /// Why packets are lost; empty if none is.
    pub comment: &'a str,
}

/// The first block of a file.
#[must_use]
pub fn section(section: &Section<'_>) -> Vec<u8> {
    let texts = [
        (OptionCode::Comment, section.comment),
        (OptionCode::ShbHardware, section.hardware),
        (OptionCode::ShbOs, section.os),
        (OptionCode::ShbUserAppl, section.application),
    ];
    bytes(SectionHeaderBlock {
        block_type: 0,
        block_len1: 0,
        bom: 0,
        major_version: 1,
        minor_version: 0,
        // The length is not known before the end.
        section_len: -1,
        options: texts.map(|(code, value)| text(code, value)).into(),
        block_len2: 0,
    })
}

/// Description of an interface whose packets come from the destinations of policies.
pub(super) const INCOMING: &str = "packets in";

/// Describes the next interface. The first one has the number 0.
#[must_use]
pub fn interface(name: &str, direction: Direction, snap_length: u32) -> Vec<u8> {
    let mut options = vec![text(OptionCode::IfName, name)];
    if direction == Direction::In {
        options.push(text(OptionCode::IfDescription, INCOMING));
    }
    options.push(option(OptionCode::IfTsresol, &[NANOSECONDS]));
    bytes(InterfaceDescriptionBlock {
        block_type: 0,
        block_len1: 0,
        linktype: Linktype::ETHERNET,
        reserved: 0,
        snaplen: snap_length,
        options,
        block_len2: 0,
        if_tsresol: NANOSECONDS,
        if_tsoffset: 0,
    })
}

/// A packet.
#[must_use]
pub fn packet(packet: &Packet<'_>) -> Vec<u8> {
    let (ts_high, ts_low) = time(packet.at);
    bytes(EnhancedPacketBlock {
        block_type: 0,
        block_len1: 0,
        if_id: packet.interface,
        ts_high,
        ts_low,
        caplen: u32::try_from(packet.data.len()).unwrap_or(u32::MAX),
        origlen: packet.length,
        data: packet.data,
        options: vec![
            text(OptionCode::Comment, packet.comment),
            option(EPB_FLAGS, &INBOUND.to_le_bytes()),
        ],
        block_len2: 0,
    })
}

/// The counts of an interface: `isb_filteraccept` = `isb_usrdeliv` + `isb_osdrop`. There is no
/// `isb_ifdrop`, because a reader that adds both drops would count packets twice.
#[must_use]
pub fn statistics(statistics: &Statistics<'_>) -> Vec<u8> {
    let (ts_high, ts_low) = time(statistics.until);
    let accepted = statistics.written.saturating_add(statistics.lost);
    let counts = [
        (OptionCode::IsbFilterAccept, accepted),
        (OptionCode::IsbOsDrop, statistics.lost),
        (OptionCode::IsbUsrDeliv, statistics.written),
    ];
    let times = [
        (OptionCode::IsbStartTime, statistics.since),
        (OptionCode::IsbEndTime, statistics.until),
    ];
    let times = times.map(|(code, at)| {
        let (high, low) = time(at);
        option(code, &[high.to_le_bytes(), low.to_le_bytes()].concat())
    });
    let comment =
        (!statistics.comment.is_empty()).then(|| text(OptionCode::Comment, statistics.comment));
    let counts = counts.map(|(code, count)| option(code, &count.to_le_bytes()));
    bytes(InterfaceStatisticsBlock {
        block_type: 0,
        block_len1: 0,
        if_id: statistics.interface,
        ts_high,
        ts_low,
        options: comment.into_iter().chain(times).chain(counts).collect(),
        block_len2: 0,
    })
}

/// The upper and lower half of the nanoseconds since 1970; 0 for earlier times.
fn time(at: Timestamp) -> (u32, u32) {
    let nanoseconds = u64::try_from(at.as_nanosecond()).unwrap_or(0);
    let [a, b, c, d, low @ ..] = nanoseconds.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes(low))
}

fn text(code: OptionCode, value: &str) -> PcapNGOption<'static> {
    let end = value.floor_char_boundary(LONGEST_TEXT);
    option(code, &value.as_bytes()[..end])
}

fn option(code: OptionCode, value: &[u8]) -> PcapNGOption<'static> {
    PcapNGOption {
        code,
        len: u16::try_from(value.len()).expect("callers limit it"),
        value: Cow::Owned(value.to_vec()),
    }
}

/// The bytes of a block, with its lengths set.
fn bytes(mut block: impl ToVec) -> Vec<u8> {
    block.to_vec().expect("a vector takes every byte")
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::capture::Capture;

    #[test]
    fn the_reader_of_captures_reads_what_was_written() {
        let at: Timestamp = "2026-11-30T01:02:03.123456789Z".parse().unwrap();
        for length in [14, 15, 16, 17, 60, 256] {
            let data: Vec<u8> = (0..=255).take(length).collect();
            let mut file = section(&Section {
                hardware: "x86_64",
                os: "Linux 6.18",
                application: "monitor 0.1.0",
                comment: "é",
            });
            file.extend(interface("wlan0", Direction::Out, 256));
            file.extend(interface("br-lan.7", Direction::In, 256));
            file.extend(packet(&Packet {
                interface: 1,
                at,
                length: 1514,
                data: &data,
                comment: "policy blocked: dropped",
            }));
            file.extend(statistics(&Statistics {
                interface: 1,
                since: at,
                until: at,
                written: 1,
                lost: 7,
                comment: "7 without room in the kernel",
            }));
            assert_eq!(file.len() % 4, 0);
            let mut frames = Capture::new("test", Box::new(Cursor::new(file))).unwrap();
            let frame = frames.next().unwrap().unwrap();
            assert_eq!(
                (frame.data, frame.wire_length, frame.at),
                (data, 1514, Some(at))
            );
            assert!(frames.next().is_none());
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = "é".repeat(LONGEST_TEXT);
        let file = section(&Section {
            comment: &long,
            ..Section::default()
        });
        assert!(file.len() < LONGEST_TEXT + 200);
        assert!(
            Capture::new("test", Box::new(Cursor::new(file)))
                .unwrap()
                .next()
                .is_none()
        );
    }
}
