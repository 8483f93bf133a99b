//! Reads the sets and the `define`s of nftables: elements in braces, over any number of
//! lines (nft(8)). Reads no rules.

use std::collections::HashMap;

use super::{
    InvalidLine, Line, List, MAX_LINE,
    selection::Chooser,
    tokens::{Token, tokens},
};
use crate::{address::Destination, quoted::quoted};

/// Maximum number of words of an element or a statement.
const MAX_WORDS: usize = 64;

/// Maximum number of sets whose types are stored.
const MAX_SETS: usize = 1000;

/// What an open brace began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block<'a> {
    /// A table, whose content is sets.
    Table,
    /// A set of this name, whose content is its properties and its elements.
    Set(&'a str, Members),
    /// Elements of the set of this name, separated by commas.
    Elements(&'a str, Members),
    /// A chain or something else that is no list of addresses.
    Other,
}

/// What the elements of a set are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Members {
    Addresses,
    /// Addresses or other values: a `define` has no type.
    Untyped,
    /// Values that are no addresses, such as ports.
    Others,
    /// Elements that a command removes.
    Removed,
}

/// Reads all of `text`. A line may be long, because a program may write a set into one.
pub(super) fn read(text: &str, chooser: &mut Chooser<'_>, list: &mut List) {
    let mut nft = Nft {
        open: Vec::new(),
        tokens: Vec::new(),
        started: 1,
        types: HashMap::new(),
        chooser,
        list,
    };
    for (line, number) in text.lines().zip(1_u32..) {
        nft.line(line, number);
    }
    let unclosed = nft.open.last().copied();
    nft.end_statement();
    if let Some((_, number)) = unclosed {
        nft.list.add(Err(InvalidLine::NotClosed), number);
    }
}

struct Nft<'a, 'c, 's> {
    /// The open braces, each with its line number.
    open: Vec<(Block<'a>, u32)>,
    /// The tokens of the current statement or element.
    tokens: Vec<Token<'a>>,
    /// Line number of the first of `tokens`.
    started: u32,
    /// What the sets with a type have as elements.
    types: HashMap<&'a str, Members>,
    chooser: &'c mut Chooser<'s>,
    list: &'c mut List,
}

impl<'a> Nft<'a, '_, '_> {
    fn line(&mut self, line: &'a str, number: u32) {
        let stripped = line.trim_end().strip_suffix('\\');
        for token in tokens(stripped.unwrap_or(line)) {
            match token {
                Token::Word(text) | Token::Text(text) if text.len() > MAX_LINE => {
                    let bytes = text.len();
                    self.list.add(Err(InvalidLine::TooLong { bytes }), number);
                }
                Token::Mark('{') => self.open(number),
                Token::Mark('}') => self.close(number),
                Token::Mark(',') if self.is_in_elements() => self.end_statement(),
                Token::Mark(';') => self.end_statement(),
                // A script of a shell names the program in each line.
                Token::Word("nft") if self.tokens.is_empty() && self.open.is_empty() => {}
                Token::Mark(_) | Token::Word(_) | Token::Text(_) => self.push(token, number),
            }
        }
        // An element may continue in the next line, and so may `elements =`.
        let continues = self.tokens.last() == Some(&Token::Mark('='));
        if stripped.is_none() && !continues && !self.is_in_elements() {
            self.end_statement();
        }
    }

