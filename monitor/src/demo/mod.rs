//! The demonstration: two phones, a gateway with the real daemon, and an internet, in network
//! namespaces. It tells the story of 2014 and writes a report of it. In a terminal it then runs
//! until Ctrl-C.
//!
//! Commands for developers use its namespaces and its way to run programs.

mod contacts;
mod daemon;
mod forward;
mod lease;
pub mod metrics;
pub mod namespace;
mod needs;
pub mod process;
mod report;
mod services;
mod show;
mod story;
mod teardown;
#[cfg(test)]
mod tests;
mod topology;
mod traffic;
mod verbs;

use std::fs::{self, File, TryLockError};
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::demo::contacts::{Contact, Way};
use crate::demo::daemon::Daemon;
use crate::demo::report::Story;
use crate::demo::services::Services;
use crate::demo::topology::{TARGETS, Target, Topology};
use crate::demo::traffic::{LONG, Outcome, SHORT, Servers};

const PREFIX: &str = "monitor-demo";
const ROUND_EVERY: Duration = Duration::from_secs(5);

/// Shows the demonstration with the program `monitor`, and removes it also after an error. The
/// report of the story will be in the directory `reports`.
///
/// # Errors
///
/// The user is not root, a program is missing, another demonstration runs, or something in it
/// did not go as expected.
pub fn run(monitor: &Path, reports: &Path) -> Result<()> {
    needs::check()?;
    let stop = stop_flag()?;
    let topology = Topology::named(PREFIX);
    let _lock = lock(&topology)?;
    process::mount_bpffs()?;
    fs::create_dir_all(reports).with_context(|| reports.display().to_string())?;
    let mut demo = Demo::new(monitor, topology);
    let shown = demo.show_all(reports, &stop).map_err(|error| {
        // Ctrl-C also ends the commands of the demonstration, which then fail.
        go_on(&stop).err().unwrap_or(error)
    });
    let errors = demo.tear_down();
    if errors.is_empty() {
        return shown;
    }
    print_errors(&errors);
    shown.and(Err(anyhow::anyhow!(
        "the demonstration was not removed completely"
    )))
}

/// A flag that becomes true at SIGINT, SIGTERM or SIGHUP.
///
/// # Errors
///
/// The system refuses a handler for a signal.
pub fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("signal handler")?;
    }
    Ok(stop)
}

/// Locks out a second demonstration of this name, which would remove this one as a leftover.
fn lock(topology: &Topology) -> Result<File> {
    let path = topology.lock_file();
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another demonstration is running on this machine ({} is locked): end it with Ctrl-C in its terminal, or wait for its end",
            path.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| path.display().to_string()),
    }
}

struct Demo<'a> {
    monitor: &'a Path,
    topology: Topology,
    servers: Option<Servers>,
    services: Option<Services>,
    daemon: Option<Daemon>,
    up: bool,
}

impl<'a> Demo<'a> {
    fn new(monitor: &'a Path, topology: Topology) -> Self {
        Self {
            monitor,
            topology,
            servers: None,
            services: None,
            daemon: None,
            up: false,
        }
    }

    /// Shows everything, until Ctrl-C if it is in a terminal.
    fn show_all(&mut self, reports: &Path, stop: &AtomicBool) -> Result<()> {
        self.start(stop)?;
        let is_terminal = io::stdout().is_terminal();
        let outcomes = traffic::round(&self.topology.phone, &TARGETS, LONG)?;
        self.show(&outcomes)?;
        let (story, report) = self.tell(reports, stop, is_terminal)?;
        if is_terminal {
            return self.stay(&story, stop, outcomes);
        }
        let page = metrics::fetch(&self.topology.gateway)?;
        let mut complaints = show::complaints(&outcomes);
        complaints.extend(metrics::complaints(&page));
        complaints.extend(report::complaints(&report));
        if complaints.is_empty() {
            println!("\nAll as expected.");
            return Ok(());
        }
        bail!("not as expected: {}", complaints.join("; "))
    }

    fn start(&mut self, stop: &AtomicBool) -> Result<()> {
        self.make_network()?;
        println!(
            "Two phones, a gateway and the internet, in network namespaces of this machine:\n{}",
            show::network()
        );
        go_on(stop)?;
        self.services = Some(Services::start(&self.topology)?);
        story::join(&self.topology)?;
        go_on(stop)?;
        println!(
            "\nThe gateway's {}:",
            daemon::config(&self.topology).display()
        );
        let config = daemon::write_config(&self.topology)?;
        for line in config.lines() {
            println!("  {line}");
        }
        let daemon = Daemon::start(self.monitor, &self.topology)?;
        println!("\n{}", daemon.command);
        let daemon = self.daemon.insert(daemon);
        daemon.wait_ready(self.monitor, &self.topology)?;
        print!("{}", verbs::wrapped(daemon.said()?.trim_end()));
        go_on(stop)
    }

