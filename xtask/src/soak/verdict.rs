//! Compares the frames sent with the counters, and the resources of the daemon at the end
//! with those at the beginning.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::maps::MapInfo;
use aya::programs::loaded_programs;
use serde_json::Value;

use super::kernel_ids::{map_exists, program_exists};
use super::network::{LINKS, Network};
use super::traffic::{Fate, KINDS, Tally};

/// Allowed growth of the daemon's memory: the allocator keeps some memory of a reload.
const GROWTH_KIB: u64 = 16 << 10;

/// Tries for values that settle after a while.
const LOOKS: u32 = 50;
const LOOK: Duration = Duration::from_millis(100);

/// A figure of the result, with its expected value.
pub(crate) struct Row {
    what: String,
    expected: u64,
    found: u64,
    /// Allowed excess over the expected value.
    more: u64,
}

impl Row {
    fn exactly(what: impl Into<String>, expected: u64, found: u64) -> Self {
        Self {
            what: what.into(),
            expected,
            found,
            more: 0,
        }
    }

    pub(crate) fn is_right(&self) -> bool {
        if self.more == 0 {
            return self.found == self.expected;
        }
        self.found <= self.expected + self.more
    }
}

/// Formats the rows in columns.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = format!("{:<44} {:>12} {:>12}\n", "", "expected", "found");
    for row in rows {
        let mark = if row.is_right() { "" } else { "  WRONG" };
        let limit = if row.more > 0 { "about " } else { "" };
        let expected = format!("{limit}{}", row.expected);
        let _ = writeln!(
            text,
            "{:<44} {expected:>12} {:>12}{mark}",
            row.what, row.found
        );
    }
    text
}

/// Rows of the frames that arrived, and of all counters.
pub(crate) fn counts(status: &Value, tallies: &[Tally]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (index, kind) in KINDS.iter().enumerate() {
        let sent: u64 = tallies.iter().map(|tally| tally[index].0).sum();
        let came: u64 = tallies.iter().map(|tally| tally[index].1).sum();
        let expected = match kind.fate {
            Fate::Dropped => 0,
            Fate::Counted | Fate::Innocent => sent,
            // Compared with the filter's own count of passed frames. The rows below check
            // that count.
            Fate::AtTimes => came,
        };
        rows.push(Row::exactly(
            format!("{}: {sent} sent, came out", kind.name),
            expected,
            came,
        ));
    }
    for (name, tally) in LINKS.iter().zip(tallies) {
        rows.extend(interface(status, name, tally)?);
    }
    let sum = |fate, pick: fn(&(u64, u64)) -> u64| -> u64 {
        let each = tallies.iter().flat_map(|tally| KINDS.iter().zip(tally));
        each.filter(|(kind, _)| kind.fate == fate)
            .map(|(_, counts)| pick(counts))
            .sum()
    };
    let blocked = sum(Fate::AtTimes, |(sent, came)| sent - came);
    rows.extend(policy(
        status,
        "suspect",
        [0, sum(Fate::Dropped, |(sent, _)| *sent)],
    )?);
    rows.extend(policy(
        status,
        "seen",
        [sum(Fate::Counted, |(sent, _)| *sent), 0],
    )?);
    let policies = status["policies"].as_array().context("policies")?;
    let runtime = policies.iter().filter_map(|policy| policy["name"].as_str());
    let runtime: Vec<&str> = runtime
        .filter(|name| name.starts_with("runtime."))
        .collect();
    let [name] = runtime[..] else {
        anyhow::bail!("{} runtime policies", runtime.len());
    };
    rows.extend(policy(status, name, [0, blocked])?);
    Ok(rows)
}

fn interface(status: &Value, name: &str, tally: &Tally) -> Result<Vec<Row>> {
    let interfaces = status["interfaces"].as_array().context("interfaces")?;
    let found = interfaces.iter().find(|i| i["name"] == name);
    let found = found.with_context(|| format!("no interface {name}"))?;
    let mut rows = Vec::new();
    for family in ["ipv4", "ipv6"] {
        let of = KINDS
            .iter()
            .zip(tally)
            .filter(|(kind, _)| kind.family == family);
        let (sent, came) = of.fold((0, 0), |sum, (_, counts)| {
            (sum.0 + counts.0, sum.1 + counts.1)
        });
        for (verdict, expected) in [("passed", came), ("dropped", sent - came)] {
            let found = packets(&found[family][verdict])?;
            rows.push(Row::exactly(
                format!("{name} {family} {verdict}"),
                expected,
                found,
            ));
        }
    }
    let unparsed = found["unparsed"].as_object().context("unparsed")?;
    let unparsed: u64 = unparsed
        .values()
        .flat_map(|of| [&of["passed"], &of["dropped"]])
        .filter_map(|count| packets(count).ok())
        .sum();
    rows.push(Row::exactly(format!("{name} unparsed"), 0, unparsed));
    Ok(rows)
}

