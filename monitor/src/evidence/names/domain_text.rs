//! Text of names that come from the network.
//!
//! The text is printable ASCII in lower case, without spaces and without a final dot, and
//! has at most [`MAX_TEXT`] bytes. Every other byte is written as `\xNN`. So are a
//! backslash, a dot within a label, and the characters of markup. Different names have
//! different texts, except names that are cut.

/// Maximum length of the text of a name, in bytes.
pub const MAX_TEXT: usize = 255;

/// Beginning of the text of a cut name. No other name has an empty label.
const CUT: &str = "...";

/// Returns the text of a name made of `labels`, the first label of the name first. The
/// text of the root is `.`.
///
/// If the text is too long, it begins with `...` and holds the last labels that fit,
/// because the last labels say who is responsible for the name.
pub fn from_labels<'a>(labels: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut text = String::new();
    // Each label follows a dot, so the first byte is removed at the end.
    for label in labels {
        if !label.is_empty() {
            text.push('.');
            push_label(&mut text, label);
        }
    }
    if text.is_empty() {
        return ".".to_owned();
    }
    text.remove(0);
    cut(text)
}

/// Returns the text of a name whose labels are separated by dots, as in a TLS message.
#[must_use]
pub fn from_dotted(name: &[u8]) -> String {
    let name = name.strip_suffix(b".").unwrap_or(name);
    from_labels(name.split(|byte| *byte == b'.'))
}

fn push_label(text: &mut String, label: &[u8]) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    for byte in label {
        if is_plain(*byte) {
            text.push(char::from(byte.to_ascii_lowercase()));
        } else {
            text.push_str("\\x");
            text.extend([byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
        }
    }
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(
            byte,
            b'\\' | b'.' | b'<' | b'>' | b'&' | b'"' | b'\'' | b'`'
        )
}

fn cut(text: String) -> String {
    if text.len() <= MAX_TEXT {
        return text;
    }
    let room = MAX_TEXT - CUT.len();
    let end = &text[text.len() - room..];
    let whole = end.split_once('.').map_or("", |(_, labels)| labels);
    format!("{CUT}{whole}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_host_name_is_in_lower_case_without_a_final_dot() {
        let labels: [&[u8]; 4] = [b"_443", b"WWW", b"Example", b""];
        assert_eq!(from_labels(labels), "_443.www.example");
        assert_eq!(from_dotted(b"WWW.Example."), "www.example");
        assert_eq!(from_labels([]), ".");
        assert_eq!(from_dotted(b""), ".");
    }

    #[test]
    fn bytes_on_which_a_terminal_or_a_browser_acts_are_escaped() {
        let cases: [(&[u8], &str); 5] = [
            (b"a\x1b[2Jb\r\n", "a\\x1b[2jb\\x0d\\x0a"),
            ("\u{202e}moc".as_bytes(), "\\xe2\\x80\\xaemoc"),
            (
                b"<b a='1'>&\"`",
                "\\x3cb\\x20a=\\x271\\x27\\x3e\\x26\\x22\\x60",
            ),
            (b"bank.com", "bank\\x2ecom"),
            (b"\\x2e\x7f\0", "\\x5cx2e\\x7f\\x00"),
        ];
        for (label, text) in cases {
            assert_eq!(from_labels([label]), text);
        }
    }

    #[test]
    fn a_long_text_keeps_its_last_labels() {
        let labels: [&[u8]; 5] = [&[0xff; 63], &[b'a'; 63], &[0; 55], b"example", b"com"];
        let text = from_labels(labels);
        assert_eq!(text, format!("...{}.example.com", "\\x00".repeat(55)));
        let text = from_labels([&[0xff_u8; 63] as &[u8], &[0xfe; 63]]);
        assert_eq!(text, "...");
        assert_eq!(from_labels([&[0xff_u8; 63] as &[u8]]).len(), 252);
    }

    proptest! {
        #[test]
        fn every_name_has_a_printable_text_within_the_bound(
            labels in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 0..8),
        ) {
            let text = from_labels(labels.iter().map(Vec::as_slice));
            prop_assert!(!text.is_empty() && text.len() <= MAX_TEXT);
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(!text.bytes().any(|byte| byte.is_ascii_uppercase()));
            prop_assert!(!text.contains(['<', '>', '&', '"', '\'', '`']));
            let other: String = from_dotted(&labels.concat());
            prop_assert!(other.len() <= MAX_TEXT);
        }

        #[test]
        fn different_short_names_have_different_texts(
            one in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..8), 1..4),
            other in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..8), 1..4),
        ) {
            let lower = |name: &[Vec<u8>]| -> Vec<Vec<u8>> {
                name.iter().map(|label| label.to_ascii_lowercase()).collect()
            };
            let text = |name: &[Vec<u8>]| from_labels(name.iter().map(Vec::as_slice));
            prop_assert_eq!(text(&one) == text(&other), lower(&one) == lower(&other));
        }
    }
}
