//! Reads the sets and the `define`s of nftables: elements in braces, over any number of
//! lines (nft(8)). Reads no rules.

use super::{
    InvalidLine, Line, List,
    lines::each_line,
    tokens::{Token, tokens},
};
use crate::{address::Destination, quoted::quoted};

const RULES: &str = "the elements of a set or a `define";

/// What an open brace began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    /// A table, whose content is sets.
    Table,
    /// A set, whose content is its properties and its elements.
    Set,
    /// Elements, separated by commas.
    Elements,
    /// A chain or something else that is no list of addresses.
    Other,
}

pub(super) fn read(text: &str, list: &mut List) {
    let mut nft = Nft::default();
    each_line(text, list, |line, number, list| {
        nft.line(line, number, list);
    });
    let unclosed = nft.open.last().copied();
    nft.end_statement(list);
    if let Some((_, number)) = unclosed {
        list.add(Err(InvalidLine::NotClosed), number);
    }
}

#[derive(Default)]
struct Nft<'a> {
    /// The open braces, each with its line number.
    open: Vec<(Block, u32)>,
    /// The tokens of the current statement or element.
    tokens: Vec<Token<'a>>,
    /// Line number of the first of `tokens`.
    started: u32,
}

impl<'a> Nft<'a> {
    fn line(&mut self, line: &'a str, number: u32, list: &mut List) {
        let stripped = line.trim_end().strip_suffix('\\');
        for token in tokens(stripped.unwrap_or(line)) {
            match token {
                Token::Mark('{') => self.open(number, list),
                Token::Mark('}') => self.close(number, list),
                Token::Mark(',') if self.block() == Some(Block::Elements) => self.element(list),
                Token::Mark(';') => self.end_statement(list),
                // A script of a shell names the program in each line.
                Token::Word("nft") if self.tokens.is_empty() && self.open.is_empty() => {}
                Token::Mark(_) | Token::Word(_) | Token::Text(_) => self.push(token, number),
            }
        }
        // An element may continue in the next line, and so may `elements =`.
        let continues = self.tokens.last() == Some(&Token::Mark('='));
        if stripped.is_none() && !continues && self.block() != Some(Block::Elements) {
            self.end_statement(list);
        }
    }

    fn block(&self) -> Option<Block> {
        self.open.last().map(|(block, _)| *block)
    }

    fn push(&mut self, token: Token<'a>, number: u32) {
        if self.tokens.is_empty() {
            self.started = number;
        }
        self.tokens.push(token);
    }

    /// Begins the block whose name is in `self.tokens`.
    fn open(&mut self, number: u32, list: &mut List) {
        if self.tokens.is_empty() {
            self.started = number;
        }
        let block = match (self.block(), self.tokens.as_slice()) {
            (Some(Block::Other), _) => Block::Other,
            (Some(Block::Elements), _) => self.refuse(list),
            (
                _,
                [.., Token::Word("elements"), Token::Mark('=')]
                | [Token::Word("define"), _, Token::Mark('=')]
                | [Token::Word("add" | "create"), Token::Word("element"), ..],
            ) => Block::Elements,
            (
                _,
                [Token::Word("table"), ..]
                | [Token::Word("add" | "create"), Token::Word("table"), ..],
            ) => Block::Table,
            (
                _,
                [Token::Word("set"), ..] | [Token::Word("add" | "create"), Token::Word("set"), ..],
            ) => Block::Set,
            _ => self.refuse(list),
        };
        self.tokens.clear();
        self.open.push((block, number));
    }

    /// Reports a block that holds no list of addresses.
    fn refuse(&self, list: &mut List) -> Block {
        let error = InvalidLine::Pattern { pattern: RULES };
        list.add(Err(error), self.started);
        Block::Other
    }

    fn close(&mut self, number: u32, list: &mut List) {
        match self.block() {
            Some(Block::Elements) => self.element(list),
            Some(_) => self.end_statement(list),
            None => list.add(Err(InvalidLine::Pattern { pattern: RULES }), number),
        }
        self.tokens.clear();
        self.open.pop();
    }

    fn element(&mut self, list: &mut List) {
        if !self.tokens.is_empty() {
            list.add(element(&self.tokens), self.started);
        }
        self.tokens.clear();
    }

    fn end_statement(&mut self, list: &mut List) {
        /// The properties of a set.
        const PROPERTIES: [&str; 9] = [
            "type",
            "typeof",
            "flags",
            "timeout",
            "gc-interval",
            "size",
            "policy",
            "auto-merge",
            "comment",
        ];
        let words = std::mem::take(&mut self.tokens);
        let line = match (self.block(), words.as_slice()) {
            (_, [])
            | (Some(Block::Other), _)
            | (None | Some(Block::Table), [Token::Word("flush" | "destroy" | "delete"), ..])
            | (
                None,
                [
                    Token::Word("add" | "create"),
                    Token::Word("table" | "set"),
                    ..,
                ],
            )
            | (Some(Block::Table), [Token::Word("comment" | "flags"), ..]) => return,
            (Some(Block::Elements), element_words) => element(element_words),
            (_, [Token::Word("define"), _, Token::Mark('='), value @ ..]) => element(value),
            (Some(Block::Set), [Token::Word(word), ..])
                if PROPERTIES.contains(word) || *word == "counter" =>
            {
                return;
            }
            _ => Err(InvalidLine::Pattern { pattern: RULES }),
        };
        list.add(line, self.started);
    }
}

