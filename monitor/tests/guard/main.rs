//! Policies that the lock-out guard refuses, and their fixes, for imaginary
//! gateways.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

mod derived;
mod examples;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use monitor::{
    guard::{Gateway, LanInterface, WanSide},
    pipeline::{Compiled, compile_files},
    policy::{Files, Moment, RuntimeOverlay},
    regular_file::Purpose,
};

/// Policy files and lists in memory.
struct Memory(BTreeMap<PathBuf, String>);

impl Files for Memory {
    fn read(&self, path: &Path, _: Purpose) -> io::Result<Vec<u8>> {
        let text = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(text.clone().into_bytes())
    }

    fn is_directory(&self, path: &Path) -> bool {
        path == Path::new("p")
    }

    fn list(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self.0.keys().cloned().collect())
    }
}

/// 192.168.1.1 and its IPv6 on `br-lan`, 192.168.9.1 on `wlan0-guest`.
fn gateway() -> Gateway {
    let interface = |name: &str, addresses: &[&str]| LanInterface {
        name: name.to_owned(),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
    };
    Gateway {
        interfaces: vec![
            interface("br-lan", &["192.168.1.1", "fd77::1", "fe80::1"]),
            interface("wlan0-guest", &["192.168.9.1"]),
        ],
        resolvers: ["114.114.114.114", "2001:db8::53"]
            .map(|text| text.parse().unwrap())
            .to_vec(),
        dhcp: vec!["198.51.100.67".parse().unwrap()],
        ..Gateway::default()
    }
}

/// Compiles files of these names and texts at noon of a day in 2026.
fn compiled(files: &[(&str, &str)], gateway: &Gateway) -> Compiled {
    let files = files
        .iter()
        .map(|(name, text)| (Path::new("p").join(name), (*text).to_owned()));
    let noon: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
    let moment = Moment::given(noon);
    compile_files(
        &["p".into()],
        &Memory(files.collect()),
        &RuntimeOverlay::default(),
        &moment,
        gateway,
    )
}

fn file(policies: &str) -> String {
    let yaml = "version: 1\ndevices:\n  camera: \"02:00:00:00:00:07\"\n  guests: {interface: wlan0-guest}\n  here: {interface: br-lan}\n";
    format!("{yaml}policies:\n{policies}")
}

/// The messages with which the guard refuses these policies.
fn refused(policies: &str) -> Vec<String> {
    let compiled = compiled(&[("p.yaml", &file(policies))], &gateway());
    let errors = compiled.diagnostics.errors();
    let messages: Vec<String> = errors.map(|error| error.message().to_owned()).collect();
    assert_eq!(compiled.ruleset.is_some(), messages.is_empty());
    messages
}

/// On the side of the internet, the gateway itself needs addresses. A policy of some devices
/// does not apply there.
#[test]
fn what_the_gateway_needs_of_the_internet_is_refused() {
    let address = |text: &str| text.parse().unwrap();
    let gateway = Gateway {
        wan: WanSide {
            interfaces: vec![LanInterface {
                name: "eth0".to_owned(),
                addresses: vec![address("203.0.113.7")],
            }],
            resolvers: vec![address("9.9.9.9")],
            dhcp: vec![address("198.51.100.9")],
            next_hops: vec![address("203.0.113.1")],
        },
        ..gateway()
    };
    let refused = |rest: &str| -> Vec<String> {
        let text = file(&format!("  - {{name: d, action: drop, {rest}}}\n"));
        let compiled = compiled(&[("p.yaml", &text)], &gateway);
        let errors = compiled.diagnostics.errors();
        errors.map(|error| error.message().to_owned()).collect()
    };
    for (destination, part) in [
        ("203.0.113.0/24", "the next hop 203.0.113.1 on eth0"),
        (
            "203.0.113.7",
            "the gateway's own address 203.0.113.7 on eth0",
        ),
        ("9.9.9.9", "the resolver 9.9.9.9, tcp/53 and udp/53 on eth0"),
        (
            "198.51.100.9",
            "the DHCP server 198.51.100.9, udp/67 on eth0",
        ),
    ] {
        let found = refused(&format!("destinations: [{destination}]"));
        let [only] = found.as_slice() else {
            panic!("{destination}: {found:?}");
        };
        assert!(only.contains("cut the gateway itself off from"), "{only}");
        assert!(only.contains(part), "{only}");
        for more in [
            "devices: [camera]",
            "interfaces: [br-lan]",
            "accept_risk: [wan], reason: test",
        ] {
            let found = refused(&format!("destinations: [{destination}], {more}"));
            assert_eq!(found, [""; 0], "{more}");
        }
    }
    assert_eq!(
        refused("destinations: [9.9.9.9], services: [tcp/443]"),
        [""; 0]
    );
    assert_eq!(refused("destinations: [9.9.9.8]"), [""; 0]);
    let both = refused("destinations: ['224.0.0.0/8']");
    assert_eq!(both.len(), 2, "{both:?}");
}

