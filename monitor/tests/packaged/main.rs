//! The packages. The Debian package in fresh Debian systems, from installation to purge, and beside
//! `NetworkManager`; the files of the package for OpenWrt; the container image.
//! `make test-dist` runs these tests; they need what `make dist` builds. `cargo test` leaves this
//! program out (`test = false` in `Cargo.toml`).

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod container;
#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "../service/machine.rs"]
mod machine;
mod network_manager;
mod openwrt;
#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "../support/mod.rs"]
mod support;

use std::{
    fs,
    net::UdpSocket,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use nix::sys::socket::{setsockopt, sockopt};

use machine::{Machine, here};
use support::{
    datagrams::{count_arrivals, send, send_until},
    lab::{BLOCKED, Lab, OPEN, POLICIES, poll, text},
};

/// The package, and the same package with another version.
const PACKAGE: &str = "/opt/monitor.deb";
const NEWER: &str = "/opt/newer.deb";

/// What dpkg, systemd and the tools for users keep for themselves: their logs, caches, backups and
/// locks. And what changes while a system runs.
const NOT_OURS: [&str; 9] = [
    "/var/lib/dpkg/",
    "/var/log/",
    "/var/cache/",
    "/var/lib/systemd/",
    "/etc/passwd-",
    "/etc/group-",
    "/etc/shadow-",
    "/etc/gshadow-",
    "/etc/.pwd.lock",
];

#[test]
fn packaged_on_debian_12() {
    from_installation_to_purge("bookworm");
}

#[test]
fn packaged_on_debian_13() {
    from_installation_to_purge("trixie");
}

fn from_installation_to_purge(suite: &str) {
    let lab = Lab::new(suite);
    let shared = packages(&lab);
    gateway_of(&lab);
    let root = built().join("roots").join(suite);
    let machine = Machine::boot_system(suite, lab, &[&root, &shared]);
    let before = files(&machine);

    let began = Instant::now();
    install(&machine, PACKAGE);
    assert_nothing_is_attached(&machine);
    machine.say(&["cp", "/opt/blocked.yaml", "/etc/monitor/policies.d/"]);
    setup(&machine);
    machine.say(&["systemctl", "restart", "monitor"]);
    assert!(machine.active("monitor"));
    let (blocked, received) = count_arrivals(&machine.lab, BLOCKED[0]);
    send(&machine.lab, blocked, 10);
    assert_eq!(machine.dropped(), 10);
    println!(
        "{suite}: from dpkg --install to the first blocked packet: {:.1?}",
        began.elapsed()
    );
    settings(&machine);

    // The operator's change must survive, without a question.
    let policy = "/etc/monitor/policies.d/range-42.62.48.0-24.yaml";
    machine.say(&["sh", "-c", &format!("echo '# mine' >>{policy}")]);
    let dropped = under_traffic(&machine, 10, NEWER);
    let dropped = under_traffic(&machine, dropped, PACKAGE);
    assert!(machine.say(&["cat", policy]).ends_with("# mine"));
    assert_eq!(received.load(Ordering::Relaxed), 0);

    removal(&machine, blocked, dropped, received);
    let left = files(&machine);
    let left: Vec<_> = left.iter().filter(|file| !before.contains(file)).collect();
    assert!(left.is_empty(), "{left:#?}");
    assert!(
        !machine
            .run(&["getent", "passwd", "monitor"])
            .status
            .success()
    );
}

/// A directory with both packages and a policy.
fn packages(lab: &Lab) -> PathBuf {
    let shared = lab.directory.path().join("shared");
    fs::create_dir(&shared).unwrap();
    let found = fs::read_dir(built()).expect("run `make test-dist`");
    let found = found.map(|entry| entry.unwrap().path());
    let package = found
        .filter(|path| path.to_string_lossy().ends_with("_amd64.deb"))
        .max()
        .expect("run `make test-dist`");
    fs::copy(package, shared.join("monitor.deb")).unwrap();
    fs::write(shared.join("blocked.yaml"), POLICIES).unwrap();
    let script = "dpkg-deb --raw-extract monitor.deb new &&
        sed -i 's/^Version: .*/&+newer/' new/DEBIAN/control &&
        dpkg-deb -Zgzip --root-owner-group --build new newer.deb && rm -r new";
    let repacked = Command::new("sh")
        .args(["-ec", script])
        .current_dir(&shared)
        .output()
        .unwrap();
    assert!(repacked.status.success(), "{}", text(&repacked.stderr));
    shared
}

fn built() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target
        .unwrap_or_else(|| here().join("../target"))
        .join("packages")
}

