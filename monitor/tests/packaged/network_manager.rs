//! The package on a gateway whose devices' side `NetworkManager` shares.

use std::fs;

use super::{
    Machine, PACKAGE, built, install, packages,
    support::{
        datagrams::{count_arrivals, send},
        lab::{BLOCKED, Lab, poll},
    },
};

/// The real `NetworkManager` gives the addresses and starts the DHCP server. Its leases tell
/// `monitor setup` the devices' side, because its DHCP server listens on all interfaces.
#[test]
fn packaged_with_network_manager() {
    let lab = Lab::new("package-nm");
    let shared = packages(&lab);
    lab.add_interface("wan0");
    // `NetworkManager` finds it set: the system's own /proc/sys is read-only.
    lab.gateway
        .run(|| fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
    let root = built().join("roots/trixie-network-manager");
    let machine = Machine::boot_system("package-nm", lab, &[&root, &shared]);
    machine.say(&["systemctl", "start", "dbus", "NetworkManager"]);
    nmcli(
        &machine,
        "connection add type ethernet ifname wan0 con-name uplink ipv4.method manual \
         ipv4.addresses 192.0.2.254/24 ipv4.gateway 192.0.2.253",
    );
    nmcli(
        &machine,
        "connection add type ethernet ifname wlan0 con-name hotspot ipv4.method shared \
         ipv4.addresses 10.77.0.1/24",
    );
    for (interface, connection) in [("wan0", "uplink"), ("wlan0", "hotspot")] {
        nmcli(&machine, &format!("device set {interface} managed yes"));
        nmcli(&machine, &format!("connection up {connection}"));
    }
    let leases = "/var/lib/NetworkManager/dnsmasq-wlan0.leases";
    poll("its DHCP server has written its leases", || {
        machine.run(&["test", "-e", leases]).status.success()
    });

    install(&machine, PACKAGE);
    machine.say(&["cp", "/opt/blocked.yaml", "/etc/monitor/policies.d/"]);
    let said = machine.say(&["monitor", "setup", "--yes"]);
    for expected in [
        &format!("filter  wlan0: a DHCP server writes {leases}"),
        "not     wan0: a default route leads there",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    machine.say(&["systemctl", "restart", "monitor"]);
    assert!(machine.active("monitor"));
    let (blocked, _) = count_arrivals(&machine.lab, BLOCKED[0]);
    send(&machine.lab, blocked, 10);
    assert_eq!(machine.dropped(), 10);
}

fn nmcli(machine: &Machine, words: &str) {
    let words = words.split_whitespace();
    machine.say(&std::iter::once("nmcli").chain(words).collect::<Vec<_>>());
}
