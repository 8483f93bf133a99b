//! `monitor devices`: what is known about the devices of a running filter, with and without
//! a daemon.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{fs, net::UdpSocket, path::PathBuf, time::SystemTime};

use monitor::printable::acts;
use serde_json::Value;
use support::{
    dhcp::{self, DhcpServer},
    lab::{BLOCKED, Daemon, Lab, PHONE_MAC, poll, text},
};

const PHONE: [u8; 6] = [0x64, 0xcc, 0x2e, 0x11, 0x22, 0x33];

fn path(lab: &Lab, name: &str) -> PathBuf {
    lab.directory.path().join(name)
}

/// Writes a file that the user of the daemon can read.
fn put(lab: &Lab, name: &str, content: impl AsRef<[u8]>) {
    fs::write(path(lab, name), content).unwrap();
    lab.give(&path(lab, name));
}

/// Starts a daemon with this section `devices` of the config file.
fn start(lab: &Lab, devices: &str) -> Daemon {
    put(lab, "config.yaml", format!("devices:\n{devices}"));
    let config = path(lab, "config.yaml");
    lab.start(&["--config", config.to_str().unwrap()])
}

/// Runs a verb with the config file and the state directory of the lab.
fn run(lab: &Lab, arguments: &[&str]) -> String {
    let (state, config) = (path(lab, "state"), path(lab, "config.yaml"));
    let mut all = arguments.to_vec();
    all.extend(["--state-dir", state.to_str().unwrap()]);
    all.extend(["--config", config.to_str().unwrap()]);
    let output = lab.monitor(&all);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// What `monitor devices --json` prints.
fn devices(lab: &Lab, arguments: &[&str]) -> Vec<Value> {
    let printed = answer(lab, arguments);
    assert_eq!(printed["more"], false);
    printed["devices"].as_array().unwrap().clone()
}

fn answer(lab: &Lab, arguments: &[&str]) -> Value {
    let arguments = [&["devices", "--json"], arguments].concat();
    serde_json::from_str(&run(lab, &arguments)).unwrap()
}

fn device(lab: &Lab, mac: &str) -> Value {
    let found = devices(lab, &[]);
    let device = found.iter().find(|device| device["device"] == mac);
    device.unwrap_or_else(|| panic!("{mac}: {found:?}")).clone()
}

/// The values of a list, each with its source, sorted.
fn values(device: &Value, key: &str) -> Vec<(String, String)> {
    let word = |fact: &Value, key: &str| fact[key].as_str().unwrap().to_owned();
    let facts = device[key].as_array().unwrap().iter();
    let mut values: Vec<_> = facts
        .map(|fact| (word(fact, "value"), word(fact, "source")))
        .collect();
    values.sort();
    values
}

fn has(device: &Value, key: &str, value: &str, source: &str) -> bool {
    values(device, key).contains(&(value.to_owned(), source.to_owned()))
}

/// A device without the times of sources that say the same again later.
fn without_times(mut device: Value) -> Value {
    device["last"] = Value::Null;
    for key in ["addresses", "host_names"] {
        for fact in device[key].as_array_mut().unwrap() {
            (fact["first"], fact["last"]) = (Value::Null, Value::Null);
        }
    }
    device
}

fn send_from(lab: &Lab, source: &str, destination: &str) {
    lab.phone.run(|| {
        let socket = UdpSocket::bind((source, 0)).unwrap();
        socket.send_to(b"x", (destination, 9)).unwrap();
    });
}

/// Seconds since 1970-01-01T00:00:00Z, one hour from now.
fn in_an_hour() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs() + 3600
}

