//! Decodes the bytes of a list as text.

/// Returns the text of a list, without its byte order mark.
///
/// Bytes that are not UTF-8 become U+FFFD. In a comment or a name they change nothing; in
/// an address they make a bad line. So a list with comments in Latin-1 can be read.
///
/// # Errors
///
/// Fails if the content is not UTF-8 and contains a zero byte: it is binary, or text in
/// UTF-16. The error is the offset of the first byte that is not UTF-8.
pub fn list_text(bytes: Vec<u8>) -> Result<String, usize> {
    const MARK: &str = "\u{feff}";
    let mut text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.as_bytes().contains(&0) => {
            return Err(error.utf8_error().valid_up_to());
        }
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    };
    if text.starts_with(MARK) {
        text.drain(..MARK.len());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latin_1_is_read_and_binary_is_refused() {
        let text = list_text(b"# caf\xe9\n203.0.114.0/24\n".to_vec()).unwrap();
        assert_eq!(text, "# caf\u{fffd}\n203.0.114.0/24\n");
        assert_eq!(list_text(b"\xef\xbb\xbfa".to_vec()).unwrap(), "a");
        assert_eq!(list_text(b"ab\xff\xfe\0".to_vec()), Err(2));
    }
}
