//! Text that a device chose, such as its host name. It is quoted wherever the program prints
//! it among its own words, so that a device cannot write these words.

use std::fmt::{self, Write as _};

use crate::printable::acts;

/// Escapes a text that a device chose, for use within quotes. `"`, `` ` `` and `\` get a
/// backslash in front; a character on which a terminal acts becomes `\u{1b}`.
#[must_use]
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) {
            let _ = write!(escaped, "\\u{{{:x}}}", u32::from(c));
            continue;
        }
        if matches!(c, '"' | '`' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Writes a text that a device chose in double quotes.
pub(super) struct Chosen<'a>(pub(super) &'a str);

impl fmt::Display for Chosen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", escaped(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_text_cannot_leave_its_quotes() {
        for (text, expected) in [
            ("Redmi-Note-8T", r#""Redmi-Note-8T""#),
            (r#"a" and "b"#, r#""a\" and \"b""#),
            ("a`b", r#""a\`b""#),
            (r"a\", r#""a\\""#),
            ("a\nb\u{202e}\t", r#""a\u{a}b\u{202e}\u{9}""#),
        ] {
            assert_eq!(Chosen(text).to_string(), expected);
        }
    }
}
