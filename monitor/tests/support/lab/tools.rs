//! What tests do again and again: wait, run a command, find the binary.

use std::{
    net::{IpAddr, UdpSocket},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

/// How often something that takes its time is looked at: 100 × 100 ms.
const POLLS: u32 = 100;
const POLL: Duration = Duration::from_millis(100);

/// Waits until `done`, and fails with `what` where it never is.
pub(crate) fn poll(what: &str, done: impl FnMut() -> bool) {
    poll_times(POLLS, what, done);
}

/// The same for what takes some seconds by itself.
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

/// A datagram socket on any port of `address`.
pub(crate) fn bind_udp(address: &str) -> UdpSocket {
    let ip: IpAddr = address.parse().unwrap();
    UdpSocket::bind((ip, 0)).expect("bind")
}

/// The unspecified address of the same family.
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

/// Puts the binary into a directory that everybody may look into: it may lie
/// where others cannot. By another process: while one of this test's threads
/// has the copy open for writing, what another starts keeps it from running.
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
