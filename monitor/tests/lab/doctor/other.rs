//! Another daemon on the same gateway.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::support::lab::{Daemon, Lab, binary, poll, text};

/// Another daemon, whose program runs on an interface of the same gateway.
pub(super) struct Other {
    daemon: Option<Daemon>,
    pins: PathBuf,
}

impl Other {
    pub(super) fn start(lab: &Lab, interface: &str) -> Self {
        let pins = PathBuf::from(format!("{}-other", lab.pin_dir.display()));
        let place = |name: &str| lab.directory.path().join(name);
        let (socket, state) = (place("other.sock"), place("other"));
        let words = [
            ["--interface", interface],
            ["--listen", "127.0.0.1:0"],
            ["--socket", socket.to_str().unwrap()],
            ["--state-dir", state.to_str().unwrap()],
            ["--pin-dir", pins.to_str().unwrap()],
        ];
        let mut command = lab.daemon_command(words.as_flattened());
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        let daemon = Some(Daemon::from_child(child));
        poll("the other daemon answers", || {
            let status = Command::new(binary())
                .args(["status", "--socket"])
                .arg(&socket)
                .output();
            text(&status.unwrap().stdout).starts_with("daemon     process")
        });
        Self { daemon, pins }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill();
        }
        // Only reported, because a panic while a test already fails would abort.
        if let Err(error) = monitor::datapath::detach(&self.pins) {
            eprintln!("the other daemon's pins are left: {error}");
        }
    }
}
