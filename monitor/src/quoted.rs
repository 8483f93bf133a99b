//! Cuts untrusted text in messages to a limit. So a message stays small, whatever a
//! server, a list or a file contains.

use std::borrow::Cow;

/// Maximum length of a quoted text, in characters.
pub const MAX_QUOTED: usize = 120;

/// Maximum length of a message that quotes several texts, in characters.
pub const MAX_MESSAGE: usize = 2000;

/// Returns the first [`MAX_QUOTED`] characters of `text`, and `…` in place of the rest.
///
/// Call this when you create an error that quotes text from a list, a server or a file.
#[must_use]
pub fn quoted(text: &str) -> String {
    cut(text, MAX_QUOTED).into_owned()
}

/// Cuts each part of `text` between two backquotes as [`quoted`] does, and then the
/// whole text to [`MAX_MESSAGE`] characters.
///
/// For a message whose parts are not available, such as the error of another parser.
#[must_use]
pub fn message(text: String) -> String {
    if text.len() <= MAX_QUOTED {
        return text;
    }
    let parts = text.split('`').enumerate().map(|(index, part)| {
        // Parts with an odd index are between two backquotes.
        let limit = if index % 2 == 1 {
            MAX_QUOTED
        } else {
            MAX_MESSAGE
        };
        cut(part, limit)
    });
    let parts: Vec<Cow<'_, str>> = parts.take(MAX_MESSAGE + 2).collect();
    cut(&parts.join("`"), MAX_MESSAGE).into_owned()
}

/// Cuts `text` to [`MAX_MESSAGE`] characters.
///
/// For a suggestion. The operator may type the text between two backquotes, so these
/// parts are not cut by themselves.
#[must_use]
pub fn help(text: String) -> String {
    match cut(&text, MAX_MESSAGE) {
        Cow::Borrowed(_) => text,
        Cow::Owned(cut) => cut,
    }
}

/// Returns the first `limit` characters of `text`, and `…` in place of the rest.
fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    match text.char_indices().nth(limit) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_unchanged_and_a_long_one_ends_with_an_ellipsis() {
        assert_eq!(quoted("192.0.2.1"), "192.0.2.1");
        let longest = "é".repeat(MAX_QUOTED);
        assert_eq!(quoted(&longest), longest);
        assert_eq!(quoted(&format!("{longest}x")), format!("{longest}…"));
    }

    #[test]
    fn a_message_keeps_the_text_between_its_quotes() {
        let long = "9".repeat(1 << 20);
        let cut = message(format!("`{long}` is not an address, write `{long}`"));
        let kept = "9".repeat(MAX_QUOTED);
        assert_eq!(cut, format!("`{kept}…` is not an address, write `{kept}…`"));
        for endless in [&long, &"`".repeat(1 << 20), &"`x".repeat(1 << 20)] {
            let cut = message(endless.clone());
            assert!(cut.chars().count() <= MAX_MESSAGE + 1, "{}", cut.len());
            assert!(cut.ends_with('…'));
        }
    }
}