#[test]
fn a_phone_has_vendor_addresses_host_name_and_counts_live_and_from_the_store() {
    let lab = Lab::new("devices");
    put(&lab, "names", format!("{PHONE_MAC} Anna's phone\n"));
    put(&lab, "oui.txt", "64CC2E\tWritten in a file\n");
    let _server = DhcpServer::start(&lab, &path(&lab, "leases"));
    let leased = dhcp::get_address(&lab, PHONE, b"Redmi-Note-8T").to_string();
    let daemon = start(&lab, "  leases: [leases]\n");
    lab.phone.ip("address add fd77::3/64 dev eth0 nodad");
    lab.send_udp(BLOCKED[0], 3);
    for source in ["fd77::2", "fd77::3"] {
        send_from(&lab, source, BLOCKED[1]);
    }
    let live = device(&lab, PHONE_MAC);
    assert_eq!(live["vendor"], "Xiaomi Communications Co Ltd", "{live}");
    assert_eq!(live["vendor_source"], "built-in");
    assert_eq!(live["vendor_as_of"], "2026-10-17");
    assert_eq!(live["randomised"], false);
    assert_eq!(live["name"], "Redmi-Note-8T");
    assert_eq!(live["name_source"], "dnsmasq");
    assert_eq!((&live["packets"], &live["dropped"]), (&5.into(), &5.into()));
    assert_eq!(live["policies"], serde_json::json!(["blocked", "seen"]));
    for address in ["10.77.0.2", "fd77::2", "fd77::3"] {
        assert!(
            has(&live, "addresses", address, "frame"),
            "{address} {live}"
        );
    }
    assert!(
        has(&live, "addresses", "10.77.0.2", "neighbour-table"),
        "{live}"
    );
    assert!(has(&live, "addresses", &leased, "dnsmasq"), "{live}");
    assert!(
        has(&live, "host_names", "Redmi-Note-8T", "dnsmasq"),
        "{live}"
    );
    assert_eq!(live["possibly_several"], serde_json::json!([]), "{live}");
    let shown = run(&lab, &["devices"]);
    println!("{shown}");
    assert!(
        shown.starts_with(&format!("{PHONE_MAC}  calls itself \"Redmi-Note-8T\"\n")),
        "{shown}"
    );
    let flows = run(&lab, &["flows"]);
    println!("{flows}");
    let heading =
        format!("{PHONE_MAC}  calls itself \"Redmi-Note-8T\", Xiaomi Communications Co Ltd\n");
    assert!(flows.starts_with(&heading), "{flows}");
    // Without a daemon, the store has the same facts.
    daemon.kill();
    assert_eq!(
        without_times(device(&lab, PHONE_MAC)),
        without_times(live.clone())
    );
    put(
        &lab,
        "config.yaml",
        "devices:\n  names: names\n  vendors: [{path: oui.txt, as_of: 2026-11-01}]\n",
    );
    let stored = device(&lab, PHONE_MAC);
    assert_eq!(stored["name"], "Anna's phone");
    assert_eq!(stored["name_source"], "names");
    // The name means the device, also without a daemon.
    assert_eq!(
        devices(&lab, &["--device", "Anna's phone"]),
        std::slice::from_ref(&stored)
    );
    assert_eq!(stored["vendor"], "Written in a file");
    assert_eq!(stored["vendor_source"], "file");
    assert_eq!(stored["vendor_as_of"], "2026-11-01");
    assert_eq!(values(&stored, "addresses"), values(&live, "addresses"));
}

#[test]
fn the_options_select_devices() {
    let lab = Lab::new("devices-asked");
    let daemon = start(&lab, "  leases: []\n");
    lab.send_udp(BLOCKED[0], 1);
    for live in [true, false] {
        for (arguments, expected) in [
            (vec!["--device", PHONE_MAC], 1),
            (vec!["--device", "02:00:00:00:00:01"], 0),
            (vec!["--policy", "blocked"], 1),
            (vec!["--policy", "other"], 0),
            (vec!["--destination", BLOCKED[0]], 1),
            (vec!["--destination", "203.0.113.0/24"], 0),
            (vec!["--since", "1h"], 1),
            (vec!["--since", "2999-01-01T00:00:00Z"], 0),
            (vec!["--limit", "1"], 1),
        ] {
            let found = devices(&lab, &arguments);
            assert_eq!(found.len(), expected, "{live} {arguments:?} {found:?}");
        }
        daemon.signal(nix::sys::signal::Signal::SIGKILL);
        poll("no daemon answers", || lab.status()["daemon"].is_null());
    }
}

