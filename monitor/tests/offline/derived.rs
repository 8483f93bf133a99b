//! IPv4 destinations also cover the IPv6 addresses that embed them: in the
//! output of the real binary, and in the kernel.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{fs, path::Path, process::Command};

use monitor::{address::Derivation, datapath::Sandbox};
use monitor_common::Count;
use serde_json::{Value, json};
use support::{
    captures::{MICROSECONDS, Order, pcap, whole},
    kernel::{compiled_with, derivation},
    lab::text,
    packets::{Transport, to},
};
use tempfile::TempDir;

/// Addresses that embed 42.62.48.9, and how.
const CARRIERS: [(&str, &str, &str, &str); 9] = [
    ("64:ff9b::2a3e:3009", "nat64", "64:ff9b::/96", "NAT64"),
    ("2002:2a3e:3009::1", "6to4", "2002::/16", "6to4"),
    (
        "::ffff:42.62.48.9",
        "mapped",
        "::ffff:0:0/96",
        "IPv4-mapped addresses",
    ),
    ("3fff:32:2a3e:3009::", "nat64", "3fff:32::/32", "NAT64"),
    (
        "3fff:40:402a:3e30:9::",
        "nat64",
        "3fff:40:4000::/40",
        "NAT64",
    ),
    (
        "3fff:48:48:2a3e:30:900::",
        "nat64",
        "3fff:48:48::/48",
        "NAT64",
    ),
    (
        "3fff:56:56:562a:3e:3009::",
        "nat64",
        "3fff:56:56:5600::/56",
        "NAT64",
    ),
    (
        "3fff:64:64:64:2a:3e30:900:0",
        "nat64",
        "3fff:64:64:64::/64",
        "NAT64",
    ),
    ("3fff:96::2a3e:3009", "nat64", "3fff:96::/96", "NAT64"),
];

/// NAT64 prefixes of the network.
const OWN: [&str; 6] = [
    "3fff:32::/32",
    "3fff:40:4000::/40",
    "3fff:48:48::/48",
    "3fff:56:56:5600::/56",
    "3fff:64:64:64::/64",
    "3fff:96::/96",
];

fn own() -> Derivation {
    derivation(&OWN)
}

/// For each destination, true if a packet to it is dropped.
fn dropped(policies: &str, derivation: &Derivation, destinations: &[&str]) -> Vec<bool> {
    let yaml = format!("version: 1\npolicies:\n{policies}");
    let mut sandbox = Sandbox::new(&compiled_with(&yaml, derivation), "wlan0").unwrap();
    let each = destinations.iter().map(|destination| {
        let frame = to(destination).transport(Transport::Udp(443)).build();
        let before = sandbox.counters().unwrap().interface.dropped_ipv6;
        sandbox.run(&frame).unwrap();
        sandbox.counters().unwrap().interface.dropped_ipv6 != before
    });
    each.collect()
}

const DROP: &str = "  - {name: d, action: drop, destinations: [42.62.48.0/24]}\n";

#[test]
fn each_carrier_of_a_dropped_address_is_dropped_and_counted_under_its_policy() {
    let yaml = format!("version: 1\npolicies:\n{DROP}");
    let mut sandbox = Sandbox::new(&compiled_with(&yaml, &own()), "wlan0").unwrap();
    let mut packets = 0;
    for (address, ..) in CARRIERS {
        let frame = to(address).build();
        sandbox.run(&frame).unwrap();
        packets += 1;
        let counters = sandbox.counters().unwrap();
        assert_eq!(counters.policies[0].dropped.packets, packets, "{address}");
        assert_eq!(counters.policies[0].passed, Count::default());
    }
}

