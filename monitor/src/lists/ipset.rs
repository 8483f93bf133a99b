//! Reads what `ipset save` writes: `create NAME TYPE …` and `add NAME ENTRY …`
//! (ipset(8)).

use std::collections::HashMap;

use super::{
    InvalidLine, Line, List, line::whole, lines::each_line, selection::Chooser,
    words::begins_with_address,
};
use crate::quoted::quoted;

/// Maximum number of sets whose kinds are stored.
const MAX_SETS: usize = 1000;

pub(super) fn read(text: &str, chooser: &mut Chooser<'_>, list: &mut List) {
    let mut ipset = Ipset::default();
    each_line(text, 1, list, |line, number, list| {
        list.add(ipset.line(line, number, chooser), number);
    });
}

/// What a set stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Addresses and networks.
    Addresses,
    /// Networks of this length, written as their first address.
    Networks(u8),
    /// Ports, MAC addresses or other sets.
    Other,
}

/// The sets that were created so far.
#[derive(Default)]
struct Ipset<'a> {
    kinds: HashMap<&'a str, Kind>,
}

impl<'a> Ipset<'a> {
    fn line(
        &mut self,
        text: &'a str,
        number: u32,
        chooser: &mut Chooser<'_>,
    ) -> Result<Line, InvalidLine> {
        let mut words = words(whole(text)).peekable();
        words.next_if(|word| *word == "ipset");
        while words
            .next_if(|word| matches!(*word, "-exist" | "-!"))
            .is_some()
        {}
        let Some(command) = words.next() else {
            return Ok(Line::Nothing);
        };
        let (name, entry) = (words.next(), words.next());
        match (command, name, entry) {
            ("add" | "-A", Some(name), Some(entry)) => {
                let kind = self.kinds.get(name).copied().unwrap_or(Kind::Addresses);
                if kind == Kind::Other || !chooser.takes_set(name, number) {
                    return Ok(Line::LeftOut);
                }
                element(kind, entry, words)
            }
            ("create" | "-N", Some(name), Some(kind)) => self.create(name, kind, words),
            ("COMMIT", None, None) => Ok(Line::Nothing),
            ("del" | "-D" | "flush" | "-F" | "destroy" | "-X", name, _) => {
                chooser.removes(name, text)
            }
            ("swap" | "-W" | "rename" | "-E", ..) => chooser.removes(None, text),
            _ => Err(InvalidLine::Pattern {
                pattern: "add NAME ADDRESS` or `create NAME TYPE",
            }),
        }
    }

    fn create(
        &mut self,
        name: &'a str,
        kind: &str,
        mut options: impl Iterator<Item = &'a str>,
    ) -> Result<Line, InvalidLine> {
        let stores = kind.split_once(':').map_or("", |(_, stores)| stores);
        let first = stores.split(',').next().unwrap_or_default();
        let mut kind = match first {
            "ip" | "net" => Kind::Addresses,
            _ => Kind::Other,
        };
        while let Some(option) = options.next() {
            if option == "bitmask" {
                let text = quoted("bitmask");
                return Err(InvalidLine::MoreThanAddress { text });
            }
            if option == "netmask" {
                let length = options.next().and_then(|length| length.parse().ok());
                let invalid = InvalidLine::Pattern {
                    pattern: "create NAME TYPE netmask LENGTH",
                };
                kind = Kind::Networks(length.ok_or(invalid)?);
            }
        }
        if self.kinds.len() < MAX_SETS {
            self.kinds.insert(name, kind);
        }
        Ok(Line::Nothing)
    }
}

fn element<'a>(
    kind: Kind,
    entry: &str,
    options: impl Iterator<Item = &'a str>,
) -> Result<Line, InvalidLine> {
    if entry.contains(',') && begins_with_address(entry) {
        let text = quoted(entry);
        return Err(InvalidLine::MoreThanAddress { text });
    }
    let destination = match kind {
        Kind::Networks(length) if !entry.contains(['/', '-']) => {
            format!("{entry}/{length}").parse()?
        }
        _ => entry.parse()?,
    };
    let mut has_options = false;
    for option in options {
        if option == "nomatch" {
            return Err(InvalidLine::Exception { word: "nomatch" });
        }
        has_options |= !matches!(option, "-exist" | "-!");
    }
    Ok(Line::with_options(destination, has_options))
}

/// Splits a line into words. A text in quotation marks is one word.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        if rest.is_empty() {
            return None;
        }
        let mut is_quoted = false;
        let end = rest.find(|c: char| {
            is_quoted ^= c == '"';
            c.is_whitespace() && !is_quoted
        });
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        Some(word)
    })
}

#[cfg(test)]
mod tests {
    use crate::lists::{Format, List, Selection, read, recognise};

