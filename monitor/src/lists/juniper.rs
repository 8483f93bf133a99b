//! Reads the prefix lists of Junos, as `prefix-list NAME { … }` or as
//! `set policy-options prefix-list NAME PREFIX`.

use super::{
    InvalidLine, Line, List,
    lines::each_line,
    tokens::{Token, tokens},
};

const PATTERN: &str =
    "prefix-list NAME { PREFIX; }` or `set policy-options prefix-list NAME PREFIX";

/// What an open brace began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    /// `policy-options`, whose content is prefix lists.
    Options,
    /// The prefixes of a list.
    Prefixes,
    /// Anything else.
    Other,
}

pub(super) fn read(text: &str, list: &mut List) {
    let mut junos = Junos::default();
    each_line(text, list, |line, number, list| {
        junos.line(line, number, list);
    });
    if let Some((_, number)) = junos.open.last() {
        list.add(Err(InvalidLine::NotClosed), *number);
    }
}

#[derive(Default)]
struct Junos<'a> {
    /// The open braces, each with its line number.
    open: Vec<(Block, u32)>,
    /// The tokens of the current statement.
    tokens: Vec<Token<'a>>,
    in_comment: bool,
}

impl<'a> Junos<'a> {
    fn line(&mut self, line: &'a str, number: u32, list: &mut List) {
        // Junos writes an annotation on lines of its own.
        if self.in_comment || line.trim_start().starts_with("/*") {
            self.in_comment = !line.contains("*/");
            return;
        }
        for token in tokens(line) {
            match token {
                Token::Mark('{') => self.open(number, list),
                Token::Mark('}') => {
                    self.end_statement(number, list);
                    if self.open.pop().is_none() {
                        list.add(Err(InvalidLine::Pattern { pattern: PATTERN }), number);
                    }
                }
                Token::Mark(';') => self.end_statement(number, list),
                Token::Mark(_) | Token::Word(_) | Token::Text(_) => self.tokens.push(token),
            }
        }
        self.end_statement(number, list);
    }

    fn open(&mut self, number: u32, list: &mut List) {
        let before = self.open.last().map(|(block, _)| *block);
        let block = match (before, self.tokens.as_slice()) {
            (Some(Block::Other), _) => Block::Other,
            (None, [Token::Word("policy-options")]) => Block::Options,
            (
                None | Some(Block::Options),
                [Token::Word("prefix-list"), Token::Word(_) | Token::Text(_)],
            ) => Block::Prefixes,
            _ => {
                list.add(Err(InvalidLine::Pattern { pattern: PATTERN }), number);
                Block::Other
            }
        };
        self.tokens.clear();
        self.open.push((block, number));
    }

    fn end_statement(&mut self, number: u32, list: &mut List) {
        use Token::Word;
        let tokens = std::mem::take(&mut self.tokens);
        let block = self.open.last().map(|(block, _)| *block);
        let line = match (block, tokens.as_slice()) {
            (_, []) | (Some(Block::Other), _) => return,
            (Some(Block::Prefixes), [Word("inactive:"), ..]) => Ok(Line::LeftOut),
            (Some(Block::Prefixes), [Word(prefix)])
            | (
                None,
                [
                    Word("set"),
                    Word("policy-options"),
                    Word("prefix-list"),
                    _,
                    Word(prefix),
                ],
            ) => prefix
                .parse()
                .map(Line::Destination)
                .map_err(InvalidLine::from),
            // The command that begins a list without a prefix.
            (
                None,
                [
                    Word("set"),
                    Word("policy-options"),
                    Word("prefix-list"),
                    Word(_) | Token::Text(_),
                ],
            ) => Ok(Line::Nothing),
            _ => Err(InvalidLine::Pattern { pattern: PATTERN }),
        };
        list.add(line, number);
    }
}

#[cfg(test)]
mod tests {
    use crate::lists::{Format, List, Selection, read, recognise};

    fn parse(text: &str) -> List {
        assert_eq!(recognise(text), Ok(Format::Juniper), "{text}");
        read(text, Format::Juniper, &Selection::default())
    }

    #[test]
    fn braces_and_commands_are_read() {
        for text in [
            "## Last commit: today\npolicy-options {\n    prefix-list X {\n        10.0.0.0/8;\n\
             /* why;\n { */\n        inactive: 192.0.2.0/24;\n        2001:db8::/32;\n    }\n}\n",
            "prefix-list X {\n10.0.0.0/8;\n2001:db8::/32;\n}\n",
            "prefix-list \"a b\" { 10.0.0.0/8; }\nprefix-list Y { 2001:db8::/32; }\n",
            "set policy-options prefix-list X 10.0.0.0/8\n\
             set policy-options prefix-list Y\nset policy-options prefix-list Y 2001:db8::/32\n",
        ] {
            let list = parse(text);
            assert_eq!(list.bad.count(), 0, "{text} {:?}", list.bad);
            assert_eq!((list.ipv4.len(), list.ipv6.len()), (1, 1), "{text}");
        }
    }

    #[test]
    fn other_statements_are_refused_with_their_line() {
        for (statement, message) in [
            (
                "prefix-list Y {\n apply-path \"x\";\n}",
                "this line is not `prefix-list",
            ),
            ("prefix-list Y {\n10.0.0.1/8;\n}", "bits set"),
            (
                "policy-statement Y {\nterm a { then reject; }\n}",
                "this line is not `prefix-list",
            ),
            ("prefix-list Y {\n10.0.0.0/8;", "never closed"),
            ("}", "this line is not `prefix-list"),
        ] {
            let list = parse(&format!(
                "prefix-list X {{\n192.0.2.0/24;\n}}\n{statement}\n"
            ));
            assert_eq!(list.bad.count(), 1, "{statement} {:?}", list.bad);
            let (line, error) = &list.bad.first()[0];
            assert!((4..=5).contains(line), "{statement}: {line}");
            assert!(error.to_string().contains(message), "{statement}: {error}");
        }
    }
}
