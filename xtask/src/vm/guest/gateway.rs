//! The real daemon on the emulated machine.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::{Guest, must_be, phone, wait_for, write};
use crate::system::{BPFFS, output};

/// Policies: drop packets to the blocked address, count packets to the open one.
pub(super) const POLICIES: &str = "version: 1
policies:
  - {name: blocked, action: drop, destinations: [198.51.100.0/24]}
  - {name: looked-at, action: count, destinations: [192.0.2.0/24]}
";

/// A daemon with its own pins, state and policies. Dropping the value ends the daemon and
/// removes the filter.
pub(super) struct Gateway<'a> {
    guest: &'a Guest,
    name: String,
    daemon: Option<Child>,
}

impl<'a> Gateway<'a> {
    /// Prepares a daemon without starting it. Each `name` must be used only once.
    pub(super) fn new(guest: &'a Guest, name: &str, policies: &str) -> Result<Self> {
        let gateway = Self {
            guest,
            name: name.to_owned(),
            daemon: None,
        };
        let folder = gateway.folder().join("policies");
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        gateway.write_policies(policies)?;
        Ok(gateway)
    }

    /// Replaces the policies atomically, as editors do.
    pub(super) fn write_policies(&self, text: &str) -> Result<()> {
        let new = self.folder().join("new");
        write(&new, text)?;
        fs::rename(&new, self.folder().join("policies/policies.yaml")).context("the policies")
    }

    /// Starts the daemon and waits until it answers.
    pub(super) fn start(&mut self, interface: &str, arguments: &[&str]) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .with_context(|| self.log().display().to_string())?;
        let mut command = self.verb("run");
        command
            .args(["--interface", interface, "--listen", "127.0.0.1:0"])
            .args(arguments)
            .arg("--policies")
            .arg(self.folder().join("policies"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("the daemon's log")?)
            .stderr(log);
        // The log may have lines of an earlier daemon.
        let before = self.said()?.len();
        let mut daemon = command.spawn().context("monitor run")?;
        let ready = wait_for("the daemon is ready", || {
            if let Some(status) = daemon.try_wait().context("the daemon")? {
                bail!("the daemon ended ({status}): {}", self.said()?);
            }
            Ok(self.said()?[before..].contains("ready: "))
        });
        self.daemon = Some(daemon);
        ready.with_context(|| format!("it said: {}", self.said().unwrap_or_default()))?;
        Ok(())
    }

    /// The log of the daemon.
    pub(super) fn said(&self) -> Result<String> {
        fs::read_to_string(self.log()).with_context(|| self.log().display().to_string())
    }

    /// Checks that the log has no warnings and errors.
    pub(super) fn must_have_no_errors(&self) -> Result<()> {
        let said = self.said()?;
        let errors: Vec<&str> = said.lines().filter(|line| line.contains("ERROR")).collect();
        ensure!(errors.is_empty(), "the daemon said: {}", errors.join("\n"));
        Ok(())
    }

    /// Runs a command and returns its JSON.
    pub(super) fn ask(&self, verb: &str, arguments: &[&str]) -> Result<Value> {
        let mut command = self.verb(verb);
        let answer = output(command.args(arguments).arg("--json"))?;
        serde_json::from_str(&answer).with_context(|| format!("monitor {verb}: {answer}"))
    }

    /// Checks that `monitor doctor` has such a finding. Its exit code says if it is blind.
    pub(super) fn must_find(&self, check: &str, status: &str, what: &str) -> Result<()> {
        let answer = self
            .verb("doctor")
            .arg("--json")
            .output()
            .context("monitor doctor")?;
        let answer: Value = serde_json::from_slice(&answer.stdout)
            .with_context(|| String::from_utf8_lossy(&answer.stderr).into_owned())?;
        let found = answer["checks"]
            .as_array()
            .context("checks")?
            .iter()
            .any(|found| {
                found["id"] == check
                    && found["status"] == status
                    && found["what"]
                        .as_str()
                        .is_some_and(|text| text.contains(what))
            });
        ensure!(found, "no {status} {check} with `{what}`: {answer}");
        Ok(())
    }

    /// The part of `monitor status` for this interface.
    pub(super) fn interface(&self, name: &str) -> Result<Value> {
        let status = self.ask("status", &[])?;
        named(&status["interfaces"], name)
    }

    /// The generation in force.
    pub(super) fn generation(&self, interface: &str) -> Result<u64> {
        let interface = self.interface(interface)?;
        interface["generation"]
            .as_u64()
            .with_context(|| format!("no generation: {interface}"))
    }

    /// True if the generation in force has this policy.
    pub(super) fn is_in_force(&self, policy: &str) -> Result<bool> {
        let status = self.ask("status", &[])?;
        let found = named(&status["policies"], policy);
        Ok(found.is_ok_and(|policy| !policy["action"].is_null()))
    }

