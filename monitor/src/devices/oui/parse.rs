//! Parses files of MAC prefixes and vendors.

use csv_core::{ReadRecordResult, Reader};

use super::MAX_NAME;
use crate::devices::lines::{Skipped, lines, shown};

/// Shortest prefix that is read, in bits.
pub(super) const MIN_BITS: u8 = 24;

/// Longest prefix, in bits.
pub(super) const MAX_BITS: u8 = 48;

/// Number of lines among which the format is recognised. `oui.txt` begins with four
/// lines of header.
const HEADER_LINES: usize = 64;

/// Longest line that is read, in bytes.
const MAX_LINE: usize = 4096;

/// Entries of the registry that name no vendor. The registry divides the block into smaller
/// blocks, which have entries of their own, or the vendor asked the registry to hide its name.
const NO_VENDOR: [&str; 2] = ["IEEE Registration Authority", "Private"];

/// A prefix and its vendor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The prefix as the high bits of a MAC of 48 bits.
    pub(super) value: u64,
    /// Length of the prefix, in bits.
    pub(super) bits: u8,
    /// Name of the vendor. Empty if the registry names none.
    pub(super) name: String,
}

/// Why a line is skipped.
#[derive(Debug, thiserror::Error)]
enum InvalidLine {
    #[error("it has more than {MAX_LINE} bytes; remove it")]
    TooLong,
    #[error(
        "`{0}` is not a MAC prefix; write at least six hexadecimal digits, such as 64CC2E or 64:cc:2e"
    )]
    Prefix(String),
    #[error("`{0}` is not a length of a MAC prefix; write {MIN_BITS} to {MAX_BITS}")]
    Length(String),
    #[error(
        "`{0}` is not the first and the last address of a block; copy the line again from the registry's file"
    )]
    Block(String),
    #[error("there is no vendor behind the prefix; write its name")]
    Name,
}

/// Returns the high `bits` bits of a MAC of 48 bits. The others are zero.
pub(super) fn masked(mac: u64, bits: u8) -> u64 {
    let low = u32::from(MAX_BITS.saturating_sub(bits));
    mac >> low << low
}

/// Calls `add` with each record of a file, in any of the formats. Counts the lines that
/// are not valid.
pub(super) fn each_record(bytes: &[u8], skipped: &mut Skipped, mut add: impl FnMut(Record)) {
    let mut parser = Parser::of(bytes);
    for (number, line) in lines(bytes) {
        let parsed = if line.len() > MAX_LINE {
            Err(InvalidLine::TooLong)
        } else {
            parser.line(line)
        };
        match parsed {
            Ok(None) => {}
            Ok(Some(record)) => add(record),
            Err(error) => skipped.add(number, || error.to_string()),
        }
    }
}

enum Parser {
    /// `oui.csv`, `mam.csv`, `oui36.csv` of the IEEE.
    Csv(Box<Reader>),
    /// `oui.txt` of the IEEE. Holds the prefix of the last line with `(hex)`.
    Text(Option<u64>),
    /// Lines of a prefix and a name.
    Plain,
}

impl Parser {
    /// Recognises the format.
    fn of(bytes: &[u8]) -> Self {
        let first = || lines(bytes).map(|(_, line)| line);
        if first()
            .take(HEADER_LINES)
            .any(|line| find(line, b"(hex)").is_some())
        {
            return Self::Text(None);
        }
        let is_header = |line: &[u8]| {
            let line = line.to_ascii_lowercase();
            line.starts_with(b"registry,assignment,") || line.starts_with(b"\"registry\",")
        };
        if first().next().is_some_and(is_header) {
            return Self::Csv(Box::new(Reader::new()));
        }
        Self::Plain
    }

    fn line(&mut self, line: &[u8]) -> Result<Option<Record>, InvalidLine> {
        match self {
            Self::Csv(reader) => csv_line(reader, line),
            Self::Text(oui) => text_line(oui, line),
            Self::Plain => plain_line(line),
        }
    }
}

/// Parses `MA-L,64CC2E,"Xiaomi Communications Co Ltd","…"`.
fn csv_line(reader: &mut Reader, line: &[u8]) -> Result<Option<Record>, InvalidLine> {
    let mut fields = vec![0; line.len()];
    let mut ends = [0; 16];
    reader.reset();
    let (result, read, written, columns) = reader.read_record(line, &mut fields, &mut ends);
    let mut columns = columns;
    if matches!(result, ReadRecordResult::InputEmpty) {
        let rest = line.get(read..).unwrap_or_default();
        let output = fields.get_mut(written..).unwrap_or_default();
        let room = ends.get_mut(columns..).unwrap_or_default();
        columns += reader.read_record(rest, output, room).3;
    }
    let field = |index: usize| {
        let start = index
            .checked_sub(1)
            .map_or(Some(&0), |before| ends.get(before));
        let end = ends.get(index).filter(|_| index < columns);
        fields.get(*start?..*end?)
    };
    let Some(prefix) = field(1) else {
        return if line.iter().all(u8::is_ascii_whitespace) {
            Ok(None)
        } else {
            Err(InvalidLine::Prefix(shown(line)))
        };
    };
    if prefix.eq_ignore_ascii_case(b"assignment") {
        return Ok(None);
    }
    let (value, bits) = prefix_of(prefix)?;
    record(value, bits, field(2).unwrap_or_default()).map(Some)
}

