//! Helpers of many tests: wait, run a command, find the binary.

use std::{
    net::{IpAddr, UdpSocket},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

/// Number of attempts before a test gives up: 100, with 100 ms between them.
const POLLS: u32 = 100;
const POLL: Duration = Duration::from_millis(100);

/// Waits until `done` returns true. Panics with `what` after ten seconds.
pub(crate) fn poll(what: &str, done: impl FnMut() -> bool) {
    poll_times(POLLS, what, done);
}

/// Like [`poll`], for operations that need several seconds.
pub(crate) fn poll_long(what: &str, done: impl FnMut() -> bool) {
    poll_times(6 * POLLS, what, done);
}

fn poll_times(times: u32, what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..times {
        if done() {
            return;
        }
        thread::sleep(POLL);
    }
    panic!("waited in vain until {what}");
}

/// A UDP socket on any free port of `address`.
pub(crate) fn bind_udp(address: &str) -> UdpSocket {
    let ip: IpAddr = address.parse().unwrap();
    UdpSocket::bind((ip, 0)).expect("bind")
}

/// The unspecified address of the same address family.
pub(crate) fn any_like(address: &str) -> &'static str {
    if address.contains(':') {
        "::"
    } else {
        "0.0.0.0"
    }
}

pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_monitor"))
}

/// Copies the binary into a directory that every user can read, because its own
/// directory may be private. Another process does the copying: if a thread of
/// this process had the copy open for writing, a concurrent start would fail
/// (ETXTBSY).
pub(crate) fn copy_binary(directory: &Path) {
    let (from, to) = (binary().display(), directory.display());
    sh(&format!("cp {from} {to}/monitor"));
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn mount_bpffs() {
    let magic = nix::sys::statfs::statfs("/sys/fs/bpf").map(|stat| stat.filesystem_type());
    if magic != Ok(nix::sys::statfs::BPF_FS_MAGIC) {
        sh("mount -t bpf -o mode=0700 bpf /sys/fs/bpf");
    }
}

pub(crate) fn sh(command: &str) {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(
        output.status.success(),
        "{command}: {}",
        text(&output.stderr)
    );
}
