//! Splits the text of a form with braces into words and marks, for nftables and Junos.

/// A part of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A word, such as `elements` or `192.0.2.0/24`.
    Word(&'a str),
    /// A text in quotation marks, without them.
    Text(&'a str),
    /// One of `{ } ; , =`.
    Mark(char),
}

const MARKS: [char; 5] = ['{', '}', ';', ',', '='];

/// Splits one line. `#` begins a comment. A text without its second quotation mark ends
/// with the line.
pub(super) fn tokens(line: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = line;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next().filter(|first| *first != '#')?;
        if first == '"' {
            let (text, after) = rest[1..].split_once('"').unwrap_or((&rest[1..], ""));
            rest = after;
            return Some(Token::Text(text));
        }
        if MARKS.contains(&first) {
            rest = &rest[1..];
            return Some(Token::Mark(first));
        }
        let ends = |c: char| c.is_whitespace() || c == '"' || c == '#' || MARKS.contains(&c);
        let (word, after) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
        rest = after;
        Some(Token::Word(word))
    })
}

/// Returns the number of opening braces in `line` minus the number of closing braces.
pub(super) fn depth(line: &str) -> i32 {
    let each = tokens(line).map(|token| match token {
        Token::Mark('{') => 1,
        Token::Mark('}') => -1,
        Token::Mark(_) | Token::Word(_) | Token::Text(_) => 0,
    });
    each.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_texts_and_comments_end_a_word() {
        use Token::{Mark, Text, Word};
        let line = r#"elements={1.2.3.4 comment "a, # }", ::1}; x # y {"#;
        let expected = [
            Word("elements"),
            Mark('='),
            Mark('{'),
            Word("1.2.3.4"),
            Word("comment"),
            Text("a, # }"),
            Mark(','),
            Word("::1"),
            Mark('}'),
            Mark(';'),
            Word("x"),
        ];
        assert_eq!(tokens(line).collect::<Vec<_>>(), expected);
        assert_eq!(depth(line), 0);
        assert_eq!(depth("a { b { \"x"), 2);
        assert_eq!(tokens("é\" é").count(), 2);
    }
}
