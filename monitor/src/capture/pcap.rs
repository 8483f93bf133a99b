//! Reads pcap: one file header, then records of one link type.

use jiff::Timestamp;
use pcap_parser::{
    LegacyPcapBlock, PcapError, PcapHeader,
    nom::{Err, IResult, Needed},
    parse_pcap_header,
    pcap::{parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified},
};

use super::{Frame, LinkType, Problem, input::Input};

type ParseFrame = fn(&[u8]) -> IResult<&[u8], LegacyPcapBlock<'_>, PcapError<&[u8]>>;

/// The format of the records of one file: their byte order and header.
pub(super) struct Pcap {
    parse: ParseFrame,
    /// Length of a record's header, in bytes.
    header_length: u64,
    /// Nanoseconds in a unit of the second number of a record's time.
    fraction: i32,
}

impl Pcap {
    /// Parses the file header, which the caller has read into the record of `input`.
    pub(super) fn from_header(input: &Input) -> Result<Self, Problem> {
        match parse_pcap_header(input.record()) {
            Ok((_, header)) => Self::from_parsed_header(&header),
            // The first four bytes are valid, so this is a capture.
            Err(Err::Incomplete(_)) if input.record().len() >= 4 => Err(input.cut_short()),
            Err(_) => Err(Problem::NotACapture {
                beginning: hexadecimal(input.record()),
            }),
        }
    }

    fn from_parsed_header(header: &PcapHeader) -> Result<Self, Problem> {
        let link_type = header.network.into();
        if link_type != LinkType::ETHERNET {
            return Err(Problem::LinkType { link_type });
        }
        let (parse, header_length): (ParseFrame, u64) = if header.is_modified_format() {
            (parse_pcap_frame_modified, 24)
        } else if header.is_bigendian() {
            (parse_pcap_frame_be, 16)
        } else {
            (parse_pcap_frame, 16)
        };
        Ok(Self {
            parse,
            header_length,
            fraction: if header.is_nanosecond_precision() {
                1
            } else {
                1000
            },
        })
    }

    /// Returns the next frame, or `None` at the end of the file.
    pub(super) fn next_frame(&mut self, input: &mut Input) -> Result<Option<Frame>, Problem> {
        if !input.begin(self.header_length)? {
            return Ok(None);
        }
        if let Err(Err::Incomplete(Needed::Size(captured))) = (self.parse)(input.record()) {
            input.complete(self.header_length + captured.get() as u64)?;
        }
        let Ok((_, record)) = (self.parse)(input.record()) else {
            return Err(input.malformed());
        };
        let frame = Frame {
            data: record.data.to_vec(),
            wire_length: record.origlen,
            at: self.time(record.ts_sec, record.ts_usec),
            interface: 0,
            comment: None,
        };
        input.packet_done();
        Ok(Some(frame))
    }
}

impl Pcap {
    /// The time of a record; `None` if its fraction is more than a second.
    fn time(&self, seconds: u32, fraction: u32) -> Option<Timestamp> {
        let nanoseconds = i32::try_from(fraction).ok()?.checked_mul(self.fraction)?;
        let within = nanoseconds < 1_000_000_000;
        let time = Timestamp::new(i64::from(seconds), nanoseconds);
        time.ok().filter(|_| within)
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    bytes.join(" ")
}
