//! Reads the prefix lists of Junos, as `prefix-list NAME { … }` or as
//! `set policy-options prefix-list NAME PREFIX`.

use super::{
    InvalidLine, Line, List,
    lines::each_line,
    selection::Chooser,
    tokens::{Token, tokens},
};

const PATTERN: &str =
    "prefix-list NAME { PREFIX; }` or `set policy-options prefix-list NAME PREFIX";

/// What an open brace began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block<'a> {
    /// `policy-options`, whose content is prefix lists.
    Options,
    /// The prefixes of the list with this name.
    Prefixes(&'a str),
    /// A list that Junos does not use.
    Inactive,
    /// Anything else.
    Other,
}

pub(super) fn read(text: &str, chooser: &mut Chooser<'_>, list: &mut List) {
    let mut junos = Junos {
        open: Vec::new(),
        tokens: Vec::new(),
        in_comment: false,
        chooser,
    };
    each_line(text, 1, list, |line, number, list| {
        junos.line(line, number, list);
    });
    if let Some((_, number)) = junos.open.last() {
        list.add(Err(InvalidLine::NotClosed), *number);
    }
}

struct Junos<'a, 'c, 's> {
    /// The open braces, each with its line number.
    open: Vec<(Block<'a>, u32)>,
    /// The tokens of the current statement.
    tokens: Vec<Token<'a>>,
    in_comment: bool,
    chooser: &'c mut Chooser<'s>,
}

impl<'a> Junos<'a, '_, '_> {
    fn line(&mut self, line: &'a str, number: u32, list: &mut List) {
        let mut rest = line;
        while !rest.is_empty() {
            if self.in_comment {
                let Some((_, after)) = rest.split_once("*/") else {
                    break;
                };
                (rest, self.in_comment) = (after, false);
                continue;
            }
            let (statements, comment) = split_comment(rest);
            self.statements(statements, number, list);
            self.in_comment = comment.is_some();
            rest = comment.unwrap_or_default();
        }
        self.end_statement(number, list);
    }