#[test]
fn what_carries_another_address_passes() {
    let beside = [
        "64:ff9b::2a3e:3109",
        "64:ff9b:0:0:0:1:2a3e:3009",
        "64:ff9b:1::2a3e:3009",
        "2002:2a3e:3109::1",
        "2003:2a3e:3009::1",
        "::fffe:42.62.48.9",
        "::42.62.48.9",
        "3fff:32:2a3e:3109::",
        "3fff:40:402a:3e31:9::",
        "3fff:48:48:2a3e:31:900::",
        "3fff:56:56:562a:3e:3109::",
        "3fff:64:64:64:2a:3e31:900:0",
        "3fff:96::2a3e:3109",
        "3fff:97::2a3e:3009",
    ];
    assert_eq!(dropped(DROP, &own(), &beside), [false; 14]);
    // Without the network's own prefixes only the well-known ones are derived.
    let addresses = CARRIERS.map(|(address, ..)| address);
    let known = dropped(DROP, &Derivation::default(), &addresses);
    assert_eq!(
        known,
        [true, true, true, false, false, false, false, false, false]
    );
}

#[test]
fn derive_none_in_the_policy_or_in_the_config_turns_it_off() {
    let addresses = CARRIERS.map(|(address, ..)| address);
    let without = DROP.replace("action", "derive: none, action");
    assert_eq!(dropped(&without, &own(), &addresses), [false; 9]);
    assert_eq!(dropped(DROP, &Derivation::none(), &addresses), [false; 9]);
    // Prefixes of another policy are still derived.
    let both = format!("{without}{}", DROP.replace("name: d", "name: other"));
    assert_eq!(dropped(&both, &own(), &addresses), [true; 9]);
}

/// A translator that follows RFC 6052, section 2.3, ignores both.
#[test]
fn neither_the_octet_between_nor_the_suffix_lets_a_packet_through() {
    let odd = [
        "3fff:32:2a3e:3009:ffff:ffff:ffff:ffff",
        "3fff:40:402a:3e30:1009:1::",
        "3fff:48:48:2a3e:8030:9ff:ffff:ffff",
        "3fff:56:56:562a:773e:3009::5",
        "3fff:64:64:64:ff2a:3e30:9ff:1",
        "2002:2a3e:3009:ffff:ffff::1",
    ];
    assert_eq!(dropped(DROP, &own(), &odd), [true; 6]);
    let wide = "  - {name: d, action: drop, destinations: [42.0.0.0/8]}\n";
    assert_eq!(dropped(wide, &own(), &odd), [true; 6]);
}

#[test]
fn exceptions_and_allows_hold_for_the_carriers_too() {
    let saved = CARRIERS.map(|(address, ..)| address);
    let hole = "  - {name: d, action: drop, destinations: [{cidr: 42.62.0.0/16, except: [42.62.48.8/29]}]}\n";
    assert_eq!(dropped(hole, &own(), &saved), [false; 9]);
    let allow = "  - {name: a, action: allow, destinations: [42.62.48.9]}\n";
    let both = format!("{allow}{DROP}");
    assert_eq!(dropped(&both, &own(), &saved), [false; 9]);
    let beside = [
        "64:ff9b::2a3e:3008",
        "2002:2a3e:3008::",
        "3fff:48:48:2a3e:30:800::",
    ];
    assert_eq!(dropped(&both, &own(), &beside), [true; 3]);
    // An `allow` that does not derive saves none of them.
    let narrow = both.replace("action: allow", "action: allow, derive: none");
    assert_eq!(dropped(&narrow, &own(), &saved), [true; 9]);
}

/// Written IPv6 destinations around and inside derived prefixes.
#[test]
fn written_ipv6_destinations_meet_derived_ones() {
    let policies = format!(
        "{DROP}  - {{name: all, action: count, destinations: ['64:ff9b::/32', '2002::/16']}}
  - {{name: one, action: allow, destinations: ['64:ff9b::2a3e:3007']}}\n"
    );
    let destinations = [
        "64:ff9b::2a3e:3009",
        "64:ff9b::2a3e:3007",
        "64:ff9b::1",
        "2002:2a3e:3009::",
    ];
    assert_eq!(
        dropped(&policies, &own(), &destinations),
        [true, false, false, true]
    );
}

