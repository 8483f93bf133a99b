//! Reads what `ipset save` writes: `create NAME TYPE …` and `add NAME ENTRY …`
//! (ipset(8)).

use super::line::{InvalidLine, Line, whole};
use crate::quoted::quoted;

pub(super) fn line(text: &str) -> Result<Line, InvalidLine> {
    let mut words = whole(text).split_whitespace().peekable();
    words.next_if(|word| *word == "ipset");
    let Some(command) = words.next() else {
        return Ok(Line::Nothing);
    };
    let (_name, entry) = (words.next(), words.next());
    match (command, entry) {
        ("add" | "-A", Some(entry)) => element(entry, words),
        ("create" | "-N", Some(_)) | ("flush" | "-F" | "destroy" | "-X" | "COMMIT", None) => {
            Ok(Line::Nothing)
        }
        _ => Err(InvalidLine::Pattern {
            pattern: "add NAME ADDRESS` or `create NAME TYPE",
        }),
    }
}

fn element<'a>(entry: &str, options: impl Iterator<Item = &'a str>) -> Result<Line, InvalidLine> {
    if entry.contains(',') {
        let text = quoted(entry);
        return Err(InvalidLine::MoreThanAddress { text });
    }
    let destination = entry.parse()?;
    let mut has_options = false;
    for option in options {
        if option == "nomatch" {
            return Err(InvalidLine::Exception { word: "nomatch" });
        }
        has_options |= !matches!(option, "-exist" | "-!");
    }
    Ok(Line::with_options(destination, has_options))
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
             create six hash:net family inet6\nadd six 2001:db8::/32\n\
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
                "`192.0.2.0/24,tcp:80` is more than an address",
            ),
            ("add x 192.0.2.0/24,eth0", "is more than an address"),
            ("add x 192.0.2.0/25 nomatch", "is an exception (`nomatch`)"),
            ("add x 192.0.2.1/24", "bits set"),
            ("add x other", "`other` is a name"),
            ("add x", "this line is not `add NAME ADDRESS`"),
            ("swap x y", "this line is not `add NAME ADDRESS`"),
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
}
