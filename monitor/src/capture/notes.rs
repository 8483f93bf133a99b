//! What a pcapng file says about itself.

use jiff::Timestamp;
use pcap_parser::{InterfaceStatisticsBlock, OptionCode, PcapNGOption};

use crate::policy::Direction;

/// The longest text of an option that is kept, in bytes. The file may come from anybody.
const LONGEST_TEXT: usize = 1024;

/// What a file says about itself and its interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureNotes {
    /// Comment of the section.
    pub comment: Option<String>,
    /// The interfaces, by number.
    pub interfaces: Vec<InterfaceNotes>,
}

/// What a file says about an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceNotes {
    /// Name of the interface.
    pub name: Option<String>,
    /// Direction of its packets. `in` only if `monitor` says so in the file.
    pub direction: Direction,
    /// Its counts; `None` if the file has none.
    pub counts: Option<InterfaceCounts>,
}

/// Counts of an interface at the end of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceCounts {
    /// Begin of the capture.
    pub since: Option<Timestamp>,
    /// End of the capture.
    pub until: Option<Timestamp>,
    /// Packets that should be in the file, and are not.
    pub lost: u64,
}

impl InterfaceCounts {
    /// Reads a block. `time` converts a number of units to a time.
    pub(super) fn read(
        block: &InterfaceStatisticsBlock<'_>,
        time: impl Fn(u64) -> Option<Timestamp>,
    ) -> Self {
        let at = |(high, low): (u32, u32)| time(u64::from(high) << 32 | u64::from(low));
        let number = |code: Option<Result<u64, _>>| code.and_then(Result::ok).unwrap_or(0);
        Self {
            since: block.isb_starttime().and_then(Result::ok).and_then(at),
            until: block.isb_endtime().and_then(Result::ok).and_then(at),
            // A file of this program has the same number in both.
            lost: number(block.isb_osdrop()).max(number(block.isb_ifdrop())),
        }
    }
}

/// The first comment among the options, if it is text of a bounded length.
pub(super) fn comment(options: &[PcapNGOption<'_>]) -> Option<String> {
    let mut comments = options
        .iter()
        .filter(|option| option.code == OptionCode::Comment);
    text(comments.next()?.as_str().ok()?)
}

/// A text of a bounded length.
pub(super) fn text(text: &str) -> Option<String> {
    (text.len() <= LONGEST_TEXT).then(|| text.to_owned())
}
