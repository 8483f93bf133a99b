//! Reads one CIDR, address or range on each line; `#`, `;` and `//` begin a comment.
//! Netsets, FireHOL's ipsets and Spamhaus' DROP as text have this format.

use std::net::IpAddr;

use super::{
    line::{InvalidLine, Line},
    selection::Chooser,
    spelling, verdict,
    words::begins_with_address,
};
use crate::quoted::quoted;

pub(super) fn line(text: &str, chooser: &Chooser<'_>) -> Result<Line, InvalidLine> {
    let text = content(text);
    if text.is_empty() {
        return Ok(Line::Nothing);
    }
    entry(text, chooser)
}

/// Reads a destination, or an address with a port. Also for the fields and values of
/// other formats.
pub(super) fn entry(text: &str, chooser: &Chooser<'_>) -> Result<Line, InvalidLine> {
    let error = match spelling::destination(text) {
        Ok(destination) => return Ok(Line::Destination(destination)),
        Err(error) => error,
    };
    match without_port(text) {
        Some(address) if chooser.selection.ignore_ports => {
            Ok(Line::WithOptions(address.to_string().parse()?))
        }
        Some(_) => Err(InvalidLine::Port { text: quoted(text) }),
        None => Err(verdict_of(text)
            .or_else(|| address_within(text))
            .unwrap_or(error)),
    }
}

/// Returns a line without its comment and without white space around it.
pub(super) fn content(line: &str) -> &str {
    let text = line.split('#').next().unwrap_or_default().trim();
    if is_comment(text) {
        return "";
    }
    let text = without_semicolon(text);
    // In a URL, `//` does not begin a comment.
    let mut comments = text.match_indices("//").map(|(at, _)| at);
    let end = comments.find(|at| is_start(text, *at));
    text[..end.unwrap_or(text.len())].trim_end()
}

/// Returns true for a line that is blank or a comment. `!` before an address means that
/// the address is excluded.
pub(super) fn is_comment(line: &str) -> bool {
    match line.chars().next() {
        None | Some('#' | ';' | '%') => true,
        Some('!') => !first_word(&line[1..]).is_some_and(begins_with_address),
        Some(_) => line.starts_with("//"),
    }
}

/// Returns `text` without a comment that begins with `;`. The comment is after white
/// space. Otherwise `;` separates columns, as in `192.0.2.1;443`.
fn without_semicolon(text: &str) -> &str {
    let Some((before, after)) = text.split_once(';') else {
        return text;
    };
    let (comment, word) = (after.trim(), before.trim());
    if comment.is_empty() && !word.contains(char::is_whitespace) {
        return word;
    }
    let first = first_word(comment).unwrap_or_default();
    let is_field = |word: &str| {
        begins_with_address(word)
            || verdict::is_possible(word)
            || word.bytes().all(|byte| byte.is_ascii_digit())
    };
    if is_start(text, before.len()) && !comment.contains(';') && !is_field(first) {
        return word;
    }
    text
}

fn first_word(text: &str) -> Option<&str> {
    text.split_whitespace().next()
}

/// Returns true if white space, or nothing, is before the offset `at`.
fn is_start(text: &str, at: usize) -> bool {
    text[..at]
        .chars()
        .next_back()
        .is_none_or(char::is_whitespace)
}

/// Returns the address of `192.0.2.1:443` or `[2001:db8::1]:443`.
pub(super) fn without_port(text: &str) -> Option<IpAddr> {
    let (address, port) = text.rsplit_once(':')?;
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_port = is_port && port.parse::<u16>().is_ok();
    let inner = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let parsed = match inner {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => address.parse().ok().map(IpAddr::V4),
    };
    parsed.filter(|_| is_port)
}

/// Returns an error for a line such as `!192.0.2.1` or `192.0.2.1 allow`.
fn verdict_of(text: &str) -> Option<InvalidLine> {
    if text.starts_with('!') {
        return Some(InvalidLine::Exception { word: "!" });
    }
    let mut words = text.split(is_end).filter(|word| !word.is_empty());
    let found = words.clone().any(begins_with_address);
    let word = words
        .find(|word| verdict::is_clear(word))
        .filter(|_| found)?;
    let text = quoted(word);
    Some(InvalidLine::Verdict { text })
}

/// Returns an error that names the first address of a line with several words.
fn address_within(text: &str) -> Option<InvalidLine> {
    if text.contains("://") {
        return Some(InvalidLine::Url { text: quoted(text) });
    }
    let mut words = text
        .split(is_end)
        .filter(|word| !word.is_empty() && *word != text);
    let is_address = |word: &&str| {
        let address = word.split('/').next().unwrap_or_default();
        address.parse::<IpAddr>().is_ok() || without_port(word).is_some()
    };
    let address = words.find(is_address)?;
    Some(InvalidLine::AddressWithin {
        address: quoted(address),
    })
}

