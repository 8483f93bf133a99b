//! The errors of reading a capture, each with its position and a fix.

use std::io;

use super::LinkType;

/// A capture cannot be read, or not to its end. The source says why.
#[derive(Debug, thiserror::Error)]
#[error("read capture {capture}")]
pub struct CaptureError {
    /// Path of the file as given, or `standard input`.
    pub capture: String,
    /// The reason.
    #[source]
    pub problem: Problem,
}

impl CaptureError {
    pub(super) fn new(capture: String, problem: Problem) -> Self {
        Self { capture, problem }
    }
}

/// The reason why a capture cannot be read. Offsets are in bytes from the beginning
/// of the file. Numbers of packets count from 1, as in Wireshark.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file cannot be opened.
    #[error("the file cannot be opened")]
    Open(#[source] io::Error),
    /// The operating system failed to read.
    #[error("reading failed after packet {packet}")]
    Read {
        /// Number of the last whole packet.
        packet: u64,
        /// The error of the system call.
        source: io::Error,
    },
    /// The file has no content.
    #[error("the file is empty: capture again, and end tcpdump with Ctrl-C or by its option -c")]
    Empty,
    /// The file has another format.
    #[error("this is neither a pcap nor a pcapng file: it begins with {beginning}")]
    NotACapture {
        /// The first bytes, in hexadecimal.
        beginning: String,
    },
    /// The file is compressed.
    #[error(
        "the file is compressed with {format}: uncompress it first, `{tool} <FILE | monitor replay -`"
    )]
    Compressed {
        /// Name of the compression.
        format: &'static str,
        /// Name of the program that uncompresses it.
        tool: &'static str,
    },
    /// The file ends within a record.
    #[error(
        "the file is truncated: it ends within the record at byte {offset}, after packet {packet}; \
         capture again, or copy the whole packets with `tcpdump -r FILE -w NEW`"
    )]
    CutShort {
        /// Position of the record.
        offset: u64,
        /// Number of the last whole packet.
        packet: u64,
    },
    /// A record has a length that no capturing program writes.
    #[error(
        "the record at byte {offset}, after packet {packet}, claims {length} bytes, more than {limit}: the file is damaged, \
         capture again, or copy the packets before it with `tcpdump -r FILE -w NEW`"
    )]
    TooLong {
        /// Position of the record.
        offset: u64,
        /// Number of the last whole packet.
        packet: u64,
        /// Length in the record, in bytes.
        length: u64,
        /// Maximum length of a record, in bytes.
        limit: u64,
    },
    /// The fields of a record contradict each other.
    #[error(
        "the record at byte {offset}, after packet {packet}, is malformed: the file is damaged, \
         capture again, or copy the packets before it with `tcpdump -r FILE -w NEW`"
    )]
    Malformed {
        /// Position of the record.
        offset: u64,
        /// Number of the last whole packet.
        packet: u64,
    },
    /// The capture is not from an Ethernet interface.
    #[error("the link type is {link_type}, but only ETHERNET (1) is supported: {LINK_TYPE_FIX}")]
    LinkType {
        /// Link type of the whole file.
        link_type: LinkType,
    },
    /// A packet comes from a pcapng interface that is not Ethernet.
    #[error(
        "the link type of interface {interface}, on which packet {packet} was captured, is {link_type}, \
         but only ETHERNET (1) is supported: {LINK_TYPE_FIX}"
    )]
    InterfaceLinkType {
        /// Number of the interface in its section, from 0.
        interface: u32,
        /// Number of the first packet captured on it.
        packet: u64,
        /// Link type of this interface.
        link_type: LinkType,
    },
    /// A packet names an interface that the file does not describe.
    #[error(
        "packet {packet}, at byte {offset}, names interface {interface}, which the file does not describe: the file is damaged, capture again"
    )]
    UnknownInterface {
        /// Position of the block.
        offset: u64,
        /// Number of the packet.
        packet: u64,
        /// Number of the interface in its section, from 0.
        interface: u32,
    },
    /// A packet is stored in a Packet Block, which is obsolete since 2004.
    #[error(
        "packet {packet}, at byte {offset}, is an obsolete Packet Block: rewrite the file with `editcap FILE NEW`"
    )]
    ObsoletePacketBlock {
        /// Position of the block.
        offset: u64,
        /// Number of the packet.
        packet: u64,
    },
}

const LINK_TYPE_FIX: &str = "capture again on the gateway's own interface, for example with `tcpdump -i br-lan -w FILE`, neither on `any` nor in monitor mode";