#[test]
fn each_role_is_refused_for_its_own_packets_only() {
    let d = |destination: &str, rest: &str| {
        format!("  - {{name: d, action: drop, destinations: [\"{destination}\"]{rest}}}\n")
    };
    let own = "`d` would cut every device off from the gateway's own address 192.168.1.1 on br-lan";
    let resolver = "the resolver 114.114.114.114, tcp/53 and udp/53 on br-lan and wlan0-guest";
    let dhcp = "the DHCP server 198.51.100.67, udp/67 on br-lan and wlan0-guest";
    let private = "private 192.168.1.1 (RFC 1918)";
    for (policies, expected) in [
        (d("192.168.1.1", ""), &[own, private][..]),
        (d("192.168.1.1", ", services: [tcp/80]"), &[own, private]),
        (
            d("192.168.1.1", ", devices: [camera]"),
            &["its devices", private],
        ),
        (d("192.168.1.1", ", devices: [guests]"), &[private]),
        (
            d("192.168.1.1", ", devices: [here]"),
            &["own address", private],
        ),
        (d("192.168.1.1", ", interfaces: [br-lan]"), &[own, private]),
        (d("192.168.1.1", ", interfaces: [wlan0-guest]"), &[private]),
        (d("192.168.1.1", ", interfaces: [wlan9]"), &[]),
        (d("192.168.1.1", ", except_devices: [here]"), &[private]),
        (
            d("fd77::1", ""),
            &["own address fd77::1 on br-lan", "RFC 4193"],
        ),
        (d("fd77::1", ", devices: [192.168.1.7]"), &[]),
        (d("fe80::1", ""), &["link-local fe80::1 on"]),
        (d("114.114.114.0/24", ""), &[resolver]),
        (d("114.114.114.0/24", ", services: [tcp/443]"), &[]),
        (
            d("114.114.114.0/24", ", services: [udp/53]"),
            &["114.114.114.114, udp/53 on"],
        ),
        (
            d("114.114.114.0/24", ", services: [udp/50-60, tcp/54]"),
            &["114, udp/53 on"],
        ),
        (d("114.114.114.0/24", ", services: [icmp]"), &[]),
        (
            d("2001:db8::/32", ", interfaces: [br-lan]"),
            &["2001:db8::53, tcp/53 and udp/53 on br-lan"],
        ),
        (d("198.51.100.0/24", ""), &[dhcp]),
        (d("198.51.100.0/24", ", services: [udp/68]"), &[]),
        (
            d("255.255.255.255", ""),
            &["the limited broadcast 255.255.255.255 on"],
        ),
        (d("239.0.0.0/8", ""), &["multicast 239.0.0.0/8 on"]),
        (d("ff02::fb", ""), &["multicast ff02::fb on"]),
        (d("127.0.0.53", ""), &["loopback 127.0.0.53 on"]),
        (d("::1", ""), &["loopback ::1 on"]),
        (d("169.254.169.254", ""), &["link-local 169.254.169.254 on"]),
        (
            d("100.100.0.0/16", ""),
            &["shared 100.100.0.0/16 (RFC 6598) on"],
        ),
        (d("172.32.0.0/16", ""), &[]),
        (
            d("12.0.0.0/7", ""),
            &["very wide networks: 12.0.0.0/7, shorter than /8 on"],
        ),
        (d("12.0.0.0/8", ""), &[]),
        (
            d("2000::/15", ""),
            &["2001:db8::53", "2000::/15, shorter than /16 on"],
        ),
        (d("42.62.48.0/24", ""), &[]),
        (d("192.168.1.1", "").replace("drop", "count"), &[]),
        (d("192.168.1.1", ", enabled: false"), &[]),
        (d("192.168.1.1", ", expires: 2014-07-31T00:00:00Z"), &[]),
        (
            d(
                "127.0.0.1",
                ", schedule: {from: \"22:00\", to: \"06:00\", timezone: UTC, outside: count}",
            ),
            &["loopback 127.0.0.1"],
        ),
    ] {
        let found = refused(&policies);
        let fits = found.len() == expected.len()
            && found
                .iter()
                .zip(expected)
                .all(|(found, part)| found.contains(part));
        assert!(fits, "{policies}: {found:#?} and not {expected:#?}");
    }
}

