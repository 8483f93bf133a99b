//! `monitor list`: how a list is read, and the list in another form.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use monitor::{
    clock::now,
    config::Settings,
    datapath,
    feeds::{Answer, DiskAndFeeds, Fetcher, Limits, Own},
    listing::{Listing, Overlap, Reading, read_list},
    lists::{
        Column, ColumnSelection, Country, FeedUrl, Format, JsonPath, Key, Reserved, Selection,
    },
    pipeline::judge_files,
    policy::{Policy, RuntimeOverlay},
    printable,
    regular_file::{self, Purpose},
};

use super::{Common, print, print_json, tell, write_out};

/// Show how a list is read, or write it out in another form
///
/// Works without a daemon and without policies. If there are policies, the list's overlaps
/// with them are shown. A URL is fetched once, within the limits of a feed.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// A file, or a URL
    #[arg(value_name = "FILE|URL")]
    list: String,
    /// Write the list's prefixes instead, sorted and joined
    #[arg(long = "as", value_name = "FORM")]
    form: Option<Form>,
    /// Format of the list [default: recognised by the content]
    #[arg(long, value_parser = format)]
    format: Option<Format>,
    /// Column of a CSV with the addresses: its name, or its number counted from 1
    #[arg(long, value_parser = column, conflicts_with_all = ["first", "path"])]
    column: Option<Column>,
    /// Column of a CSV with the first addresses of ranges
    #[arg(long, value_parser = column, requires = "last", conflicts_with = "path")]
    first: Option<Column>,
    /// Column of a CSV with the last addresses of ranges
    #[arg(long, value_parser = column, requires = "first")]
    last: Option<Column>,
    /// Value that the rows of a CSV must have (repeatable)
    #[arg(long = "where", value_name = "COLUMN=VALUE", value_parser = condition)]
    conditions: Vec<(Column, String)>,
    /// JSONPath (RFC 9535) of the addresses in a JSON document
    #[arg(long)]
    path: Option<JsonPath>,
    /// Network whose prefixes are taken from a table, such as AS13335 (repeatable)
    #[arg(long, value_parser = asn, conflicts_with = "country")]
    asn: Vec<Key>,
    /// Country whose prefixes are taken, such as CN (repeatable)
    #[arg(long, value_parser = country)]
    country: Vec<Key>,
    /// Least score of the lines that are taken
    #[arg(long, value_name = "SCORE")]
    min_score: Option<u32>,
    /// Take `192.0.2.1:443` as its address with every port
    #[arg(long)]
    ignore_ports: bool,
    /// Write the list out although some of its lines cannot be read
    #[arg(long, requires = "form")]
    skip_bad_lines: bool,
}

/// A form in which a list is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// One CIDR on each line
    Plain,
    /// A JSON array of CIDRs
    Json,
}

fn format(text: &str) -> Result<Format, String> {
    text.parse().map_err(|_| {
        let names = Format::ALL.map(Format::name).join(", ");
        format!("write one of {names}")
    })
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a parser of clap")]
fn column(text: &str) -> Result<Column, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    Ok(number.map_or_else(|| Column::Name(text.to_owned()), Column::Number))
}

fn condition(text: &str) -> Result<(Column, String), String> {
    let (name, value) = text.split_once('=').ok_or("write COLUMN=VALUE")?;
    Ok((column(name)?, value.to_owned()))
}

fn asn(text: &str) -> Result<Key, String> {
    let number = text.strip_prefix("AS").unwrap_or(text).parse();
    number
        .map(Key::Asn)
        .map_err(|_| "write a number, such as AS13335".to_owned())
}

fn country(text: &str) -> Result<Key, String> {
    let country = text.parse::<Country>();
    country.map(Key::Country).map_err(|error| error.to_string())
}

pub(crate) fn run(common: &Common, arguments: &ListArgs) -> anyhow::Result<()> {
    let settings = common.settings()?;
    let bytes = arguments.bytes(&settings)?;
    let selection = arguments.selection()?;
    let reading = read_list(bytes, arguments.format, &selection, &arguments.list)?;
    match arguments.form {
        Some(form) => arguments.write(form, &reading),
        None => arguments.show(common, &settings, reading),
    }
}

impl ListArgs {
    fn bytes(&self, settings: &Settings) -> anyhow::Result<Vec<u8>> {
        if !FeedUrl::is_meant_by(&self.list) {
            let path = Path::new(&self.list);
            let shown = printable::path(path).to_string();
            return regular_file::read(path, Purpose::List)
                .with_context(|| format!("read {shown}"));
        }
        let url: FeedUrl = self.list.parse()?;
        let own = Own {
            addresses: datapath::own_addresses()?,
            networks: settings.gateway()?.networks,
        };
        let ca_file = settings.feeds.ca_file.as_deref();
        let fetcher = Fetcher::new(ca_file, Limits::default())?.with_own(own);
        match fetcher
            .fetch(&url, (None, None))
            .with_context(|| format!("fetch {url}"))?
        {
            Answer::Content(answer) => Ok(answer.content),
            Answer::NotModified => bail!("fetch {url}: the server sent no content"),
        }
    }