/// A device that no policy matched is shown from memory, and not stored.
#[test]
fn only_matched_devices_are_stored() {
    let lab = Lab::new("devices-memory");
    let lease = format!("{} 02:00:00:00:00:77 10.77.0.77 quiet *\n", in_an_hour());
    put(&lab, "leases", lease);
    let daemon = start(&lab, "  leases: [leases]\n");
    let quiet = device(&lab, "02:00:00:00:00:77");
    assert_eq!(
        (&quiet["first"], &quiet["packets"]),
        (&Value::Null, &0.into())
    );
    assert_eq!(
        (&quiet["randomised"], &quiet["vendor"]),
        (&true.into(), &Value::Null)
    );
    assert!(has(&quiet, "host_names", "quiet", "dnsmasq"));
    // The neighbour table has the phone.
    assert_eq!(device(&lab, PHONE_MAC)["packets"], 0);
    let one = answer(&lab, &["--limit", "1"]);
    let shown = one["devices"].as_array().unwrap().len();
    assert_eq!((shown, &one["more"]), (1, &true.into()), "{one}");
    assert!(run(&lab, &["devices"]).contains("not yet; a lease or another statement names it"));
    daemon.kill();
    assert_eq!(devices(&lab, &[]), Vec::<Value>::new());
    assert_eq!(run(&lab, &["devices"]), "no devices are known\n");
}

#[test]
fn a_forgotten_device_is_erased_from_store_and_memory() {
    let lab = Lab::new("devices-forget");
    let ends = in_an_hour();
    put(
        &lab,
        "leases",
        format!("{ends} {PHONE_MAC} 10.77.0.2 private-name *\n"),
    );
    let _daemon = start(&lab, "  leases: [leases]\n");
    lab.send_udp(BLOCKED[0], 1);
    assert!(has(
        &device(&lab, PHONE_MAC),
        "host_names",
        "private-name",
        "dnsmasq"
    ));
    // The sources that are not the daemon's own forget the device first.
    put(&lab, "leases", "");
    lab.phone.ip("link set eth0 down");
    lab.gateway.ip("neighbour flush dev wlan0");
    run(&lab, &["forget", PHONE_MAC]);
    assert_eq!(devices(&lab, &[]), Vec::<Value>::new());
    for file in fs::read_dir(path(&lab, "state")).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap_or_default();
        let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(!has(b"private-name") && !has(&PHONE));
    }
}

#[test]
fn one_mac_with_two_host_names_is_possibly_several_devices() {
    let lab = Lab::new("devices-several");
    let ends = in_an_hour();
    let leases = format!(
        "{ends} {PHONE_MAC} 10.77.0.51 Redmi-Note-8T *\n{ends} {PHONE_MAC} 10.77.0.52 iPad *\n"
    );
    put(&lab, "leases", leases);
    let same = format!("{{from: '64:cc:2e:00:00:01', to: '{PHONE_MAC}', since: 2026-11-01}}");
    let _daemon = start(&lab, &format!("  leases: [leases]\n  same: [{same}]\n"));
    lab.send_udp(BLOCKED[0], 1);
    let phone = device(&lab, PHONE_MAC);
    let reason = &phone["possibly_several"][0];
    assert_eq!(reason["reason"], "host-names", "{phone}");
    let stated = serde_json::json!([{
        "device": "64:cc:2e:00:00:01", "since": "2026-11-01", "had": "before", "how": "stated"
    }]);
    assert_eq!(phone["stated_same"], stated);
    let shown = run(&lab, &["devices"]);
    println!("{shown}");
    for expected in [
        "possibly several devices:",
        "This MAC had the host names `Redmi-Note-8T` and `iPad`, in turn or at once.",
        "64:cc:2e:00:00:01 before 2026-11-01 (stated, not seen)",
    ] {
        assert!(shown.contains(expected), "{shown}");
    }
    let flows = run(&lab, &["flows"]);
    assert!(
        flows.contains("64:cc:2e:00:00:01 before 2026-11-01 (stated, not seen)"),
        "{flows}"
    );
}

