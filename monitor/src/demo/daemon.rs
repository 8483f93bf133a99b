//! The real daemon, in the gateway's namespace, with its config file.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::demo::namespace::Namespace;
use crate::demo::process::{display, output};
use crate::demo::services;
use crate::demo::topology::{OTHER_MAC, PHONE_MAC, REFLASHED_MAC, Topology};
use crate::demo::verbs;

/// The daemon's page, on the gateway's own loopback.
pub(crate) const PAGE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9641);

/// The operator's name of the phone.
pub(crate) const PHONE: &str = "Redmi Note";

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOPPED_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// A running daemon.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
    /// Its command line.
    pub(crate) command: String,
}

impl Daemon {
    /// Starts the daemon, without waiting until it is ready.
    pub(crate) fn start(monitor: &Path, topology: &Topology) -> Result<Self> {
        let runtime = topology.runtime_dir();
        let log = runtime.join("daemon.log");
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        let mut command = topology.gateway.command(monitor);
        command
            .args(["run", "--config"])
            .arg(config(topology))
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("the daemon's log")?)
            .stderr(file)
            // A process group of its own: Ctrl-C reaches the demonstration only, which stops the daemon.
            .process_group(0);
        let child = command.spawn().with_context(|| display(&command))?;
        Ok(Self {
            child,
            log,
            command: verbs::shown(&command),
        })
    }

    /// Waits until the daemon answers on its socket.
    pub(crate) fn wait_ready(&mut self, monitor: &Path, topology: &Topology) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = self.child.try_wait().context("the daemon")? {
                bail!("the daemon ended ({status}); it said:\n{}", self.said()?);
            }
            let Err(error) = output(status(monitor, topology).arg("--json")) else {
                return Ok(());
            };
            if Instant::now() > deadline {
                let said = self.said()?;
                return Err(error.context(format!(
                    "the daemon is not ready after {READY_WITHIN:?}; it said:\n{said}"
                )));
            }
            thread::sleep(POLL);
        }
    }

    /// The output of the daemon so far.
    pub(crate) fn said(&self) -> Result<String> {
        let mut text = String::new();
        File::open(&self.log)
            .and_then(|mut file| file.read_to_string(&mut text))
            .with_context(|| self.log.display().to_string())?;
        Ok(text)
    }

    /// Ends the daemon. The filter and its pins stay.
    pub(crate) fn stop(mut self) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).context("process id")?);
        if self.child.try_wait().context("the daemon")?.is_some() {
            return Ok(());
        }
        kill(pid, Signal::SIGTERM).context("the daemon: SIGTERM")?;
        let deadline = Instant::now() + STOPPED_WITHIN;
        while self.child.try_wait().context("the daemon")?.is_none() {
            if Instant::now() > deadline {
                self.child.kill().context("the daemon: SIGKILL")?;
                self.child.wait().context("the daemon")?;
                bail!("the daemon did not end within {STOPPED_WITHIN:?} of SIGTERM and was killed");
            }
            thread::sleep(POLL);
        }
        Ok(())
    }
}

/// The policies of the demonstration: its own, and the shipped one for the range of 2014.
const POLICIES: [(&str, &str); 2] = [
    ("demo.yaml", include_str!("demo.yaml")),
    (
        "range-42.62.48.0-24.yaml",
        include_str!("../../../policies/range-42.62.48.0-24.yaml"),
    ),
];

/// The directory of the policies.
pub(crate) fn policies(topology: &Topology) -> PathBuf {
    topology.runtime_dir().join("policies")
}

/// Writes the daemon's config file, its policies, and the file of names of devices. Returns the
/// text of the config file.
pub(crate) fn write_config(topology: &Topology) -> Result<String> {
    let names = topology.runtime_dir().join("names");
    let text = format!("{PHONE_MAC} {PHONE}\n{REFLASHED_MAC} {PHONE}\n{OTHER_MAC} other phone\n");
    fs::write(&names, text).with_context(|| names.display().to_string())?;
    let directory = policies(topology);
    fs::create_dir(&directory).with_context(|| directory.display().to_string())?;
    for (name, text) in POLICIES {
        let file = directory.join(name);
        fs::write(&file, text).with_context(|| file.display().to_string())?;
    }
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let path = |path: PathBuf| serde_json::to_string(&path.to_string_lossy());
    let text = format!(
        "interface: [wlan0]
listen: {PAGE}
policies: {}
state_dir: {}
pin_dir: {}
socket: {}
evidence: names
devices:
  leases: [{}]
  names: {}
  # The operator states that this is one phone. No packet shows it.
  same:
    - {{from: '{PHONE_MAC}', to: '{REFLASHED_MAC}', since: {today}}}
",
        path(policies(topology))?,
        path(topology.runtime_dir().join("state"))?,
        path(topology.pin_dir())?,
        path(socket(topology))?,
        path(services::leases(topology))?,
        path(names)?,
    );
    let file = config(topology);
    fs::write(&file, &text).with_context(|| file.display().to_string())?;
    Ok(text)
}

/// The daemon's config file.
pub(crate) fn config(topology: &Topology) -> PathBuf {
    topology.runtime_dir().join("monitor.yaml")
}

/// `monitor status` for the demonstration's daemon.
pub(crate) fn status(monitor: &Path, topology: &Topology) -> Command {
    let mut command = topology.gateway.command(monitor);
    command.arg("status").arg("--socket").arg(socket(topology));
    command
}

/// `monitor detach` for the demonstration's pins.
pub(crate) fn detach(monitor: &Path, topology: &Topology) -> Command {
    let mut command = if topology.gateway.exists() {
        topology.gateway.command(monitor)
    } else {
        Command::new(monitor)
    };
    command
        .arg("detach")
        .arg("--pin-dir")
        .arg(topology.pin_dir());
    command.arg("--socket").arg(socket(topology));
    command
}

/// The Unix socket of the demonstration's daemon.
pub(crate) fn socket(topology: &Topology) -> PathBuf {
    topology.runtime_dir().join("monitor.sock")
}

/// Kills what an earlier demonstration left behind: processes in its namespaces whose command lines name
/// a file in this demonstration's directory. These are the daemon and the services.
pub(crate) fn kill_leftover(topology: &Topology, namespace: &Namespace) -> Result<()> {
    let directory = topology.runtime_dir();
    for process in namespace.processes()? {
        if names(process, &directory) {
            match kill(Pid::from_raw(process), Signal::SIGKILL) {
                // ESRCH: it has just ended by itself.
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("SIGKILL to process {process}"));
                }
            }
            wait_gone(process)?;
        }
    }
    Ok(())
}

/// True if an argument of the process names a file in the directory.
fn names(process: i32, directory: &Path) -> bool {
    let wanted = format!("{}/", directory.display());
    fs::read(format!("/proc/{process}/cmdline"))
        .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&wanted))
}

fn wait_gone(process: i32) -> Result<()> {
    let deadline = Instant::now() + STOPPED_WITHIN;
    while !fs::read(format!("/proc/{process}/cmdline"))
        .unwrap_or_default()
        .is_empty()
    {
        if Instant::now() > deadline {
            bail!("process {process} did not end within {STOPPED_WITHIN:?} of SIGKILL");
        }
        thread::sleep(POLL);
    }
    Ok(())
}