#[test]
fn devices_and_services_of_the_policy_are_asked_of_carriers_too() {
    let yaml = "version: 1
policies:
  - name: d
    action: drop
    destinations: [42.62.48.0/24]
    devices: ['02:00:00:00:00:01']
    services: [udp/443]
";
    let mut sandbox = Sandbox::new(&compiled_with(yaml, &own()), "wlan0").unwrap();
    let mut drops = |mac: u8, port: u16| {
        let packet = to("64:ff9b::2a3e:3009").source([2, 0, 0, 0, 0, mac]);
        let frame = packet.transport(Transport::Udp(port)).build();
        sandbox.run(&frame).unwrap();
        sandbox.counters().unwrap().policies[0].dropped.packets
    };
    assert_eq!([drops(2, 443), drops(1, 53), drops(1, 443)], [0, 0, 1]);
}

/// A folder with a policy file, a config file and a capture of a packet to each
/// carrier.
fn folder(policies: &str, config: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    let yaml = format!("version: 1\npolicies:\n{policies}");
    write("p.yaml", yaml.as_bytes());
    write(
        "config.yaml",
        format!("policies: p.yaml\n{config}").as_bytes(),
    );
    let frames = CARRIERS.map(|(address, ..)| whole(&to(address).build()));
    write("c.pcap", &pcap(Order::Little, MICROSECONDS, 1, &frames));
    folder
}

fn config_of_own() -> String {
    let own = OWN.map(|prefix| format!("'{prefix}'")).join(", ");
    format!("lan: {{nat64: [{own}]}}\n")
}