/// Returns true for a character that ends a word.
fn is_end(c: char) -> bool {
    c.is_whitespace() || matches!(c, ',' | ';' | '|' | '"' | '\'' | '=' | '(' | ')')
}

#[cfg(test)]
mod tests {
    use crate::lists::{Format, List, Selection, read};

    fn parse(text: &str) -> List {
        read(text, Format::Plain, &Selection::default())
    }

    #[test]
    fn comments_blank_lines_and_line_ends() {
        let list =
            parse("# head\r\n\r\n10.0.0.0/8 # why\r\n ; x\n2001:db8::/32 ;y\n1.0.0.1-1.0.0.9");
        assert_eq!(list.bad.count(), 0);
        let lines: Vec<u32> = list.ipv4.iter().map(|(_, line)| *line).collect();
        assert_eq!(lines, [3, 6]);
        assert_eq!(list.ipv6.first().map(|(_, line)| *line), Some(5));
    }

    #[test]
    fn spamhaus_drop_proxifier_and_white_space_at_the_end() {
        let list = parse("1.10.16.0/20 ; SBL256894\n13.64.90.137;\n2a12:2640::/29 \n");
        assert_eq!((list.ipv4.len(), list.ipv6.len()), (2, 1));
        assert_eq!(list.bad.count(), 0);
    }

    #[test]
    fn leading_zeros_stay_an_error() {
        let list = parse("010.0.0.1\n");
        let (line, error) = &list.bad.first()[0];
        assert_eq!(*line, 1);
        assert!(error.to_string().contains("leading zero"), "{error}");
        assert_eq!(error.help(), "write `10.0.0.1` if it is decimal");
    }

    #[test]
    fn slashes_begin_a_comment_only_after_white_space() {
        let list = parse("// head\n10.0.0.0/8 // why\n10.0.0.0/8//why\n");
        assert_eq!((list.ipv4.len(), list.bad.count()), (1, 1));
        assert_eq!(list.bad.first()[0].0, 3);
    }

    #[test]
    fn a_port_is_an_error_unless_the_selection_ignores_it() {
        let text = "192.0.2.1:443\n[2001:db8::1]:8443 # x\n192.0.2.2\n192.0.2.3:70000\n";
        let list = parse(text);
        assert_eq!((list.ipv4.len(), list.bad.count()), (1, 3));
        let (_, error) = &list.bad.first()[0];
        assert!(error.help().contains("`ports: ignore`"), "{error}");
        let ignored = Selection {
            ignore_ports: true,
            ..Selection::default()
        };
        let list = read(text, Format::Plain, &ignored);
        assert_eq!((list.ipv4.len(), list.ipv6.len()), (2, 1));
        assert_eq!((list.with_options, list.bad.count()), (2, 1));
    }

    #[test]
    fn an_address_among_other_text_is_named_and_never_called_a_name() {
        for text in ["block 192.0.2.1 now", "x=2001:db8::1", "ip(192.0.2.0/24)"] {
            let list = parse(text);
            let (_, error) = &list.bad.first()[0];
            let message = error.to_string();
            assert!(
                message.contains("contains the address"),
                "{text}: {message}"
            );
        }
    }

    #[test]
    fn a_semicolon_without_white_space_separates_columns() {
        for text in [
            "1.2.3.0;1.2.3.255;CN",
            "45.2.0.0;255.255.0.0;x",
            "10.0.0.5;45.1.2.3;deny",
            "45.1.2.3;443",
            "1.2.3.0 ; 1.2.3.255 ; CN",
            "1.2.3.0 ; 1.2.3.255",
            "45.1.2.3 ; 443",
            "45.1.2.3 ; deny",
        ] {
            let list = parse(text);
            assert_eq!((list.ipv4.len(), list.bad.count()), (0, 1), "{text}");
        }
        let list = parse("45.1.0.0/16;\n45.2.0.0/16 ; why\n;45.3.0.0/16\n45.4.0.0/16 ;why\n");
        assert_eq!((list.ipv4.len(), list.bad.count()), (3, 0));
    }

    #[test]
    fn an_excluded_address_is_an_exception_and_cannot_be_skipped() {
        for text in [
            "!192.0.2.5",
            "! 192.0.2.0/24 # x",
            "192.0.2.5 allow",
            "not 192.0.2.5",
        ] {
            let list = parse(&format!("192.0.2.0/24\n{text}\n"));
            assert_eq!((list.bad.count(), list.bad.exclusions()), (1, 1), "{text}");
        }
        let list = parse("! a title\n% a note\n!\n192.0.2.1\n");
        assert_eq!((list.ipv4.len(), list.bad.count()), (1, 0));
    }

    #[test]
    fn a_url_is_called_a_url() {
        let list = parse("http://192.0.2.1:80/x\nhttps://a.example/y\n");
        assert!(
            list.bad
                .first()
                .iter()
                .all(|(_, error)| error.to_string().contains("is a URL"))
        );
    }
}
