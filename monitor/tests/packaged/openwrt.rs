//! The package for OpenWrt: its files, its settings in the form of UCI, and its service, on a
//! Debian system with stand-ins for OpenWrt's own scripts.

use std::{fs, sync::atomic::Ordering};

use crate::{
    Machine, built, gateway_of, here,
    support::{
        datagrams::{count_arrivals, send},
        lab::{BLOCKED, Lab, POLICIES, poll, text},
    },
};

/// Directory of the unpacked outer archive.
const PARTS: &str = "/tmp/parts";

/// Runs a shell command, which must succeed.
fn sh(machine: &Machine, script: &str) -> String {
    machine.say(&["sh", "-ec", script])
}

/// The counters of the only interface; `None` while no daemon answers.
fn dropped(machine: &Machine) -> Option<u64> {
    let output = machine.run(&["monitor", "status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    status["interfaces"][0]["ipv4"]["dropped"]["packets"].as_u64()
}

#[test]
fn the_service_of_openwrt_filters_what_uci_says() {
    let lab = Lab::new("openwrt");
    let shared = lab.directory.path().join("shared");
    fs::create_dir(&shared).unwrap();
    let packages = fs::read_dir(built()).expect("run `make test-dist`");
    let package = packages
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with("_x86_64.ipk"))
        .max()
        .expect("run `make test-dist`");
    fs::copy(package, shared.join("monitor.ipk")).unwrap();
    fs::write(shared.join("blocked.yaml"), POLICIES).unwrap();
    let stand_in = here().join("tests/packaged/rc.common");
    fs::copy(stand_in, shared.join("rc.common")).unwrap();
    gateway_of(&lab);
    let root = built().join("roots/bookworm");
    let machine = Machine::boot_system("openwrt", lab, &[&root, &shared]);

    sh(
        &machine,
        "cp /opt/rc.common /etc/ && touch /etc/openwrt_release",
    );
    sh(
        &machine,
        &format!(
            "mkdir {PARTS} && cd {PARTS} && tar -xzf /opt/monitor.ipk && mkdir control &&
             tar -xzf control.tar.gz -C control && tar -xzf data.tar.gz -C /"
        ),
    );
    let control = sh(&machine, &format!("cat {PARTS}/control/control"));
    for line in ["Package: monitor", "Architecture: x86_64", "Depends: libc"] {
        assert!(control.lines().any(|found| found == line), "{control}");
    }
    let kept = sh(&machine, &format!("cat {PARTS}/control/conffiles"));
    assert!(kept.lines().any(|file| file == "/etc/config/monitor"));
    for file in kept.lines() {
        machine.say(&["test", "-f", file]);
    }

    // Installing attaches nothing.
    let postinst = format!("{PARTS}/control/postinst");
    machine.say(&["sh", &postinst]);
    assert!(
        !machine
            .run(&["test", "-e", "/tmp/daemon.pid"])
            .status
            .success()
    );

    // `setup` writes into the settings of UCI, and the service makes its file of them.
    let said = machine.say(&["monitor", "setup", "--yes"]);
    assert!(said.contains("/etc/config/monitor"), "{said}");
    let settings = machine.say(&["cat", "/etc/config/monitor"]);
    assert!(settings.contains("list interface 'wlan0'"), "{settings}");
    sh(&machine, "cp /opt/blocked.yaml /etc/monitor/policies.d/");
    machine.say(&["/etc/init.d/monitor", "start"]);
    poll("the daemon answers", || dropped(&machine).is_some());
    let shown = machine.say(&["monitor", "config"]);
    assert!(shown.contains("interface: [wlan0]"), "{shown}");

    let (blocked, received) = count_arrivals(&machine.lab, BLOCKED[0]);
    send(&machine.lab, blocked, 10);
    poll("they are dropped", || dropped(&machine) == Some(10));
    assert_eq!(received.load(Ordering::Relaxed), 0);

    // An upgrade leaves the filter in force, and a removal takes it away.
    let prerm = format!("{PARTS}/control/prerm");
    machine.say(&["env", "PKG_UPGRADE=1", "sh", &prerm]);
    send(&machine.lab, blocked, 10);
    let mut link = machine.lab.gateway.command("ip");
    let link = link.args(["link", "show", "wlan0"]).output().unwrap();
    assert!(text(&link.stdout).contains("xdp"));
    machine.say(&["/etc/init.d/monitor", "start"]);
    poll("the counters went on", || dropped(&machine) == Some(20));
    assert_eq!(received.load(Ordering::Relaxed), 0);
    machine.say(&["sh", &prerm]);
    send(&machine.lab, blocked, 10);
    poll("packets pass again", || {
        received.load(Ordering::Relaxed) == 10
    });
}
