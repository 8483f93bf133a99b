//! Decodes the bytes of a list as text.

/// The reason why the content of a list is not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotText {
    /// The content has zero bytes, and is neither UTF-8 nor UTF-16 with a mark.
    #[error("not UTF-8 text (byte {offset})")]
    Binary {
        /// Offset of the first byte that is not UTF-8.
        offset: usize,
    },
    /// The content is text in this encoding, which is not supported.
    #[error("text in {name}, not in UTF-8")]
    Encoding {
        /// Name of the encoding.
        name: &'static str,
    },
}

/// Returns the text of a list, without its byte order mark. UTF-16 with a mark is
/// decoded. A line may end with CR, LF or both; in the result it ends with LF or both.
///
/// Bytes that are not UTF-8 become U+FFFD. In a comment or a name they change nothing; in
/// an address they make a bad line. So a list with comments in Latin-1 can be read.
///
/// # Errors
///
/// Fails if the content is binary, or text in another encoding with zero bytes.
pub fn list_text(bytes: Vec<u8>) -> Result<String, NotText> {
    if let Some(name) = other_encoding(&bytes) {
        return Err(NotText::Encoding { name });
    }
    let text = match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => utf8(bytes)?,
    };
    Ok(with_line_ends(text))
}

/// Returns the encoding of text that is neither UTF-8 nor UTF-16 with a mark.
fn other_encoding(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("UTF-32"),
        [0x2b, 0x2f, 0x76, 0x38 | 0x39 | 0x2b | 0x2f, ..] => Some("UTF-7"),
        // Addresses and line ends are ASCII, so every second byte of UTF-16 is zero.
        [first, 0, second, 0, ..] if *first != 0 && *second != 0 => {
            Some("UTF-16 without a byte order mark")
        }
        [0, first, 0, second, ..] if *first != 0 && *second != 0 => {
            Some("UTF-16 without a byte order mark")
        }
        _ => None,
    }
}

fn utf8(bytes: Vec<u8>) -> Result<String, NotText> {
    const MARK: &str = "\u{feff}";
    let mut text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.as_bytes().contains(&0) => {
            let offset = error.utf8_error().valid_up_to();
            return Err(NotText::Binary { offset });
        }
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    };
    if text.starts_with(MARK) {
        text.drain(..MARK.len());
    }
    Ok(text)
}

/// Decodes UTF-16. A half pair, or a byte at the end, becomes U+FFFD.
fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| unit(*pair));
    let characters =
        char::decode_utf16(units).map(|found| found.unwrap_or(char::REPLACEMENT_CHARACTER));
    let mut text: String = characters.collect();
    if !rest.is_empty() {
        text.push(char::REPLACEMENT_CHARACTER);
    }
    text
}

/// Replaces each CR that is not before LF by LF.
fn with_line_ends(text: String) -> String {
    if memchr::memchr(b'\r', text.as_bytes()).is_none() {
        return text;
    }
    let mut bytes = text.into_bytes();
    for at in 0..bytes.len() {
        if bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n') {
            bytes[at] = b'\n';
        }
    }
    // One ASCII byte took the place of another, so this is always UTF-8.
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latin_1_is_read_and_binary_is_refused() {
        let text = list_text(b"# caf\xe9\n203.0.114.0/24\n".to_vec()).unwrap();
        assert_eq!(text, "# caf\u{fffd}\n203.0.114.0/24\n");
        assert_eq!(list_text(b"\xef\xbb\xbfa".to_vec()).unwrap(), "a");
        let binary = list_text(b"ab\xff\xfe\0".to_vec());
        assert_eq!(binary, Err(NotText::Binary { offset: 2 }));
    }

    #[test]
    fn utf_16_with_a_mark_is_read_and_other_encodings_are_named() {
        let units = |text: &str| -> Vec<u16> { text.encode_utf16().collect() };
        let little = |text: &str| -> Vec<u8> {
            units(text)
                .iter()
                .flat_map(|unit| unit.to_le_bytes())
                .collect()
        };
        let big = |text: &str| -> Vec<u8> {
            units(text)
                .iter()
                .flat_map(|unit| unit.to_be_bytes())
                .collect()
        };
        let text = "# \u{e9} \u{1f600}\r\n192.0.2.1\r\n";
        assert_eq!(list_text(little(&format!("\u{feff}{text}"))).unwrap(), text);
        assert_eq!(list_text(big(&format!("\u{feff}{text}"))).unwrap(), text);
        let mut odd = little("\u{feff}a");
        odd.push(0xd8);
        assert_eq!(list_text(odd).unwrap(), "a\u{fffd}");
        assert_eq!(list_text(b"\xff\xfe\x00\xd8".to_vec()).unwrap(), "\u{fffd}");
        for bytes in [little("192.0.2.1\n"), big("192.0.2.1\n")] {
            let error = list_text(bytes).unwrap_err().to_string();
            assert_eq!(
                error,
                "text in UTF-16 without a byte order mark, not in UTF-8"
            );
        }
        let error = list_text(b"\xff\xfe\0\0a\0\0\0".to_vec()).unwrap_err();
        assert_eq!(error, NotText::Encoding { name: "UTF-32" });
    }

    #[test]
    fn cr_alone_ends_a_line_and_control_characters_stay() {
        let text = list_text(b"192.0.2.1\r192.0.2.2\r\n\r\0\x1b\r".to_vec()).unwrap();
        assert_eq!(text, "192.0.2.1\n192.0.2.2\r\n\n\0\x1b\n");
    }
}
