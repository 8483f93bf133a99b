//! The real daemon, in the gateway's namespace.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lab::topology::Topology;
use crate::system::{Tree, display, output};

/// The daemon's page, on the gateway's own loopback.
pub(crate) const PAGE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9641);

const READY_WITHIN: Duration = Duration::from_secs(30);
const STOPPED_WITHIN: Duration = Duration::from_secs(5);
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
    pub(crate) fn start(tree: &Tree, topology: &Topology) -> Result<Self> {
        let runtime = topology.runtime_dir();
        let log = runtime.join("daemon.log");
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        let mut command = topology.gateway.command(&tree.monitor);
        command
            .args(["run", "--interface", "wlan0"])
            .arg("--policies")
            .arg(tree.root.join("policies"))
            .arg("--policies")
            .arg(tree.root.join("xtask/lab"))
            .args(["--listen", &PAGE.to_string()])
            .arg("--state-dir")
            .arg(runtime.join("state"))
            .arg("--pin-dir")
            .arg(topology.pin_dir())
            .arg("--socket")
            .arg(socket(topology))
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("the daemon's log")?)
            .stderr(file)
            // A process group of its own: Ctrl-C reaches the lab only, which stops the daemon.
            .process_group(0);
        let shown = display(&command);
        let child = command.spawn().with_context(|| shown.clone())?;
        Ok(Self {
            child,
            log,
            command: shown,
        })
    }

    /// Waits until the daemon answers on its socket.
    pub(crate) fn wait_ready(&mut self, tree: &Tree, topology: &Topology) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = self.child.try_wait().context("the daemon")? {
                bail!("the daemon ended ({status}); it said:\n{}", self.said()?);
            }
            let Err(error) = output(status(tree, topology).arg("--json")) else {
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

/// `monitor status` for the lab's daemon.
pub(crate) fn status(tree: &Tree, topology: &Topology) -> Command {
    let mut command = topology.gateway.command(&tree.monitor);
    command.arg("status").arg("--socket").arg(socket(topology));
    command
}

/// `monitor detach` for the lab's pins.
pub(crate) fn detach(tree: &Tree, topology: &Topology) -> Command {
    let mut command = if topology.gateway.exists() {
        topology.gateway.command(&tree.monitor)
    } else {
        Command::new(&tree.monitor)
    };
    command
        .arg("detach")
        .arg("--pin-dir")
        .arg(topology.pin_dir());
    command.arg("--socket").arg(socket(topology));
    command
}

/// The Unix socket of the lab's daemon.
pub(crate) fn socket(topology: &Topology) -> PathBuf {
    topology.runtime_dir().join("monitor.sock")
}

/// Kills a daemon that an earlier lab left behind: a process in the gateway's namespace
/// whose command line has this lab's pin directory.
pub(crate) fn kill_leftover(topology: &Topology) -> Result<()> {
    let pin_dir = topology.pin_dir();
    for process in topology.gateway.processes()? {
        if is_daemon(process, &pin_dir) {
            kill(Pid::from_raw(process), Signal::SIGKILL)
                .with_context(|| format!("SIGKILL to process {process}"))?;
            wait_gone(process)?;
        }
    }
    Ok(())
}

/// Kills a process. It is no error if the process has ended already.
fn is_daemon(process: i32, pin_dir: &Path) -> bool {
    let wanted = pin_dir.as_os_str().as_encoded_bytes();
    fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|line| {
        line.split(|&byte| byte == 0)
            .any(|argument| argument == wanted)
    })
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
