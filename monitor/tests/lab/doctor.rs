//! `monitor doctor`: each line that a namespace can make true, and then false again. The
//! checks about hardware, WiFi, the kernel and the clock have their tests beside the code.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod egress;
mod other;
mod report;
mod said;

use crate::support;

use std::{fs, os::unix::fs::PermissionsExt as _, thread};

use other::Other;
use said::{Said, is_fine, says, words_alone};
use support::lab::{BLOCKED, Lab, POLICIES, copy_binary, poll, text};

use crate::state_dir::Disk;

/// Every policy names both families.
const BOTH: &str = "version: 1
policies:
  - {name: blocked, action: drop, destinations: [198.51.100.0/24, 2001:db8:bad::/48]}
  - {name: seen, action: count, destinations: [192.0.2.0/24, 2001:db8:1::/48]}
";

const ONLY_IPV4: &str = "version: 1
policies: [{name: blocked, action: count, destinations: [198.51.100.0/24]}]
";

/// A setting below `/proc/sys/net` of the gateway.
fn set(lab: &Lab, name: &str, value: &str) {
    let path = format!("/proc/sys/net/{name}");
    lab.gateway.run(|| fs::write(path, value)).unwrap();
}

fn tc(lab: &Lab, arguments: &str) {
    let mut command = lab.gateway.command("tc");
    let output = command.args(arguments.split(' ')).output().unwrap();
    assert!(
        output.status.success(),
        "tc {arguments}: {}",
        text(&output.stderr)
    );
}

fn load(lab: &Lab, policies: &str) -> bool {
    lab.write_policies(policies);
    lab.monitor(&["reload"]).status.success()
}

#[test]
fn what_is_not_seen_is_told_until_it_is_seen_again() {
    let lab = Lab::new("doctor");
    let write = |name: &str, content: &str| {
        let path = lab.directory.path().join(name);
        fs::write(&path, content).unwrap();
        lab.give(&path);
        path.to_str().unwrap().to_owned()
    };
    write(
        "old.csv",
        "# 2026-02-01\n192.0.2.0,192.0.2.255,64500,Example\n",
    );
    write("new.csv", "198.51.100.0,198.51.100.255,64500,Example\n");
    let config = write(
        "config.yaml",
        "data: {files: [old.csv, new.csv, missing]}
doctor:
  accept: [{check: interface, about: br7, reason: a bridge of test machines}]
",
    );
    lab.write_policies(BOTH);
    let listen = ["--listen", "127.0.0.1:9641", "--listen", "10.99.0.1:9641"];
    let _daemon = lab.start(&[&["--no-watch", "--config", &config][..], &listen].concat());
    poll("the daemon has looked by itself", || {
        lab.metrics()
            .contains("monitor_blind{check=\"interface\"} 0")
    });
    for check in [
        "interface",
        "mode",
        "program",
        "offload",
        "station",
        "ipv6",
        "tunnel",
        "policy",
        "feed",
        "daemon",
        "capability",
        "evidence",
    ] {
        is_fine(&lab, check);
    }
    says(
        &lab,
        "http",
        "degraded",
        "not served at http://10.99.0.1:9641",
    );
    lab.gateway.ip("address add 10.99.0.1/32 dev lo");

    paths_around_the_filter(&lab);
    policies_in_force(&lab);

    // A reload meanwhile does not look like another program.
    thread::scope(|scope| {
        let reloads = scope.spawn(|| (0..5).all(|_| load(&lab, BOTH)));
        while !reloads.is_finished() {
            let said = Said::by(&lab);
            assert!(said.is_fine("interface"), "{:#}", said.0);
        }
        assert!(reloads.join().unwrap());
    });

    says(&lab, "data", "degraded", "missing cannot be used");
    says(&lab, "data", "degraded", "old.csv is ");
    assert!(!Said::by(&lab).has("data", "degraded", "new.csv"));
    poll("the second address is served", || {
        Said::by(&lab).is_fine("http")
    });
    report::names_what_was_not_seen(&lab);
    let human = lab.monitor(&["doctor"]);
    let human = text(&human.stdout);
    assert!(
        human.lines().all(|line| line.chars().count() <= 80),
        "{human}"
    );
    assert!(human.starts_with("degraded data        "), "{human}");
    assert!(
        human
            .lines()
            .last()
            .unwrap()
            .starts_with("blind 0, degraded "),
        "{human}"
    );
}

