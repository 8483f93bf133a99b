//! `monitor list`: how a list is read, and the list in another form.

use std::{
    fmt::Write as _,
    io::{self, Read as _},
    path::PathBuf,
};

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args, ValueEnum};
use monitor::{
    clock::now,
    compile::Ruleset,
    config::Settings,
    datapath,
    feeds::{Answer, DiskAndFeeds, Fetcher, Limits, Own},
    listing::{Listing, Overlap, Reading, Request, read_list},
    lists::{
        Column, ColumnSelection, Country, FeedUrl, Format, JsonPath, Key, Reserved, Selection,
        unpack, unpack_fetched,
    },
    pipeline::compile_files,
    policy::RuntimeOverlay,
    printable,
    regular_file::{self, Purpose},
};

use super::{Common, print, print_json, tell, write_out};

/// Show how a list is read, or write it out in another form
///
/// Works without a daemon and without policies. If there are policies, the list's overlaps
/// with them are shown. A URL is fetched once, within the limits of a feed.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("place").args(["column", "first"]))]
pub(crate) struct ListArgs {
    /// A file, a URL, or `-` for standard input
    #[arg(value_name = "FILE|URL", value_parser = source)]
    list: Source,
    /// Write the list's prefixes instead, sorted and joined
    #[arg(long = "as", value_name = "FORM", conflicts_with = "json")]
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
    #[arg(long = "where", value_name = "COLUMN=VALUE", value_parser = condition, requires = "place")]
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
    /// Set of an ipset, nftables or router file that is used (repeatable)
    #[arg(long = "set", value_name = "NAME")]
    sets: Vec<String>,
    /// Use the address of `192.0.2.1:443` and ignore the port
    #[arg(long)]
    ignore_ports: bool,
    /// Write the list out although some of its lines cannot be read
    #[arg(long, requires = "form")]
    skip_bad_lines: bool,
}

/// The place of a list.
#[derive(Clone, Debug)]
enum Source {
    Input,
    File(PathBuf),
    Url(FeedUrl),
}

