//! Reads the address lists that `RouterOS` exports: `add address=… list=…` in the section
//! `/ip firewall address-list` or `/ipv6 firewall address-list`. A backslash at the end
//! of a line continues it.

use super::{InvalidLine, Line, List, MAX_LINE, lines::each_line, selection::Chooser};

const PATTERN: &str = "add address=ADDRESS list=NAME";

pub(super) fn read(text: &str, chooser: &mut Chooser<'_>, list: &mut List) {
    let mut script = Script::default();
    // A command that is continued: its beginning, and the line number of that.
    let mut begun: Option<(String, u32)> = None;
    each_line(text, 1, list, |line, number, list| {
        let line = line.trim();
        let (text, continues) = match line.strip_suffix('\\') {
            Some(text) => (text, true),
            None => (line, false),
        };
        let Some((before, started)) = &mut begun else {
            if continues {
                begun = Some((text.to_owned(), number));
            } else {
                list.add(script.command(text, number, chooser), number);
            }
            return;
        };
        before.push_str(text);
        let (bytes, started) = (before.len(), *started);
        if bytes > MAX_LINE {
            list.add(Err(InvalidLine::TooLong { bytes }), started);
            begun = None;
        } else if !continues {
            list.add(script.command(before, started, chooser), started);
            begun = None;
        }
    });
    if let Some((text, started)) = begun {
        list.add(script.command(&text, started, chooser), started);
    }
}

/// The state between the commands of a file.
#[derive(Default)]
struct Script {
    /// True within a section other than an address list.
    elsewhere: bool,
}

impl Script {
    fn command(
        &mut self,
        text: &str,
        number: u32,
        chooser: &mut Chooser<'_>,
    ) -> Result<Line, InvalidLine> {
        let mut text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            return Ok(Line::Nothing);
        }
        if let Some(section) = section(text) {
            self.elsewhere = !section.is_address_list;
            text = section.command;
            if text.is_empty() {
                return Ok(Line::Nothing);
            }
        }
        let (verb, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        match verb {
            // A command of another section has no address to filter.
            _ if self.elsewhere => Ok(Line::LeftOut),
            "add" => entry(rest, number, chooser),
            "remove" | "disable" | "set" => {
                let list = rest
                    .split(['[', ']', ' '])
                    .find_map(|word| word.strip_prefix("list="));
                chooser.removes(list.map(|list| value(list).0), text)
            }
            ":log" | ":do" | ":put" => Ok(Line::Nothing),
            _ => Err(InvalidLine::Pattern { pattern: PATTERN }),
        }
    }
}

/// The section that a line names, and the command after it.
pub(super) struct Section<'a> {
    pub(super) is_address_list: bool,
    command: &'a str,
}

/// Splits the section off a line, such as `/ip firewall address-list` or, since `RouterOS`
/// 7, `/ip/firewall/address-list`.
pub(super) fn section(line: &str) -> Option<Section<'_>> {
    const VERBS: [&str; 8] = [
        "add", "set", "remove", "disable", "enable", "print", "export", "edit",
    ];
    let mut rest = line.strip_prefix('/')?;
    let mut names = Vec::new();
    while !rest.is_empty() && names.len() < 8 {
        let end = rest.find(['/', ' ', '\t']).unwrap_or(rest.len());
        let name = &rest[..end];
        if VERBS.contains(&name) || name.contains(['=', '[']) {
            break;
        }
        names.push(name);
        rest = rest[end..].trim_start_matches(['/', ' ', '\t']);
    }
    let is_address_list = matches!(
        names.as_slice(),
        ["ip" | "ipv6", "firewall", "address-list"]
    );
    let command = rest;
    Some(Section {
        is_address_list,
        command,
    })
}

fn entry(properties: &str, number: u32, chooser: &mut Chooser<'_>) -> Result<Line, InvalidLine> {
    let invalid = || InvalidLine::Pattern { pattern: PATTERN };
    let (mut address, mut list, mut options, mut disabled) = (None, None, false, false);
    let mut rest = properties.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or_else(invalid)?;
        let (value, after) = value(after);
        rest = after.trim_start();
        match key {
            "address" if address.is_none() => address = Some(value),
            "list" if list.is_none() => list = Some(value),
            "disabled" => disabled = value == "yes",
            _ => options = true,
        }
    }
    let (address, list) = address.zip(list).ok_or_else(invalid)?;
    if disabled || !chooser.takes_set(list, number) {
        return Ok(Line::LeftOut);
    }
    Ok(Line::with_options(address.parse()?, options))
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
             /ip firewall address-list add address=45.9.0.0/16 list=\"CN\"\n",
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
            ("set 0 address=192.0.2.1", "removes or changes entries"),
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

    #[test]
    fn sections_have_blanks_or_slashes() {
        for section in [
            "/ip/firewall/address-list",
            "/ip firewall address-list",
            "/ip/firewall address-list",
        ] {
            let list = parse(&format!(
                "{section}\nadd list=x address=45.1.0.0/24\n{section} add list=x address=45.2.0.0/24\n\
                 /ip/address\nadd address=192.168.88.1/24 interface=bridge\n"
            ));
            assert_eq!(
                (list.ipv4.len(), list.left_out, list.bad.count()),
                (2, 1, 0),
                "{section}"
            );
        }
    }

    #[test]
    fn a_removal_after_an_entry_is_refused() {
        let head =
            "/ip firewall address-list\nremove [find list=x]\nadd list=x address=45.1.0.0/24\n";
        for command in [
            "remove [find list=x]",
            "/ip firewall address-list remove [find]",
            "disable [find list=x]",
        ] {
            let list = parse(&format!("{head}{command}\n"));
            assert_eq!(
                (list.bad.first()[0].0, list.bad.exclusions()),
                (4, 1),
                "{command}"
            );
        }
        assert_eq!(
            parse(&format!("{head}remove [find list=y]\n")).bad.count(),
            0
        );
    }

    #[test]
    fn several_lists_are_refused() {
        let list = parse(
            "/ip firewall address-list\nadd list=block address=45.1.0.0/24\nadd list=white address=45.2.0.0/24\n",
        );
        assert_eq!((list.bad.first()[0].0, list.bad.exclusions()), (3, 1));
    }
}
