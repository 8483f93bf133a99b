//! Flows of a running filter: live, in the store, and without a daemon.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use serde_json::Value;
use support::lab::{BLOCKED, Daemon, Lab, OPEN, PHONE_MAC, POLICIES, poll, text};
use support::{
    packets::{Transport, to},
    raw::RawSocket,
};

/// What `monitor flows --json` prints.
fn flows(lab: &Lab, arguments: &[&str]) -> Value {
    let state = lab.directory.path().join("state");
    let mut all = vec!["flows", "--json"];
    all.extend(arguments);
    all.extend(["--state-dir", state.to_str().unwrap()]);
    let output = lab.monitor(&all);
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Packets and dropped packets of each flow, by destination.
fn counts(flows: &Value) -> BTreeMap<String, (u64, u64)> {
    let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for flow in flows["flows"].as_array().unwrap() {
        let number = |key: &str| flow[key].as_u64().unwrap();
        let destination = flow["destination"].as_str().unwrap().to_owned();
        let count = counts.entry(destination).or_default();
        count.0 += number("packets");
        count.1 += number("dropped");
    }
    counts
}

/// Asserts that flows and what is not recorded add up to the effective cells.
fn assert_exact(lab: &Lab) {
    let found = flows(lab, &[]);
    let recorded: u64 = counts(&found).values().map(|(packets, _)| packets).sum();
    let not_recorded = found["not_recorded"]["packets"].as_u64().unwrap();
    let status = lab.status();
    let effective = status["evidence"]["effective"].as_array().unwrap().iter();
    let effective: u64 = effective
        .map(|policy| {
            let packets = |verdict: &str| policy["packets"][verdict]["packets"].as_u64().unwrap();
            packets("passed") + packets("dropped")
        })
        .sum();
    assert_eq!(recorded + not_recorded, effective, "{found}\n{status}");
}

#[test]
fn flows_are_exact_over_reload_kill_and_take_over() {
    let lab = Lab::new("flows");
    let mut daemon = lab.start(&[]);
    let log = daemon.log();
    assert!(
        log.contains("which device contacted which address"),
        "{log}"
    );
    for _round in 0..3 {
        for destination in [BLOCKED[0], BLOCKED[1], OPEN[0]] {
            lab.send_udp(destination, 5);
        }
        assert_exact(&lab);
        lab.write_policies(&POLICIES.replace("name: seen", "name: noticed"));
        assert!(lab.monitor(&["reload"]).status.success());
        lab.send_udp(OPEN[0], 2);
        daemon.kill();
        // The filter goes on without a daemon.
        lab.send_udp(BLOCKED[0], 1);
        assert_exact(&lab);
        lab.write_policies(POLICIES);
        daemon = lab.start(&[]);
        assert_exact(&lab);
    }
    let found = flows(&lab, &["--destination", BLOCKED[0]]);
    assert_eq!(counts(&found)[BLOCKED[0]], (18, 18), "{found}");
    let flow = &found["flows"][0];
    assert_eq!(flow["device"], PHONE_MAC);
    assert_eq!(flow["interface"], "wlan0");
    assert_eq!(
        (&flow["protocol"], &flow["direction"]),
        (&"udp".into(), &"out".into())
    );
    assert_eq!(flow["policies"][0], "blocked");
    let of_policy = flows(&lab, &["--policy", "noticed"]);
    let open = of_policy["flows"].as_array().unwrap();
    let packets = open.iter().filter(|flow| flow["destination"] == OPEN[0]);
    let packets: u64 = packets.map(|flow| flow["packets"].as_u64().unwrap()).sum();
    assert_eq!(packets, 6, "{of_policy}");
    assert_eq!(
        flows(&lab, &["--device", "02:00:00:00:00:01"])["flows"],
        Value::Array(vec![])
    );
    // What a generation's flows were named by is not kept longer than they are.
    poll("only one generation is left", || {
        let state = support::objects::state(&lab);
        let entries = fs::read_dir(state).unwrap().flatten();
        let generations =
            entries.filter(|entry| entry.file_name().to_str().unwrap().starts_with("gen-"));
        flows(&lab, &[]);
        generations.count() == 1
    });
}

#[test]
fn a_forgotten_device_is_erased() {
    let lab = Lab::new("erased");
    let _daemon = lab.start(&[]);
    lab.send_udp(BLOCKED[0], 5);
    assert_eq!(counts(&flows(&lab, &[])).len(), 1);
    let forget = lab.monitor(&["forget", PHONE_MAC]);
    assert!(forget.status.success(), "{}", text(&forget.stderr));
    let found = flows(&lab, &[]);
    assert_eq!(counts(&found).len(), 0, "{found}");
    assert_eq!(found["not_recorded"]["reasons"]["forgotten"], 5, "{found}");
    assert_exact(&lab);
    let mac = [0x64, 0xcc, 0x2e, 0x11, 0x22, 0x33];
    for file in fs::read_dir(lab.directory.path().join("state")).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap_or_default();
        let bytes_of_mac = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(!bytes_of_mac(&mac) && !bytes_of_mac(PHONE_MAC.as_bytes()));
    }
}

