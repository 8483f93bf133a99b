//! Recognises the format of a list by its first lines.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    Format, MAX_LINE, Reader, Refused, Selection, Why,
    csv::{Addresses, Csv},
    describe,
    json::{self, Seen},
    line::whole,
    other_files,
    plain::{self, content},
    plausible::{self, is_plausible},
    reader, scores,
    selection::Chooser,
    verdict,
    words::{self, Open},
};
use crate::address::{Destination, InvalidDestination};

/// Number of lines that are examined, without comments and blank lines.
const SAMPLE: usize = 64;

/// Returns the format of most of the first lines. If no line is readable in any format,
/// returns [`Format::Plain`], and its errors then tell what is wrong with each line.
pub fn recognise(text: &str) -> Result<Format, Refused> {
    let mut votes = Votes::default();
    let mut csv = Csv::new();
    // The statement that began in a line before and does not end there.
    let mut open: Option<Open> = None;
    let mut examined = 0;
    let mut first_line = 1;
    for (line, number) in text.lines().zip(1_u32..) {
        // The beginning of a long line is enough to recognise a web page or a document. As
        // an entry of a list, such a line is an error anyway.
        let line = &line[..line.floor_char_boundary(MAX_LINE)];
        if examined == 0 {
            first_line = number;
        }
        if let Some(statement) = open.take() {
            open = statement.after(line);
            votes.count(statement.format(), number);
        } else if plain::is_comment(line.trim()) {
            csv.read_comment(line);
            continue;
        } else if examined == 0
            && let Some(document) = document(line, text)
        {
            return document.map_err(|why| Refused { line: number, why });
        } else if let Some(format) = words::command_of(line) {
            open = Open::begin(format, line);
            votes.count(format, number);
        } else if let Some(why) = other_files::of(line) {
            return Err(Refused { line: number, why });
        } else {
            votes.add(line, number, &mut csv);
        }
        examined += 1;
        if examined == SAMPLE {
            break;
        }
    }
    let refused = |why| Refused {
        line: first_line,
        why,
    };
    match votes.result()? {
        None => match describe::csv(text) {
            Some(seen) => Err(refused(Why::Csv(seen))),
            None => Ok(Format::Plain),
        },
        Some(Format::Scores) if may_be_lengths(text) => Err(refused(Why::Lengths)),
        Some(format @ (Format::RangeCsv | Format::NumericCsv)) if !is_plausible(text, format) => {
            let seen = describe::csv(text).unwrap_or_else(|| plausible::numbers(format));
            Err(refused(Why::Csv(seen)))
        }
        Some(format) => Ok(format),
    }
}

/// Returns true if the number after each address may be the length of its network.
fn may_be_lengths(text: &str) -> bool {
    let mut lines = text.lines().map(content).filter(|line| !line.is_empty());
    lines.by_ref().take(SAMPLE).all(scores::may_be_length)
}

/// For each format and each reason for a refusal: the number of lines that are of this
/// kind, and the first one's line number.
#[derive(Default)]
struct Votes {
    formats: BTreeMap<Format, (usize, u32)>,
    /// Rows `network,…`. They count only if no other format is found. In a list of
    /// another format they are bad lines.
    networks: Option<(usize, u32)>,
    refused: BTreeMap<Why, (usize, u32)>,
}

impl Votes {
    /// Counts a line of `format`.
    fn count(&mut self, format: Format, number: u32) {
        self.formats.entry(format).or_insert((0, number)).0 += 1;
    }

    /// Counts one line. `csv` remembers the header of a table.
    fn add(&mut self, line: &str, number: u32, csv: &mut Csv) {
        // This call must come first, because it reads the header.
        let is_network = is_network_row(line, csv);
        let (count, _) = if let Some(format) = format_of(line, csv) {
            if is_network && format == Format::RangeCsv {
                self.networks.get_or_insert((0, number))
            } else {
                self.formats.entry(format).or_insert((0, number))
            }
        } else if let Some(why) = refusal_of(line) {
            self.refused.entry(why).or_insert((0, number))
        } else {
            return;
        };
        *count += 1;
    }

    /// Returns the format, or `None` if no line is readable in any format.
    fn result(self) -> Result<Option<Format>, Refused> {
        let mut formats = self.formats;
        if let (true, Some(rows)) = (formats.is_empty(), self.networks) {
            formats.insert(Format::RangeCsv, rows);
        }
        let sum = |counts: &mut dyn Iterator<Item = usize>| -> usize { counts.sum() };
        let understood = sum(&mut formats.values().map(|(count, _)| *count));
        let refused = sum(&mut self.refused.values().map(|(count, _)| *count));
        if refused > understood
            && let Some((why, line)) = most(&self.refused)
        {
            return Err(Refused { line, why });
        }
        let Some((first, first_line)) = most(&formats) else {
            return Ok(None);
        };
        let others = formats.iter().filter(|(format, _)| **format != first);
        // The earliest line of another format is the clearest evidence.
        match others.min_by_key(|(_, (_, line))| *line) {
            None => Ok(Some(first)),
            Some((&second, &(_, line))) => Err(Refused {
                line,
                why: Why::Ambiguous {
                    first,
                    first_line,
                    second,
                },
            }),
        }
    }
}

