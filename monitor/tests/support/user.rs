//! Runs the daemon as an ordinary user with exactly the capabilities that it
//! needs. The test itself runs as root, and creates the namespaces and the
//! traffic.

use std::{
    env,
    os::unix::fs::chown,
    path::PathBuf,
    process::{Command, ExitStatus},
};

use tempfile::TempDir;

use super::lab::{binary, sh};

/// Environment variable with the number of the user that runs the daemons;
/// without it, root runs them.
const VARIABLE: &str = "MONITOR_TEST_USER";

/// The capabilities of the service, in the notation of setpriv(1).
const CAPABILITIES: &str = "-all,+bpf,+net_admin,+perfmon";

/// A user, with a BPF file system and a bind mount of the binary, because the
/// original may be in a private directory. Dropping this value unmounts both.
pub(crate) struct User {
    number: u32,
    directory: TempDir,
}

impl User {
    /// The user that the environment variable names, if it is set.
    pub(crate) fn asked_for() -> Option<Self> {
        let number = env::var(VARIABLE).ok()?;
        let number: u32 = number.parse().expect("MONITOR_TEST_USER is a number");
        assert_ne!(number, 0, "MONITOR_TEST_USER is not root");
        let user = Self {
            number,
            directory: TempDir::new().expect("make a directory"),
        };
        let (bpffs, program) = (user.bpffs(), user.program());
        let (pins, path) = (bpffs.display(), program.display());
        sh(&format!(
            "mkdir {pins} && mount -t bpf -o mode=0700 bpf {pins}"
        ));
        // Read-only, because a write of a test would change the real file.
        sh(&format!(
            ": >{path} && mount --bind {} {path} && mount -o remount,bind,ro {path}",
            binary().display()
        ));
        for path in [user.directory.path(), &bpffs] {
            chown(path, Some(number), Some(number)).expect("give the directory away");
        }
        Some(user)
    }

    /// The number of the user.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// The directory of the user's own BPF file system.
    pub(crate) fn bpffs(&self) -> PathBuf {
        self.directory.path().join("bpf")
    }

    fn program(&self) -> PathBuf {
        self.directory.path().join("monitor")
    }

    /// The command line that starts the binary as this user.
    pub(crate) fn words(&self) -> Vec<String> {
        let number = self.number;
        vec![
            "setpriv".to_owned(),
            format!("--reuid={number}"),
            format!("--regid={number}"),
            "--clear-groups".to_owned(),
            format!("--inh-caps={CAPABILITIES}"),
            format!("--ambient-caps={CAPABILITIES}"),
            format!("--bounding-set={CAPABILITIES}"),
            "--no-new-privs".to_owned(),
            self.program().display().to_string(),
        ]
    }
}

impl Drop for User {
    fn drop(&mut self) {
        for path in [self.bpffs(), self.program()] {
            // Only reported, because a panic while a test already fails would
            // abort.
            let unmounted = Command::new("umount").arg("--lazy").arg(&path).status();
            if !unmounted.as_ref().is_ok_and(ExitStatus::success) {
                eprintln!("could not unmount {}: {unmounted:?}", path.display());
            }
        }
    }
}