/// A detach stores the flows before it removes them from the kernel, and no later drain looks
/// for them.
#[test]
fn after_a_detach_the_store_has_the_flows() {
    let lab = Lab::new("detached");
    let mut daemon = lab.start(&[]);
    lab.send_udp(BLOCKED[0], 5);
    assert!(lab.monitor(&["detach"]).status.success());
    poll("the daemon ends", || !daemon.is_running());
    assert!(!lab.pin_dir.exists());
    assert_eq!(counts(&flows(&lab, &[]))[BLOCKED[0]], (5, 5));
    let log = daemon.log();
    assert!(!log.contains("not stored"), "{log}");
}

#[test]
fn with_counters_only_nothing_is_recorded() {
    let lab = Lab::new("counters-only");
    let daemon = lab.start(&["--evidence", "counters"]);
    lab.send_udp(BLOCKED[0], 5);
    let found = flows(&lab, &[]);
    assert_eq!(counts(&found).len(), 0, "{found}");
    assert!(lab.status()["evidence"].is_null());
    assert!(!lab.directory.path().join("state/evidence.db").exists());
    let log = daemon.log();
    assert!(log.contains("no destination addresses, no names"), "{log}");
}

/// A real resolver answers the phone; the phone then contacts the address.
#[test]
fn a_dns_answer_names_the_destination() {
    let lab = Lab::new("dns");
    let _daemon = lab.start(&[]);
    let resolver = lab.directory.path().join("dnsmasq.conf");
    fs::write(
        &resolver,
        format!(
            "no-resolv\nno-hosts\nno-daemon\nuser=root\nlisten-address=10.77.0.1\nbind-interfaces\n\
             host-record=cdn.example,{}\ncname=www.example,cdn.example\n",
            BLOCKED[0]
        ),
    )
    .unwrap();
    let mut command = lab.gateway.command("dnsmasq");
    command.arg(format!("--conf-file={}", resolver.display()));
    command.arg("--pid-file=").arg(format!(
        "--dhcp-leasefile={}",
        lab.directory.path().join("leases").display()
    ));
    let dnsmasq = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
    let _dnsmasq = Daemon::from_child(dnsmasq.expect("run dnsmasq (Debian package dnsmasq-base)"));
    poll("DNS answers are copied", || {
        lab.status()["evidence"]["dns_copied"][0] == "wlan0"
    });
    for transport in ["+notcp", "+tcp"] {
        let mut dig = lab.phone.command("dig");
        dig.args(["@10.77.0.1", "www.example", "A", "+tries=3", transport]);
        let output = dig
            .output()
            .expect("run dig (Debian package bind9-dnsutils)");
        assert!(text(&output.stdout).contains(BLOCKED[0]), "{output:?}");
    }
    lab.send_udp(BLOCKED[0], 3);
    let mut found = Value::Null;
    poll("the destination has its name", || {
        found = flows(&lab, &["--destination", BLOCKED[0]]);
        found["flows"][0]["names"]
            .as_array()
            .is_some_and(|names| !names.is_empty())
    });
    let name = &found["flows"][0]["names"][0];
    assert_eq!(name["how"], "dns", "{found}");
    assert_eq!(name["name"], "www.example");
    assert_eq!(
        name["chain"],
        serde_json::json!(["www.example", "cdn.example"])
    );
    assert_eq!(name["from"], "10.77.0.1");
}

