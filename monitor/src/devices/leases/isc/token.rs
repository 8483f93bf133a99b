//! Tokens of a lease file of the ISC DHCP server (`common/conflex.c` in its sources).

use std::{borrow::Cow, mem};

/// Longest text that is kept, in bytes. The rest of a longer text is left out.
const MAX_TEXT: usize = 1024;

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// `;`
    Semicolon,
    /// `{`
    Open,
    /// `}`
    Close,
    /// Bytes up to a space or one of the characters above.
    Word(&'a [u8]),
    /// A text in quotation marks, without its escapes.
    Text(Cow<'a, [u8]>),
    /// A text whose last quotation mark is missing. It ends with its line: within a text,
    /// the server writes a line break as `\012`.
    NoEnd,
}

/// Splits a file into tokens. Leaves out comments, which begin with `#`.
pub(super) struct Tokens<'a> {
    rest: &'a [u8],
    line: u64,
    /// True if the last token is at the start of its line.
    starts_line: bool,
    is_new: bool,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        Self {
            rest,
            line: 1,
            starts_line: false,
            is_new: true,
        }
    }

    /// Returns true if the last token is at the start of its line, without a space before.
    pub(super) fn starts_line(&self) -> bool {
        self.starts_line
    }

    /// Returns the next token, with the number of its line.
    pub(super) fn next(&mut self) -> Option<(u64, Token<'a>)> {
        // Nothing but the start of the file is before the first token.
        self.starts_line = mem::take(&mut self.is_new);
        loop {
            let (first, after) = self.rest.split_first()?;
            let token = match first {
                b'\n' => {
                    self.line = self.line.saturating_add(1);
                    self.starts_line = true;
                    self.rest = after;
                    continue;
                }
                b'#' => {
                    self.take(|byte| byte != b'\n');
                    continue;
                }
                byte if byte.is_ascii_whitespace() => {
                    self.starts_line = false;
                    self.rest = after;
                    continue;
                }
                b';' => Token::Semicolon,
                b'{' => Token::Open,
                b'}' => Token::Close,
                b'"' => {
                    self.rest = after;
                    return Some((self.line, self.text()));
                }
                _ => {
                    let is_word = |byte: u8| {
                        !byte.is_ascii_whitespace() && !matches!(byte, b';' | b'{' | b'}' | b'"')
                    };
                    return Some((self.line, Token::Word(self.take(is_word))));
                }
            };
            self.rest = after;
            return Some((self.line, token));
        }
    }

    /// Takes the bytes at the beginning for which `is_part` is true.
    fn take(&mut self, is_part: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| !is_part(*byte));
        let (taken, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Reads a text after its first quotation mark.
    fn text(&mut self) -> Token<'a> {
        let plain = self.take(|byte| !matches!(byte, b'"' | b'\\' | b'\n'));
        if let [b'"', after @ ..] = self.rest
            && plain.len() <= MAX_TEXT
        {
            self.rest = after;
            return Token::Text(plain.into());
        }
        let mut text = plain.get(..MAX_TEXT).unwrap_or(plain).to_vec();
        loop {
            let byte = match self.rest {
                [] | [b'\n', ..] => return Token::NoEnd,
                [b'"', after @ ..] => {
                    self.rest = after;
                    return Token::Text(text.into());
                }
                [b'\\', after @ ..] => {
                    let (byte, after) = escaped(after);
                    self.rest = after;
                    byte
                }
                [byte, after @ ..] => {
                    self.rest = after;
                    Some(*byte)
                }
            };
            if text.len() < MAX_TEXT {
                text.extend(byte);
            }
        }
    }
}

/// Returns the byte of an escape, behind its backslash: three octal digits, or the byte
/// itself.
fn escaped(rest: &[u8]) -> (Option<u8>, &[u8]) {
    match rest {
        [
            a @ b'0'..=b'3',
            b @ b'0'..=b'7',
            c @ b'0'..=b'7',
            after @ ..,
        ] => {
            let byte = (a - b'0') * 64 + (b - b'0') * 8 + (c - b'0');
            (Some(byte), after)
        }
        [] | [b'\n', ..] => (None, rest),
        [byte, after @ ..] => (Some(*byte), after),
    }
}
