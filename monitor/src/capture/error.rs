//! What can be wrong with a capture, where, and how to mend it.

use std::io;

use super::LinkType;

/// A capture that cannot be read (on); the source says why.
#[derive(Debug, thiserror::Error)]
#[error("read capture {capture}")]
pub struct CaptureError {
    /// Path as it was given, or `standard input`.
    pub capture: String,
    /// What is wrong with it.
    #[source]
    pub problem: Problem,
}

impl CaptureError {
    pub(super) fn new(capture: String, problem: Problem) -> Self {
        Self { capture, problem }
    }
}

/// Why a capture cannot be read. Offsets are in bytes from its beginning,
/// packets count from 1.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file cannot be opened.
    #[error("the file cannot be opened")]
    Open(#[source] io::Error),
    /// The operating system failed to read.
    #[error("reading failed after packet {packet}")]
    Read {
        /// Last whole packet.
        packet: u64,
        /// What the operating system says.
        source: io::Error,
    },
    /// Nothing was written.
    #[error("the file is empty: capture again, and let tcpdump end by Ctrl-C or with -c")]
    Empty,
    /// Another kind of file.
    #[error("this is neither a pcap nor a pcapng file: it begins with {beginning}")]
    NotACapture {
        /// The first bytes, in hexadecimal.
        beginning: String,
    },
    /// A compressed file.
    #[error(
        "the file is compressed with {format}: uncompress it first, `{tool} <FILE | monitor replay -`"
    )]
    Compressed {
        /// Name of the compression.
        format: &'static str,
        /// Program that undoes it.
        tool: &'static str,
    },
    /// The file ends within a record.
    #[error(
        "the file is cut short: the record at byte {offset}, after packet {packet}, is not wholly there; \
         capture again, or keep its whole packets with `tcpdump -r FILE -w NEW`"
    )]
    CutShort {
        /// Where the record begins.
        offset: u64,
        /// Last whole packet.
        packet: u64,
    },
    /// A record that no capturing program writes.
    #[error(
        "the record at byte {offset}, after packet {packet}, claims {length} bytes, more than {limit}: the file is damaged, \
         capture again, or keep the packets before with `tcpdump -r FILE -w NEW`"
    )]
    TooLong {
        /// Where the record begins.
        offset: u64,
        /// Last whole packet.
        packet: u64,
        /// Length it claims, in bytes.
        length: u64,
        /// Longest record that is read, in bytes.
        limit: u64,
    },
    /// A record whose parts contradict each other.
    #[error(
        "the record at byte {offset}, after packet {packet}, is malformed: the file is damaged, \
         capture again, or keep the packets before with `tcpdump -r FILE -w NEW`"
    )]
    Malformed {
        /// Where the record begins.
        offset: u64,
        /// Last whole packet.
        packet: u64,
    },
    /// A capture of something other than Ethernet.
    #[error("the link type is {link_type}, and only ETHERNET (1) is read: {LINK_TYPE_MEND}")]
    LinkType {
        /// Of the whole file.
        link_type: LinkType,
    },
    /// A packet from a pcapng interface that is not Ethernet.
    #[error(
        "the link type of interface {interface}, on which packet {packet} was captured, is {link_type}, \
         and only ETHERNET (1) is read: {LINK_TYPE_MEND}"
    )]
    InterfaceLinkType {
        /// Number in its section, from 0.
        interface: u32,
        /// The first packet captured on it.
        packet: u64,
        /// Of this interface.
        link_type: LinkType,
    },
    /// A packet from an interface that the file does not describe.
    #[error(
        "packet {packet}, at byte {offset}, names interface {interface}, which the file does not describe: the file is damaged, capture again"
    )]
    UnknownInterface {
        /// Where the block begins.
        offset: u64,
        /// Number of the packet.
        packet: u64,
        /// Number in its section, from 0.
        interface: u32,
    },
    /// A kind of block that was given up in 2004.
    #[error(
        "packet {packet}, at byte {offset}, is an obsolete Packet Block: rewrite the file with `editcap FILE NEW`"
    )]
    ObsoletePacketBlock {
        /// Where the block begins.
        offset: u64,
        /// Number of the packet.
        packet: u64,
    },
}

const LINK_TYPE_MEND: &str = "capture again on the gateway's own interface, as in `tcpdump -i br-lan -w FILE`, neither on `any` nor in monitor mode";
