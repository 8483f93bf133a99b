//! The real daemon on the gateway, controlled by its command line only.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::filters::{Evidence, Hook};
use super::network::Network;
use crate::system::output;

/// Long enough for the whole table.
const READY_WITHIN: Duration = Duration::from_secs(60);
const ENDED_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

/// A daemon that filters one interface, or both interfaces of a path.
pub(crate) struct Daemon(Child);

impl Daemon {
    /// Starts the daemon with the policies of a folder, and waits until it answers.
    pub(crate) fn start(
        network: &Network<'_>,
        interfaces: &[String],
        (hook, evidence): (Hook, Evidence),
        policies: &Path,
    ) -> Result<Self> {
        let runtime = Network::runtime_dir();
        let log = runtime.join("daemon.log");
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        let child = network
            .gateway
            .command(&network.tree.monitor)
            .arg("run")
            .args(interfaces.iter().flat_map(|it| ["--interface", it]))
            .args(["--mode", hook.name(), "--evidence", evidence.name()])
            .args(["--listen", "127.0.0.1:0"])
            .arg("--policies")
            .arg(policies)
            .arg("--state-dir")
            .arg(runtime.join("state"))
            .arg("--pin-dir")
            .arg(Network::pin_dir())
            .arg("--socket")
            .arg(socket())
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("the daemon's log")?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .context("monitor run")?;
        let mut daemon = Self(child);
        if let Err(error) = daemon.wait_ready(network) {
            let said = fs::read_to_string(&log).unwrap_or_default();
            let removed = daemon.remove(network);
            return Err(removed
                .err()
                .unwrap_or(error)
                .context(format!("the daemon said:\n{said}")));
        }
        Ok(daemon)
    }

    fn wait_ready(&mut self, network: &Network<'_>) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = self.0.try_wait().context("the daemon")? {
                bail!("the daemon ended: {status}");
            }
            let Err(error) = output(&mut status(network)) else {
                return Ok(());
            };
            if Instant::now() > deadline {
                return Err(
                    error.context(format!("the daemon is not ready after {READY_WITHIN:?}"))
                );
            }
            thread::sleep(POLL);
        }
    }

    /// Number of packets that the only policy dropped. Fails if the phone, its only device,
    /// has another number.
    pub(crate) fn dropped(network: &Network<'_>) -> Result<u64> {
        let text = output(&mut status(network))?;
        let status: serde_json::Value = serde_json::from_str(&text).context("status --json")?;
        let policy = &status["policies"][0];
        let of_policy = policy["matched"]["dropped"]["packets"].as_u64();
        let of_device = policy["devices"][0]["matched"]["dropped"]["packets"].as_u64();
        let (Some(of_policy), of_device) = (of_policy, of_device.unwrap_or(0)) else {
            bail!("status --json has no policy: {text}");
        };
        if of_policy != of_device {
            bail!("the policy dropped {of_policy}, its one device {of_device}");
        }
        Ok(of_policy)
    }

    /// Removes the filter and ends the daemon.
    pub(crate) fn remove(mut self, network: &Network<'_>) -> Result<()> {
        let detached = detach(network);
        let pid = Pid::from_raw(i32::try_from(self.0.id()).context("process id")?);
        if self.0.try_wait().context("the daemon")?.is_none() {
            kill(pid, Signal::SIGTERM).context("the daemon: SIGTERM")?;
            let deadline = Instant::now() + ENDED_WITHIN;
            while self.0.try_wait().context("the daemon")?.is_none() {
                if Instant::now() > deadline {
                    self.0.kill().context("the daemon: SIGKILL")?;
                }
                thread::sleep(POLL);
            }
        }
        detached
    }
}

/// Removes the filter and its pins.
pub(crate) fn detach(network: &Network<'_>) -> Result<()> {
    let mut command = if network.gateway.exists() {
        network.gateway.command(&network.tree.monitor)
    } else {
        Command::new(&network.tree.monitor)
    };
    command
        .arg("detach")
        .arg("--pin-dir")
        .arg(Network::pin_dir());
    output(command.arg("--socket").arg(socket())).map(drop)
}

/// Kills the daemon of an earlier run: a process in the gateway's namespace whose command
/// line has this benchmark's socket.
pub(crate) fn kill_leftover(network: &Network<'_>) -> Result<()> {
    let socket = socket();
    let wanted = socket.as_os_str().as_encoded_bytes();
    for process in network.gateway.processes()? {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        if line
            .split(|&byte| byte == 0)
            .any(|argument| argument == wanted)
        {
            kill(Pid::from_raw(process), Signal::SIGKILL)
                .with_context(|| format!("SIGKILL to process {process}"))?;
        }
    }
    Ok(())
}

fn status(network: &Network<'_>) -> Command {
    let mut command = network.gateway.command(&network.tree.monitor);
    command
        .args(["status", "--json"])
        .arg("--socket")
        .arg(socket());
    command.arg("--pin-dir").arg(Network::pin_dir());
    command
}

fn socket() -> PathBuf {
    Network::runtime_dir().join("monitor.sock")
}
