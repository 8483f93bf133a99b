//! The format of a list, by its first lines.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    Format, MAX_LINE, Selection,
    csv::{Addresses, Csv},
    line::whole,
    plain::content,
    read_line,
    selection::Chooser,
};
use crate::address::{Destination, InvalidDestination};

/// Lines that are looked at; comments and blank ones do not count.
const SAMPLE: usize = 64;

/// A list that no format can be told of, and the line that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// From 1.
    pub line: u32,
    /// What was found there.
    pub why: Why,
}

/// Why no format can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Why {
    /// Addresses and names, as in /etc/hosts.
    #[error("this is a hosts file: it holds names, and this filter matches addresses")]
    Hosts,
    /// A name per line.
    #[error("this is a list of domains: it holds names, and this filter matches addresses")]
    Domains,
    /// Rules for browsers.
    #[error("this is a list for ad blockers: it holds names, and this filter matches addresses")]
    AdBlock,
    /// Lines for another program.
    #[error("these are commands for another filter, not a list of addresses")]
    Commands,
    /// HTML or XML.
    #[error("this is a web page or XML, not a list of addresses")]
    Markup,
    /// JSON that is not one object per line.
    #[error("this is a JSON document, not one object with a `cidr` per line")]
    JsonDocument,
    /// Lines of two formats.
    #[error("the format cannot be told: this line is `{second}`, others are `{first}`")]
    Ambiguous {
        /// The format of most lines.
        first: Format,
        /// The format of this line.
        second: Format,
    },
}

impl Why {
    /// How to mend it.
    #[must_use]
    pub fn help(self) -> String {
        match self {
            Self::Hosts | Self::Domains | Self::AdBlock => {
                "use it in a DNS filter; here name a list of CIDRs, addresses or ranges".to_owned()
            }
            Self::Commands | Self::JsonDocument => {
                "write its CIDRs, addresses or ranges into a file, one per line".to_owned()
            }
            Self::Markup => {
                "fetch the list again: a server may have answered with a page in its place"
                    .to_owned()
            }
            Self::Ambiguous { first, second } => {
                format!("write `format: {first}` or `format: {second}`")
            }
        }
    }
}

/// The format of most of the first lines. Where none is understood it is
/// [`Format::Plain`], whose errors then say what is wrong with each.
pub fn recognise(text: &str) -> Result<Format, Refused> {
    let numbered = text.lines().zip(1_u32..);
    let meaningful = numbered.filter(|(line, _)| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with(['#', ';', '!'])
    });
    let mut votes = Votes::default();
    let mut csv = Csv::new();
    for (index, (line, number)) in meaningful.take(SAMPLE).enumerate() {
        // The beginning tells a page or a document; as an entry it is too long.
        let line = &line[..line.floor_char_boundary(MAX_LINE)];
        if index == 0
            && let Some(why) = document(line)
        {
            return Err(Refused { line: number, why });
        }
        votes.add(line, number, &mut csv);
    }
    votes.result()
}

/// Votes for what lines are, and the first line that is it.
#[derive(Default)]
struct Votes {
    formats: BTreeMap<Format, (usize, u32)>,
    /// Rows `network,…`, which in a list of another format are wrong lines.
    networks: Option<(usize, u32)>,
    refused: BTreeMap<Why, (usize, u32)>,
}

