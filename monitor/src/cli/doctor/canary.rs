//! `monitor doctor --canary`: asks the daemon to count frames, sends them, and tells it to stop.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use monitor::{
    control::{Answer, CanaryPolicy, Request, ask},
    datapath::Reader,
    doctor::{
        self, Remark,
        canary::{Namespace, Run, Source, Target},
        facts::FilterAt,
    },
};
use nix::{
    sys::signal::{SigSet, Signal},
    unistd::geteuid,
};

use super::super::{reach::Reach, tell};

/// How long the frames of all paths may take, in seconds. Then the policy ends by itself.
const LONGEST: u64 = 120;

/// Options of the canary.
#[derive(Args, Debug)]
pub(super) struct CanaryArgs {
    /// Send marked frames through the filtered interfaces; each must raise a counter
    #[arg(long)]
    canary: bool,

    /// The station that sends them: a network namespace beside the filter, by its name or path
    #[arg(long, value_name = "NETNS", requires = "canary")]
    station: Option<String>,

    /// The interface that sends them, of the station or else of this machine, such as a second
    /// card that leads to the filtered interface
    #[arg(long, value_name = "INTERFACE", requires = "canary")]
    from: Option<String>,

    /// Join a station of its own to this bridge for the time of the canary
    #[arg(long, value_name = "BRIDGE", requires = "canary", conflicts_with_all = ["station", "from"])]
    join: Option<String>,

    /// Wait so many seconds for a device of yours, on which you run the printed command
    #[arg(
        long,
        value_name = "SECONDS",
        requires = "canary",
        conflicts_with_all = ["station", "from", "join", "vlan"],
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    wait: Option<u64>,

    /// Send frames with this VLAN tag too (repeatable); those of the gateway's VLANs are known
    #[arg(long, value_name = "ID", requires = "canary", value_parser = clap::value_parser!(u16).range(1..=4094))]
    vlan: Vec<u16>,
}

impl CanaryArgs {
    /// What became of the frames. `None` if the operator did not ask for them.
    pub(super) fn remarks(&self, reach: &Reach) -> anyhow::Result<Option<Vec<Remark>>> {
        if !self.canary {
            return Ok(None);
        }
        anyhow::ensure!(
            geteuid().is_root(),
            "--canary sends raw frames: run the command as root"
        );
        let daemon = reach.daemon.as_ref().context(
            "--canary needs the daemon, which counts the frames: start `monitor run` first",
        )?;
        let gateway = Namespace::of_process(daemon.pid)?;
        let stopped = stop_at_signal()?;
        let settings = &reach.settings;
        let filters = gateway.run(|| filters(&settings.pin_dir))??;
        let length = self.wait.map_or(LONGEST, |seconds| seconds + LONGEST);
        let begun = Begun::new(&settings.socket, length)?;
        let policy = &begun.policy;
        let run = Run {
            gateway: &gateway,
            target: Target {
                ipv4: policy.ipv4,
                ipv6: policy.ipv6,
            },
            vlans: &self.vlan,
            filters: &filters,
            count: &|| count(&settings.pin_dir, &policy.policy),
            stopped: &stopped,
        };
        let remarks = match self.wait {
            Some(seconds) => run.wait(Duration::from_secs(seconds), || {
                tell(&format!(
                    "on a device beside the filter, run within {seconds} s:\n  ping -c 3 {}\n  ping -6 -c 3 {}\nor open http://{} there",
                    policy.ipv4, policy.ipv6, policy.ipv4
                ));
            })?,
            None => run.send_from(&self.source())?,
        };
        begun.end()?;
        Ok(Some(remarks))
    }

    fn source(&self) -> Source {
        match (&self.station, &self.from, &self.join) {
            (_, _, Some(bridge)) => Source::Bridge(bridge.clone()),
            (Some(name), interface, _) => Source::Namespace(name.clone(), interface.clone()),
            (None, Some(interface), _) => Source::Interface(interface.clone()),
            (None, None, None) => Source::Nowhere,
        }
    }
}

/// The policy that counts the frames. Dropping the value removes it.
struct Begun<'a> {
    socket: &'a Path,
    policy: CanaryPolicy,
    has_ended: bool,
}

impl<'a> Begun<'a> {
    fn new(socket: &'a Path, seconds: u64) -> anyhow::Result<Self> {
        match ask(socket, &Request::Canary { seconds })? {
            Answer::Canary(policy) => Ok(Self {
                socket,
                policy,
                has_ended: false,
            }),
            Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
            other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
        }
    }

    fn end(mut self) -> anyhow::Result<()> {
        self.has_ended = true;
        self.ask_to_end()
    }

    fn ask_to_end(&self) -> anyhow::Result<()> {
        match ask(self.socket, &Request::CanaryEnd {})? {
            Answer::CanaryEnded {} => Ok(()),
            Answer::Refused(why) => anyhow::bail!(
                "the policy of the canary is still in force, and ends by itself: {why}"
            ),
            other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
        }
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if !self.has_ended
            && let Err(error) = self.ask_to_end()
        {
            tell(&format!("{error:#}"));
        }
    }
}

/// The packets that the policy of the canary counted.
fn count(pin_dir: &Path, policy: &str) -> Result<u64, String> {
    let reader = Reader::open(pin_dir).map_err(|error| error.to_string())?;
    let snapshot = reader.snapshot(None).map_err(|error| error.to_string())?;
    let mut policies = snapshot.policies.iter();
    let own = policies.find(|own| own.name == policy);
    Ok(own.map_or(0, |own| {
        own.matched.passed.packets + own.matched.dropped.packets
    }))
}

/// The attached filters.
fn filters(pin_dir: &Path) -> anyhow::Result<Vec<FilterAt>> {
    let snapshot = Reader::open(pin_dir)?.snapshot(None)?;
    let found = doctor::filters(pin_dir, Some(&snapshot)).map_err(anyhow::Error::msg)?;
    Ok(found.attached)
}

/// Notes the first signal, so that everything is removed before the command ends. The second one
/// ends it at once; then the kernel removes the station, and the policy ends by itself.
fn stop_at_signal() -> io::Result<Arc<AtomicBool>> {
    // Other threads inherit the mask, so only the thread below takes the signals.
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    signals.thread_block()?;
    let stopped = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&stopped);
    let thread = thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || {
        if signals.wait().is_ok() {
            noted.store(true, Ordering::Relaxed);
        }
        if signals.wait().is_ok() {
            std::process::exit(1);
        }
    })?;
    Ok(stopped)
}
