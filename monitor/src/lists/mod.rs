//! Reads published lists: bytes → text → format → destinations, or bytes → database →
//! destinations.
//!
//! Each text format has a module that reads one line. The caller decides what a bad
//! line means for a policy. This module knows nothing of `policy`, only the types of
//! `address`.

mod by_column;
mod cisco;
mod csv;
mod describe;
mod dialect;
mod emule;
mod feed;
mod feed_url;
mod fields;
mod format;
mod header;
mod invalid;
mod invalid_help;
mod ipset;
mod json;
mod juniper;
mod line;
mod lines;
mod locations;
mod mikrotik;
mod mmdb;
mod nft;
mod numeric_csv;
mod other_files;
mod peerguardian;
mod pfx2as;
mod pieces;
mod plain;
mod plausible;
mod range_csv;
mod recognise;
mod reserved;
mod rir;
mod rpsl;
mod scores;
mod selection;
mod sets;
mod sha256;
mod spamhaus;
mod spelling;
mod text;
mod tokens;
mod unpack;
mod verdict;
mod why;
mod words;

use std::net::{Ipv4Addr, Ipv6Addr};

pub use by_column::{Column, ColumnSelection};
pub use describe::Description;
pub use feed::{FeedProblem, FeedReading, MAX_FEED_BYTES, MAX_FEED_LINES, feed_text, read_feed};
pub use feed_url::{FeedUrl, InvalidFeedUrl};
pub(crate) use fields::Fields;
pub use format::{Country, Format, InvalidCountry, InvalidFormat, Kind};
pub(crate) use header::{Columns, asn};
pub use invalid::InvalidLine;
pub use json::{InvalidJsonPath, JsonPath};
pub use line::MAX_LINE;
pub use locations::{Locations, locations_beside, needs_locations};
pub use mmdb::{DatabaseError, is_database, read_database};
pub(crate) use mmdb::{database_networks, ipv4_within};
pub(crate) use numeric_csv::numeric_range;
pub use pieces::{PieceReader, pieces};
pub use recognise::recognise;
pub use reserved::{Cut, OwnNetwork, Reserved};
pub(crate) use rir::{Record, record};
pub use selection::{Key, Selection};
pub use sha256::{InvalidSha256, Sha256};
pub use text::{NotText, list_text};
pub use unpack::{UnpackError, unpack, unpack_fetched};
pub use why::{Refused, Why};

use self::{csv::Csv, line::Line, lines::each_line, selection::Chooser, unpack::unpack_up_to};
use crate::address::{Destination, Interval};

/// The content of a list. Each destination has the number of its line, counted from 1. In
/// a database, which has no lines, the number is 0.
#[derive(Debug)]
pub struct List {
    /// The kind of the list.
    pub kind: Kind,
    /// IPv4 destinations, in the order of the list.
    pub ipv4: Vec<(Interval<Ipv4Addr>, u32)>,
    /// IPv6 destinations, in the order of the list.
    pub ipv6: Vec<(Interval<Ipv6Addr>, u32)>,
    /// The lines that could not be read.
    pub bad: BadLines,
    /// Number of readable entries that the selection does not include.
    pub left_out: usize,
    /// Number of entries with options that mean nothing to this filter, such as a timeout.
    pub with_options: usize,
    /// Keys of the selection that no entry has.
    pub missing: Vec<Key>,
    /// True if the selection names no country, but the lines name more than one.
    pub several_countries: bool,
    /// The path by which a JSON document was read, with the name of a known document.
    pub how: Option<String>,
}

/// The lines that could not be read: the number of all, and the errors of the first.
#[derive(Debug, Default)]
pub struct BadLines {
    first: Vec<(u32, InvalidLine)>,
    count: usize,
    exclusions: usize,
}

impl List {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            ipv4: Vec::new(),
            ipv6: Vec::new(),
            bad: BadLines::default(),
            left_out: 0,
            with_options: 0,
            missing: Vec::new(),
            several_countries: false,
            how: None,
        }
    }

    /// Returns true if the list has no destination.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ipv4.is_empty() && self.ipv6.is_empty()
    }

    /// Returns the number of lines with a destination. A destination that was cut into
    /// parts counts once.
    #[must_use]
    pub fn lines(&self) -> usize {
        let ipv4 = self.ipv4.chunk_by(|a, b| a.1 == b.1).count();
        ipv4 + self.ipv6.chunk_by(|a, b| a.1 == b.1).count()
    }

    fn add(&mut self, line: Result<Line, InvalidLine>, number: u32) {
        match line {
            Ok(Line::Destination(destination)) => self.push(destination, number),
            Ok(Line::WithOptions(destination)) => {
                self.with_options += 1;
                self.push(destination, number);
            }
            Ok(Line::LeftOut) => self.left_out += 1,
            Ok(Line::Nothing) => {}
            Err(error) => self.bad.push(number, error),
        }
    }

    /// Adds what is known when all lines were read.
    fn conclude(&mut self, chooser: &Chooser<'_>) {
        if let Some((line, error)) = chooser.wrong_sets() {
            self.add(Err(error), line);
        }
        self.missing = chooser.missing();
    }

    fn push(&mut self, destination: Destination, number: u32) {
        match destination {
            Destination::Ipv4(interval) => self.ipv4.push((interval, number)),
            Destination::Ipv6(interval) => self.ipv6.push((interval, number)),
        }
    }
}