/// Parses `64CC2E     (base 16)<TAB><TAB>Xiaomi Communications Co Ltd`. In the files of
/// longer prefixes, the line before has the first three bytes, and this line has a block:
/// `C00000-CFFFFF     (base 16)<TAB><TAB>Private`.
fn text_line(oui: &mut Option<u64>, line: &[u8]) -> Result<Option<Record>, InvalidLine> {
    const BASE_16: &[u8] = b"(base 16)";
    if let Some(at) = find(line, b"(hex)") {
        let start = line.get(..at).unwrap_or_default().trim_ascii();
        *oui = prefix_of(start).ok().map(|(value, _)| value);
        return Ok(None);
    }
    // All other lines are the header and postal addresses.
    let Some(at) = find(line, BASE_16) else {
        return Ok(None);
    };
    let block = line.get(..at).unwrap_or_default().trim_ascii();
    let name = line.get(at + BASE_16.len()..).unwrap_or_default();
    let (value, bits) = match block.split(|byte| *byte == b'-').collect::<Vec<_>>()[..] {
        [first, last] => {
            block_of(*oui, first, last).ok_or_else(|| InvalidLine::Block(shown(block)))?
        }
        _ => prefix_of(block)?,
    };
    record(value, bits, name).map(Some)
}

/// Returns the prefix that covers a block of the addresses below `oui`.
fn block_of(oui: Option<u64>, first: &[u8], last: &[u8]) -> Option<(u64, u8)> {
    let low = |digits: &[u8]| hexadecimal(digits).filter(|_| digits.len() == 6);
    let (first, last) = (low(first)?, low(last)?);
    let size = last.checked_sub(first)?.checked_add(1)?;
    let is_block = size.is_power_of_two() && first.is_multiple_of(size);
    let bits = u32::from(MAX_BITS).checked_sub(size.trailing_zeros())?;
    let bits = u8::try_from(bits).ok().filter(|_| is_block)?;
    Some((oui? | first, bits))
}

/// Parses a prefix and a name: `64:CC:2E<TAB>XiaomiCommun<TAB>Xiaomi Communications Co Ltd`
/// (`manuf`, where the long name is last), `8C:1F:64:AF:A0:00/36<TAB>…` or
/// `64CC2E Xiaomi Communications` (`nmap-mac-prefixes`).
fn plain_line(line: &[u8]) -> Result<Option<Record>, InvalidLine> {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") {
        return Ok(None);
    }
    let end = line.iter().position(u8::is_ascii_whitespace);
    let (prefix, rest) = line.split_at(end.unwrap_or(line.len()));
    let (value, bits) = prefix_of(prefix)?;
    let columns = rest.split(|byte| *byte == b'\t').map(<[u8]>::trim_ascii);
    // Old files have `# ` before the long name.
    let mut names = columns.map(|name| name.strip_prefix(b"#").unwrap_or(name));
    let name = names.rfind(|name| !name.is_empty());
    record(value, bits, name.unwrap_or_default()).map(Some)
}

/// Parses a prefix: six to twelve digits with or without separators, and a length in bits
/// where that is not four for each digit.
fn prefix_of(text: &[u8]) -> Result<(u64, u8), InvalidLine> {
    let invalid = || InvalidLine::Prefix(shown(text));
    let mut parts = text.splitn(2, |byte| *byte == b'/');
    let digits = parts.next().unwrap_or_default();
    let mut plain = digits.to_vec();
    plain.retain(|byte| !matches!(byte, b':' | b'-' | b'.'));
    if !(6..=12).contains(&plain.len()) {
        return Err(invalid());
    }
    let all = u8::try_from(plain.len() * 4).map_err(|_| invalid())?;
    let number = hexadecimal(&plain).ok_or_else(invalid)?;
    let value = number << (MAX_BITS - all);
    let bits = match parts.next() {
        None => all,
        Some(length) => str::from_utf8(length)
            .ok()
            .and_then(|length| length.parse().ok())
            .filter(|bits| (MIN_BITS..=MAX_BITS).contains(bits))
            .ok_or_else(|| InvalidLine::Length(shown(length)))?,
    };
    Ok((masked(value, bits), bits))
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    let is_hexadecimal = digits.iter().all(u8::is_ascii_hexdigit);
    let text = str::from_utf8(digits).ok().filter(|_| is_hexadecimal)?;
    u64::from_str_radix(text, 16).ok()
}

/// Returns a record with the name as one line of bounded length.
fn record(value: u64, bits: u8, name: &[u8]) -> Result<Record, InvalidLine> {
    let text = String::from_utf8_lossy(name);
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut name = words.join(" ");
    if name.is_empty() {
        return Err(InvalidLine::Name);
    }
    if let Some((end, _)) = name.char_indices().nth(MAX_NAME) {
        name.truncate(end);
        name.push('…');
    }
    if NO_VENDOR.iter().any(|none| name.eq_ignore_ascii_case(none)) {
        name.clear();
    }
    Ok(Record { value, bits, name })
}

/// Returns the offset of the first `part` in `line`.
fn find(line: &[u8], part: &[u8]) -> Option<usize> {
    line.windows(part.len()).position(|window| window == part)
}