impl Votes {
    /// `csv` keeps what the header of a table says.
    fn add(&mut self, line: &str, number: u32, csv: &mut Csv) {
        // First, because this reads the header.
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

    fn result(self) -> Result<Format, Refused> {
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
        let Some((first, _)) = most(&formats) else {
            return Ok(Format::Plain);
        };
        let mut others = formats.iter().filter(|(format, _)| **format != first);
        match others.next() {
            None => Ok(first),
            Some((&second, &(_, line))) => Err(Refused {
                line,
                why: Why::Ambiguous { first, second },
            }),
        }
    }
}

/// What has most votes; among equals what begins first.
fn most<T: Copy>(votes: &BTreeMap<T, (usize, u32)>) -> Option<(T, u32)> {
    let key = |&(count, line): &(usize, u32)| (count, std::cmp::Reverse(line));
    let most = votes.iter().max_by_key(|(_, vote)| key(vote));
    most.map(|(what, (_, line))| (*what, *line))
}

/// The one format whose reader understands `line`.
fn format_of(line: &str, csv: &mut Csv) -> Option<Format> {
    let all = Selection::default();
    let mut formats = Format::ALL.into_iter();
    formats.find(|format| read_line(line, *format, &mut Chooser::new(&all), csv).is_ok())
}

/// Whether `line` is a row with its network in one column.
fn is_network_row(line: &str, csv: &mut Csv) -> bool {
    let all = Selection::default();
    let row = csv.row(line, &mut Chooser::new(&all));
    matches!(row, Ok(Some(row)) if matches!(row.addresses, Addresses::Network(_)))
}

/// What a whole document begins with.
fn document(line: &str) -> Option<Why> {
    let line = line.trim();
    if line.starts_with('<') {
        return Some(Why::Markup);
    }
    if line.starts_with("[Adblock") {
        return Some(Why::AdBlock);
    }
    let json = line.starts_with(['{', '[']) && format_of(line, &mut Csv::within()).is_none();
    // One wrong line among objects is that line's error.
    let object = line.starts_with('{') && line.ends_with('}') && !line.contains('[');
    (json && !object).then_some(Why::JsonDocument)
}

fn refusal_of(line: &str) -> Option<Why> {
    /// First words of lines for other filters: their programs, `ipset save`,
    /// `RouterOS`, Cisco, pf and nftables.
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
            // A zone is usual here: `fe80::1%lo0 localhost`.
            let address = first.split('%').next().unwrap_or_default();
            let hosts = address.parse::<IpAddr>().is_ok() && is_host(name);
            hosts.then_some(Why::Hosts)
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
    fn most_lines_decide_and_a_wrong_one_does_not() {
        let text = "# head\n\n; x\nexample.com\n10.0.0.0/8\n192.0.2.1\n";
        assert_eq!(recognise(text), Ok(Format::Plain));
        assert_eq!(recognise("\n1.0.0.1\t3\n[x\n"), Ok(Format::Scores));
    }

    #[test]
    fn without_a_line_that_is_understood_it_is_plain() {
        for text in ["", "# only a comment\n", "nonsense here\n", "10.0.0.1/8\n"] {
            assert_eq!(recognise(text), Ok(Format::Plain), "{text:?}");
        }
    }

    #[test]
    fn lines_of_two_formats_ask_for_one() {
        let text = "192.0.2.1\n192.0.2.2 7\n192.0.2.3 8\n";
        let why = Why::Ambiguous {
            first: Format::Scores,
            second: Format::Plain,
        };
        assert_eq!(refused(text), (1, why));
        assert_eq!(why.help(), "write `format: scores` or `format: plain`");
        let (line, _) = refused("1.0.0.0,1.0.0.9\n16777216,16777217\n");
        assert_eq!(line, 2, "among equals the first line's format is first");
    }

    #[test]
    fn what_holds_no_addresses_is_refused() {
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
            ("{\n  \"prefixes\": []\n}\n", 1, Why::JsonDocument),
            ("[\"192.0.2.0/24\"]\n", 1, Why::JsonDocument),
            (
                "{\"prefixes\":[{\"cidr\":\"192.0.2.0/24\"}]}\n",
                1,
                Why::JsonDocument,
            ),
        ] {
            assert_eq!(refused(text), (line, why), "{text:?}");
        }
    }

    #[test]
    fn rows_with_a_network_are_a_table_and_in_another_list_they_are_wrong_lines() {
        let table = "network,asn\n1.0.0.0/24,13335\n1.0.4.0/22,AS38803,\"B, C\"\n";
        assert_eq!(recognise(table), Ok(Format::RangeCsv));
        let plain = "1.0.0.0/24,note\n1.0.4.0/22\n1.0.8.0/22,note\n";
        assert_eq!(recognise(plain), Ok(Format::Plain));
        let tabs = "Start\tEnd\tNetmask\n1.0.0.0\t1.0.0.255\t24\n";
        assert_eq!(recognise(tabs), Ok(Format::RangeCsv));
    }

    #[test]
    fn commands_for_other_filters_are_told() {
        for text in [
            "create bad hash:net\nadd bad 203.0.114.0/24\nadd bad 203.0.115.0/24 timeout 300\n",
            "/ip firewall address-list\nadd list=bad address=203.0.114.0/24\n",
            "ip prefix-list bad permit 203.0.114.0/24\n",
            "-A INPUT -s 203.0.114.0/24 -j DROP\n",
            "table <bad> persist { 203.0.114.0/24 }\n",
        ] {
            assert_eq!(refused(text), (1, Why::Commands), "{text:?}");
        }
    }

    #[test]
    fn only_the_first_lines_are_looked_at() {
        let text = "192.0.2.1\n".repeat(SAMPLE) + "192.0.2.2 7\n";
        assert_eq!(recognise(&text), Ok(Format::Plain));
    }
}
