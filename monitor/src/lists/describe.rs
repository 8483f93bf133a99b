//! Describes a text whose form is not known: what stands where, and how to read it.

use std::fmt::Write as _;

use super::{
    by_column::yaml_word,
    dialect::{Dialect, Fields, family, is_comment, rows},
    header::{is_end, is_mask},
    plain,
    spelling::is_netmask,
};
use crate::{address::Destination, quoted::quoted};

/// Number of columns that a description shows.
const SHOWN: usize = 8;

/// What was seen in a text of an unknown form, and the keys with which to read it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Description {
    /// What was seen.
    pub seen: String,
    /// Keys to add to the destination; each alone is one way to read the list.
    pub keys: Vec<String>,
}

/// What the fields of one column are: the number of each kind.
#[derive(Clone, Copy, Debug, Default)]
struct Column {
    ipv4: usize,
    ipv6: usize,
    /// Addresses with a port.
    ports: usize,
    netmasks: usize,
    /// Numbers that fit an address of the same row as the length of its network.
    lengths: usize,
    urls: usize,
    /// Fields with several addresses.
    several: usize,
}

/// Describes a text that is a CSV whose form is not known: its columns with addresses,
/// and the key to write.
pub(super) fn csv(text: &str) -> Option<Description> {
    let dialect = Dialect::of(text)?;
    let columns = count(text, &dialect);
    let mut seen = format!(
        "this is a CSV of {} columns, separated by {}",
        dialect.columns,
        dialect.separator_name()
    );
    let mut shown = 0;
    for (at, column) in columns.iter().enumerate() {
        let Some(what) = column.shown() else { continue };
        let name = dialect.names().get(at).filter(|name| !name.is_empty());
        let name = name.map_or_else(String::new, |name| format!(" (`{}`)", quoted(name)));
        if shown < SHOWN {
            // Writing to a String cannot fail.
            let _ = write!(seen, "; column {}{name} holds {what}", at + 1);
        }
        shown += 1;
    }
    (shown > 0).then(|| Description {
        seen,
        keys: keys(&dialect, &columns),
    })
}

/// Returns the keys that read all of a table. There are none if the netmasks or lengths of
/// the networks are in another column.
fn keys(dialect: &Dialect, columns: &[Column]) -> Vec<String> {
    let word = |at: usize| match dialect.names().get(at) {
        Some(name) if !name.is_empty() => yaml_word(&quoted(name)),
        _ => (at + 1).to_string(),
    };
    let mut with: Vec<usize> = (0..columns.len())
        .filter(|at| columns[*at].addresses() > 0)
        .collect();
    let most = with
        .iter()
        .map(|at| columns[*at].addresses())
        .max()
        .unwrap_or(0);
    let is_mask = |(at, column): (usize, &Column)| {
        let is_named = dialect.names().get(at).is_some_and(|name| is_mask(name));
        is_named || column.netmasks > 0 || (most > 0 && column.lengths >= most)
    };
    if columns.iter().enumerate().any(is_mask) {
        return Vec::new();
    }
    let key = |at: usize| {
        let ports = if columns[at].ports > 0 {
            ", ports: ignore"
        } else {
            ""
        };
        format!("column: {}{ports}", word(at))
    };
    let mut keys = Vec::new();
    if let [first, last] = with[..] {
        keys.push(format!("first: {}, last: {}", word(first), word(last)));
        let names = dialect.names();
        let are_ends = [first, last]
            .iter()
            .all(|at| names.get(*at).is_some_and(|name| is_end(name)));
        if are_ends {
            return keys;
        }
    } else {
        with.sort_by_key(|at| std::cmp::Reverse(columns[*at].addresses()));
    }
    keys.extend(with.into_iter().take(3).map(key));
    keys
}

impl Column {
    fn addresses(&self) -> usize {
        self.ipv4 + self.ipv6 + self.ports
    }

    /// Returns what the column has, or `None` if it has nothing to tell.
    fn shown(&self) -> Option<String> {
        let mut parts = Vec::new();
        if self.ipv4 + self.ipv6 > 0 {
            parts.push(families(self.ipv4, self.ipv6));
        }
        for (count, one, many) in [
            (self.ports, "address with a port", "addresses with ports"),
            (self.netmasks, "netmask", "netmasks"),
            (self.urls, "URL", "URLs"),
            (
                self.several,
                "field with several addresses",
                "fields with several addresses",
            ),
        ] {
            if count > 0 {
                parts.push(format!("{count} {}", if count == 1 { one } else { many }));
            }
        }
        (!parts.is_empty()).then(|| parts.join(" and "))
    }

    fn add(&mut self, field: &str) {
        match family(field) {
            Some(true) if is_netmask(field) => self.netmasks += 1,
            Some(true) => self.ipv4 += 1,
            Some(false) => self.ipv6 += 1,
            None if field.len() < 7 => {}
            None if plain::without_port(field).is_some() => self.ports += 1,
            None if field.contains("://") => self.urls += 1,
            None => {
                let words = field.split([' ', ',', ';', '|']).map(str::trim);
                let addresses = words.filter(|word| family(word).is_some());
                self.several += usize::from(addresses.count() > 1);
            }
        }
    }
}

