//! Tests of the demonstration, as root. In tests of the network alone, kernel routes replace the
//! filter.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use nix::unistd::geteuid;

use crate::demo::contacts::{BACKUP, BARE, NEWS, PUSH, STATISTICS};
use crate::demo::topology::{OTHER_MAC, PHONE_MAC, REFLASHED_MAC};

use super::*;

/// In place of a daemon, for tests of the network.
const NO_DAEMON: &str = "no-daemon";

fn skip_without_root(test: &str) -> bool {
    if geteuid().is_root() {
        return false;
    }
    assert!(env::var("CI").as_deref() != Ok("true"), "{test} needs root");
    eprintln!("{test} skipped: it needs root");
    true
}

/// A name with the process id and the test, so that tests do not clash.
fn topology(test: &str) -> Topology {
    Topology::named(&format!("monitor-test-{test}-{}", std::process::id()))
}

#[test]
fn without_a_filter_every_target_answers() {
    if skip_without_root("without_a_filter_every_target_answers") {
        return;
    }
    let mut demo = Demo::new(Path::new(NO_DAEMON), topology("open"));
    demo.make_network().unwrap();
    let outcomes = traffic::round(&demo.topology.phone, &TARGETS, LONG).unwrap();
    for outcome in &outcomes {
        assert_eq!(outcome.udp_answered, traffic::DATAGRAMS, "{outcome:?}");
        assert!(outcome.tcp_answered, "{outcome:?}");
    }
    // The suspects answered, because nothing drops. The complaints must say so.
    assert_eq!(show::complaints(&outcomes).len(), 2);
}

#[test]
fn what_the_gateway_drops_is_silence_for_the_phone() {
    if skip_without_root("what_the_gateway_drops_is_silence_for_the_phone") {
        return;
    }
    let mut demo = Demo::new(Path::new(NO_DAEMON), topology("shut"));
    demo.make_network().unwrap();
    demo.topology
        .gateway
        .ip("route add blackhole 198.51.100.0/24")
        .unwrap();
    demo.topology
        .gateway
        .ip("-6 route add blackhole 2001:db8:bad::/48")
        .unwrap();
    let outcomes = traffic::round(&demo.topology.phone, &TARGETS, LONG).unwrap();
    assert_eq!(show::complaints(&outcomes), Vec::<String>::new());
}

#[test]
fn nothing_is_left_of_a_lab() {
    if skip_without_root("nothing_is_left_of_a_lab") {
        return;
    }
    let mut demo = Demo::new(Path::new(NO_DAEMON), topology("gone"));
    demo.make_network().unwrap();
    assert!(
        demo.topology
            .namespaces()
            .iter()
            .all(|namespace| namespace.exists())
    );
    let errors = demo.tear_down();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(
        !demo
            .topology
            .namespaces()
            .iter()
            .any(|namespace| namespace.exists())
    );
    assert!(!demo.topology.runtime_dir().exists());
}

#[test]
fn a_killed_lab_is_removed_before_the_next() {
    if skip_without_root("a_killed_lab_is_removed_before_the_next") {
        return;
    }
    let mut killed = Demo::new(Path::new(NO_DAEMON), topology("killed"));
    killed.make_network().unwrap();
    // As after SIGKILL: nothing is removed.
    killed.up = false;
    // In place of a daemon: a process in the gateway with a file of the demonstration as an argument.
    let mut orphan = killed
        .topology
        .gateway
        .command("sh")
        .args(["-c", "sleep 60; :", "sh"])
        .arg(daemon::config(&killed.topology))
        .spawn()
        .unwrap();
    let reaper = thread::spawn(move || orphan.wait().unwrap());
    wait_for_shell(&killed.topology);
    let mut next = Demo::new(Path::new(NO_DAEMON), killed.topology.clone());
    next.make_network().unwrap();
    assert!(
        !reaper.join().unwrap().success(),
        "the orphan was not killed"
    );
}

/// Waits until the process is in the namespace: only then `nsenter` executes the shell.
fn wait_for_shell(topology: &Topology) {
    for _ in 0..1000 {
        if !topology.gateway.processes().unwrap().is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("no process came to {}", topology.gateway.name());
}

#[test]
fn a_second_lab_of_the_same_name_is_refused() {
    if skip_without_root("a_second_lab_of_the_same_name_is_refused") {
        return;
    }
    let topology = topology("lock");
    let held = lock(&topology).unwrap();
    let refused = lock(&topology).unwrap_err().to_string();
    assert!(
        refused.contains("another demonstration is running"),
        "{refused}"
    );
    drop(held);
    // A process that another test has just forked may hold a copy of the descriptor until
    // it executes its program.
    let again = (0..1000).find_map(|_| {
        thread::sleep(Duration::from_millis(10));
        lock(&topology).ok()
    });
    assert!(again.is_some(), "the lock is not given back");
    fs::remove_file(topology.lock_file()).unwrap();
}

/// The daemon that was built beside this test.
fn daemon_of_this_build() -> PathBuf {
    let test = env::current_exe().unwrap();
    // The test is in the directory `deps`.
    let monitor = test.ancestors().nth(2).unwrap().join("monitor");
    assert!(
        monitor.exists(),
        "{} is not there: run `cargo build --bin monitor` with the profile of this test",
        monitor.display()
    );
    monitor
}

/// Contacts of a device that stayed, went or came at a mark, as `ADDRESS protocol/port`.
fn ends(compared: &Value, key: &str) -> Vec<String> {
    let ends = compared[key]["ends"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    ends.map(|end| {
        let (address, protocol) = (text(&end["destination"]), text(&end["protocol"]));
        format!("{address} {protocol}/{}", end["port"])
    })
    .collect()
}

fn end(contact: &Contact) -> String {
    format!("{} {}", contact.address, contact.service())
}

/// The comparison of a device at a mark.
fn compared<'a>(report: &'a Value, mark: usize, device: &str) -> &'a Value {
    let devices = report["marks"][mark]["comparison"]["devices"].as_array();
    let mut devices = devices.unwrap().iter();
    let found = devices.find(|one| one["device"] == device);
    found.unwrap_or_else(|| panic!("{device} at mark {mark}: {:#}", report["marks"]))
}