/// What `monitor events` prints, each line as JSON.
fn events(lab: &Lab, arguments: &[&str]) -> Vec<Value> {
    let state = lab.directory.path().join("state");
    let mut all = vec!["events", "--state-dir", state.to_str().unwrap()];
    all.extend(arguments);
    let output = lab.monitor(&all);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines = text(&output.stdout);
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    // What the daemon's checks find depends on the machine.
    lines.filter(|event| event["event"] != "doctor").collect()
}

#[test]
fn events_tell_first_contacts_once_with_and_without_a_daemon() {
    let lab = Lab::new("events");
    let mut daemon = lab.start(&[]);
    let mut follow = lab.gateway.command(support::lab::binary());
    follow.args(["events", "--follow", "--format", "json", "--socket"]);
    let follow = follow.arg(lab.socket()).stdout(Stdio::piped()).spawn();
    let mut follow = follow.unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let follow = Daemon::from_child(follow);
    let mut next = || {
        let event = |line: std::io::Result<String>| serde_json::from_str(&line.unwrap()).unwrap();
        let mut events = lines.by_ref().map(event);
        // What the daemon's checks find depends on the machine.
        let mut own = events
            .by_ref()
            .filter(|event: &Value| event["event"] != "doctor");
        own.next().unwrap()
    };
    // The filter was attached, and its ruleset came into force, before the first packet.
    let begun = [next(), next()];
    let mut begun = begun.map(|event| event["event"].as_str().unwrap().to_owned());
    begun.sort();
    assert_eq!(begun, ["attached", "generation"]);
    for _ in 0..2 {
        lab.send_udp(BLOCKED[0], 2);
        lab.send_udp(OPEN[0], 1);
        flows(&lab, &[]);
    }
    let mut contacts = [next(), next()];
    contacts.sort_by_key(|event| event["destination"].as_str().map(str::to_owned));
    for (event, (destination, policy)) in contacts
        .iter()
        .zip([(OPEN[0], "seen"), (BLOCKED[0], "blocked")])
    {
        assert_eq!(event["event"], "first-contact");
        assert_eq!(event["device"], PHONE_MAC);
        assert_eq!(event["destination"], destination);
        assert_eq!(event["policies"][0], policy);
        assert_eq!(event["port"], 9);
    }
    follow.kill();
    assert_eq!(lab.status()["evidence"]["first_contacts"], 2);

    let dropped = events(&lab, &["--format", "eve", "--policy", "blocked"]);
    assert_eq!(dropped.len(), 1);
    assert_eq!(dropped[0]["alert"]["action"], "blocked");
    assert_eq!(dropped[0]["dest_ip"], BLOCKED[0]);
    daemon.kill();
    let all = events(&lab, &["--format", "json"]);
    assert_eq!(all.len(), 4, "{all:?}");
    daemon = lab.start(&[]);
    lab.send_udp(BLOCKED[0], 1);
    // The daemon took over with a generation of its own. Neither the attachment nor the
    // destination is new.
    let after = events(&lab, &["--format", "json"]);
    assert_eq!(after[..4], all);
    let mut new: Vec<_> = after[4..].iter().map(|event| &event["event"]).collect();
    new.sort_by_key(ToString::to_string);
    assert_eq!(new, ["generation", "loss"], "{after:?}");
    drop(daemon);
}

/// The answer has more than a mebibyte.
#[test]
fn an_answer_with_thousands_of_flows_is_read() {
    const FLOWS: u16 = 4000;
    let lab = Lab::new("many-flows");
    let _daemon = lab.start(&[]);
    let phone = RawSocket::sender(&lab.phone, "eth0");
    for port in 1..=FLOWS {
        phone.send(&to(BLOCKED[0]).transport(Transport::Udp(port)).build());
    }
    let found = flows(&lab, &["--limit", "10000"]);
    assert_eq!(found["flows"].as_array().unwrap().len(), usize::from(FLOWS));
    assert!(found.to_string().len() > 1 << 20);
}
