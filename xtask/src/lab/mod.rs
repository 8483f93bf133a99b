//! The lab: a phone, a gateway with the real daemon, and an internet, in three network
//! namespaces. In a terminal it runs until Ctrl-C, in a script for one round.

mod daemon;
mod forward;
pub(crate) mod metrics;
mod show;
mod teardown;
#[cfg(test)]
mod tests;
mod topology;
mod traffic;

use std::fs::{self, File, TryLockError};
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::lab::daemon::Daemon;
use crate::lab::topology::{TARGETS, Topology};
use crate::lab::traffic::{Outcome, Servers};
use crate::system::{self, Tree, display, output};

const PREFIX: &str = "monitor-lab";
const ROUND_EVERY: Duration = Duration::from_secs(5);

/// Makes the lab, shows it, and removes it also after an error.
pub(crate) fn run(tree: &Tree) -> Result<()> {
    let stop = stop_flag()?;
    let topology = Topology::named(PREFIX);
    let _lock = lock(&topology)?;
    system::mount_bpffs()?;
    let mut lab = Lab::new(tree, topology);
    lab.start(&stop)?;
    let shown = lab.show_and_stay(&stop);
    let errors = lab.tear_down();
    if errors.is_empty() {
        return shown;
    }
    print_errors(&errors);
    shown.and(Err(anyhow::anyhow!("the lab was not removed completely")))
}

/// A flag that becomes true at SIGINT, SIGTERM or SIGHUP.
pub(crate) fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("signal handler")?;
    }
    Ok(stop)
}

/// Locks out a second lab of this name, which would remove this one as a leftover.
fn lock(topology: &Topology) -> Result<File> {
    let path = topology.lock_file();
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another lab is running on this machine ({} is locked)",
            path.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| path.display().to_string()),
    }
}

struct Lab<'a> {
    tree: &'a Tree,
    topology: Topology,
    servers: Option<Servers>,
    daemon: Option<Daemon>,
    up: bool,
}

impl<'a> Lab<'a> {
    fn new(tree: &'a Tree, topology: Topology) -> Self {
        Self {
            tree,
            topology,
            servers: None,
            daemon: None,
            up: false,
        }
    }

    fn start(&mut self, stop: &AtomicBool) -> Result<()> {
        self.make_network()?;
        println!(
            "The lab, in network namespaces monitor-lab-*:\n{}\n",
            show::network()
        );
        go_on(stop)?;
        let daemon = Daemon::start(self.tree, &self.topology)?;
        println!("{}", daemon.command);
        let daemon = self.daemon.insert(daemon);
        daemon.wait_ready(self.tree, &self.topology)?;
        println!("{}", daemon.said()?.trim_end());
        go_on(stop)
    }

    /// Makes namespaces and servers, without a filter.
    fn make_network(&mut self) -> Result<()> {
        let leftovers = teardown::sweep(self.tree, &self.topology);
        if !leftovers.is_empty() {
            print_errors(&leftovers);
            bail!("the leftovers of an earlier lab could not be removed");
        }
        self.up = true;
        let runtime = self.topology.runtime_dir();
        fs::create_dir(&runtime).with_context(|| runtime.display().to_string())?;
        self.topology.make().context("the lab's network")?;
        self.servers = Some(Servers::start(&self.topology.internet, &TARGETS)?);
        Ok(())
    }

    fn show_and_stay(&self, stop: &AtomicBool) -> Result<()> {
        let outcomes = traffic::round(&self.topology.phone, &TARGETS)?;
        let page = self.show(&outcomes)?;
        if io::stdout().is_terminal() {
            return self.stay(stop, outcomes);
        }
        let mut complaints = show::complaints(&outcomes);
        complaints.extend(metrics::complaints(&page));
        if complaints.is_empty() {
            println!("\nAll as expected.");
            return Ok(());
        }
        bail!("not as expected: {}", complaints.join("; "))
    }

    /// Returns the metrics page.
    fn show(&self, outcomes: &[Outcome]) -> Result<String> {
        println!(
            "\nWhat the phone experienced:\n{}",
            show::outcomes(outcomes)
        );
        let mut status = daemon::status(self.tree, &self.topology);
        println!("\nWhat the gateway saw, by `{}`:", display(&status));
        println!("{}", output(&mut status)?.trim_end());
        let page = metrics::fetch(&self.topology.gateway)?;
        println!("\nFrom its Prometheus page:");
        for line in metrics::shown(&page) {
            println!("  {line}");
        }
        Ok(page)
    }

    /// Repeats the phone's round, and shows each result that differs from the previous one.
    fn stay(&self, stop: &AtomicBool, mut last: Vec<Outcome>) -> Result<()> {
        let address = forward::start(&self.topology.gateway)?;
        if address.port() != daemon::PAGE.port() {
            println!("\nPort {} is taken on this machine.", daemon::PAGE.port());
        }
        println!("\nPrometheus page: http://{address}/metrics");
        println!("Edit {}/xtask/lab/lab.yaml", self.tree.root.display());
        println!(
            "  or {}/policies/*.yaml; the daemon takes a saved change at once.",
            self.tree.root.display()
        );
        println!("Be the phone: sudo nsenter --net=/run/netns/{PREFIX}-phone");
        println!(
            "Ask the daemon: sudo {}",
            display(&daemon::status(self.tree, &self.topology))
        );
        println!(
            "The phone asks again every {} s. Ctrl-C ends the lab.",
            ROUND_EVERY.as_secs()
        );
        let mut shown = self.daemon_said()?.len();
        while !waited(stop, ROUND_EVERY) {
            let said = self.daemon_said()?;
            print!("{}", said.get(shown..).unwrap_or_default());
            shown = said.len();
            let outcomes = traffic::round(&self.topology.phone, &TARGETS)?;
            if outcomes != last {
                self.show(&outcomes)?;
                last = outcomes;
            }
        }
        println!("\nRemoving the lab.");
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
        let mut errors: Vec<_> = self
            .daemon
            .take()
            .and_then(|daemon| daemon.stop().err())
            .into_iter()
            .collect();
        errors.extend(teardown::sweep(self.tree, &self.topology));
        errors
    }
}

/// Removes the lab after an error or a panic.
impl Drop for Lab<'_> {
    fn drop(&mut self) {
        if self.up {
            print_errors(&self.tear_down());
        }
    }
}

fn print_errors(errors: &[anyhow::Error]) {
    for error in errors {
        eprintln!("xtask: removing: {error:#}");
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