/// The story with the real daemon and real packets: its report tells apart both phones, the
/// four ways of contact, and what changed at each mark.
#[test]
fn the_report_of_the_story_tells_all_apart() {
    if skip_without_root("the_report_of_the_story_tells_all_apart") {
        return;
    }
    process::mount_bpffs().unwrap();
    let (monitor, stop) = (daemon_of_this_build(), AtomicBool::new(false));
    let mut demo = Demo::new(&monitor, topology("story"));
    demo.start(&stop).unwrap();
    let reports = tempfile::tempdir().unwrap();
    let (_, report) = demo.tell(reports.path(), &stop, false).unwrap();
    // Each contact of the phone has the one source of its name.
    assert_eq!(report::complaints(&report), Vec::<String>::new());
    marks_divide_the_contacts(&report);
    two_macs_are_stated_to_be_one_phone(&report);
    let html = fs::read_to_string(reports.path().join("demo-report.html")).unwrap();
    for text in [
        "cloud backup off",
        "(control)",
        BACKUP.name,
        "no name known",
    ] {
        assert!(html.contains(text), "{text}");
    }
    assert!(demo.tear_down().is_empty());
}

fn marks_divide_the_contacts(report: &Value) {
    let texts = report["marks"].as_array().unwrap().iter();
    let texts: Vec<_> = texts.map(|mark| mark["text"].as_str().unwrap()).collect();
    assert_eq!(
        texts,
        ["cloud backup off", "reflashed", "reflashed, new MAC"]
    );
    // Mark, phone, and what stayed, went and came. Sorted by address.
    let none: &[Contact] = &[];
    let expected: [(usize, &str, [&[Contact]; 3]); 4] = [
        (0, PHONE_MAC, [&[PUSH, STATISTICS, BARE], &[BACKUP], none]),
        (1, PHONE_MAC, [&[PUSH, BARE], &[STATISTICS], none]),
        (2, PHONE_MAC, [none, &[PUSH, BARE], none]),
        (2, REFLASHED_MAC, [none, none, &[PUSH, BARE]]),
    ];
    for (mark, device, of_kinds) in expected {
        let compared = compared(report, mark, device);
        assert_eq!(compared["is_control"], false, "{compared:#}");
        for (key, contacts) in ["stayed", "went", "came"].into_iter().zip(of_kinds) {
            let contacts: Vec<_> = contacts.iter().map(end).collect();
            assert_eq!(ends(compared, key), contacts, "{key} at mark {mark}");
        }
    }
    for mark in 0..3 {
        let control = compared(report, mark, OTHER_MAC);
        assert_eq!(control["is_control"], true, "{control:#}");
        assert_eq!(ends(control, "stayed"), [end(&NEWS)]);
        assert_eq!(control["went"]["number"], 0);
        assert_eq!(control["came"]["number"], 0);
    }
}

fn two_macs_are_stated_to_be_one_phone(report: &Value) {
    let device = |mac: &str| {
        let mut devices = report["devices"].as_array().unwrap().iter();
        devices.find(|one| one["device"] == mac).unwrap()
    };
    let (first, reflashed) = (device(PHONE_MAC), device(REFLASHED_MAC));
    assert_eq!(first["stated_same"][0]["device"], REFLASHED_MAC);
    assert_eq!(first["stated_same"][0]["had"], "after");
    assert_eq!(reflashed["stated_same"][0]["device"], PHONE_MAC);
    assert_eq!(reflashed["randomised"], true);
    assert_eq!(first["name"], daemon::PHONE);
    let host_names = first["host_names"].as_array().unwrap();
    let mut leased = host_names.iter().filter(|one| one["source"] == "dnsmasq");
    assert!(leased.any(|one| one["value"] == "Redmi-Note"), "{first:#}");
    let other = device(OTHER_MAC);
    assert_eq!(other["is_subject"], false);
    assert_eq!(other["vendor"], "Fairphone");
}

/// An interrupted story leaves no namespace, pin or process.
#[test]
fn ctrl_c_during_the_story_ends_it() {
    if skip_without_root("ctrl_c_during_the_story_ends_it") {
        return;
    }
    process::mount_bpffs().unwrap();
    let monitor = daemon_of_this_build();
    let stop = AtomicBool::new(false);
    let mut demo = Demo::new(&monitor, topology("ctrl-c"));
    demo.start(&stop).unwrap();
    stop.store(true, Ordering::Relaxed);
    let reports = tempfile::tempdir().unwrap();
    let error = demo.tell(reports.path(), &stop, false).unwrap_err();
    assert_eq!(error.to_string(), "interrupted");
    assert!(demo.tear_down().is_empty());
    let topology = demo.topology.clone();
    assert!(!topology.namespaces().iter().any(|one| one.exists()));
    assert!(!topology.pin_dir().exists());
    let services = Command::new("pgrep")
        .args(["-f", &format!("{}/", topology.runtime_dir().display())])
        .output();
    assert!(services.unwrap().stdout.is_empty());
}