impl BadLines {
    /// Maximum number of lines whose errors are stored.
    pub const KEPT: usize = 20;

    /// Returns the number of all bad lines.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns line number and error of the first [`Self::KEPT`] bad lines, and of the
    /// first [`Self::KEPT`] exclusions.
    #[must_use]
    pub fn first(&self) -> &[(u32, InvalidLine)] {
        &self.first
    }

    /// Returns line number and error of the first bad line that cannot be skipped.
    #[must_use]
    pub fn exclusion(&self) -> Option<&(u32, InvalidLine)> {
        self.first.iter().find(|(_, error)| error.is_exclusion())
    }

    /// Returns the number of bad lines that cannot be skipped.
    #[must_use]
    pub fn exclusions(&self) -> usize {
        self.exclusions
    }

    fn push(&mut self, number: u32, error: InvalidLine) {
        let is_exclusion = error.is_exclusion();
        self.count += 1;
        self.exclusions += usize::from(is_exclusion);
        let is_kept = is_exclusion && self.exclusions <= Self::KEPT;
        if self.first.len() < Self::KEPT || is_kept {
            self.first.push((number, error));
        }
    }
}

/// How a format is read.
enum Reader {
    /// Each line is an entry, and no line changes how another one is read.
    Each(fn(&str, &Chooser<'_>) -> Result<Line, InvalidLine>),
    /// Each line is an entry. A line that can be read is of this format.
    Lines(fn(&str, &mut Chooser<'_>, &mut Csv) -> Result<Line, InvalidLine>),
    /// Entries may span lines, and a line may have several entries. The reader gets the
    /// whole text.
    Whole(fn(&str, &mut Chooser<'_>, &mut List)),
}

fn reader(format: Format) -> Reader {
    match format {
        Format::Plain => Reader::Each(plain::line),
        Format::Scores => Reader::Lines(|text, chooser, _| scores::line(text, chooser)),
        Format::SpamhausJson => Reader::Each(|text, _| spamhaus::line(text)),
        Format::PeerGuardian => Reader::Each(|text, _| peerguardian::line(text)),
        Format::Emule => Reader::Each(|text, _| emule::line(text)),
        Format::RangeCsv => Reader::Lines(|text, chooser, csv| range_csv::line(text, csv, chooser)),
        Format::NumericCsv => {
            Reader::Lines(|text, chooser, csv| numeric_csv::line(text, csv, chooser))
        }
        Format::Rir => Reader::Lines(|text, chooser, _| rir::line(text, chooser)),
        Format::IpsetSave => Reader::Whole(ipset::read),
        Format::Nft => Reader::Whole(nft::read),
        Format::Mikrotik => Reader::Whole(mikrotik::read),
        Format::Cisco => Reader::Whole(cisco::read),
        Format::Juniper => Reader::Whole(juniper::read),
        Format::Rpsl => Reader::Whole(rpsl::read),
        Format::Pfx2as => Reader::Lines(|text, chooser, _| pfx2as::line(text, chooser)),
        Format::Csv => Reader::Whole(by_column::read),
        Format::Json => {
            Reader::Whole(|text, chooser, list| list.how = json::read(text, chooser, list))
        }
    }
}

/// Reads every line of `text`. Ignores the parts of the selection that do not apply to
/// the format. A line of more than [`MAX_LINE`] bytes is a bad line.
#[must_use]
pub fn read(text: &str, format: Format, selection: &Selection) -> List {
    let mut csv = Csv::new();
    let mut chooser = Chooser::new(selection);
    let mut list = List::new(Kind::Lines(format));
    match reader(format) {
        Reader::Each(read) => each_line(text, 1, &mut list, |line, number, list| {
            list.add(read(line, &chooser), number);
        }),
        Reader::Lines(read) => each_line(text, 1, &mut list, |line, number, list| {
            list.add(read(line, &mut chooser, &mut csv), number);
        }),
        Reader::Whole(read) => read(text, &mut chooser, &mut list),
    }
    list.conclude(&chooser);
    if format == Format::Scores && selection.min_score.is_none() && selection.keys.is_empty() {
        list.how = Some(scores::IGNORED.to_owned());
    }
    list.several_countries = csv.several_countries();
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_lines_are_all_counted_and_the_first_are_kept() {
        let text = "nonsense here\n".repeat(1000) + "10.0.0.0/8\n";
        let list = read(&text, Format::Plain, &Selection::default());
        assert_eq!(list.ipv4.len(), 1);
        assert_eq!(list.ipv4[0].1, 1001);
        assert_eq!(list.bad.count(), 1000);
        assert_eq!(list.bad.first().len(), BadLines::KEPT);
        assert_eq!(list.bad.first()[19].0, 20);
    }

    #[test]
    fn a_line_longer_than_the_limit_is_bad() {
        let padded = |length: usize| format!("10.0.0.0/8{}", " ".repeat(length - 10));
        let whole = [Format::Csv, Format::Json, Format::Nft];
        for format in Format::ALL
            .into_iter()
            .filter(|format| !whole.contains(format))
        {
            let text = format!("\n{}\n", padded(MAX_LINE + 1));
            let list = read(&text, format, &Selection::default());
            let (line, error) = &list.bad.first()[0];
            assert_eq!((*line, list.bad.count()), (2, 1), "{format}");
            assert!(error.to_string().contains("8193 bytes"), "{error}");
        }
        let list = read(&padded(MAX_LINE), Format::Plain, &Selection::default());
        assert_eq!((list.ipv4.len(), list.bad.count()), (1, 0));
    }

    #[test]
    fn errors_quote_the_beginning_of_a_line() {
        let limit = crate::quoted::MAX_QUOTED;
        for format in Format::ALL {
            for part in [
                "9",
                "x",
                "1.",
                "é,",
                "\u{1b},",
                "a|",
                "1.2.3.4 ",
                "{\"cidr\":\"",
                "::-",
            ] {
                let text = part.repeat(MAX_LINE / part.len());
                let list = read(&text, format, &Selection::default());
                for (_, error) in list.bad.first() {
                    let length = error.to_string().chars().count();
                    assert!(length < limit + 100, "{format}: {error}");
                    assert!(error.help().chars().count() < 2 * limit + 200, "{format}");
                }
            }
        }
    }

    #[test]
    fn every_format_reads_the_same_networks() {
        let samples = [
            (Format::Plain, "10.0.0.0/24\n"),
            (Format::Scores, "10.0.0.0/24\t3\n"),
            (
                Format::SpamhausJson,
                "{\"cidr\":\"10.0.0.0/24\",\"sblid\":\"SBL1\"}\n",
            ),
            (Format::PeerGuardian, "some: name:10.0.0.0-10.0.0.255\n"),
            (
                Format::Emule,
                "010.000.000.000 - 010.000.000.255 , 000 , x\n",
            ),
            (Format::RangeCsv, "\"10.0.0.0\",\"10.0.0.255\",CN\n"),
            (Format::NumericCsv, "167772160,167772415,CN\n"),
            (
                Format::Rir,
                "apnic|CN|ipv4|10.0.0.0|256|20110310|allocated\n",
            ),
            (
                Format::IpsetSave,
                "create x hash:net family inet\nadd x 10.0.0.0/24\n",
            ),
            (Format::Nft, "define x = {\n10.0.0.0/24,\n}\n"),
            (
                Format::Mikrotik,
                "/ip firewall address-list\nadd list=x address=10.0.0.0/24\n",
            ),
            (
                Format::Cisco,
                "! x\nip prefix-list x seq 5 permit 10.0.0.0/24 le 32\n",
            ),
            (Format::Juniper, "prefix-list x {\n10.0.0.0/24;\n}\n"),
            (Format::Rpsl, "route: 10.0.0.0/24\norigin: AS64500\n"),
            (Format::Pfx2as, "10.0.0.0\t24\t64500\n"),
            (Format::Csv, "id,dst\n1,10.0.0.0/24\n"),
            (Format::Json, "[\"10.0.0.0/24\"]\n"),
        ];
        let plain = read(samples[0].1, Format::Plain, &Selection::default());
        let formats: Vec<Format> = samples.iter().map(|(format, _)| *format).collect();
        assert_eq!(formats, Format::ALL);
        for (format, text) in samples {
            let mut selection = Selection::default();
            if format == Format::Csv {
                selection.columns = Some(ColumnSelection {
                    first: Column::Name("dst".to_owned()),
                    last: None,
                    conditions: std::collections::BTreeMap::new(),
                });
            } else {
                assert_eq!(recognise(text), Ok(format));
            }
            let list = read(text, format, &selection);
            let found: Vec<_> = list.ipv4.iter().map(|(interval, _)| *interval).collect();
            assert_eq!(found, [plain.ipv4[0].0], "{format}");
            assert_eq!(list.bad.count(), 0, "{format}");
        }
    }
}