#[test]
fn an_allow_saves_where_it_holds_for_all_of_the_drop_at_all_times() {
    let drop = "  - {name: d, action: drop, destinations: [114.114.114.0/24], SCOPE}\n";
    let allow = "  - {name: a, action: allow, destinations: [114.114.114.114], SCOPE}\n";
    let dns = "services: [udp/53, tcp/53]";
    for (of_drop, of_allows, saved) in [
        ("", &[dns][..], true),
        ("", &["services: [udp/53]", "services: [tcp/53]"], true),
        ("", &["services: [udp/53]"], false),
        ("services: [udp/53]", &["services: [udp/1-53]"], true),
        ("", &["devices: [camera]"], false),
        ("devices: [camera]", &["devices: [camera]"], true),
        (
            "devices: [camera]",
            &["devices: [\"02:00:00:00:00:00/40\"]"],
            true,
        ),
        (
            "devices: [\"02:00:00:00:00:00/40\"]",
            &["devices: [camera]"],
            false,
        ),
        ("devices: [camera]", &["devices: [\"192.168.1.7\"]"], false),
        (
            "devices: [\"192.168.1.7\"]",
            &["devices: [\"192.168.1.0/24\"]"],
            true,
        ),
        (
            "devices: [camera, \"192.168.1.7\"]",
            &["devices: [camera]", "devices: [\"192.168.1.7\"]"],
            true,
        ),
        ("", &["except_devices: [camera]"], false),
        (
            "except_devices: [camera]",
            &["except_devices: [camera]"],
            true,
        ),
        (
            "devices: [\"02:00:00:00:00:08\"]",
            &["except_devices: [camera]"],
            true,
        ),
        ("", &["interfaces: [br-lan]"], false),
        (
            "",
            &["interfaces: [br-lan]", "interfaces: [wlan0-guest]"],
            true,
        ),
        ("interfaces: [br-lan]", &["interfaces: [br-lan]"], true),
        ("", &["devices: [here, guests]"], true),
        (
            "",
            &["schedule: {days: [mon, tue, wed, thu, fri, sat, sun], timezone: UTC}"],
            false,
        ),
        ("", &["expires: 2126-01-01T00:00:00Z"], false),
        ("", &["enabled: false"], false),
    ] {
        let allows = of_allows.iter().enumerate().map(|(index, scope)| {
            let allow = allow.replace("SCOPE", scope);
            allow.replace("name: a", &format!("name: a{index}"))
        });
        let policies = drop.replace("SCOPE", of_drop) + &allows.collect::<String>();
        assert_eq!(refused(&policies).is_empty(), saved, "{policies}");
    }
}

#[test]
fn parts_of_an_address_range_are_saved_together() {
    let d = "  - {name: d, action: drop, destinations: [172.16.0.0/12]}\n";
    let allow = |name, destinations| {
        format!("  - {{name: {name}, action: allow, destinations: [{destinations}]}}\n")
    };
    let halves = [allow("a", "172.16.0.0/13"), allow("b", "172.24.0.0/13")];
    assert_eq!(refused(&(d.to_owned() + &halves[0])).len(), 1);
    assert_eq!(refused(&(d.to_owned() + &halves.concat())), [""; 0]);
    let hole = allow("b", "{cidr: 172.24.0.0/13, except: [172.31.255.255]}");
    let found = refused(&[d, &halves[0], &hole].concat());
    assert!(
        found[0].contains("private 172.31.255.255 (RFC 1918)"),
        "{found:?}"
    );
}