    fn statements(&mut self, text: &'a str, number: u32, list: &mut List) {
        for token in tokens(text) {
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
    }

    fn open(&mut self, number: u32, list: &mut List) {
        use Token::{Text, Word};
        let before = self.open.last().map(|(block, _)| *block);
        let block = match (before, self.tokens.as_slice()) {
            (Some(Block::Other), _) => Block::Other,
            (Some(Block::Inactive), _) | (_, [Word("inactive:"), ..]) => Block::Inactive,
            (None, [Word("policy-options")]) => Block::Options,
            (None | Some(Block::Options), [Word("prefix-list"), Word(name) | Text(name)]) => {
                Block::Prefixes(name)
            }
            _ => {
                list.add(Err(InvalidLine::Pattern { pattern: PATTERN }), number);
                Block::Other
            }
        };
        self.tokens.clear();
        self.open.push((block, number));
    }

    fn end_statement(&mut self, number: u32, list: &mut List) {
        use Token::{Text, Word};
        let tokens = std::mem::take(&mut self.tokens);
        let block = self.open.last().map(|(block, _)| *block);
        let line = match (block, tokens.as_slice()) {
            (_, []) | (Some(Block::Other), _) => return,
            (Some(Block::Inactive), _) | (Some(Block::Prefixes(_)), [Word("inactive:"), ..]) => {
                Ok(Line::LeftOut)
            }
            (Some(Block::Prefixes(name)), [Word("delete:"), ..]) => {
                self.chooser.takes_set(name, number);
                self.chooser.removes(Some(name), "delete:")
            }
            (Some(Block::Prefixes(name)), [Word(prefix)]) => self.prefix(name, prefix, number),
            (None, [Word(verb), Word("policy-options"), rest @ ..]) => {
                self.command(verb, rest, number)
            }
            (None, [Word(verb @ ("delete" | "deactivate")), ..]) => {
                self.chooser.removes(None, verb)
            }
            (_, [Word(_) | Text(_) | Token::Mark(_), ..]) => {
                Err(InvalidLine::Pattern { pattern: PATTERN })
            }
        };
        list.add(line, number);
    }

    /// Reads a command such as `set policy-options prefix-list NAME PREFIX`.
    fn command(
        &mut self,
        verb: &str,
        rest: &[Token<'a>],
        number: u32,
    ) -> Result<Line, InvalidLine> {
        use Token::{Text, Word};
        match (verb, rest) {
            ("set", [Word("prefix-list"), Word(name) | Text(name), Word(prefix)]) => {
                self.prefix(name, prefix, number)
            }
            // The command that begins a list without a prefix.
            ("set", [Word("prefix-list"), Word(_) | Text(_)]) => Ok(Line::Nothing),
            ("delete" | "deactivate", [Word("prefix-list"), Word(name) | Text(name), ..]) => {
                self.chooser.removes(Some(name), verb)
            }
            ("delete" | "deactivate", _) => self.chooser.removes(None, verb),
            _ => Err(InvalidLine::Pattern { pattern: PATTERN }),
        }
    }

    fn prefix(&mut self, name: &str, prefix: &str, number: u32) -> Result<Line, InvalidLine> {
        if self.chooser.takes_set(name, number) {
            Ok(Line::Destination(prefix.parse()?))
        } else {
            Ok(Line::LeftOut)
        }
    }
}

/// Splits `text` before a comment `/* … */`. Returns the text after `/*` if there is one.
fn split_comment(text: &str) -> (&str, Option<&str>) {
    let mut is_quoted = false;
    for (at, character) in text.char_indices() {
        is_quoted ^= character == '"';
        if character == '#' && !is_quoted {
            break;
        }
        if !is_quoted && text[at..].starts_with("/*") {
            return (&text[..at], Some(&text[at + 2..]));
        }
    }
    (text, None)
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
            "prefix-list \"a b\" { 10.0.0.0/8; }\nprefix-list \"a b\" { 2001:db8::/32; }\n",
            "set policy-options prefix-list X 10.0.0.0/8\n\
             set policy-options prefix-list X\nset policy-options prefix-list X 2001:db8::/32\n",
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
                "prefix-list X {\n apply-path \"x\";\n}",
                "this line is not `prefix-list",
            ),
            ("prefix-list X {\n10.0.0.1/8;\n}", "bits set"),
            (
                "policy-statement Y {\nterm a { then reject; }\n}",
                "this line is not `prefix-list",
            ),
            ("prefix-list X {\n10.0.0.0/8;", "never closed"),
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

    #[test]
    fn comments_within_a_line_hide_their_text_only() {
        for text in [
            "prefix-list X {\n10.0.0.0/8; /* 45.1.0.0/16; */\n2001:db8::/32;\n}\n",
            "prefix-list X {\n/* 45.1.0.0/16;\n45.2.0.0/16; */ 10.0.0.0/8;\n/* a */ 2001:db8::/32; /* b\n*/ }\n",
        ] {
            let list = parse(text);
            assert_eq!(
                (list.ipv4.len(), list.ipv6.len(), list.bad.count()),
                (1, 1, 0),
                "{text}"
            );
            let found = crate::address::Destination::Ipv4(list.ipv4[0].0);
            assert_eq!(found, "10.0.0.0/8".parse().unwrap());
        }
    }

    #[test]
    fn removals_and_inactive_lists_are_not_taken() {
        let text = "set policy-options prefix-list X 10.0.0.0/8\n";
        for removal in [
            "deactivate policy-options prefix-list X 10.0.0.0/8",
            "delete policy-options prefix-list X 10.1.0.0/16",
            "delete policy-options",
        ] {
            let list = parse(&format!("{text}{removal}\n"));
            assert_eq!(
                (list.bad.count(), list.bad.exclusions()),
                (1, 1),
                "{removal}"
            );
        }
        let list =
            parse("prefix-list X {\n10.0.0.0/8;\n}\ninactive: prefix-list Y {\n45.1.0.0/16;\n}\n");
        assert_eq!(
            (list.ipv4.len(), list.left_out, list.bad.count()),
            (1, 1, 0)
        );
    }

    #[test]
    fn several_lists_are_refused() {
        let list = parse("prefix-list X {\n10.0.0.0/8;\n}\nprefix-list Y {\n45.1.0.0/16;\n}\n");
        assert_eq!((list.bad.first()[0].0, list.bad.exclusions()), (5, 1));
    }
}
