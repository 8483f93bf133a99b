//! Lease files of the ISC DHCP server, for IPv4 and IPv6 (`dhcpd.leases(5)`).
//!
//! ```text
//! lease 192.168.50.10 {
//!   ends 3 2026/11/30 12:00:00;
//!   binding state active;
//!   hardware ethernet 64:cc:2e:11:22:33;
//!   client-hostname "Redmi-Note-8T";
//! }
//! ia-na "\021\"3D\000\003\000\001d\314.\021\"3" {
//!   iaaddr 2001:db8::10 {
//!     binding state active;
//!     ends never;
//!   }
//! }
//! ```
//!
//! The server appends a declaration for each change, so the last one of an address holds.

mod token;

use jiff::{Timestamp, civil, tz::TimeZone};

use self::token::{Token, Tokens};
use super::{Found, InvalidLine, Lease, LeaseFormat, address, mac, number, time};
use crate::{devices::lines::host_name, policy::MacAddress};

/// Most tokens of a statement that are kept. The longest statement that is read has four.
const TOKENS: usize = 6;

/// Returns true if a line looks like one at the beginning of a lease file.
pub(super) fn is_start(line: &[u8]) -> bool {
    const STARTS: [&[u8]; 8] = [
        b"# The format of this file is documented in the dhcpd.leases",
        b"authoring-byte-order ",
        b"server-duid ",
        b"lease ",
        b"ia-na ",
        b"ia_na ",
        b"ia-ta ",
        b"ia-pd ",
    ];
    STARTS.iter().any(|start| line.starts_with(start))
}

pub(super) fn parse(bytes: &[u8], found: &mut Found) {
    let mut tokens = Tokens::new(bytes);
    let mut parser = Parser {
        found,
        blocks: Blocks::default(),
    };
    let mut statement = Vec::new();
    while let Some((line, token)) = tokens.next() {
        match token {
            Token::Semicolon => parser.statement(&statement),
            Token::Open => parser.open(&statement, line),
            Token::Close => parser.close(line),
            Token::NoEnd => parser.found.skip(line, &InvalidLine::NoEnd),
            Token::Word(_) | Token::Text(_) => {
                // The statement before has no end: the server did not finish it.
                if tokens.starts_line() && is_top(&token) {
                    statement.clear();
                }
                if statement.len() < TOKENS {
                    statement.push(token);
                }
                continue;
            }
        }
        statement.clear();
    }
    parser.end();
}

/// Returns true for the first word of a declaration of leases.
fn is_top(token: &Token<'_>) -> bool {
    const WORDS: [&[u8]; 7] = [
        b"lease", b"ia-na", b"ia_na", b"ia-ta", b"ia_ta", b"ia-pd", b"ia_pd",
    ];
    matches!(token, Token::Word(word) if WORDS.contains(word))
}

/// The blocks that are open.
#[derive(Default)]
struct Blocks {
    /// The declaration of an address, if one is open.
    draft: Option<Draft>,
    /// Number of open blocks around the declaration: 1 within `ia-na`.
    outside: u32,
    /// Number of open blocks within the declaration, such as `on expiry { … }`.
    inside: u32,
}

/// The declaration of one address (`lease` or `iaaddr`).
struct Draft {
    line: u64,
    address: Result<std::net::IpAddr, InvalidLine>,
    mac: Option<MacAddress>,
    host_name: Option<String>,
    ends: Result<Option<Timestamp>, InvalidLine>,
    /// False if the address is free, expired, released, abandoned or a reserve.
    is_active: bool,
}

struct Parser<'a> {
    found: &'a mut Found,
    blocks: Blocks,
}

