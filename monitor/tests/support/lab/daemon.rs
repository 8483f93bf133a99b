//! Runs the real binary in a lab: its daemon and its other verbs.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

use super::{super::user::User, Lab, tools::binary};

/// A running daemon. Dropping this value kills it.
pub(crate) struct Daemon {
    pub(crate) child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Takes ownership of a process that writes to this log.
    pub(crate) fn new(child: Child, log: PathBuf) -> Self {
        Self { child, log }
    }

    /// Takes ownership of a process that was started elsewhere; its log is not
    /// known.
    pub(crate) fn from_child(child: Child) -> Self {
        Self {
            child,
            log: PathBuf::new(),
        }
    }

    /// Sends SIGKILL, and waits for the end of the process.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Everything that the daemons of this lab have written to standard error
    /// so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// True if each endpoint either serves metrics or has a reason why it does not.
pub(crate) fn has_tried_to_listen(status: &Value) -> bool {
    let endpoints = status["daemon"]["endpoints"].as_array();
    let mut endpoints = endpoints.expect("endpoints").iter();
    endpoints.all(|endpoint| endpoint["serving"] == true || !endpoint["error"].is_null())
}

impl Lab {
    /// The command `monitor run` inside the gateway, not started. Options that
    /// `arguments` do not set have the lab's values.
    pub(crate) fn daemon_command(&self, arguments: &[&str]) -> Command {
        let binary = vec![binary().display().to_string()];
        let words = self.user.as_ref().map_or(binary, User::words);
        let mut command = self.gateway.command(&words[0]);
        command.args(&words[1..]);
        command.arg("run").args(arguments).stdin(Stdio::null());
        let own = [
            ("--listen", "127.0.0.1:9641".into()),
            ("--policies", self.policies()),
            ("--state-dir", self.directory.path().join("state")),
            ("--pin-dir", self.pin_dir.clone()),
            ("--socket", self.socket()),
        ];
        for (name, value) in own {
            if !arguments.contains(&name) {
                command.arg(name).arg(value);
            }
        }
        command
    }

    /// Runs another verb on this lab's pins, inside the gateway's namespace,
    /// where it sees the gateway's interfaces.
    pub(crate) fn monitor_inside(&self, arguments: &[&str]) -> Output {
        let mut command = self.gateway.command(binary());
        command.args(arguments).arg("--socket").arg(self.socket());
        let command = command.arg("--pin-dir").arg(&self.pin_dir);
        command.output().expect("run monitor")
    }

    /// Runs another verb on this lab's daemon or pins.
    pub(crate) fn monitor(&self, arguments: &[&str]) -> Output {
        Command::new(binary())
            .args(arguments)
            .arg("--socket")
            .arg(self.socket())
            .arg("--pin-dir")
            .arg(&self.pin_dir)
            .output()
            .expect("run monitor")
    }
}