fn policy(status: &Value, name: &str, [passed, dropped]: [u64; 2]) -> Result<Vec<Row>> {
    let policies = status["policies"].as_array().context("policies")?;
    let found = policies.iter().find(|policy| policy["name"] == name);
    let found = found.with_context(|| format!("no policy {name}"))?;
    let mut rows = Vec::new();
    for (verdict, expected) in [("passed", passed), ("dropped", dropped)] {
        let matched = packets(&found["matched"][verdict])?;
        rows.push(Row::exactly(format!("{name} {verdict}"), expected, matched));
        let devices = found["devices"].as_array().context("devices")?;
        let mut sum = packets(&found["other"][verdict])?;
        for device in devices {
            sum += packets(&device["matched"][verdict])?;
        }
        rows.push(Row::exactly(
            format!("{name} {verdict}, devices and other"),
            matched,
            sum,
        ));
    }
    Ok(rows)
}

fn packets(count: &Value) -> Result<u64> {
    count["packets"].as_u64().context("packets")
}

/// Resources of a daemon and its filter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resources {
    rss_kib: u64,
    descriptors: u64,
    files: u64,
    programs: BTreeSet<u32>,
    maps: BTreeSet<u32>,
}

impl Resources {
    pub(crate) fn of(network: &Network) -> Result<Self> {
        let process = format!("/proc/{}", network.pid()?);
        // The daemon may not have closed the socket of the last request yet.
        thread::sleep(LOOK);
        let status = fs::read_to_string(format!("{process}/status")).context("the daemon")?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let rss = rss.and_then(|rss| rss.trim().strip_suffix(" kB"));
        let mut holding = Self {
            rss_kib: rss.context("VmRSS")?.parse().context("VmRSS")?,
            descriptors: count(&format!("{process}/fd"))?,
            files: count(&network.state_dir())?,
            ..Self::default()
        };
        let mut counters = None;
        for version in fs::read_dir(&network.pin_dir).context("pins")?.flatten() {
            let pin = version.path().join("INTERFACES");
            counters = MapInfo::from_pin(pin).ok().map(|map| map.id()).or(counters);
        }
        holding.add_users_of(counters.context("the pinned counters")?);
        Ok(holding)
    }

    fn add_users_of(&mut self, map: u32) {
        for program in loaded_programs().flatten() {
            // A process that has just ended has no maps.
            let maps = program.map_ids().ok().flatten().unwrap_or_default();
            if maps.contains(&map) {
                self.programs.insert(program.id());
                self.maps.extend(maps);
            }
        }
    }

    /// Measures until the values are as at the beginning, because the kernel and the daemon
    /// release some resources a little later.
    pub(crate) fn settled(network: &Network, start: &Self) -> Result<Self> {
        let mut now = Self::of(network)?;
        for _ in 0..LOOKS {
            if now.shape() == start.shape() {
                break;
            }
            thread::sleep(LOOK);
            now = Self::of(network)?;
        }
        Ok(now)
    }

    fn shape(&self) -> [u64; 4] {
        let [programs, maps] = [self.programs.len(), self.maps.len()].map(|n| n as u64);
        [self.descriptors, self.files, programs, maps]
    }
}

fn count(directory: &str) -> Result<u64> {
    Ok(fs::read_dir(directory)
        .with_context(|| directory.to_owned())?
        .count() as u64)
}

/// Rows that compare the end with the beginning.
pub(crate) fn holdings(start: &Resources, end: &Resources) -> Vec<Row> {
    let mut rows = vec![Row {
        what: format!("memory of the daemon, KiB (limit {GROWTH_KIB} more)"),
        expected: start.rss_kib,
        found: end.rss_kib,
        more: GROWTH_KIB,
    }];
    let names = ["open descriptors", "files of state", "programs", "maps"];
    let figures = start.shape().into_iter().zip(end.shape());
    rows.extend(
        names
            .into_iter()
            .zip(figures)
            .map(|(what, (expected, found))| Row::exactly(what, expected, found)),
    );
    rows
}

/// Rows of what is left in the kernel after `detach`.
pub(crate) fn left(held: &Resources) -> Row {
    let mut left = u64::MAX;
    for _ in 0..LOOKS {
        let programs = held.programs.iter().filter(|id| program_exists(**id));
        let maps = held.maps.iter().filter(|id| map_exists(**id));
        left = (programs.count() + maps.count()) as u64;
        if left == 0 {
            break;
        }
        thread::sleep(LOOK);
    }
    Row::exactly("programs and maps after detach", 0, left)
}