    fn selection(&self) -> anyhow::Result<Selection> {
        let first = self.column.clone().or_else(|| self.first.clone());
        if first.is_none() && !self.conditions.is_empty() {
            bail!("--where needs --column, or --first and --last");
        }
        let table = first.map(|first| ColumnSelection {
            first,
            last: self.last.clone(),
            conditions: self.conditions.iter().cloned().collect(),
        });
        Ok(Selection {
            min_score: self.min_score,
            keys: self.asn.iter().chain(&self.country).copied().collect(),
            ignore_ports: self.ignore_ports,
            columns: table,
            path: self.path.clone(),
            locations: None,
        })
    }

    fn write(&self, form: Form, reading: &Reading) -> anyhow::Result<()> {
        let bad = &reading.list.bad;
        if let Some((line, error)) = bad.first().first()
            && !self.skip_bad_lines
        {
            bail!(
                "lines that cannot be read: {}; line {line}: {error} (`--skip-bad-lines` writes the others)",
                bad.count()
            );
        }
        if reading.list.is_empty() {
            bail!("the list has no destination, so nothing is written");
        }
        let prefixes = reading.prefixes();
        match form {
            Form::Plain => write_out(&(prefixes.join("\n") + "\n")),
            Form::Json => print_json(&prefixes),
        }
    }

    fn show(&self, common: &Common, settings: &Settings, reading: Reading) -> anyhow::Result<()> {
        let policies = policies(common, settings);
        let gateway = settings.gateway().unwrap_or_default();
        let mut listing = Listing::new(&self.list, &reading, &policies);
        let (_, cut) = Reserved::new(&gateway.networks).cut(reading.list);
        listing.reserved = cut.destinations;
        listing.reserved_by = cut.by.into_iter().collect();
        if common.json {
            print_json(&listing)
        } else {
            print(&text(&listing))
        }
    }
}

/// Returns the policies in force, or none if they cannot be read.
fn policies(common: &Common, settings: &Settings) -> Vec<Policy> {
    let is_there = settings.policies.iter().all(|path| path.exists());
    if common.policies.is_empty() && !is_there {
        return Vec::new();
    }
    let Ok(gateway) = settings.gateway() else {
        return Vec::new();
    };
    let loaded = judge_files(
        &settings.policies,
        &DiskAndFeeds::new(&settings.state_dir),
        &RuntimeOverlay::default(),
        &now(),
        &gateway,
    );
    if loaded.diagnostics.has_errors() {
        tell(
            "note: the policies have errors, so overlaps with them are not shown; run `monitor check`",
        );
        return Vec::new();
    }
    loaded.policies
}

fn text(listing: &Listing) -> String {
    let mut text = String::new();
    let value = |text: &str| printable::value(text).into_owned();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "list      {}", value(&listing.list));
    let _ = writeln!(text, "format    {}: {}", listing.format, listing.why);
    if let Some(how) = &listing.read_by {
        let _ = writeln!(text, "read      as {}", value(how));
    }
    for (family, counts) in [("IPv4", &listing.ipv4), ("IPv6", &listing.ipv6)] {
        let (destinations, addresses) = (counts.destinations, &counts.addresses);
        let _ = writeln!(
            text,
            "{family}      {destinations} destinations, {addresses} addresses"
        );
    }
    for (what, count) in [
        ("left out  entries that are not selected", listing.left_out),
        ("options   ignored in entries", listing.with_options),
        (
            "reserved  destinations in reserved ranges, which a feed loses",
            listing.reserved,
        ),
        ("bad       lines that cannot be read", listing.bad_lines),
    ] {
        if count > 0 {
            let _ = writeln!(text, "{what}: {count}");
        }
    }
    for bad in listing.first_bad.iter().take(3) {
        let _ = writeln!(
            text,
            "  line {}: {}; {}",
            bad.line,
            value(&bad.message),
            value(&bad.help)
        );
    }
    for overlap in &listing.overlaps {
        let Overlap {
            policy,
            action,
            prefixes,
        } = overlap;
        let _ = writeln!(text, "overlaps  {policy} ({action}): {prefixes} prefixes");
    }
    for shown in &listing.first_lines {
        let _ = writeln!(text, "\n  {:>6} | {}", shown.line, value(&shown.text));
        let _ = writeln!(text, "         > {}", shown.destinations.join(", "));
    }
    text
}
