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
             \t}\n\n\tset bad { type ipv6_addr; elements = { 2001:db8::/32, ::1 } }\n}\n",
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
            "define X = 10.0.0.0/8\ndefine X = 192.0.2.1\n",
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
            ("192.0.2.1 . 80", "`192.0.2.1 . 80` also names a port"),
            ("192.0.2.1 : drop", "also names a port"),
            ("$OTHER", "`$OTHER` is a variable"),
            ("eth0", "`eth0` is"),
            ("192.0.2.1 192.0.2.2", "a comma is missing"),
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

    #[test]
    fn sets_and_defines_of_other_values_are_left_out() {
        let list = parse(
            "define WAN = eth0\ndefine PORTS = { 80, 443-445, ssh }\n\
             table inet f {\n set ports {\n type inet_service\n elements = { 80, 443 }\n }\n\
             set bad {\n type ipv4_addr\n elements = { 45.1.0.0/24 }\n }\n}\n",
        );
        assert_eq!(
            (list.ipv4.len(), list.left_out, list.bad.count()),
            (1, 6, 0)
        );
    }

    #[test]
    fn several_sets_are_refused_until_one_is_chosen() {
        let text = "table inet f {\n set bad { type ipv4_addr; elements = { 45.1.0.0/24 }; }\n\
                    set white { type ipv4_addr; elements = { 45.1.0.0/28 }; }\n}\n";
        let list = parse(text);
        assert_eq!((list.bad.first()[0].0, list.bad.exclusions()), (3, 1));
        let selection = Selection {
            sets: ["bad".to_owned()].into(),
            ..Selection::default()
        };
        let list = read(text, Format::Nft, &selection);
        assert_eq!(
            (list.ipv4.len(), list.left_out, list.bad.count()),
            (1, 1, 0)
        );
    }

    #[test]
    fn removals_after_an_element_are_refused_and_before_it_mean_nothing() {
        let add = "add element inet f bad { 45.1.0.0/24 }\n";
        for removal in [
            "flush set inet f bad",
            "flush ruleset",
            "delete element inet f bad { 45.1.0.0/28 }",
            "destroy element inet f bad {\n45.1.0.0/28,\n45.1.0.32/28\n}",
            "nft delete element inet f bad { 45.1.0.0/28 }",
        ] {
            let list = parse(&format!("{removal}\n{add}{removal}\n"));
            assert_eq!((list.ipv4.len(), list.bad.count()), (1, 1), "{removal}");
            assert!(list.bad.first()[0].1.is_exclusion(), "{removal}");
        }
    }

    #[test]
    fn a_set_may_be_one_long_line_and_a_word_may_not() {
        let elements: Vec<String> = (0..5000)
            .map(|n| format!("45.1.{}.{}", n / 256, n % 256))
            .collect();
        let list = parse(&format!("define X = {{ {} }}\n", elements.join(", ")));
        assert_eq!((list.ipv4.len(), list.bad.count()), (5000, 0));
        let list = parse(&format!(
            "define X = {{ 45.1.0.0/24, {} }}\n",
            "1".repeat(9000)
        ));
        assert!(list.bad.first()[0].1.to_string().contains("9000 bytes"));
        let list = parse(&format!(
            "define X = {{ {} }}\n",
            "45.1.0.0/24 ".repeat(1000)
        ));
        assert!(list.is_empty() && list.bad.count() > 0);
    }
}
