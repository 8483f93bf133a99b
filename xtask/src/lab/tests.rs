//! Tests of the lab's network, as root. Kernel routes replace the filter: the daemon has
//! tests of its own.

use std::env;
use std::path::PathBuf;

use nix::unistd::geteuid;

use super::*;

/// A tree without a daemon.
fn tree() -> Tree {
    Tree {
        root: PathBuf::from("."),
        monitor: PathBuf::from("no-daemon"),
    }
}

fn skip_without_root(test: &str) -> bool {
    if geteuid().is_root() {
        return false;
    }
    assert!(env::var("CI").as_deref() != Ok("true"), "{test} needs root");
    eprintln!("{test} skipped: it needs root");
    true
}

/// A name with the process id and the test, so that labs do not clash.
fn topology(test: &str) -> Topology {
    Topology::named(&format!("monitor-test-{test}-{}", std::process::id()))
}

#[test]
fn without_a_filter_every_target_answers() {
    if skip_without_root("without_a_filter_every_target_answers") {
        return;
    }
    let tree = tree();
    let mut lab = Lab::new(&tree, topology("open"));
    lab.make_network().unwrap();
    let outcomes = traffic::round(&lab.topology.phone, &TARGETS).unwrap();
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
    let tree = tree();
    let mut lab = Lab::new(&tree, topology("shut"));
    lab.make_network().unwrap();
    lab.topology
        .gateway
        .ip("route add blackhole 198.51.100.0/24")
        .unwrap();
    lab.topology
        .gateway
        .ip("-6 route add blackhole 2001:db8:bad::/48")
        .unwrap();
    let outcomes = traffic::round(&lab.topology.phone, &TARGETS).unwrap();
    assert_eq!(show::complaints(&outcomes), Vec::<String>::new());
}

#[test]
fn nothing_is_left_of_a_lab() {
    if skip_without_root("nothing_is_left_of_a_lab") {
        return;
    }
    let tree = tree();
    let mut lab = Lab::new(&tree, topology("gone"));
    lab.make_network().unwrap();
    assert!(
        lab.topology
            .namespaces()
            .iter()
            .all(|namespace| namespace.exists())
    );
    let errors = lab.tear_down();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(
        !lab.topology
            .namespaces()
            .iter()
            .any(|namespace| namespace.exists())
    );
    assert!(!lab.topology.runtime_dir().exists());
}

#[test]
fn a_killed_lab_is_removed_before_the_next() {
    if skip_without_root("a_killed_lab_is_removed_before_the_next") {
        return;
    }
    let tree = tree();
    let mut killed = Lab::new(&tree, topology("killed"));
    killed.make_network().unwrap();
    // As after SIGKILL: nothing is removed.
    killed.up = false;
    // In place of a daemon: a process in the gateway with the pin directory as an argument.
    let mut orphan = killed
        .topology
        .gateway
        .command("sh")
        .args(["-c", "sleep 60; :", "sh"])
        .arg(killed.topology.pin_dir())
        .spawn()
        .unwrap();
    let reaper = thread::spawn(move || orphan.wait().unwrap());
    wait_for_shell(&killed.topology);
    let mut next = Lab::new(&tree, killed.topology.clone());
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
    assert!(refused.contains("another lab is running"), "{refused}");
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
