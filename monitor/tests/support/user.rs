//! The daemon as an ordinary user with exactly the capabilities that it needs.
//! The namespaces and the traffic are made by the test, which is root.

use std::{
    env,
    os::unix::fs::chown,
    path::PathBuf,
    process::{Command, ExitStatus},
};

use tempfile::TempDir;

use super::lab::{binary, sh};

/// The number of the user that the daemons of a lab run as; without it, root.
const VARIABLE: &str = "MONITOR_TEST_USER";

/// What a service is given, as setpriv(1) wants it.
const CAPABILITIES: &str = "-all,+bpf,+net_admin,+perfmon";

/// A user, with a BPF file system and the binary, which may lie where others
/// cannot look; unmounted with this value.
pub(crate) struct User {
    number: u32,
    directory: TempDir,
}

impl User {
    /// The one that is asked for.
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
        // Read-only: what a test writes there would reach the real one.
        sh(&format!(
            ": >{path} && mount --bind {} {path} && mount -o remount,bind,ro {path}",
            binary().display()
        ));
        for path in [user.directory.path(), &bpffs] {
            chown(path, Some(number), Some(number)).expect("give the directory away");
        }
        Some(user)
    }

    /// Its number.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Where a BPF file system of its own is.
    pub(crate) fn bpffs(&self) -> PathBuf {
        self.directory.path().join("bpf")
    }

    fn program(&self) -> PathBuf {
        self.directory.path().join("monitor")
    }

    /// The words that start the binary as this user.
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
            // Reported, not raised: the test may be failing already.
            let unmounted = Command::new("umount").arg("--lazy").arg(&path).status();
            if !unmounted.as_ref().is_ok_and(ExitStatus::success) {
                eprintln!("could not unmount {}: {unmounted:?}", path.display());
            }
        }
    }
}
