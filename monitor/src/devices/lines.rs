//! Lines of files about devices, host names within them, and the lines that are skipped.

use std::fmt::Write as _;

use crate::quoted::quoted;

/// Maximum length of a host name, in bytes: the length of a DHCP option (RFC 2132,
/// section 2) and of a domain name (RFC 1035, section 2.3.4).
pub const MAX_HOST_NAME: usize = 255;

/// Maximum number of skipped lines of which the reason is kept.
pub const MAX_REASONS: usize = 8;

/// The lines of a file that were skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Number of skipped lines (in a JSON file: of skipped elements).
    pub count: u64,
    /// The first [`MAX_REASONS`] of them.
    pub first: Vec<SkippedLine>,
}

/// A line that was skipped, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct SkippedLine {
    /// Number of the line, from 1. In a JSON file: number of the element, from 1.
    pub line: u64,
    /// What is wrong, and the fix.
    pub reason: String,
}

impl Skipped {
    /// Counts a line. `reason` is evaluated only for the first lines.
    pub(super) fn add(&mut self, line: u64, reason: impl FnOnce() -> String) {
        self.count = self.count.saturating_add(1);
        if self.first.len() < MAX_REASONS {
            let reason = reason();
            self.first.push(SkippedLine { line, reason });
        }
    }
}

/// Returns each line of `bytes` with its number, from 1. The line has no line break, and
/// the first line has no byte order mark.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let lines = bytes.split(|byte| *byte == b'\n');
    (1..).zip(lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line)))
}

/// Returns `bytes` up to the last line break. A program that is still writing the file has
/// not finished the rest: half a line can look like a whole one.
pub(super) fn complete(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    end.map_or(&[], |end| bytes.get(..=end).unwrap_or_default())
}

/// Returns the words of a line, which spaces and tabs separate.
pub(super) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

/// Returns `bytes` as text for a message, cut to the length of a quoted text.
pub(super) fn shown(bytes: &[u8]) -> String {
    let start = bytes.get(..1024).unwrap_or(bytes);
    quoted(&String::from_utf8_lossy(start))
}

/// Returns a host name, which a device chose, as printable ASCII. Each other byte and the
/// backslash are written as `\xNN`. One final dot is removed. The text has at most
/// [`MAX_HOST_NAME`] bytes; `...` ends a text that was cut. Returns `None` for an empty
/// name.
#[must_use]
pub fn host_name(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.strip_suffix(b".").unwrap_or(bytes);
    let mut text = String::new();
    // Length at which a cut leaves room for the mark.
    let mut cut = 0;
    for byte in bytes {
        match byte {
            b'\\' | 0..=0x1f | 0x7f..=0xff => {
                let _ = write!(text, "\\x{byte:02x}");
            }
            b' '..=b'~' => text.push(char::from(*byte)),
        }
        if text.len() > MAX_HOST_NAME {
            text.truncate(cut);
            text.push_str("...");
            break;
        }
        if text.len() <= MAX_HOST_NAME - 3 {
            cut = text.len();
        }
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hostile_host_name_becomes_printable_ascii() {
        for (bytes, expected) in [
            (&b"Redmi-Note-8T"[..], Some("Redmi-Note-8T")),
            (b"phone.lan.", Some("phone.lan")),
            (b"", None),
            (b".", None),
            (b"\x1b[2J\x00\n", Some("\\x1b[2J\\x00\\x0a")),
            (
                b"<script>alert(1)</script>",
                Some("<script>alert(1)</script>"),
            ),
            (b"a\\x41", Some("a\\x5cx41")),
            ("a\u{202e}b".as_bytes(), Some("a\\xe2\\x80\\xaeb")),
            (b"\xff\xfe", Some("\\xff\\xfe")),
        ] {
            assert_eq!(host_name(bytes).as_deref(), expected);
        }
    }

    #[test]
    fn a_long_host_name_is_cut_between_bytes() {
        let longest = "a".repeat(MAX_HOST_NAME);
        assert_eq!(host_name(longest.as_bytes()).unwrap(), longest);
        let cut = host_name(&[b'a'; 256]).unwrap();
        assert_eq!(cut, format!("{}...", "a".repeat(252)));
        let cut = host_name(&[0xff; 255]).unwrap();
        assert_eq!(cut, format!("{}...", "\\xff".repeat(63)));
    }

    #[test]
    fn lines_are_numbered_and_have_no_line_break() {
        let found: Vec<_> = lines(b"\xef\xbb\xbfa\r\n\nb").collect();
        assert_eq!(found, [(1, &b"a"[..]), (2, b""), (3, b"b")]);
    }

    #[test]
    fn only_the_first_reasons_are_kept() {
        let mut skipped = Skipped::default();
        for line in 1..=100 {
            skipped.add(line, || format!("reason {line}"));
        }
        assert_eq!(skipped.count, 100);
        assert_eq!(skipped.first.len(), MAX_REASONS);
        assert_eq!(skipped.first[0].to_string(), "line 1: reason 1");
    }

    proptest! {
        #[test]
        fn any_host_name_is_printable_and_bounded(bytes: Vec<u8>) {
            let name = host_name(&bytes).unwrap_or_default();
            prop_assert!(name.len() <= MAX_HOST_NAME);
            prop_assert!(name.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        }
    }
}
