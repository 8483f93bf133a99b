//! Captures: reads frames from pcap and pcapng files, one at a time and with bounded
//! memory, and writes pcapng ([`blocks`]).
//!
//! Formats: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.

use std::{
    io::{self, Read},
    iter::FusedIterator,
    path::Path,
};

use jiff::Timestamp;

use crate::{
    policy::MacAddress,
    regular_file::{Purpose, RegularFile},
};

pub mod blocks;
mod error;
mod input;
mod link_type;
mod notes;
mod pcap;
mod pcapng;

pub use error::{CaptureError, Problem};
pub use link_type::LinkType;
pub use notes::{CaptureNotes, InterfaceCounts, InterfaceNotes};

use input::Input;
use pcap::Pcap;
use pcapng::PcapNg;

/// One captured Ethernet frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The captured bytes, starting with the Ethernet header. These are fewer than
    /// `wire_length` if the capture stored only the beginning of each frame.
    pub data: Vec<u8>,
    /// Length of the frame on the wire with its layer 2 header, in bytes.
    pub wire_length: u32,
    /// Time at which the frame was captured. `None` if the capture does not tell.
    pub at: Option<Timestamp>,
    /// Number of the frame's interface in the file; 0 for the first one, and in a pcap file.
    pub interface: u32,
    /// What the file says about the frame.
    pub comment: Option<String>,
}

impl Frame {
    /// Returns the source MAC, or `None` if fewer than 12 bytes were captured.
    #[must_use]
    pub fn source_mac(&self) -> Option<MacAddress> {
        let source = self.data.get(6..12)?;
        source.try_into().ok().map(MacAddress)
    }
}

/// An open capture. It iterates over the frames in the order of the file, and ends
/// after the first error.
pub struct Capture {
    name: String,
    input: Input,
    format: Format,
    ended: bool,
}

enum Format {
    Pcap(Pcap),
    PcapNg(PcapNg),
}

impl Capture {
    /// Opens a file, or standard input if `path` is `-`, and reads its header.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        if path == Path::new("-") {
            return Self::new("standard input", Box::new(io::stdin()));
        }
        let name = crate::printable::path(path).to_string();
        match RegularFile::open(path, Purpose::Capture) {
            Ok(file) => Self::new(&name, Box::new(file)),
            Err(source) => Err(CaptureError::new(name, Problem::Open(source))),
        }
    }

    /// Reads the header of a capture from `reader`. Errors show `name`.
    pub fn new(name: &str, reader: Box<dyn Read + Send>) -> Result<Self, CaptureError> {
        let mut input = Input::new(reader);
        match recognise(&mut input) {
            Ok(format) => Ok(Self {
                name: name.to_owned(),
                input,
                format,
                ended: false,
            }),
            Err(problem) => Err(CaptureError::new(name.to_owned(), problem)),
        }
    }

    /// What the part of the file that was read so far says about itself. A pcap file says
    /// nothing.
    #[must_use]
    pub fn notes(&self) -> CaptureNotes {
        match &self.format {
            Format::Pcap(_) => CaptureNotes::default(),
            Format::PcapNg(pcapng) => pcapng.notes(),
        }
    }
}

impl Iterator for Capture {
    type Item = Result<Frame, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let frame = match &mut self.format {
            Format::Pcap(pcap) => pcap.next_frame(&mut self.input),
            Format::PcapNg(pcapng) => pcapng.next_frame(&mut self.input),
        };
        let frame = frame
            .map_err(|problem| CaptureError::new(self.name.clone(), problem))
            .transpose();
        self.ended = !matches!(frame, Some(Ok(_)));
        frame
    }
}

impl FusedIterator for Capture {}

fn recognise(input: &mut Input) -> Result<Format, Problem> {
    input.peek_header()?;
    let header = input.record();
    if header.is_empty() {
        return Err(Problem::Empty);
    }
    if let Some(compression) = compression(header) {
        return Err(compression);
    }
    if header.starts_with(&pcapng::MAGIC) {
        input.rewind_header();
        return Ok(Format::PcapNg(PcapNg::default()));
    }
    Pcap::from_header(input).map(Format::Pcap)
}

/// Returns an error if the file begins like a compressed file.
fn compression(header: &[u8]) -> Option<Problem> {
    const FORMATS: [(&[u8], &str, &str); 4] = [
        (b"\x1f\x8b", "gzip", "gunzip"),
        (b"\x28\xb5\x2f\xfd", "Zstandard", "unzstd"),
        (b"\xfd7zXZ\0", "xz", "unxz"),
        (b"BZh", "bzip2", "bunzip2"),
    ];
    FORMATS
        .iter()
        .find(|(magic, ..)| header.starts_with(magic))
        .map(|&(_, format, tool)| Problem::Compressed { format, tool })
}