/// Returns the kind with the most lines and its first line. Among equal numbers, the kind
/// that occurs first wins.
fn most<T: Clone>(votes: &BTreeMap<T, (usize, u32)>) -> Option<(T, u32)> {
    let key = |&(count, line): &(usize, u32)| (count, std::cmp::Reverse(line));
    let most = votes.iter().max_by_key(|(_, vote)| key(vote));
    most.map(|(what, (_, line))| (what.clone(), *line))
}

/// Returns the first format in [`Format::ALL`] that can read `line` as an entry.
fn format_of(line: &str, csv: &mut Csv) -> Option<Format> {
    let all = Selection::default();
    let mut formats = Format::ALL.into_iter();
    formats.find(|format| match reader(*format) {
        Reader::Each(read) => read(line, &Chooser::new(&all)).is_ok(),
        Reader::Lines(read) => read(line, &mut Chooser::new(&all), csv).is_ok(),
        Reader::Whole(_) => false,
    })
}

/// Returns true if `line` is a row of a CSV with its network in one column.
fn is_network_row(line: &str, csv: &mut Csv) -> bool {
    let all = Selection::default();
    let row = csv.row(line, &mut Chooser::new(&all));
    matches!(row, Ok(Some(row)) if matches!(row.addresses, Addresses::Network(_)))
}

/// Recognises `text` by its first line if that is the beginning of a document, such as a
/// web page.
fn document(line: &str, text: &str) -> Option<Result<Format, Why>> {
    let line = line.trim();
    if line.starts_with('<') {
        return Some(Err(Why::Markup));
    }
    if line.starts_with("[Adblock") {
        return Some(Err(Why::AdBlock));
    }
    if !begins_json(line) || format_of(line, &mut Csv::within()).is_some() {
        return None;
    }
    Some(match json::recognise(text) {
        Seen::Known => Ok(Format::Json),
        Seen::Unknown(seen) => Err(Why::Json(seen)),
        Seen::Damaged(error) => {
            let why = crate::quoted::quoted(&error.to_string());
            Err(Why::DamagedJson { why })
        }
    })
}

/// Returns true for the beginning of a JSON object or array. An IPv6 address with a port
/// begins with a bracket too.
fn begins_json(line: &str) -> bool {
    let after = |bracket| line.strip_prefix(bracket).map(str::trim_start);
    let is_object = after('{').is_some_and(|rest| rest.is_empty() || rest.starts_with(['"', '}']));
    let is_array = after('[')
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['"', '{', '[', ']', 't', 'n']));
    is_object || is_array
}

fn refusal_of(line: &str) -> Option<Why> {
    /// The first words of commands for other filters: names of programs, and the formats
    /// of `ipset save`, `RouterOS`, Cisco, pf and nftables.
    const COMMANDS: [&str; 21] = [
        "iptables",
        "ip6tables",
        "ipset",
        "nft",
        "route",
        "netsh",
        "ufw",
        "firewall-cmd",
        "create",
        "add",
        "flush",
        "-A",
        "-N",
        "/ip",
        "/ipv6",
        "ip",
        "ipv6",
        "access-list",
        "permit",
        "deny",
        "table",
    ];
    let line = whole(line);
    if line.starts_with("||") || line.starts_with("@@") {
        return Some(Why::AdBlock);
    }
    let mut words = content(line).split_whitespace();
    let (first, second) = (words.next()?, words.next());
    if COMMANDS.contains(&first) {
        return Some(Why::Commands);
    }
    match second {
        Some(name) => {
            // Hosts files often have an address with a zone: `fe80::1%lo0 localhost`.
            let address = first.split('%').next().unwrap_or_default();
            if address.parse::<IpAddr>().is_err() {
                return None;
            }
            if is_host(name) {
                return Some(Why::Hosts);
            }
            let is_short = |name: &str| {
                let is_label = |c: char| c.is_ascii_alphanumeric() || c == '-';
                name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(is_label)
            };
            let is_verdict = verdict::is_possible(name);
            (is_short(name) && !is_verdict && words.all(is_short)).then_some(Why::Names)
        }
        None => is_domain(first).then_some(Why::Domains),
    }
}

fn is_host(name: &str) -> bool {
    const LOCAL: [&str; 3] = ["localhost", "local", "broadcasthost"];
    LOCAL.contains(&name) || name.starts_with("ip6-") || is_domain(name)
}

