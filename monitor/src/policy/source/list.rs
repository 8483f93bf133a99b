//! A list among the destinations, as it is typed.

use std::{path::PathBuf, str::FromStr};

use serde_yaml::Value;

use super::{
    feed::SourceFeed,
    position::Position,
    reader::{Reader, Spanned, get},
};
use crate::{
    lists::{Country, FeedUrl, Format, Key, Selection},
    policy::{
        diagnostic::{Diagnostic, near_miss},
        keys::DestinationKind,
        yaml::Node,
    },
};

/// A list, and how to read it.
#[derive(Debug)]
pub(in crate::policy) struct SourceList {
    pub(in crate::policy) path: Spanned<PathBuf>,
    /// The fetch options if `path` is a URL, otherwise `None`.
    pub(in crate::policy) feed: Option<Box<SourceFeed>>,
    pub(in crate::policy) format: Option<Spanned<Format>>,
    pub(in crate::policy) min_score: Option<Spanned<u32>>,
    /// The lines to select; empty: all lines.
    pub(in crate::policy) keys: Vec<Spanned<Key>>,
    pub(in crate::policy) skip_bad_lines: bool,
    /// True if the ports of `address:port` are ignored.
    pub(in crate::policy) ignore_ports: bool,
    /// The names of the sets to use; `None`: the list must have one set.
    pub(in crate::policy) sets: Option<Spanned<Vec<String>>>,
    /// Where a CSV or a JSON document holds the addresses.
    pub(in crate::policy) position: Position,
    /// True if it is written as `table`, false if as `list`.
    pub(in crate::policy) is_table: bool,
}

impl SourceList {
    /// The selection of lines.
    pub(in crate::policy) fn selection(&self) -> Selection {
        Selection {
            min_score: self.min_score.as_ref().map(|score| score.value),
            keys: self.keys.iter().map(|key| key.value).collect(),
            ignore_ports: self.ignore_ports,
            columns: self.position.columns.clone(),
            path: self.position.path.clone(),
            locations: None,
            sets: self
                .sets
                .iter()
                .flat_map(|sets| sets.value.clone())
                .collect(),
        }
    }
}

/// Words that operators may write for a format, and the format they mean.
const WORDS: [(&str, Format); 10] = [
    ("cidr", Format::Plain),
    ("txt", Format::Plain),
    ("ipsum", Format::Scores),
    ("score", Format::Scores),
    ("jsonl", Format::Json),
    ("p2p", Format::PeerGuardian),
    ("dat", Format::Emule),
    ("ipfilter", Format::Emule),
    ("tsv", Format::Csv),
    ("delegated", Format::Rir),
];

