//! Reads the address lists that `RouterOS` exports: `add address=… list=…` in the section
//! `/ip firewall address-list` or `/ipv6 firewall address-list`. A backslash at the end
//! of a line continues it.

use super::{InvalidLine, Line, List, MAX_LINE, lines::each_line};

const PATTERN: &str = "add address=ADDRESS list=NAME";

pub(super) fn read(text: &str, list: &mut List) {
    let mut script = Script::default();
    // A command that is continued: its beginning, and the line number of that.
    let mut begun: Option<(String, u32)> = None;
    each_line(text, list, |line, number, list| {
        let line = line.trim();
        let (text, continues) = match line.strip_suffix('\\') {
            Some(text) => (text, true),
            None => (line, false),
        };
        let Some((before, started)) = &mut begun else {
            if continues {
                begun = Some((text.to_owned(), number));
            } else {
                list.add(script.command(text), number);
            }
            return;
        };
        before.push_str(text);
        let (bytes, started) = (before.len(), *started);
        if bytes > MAX_LINE {
            list.add(Err(InvalidLine::TooLong { bytes }), started);
            begun = None;
        } else if !continues {
            list.add(script.command(before), started);
            begun = None;
        }
    });
    if let Some((text, started)) = begun {
        list.add(script.command(&text), started);
    }
}

/// The state between the commands of a file.
#[derive(Default)]
struct Script {
    /// True within a section other than an address list.
    elsewhere: bool,
}

impl Script {
    fn command(&mut self, text: &str) -> Result<Line, InvalidLine> {
        if text.is_empty() || text.starts_with('#') {
            return Ok(Line::Nothing);
        }
        let mut text = text;
        if text.starts_with('/') {
            let lists = ["/ip firewall address-list", "/ipv6 firewall address-list"];
            let rest = lists.iter().find_map(|list| text.strip_prefix(list));
            self.elsewhere = rest.is_none();
            text = rest.unwrap_or_default().trim();
            if text.is_empty() {
                return Ok(Line::Nothing);
            }
        }
        let (verb, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        match verb {
            // A command of another section has no address to filter.
            _ if self.elsewhere => Ok(Line::LeftOut),
            "add" => entry(rest),
            "remove" | ":log" => Ok(Line::Nothing),
            _ => Err(InvalidLine::Pattern { pattern: PATTERN }),
        }
    }
}

fn entry(properties: &str) -> Result<Line, InvalidLine> {
    let invalid = || InvalidLine::Pattern { pattern: PATTERN };
    let (mut address, mut is_in_list, mut options, mut disabled) = (None, false, false, false);
    let mut rest = properties.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or_else(invalid)?;
        let (value, after) = value(after);
        rest = after.trim_start();
        match key {
            "address" if address.is_none() => address = Some(value),
            "list" => is_in_list = true,
            "disabled" => disabled = value == "yes",
            _ => options = true,
        }
    }
    let destination = address
        .filter(|_| is_in_list)
        .ok_or_else(invalid)?
        .parse()?;
    if disabled {
        return Ok(Line::LeftOut);
    }
    Ok(Line::with_options(destination, options))
}

/// Splits a value from the text after it. In quotation marks, a backslash precedes a
/// quotation mark that belongs to the value.
fn value(text: &str) -> (&str, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        return text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
    };
    let mut escaped = false;
    let end = quoted.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    match end {
        Some(end) => (&quoted[..end], &quoted[end + 1..]),
        None => (quoted, ""),
    }
}

#[cfg(test)]
mod tests {
    use crate::lists::{Format, List, Selection, read, recognise};

    fn parse(text: &str) -> List {
        assert_eq!(recognise(text), Ok(Format::Mikrotik), "{text}");
        read(text, Format::Mikrotik, &Selection::default())
    }

    #[test]
    fn both_families_comments_and_continued_lines() {
        let list = parse(
            "# by RouterOS 7.1\n/ip firewall address-list\n\
             add list=CN address=45.6.0.0/16 comment=\"x list=\\\" y\"\n\
             add address=45.7.0.0-45.7.0.9 \\\n    list=CN\nadd address=45.8.0.1 li\\\n    st=CN timeout=1d\n\
             /ipv6 firewall address-list\nadd address=2001:db8::/32 list=CN\n\
             /ip firewall address-list add address=45.9.0.0/16 list=\"a b\"\n",
        );
        assert_eq!(list.bad.count(), 0, "{:?}", list.bad);
        let lines: Vec<u32> = list.ipv4.iter().map(|(_, line)| *line).collect();
        assert_eq!(lines, [3, 4, 6, 10]);
        assert_eq!((list.ipv6.len(), list.with_options), (1, 2));
    }

    #[test]
    fn disabled_entries_and_other_sections_are_left_out_and_counted() {
        let list = parse(
            "/ip address\nadd address=192.168.88.1/24 interface=bridge\n\
             /ip firewall address-list\nadd address=192.0.2.1 disabled=yes list=x\n\
             add address=192.0.2.2 disabled=no list=x\n/ip dns\nset servers=192.0.2.3\n",
        );
        assert_eq!(
            (list.ipv4.len(), list.left_out, list.bad.count()),
            (1, 3, 0)
        );
    }

    #[test]
    fn wrong_entries_are_refused_with_their_first_line() {
        for (line, message) in [
            ("add address=example.com list=x", "is a name"),
            ("add list=x", "this line is not `add address="),
            (
                "add \\\n address=192.0.2.1",
                "this line is not `add address=",
            ),
            ("add address=192.0.2.1/24 \\\n list=x", "bits set"),
            ("set 0 address=192.0.2.1", "this line is not `add address="),
        ] {
            let list = parse(&format!(
                "/ip firewall address-list\nadd address=192.0.2.9 list=x\n{line}\n"
            ));
            let (number, error) = &list.bad.first()[0];
            assert_eq!((*number, list.bad.count()), (3, 1), "{line}");
            assert!(error.to_string().contains(message), "{line}: {error}");
        }
    }

    #[test]
    fn a_command_without_an_end_is_bounded() {
        let text = "/ip firewall address-list\n".to_owned() + &"add address=1 \\\n".repeat(2000);
        let list = parse(&text);
        assert!(list.bad.first()[0].1.to_string().contains("bytes"));
    }
}