    /// Checks how the filter is attached.
    pub(super) fn must_be_in_mode(&self, interface: &str, mode: &str) -> Result<()> {
        let found = self.interface(interface)?;
        must_be("mode", &found["mode"].as_str(), &Some(mode))
    }

    /// IPv4 packets that the interface dropped.
    pub(super) fn dropped(&self, interface: &str) -> Result<u64> {
        packets(&self.interface(interface)?["ipv4"]["dropped"])
    }

    /// IPv4 packets that the interface passed.
    pub(super) fn passed(&self, interface: &str) -> Result<u64> {
        packets(&self.interface(interface)?["ipv4"]["passed"])
    }

    /// Packets of a device that a policy matched: passed and dropped.
    pub(super) fn device(&self, policy: &str, mac: &str) -> Result<(u64, u64)> {
        let status = self.ask("status", &[])?;
        let policy = named(&status["policies"], policy)?;
        let devices = policy["devices"].as_array().context("devices")?;
        let device = devices
            .iter()
            .find(|device| device["mac"] == mac)
            .with_context(|| format!("{mac} is not in {policy}"))?;
        let matched = &device["matched"];
        Ok((packets(&matched["passed"])?, packets(&matched["dropped"])?))
    }

    /// Checks all counters after the first round of this device.
    pub(super) fn must_have_counted_a_round(&self, interface: &str, mac: &str) -> Result<()> {
        let (each, of) = (rounds(1), |policy| self.device(policy, mac));
        must_be("dropped", &self.dropped(interface)?, &each)?;
        must_be("blocked, of the device", &of("blocked")?, &(0, each))?;
        must_be("looked at, of the device", &of("looked-at")?, &(each, 0))
    }

    /// Ends the daemon. The filter stays.
    pub(super) fn stop(&mut self) -> Result<()> {
        let Some(mut daemon) = self.daemon.take() else {
            return Ok(());
        };
        let id = Pid::from_raw(i32::try_from(daemon.id()).context("process id")?);
        kill(id, Signal::SIGTERM).context("end the daemon")?;
        let status = daemon.wait().context("the daemon")?;
        ensure!(status.success(), "the daemon: {status}: {}", self.said()?);
        Ok(())
    }

    /// Removes the filter, and checks that nothing is left of it.
    pub(super) fn detach(&mut self, interface: &str) -> Result<()> {
        output(&mut self.verb("detach"))?;
        if let Some(mut daemon) = self.daemon.take() {
            let status = daemon.wait().context("the daemon")?;
            ensure!(status.success(), "the daemon: {status}: {}", self.said()?);
        }
        ensure!(!self.pins().exists(), "pins are left");
        ensure!(
            !Self::is_filtered(interface)?,
            "{interface}: a filter is left"
        );
        Ok(())
    }

    /// True if the kernel has an XDP program on the interface of this name. `status` says so
    /// of an interface that is gone until the daemon learns it.
    pub(super) fn is_filtered(interface: &str) -> Result<bool> {
        let link = output(Command::new("ip").args(["link", "show", interface]))?;
        Ok(link.contains("xdp"))
    }

    /// A verb of this daemon.
    pub(super) fn verb(&self, verb: &str) -> Command {
        let mut command = self.guest.monitor();
        command
            .arg(verb)
            .arg("--socket")
            .arg(self.folder().join("monitor.sock"))
            .arg("--pin-dir")
            .arg(self.pins())
            .arg("--state-dir")
            .arg(self.folder().join("state"));
        command
    }

    /// Directory of its files.
    pub(super) fn folder(&self) -> PathBuf {
        PathBuf::from("/run").join(&self.name)
    }

    fn log(&self) -> PathBuf {
        self.folder().join("daemon.log")
    }

    fn pins(&self) -> PathBuf {
        PathBuf::from(BPFFS).join(&self.name)
    }
}

impl Drop for Gateway<'_> {
    fn drop(&mut self) {
        // After a successful scenario, nothing is left to remove.
        let Some(mut daemon) = self.daemon.take() else {
            return;
        };
        println!("the daemon said: {}", self.said().unwrap_or_default());
        let _detached = output(&mut self.verb("detach"));
        let _killed = daemon.kill();
        let _ended = daemon.wait();
    }
}

/// The object with this name in a list.
fn named(list: &Value, name: &str) -> Result<Value> {
    let list = list.as_array().context("a list")?;
    list.iter()
        .find(|entry| entry["name"] == name)
        .cloned()
        .with_context(|| format!("no {name} in {list:?}"))
}

fn packets(count: &Value) -> Result<u64> {
    count["packets"]
        .as_u64()
        .with_context(|| format!("no count: {count}"))
}

/// Bytes of a frame, Ethernet header included.
pub(super) fn bytes(count: &Value) -> Result<u64> {
    count["bytes"]
        .as_u64()
        .with_context(|| format!("no count: {count}"))
}

/// Counters of the datagrams of one round.
pub(super) fn rounds(number: u64) -> u64 {
    number * u64::try_from(phone::EACH).unwrap_or(u64::MAX)
}