    /// Makes namespaces and servers, without a filter.
    fn make_network(&mut self) -> Result<()> {
        let leftovers = teardown::sweep(self.monitor, &self.topology);
        if !leftovers.is_empty() {
            print_errors(&leftovers);
            bail!("the leftovers of an earlier demonstration could not be removed");
        }
        self.up = true;
        let runtime = self.topology.runtime_dir();
        fs::create_dir(&runtime).with_context(|| runtime.display().to_string())?;
        self.topology
            .make()
            .context("the network of the demonstration")?;
        let targets = TARGETS.iter().map(Target::server);
        let reported = contacts::ALL
            .iter()
            .filter(|contact| contact.way != Way::Tls)
            .map(Contact::server);
        let addresses: Vec<_> = targets.chain(reported).collect();
        self.servers = Some(Servers::start(&self.topology.internet, &addresses)?);
        traffic::wait_for_answers(&self.topology.phone, &TARGETS)
    }

    /// Tells the story, and writes its report. Returns the report as JSON.
    fn tell(&self, reports: &Path, stop: &AtomicBool, is_slow: bool) -> Result<(Story, Value)> {
        println!("\nThe story of July 2014, in seconds. Its servers and names are invented.");
        let story = Story::beginning(reports)?;
        // The times of packets are exact to about a second. No packet of the story shall have
        // a time before its period.
        waited(stop, Duration::from_millis(1_500));
        story::tell(self.monitor, &self.topology, stop, is_slow)?;
        let report = story.read(self.monitor, &self.topology, stop)?;
        println!();
        story.show(self.monitor, &self.topology, &report)?;
        Ok((story, report))
    }

    fn show(&self, outcomes: &[Outcome]) -> Result<()> {
        println!(
            "\nWhat the phone experienced:\n{}",
            show::outcomes(outcomes)
        );
        println!("\nWhat the gateway saw:");
        verbs::show_part(self.monitor, &self.topology, &["status"], " policy ")
    }

    /// Repeats the phones' traffic, and shows each result that differs from the previous one.
    /// At the end, the report covers this time too.
    fn stay(&self, story: &Story, stop: &AtomicBool, mut last: Vec<Outcome>) -> Result<()> {
        self.say_what_to_try()?;
        let mut shown = self.daemon_said()?.len();
        let mut silent = Vec::new();
        while !waited(stop, ROUND_EVERY) {
            let said = self.daemon_said()?;
            print!("{}", said.get(shown..).unwrap_or_default());
            shown = said.len();
            let outcomes = traffic::round(&self.topology.phone, &TARGETS, SHORT)?;
            if outcomes != last {
                self.show(&outcomes)?;
                last = outcomes;
            }
            let found = story::go_on_living(&self.topology)?;
            if found != silent {
                println!("\n{}", show::answers(&found));
                silent = found;
            }
        }
        println!("\nThe report once more, up to now:");
        story.write(self.monitor, &self.topology)?;
        println!("Removing the demonstration.");
        Ok(())
    }

    fn say_what_to_try(&self) -> Result<()> {
        let address = forward::start(&self.topology.gateway)?;
        if address.port() != daemon::PAGE.port() {
            println!("\nPort {} is taken on this machine.", daemon::PAGE.port());
        }
        println!(
            "
The phones go on, every {} s, until Ctrl-C. Meanwhile:
  see the page      http://{address}/
  change a policy   {}/*.yaml
                    the daemon takes a saved change at once
  be the phone      sudo nsenter --net=/run/netns/{PREFIX}-phone
  ask the daemon    as above, with `flows`, `devices` or `events`",
            ROUND_EVERY.as_secs(),
            daemon::policies(&self.topology).display(),
        );
        Ok(())
    }

    /// The log of the daemon so far.
    fn daemon_said(&self) -> Result<String> {
        self.daemon
            .as_ref()
            .map_or_else(|| Ok(String::new()), Daemon::said)
    }

    fn tear_down(&mut self) -> Vec<anyhow::Error> {
        self.up = false;
        self.servers = None;
        self.services = None;
        let mut errors: Vec<_> = self
            .daemon
            .take()
            .and_then(|daemon| daemon.stop().err())
            .into_iter()
            .collect();
        errors.extend(teardown::sweep(self.monitor, &self.topology));
        errors
    }
}

/// Removes everything after an error or a panic.
impl Drop for Demo<'_> {
    fn drop(&mut self) {
        if self.up {
            print_errors(&self.tear_down());
        }
    }
}

fn print_errors(errors: &[anyhow::Error]) {
    for error in errors {
        eprintln!("monitor: removing: {error:#}");
    }
}

fn go_on(stop: &AtomicBool) -> Result<()> {
    if stop.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}

/// Waits for a time. Returns true early if the flag `stop` is set.
fn waited(stop: &AtomicBool, duration: Duration) -> bool {
    const STEP: Duration = Duration::from_millis(100);
    let mut left = duration;
    while !stop.load(Ordering::Relaxed) && !left.is_zero() {
        thread::sleep(STEP.min(left));
        left = left.saturating_sub(STEP);
    }
    stop.load(Ordering::Relaxed)
}