fn monitor(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_monitor"))
        .args(arguments)
        .args(["--config", "config.yaml"])
        .current_dir(folder)
        .output()
        .unwrap();
    let errors = text(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    text(&output.stdout)
}

fn json_of(folder: &Path, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--json"]].concat();
    serde_json::from_str(&monitor(folder, &arguments)).unwrap()
}

#[test]
fn explain_names_what_a_prefix_is_derived_from() {
    let folder = folder(DROP, &config_of_own());
    for (address, by, prefix, words) in CARRIERS {
        let answer = json_of(folder.path(), &["explain", address]);
        assert_eq!(answer["decision"], "drop", "{answer}");
        let found = &answer["matches"][0];
        assert_eq!(found["source"], "p.yaml:3");
        assert_eq!(
            found["derived"],
            json!({"from": "42.62.48.0/24", "by": by, "prefix": prefix})
        );
        let shown = monitor(folder.path(), &["explain", address]);
        let words = format!("derived from 42.62.48.0/24 by {words} ({prefix})");
        assert!(shown.contains(&words), "{shown}");
    }
    let answer = json_of(folder.path(), &["explain", "64:ff9b::2a3e:3009"]);
    assert_eq!(answer["matches"][0]["prefix"], "64:ff9b::2a3e:3000/120");
    let written = json_of(folder.path(), &["explain", "42.62.48.9"]);
    assert_eq!(written["matches"][0].get("derived"), None);
}

#[test]
fn explain_shows_what_an_overlay_excepts_of_derived_prefixes() {
    let folder = folder(DROP, "");
    let overlay = "version: 1\noverrides:\n  - {policy: d, except: [42.62.48.9]}\n";
    fs::write(folder.path().join("p.local.yaml"), overlay).unwrap();
    fs::write(
        folder.path().join("config.yaml"),
        "policies: [p.yaml, p.local.yaml]\n",
    )
    .unwrap();
    let answer = json_of(folder.path(), &["explain", "64:ff9b::2a3e:3009"]);
    assert_eq!(answer["decision"], "none", "{answer}");
    assert_eq!(answer["left_out"][0]["derived"]["by"], "nat64");
}

#[test]
fn check_says_what_deriving_costs() {
    let lists =
        "  - {name: d, action: drop, destinations: [42.62.48.0/24, 42.62.49.0/24, 198.51.100.7]}\n";
    let folder_of = |config: &str| {
        let folder = folder(lists, config);
        let report = json_of(folder.path(), &["check"]);
        (report["prefixes"].clone(), report["derived"].clone())
    };
    // The two neighbours are one prefix.
    let by = |by: &str, prefix: &str, prefixes: u32| json!({"by": by, "prefix": prefix, "prefixes": prefixes});
    let (prefixes, derived) = folder_of("");
    assert_eq!(prefixes, json!({"v4": 3, "v6": 6}));
    let known = [
        by("mapped", "::ffff:0:0/96", 2),
        by("nat64", "64:ff9b::/96", 2),
        by("6to4", "2002::/16", 2),
    ];
    assert_eq!(derived, json!({"prefixes": 6, "by": known}));
    let (prefixes, derived) = folder_of("lan: {nat64: ['3fff:48:48::/48']}\n");
    assert_eq!(prefixes, json!({"v4": 3, "v6": 6 + 512}));
    assert_eq!(derived["by"][3], by("nat64", "3fff:48:48::/48", 512));
    let (prefixes, derived) = folder_of("derive: none\n");
    assert_eq!(prefixes, json!({"v4": 3, "v6": 0}));
    assert_eq!(derived, json!({"prefixes": 0, "by": []}));

    let shown = monitor(folder(lists, "").path(), &["check"]);
    for part in [
        "prefixes  3 IPv4, 6 IPv6\n",
        "derived   6 of the IPv6 prefixes, from IPv4 destinations: 2 by IPv4-mapped addresses (::ffff:0:0/96), 2 by NAT64 (64:ff9b::/96), 2 by 6to4 (2002::/16)",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
}

#[test]
fn a_replay_drops_carriers_as_the_config_says() {
    let dropped = |policies: &str, config: &str| {
        let folder = folder(policies, config);
        let report = json_of(folder.path(), &["replay", "c.pcap"]);
        assert_eq!(report["packets"], 9);
        report["policies"]["d"]["dropped"].as_u64().unwrap()
    };
    assert_eq!(dropped(DROP, &config_of_own()), 9);
    assert_eq!(dropped(DROP, ""), 3);
    assert_eq!(dropped(DROP, "derive: none\n"), 0);
    let none = DROP.replace("action", "derive: none, action");
    assert_eq!(dropped(&none, &config_of_own()), 0);
}

/// The help names a way out, and nothing is left out silently.
#[test]
fn more_derived_prefixes_than_the_most_are_refused() {
    let folder = folder(
        "  - {name: small, action: count, destinations: [192.0.2.0/24]}
  - {name: large, action: drop, destinations: [{list: l.txt}]}\n",
        "lan: {nat64: ['3fff:64:64:64::/64']}\n",
    );
    let lines = (0..17_000_u32).map(|number| format!("8.{}.{}.1", number / 250, number % 250));
    let list = lines.collect::<Vec<_>>().join("\n");
    fs::write(folder.path().join("l.txt"), list).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_monitor"))
        .args(["check", "--config", "config.yaml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let error = text(&output.stderr);
    for part in [
        "IPv6 prefixes would be derived",
        "4194304 is the most",
        "`large`",
        "p.yaml:4:",
        "derive: none",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_wrong_value_of_derive_is_an_error_with_its_place() {
    let folder = folder(&DROP.replace("action", "derive: nat64, action"), "");
    let output = Command::new(env!("CARGO_BIN_EXE_monitor"))
        .args(["check", "--config", "config.yaml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let error = text(&output.stderr);
    assert!(
        error.contains("here it is `nat64`") && error.contains("p.yaml:3:"),
        "{error}"
    );
}
