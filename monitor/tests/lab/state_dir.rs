//! A full or read-only state directory: the filter stays in force, the daemon
//! reports what it cannot store, and it refuses changes that a restart would
//! lose.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{fs, path::PathBuf, process::Command, sync::atomic::Ordering};

use support::{
    datagrams::{count_arrivals, send},
    lab::{BLOCKED, Lab, OPEN, POLICIES, poll, sh, text},
};

#[test]
fn while_the_disk_is_full_reloads_work_and_commands_that_must_be_kept_are_refused() {
    let lab = Lab::new("disk-full");
    let disk = Disk::mount(&lab);
    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    let daemon = lab.start(&["--mode", "generic"]);
    poll("the policies are kept", || disk.holds("last-good.tar"));
    disk.fill();

    // The padding makes the policies larger than the stored ones, so that they
    // do not fit on the disk.
    let padding = format!("# {}\n", "x".repeat(100_000));
    lab.write_policies(&(POLICIES.replace("name: seen", "name: new") + &padding));
    poll("the new file is in force", || {
        lab.generation("wlan0") == Some(2)
    });
    poll("it is said that it is not kept", || {
        daemon
            .log()
            .contains("keep the policies for the next start")
            && daemon.log().contains("No space left on device")
    });
    let change = lab.monitor(&["block", OPEN[0]]);
    assert_eq!(change.status.code(), Some(1));
    let error = text(&change.stderr);
    assert!(
        error.contains("runtime.jsonl") && error.contains("No space left"),
        "{error}"
    );
    assert_eq!(lab.generation("wlan0"), Some(2), "nothing was changed");
    send(&lab, blocked, 10);
    assert_eq!(lab.policy("blocked"), (0, 10));

    // The stored policies are still complete: a start with an invalid file
    // loads them.
    daemon.kill();
    lab.write_policies(&POLICIES.replace("action: drop", "action: dorp"));
    let daemon = lab.start(&["--mode", "generic"]);
    assert!(daemon.log().contains("dorp"), "{}", daemon.log());
    send(&lab, blocked, 10);
    assert_eq!(lab.policy("blocked"), (0, 20));

    disk.free();
    let change = lab.monitor(&["block", OPEN[0]]);
    assert!(change.status.success(), "{}", text(&change.stderr));
    assert_eq!(received.load(Ordering::Relaxed), 0);
}

#[test]
fn a_state_directory_that_became_read_only_does_not_keep_the_filter_from_starting() {
    let lab = Lab::new("read-only");
    let disk = Disk::mount(&lab);
    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    lab.start(&["--mode", "generic"]).kill();
    disk.remount("ro");

    let daemon = lab.start(&["--mode", "generic"]);
    assert_eq!(lab.generation("wlan0"), Some(2));
    poll("it is said", || {
        daemon.log().contains("Read-only file system")
    });
    send(&lab, blocked, 10);
    assert_eq!(lab.policy("blocked"), (0, 10));
    assert_eq!(received.load(Ordering::Relaxed), 0);
    let change = lab.monitor(&["block", OPEN[0]]);
    assert_eq!(change.status.code(), Some(1));
    assert!(text(&change.stderr).contains("Read-only file system"));
    assert_eq!(lab.generation("wlan0"), Some(2));
}

/// A small file system at the lab's state directory. Dropping this value
/// unmounts it.
pub(crate) struct Disk {
    path: PathBuf,
}

impl Disk {
    fn mount(lab: &Lab) -> Self {
        Self::of_size(lab, "64k")
    }

    pub(crate) fn of_size(lab: &Lab, size: &str) -> Self {
        let path = lab.directory.path().join("state");
        fs::create_dir(&path).unwrap();
        let owner = lab.daemon_user();
        let options = format!("size={size},mode=0700,uid={owner},gid={owner}");
        sh(&format!(
            "mount -t tmpfs -o {options} tmpfs {}",
            path.display()
        ));
        Self { path }
    }

    fn holds(&self, name: &str) -> bool {
        self.path.join(name).exists()
    }

    /// Fills the file system completely.
    fn fill(&self) {
        let error = fs::write(self.path.join("filler"), vec![0; 1 << 20]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }

    fn free(&self) {
        fs::remove_file(self.path.join("filler")).unwrap();
    }

    fn remount(&self, option: &str) {
        sh(&format!(
            "mount -o remount,{option} {}",
            self.path.display()
        ));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The daemon may still use the file system.
        let unmounted = Command::new("umount")
            .arg("--lazy")
            .arg(&self.path)
            .status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("could not unmount {}", self.path.display());
        }
    }
}

/// In `/proc`, not even root can create a directory.
#[test]
fn a_state_directory_that_cannot_be_made_does_not_keep_the_filter_from_starting() {
    let lab = Lab::new("no-state");
    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    let daemon = lab.start(&["--mode", "generic", "--state-dir", "/proc/monitor-test"]);
    let log = daemon.log();
    for part in [
        "/proc/monitor-test",
        "--state-dir",
        "other names in the metrics",
    ] {
        assert!(log.contains(part), "{part} is not in {log}");
    }
    send(&lab, blocked, 10);
    assert_eq!(lab.policy("blocked"), (0, 10));
    assert_eq!(received.load(Ordering::Relaxed), 0);
    assert!(lab.monitor(&["reload"]).status.success());
}
