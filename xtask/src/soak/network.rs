//! A phone and a gateway with two links between them, which carry no other traffic, and
//! the daemon on the gateway.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::netns::Namespace;
use crate::system::{BPFFS, Tree, output};

/// Names of the links, the same on both ends.
pub(crate) const LINKS: [&str; 2] = ["wlan0", "wlan1"];

/// The longest time to wait for an expected change.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// Namespaces, directories and daemon. Dropping the value removes them.
pub(crate) struct Network {
    pub(crate) phone: Namespace,
    pub(crate) gateway: Namespace,
    pub(crate) pin_dir: PathBuf,
    directory: TempDir,
    monitor: PathBuf,
    daemon: Option<Child>,
}

impl Network {
    /// Makes two namespaces whose names have the process id.
    pub(crate) fn make(tree: &Tree) -> Result<Self> {
        let name = format!("monitor-soak-{}", std::process::id());
        let network = Self {
            phone: Namespace::new(format!("{name}-phone")),
            gateway: Namespace::new(format!("{name}-gateway")),
            pin_dir: Path::new(BPFFS).join(&name),
            directory: TempDir::new().context("a directory")?,
            monitor: tree.monitor.clone(),
            daemon: None,
        };
        fs::create_dir(network.policies()).context("a directory of policies")?;
        network.phone.add()?;
        network.gateway.add()?;
        network.gateway.ip("link set lo up")?;
        LINKS.iter().try_for_each(|link| network.connect(link))?;
        Ok(network)
    }

    /// Makes a veth pair with this name on both ends.
    pub(crate) fn connect(&self, link: &str) -> Result<()> {
        let (phone, gateway) = (&self.phone, &self.gateway);
        phone.ip(&format!(
            "link add {link} type veth peer name {link} netns {}",
            gateway.name()
        ))?;
        for end in [phone, gateway] {
            end.enter(|| {
                let switch = format!("/proc/sys/net/ipv6/conf/{link}/disable_ipv6");
                fs::write(&switch, "1").context(switch)
            })?;
            let features = ["gro", "off", "gso", "off", "tso", "off"];
            output(end.command("ethtool").args(["-K", link]).args(features))?;
            end.ip(&format!("link set {link} arp off up"))?;
        }
        Ok(())
    }

    /// State directory of the daemon.
    pub(crate) fn state_dir(&self) -> String {
        self.directory.path().join("state").display().to_string()
    }

    fn policies(&self) -> PathBuf {
        self.directory.path().join("policies")
    }

    /// Replaces the policies in one step.
    pub(crate) fn write_policies(&self, text: &str) -> Result<()> {
        let new = self.directory.path().join("new.yaml");
        fs::write(&new, text).context("new policies")?;
        fs::rename(new, self.policies().join("policies.yaml")).context("new policies")
    }

    /// Starts the daemon on both links, and waits until both are filtered.
    pub(crate) fn start_daemon(&mut self) -> Result<()> {
        let log = File::create(self.directory.path().join("log")).context("the daemon's log")?;
        let mut command = self.gateway.command(&self.monitor);
        command.args(["run", "--mode", "generic", "--policies"]);
        command.arg(self.policies()).arg("--state-dir");
        command.arg(self.directory.path().join("state"));
        for link in LINKS {
            command.args(["--interface", link]);
        }
        self.add_places(&mut command);
        let daemon = command.stdin(Stdio::null()).stdout(Stdio::null());
        self.daemon = Some(daemon.stderr(log).spawn().context("the daemon")?);
        LINKS.iter().try_for_each(|link| self.wait_filtered(link))
    }

    fn add_places(&self, command: &mut Command) {
        command.arg("--pin-dir").arg(&self.pin_dir);
        let socket = self.directory.path().join("socket");
        command.arg("--socket").arg(socket);
    }

    /// A command for this daemon.
    pub(crate) fn verb(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.monitor);
        command.args(arguments);
        self.add_places(&mut command);
        output(&mut command)
    }

    /// The output of `status --json`.
    pub(crate) fn status(&self) -> Result<Value> {
        serde_json::from_str(&self.verb(&["status", "--json"])?).context("status")
    }

    /// Waits until a link is filtered.
    pub(crate) fn wait_filtered(&self, link: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_filtered(link) {
            if Instant::now() > deadline {
                bail!("{link} is not filtered; the daemon said:\n{}", self.log());
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// True if the filter runs on a link and the daemon waits for nothing there.
    fn is_filtered(&self, link: &str) -> bool {
        let Ok(status) = self.status() else {
            return false;
        };
        let waiting = &status["daemon"]["waiting"];
        let interfaces = status["interfaces"].as_array();
        let mut interfaces = interfaces.into_iter().flatten();
        waiting
            .as_object()
            .is_none_or(|waiting| !waiting.contains_key(link))
            && interfaces.any(|i| i["name"] == link && i["generation"].is_u64())
    }

    /// The log of the daemon.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Process id of the daemon.
    pub(crate) fn pid(&self) -> Result<Pid> {
        let daemon = self.daemon.as_ref().context("no daemon")?;
        Ok(Pid::from_raw(i32::try_from(daemon.id())?))
    }

    /// Makes the daemon reload by a signal.
    pub(crate) fn hang_up(&self) -> Result<()> {
        kill(self.pid()?, Signal::SIGHUP).context("SIGHUP to the daemon")
    }

    /// Removes the filter. The daemon then ends.
    pub(crate) fn detach(&mut self) -> Result<()> {
        self.verb(&["detach"])?;
        let mut daemon = self.daemon.take().context("no daemon")?;
        let ended = daemon.wait().context("the daemon")?;
        if !ended.success() || self.pin_dir.exists() {
            bail!(
                "detach left something: {ended}, pins: {}",
                self.pin_dir.exists()
            );
        }
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let mut errors = Vec::new();
        if let Some(mut daemon) = self.daemon.take() {
            errors.extend(daemon.kill().err().map(anyhow::Error::from));
            errors.extend(daemon.wait().err().map(anyhow::Error::from));
        }
        if self.pin_dir.exists() {
            errors.extend(self.verb(&["detach"]).err());
        }
        for namespace in [&self.phone, &self.gateway] {
            if namespace.exists() {
                errors.extend(namespace.delete().err());
            }
        }
        for error in errors {
            eprintln!("xtask: removing: {error:#}");
        }
    }
}