impl Reader<'_> {
    pub(super) fn list(&mut self, node: &Node<'_>, list: &Node<'_>) -> Option<SourceList> {
        for key in DestinationKind::Feed.foreign_keys() {
            if let Some(value) = get(node, key) {
                let message = format!("`{key}` belongs to a `cidr`, not to a `list`");
                self.error(value.span, message, "take the addresses out of the list");
                return None;
            }
        }
        // Every part is read before the first check, so all errors are
        // reported at once.
        let mut valid = true;
        let path = self.list_path(list);
        let feed = self.feed_of(node, list, &mut valid);
        let format = self.option(node, "format", Self::format, &mut valid);
        let min_score = self.option(node, "min_score", Self::min_score, &mut valid);
        let country = self.option(node, "country", Self::country_key, &mut valid);
        let skip = self.option(node, "on_bad_line", Self::on_bad_line, &mut valid);
        let ports = self.option(node, "ports", Self::ports, &mut valid);
        let sets = self.option(node, "set", Self::sets, &mut valid);
        let position = self.position(node, format.as_ref(), &mut valid);
        let path = path.filter(|_| valid)?;
        Some(SourceList {
            path,
            feed,
            format,
            min_score,
            keys: country.into_iter().collect(),
            skip_bad_lines: skip.is_some_and(|skip| skip.value),
            ignore_ports: ports.is_some_and(|ports| ports.value),
            sets,
            position,
            is_table: false,
        })
    }

    /// `{asn: […], table: …}` or `{country: […], table: …}`.
    pub(super) fn table(&mut self, node: &Node<'_>, table: &Node<'_>) -> Option<SourceList> {
        let path = self.table_path(table);
        let (asns, countries) = (get(node, "asn"), get(node, "country"));
        let keys = match (asns, countries) {
            (Some(asns), None) => self.keys(&asns, "`asn`", Self::asn_key),
            (None, Some(countries)) => self.keys(&countries, "`country`", Self::country_key),
            (Some(_), Some(country)) => {
                let message = "this table has both `asn` and `country`";
                self.error(country.span, message, "write two destinations");
                return None;
            }
            (None, None) => {
                let help = "write `{asn: [24406], table: …}` or `{country: [CN], table: …}`";
                let message = "this table has neither `asn` nor `country`";
                self.error(table.span.clone(), message, help);
                return None;
            }
        };
        let (path, keys) = (path?, keys?);
        Some(SourceList {
            path,
            feed: None,
            format: None,
            min_score: None,
            keys,
            skip_bad_lines: false,
            ignore_ports: false,
            sets: None,
            position: Position::default(),
            is_table: true,
        })
    }

    /// Reads one key or a sequence of keys; `None` if one is invalid.
    fn keys(
        &mut self,
        node: &Node<'_>,
        what: &str,
        read: fn(&mut Self, &Node<'_>) -> Option<Key>,
    ) -> Option<Vec<Spanned<Key>>> {
        let elements = self.one_or_many(node, what);
        let mut keys: Vec<Spanned<Key>> = Vec::new();
        let mut valid = !elements.is_empty();
        for element in &elements {
            let Some(value) = read(self, element) else {
                valid = false;
                continue;
            };
            let span = element.span.clone();
            if keys.iter().any(|key| key.value == value) {
                let message = format!("`{value}` is named twice");
                let help = "remove one of the two; it counts once";
                self.out
                    .push(Diagnostic::warning(self.file.place(span), message, help));
                continue;
            }
            keys.push(Spanned { value, span });
        }
        valid.then_some(keys)
    }

    /// Reads an AS number. Names are not accepted: they are not unique and they
    /// change.
    fn asn_key(&mut self, node: &Node<'_>) -> Option<Key> {
        let help = "write the number, such as `24406` or `AS24406`";
        if let Some(number) = node.value.as_u64() {
            let asn = u32::try_from(number).ok();
            if asn.is_none() {
                self.error(node.span.clone(), format!("`{number}` is too large"), help);
            }
            return asn.map(Key::Asn);
        }
        let text = self.text(node, "an autonomous system", help)?;
        let digits = text.strip_prefix("AS").unwrap_or(&text);
        let asn = digits.parse().ok();
        if asn.is_none() {
            let message = format!("`{text}` is not the number of an autonomous system");
            self.error(node.span.clone(), message, help);
        }
        asn.map(Key::Asn)
    }

    fn list_path(&mut self, list: &Node<'_>) -> Option<Spanned<PathBuf>> {
        let help = "write a path relative to this file: `{list: lists/NAME.txt}`";
        let text = self.text(list, "`list`", help)?;
        Some(Spanned {
            value: PathBuf::from(text),
            span: list.span.clone(),
        })
    }

    fn table_path(&mut self, table: &Node<'_>) -> Option<Spanned<PathBuf>> {
        let path = self.list_path(table)?;
        if FeedUrl::is_meant_by(&path.value.to_string_lossy()) {
            let help = "fetch the table into a file, and name that file";
            self.error(path.span, "a `table` is not fetched from a URL", help);
            return None;
        }
        Some(path)
    }

    /// Reads the fetch options if `list` is a URL. `valid` becomes false on
    /// errors.
    fn feed_of(
        &mut self,
        node: &Node<'_>,
        list: &Node<'_>,
        valid: &mut bool,
    ) -> Option<Box<SourceFeed>> {
        // A value that is not text was reported before.
        let text = list.value.as_str()?;
        if !FeedUrl::is_meant_by(text) {
            *valid &= self.refuse_feed_keys(node);
            return None;
        }
        let feed = self.feed(node, list);
        *valid &= feed.is_some();
        feed.map(Box::new)
    }

    fn format(&mut self, node: &Node<'_>) -> Option<Format> {
        let names = Format::ALL.map(|format| format!("`{format}`")).join(", ");
        let help = format!("write one of {names}, or no `format` to have it recognised");
        let text = self.text(node, "`format`", &help)?;
        if let Ok(format) = Format::from_str(&text) {
            return Some(format);
        }
        let (message, help) = match text.as_str() {
            "hosts" | "domains" | "adblock" => (
                format!("a `{text}` list holds names, and this filter matches addresses"),
                "use it in a DNS filter; here use a list of CIDRs, addresses or ranges".to_owned(),
            ),
            "mmdb" | "maxmind" => (
                format!("`{text}` is a database, not the format of a `list`"),
                "write `{asn: [24406], table: …}` or `{country: [CN], table: …}`: a database is recognised".to_owned(),
            ),
            other => (
                format!("there is no list format `{other}`"),
                meant_format(other).map_or(help, |format| format!("did you mean `{format}`?")),
            ),
        };
        self.error(node.span.clone(), message, help);
        None
    }

    fn min_score(&mut self, node: &Node<'_>) -> Option<u32> {
        let score = node.value.as_u64().and_then(|score| score.try_into().ok());
        if score.is_none() {
            let help = "write the least score, such as `min_score: 3`";
            self.wrong_type(node, "`min_score`", "a whole number from 0", help);
        }
        score
    }

    fn country_key(&mut self, node: &Node<'_>) -> Option<Key> {
        let help = "write two letters, such as `country: CN`";
        let text = self.text(node, "`country`", help)?;
        let country = text.parse::<Country>().ok();
        if country.is_none() {
            let message = format!("`{text}` is not a country code");
            self.error(node.span.clone(), message, help);
        }
        country.map(Key::Country)
    }

    fn ports(&mut self, node: &Node<'_>) -> Option<bool> {
        let help = "write `ports: ignore` to use each address with every port, or `error`";
        let text = self.text(node, "`ports`", help)?;
        match text.as_str() {
            "ignore" => Some(true),
            "error" => Some(false),
            other => {
                let message = format!("`ports` cannot be `{other}`");
                self.error(node.span.clone(), message, help);
                None
            }
        }
    }

    fn sets(&mut self, node: &Node<'_>) -> Option<Vec<String>> {
        let help = "write the name of a set in the file, or several: `set: [a, b]`";
        let elements = self.one_or_many(node, "`set`");
        let names = elements.iter().map(|element| match element.value {
            Value::Number(number) => Some(number.to_string()),
            _ => self.text(element, "`set`", help),
        });
        let names: Vec<Option<String>> = names.collect();
        let names: Option<Vec<String>> = names.into_iter().collect();
        names.filter(|names| !names.is_empty())
    }

    fn on_bad_line(&mut self, node: &Node<'_>) -> Option<bool> {
        let help = "write `on_bad_line: error`, or `skip` to count such lines and use the others";
        match node.value {
            Value::String(text) if text == "skip" => Some(true),
            Value::String(text) if text == "error" => Some(false),
            Value::String(text) => {
                let message = format!("`on_bad_line` cannot be `{text}`");
                self.error(node.span.clone(), message, help);
                None
            }
            _other => {
                self.wrong_type(node, "`on_bad_line`", "`error` or `skip`", help);
                None
            }
        }
    }
}

fn meant_format(word: &str) -> Option<Format> {
    let names = Format::ALL.map(|format| (format.name(), format));
    let all: Vec<(&str, Format)> = names.into_iter().chain(WORDS).collect();
    let words: Vec<&str> = all.iter().map(|(word, _)| *word).collect();
    let near = near_miss(word, &words)?;
    let meant = all.iter().find(|(word, _)| *word == near);
    meant.map(|(_, format)| *format)
}