impl Parser<'_> {
    /// Opens the block whose header is `statement`.
    fn open(&mut self, statement: &[Token<'_>], line: u64) {
        if statement.first().is_some_and(is_top) {
            // These only occur outside of all blocks. So the block before has no end.
            self.end();
        }
        let address = match statement {
            [Token::Word(b"lease" | b"iaaddr"), Token::Word(text)] if self.blocks.inside == 0 => {
                address(text)
            }
            [Token::Word(b"iaprefix"), ..] => {
                self.found.prefix();
                return self.other();
            }
            _ => return self.other(),
        };
        if self.blocks.draft.is_some() {
            return self.other();
        }
        self.blocks.draft = Some(Draft {
            line,
            address,
            mac: None,
            host_name: None,
            ends: Ok(None),
            is_active: true,
        });
    }

    /// Opens a block that is not a declaration of an address.
    fn other(&mut self) {
        let depth = match self.blocks.draft {
            Some(_) => &mut self.blocks.inside,
            None => &mut self.blocks.outside,
        };
        *depth = depth.saturating_add(1);
    }

    fn close(&mut self, line: u64) {
        if self.blocks.inside > 0 {
            self.blocks.inside -= 1;
        } else if let Some(draft) = self.blocks.draft.take() {
            self.add(draft);
        } else if self.blocks.outside > 0 {
            self.blocks.outside -= 1;
        } else {
            self.found.skip(line, &InvalidLine::NoEnd);
        }
    }

    fn add(&mut self, draft: Draft) {
        let parts = draft.address.and_then(|address| Ok((address, draft.ends?)));
        match parts {
            Err(error) => self.found.skip(draft.line, &error),
            Ok((address, _)) if !draft.is_active => self.found.end(address),
            Ok((address, expires)) => self.found.lease(Lease {
                mac: draft.mac,
                address,
                host_name: draft.host_name,
                expires,
                source: LeaseFormat::Isc,
            }),
        }
    }

    /// Leaves all blocks. A declaration without an end is skipped.
    fn end(&mut self) {
        if let Some(draft) = std::mem::take(&mut self.blocks).draft {
            self.found.skip(draft.line, &InvalidLine::NoEnd);
        }
    }

    /// Reads a statement of the declaration.
    fn statement(&mut self, statement: &[Token<'_>]) {
        let Some(draft) = self.blocks.draft.as_mut() else {
            return;
        };
        if self.blocks.inside > 0 {
            return;
        }
        match statement {
            [
                Token::Word(b"hardware"),
                Token::Word(b"ethernet"),
                Token::Word(text),
            ] => {
                draft.mac = mac(text);
            }
            [Token::Word(b"client-hostname"), Token::Text(text)] => {
                draft.host_name = host_name(text);
            }
            [
                Token::Word(b"binding"),
                Token::Word(b"state"),
                Token::Word(state),
                ..,
            ] => {
                draft.is_active = *state == b"active";
            }
            [Token::Word(b"ends"), date @ ..] => draft.ends = ends(date),
            _ => {}
        }
    }
}

/// Parses `never`, `epoch 1796000000` or `3 2026/11/30 12:00:00`, which is in UTC. The
/// first number of the last one is the day of the week.
fn ends(date: &[Token<'_>]) -> Result<Option<Timestamp>, InvalidLine> {
    match date {
        [Token::Word(b"never")] => Ok(None),
        [Token::Word(b"epoch"), Token::Word(seconds)] => Ok(time(number(seconds)?)),
        [Token::Word(_), Token::Word(day), Token::Word(clock)] => {
            let time = utc(day, clock).ok_or(InvalidLine::Time)?;
            Ok(Some(time))
        }
        _ => Err(InvalidLine::Time),
    }
}

fn utc(day: &[u8], clock: &[u8]) -> Option<Timestamp> {
    let [year, month, day] = numbers(day, b'/')?;
    let [hour, minute, second] = numbers(clock, b':')?;
    let small = |number: i16| i8::try_from(number).ok();
    let date = civil::Date::new(year, small(month)?, small(day)?).ok()?;
    let clock = civil::Time::new(small(hour)?, small(minute)?, small(second)?, 0).ok()?;
    let zoned = date.to_datetime(clock).to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp())
}

/// Parses three numbers.
fn numbers(text: &[u8], separator: u8) -> Option<[i16; 3]> {
    let mut parts = text.split(|byte| *byte == separator);
    let mut next = || number::<i16>(parts.next()?).ok();
    let numbers = [next()?, next()?, next()?];
    parts.next().is_none().then_some(numbers)
}