/// Returns `3 IPv4 and 2 IPv6 addresses`.
pub(super) fn families(ipv4: usize, ipv6: usize) -> String {
    let plural = |count: usize| if count == 1 { "" } else { "es" };
    match (ipv4, ipv6) {
        (ipv4, 0) => format!("{ipv4} IPv4 address{}", plural(ipv4)),
        (0, ipv6) => format!("{ipv6} IPv6 address{}", plural(ipv6)),
        (ipv4, ipv6) => format!("{ipv4} IPv4 and {ipv6} IPv6 addresses"),
    }
}

/// Counts what each column has.
fn count(text: &str, dialect: &Dialect) -> Vec<Column> {
    let mut columns = vec![Column::default(); dialect.columns];
    let mut fields = Fields::new(dialect.separator);
    let header = dialect.header.as_ref().map(|(_, line)| *line);
    for row in rows(text).filter(|row| !is_comment(row.text) && !row.is_open) {
        if header == Some(row.line) {
            continue;
        }
        fields.split(row.text);
        let mut address = None;
        for (at, column) in columns.iter_mut().enumerate() {
            let field = fields.get(at).unwrap_or_default();
            if address.is_none() && !field.contains(['/', '-']) && family(field).is_some() {
                address = Some(field);
            }
            let is_number = (1..=3).contains(&field.len()) && field.parse::<u8>().is_ok();
            if is_number && address.is_some_and(|address| is_length(address, field)) {
                column.lengths += 1;
            }
            column.add(field);
        }
    }
    columns
}

/// Returns true if `number` may be the length of the network that begins at `address`.
fn is_length(address: &str, number: &str) -> bool {
    number != "0" && format!("{address}/{number}").parse::<Destination>().is_ok()
}

#[cfg(test)]
mod tests {
    use crate::lists::{Why, by_column::tests::FEED, recognise};

    #[test]
    fn without_a_column_the_columns_with_addresses_are_counted() {
        let refused = recognise(FEED).unwrap_err();
        assert_eq!(refused.line, 3);
        let shown = refused.why.to_string();
        assert_eq!(
            shown,
            "this is a CSV of 4 columns, separated by commas; column 2 (`dst_ip`) holds 2 IPv4 and 1 IPv6 addresses"
        );
        assert_eq!(
            refused.why.help_for("f.csv"),
            "write `{list: f.csv, column: dst_ip}`"
        );
        let rows = "192.0.2.1|2024-01-01|x\n192.0.2.2|2024-01-02|y\n";
        let Why::Csv(seen) = recognise(rows).unwrap_err().why else {
            panic!("{rows}")
        };
        assert_eq!(seen.keys, ["column: 1"]);
    }

    #[test]
    fn the_line_to_copy_loses_no_end_and_no_netmask() {
        for (text, part, keys) in [
            (
                "ip_von|ip_bis|land\n45.1.2.3|45.1.2.9|CN\n45.2.2.3|45.2.2.9|CN\n",
                "column 2 (`ip_bis`) holds 2 IPv4 addresses",
                [
                    "first: ip_von, last: ip_bis",
                    "column: ip_von",
                    "column: ip_bis",
                ]
                .as_slice(),
            ),
            (
                "start;end;x\n45.1.2.3;45.1.2.9;CN\n",
                "holds 1",
                &["first: start, last: end"],
            ),
            (
                "a|netmask\n45.1.2.0|255.255.255.0\n",
                "holds 1 netmask",
                &[],
            ),
            ("1.2.3.0;24;x\n45.1.2.0;24;y\n", "holds 2", &[]),
            (
                "id;dst\n1;45.1.2.3:80\n2;45.1.2.4:80\n",
                "column 2 (`dst`) holds 2 addresses with ports",
                &["column: dst, ports: ignore"],
            ),
            (
                "id|all\n1|45.1.2.3, 45.1.2.4\n",
                "holds 1 field with several addresses",
                &[],
            ),
            (
                "1.2.3.0;1.2.3.255;CN\n",
                "column 1 holds",
                &["first: 1, last: 2", "column: 1", "column: 2"],
            ),
        ] {
            let Err(refused) = recognise(text) else {
                panic!("{text}")
            };
            let Why::Csv(seen) = refused.why else {
                panic!("{text}: {:?}", refused.why)
            };
            assert!(seen.seen.contains(part), "{text}: {}", seen.seen);
            assert_eq!(seen.keys, keys, "{text}");
        }
    }

    #[test]
    fn a_feed_with_blanks_after_commas_is_described() {
        let text = "# \"first_seen_utc\", \"ioc_id\", \"ioc_value\", \"ioc_type\"\n\
                    \"2024-01-01 00:00:00\", \"1\", \"45.1.2.3:443\", \"ip:port\"\n\
                    \"2024-01-01 00:00:00\", \"2\", \"http://a.example/x\", \"url\"\n";
        let Err(refused) = recognise(text) else {
            panic!("{text}")
        };
        let Why::Csv(seen) = refused.why else {
            panic!("{:?}", refused.why)
        };
        assert!(
            seen.seen
                .contains("column 3 (`ioc_value`) holds 1 address with a port and 1 URL"),
            "{}",
            seen.seen
        );
        assert_eq!(seen.keys, ["column: ioc_value, ports: ignore"]);
    }
}