fn is_domain(name: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let refused = name.parse::<Destination>();
    name.contains('.')
        && name.chars().all(allowed)
        && matches!(refused, Err(InvalidDestination::Name { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (u32, Why) {
        let refused = recognise(text).unwrap_err();
        (refused.line, refused.why)
    }

    #[test]
    fn the_format_of_most_lines_counts_and_a_bad_line_does_not() {
        let text = "# head\n\n; x\nexample.com\n10.0.0.0/8\n192.0.2.1\n";
        assert_eq!(recognise(text), Ok(Format::Plain));
        assert_eq!(recognise("\n1.0.0.1\t3\n[x\n"), Ok(Format::Scores));
    }

    #[test]
    fn a_list_without_a_readable_line_is_plain() {
        for text in ["", "# only a comment\n", "nonsense here\n", "10.0.0.1/8\n"] {
            assert_eq!(recognise(text), Ok(Format::Plain), "{text:?}");
        }
    }

    #[test]
    fn lines_of_two_formats_are_refused() {
        let text = "192.0.2.1\n192.0.2.2 7\n192.0.2.3 8\n";
        let why = Why::Ambiguous {
            first: Format::Scores,
            first_line: 2,
            second: Format::Plain,
        };
        assert_eq!(refused(text), (1, why.clone()));
        assert_eq!(why.help(), "write `format: scores` or `format: plain`");
        let (line, _) = refused("1.0.0.0,1.0.0.9\n16777216,16777217\n");
        assert_eq!(line, 2, "among equals the first line's format is first");
    }

    #[test]
    fn files_that_are_not_lists_of_addresses_are_refused() {
        for (text, line, why) in [
            (
                "# x\n127.0.0.1 localhost\n::1 ip6-loopback\n",
                2,
                Why::Hosts,
            ),
            ("0.0.0.0 a.example.com # x\n", 1, Why::Hosts),
            ("fe80::1%lo0 localhost\n", 1, Why::Hosts),
            ("a.example.com\n*.example.org\n", 1, Why::Domains),
            ("! title\n||example.com^\n@@||x^\n", 2, Why::AdBlock),
            ("[Adblock Plus 2.0]\n||x^\n", 1, Why::AdBlock),
            (
                "iptables -A FORWARD -j DROP -d 192.0.2.1\n",
                1,
                Why::Commands,
            ),
            ("<!DOCTYPE html>\n192.0.2.1\n", 1, Why::Markup),
        ] {
            assert_eq!(refused(text), (line, why), "{text:?}");
        }
    }

    #[test]
    fn rows_with_a_network_are_a_table_but_bad_lines_in_another_list() {
        let table = "network,asn\n1.0.0.0/24,13335\n1.0.4.0/22,AS38803,\"B, C\"\n";
        assert_eq!(recognise(table), Ok(Format::RangeCsv));
        let plain = "1.0.0.0/24 note\n1.0.4.0/22\n1.0.8.0/22,note\n";
        assert_eq!(recognise(plain), Ok(Format::Plain));
        let tabs = "Start\tEnd\tNetmask\n1.0.0.0\t1.0.0.255\t24\n";
        assert_eq!(recognise(tabs), Ok(Format::RangeCsv));
    }

    #[test]
    fn commands_for_other_filters_are_recognised() {
        for text in [
            "access-list 1 deny 203.0.114.0 0.0.0.255\n",
            "-A INPUT -s 203.0.114.0/24 -j DROP\n",
            "table <bad> persist { 203.0.114.0/24 }\n",
        ] {
            assert_eq!(refused(text), (1, Why::Commands), "{text:?}");
        }
    }

    #[test]
    fn only_the_first_lines_are_examined() {
        let text = "192.0.2.1\n".repeat(SAMPLE) + "192.0.2.2 7\n";
        assert_eq!(recognise(&text), Ok(Format::Plain));
    }

    #[test]
    fn numbers_that_may_be_lengths_are_refused() {
        assert_eq!(refused("45.1.2.0 24\n45.1.0.0\t16\n"), (1, Why::Lengths));
        assert_eq!(recognise("45.1.2.0 24\n45.1.2.3 9\n"), Ok(Format::Scores));
        assert_eq!(recognise("45.1.2.0/24 24\n"), Ok(Format::Scores));
        let list = crate::lists::read("45.1.2.3 443\n", Format::Scores, &Selection::default());
        assert!(list.how.unwrap().contains("min_score"));
    }

    #[test]
    fn hosts_with_short_names_are_not_called_names() {
        assert_eq!(
            refused("10.0.0.1 printer\n10.0.0.2 nas nas2\n"),
            (1, Why::Names)
        );
    }

    #[test]
    fn an_excluded_address_is_no_comment() {
        assert_eq!(recognise("!192.0.2.5\n192.0.2.0/24\n"), Ok(Format::Plain));
    }
}
