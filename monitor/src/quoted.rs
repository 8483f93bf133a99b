//! Text of others in messages: cut, so that a message stays small whatever a
//! server, a list or a file holds.

use std::borrow::Cow;

/// The most characters of a quoted text.
pub const MAX_QUOTED: usize = 120;

/// The most characters of a message that quotes several texts.
pub const MAX_MESSAGE: usize = 2000;

/// The first [`MAX_QUOTED`] characters of `text`; `…` stands for the rest.
///
/// Every error that quotes text of a list, a server or a file takes it from
/// here when the error is made.
#[must_use]
pub fn quoted(text: &str) -> String {
    cut(text, MAX_QUOTED).into_owned()
}

/// `text` with each part between two backquotes cut as by [`quoted`], and all
/// of it to [`MAX_MESSAGE`] characters.
///
/// For a message that is made in one piece, such as one of another parser.
#[must_use]
pub fn message(text: String) -> String {
    if text.len() <= MAX_QUOTED {
        return text;
    }
    let parts = text.split('`').enumerate().map(|(index, part)| {
        // Parts with an odd index stand between two backquotes.
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

/// `text` cut to [`MAX_MESSAGE`] characters.
///
/// For a suggestion: what it says between two backquotes is to be typed, so
/// only the whole has a limit.
#[must_use]
pub fn help(text: String) -> String {
    match cut(&text, MAX_MESSAGE) {
        Cow::Borrowed(_) => text,
        Cow::Owned(cut) => cut,
    }
}

/// The first `limit` characters of `text`; `…` stands for the rest.
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
    fn a_short_text_stays_and_a_long_one_ends_with_a_mark() {
        assert_eq!(quoted("192.0.2.1"), "192.0.2.1");
        let longest = "é".repeat(MAX_QUOTED);
        assert_eq!(quoted(&longest), longest);
        assert_eq!(quoted(&format!("{longest}x")), format!("{longest}…"));
    }

    #[test]
    fn a_message_keeps_its_own_words() {
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