/// An interface, a tunnel and a tc filter that come and go.
fn paths_around_the_filter(lab: &Lab) {
    lab.add_interface("lan1");
    lab.gateway.ip("address add 10.78.0.1/24 dev lan1");
    is_fine(lab, "interface");
    set(lab, "ipv4/ip_forward", "1");
    says(lab, "interface", "blind", "lan1 has no filter");
    // The routing table does not matter, and an uplink without a route stays one.
    lab.gateway.ip("route add default dev lan1 table 100");
    is_fine(lab, "interface");
    says(
        lab,
        "interface",
        "ok",
        "lan1 is the far side: a default route leads there, or led there. Answers, and packets of the gateway itself, are not seen there; `--interface lan1:wan`",
    );
    lab.gateway.ip("route del default dev lan1 table 100");
    is_fine(lab, "interface");
    lab.gateway.ip("link set lan1 down");
    bridges_without_a_filter(lab);

    lab.gateway.ip(
        "xfrm policy add dir fwd src 10.9.0.0/24 dst 10.77.0.0/24 tmpl src 192.0.2.1 dst 192.0.2.2 proto esp mode tunnel",
    );
    says(
        lab,
        "tunnel",
        "blind",
        "IPsec forwards packets that come out of tunnels from 10.9.0.0/24",
    );
    lab.gateway
        .ip("xfrm policy del dir fwd src 10.9.0.0/24 dst 10.77.0.0/24");
    is_fine(lab, "tunnel");

    lab.gateway
        .ip("link add vx0 type vxlan id 5 dstport 4789 local 10.77.0.1 remote 10.77.0.2");
    lab.gateway.ip("address add 10.79.0.1/24 dev vx0");
    lab.gateway.ip("link set vx0 up");
    says(lab, "tunnel", "blind", "vx0 (vxlan) forwards packets");
    is_fine(lab, "interface");
    lab.gateway.ip("link del vx0");
    is_fine(lab, "tunnel");

    tc(lab, "qdisc add dev wlan0 clsact");
    tc(
        lab,
        "filter add dev wlan0 ingress protocol all u32 match u32 0 0",
    );
    says(
        lab,
        "program",
        "degraded",
        "wlan0 has tc filters (u32) after the filter",
    );
    tc(lab, "qdisc del dev wlan0 clsact");
    is_fine(lab, "program");
}

/// Bridges without an address: of machines, of containers, and one that the operator accepts.
fn bridges_without_a_filter(lab: &Lab) {
    for (bridge, ports) in [("br7", ["d1", "d2"]), ("br8", ["d3", "d4"])] {
        lab.gateway.ip(&format!("link add {bridge} type bridge"));
        for port in ports {
            // Both ends are in this namespace, so the bridge is not one of containers.
            lab.gateway
                .ip(&format!("link add {port} type veth peer name {port}-end"));
            lab.gateway
                .ip(&format!("link set {port} master {bridge} up"));
            lab.gateway.ip(&format!("link set {port}-end up"));
        }
        lab.gateway.ip(&format!("link set {bridge} up"));
        if bridge == "br7" {
            let said = Said::by(lab);
            let accepted = said.finding("br7 has no filter").unwrap();
            assert_eq!(accepted["status"], "blind");
            assert_eq!(accepted["accepted"], "a bridge of test machines");
            assert!(
                lab.metrics()
                    .contains("monitor_blind{check=\"interface\"} 0")
            );
        }
    }
    says(lab, "interface", "blind", "br8 has no filter");
    for link in ["br7", "br8", "d1", "d2", "d3", "d4"] {
        lab.gateway.ip(&format!("link del {link}"));
    }
    is_fine(lab, "interface");
    lab.gateway.ip("link add docker0 type bridge");
    lab.gateway.ip("address add 10.76.0.1/24 dev docker0");
    lab.add_interface("lan2");
    lab.gateway.ip("link set lan2 master docker0");
    lab.gateway.ip("link set docker0 up");
    says(
        lab,
        "interface",
        "degraded",
        "docker0 has no filter, and connects network namespaces",
    );
    lab.gateway.ip("link del docker0");
    is_fine(lab, "interface");
}

/// Policies, for IPv6 and with a list, that are in force and then are not.
fn policies_in_force(lab: &Lab) {
    set(lab, "ipv6/conf/all/forwarding", "1");
    is_fine(lab, "ipv6");
    assert!(load(lab, ONLY_IPV4));
    says(lab, "ipv6", "blind", "no policy names IPv6");
    let feed = ONLY_IPV4.replace("198.51.100.0/24", "{list: https://lists.invalid/drop.txt}");
    assert!(load(lab, &feed));
    says(
        lab,
        "feed",
        "blind",
        "lists.invalid/drop.txt is not in force",
    );
    assert!(!load(lab, "version: 1\npolicies: {}\n"));
    says(lab, "policy", "degraded", "older policies are");
    assert!(load(
        lab,
        &ONLY_IPV4.replace("action", "enabled: false, action")
    ));
    says(lab, "policy", "blind", "no policy has an effect");
    assert!(load(lab, POLICIES));
    says(lab, "ipv6", "degraded", "only 1 of 2 policies name IPv6");
    assert!(load(lab, BOTH));
    for check in ["ipv6", "feed", "policy"] {
        is_fine(lab, check);
    }
}