/// The text in the first pair of backticks of a help that begins with `start`.
fn yaml(help: &str, start: &str) -> String {
    let text = &help[help.find(&format!("`{start}")).unwrap() + 1..];
    text[..text.find('`').unwrap()].to_owned()
}

/// Follows each `help` literally until no policy is refused.
#[test]
fn what_a_help_says_mends_what_it_is_said_of() {
    for destination in [
        "192.168.0.0/16",
        "{cidr: 192.168.0.0/16, except: [192.168.7.0/24]}",
        "0.0.0.0/0",
        "\"::/0\"",
        "224.0.0.0-255.255.255.255",
        "{list: l.txt}",
    ] {
        let list = "10.0.0.0/8\n114.114.112.0/21\n192.168.0.0/22\nfe00::/8\n198.51.100.0/24\n";
        let policy = |destinations: &str, risks: &str| {
            format!("  - {{name: d, action: drop, destinations: [{destinations}]{risks}}}\n")
        };
        let (mut destinations, mut risks) = (destination.to_owned(), String::new());
        let mut allows = String::new();
        for step in 0.. {
            assert!(
                step < 8,
                "{destination} is not fixed: {allows} {destinations}"
            );
            let text = file(&(policy(&destinations, &risks) + &allows));
            let compiled = compiled(&[("p.yaml", &text), ("l.txt", list)], &gateway());
            let Some(error) = compiled.diagnostics.errors().next() else {
                break;
            };
            let help = error.help();
            if help.starts_with("exempt it") {
                let allow = yaml(help, "- {").replace("name: ", &format!("name: s{step}-"));
                allows = format!("{allows}  {allow}\n");
            } else if help.starts_with("leave it out") {
                destinations = yaml(help, "{cidr");
            } else {
                risks = format!(", {}, reason: so", yaml(help, "accept_risk"));
            }
        }
    }
}

#[test]
fn accepted_risks_are_not_refused_and_those_in_vain_are_named() {
    let policy = |risks: &str| {
        format!(
            "  - {{name: d, action: drop, destinations: [0.0.0.0/0], devices: [camera], accept_risk: [{risks}], reason: an allow-list}}\n"
        )
    };
    assert_eq!(refused(&policy("lan, private, short-prefix")), [""; 0]);
    assert_eq!(refused(&policy("lan, short-prefix")).len(), 1);
    let harmless = file(
        "  - {name: d, action: drop, destinations: [42.62.48.0/24], accept_risk: [lan], reason: none}\n",
    );
    let warnings = |gateway: &Gateway| {
        let compiled = compiled(&[("p.yaml", &harmless)], gateway);
        assert!(compiled.ruleset.is_some());
        compiled.diagnostics.warning_count()
    };
    assert_eq!(warnings(&gateway()), 1);
    // Without known addresses, the guard cannot decide this.
    assert_eq!(warnings(&Gateway::default()), 0);
}

#[test]
fn an_overlay_accepts_for_the_policy_of_another_file() {
    let shipped = file("  - {name: d, action: count, destinations: [172.16.0.0/12]}\n");
    let overlay = |text: &str| format!("version: 1\noverrides:\n  - {{policy: d, {text}}}\n");
    let errors = |overlay: &str| {
        let files = [("a.yaml", shipped.as_str()), ("b.local.yaml", overlay)];
        compiled(&files, &gateway()).diagnostics.error_count()
    };
    assert_eq!(errors(&overlay("action: drop")), 1);
    assert_eq!(errors(&overlay("action: drop, accept_risk: private")), 1);
    assert_eq!(
        errors(&overlay("action: drop, accept_risk: private, reason: mine")),
        0
    );
    assert_eq!(errors(&overlay("action: drop, except: [172.16.0.0/12]")), 1);
}