#[test]
fn hostile_names_do_nothing_in_terminal_and_json() {
    let lab = Lab::new("devices-hostile");
    let ends = in_an_hour();
    let long = "a".repeat(255);
    let forged = [
        "TV; same device as 64:cc:2e:00:00:01 before 2026-01-01 (stated&#x2c not seen)",
        "TV  64:cc:2e:11:22:33",
        "x  names  2026-11-29T00:00:00Z",
        "a` and `b",
    ];
    let names = [
        forged[0].to_owned(),
        forged[1].to_owned(),
        forged[2].to_owned(),
        forged[3].to_owned(),
        "&#x1b[2J&#x0a&#x00forged".to_owned(),
        "a\u{202e}b".to_owned(),
        "<script>alert(1)</script>".to_owned(),
        long.clone(),
    ];
    let rows = (60..)
        .zip(&names)
        .map(|(last, name)| format!("10.77.0.{last},{PHONE_MAC},,3600,{ends},1,0,0,{name},0\n"));
    let rows: Vec<_> = rows.collect();
    let columns = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state\n";
    let leases = format!("{columns}{}", rows.concat());
    put(&lab, "kea.csv", leases);
    put(
        &lab,
        "names",
        format!("{PHONE_MAC} <b>\u{202e}\u{1b}[31m\u{85}x\n"),
    );
    let _daemon = start(&lab, "  leases: [kea.csv]\n  names: names\n");
    lab.send_udp(BLOCKED[0], 1);
    let phone = device(&lab, PHONE_MAC);
    for name in [
        "\\x1b[2J\\x0a\\x00forged",
        "a\\xe2\\x80\\xaeb",
        "<script>alert(1)</script>",
        &long,
    ] {
        assert!(has(&phone, "host_names", name, "kea"), "{name} {phone}");
    }
    assert_eq!(phone["name"], "<b>\u{202e}\u{1b}[31m\u{85}x");
    for verb in [
        ["devices"].as_slice(),
        &["devices", "--json"],
        &["flows"],
        &["flows", "--json"],
    ] {
        let shown = run(&lab, verb);
        let acting: Vec<_> = shown.chars().filter(|c| acts(*c) && *c != '\n').collect();
        assert!(acting.is_empty(), "{verb:?} {acting:?}");
        // What a device chose is never among the words of the program without quotes.
        for name in forged.map(|name| name.replace("&#x2c", ",").replace('`', "\\`")) {
            for (start, _) in shown.match_indices(&name) {
                let before = shown[..start].chars().next_back();
                assert!(matches!(before, Some('"' | '`')), "{verb:?} {name}");
            }
        }
        assert!(
            !shown.lines().any(|line| line.starts_with("forged")),
            "{shown}"
        );
    }
}

#[test]
fn broken_files_give_a_warning_and_the_daemon_goes_on() {
    let lab = Lab::new("devices-broken");
    let good = format!("{} {PHONE_MAC} 10.77.0.2 phone *\n", in_an_hour());
    let bad = format!("1 {PHONE_MAC} 300.0.0.1 secret-name *\n");
    put(&lab, "leases", good + &bad);
    put(&lab, "names", "hello\n");
    put(&lab, "oui.txt", "hello\n");
    let section = "  leases: [leases, absent]\n  names: names\n  vendors: [oui.txt]\n";
    let daemon = start(&lab, section);
    lab.send_udp(BLOCKED[0], 1);
    let phone = device(&lab, PHONE_MAC);
    assert_eq!(
        (&phone["packets"], &phone["name"]),
        (&1.into(), &"phone".into())
    );
    let log = daemon.log();
    let root = lab.directory.path().display();
    for expected in [
        format!("lease file {root}/leases, line 2: a field is not an IP address"),
        format!("lease file {root}/absent: No such file"),
        format!("file of names {root}/names, line 1: it does not begin with a MAC address"),
        format!("file of vendors {root}/oui.txt: no line has a MAC prefix and a vendor (line 1:"),
    ] {
        assert_eq!(log.matches(&expected).count(), 1, "{expected}\n{log}");
    }
    assert!(!log.contains("secret-name"), "{log}");
}