/// Reads an element: an address, a network or a range, and its options.
fn element(tokens: &[Token<'_>]) -> Result<Line, InvalidLine> {
    const OPTIONS: [&str; 6] = ["timeout", "expires", "comment", "counter", "limit", "quota"];
    let words: Vec<&str> = tokens
        .iter()
        .map(|token| match token {
            Token::Word(word) | Token::Text(word) => *word,
            Token::Mark(_) => "=",
        })
        .collect();
    let (text, options) = match words.as_slice() {
        [first, "-", last, options @ ..] => (format!("{first}-{last}"), options),
        [first, options @ ..] => ((*first).to_owned(), options),
        [] => (String::new(), [].as_slice()),
    };
    if let Some("." | ":") = options.first().copied() {
        let text = quoted(&words.join(" "));
        return Err(InvalidLine::MoreThanAddress { text });
    }
    if text.starts_with('$') || text.starts_with('@') {
        let text = quoted(&text);
        return Err(InvalidLine::Variable { text });
    }
    if let Some(option) = options.first()
        && !OPTIONS.contains(option)
    {
        return Err(InvalidLine::Pattern {
            pattern: "an address, and a comma before the next",
        });
    }
    let destination: Destination = text.parse()?;
    Ok(Line::with_options(destination, !options.is_empty()))
}

#[cfg(test)]
mod tests {
    use crate::lists::{Format, List, Selection, read, recognise};

    fn parse(text: &str) -> List {
        assert_eq!(recognise(text), Ok(Format::Nft), "{text}");
        read(text, Format::Nft, &Selection::default())
    }

    #[test]
    fn a_set_is_read_over_several_lines() {
        let list = parse(
            "#!/usr/sbin/nft -f\nflush ruleset\ntable inet filter {\n\tset bad {\n\
             \t\ttype ipv4_addr\n\t\tflags interval,timeout\n\t\tauto-merge\n\
             \t\telements = { 10.0.0.0/8, 192.0.2.1-192.0.2.9 timeout 1h expires 5m,\n\
             \t\t\t     192.0.2.77 comment \"a, } b\",\n\t\t\t     198.51.100.1 - \n198.51.100.9 }\n\
             \t}\n\n\tset six { type ipv6_addr; elements = { 2001:db8::/32, ::1 } }\n}\n",
        );
        assert_eq!(list.bad.count(), 0, "{:?}", list.bad);
        let lines: Vec<u32> = list.ipv4.iter().map(|(_, line)| *line).collect();
        assert_eq!(lines, [8, 8, 9, 10]);
        assert_eq!((list.ipv6.len(), list.with_options), (2, 2));
    }

    #[test]
    fn defines_and_commands_are_read() {
        for text in [
            "define X = { 10.0.0.0/8, 192.0.2.1 }\n",
            "define X = {\n  10.0.0.0/8,\n  192.0.2.1,\n}\n",
            "define X =\n{ 10.0.0.0/8, 192.0.2.1 }\n",
            "define X = { \\\n 10.0.0.0/8, \\\n 192.0.2.1 \\\n}\n",
            "define X = 10.0.0.0/8\ndefine Y = 192.0.2.1\n",
            "add element inet filter bad { 10.0.0.0/8, 192.0.2.1 }\n",
            "add table inet x\nadd set inet x y { type ipv4_addr; flags interval; }\n\
             add element inet x y { 10.0.0.0/8, 192.0.2.1 }\n",
            "nft add element inet filter bad { 10.0.0.0/8, 192.0.2.1 }\n",
        ] {
            let list = parse(text);
            assert_eq!(
                (list.ipv4.len(), list.bad.count()),
                (2, 0),
                "{text} {:?}",
                list.bad
            );
        }
    }

    #[test]
    fn what_is_not_an_address_is_refused_with_its_line() {
        let head = "table ip x {\n set y {\n  elements = {\n";
        for (element, message) in [
            ("192.0.2.1 . 80", "`192.0.2.1 . 80` is more than an address"),
            ("192.0.2.1 : drop", "is more than an address"),
            ("$OTHER", "`$OTHER` stands for other addresses"),
            ("eth0", "`eth0` is"),
            ("192.0.2.1 192.0.2.2", "a comma before the next"),
            ("192.0.2.1/24", "bits set"),
        ] {
            let list = parse(&format!("{head}{element}\n}}\n}}\n}}\n"));
            let (line, error) = &list.bad.first()[0];
            assert_eq!((*line, list.bad.count()), (4, 1), "{element}");
            assert!(error.to_string().contains(message), "{element}: {error}");
        }
    }

    #[test]
    fn rules_are_one_error_for_each_chain_and_a_missing_brace_is_one() {
        let list = parse(
            "table ip x {\n set y { elements = { 10.0.0.0/8 } }\n chain in {\n\
             ip saddr { 192.0.2.1, 192.0.2.2 } tcp dport 80 drop\n }\n}\n",
        );
        assert_eq!((list.ipv4.len(), list.bad.count()), (1, 1));
        assert_eq!(list.bad.first()[0].0, 3);
        let list = parse("define X = {\n 10.0.0.0/8,\n 192.0.2.1\n");
        assert_eq!(list.ipv4.len(), 2, "the last element counts");
        assert_eq!(list.bad.first()[0].0, 1);
        assert!(list.bad.first()[0].1.to_string().contains("never closed"));
    }
}