/// Adds the far side, and a DHCP server on the devices' side.
fn gateway_of(lab: &Lab) {
    lab.add_interface("wan0");
    lab.gateway.ip("address add 192.0.2.254/24 dev wan0");
    lab.gateway.ip("route add default via 192.0.2.253 dev wan0");
    let server = lab.gateway.run(|| {
        let socket = UdpSocket::bind(("0.0.0.0", 67)).unwrap();
        setsockopt(&socket, sockopt::BindToDevice, &"wlan0".into()).unwrap();
        socket
    });
    // Open as long as the test runs.
    std::mem::forget(server);
}

/// Installs a package without anyone who could answer a question.
fn install(machine: &Machine, package: &str) {
    let script = format!("DEBIAN_FRONTEND=noninteractive dpkg --install {package} </dev/null 2>&1");
    machine.say(&["sh", "-c", &script]);
}

fn assert_nothing_is_attached(machine: &Machine) {
    assert!(!machine.active("monitor"));
    assert_eq!(
        machine.say(&["systemctl", "is-enabled", "monitor"]),
        "enabled"
    );
    // Booting tries to start it.
    machine.say(&["systemctl", "start", "monitor"]);
    assert!(!machine.active("monitor") && !machine.active("monitor-bpffs"));
    assert_eq!(machine.property("ConditionResult"), "no");
    assert_eq!(machine.property("Result"), "success");
    let links = machine
        .lab
        .gateway
        .command("ip")
        .args(["link", "show", "wlan0"])
        .output()
        .unwrap();
    assert!(
        !text(&links.stdout).contains("xdp"),
        "{}",
        text(&links.stdout)
    );
}

