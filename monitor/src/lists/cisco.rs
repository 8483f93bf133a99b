//! Reads the prefix lists of Cisco IOS and `FRRouting`:
//! `ip prefix-list NAME [seq N] permit PREFIX [ge N] [le N]`.

use super::{InvalidLine, Line, List, line::whole, lines::each_line, selection::Chooser};

const PATTERN: &str = "ip prefix-list NAME [seq N] permit PREFIX [ge N] [le N]";

pub(super) fn read(text: &str, chooser: &mut Chooser<'_>, list: &mut List) {
    each_line(text, 1, list, |text, number, list| {
        list.add(line(text, number, chooser), number);
    });
}

fn line(text: &str, number: u32, chooser: &mut Chooser<'_>) -> Result<Line, InvalidLine> {
    let text = whole(text);
    if text.is_empty() || text.starts_with('!') {
        return Ok(Line::Nothing);
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let (family, name, rest) = match words.as_slice() {
        [family @ ("ip" | "ipv6"), "prefix-list", name, rest @ ..] => (*family, *name, rest),
        ["no", "ip" | "ipv6", "prefix-list", name, ..] => return chooser.removes(Some(name), text),
        _ => return Err(InvalidLine::Pattern { pattern: PATTERN }),
    };
    if rest.first() == Some(&"description") {
        return Ok(Line::Nothing);
    }
    if !chooser.takes_set(name, number) {
        return Ok(Line::LeftOut);
    }
    entry(family, rest)
}

fn entry(family: &str, rest: &[&str]) -> Result<Line, InvalidLine> {
    let invalid = || InvalidLine::Pattern { pattern: PATTERN };
    let rest = match rest {
        ["seq", number, rest @ ..] if number.parse::<u32>().is_ok() => rest,
        rest => rest,
    };
    let (prefix, lengths) = match rest {
        ["permit", prefix, lengths @ ..] => (*prefix, lengths),
        ["deny", ..] => return Err(InvalidLine::Exception { word: "deny" }),
        _ => return Err(invalid()),
    };
    // `any` is every address of the family.
    let prefix = match (prefix, family) {
        ("any", "ip") => "0.0.0.0/0",
        ("any", _) => "::/0",
        (prefix, _) => prefix,
    };
    let destination = prefix.parse()?;
    let is_length = |pair: &[&str]| matches!(pair, ["ge" | "le", length] if length.parse::<u8>().is_ok_and(|length| length <= 128));
    if !lengths.chunks(2).all(is_length) {
        return Err(invalid());
    }
    // A length limits routes, not addresses: every route is within the prefix.
    Ok(Line::with_options(destination, !lengths.is_empty()))
}

#[cfg(test)]
mod tests {
    use crate::lists::{Format, Selection, read, recognise};

    #[test]
    fn both_families_are_read_with_and_without_sequence_and_lengths() {
        let text = "! list\nip prefix-list X description why\nip prefix-list X permit 45.7.0.0/16\n\
                    ip prefix-list X seq 5 permit 10.0.0.0/8 ge 9 le 24\n\
                    ipv6 prefix-list X seq 5 permit 2001:db8::/32 le 48\n!\n";
        assert_eq!(recognise(text), Ok(Format::Cisco));
        let list = read(text, Format::Cisco, &Selection::default());
        assert_eq!((list.ipv4.len(), list.ipv6.len()), (2, 1));
        assert_eq!((list.with_options, list.bad.count()), (2, 0));
    }

    #[test]
    fn denials_and_broken_lines_are_refused() {
        for (text, message) in [
            (
                "ip prefix-list X seq 5 deny 10.0.0.0/8",
                "`deny` excludes addresses",
            ),
            (
                "ip prefix-list X seq x permit 10.0.0.0/8",
                "this line is not",
            ),
            ("ip prefix-list X permit 10.0.0.1/8", "bits set"),
            ("ip prefix-list X permit 10.0.0.0/8 ge", "this line is not"),
            (
                "ip prefix-list X permit 10.0.0.0/8 eq 9",
                "this line is not",
            ),
            (
                "access-list 1 permit 10.0.0.0 0.255.255.255",
                "this line is not",
            ),
            ("10.0.0.0/8", "this line is not"),
        ] {
            let list = read(text, Format::Cisco, &Selection::default());
            let error = list.bad.first()[0].1.to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn a_removal_after_an_entry_is_refused() {
        let text = "no ip prefix-list X\nip prefix-list X permit 45.7.0.0/16\n\
                    no ip prefix-list X permit 45.7.0.0/16\n";
        let list = read(text, Format::Cisco, &Selection::default());
        assert_eq!((list.bad.first()[0].0, list.bad.exclusions()), (3, 1));
    }
}