/// Packets that are not seen on the way to a bridge are not counted either.
#[test]
fn on_a_bridge_ports_and_their_programs_pass_by_the_filter() {
    let lab = Lab::new("doctor-bridge");
    lab.gateway.ip("link add br0 type bridge");
    lab.gateway.ip("link set wlan0 master br0");
    lab.gateway.ip("link set br0 up");
    let other = Other::start(&lab, "wlan0");
    let _daemon = lab.start_on("br0", &["--mode", "generic"]);
    says(&lab, "program", "blind", "wlan0 has the XDP program");
    drop(other);
    is_fine(&lab, "program");
    says(&lab, "mode", "degraded", "br0 has the generic mode");
    let counted = || {
        let before = lab.policy("blocked");
        lab.send_udp(BLOCKED[0], 5);
        let after = lab.policy("blocked");
        after.1 - before.1
    };
    is_fine(&lab, "station");
    for (setting, is_blind) in [("on", true), ("off", false)] {
        lab.gateway.ip(&format!(
            "link set dev wlan0 type bridge_slave hairpin {setting}"
        ));
        let said = Said::by(&lab);
        let turns = said.has("station", "blind", "br0 sends frames back through wlan0");
        assert_eq!(turns, is_blind, "{:#}", said.0);
    }
    lab.add_interface("lan1");
    lab.gateway.ip("link set lan1 master br0");
    says(
        &lab,
        "station",
        "blind",
        "br0 forwards frames between wlan0, lan1",
    );
    for port in ["wlan0", "lan1"] {
        lab.gateway.ip(&format!(
            "link set dev {port} type bridge_slave isolated on"
        ));
    }
    is_fine(&lab, "station");
    is_fine(&lab, "interface");

    assert_eq!(counted(), 5);
    tc(&lab, "qdisc add dev wlan0 clsact");
    tc(
        &lab,
        "filter add dev wlan0 ingress protocol ip u32 match u32 0 0 action mirred egress redirect dev lan1",
    );
    says(
        &lab,
        "program",
        "blind",
        "wlan0 has tc filters (u32) before the filter",
    );
    assert_eq!(counted(), 0);
    tc(&lab, "qdisc del dev wlan0 clsact");
    is_fine(&lab, "program");
    assert_eq!(counted(), 5);
}

#[test]
fn without_a_daemon_the_command_looks_and_says_what_it_may_not_read() {
    let lab = Lab::new("doctor-alone");
    lab.start(&["--mode", "generic"]).kill();
    let said = Said::alone(&lab);
    assert!(said.is_fine("interface"), "{:#}", said.0);
    assert!(
        said.is_fine("policy") && said.is_fine("offload"),
        "{:#}",
        said.0
    );
    assert!(
        said.has("daemon", "degraded", "no daemon runs"),
        "{:#}",
        said.0
    );
    assert!(said.has("http", "degraded", "not served"), "{:#}", said.0);
    assert!(
        said.is_fine("capability") && said.is_fine("evidence"),
        "{:#}",
        said.0
    );

    // An ordinary user may read neither the pins nor the store, and may not ask netfilter.
    fs::set_permissions(lab.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    copy_binary(lab.directory.path());
    let mut command = lab.gateway.command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command
        .arg(lab.directory.path().join("monitor"))
        .args(words_alone(&lab));
    command
        .args(["--socket", "/nowhere/monitor.sock", "--pin-dir"])
        .arg(&lab.pin_dir);
    let said = Said::of(&command.output().unwrap());
    for check in ["interface", "offload", "evidence"] {
        assert!(
            said.has(check, "degraded", "cannot be read"),
            "{check}: {:#}",
            said.0
        );
    }
    assert!(
        said.has("capability", "degraded", "CAP_NET_ADMIN"),
        "{:#}",
        said.0
    );

    // In another network namespace, no interface runs the filter.
    let words = words_alone(&lab);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let said = Said::of(&lab.monitor(&words));
    assert!(
        said.has("interface", "blind", "wlan0 is gone, or belongs"),
        "{:#}",
        said.0
    );
    assert!(lab.monitor(&["detach"]).status.success());
    let said = Said::alone(&lab);
    assert!(
        said.has("interface", "blind", "no interface is filtered"),
        "{:#}",
        said.0
    );
}

#[test]
fn a_disk_that_fills_is_told_before_evidence_is_lost() {
    let lab = Lab::new("doctor-disk");
    let _disk = Disk::of_size(&lab, "24m");
    let config = lab.directory.path().join("config.yaml");
    fs::write(&config, "store: {size: 8MiB}\n").unwrap();
    lab.give(&config);
    let _daemon = lab.start(&["--config", config.to_str().unwrap()]);
    is_fine(&lab, "disk");
    let place = |name: &str| lab.directory.path().join("state").join(name);
    fs::write(place("most"), vec![0; 18 << 20]).unwrap();
    says(&lab, "disk", "degraded", "the state directory has ");
    fs::write(place("rest"), vec![0; 24 << 20]).unwrap_err();
    says(&lab, "disk", "blind", "the state directory is full");
    lab.send_udp(BLOCKED[0], 1);
    poll("the flow cannot be stored", || {
        let _ = lab.monitor(&["flows", "--json"]);
        Said::by(&lab).has("evidence", "blind", "flows are not stored")
    });
    for name in ["most", "rest"] {
        fs::remove_file(place(name)).unwrap();
    }
    is_fine(&lab, "disk");
}