fn setup(machine: &Machine) {
    let asked = machine.run(&["sh", "-c", "monitor setup </dev/null"]);
    assert_eq!(
        asked.status.code(),
        Some(1),
        "without an answer it writes nothing"
    );
    assert!(
        text(&asked.stderr).contains("monitor setup --yes"),
        "{}",
        text(&asked.stderr)
    );
    assert!(
        !machine
            .run(&["test", "-e", "/etc/monitor/monitor.yaml"])
            .status
            .success()
    );

    let wrong = machine.run(&["monitor", "setup", "wan0", "--print"]);
    let warned = text(&wrong.stderr);
    assert!(
        warned.contains("warning: wan0 may be the wrong side: a default route"),
        "{warned}"
    );
    assert!(text(&wrong.stdout).contains("\ninterface: [wan0]\n"));

    let said = machine.say(&["monitor", "setup", "--yes"]);
    for expected in [
        "filter  wlan0: a DHCP server of this machine listens on it (UDP port 67)",
        "not     wan0: a default route leads there",
        "/etc/monitor/monitor.yaml: written",
        "Next: `systemctl restart monitor`",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    let again = machine.say(&["monitor", "setup", "--yes"]);
    assert!(again.contains("names them already"), "{again}");
    let other = machine.run(&["monitor", "setup", "wan0", "--yes"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(
        text(&other.stderr).contains("it names wlan0 already"),
        "{}",
        text(&other.stderr)
    );
}

/// Every command finds the file of the service by itself.
fn settings(machine: &Machine) {
    let shown = machine.say(&["monitor", "config"]);
    let line = |key: &str| {
        shown
            .lines()
            .find(|line| line.starts_with(key))
            .unwrap()
            .to_owned()
    };
    assert!(
        line("interface").starts_with("interface: [wlan0]"),
        "{shown}"
    );
    assert!(
        line("interface").contains("# /etc/monitor/monitor.yaml:"),
        "{shown}"
    );
    assert!(line("mode").ends_with("# default"), "{shown}");
    let shown = machine.say(&["monitor", "run", "--print-config", "--mode", "generic"]);
    assert!(
        shown.contains("mode: generic") && shown.contains("# command line"),
        "{shown}"
    );
    machine.say(&["monitor", "status"]);
    for file in [
        "/usr/share/man/man1/monitor.1.gz",
        "/usr/share/man/man1/monitor-setup.1.gz",
        "/usr/share/bash-completion/completions/monitor",
        "/usr/share/zsh/vendor-completions/_monitor",
        "/usr/share/fish/vendor_completions.d/monitor.fish",
    ] {
        machine.say(&["test", "-s", file]);
    }
}

/// Installs another version while packets flow. Returns how many are dropped in all: each that was
/// sent.
fn under_traffic(machine: &Machine, before: u64, package: &str) -> u64 {
    let lab = &machine.lab;
    let (blocked, received) = count_arrivals(lab, BLOCKED[0]);
    let (open, open_received) = count_arrivals(lab, OPEN[0]);
    let process = machine.property("MainPID");
    let stop = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let sending = scope.spawn(|| send_until(lab, &stop, &[blocked, open]));
        install(machine, package);
        stop.store(true, Ordering::Relaxed);
        sending.join().unwrap()
    });
    assert!(sent > 100, "{sent} packets are no traffic");
    assert!(machine.active("monitor"), "{}", machine.log());
    assert_ne!(machine.property("MainPID"), process, "the new program runs");
    poll("innocent packets have arrived", || {
        open_received.load(Ordering::Relaxed) == sent
    });
    assert_eq!(received.load(Ordering::Relaxed), 0, "a gap");
    assert_eq!(machine.dropped(), before + sent);
    println!("{package}: {sent} packets were sent during the installation, {sent} dropped");
    before + sent
}

/// Removes the package, installs it again, and purges it.
fn removal(
    machine: &Machine,
    blocked: std::net::SocketAddr,
    dropped: u64,
    received: &std::sync::atomic::AtomicU64,
) {
    assert_eq!(machine.dropped(), dropped);
    machine.say(&["dpkg", "--remove", "monitor"]);
    send(&machine.lab, blocked, 10);
    poll("packets pass again", || {
        received.load(Ordering::Relaxed) == 10
    });
    assert!(
        !machine
            .run(&["mountpoint", "-q", "/run/monitor/bpf"])
            .status
            .success()
    );
    // Settings and evidence stay until the purge.
    machine.say(&["test", "-e", "/etc/monitor/monitor.yaml"]);
    machine.say(&["test", "-e", "/var/lib/monitor/evidence.db"]);

    install(machine, PACKAGE);
    poll("it filters again", || machine.active("monitor"));
    // A damaged file does not keep the filter in the kernel.
    machine.say(&["sh", "-c", "echo 'interfce: [' >/etc/monitor/monitor.yaml"]);
    machine.say(&["dpkg", "--purge", "monitor"]);
    send(&machine.lab, blocked, 10);
    poll("packets pass again", || {
        received.load(Ordering::Relaxed) == 20
    });
    assert!(
        !machine
            .run(&["test", "-e", "/run/monitor"])
            .status
            .success()
    );
}

/// Every file of the system that a package could leave behind.
fn files(machine: &Machine) -> Vec<String> {
    let script = "find / -xdev -path /tmp -prune -o -print";
    let found = machine.say(&["sh", "-c", script]);
    let ours = |file: &&str| !NOT_OURS.iter().any(|start| file.starts_with(start));
    found.lines().filter(ours).map(str::to_owned).collect()
}