    fn parse(text: &str) -> List {
        assert_eq!(recognise(text), Ok(Format::IpsetSave), "{text}");
        read(text, Format::IpsetSave, &Selection::default())
    }

    #[test]
    fn entries_of_every_set_are_read_and_options_are_counted() {
        let list = parse(
            "# saved\ncreate bl hash:net family inet hashsize 1024 maxelem 65536\n\
             add bl 45.1.0.0/24\nadd bl 45.2.0.0/16 timeout 300\n\
             add bl 45.3.0.1-45.3.0.9 comment \"a, b\" -exist\n\
             create pn bitmap:port range 1-9\nadd bl 2001:db8::/32\n\
             ipset -A bl 45.4.0.1 -exist\nCOMMIT\n",
        );
        assert_eq!((list.ipv4.len(), list.ipv6.len()), (4, 1));
        assert_eq!((list.with_options, list.bad.count()), (2, 0));
        assert_eq!(list.ipv6[0].1, 7);
    }

    #[test]
    fn entries_that_mean_more_or_less_than_their_address_are_refused() {
        for (line, message) in [
            (
                "add x 192.0.2.0/24,tcp:80",
                "`192.0.2.0/24,tcp:80` also names a port",
            ),
            ("add x 192.0.2.0/24,eth0", "also names a port"),
            ("add x 192.0.2.0/25 nomatch", "`nomatch` excludes addresses"),
            ("add x 192.0.2.1/24", "bits set"),
            ("add x other", "`other` is a name"),
            ("add x", "this line is not `add NAME ADDRESS`"),
            ("swap x y", "removes or changes entries"),
        ] {
            let list = parse(&format!(
                "create x hash:net\nadd x 198.51.100.0/24\n{line}\n"
            ));
            let (number, error) = &list.bad.first()[0];
            assert_eq!(
                (*number, list.bad.count(), list.ipv4.len()),
                (3, 1, 1),
                "{line}"
            );
            assert!(error.to_string().contains(message), "{line}: {error}");
        }
    }

    #[test]
    fn the_netmask_of_a_set_is_the_length_of_its_entries() {
        let list = parse(
            "create nets hash:ip netmask 24\nadd nets 45.1.2.0\nadd nets 45.1.3.1\n\
             create ports bitmap:port range 0-9\nadd ports 7\n",
        );
        let expected = "45.1.2.0/24".parse().unwrap();
        assert_eq!(crate::address::Destination::Ipv4(list.ipv4[0].0), expected);
        assert_eq!(
            (list.ipv4.len(), list.bad.count(), list.left_out),
            (1, 1, 1)
        );
        assert_eq!(list.bad.first()[0].0, 3);
    }

    #[test]
    fn a_comment_may_contain_any_word() {
        let list = parse("create x hash:net\nadd x 45.1.0.0/24 comment \"a nomatch b\"\n");
        assert_eq!(
            (list.ipv4.len(), list.with_options, list.bad.count()),
            (1, 1, 0)
        );
    }

    #[test]
    fn removals_after_an_entry_are_refused_and_before_it_mean_nothing() {
        for command in [
            "del x 45.1.0.0/25",
            "flush x",
            "flush",
            "destroy x",
            "swap x y",
        ] {
            let list = parse(&format!(
                "{command}\ncreate x hash:net\nadd x 45.1.0.0/24\n{command}\n"
            ));
            let (line, error) = &list.bad.first()[0];
            assert_eq!(
                (*line, list.bad.count(), error.is_exclusion()),
                (4, 1, true),
                "{command}"
            );
        }
    }

    #[test]
    fn several_sets_are_refused_until_one_is_chosen() {
        let text = "create a hash:net\nadd a 45.1.0.0/24\ncreate white hash:net\n\
                    add white 45.2.0.0/24\nadd white 45.3.0.0/24\n";
        let list = parse(text);
        let (line, error) = &list.bad.first()[0];
        assert_eq!(*line, 4);
        assert_eq!(
            error.to_string(),
            "this file has several sets: `a` (1 entry), `white` (2 entries)"
        );
        assert_eq!(
            error.help(),
            "write `set: a`, or `set: [a, white]` for several"
        );
        for (sets, ipv4, left_out, bad) in [
            (["a"].as_slice(), 1, 2, 0),
            (&["a", "white"], 3, 0, 0),
            (&["b"], 0, 3, 1),
        ] {
            let selection = Selection {
                sets: sets.iter().map(|name| (*name).to_owned()).collect(),
                ..Selection::default()
            };
            let list = read(text, Format::IpsetSave, &selection);
            let found = (list.ipv4.len(), list.left_out, list.bad.count());
            assert_eq!(found, (ipv4, left_out, bad), "{sets:?}");
        }
    }
}
