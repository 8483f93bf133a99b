//! The report at the end of the story.

use std::env;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::Value;

use crate::demo::contacts::{ALL, NEWS};
use crate::demo::process::output;
use crate::demo::topology::{OTHER_MAC, PHONE_MAC, REFLASHED_MAC, Topology};
use crate::demo::{daemon, go_on, verbs};

/// The policy whose packets the report is about.
const POLICY: &str = "range-42.62.48.0-24";
/// Name of the file.
const FILE: &str = "demo-report.html";
const COMPLETE_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);

/// The report of a story.
#[derive(Debug)]
pub(crate) struct Story {
    /// Begin of the period.
    since: String,
    file: PathBuf,
}

impl Story {
    /// A story that begins now, whose report will be in this directory.
    pub(crate) fn beginning(directory: &Path) -> Result<Self> {
        let directory = std::path::absolute(directory)?;
        Ok(Self {
            since: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            file: directory.join(FILE),
        })
    }

    fn words<'a>(&'a self, format: &'a str) -> Vec<&'a str> {
        let since = ["report", "--since", &self.since, "--device", daemon::PHONE];
        let policy = ["--policy", POLICY, "--format", format];
        since.into_iter().chain(policy).collect()
    }

    /// The report as JSON, as soon as it has the names of all contacts. Otherwise the caller
    /// finds complaints about it.
    pub(crate) fn read(
        &self,
        monitor: &Path,
        topology: &Topology,
        stop: &AtomicBool,
    ) -> Result<Value> {
        let deadline = Instant::now() + COMPLETE_WITHIN;
        loop {
            go_on(stop)?;
            let mut command = verbs::command(monitor, topology, &self.words("json"));
            let report = serde_json::from_str(&output(&mut command)?)?;
            if complaints(&report).is_empty() || Instant::now() > deadline {
                return Ok(report);
            }
            thread::sleep(POLL);
        }
    }

    /// Writes the report as HTML, shows its first sentences and its place, and checks it.
    pub(crate) fn show(&self, monitor: &Path, topology: &Topology, report: &Value) -> Result<()> {
        self.write(monitor, topology)?;
        println!("\nThe report begins:");
        for sentence in report["answer"].as_array().into_iter().flatten() {
            let sentence = format!("  {}", sentence.as_str().unwrap_or_default());
            print!("{}", verbs::wrapped(&sentence));
        }
        println!("\nOpen it: xdg-open {}", self.file.display());
        println!("\nEvery reader can check it, without this gateway:");
        let file = self.file.to_string_lossy();
        verbs::show(monitor, topology, &["report", "verify", &file])
    }

    /// Writes the report as HTML.
    pub(crate) fn write(&self, monitor: &Path, topology: &Topology) -> Result<()> {
        let file = self.file.to_string_lossy();
        let words: Vec<&str> = self
            .words("html")
            .into_iter()
            .chain(["--output", &file])
            .collect();
        verbs::show(monitor, topology, &words)?;
        give_to_user(&self.file)
    }
}

/// Gives the file to the user that called sudo: only the owner of a report can read it.
fn give_to_user(file: &Path) -> Result<()> {
    let id = |name| env::var(name).ok().and_then(|id| id.parse().ok());
    if let (Some(user), Some(group)) = (id("SUDO_UID"), id("SUDO_GID")) {
        lchown(file, Some(user), Some(group)).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// Checks that the report tells contacts and phones apart. Returns the complaints.
pub(crate) fn complaints(report: &Value) -> Vec<String> {
    let own = ALL.iter().filter(|contact| **contact != NEWS);
    let names = own.filter_map(|contact| {
        let found = sources(report, PHONE_MAC, &contact.address.to_string());
        let expected: Vec<String> = contact.source().map(str::to_owned).into_iter().collect();
        (found.as_ref() != Some(&expected)).then(|| {
            let (words, address) = (contact.words(), contact.address);
            format!("{words} ({address}): sources {found:?}, expected {expected:?}")
        })
    });
    let phones = [PHONE_MAC, REFLASHED_MAC, OTHER_MAC].into_iter();
    let missing = phones
        .filter(|mac| packets(report, mac) == 0)
        .map(|mac| format!("no packet of {mac}"));
    names.chain(missing).collect()
}

/// The sources of the names of a destination, sorted, each once. `None` without such a flow.
fn sources(report: &Value, device: &str, address: &str) -> Option<Vec<String>> {
    let flows = report["flows"].as_array()?;
    let own = |flow: &&Value| flow["device"] == device && flow["destination"] == address;
    let mut own = flows.iter().filter(own).peekable();
    own.peek()?;
    let names = own.filter_map(|flow| flow["names"].as_array()).flatten();
    let mut sources: Vec<_> = names
        .filter_map(|name| name["how"].as_str().map(str::to_owned))
        .collect();
    sources.sort();
    sources.dedup();
    Some(sources)
}

/// Number of packets of a device.
fn packets(report: &Value, device: &str) -> u64 {
    let mut devices = report["devices"].as_array().into_iter().flatten();
    let found = devices.find(|one| one["device"] == device);
    found
        .and_then(|one| one["sum"]["packets"].as_u64())
        .unwrap_or_default()
}