fn source(text: &str) -> Result<Source, String> {
    if text == "-" {
        return Ok(Source::Input);
    }
    if !FeedUrl::is_meant_by(text) {
        return Ok(Source::File(text.into()));
    }
    let url = text.parse::<FeedUrl>();
    url.map(Source::Url)
        .map_err(|error| format!("{error}; {}", error.help()))
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

fn column(text: &str) -> Result<Column, String> {
    match text.parse() {
        Ok(0) => Err("write the name in the header, or the number counted from 1".to_owned()),
        Ok(number) => Ok(Column::Number(number)),
        Err(_) => Ok(Column::Name(text.to_owned())),
    }
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
    let name = arguments.list.to_string();
    let bytes = arguments.list.bytes(&settings)?;
    let path = match &arguments.list {
        Source::File(path) => Some(path.as_path()),
        Source::Input | Source::Url(_) => None,
    };
    let request = Request {
        name: &name,
        path,
        format: arguments.format,
        selection: arguments.selection(),
    };
    let reading = read_list(bytes, request).with_context(|| format!("read {name}"))?;
    match arguments.form {
        Some(form) => arguments.write(form, &reading),
        None => show(common, &settings, &name, reading),
    }
}

/// Writes the name of the list for messages. A query of a URL may be a secret.
impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Input => f.write_str("-"),
            Self::File(path) => printable::path(path).fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

impl Source {
    /// Returns the unpacked content.
    fn bytes(&self, settings: &Settings) -> anyhow::Result<Vec<u8>> {
        /// Maximum size of standard input, in bytes.
        const MAX_INPUT: u64 = 256 * 1024 * 1024;
        let failed = || format!("read {self}");
        let bytes = match self {
            Self::File(path) => regular_file::read(path, Purpose::List).with_context(failed)?,
            Self::Input => {
                let mut bytes = Vec::new();
                let mut input = io::stdin().lock().take(MAX_INPUT + 1);
                input.read_to_end(&mut bytes).with_context(failed)?;
                if bytes.len() as u64 > MAX_INPUT {
                    bail!("standard input is larger than {} MiB", MAX_INPUT >> 20);
                }
                bytes
            }
            Self::Url(url) => {
                return unpack_fetched(fetch(url, settings)?).with_context(failed);
            }
        };
        unpack(bytes).with_context(failed)
    }
}

fn fetch(url: &FeedUrl, settings: &Settings) -> anyhow::Result<Vec<u8>> {
    let own = Own {
        addresses: datapath::own_addresses()?,
        networks: settings.gateway()?.networks,
    };
    let ca_file = settings.feeds.ca_file.as_deref();
    let fetcher = Fetcher::new(ca_file, Limits::default())?.with_own(own);
    let answer = fetcher.fetch(url, (None, None));
    match answer.with_context(|| format!("fetch {url}"))? {
        Answer::Content(answer) => Ok(answer.content),
        Answer::NotModified => bail!("fetch {url}: the server sent no content"),
    }
}

impl ListArgs {
    fn selection(&self) -> Selection {
        let first = self.column.clone().or_else(|| self.first.clone());
        let table = first.map(|first| ColumnSelection {
            first,
            last: self.last.clone(),
            conditions: self.conditions.iter().cloned().collect(),
        });
        Selection {
            min_score: self.min_score,
            keys: self.asn.iter().chain(&self.country).copied().collect(),
            ignore_ports: self.ignore_ports,
            columns: table,
            path: self.path.clone(),
            locations: None,
            sets: self.sets.iter().cloned().collect(),
        }
    }

    fn write(&self, form: Form, reading: &Reading) -> anyhow::Result<()> {
        let bad = &reading.list.bad;
        if let Some((line, error)) = bad.exclusion() {
            bail!("line {line}: {error}; {}", error.help());
        }
        if let Some((line, error)) = bad.first().first()
            && !self.skip_bad_lines
        {
            bail!(
                "lines that cannot be read: {}; line {line}: {error} (`--skip-bad-lines` writes the others)",
                bad.count()
            );
        }
        if let Some(key) = reading.list.missing.first() {
            bail!("no entry of the list has `{key}`, so nothing is written");
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
}

fn show(common: &Common, settings: &Settings, name: &str, reading: Reading) -> anyhow::Result<()> {
    let ruleset = ruleset(common, settings)?;
    let gateway = settings.gateway().unwrap_or_default();
    let mut listing = Listing::new(name, &reading, &ruleset);
    let is_wrong = reading.list.is_empty() || !reading.list.missing.is_empty();
    let (_, cut) = Reserved::new(&gateway.networks).cut(reading.list);
    listing.reserved = cut.destinations;
    listing.reserved_by = cut.by.into_iter().collect();
    if common.json {
        print_json(&listing)?;
    } else {
        print(&text(&listing))?;
    }
    match listing.notes.last() {
        _ if listing.bad_lines > 0 => {
            bail!("lines that cannot be read: {}", listing.bad_lines)
        }
        Some(note) if is_wrong => bail!("{note}"),
        Some(_) | None => Ok(()),
    }
}

/// Compiles the policies in force. Returns an empty ruleset if there are none. Policies on
/// the command line must be right.
fn ruleset(common: &Common, settings: &Settings) -> anyhow::Result<Ruleset> {
    let is_given = !common.policies.is_empty();
    if let Some(path) = common.policies.iter().find(|path| !path.exists()) {
        bail!("there are no policies at {}", printable::path(path));
    }
    let is_there = settings.policies.iter().all(|path| path.exists());
    let Ok(gateway) = settings.gateway() else {
        return Ok(Ruleset::default());
    };
    if !is_there {
        return Ok(Ruleset::default());
    }
    let compiled = compile_files(
        &settings.policies,
        &DiskAndFeeds::new(&settings.state_dir),
        &RuntimeOverlay::default(),
        &now(),
        &gateway,
    );
    match compiled.ruleset {
        Some(ruleset) if !compiled.diagnostics.has_errors() => return Ok(ruleset),
        _ if is_given => bail!("the policies have errors; run `monitor check`"),
        _ => {}
    }
    let note = "the policies have errors, so overlaps with them are not shown";
    tell(&format!("note: {note}; run `monitor check`"));
    Ok(Ruleset::default())
}

/// Number of bad lines that are shown.
const SHOWN_BAD: usize = 3;

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
        let what = if destinations == 1 {
            "destination"
        } else {
            "destinations"
        };
        let _ = writeln!(
            text,
            "{family}      {destinations} {what}, {addresses} address{}",
            if addresses == "1" { "" } else { "es" }
        );
    }
    for (what, count) in [
        ("left out  entries that are not selected", listing.left_out),
        ("options   ignored in entries", listing.with_options),
        (
            "reserved  reserved destinations (a feed removes them)",
            listing.reserved,
        ),
        ("bad       lines that cannot be read", listing.bad_lines),
    ] {
        if count > 0 {
            let _ = writeln!(text, "{what}: {count}");
        }
    }
    for (range, count) in &listing.reserved_by {
        let _ = writeln!(text, "  {}: {count}", value(range));
    }
    for bad in listing.first_bad.iter().take(SHOWN_BAD) {
        let _ = writeln!(
            text,
            "  line {}: {}; {}",
            bad.line,
            value(&bad.message),
            value(&bad.help)
        );
    }
    if listing.bad_lines > SHOWN_BAD {
        let _ = writeln!(text, "  and {} more", listing.bad_lines - SHOWN_BAD);
    }
    for note in &listing.notes {
        let _ = writeln!(text, "note      {}", value(note));
    }
    for overlap in &listing.overlaps {
        let Overlap {
            policy,
            action,
            prefixes,
        } = overlap;
        let what = if *prefixes == 1 { "prefix" } else { "prefixes" };
        let _ = writeln!(text, "overlaps  {policy} ({action}): {prefixes} {what}");
    }
    for shown in &listing.first_lines {
        let _ = writeln!(text, "\n  {:>6} | {}", shown.line, value(&shown.text));
        let more = match shown.more {
            0 => String::new(),
            more => format!(", … and {more} more"),
        };
        let _ = writeln!(text, "         > {}{more}", shown.destinations.join(", "));
    }
    if listing.more_lines > 0 {
        let _ = writeln!(text, "\n  … and {} more", listing.more_lines);
    }
    text
}