    fn block(&self) -> Option<Block<'a>> {
        self.open.last().map(|(block, _)| *block)
    }

    fn is_in_elements(&self) -> bool {
        matches!(self.block(), Some(Block::Elements(..)))
    }

    fn push(&mut self, token: Token<'a>, number: u32) {
        if self.tokens.len() >= MAX_WORDS {
            self.end_statement();
        }
        if self.tokens.is_empty() {
            self.started = number;
        }
        self.tokens.push(token);
    }

    /// Begins the block whose name is in `self.tokens`.
    fn open(&mut self, number: u32) {
        use Token::{Mark, Word};
        if self.tokens.is_empty() {
            self.started = number;
        }
        let tokens = std::mem::take(&mut self.tokens);
        let block = match (self.block(), tokens.as_slice()) {
            (Some(Block::Other), _) => Block::Other,
            (Some(Block::Set(name, members)), [Word("elements"), Mark('=')]) => {
                Block::Elements(name, members)
            }
            (None | Some(Block::Table), [Word("define"), Word(name), Mark('=')]) => {
                Block::Elements(name, Members::Untyped)
            }
            (None, [Word("add" | "create"), Word("element"), .., Word(name)]) => {
                let members = self.types.get(name).copied();
                Block::Elements(name, members.unwrap_or(Members::Addresses))
            }
            (None, [Word("delete" | "destroy"), Word("element"), .., Word(name)]) => {
                self.removes(Some(name), &tokens);
                Block::Elements(name, Members::Removed)
            }
            (None, [Word("table"), ..] | [Word("add" | "create"), Word("table"), ..]) => {
                Block::Table
            }
            (None | Some(Block::Table), [Word("set"), Word(name)])
            | (None, [Word("add" | "create"), Word("set"), .., Word(name)]) => {
                Block::Set(name, Members::Addresses)
            }
            _ => {
                self.list.add(Err(InvalidLine::NotASet), self.started);
                Block::Other
            }
        };
        self.open.push((block, number));
    }

    fn close(&mut self, number: u32) {
        if self.open.is_empty() {
            self.list.add(Err(InvalidLine::NotASet), number);
        }
        self.end_statement();
        self.open.pop();
    }

    fn end_statement(&mut self) {
        use Token::{Mark, Word};
        let words = std::mem::take(&mut self.tokens);
        match (self.block(), words.as_slice()) {
            (_, [])
            | (Some(Block::Other), _)
            | (None, [Word("add" | "create"), Word("table" | "set"), ..])
            | (Some(Block::Table), [Word("comment" | "flags"), ..]) => {}
            (Some(Block::Elements(name, members)), words) => self.element(name, members, words),
            (None | Some(Block::Table), [Word("define"), Word(name), Mark('='), value @ ..]) => {
                self.element(name, Members::Untyped, value);
            }
            (Some(Block::Set(name, _)), [Word(property), value @ ..]) => {
                self.property(name, property, value);
            }
            (None, [Word("flush" | "delete" | "destroy"), Word(what), rest @ ..]) => {
                let name = match rest.last() {
                    Some(Word(name)) if matches!(*what, "set" | "element") => Some(*name),
                    _ => None,
                };
                self.removes(name, &words);
            }
            _ => self.list.add(Err(InvalidLine::NotASet), self.started),
        }
    }

    fn removes(&mut self, name: Option<&str>, words: &[Token<'a>]) {
        let line = self.chooser.removes(name, &text(words));
        self.list.add(line, self.started);
    }

    /// Reads a property of the set `name`. Its type says what its elements are.
    fn property(&mut self, name: &'a str, property: &str, value: &[Token<'a>]) {
        /// The properties that say nothing about the elements.
        const OTHERS: [&str; 8] = [
            "flags",
            "timeout",
            "gc-interval",
            "size",
            "policy",
            "auto-merge",
            "comment",
            "counter",
        ];
        match property {
            "type" | "typeof" => {
                const ADDRESSES: [&str; 4] = ["ipv4_addr", "ipv6_addr", "saddr", "daddr"];
                let is_address = |token: &Token<'_>| matches!(token, Token::Word(word) if ADDRESSES.contains(word));
                let members = if value.iter().any(is_address) {
                    Members::Addresses
                } else {
                    Members::Others
                };
                if self.types.len() < MAX_SETS {
                    self.types.insert(name, members);
                }
                if let Some((block, _)) = self.open.last_mut() {
                    *block = Block::Set(name, members);
                }
            }
            _ if OTHERS.contains(&property) => {}
            _ => self.list.add(Err(InvalidLine::NotASet), self.started),
        }
    }

    fn element(&mut self, name: &str, members: Members, words: &[Token<'a>]) {
        let is_other = match (members, words) {
            (Members::Removed, _) => return,
            (Members::Others, _) => true,
            (Members::Untyped, [Token::Word(word), ..]) => is_other_value(word),
            (Members::Untyped | Members::Addresses, _) => false,
        };
        let line = if is_other || !self.chooser.takes_set(name, self.started) {
            Ok(Line::LeftOut)
        } else {
            element(words)
        };
        self.list.add(line, self.started);
    }
}

/// Returns true for an interface, a port or a range of ports.
fn is_other_value(word: &str) -> bool {
    let is_word = word.starts_with(|c: char| c.is_ascii_alphabetic()) && !word.contains(':');
    is_word
        || word
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// Reads an element: an address, a network or a range, and its options.
fn element(tokens: &[Token<'_>]) -> Result<Line, InvalidLine> {
    const OPTIONS: [&str; 6] = ["timeout", "expires", "comment", "counter", "limit", "quota"];
    let words: Vec<&str> = tokens.iter().map(word).collect();
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
        return Err(InvalidLine::MissingComma);
    }
    let destination: Destination = text.parse()?;
    Ok(Line::with_options(destination, !options.is_empty()))
}

fn word<'a>(token: &Token<'a>) -> &'a str {
    match token {
        Token::Word(word) | Token::Text(word) => word,
        Token::Mark(_) => "=",
    }
}

fn text(tokens: &[Token<'_>]) -> String {
    tokens.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
