//! Changes of files and commands during a trial and after its end.

use std::{fs, sync::atomic::Ordering};

use super::{
    LONG, action, generations, is_rolled_back, passing, start,
    support::{
        datagrams::{count_arrivals, send},
        lab::{Lab, OPEN, poll},
    },
    verb,
};

/// Only `confirm` ends a trial: everything that comes into force during it
/// waits too.
#[test]
fn a_plain_reload_a_changed_file_and_a_command_wait_with_it() {
    let lab = Lab::new("meanwhile");
    let daemon = lab.start(&["--mode", "generic"]);
    let waits = |generation: u64| {
        let status = lab.status();
        status["interfaces"][0]["generation"] == generation
            && status["unconfirmed"]["generation"] == generation
            && status["unconfirmed"]["previous"] == 1
            && status["unconfirmed"]["within_seconds"] == 600
    };
    verb(&lab, &["reload", "--confirm", LONG]);
    assert!(waits(2));
    verb(&lab, &["reload"]);
    assert!(waits(3));
    lab.write_policies(&passing());
    poll("the changed file is in force, and waits", || waits(4));
    verb(&lab, &["block", OPEN[0]]);
    assert!(waits(5), "{:#}", lab.status());
    assert_eq!(generations(&lab), ["gen-1", "gen-5"]);
    daemon.kill();
    assert!(waits(5));
}

#[test]
fn a_command_given_meanwhile_stands_after_it_goes_back() {
    let lab = Lab::new("command");
    let (open, received) = count_arrivals(&lab, OPEN[0]);
    let _daemon = start(&lab, &[]);
    lab.write_policies(&passing());
    verb(&lab, &["reload", "--confirm", "4s"]);
    verb(&lab, &["block", OPEN[0]]);
    poll("it is rolled back for good", || {
        is_rolled_back(&lab) && action(&lab) == "drop" && generations(&lab).len() == 1
    });
    send(&lab, open, 5);
    poll("the block drops them", || lab.policy("seen").1 == 5);
    assert_eq!(received.load(Ordering::Relaxed), 0);
}

#[test]
fn files_that_were_not_confirmed_are_not_loaded_because_they_change() {
    let lab = Lab::new("touched");
    let daemon = lab.start(&["--mode", "generic"]);
    verb(&lab, &["reload", "--confirm", "1s"]);
    poll("it is rolled back", || is_rolled_back(&lab));
    lab.write_policies(&passing());
    poll("the change is noticed", || {
        daemon.log().contains("only `monitor reload` loads them")
    });
    assert_eq!(action(&lab), "drop");
    assert!(is_rolled_back(&lab));
    verb(&lab, &["reload"]);
    assert_eq!(action(&lab), "count");
}

/// After a roll-back, a changed file makes the daemon read the last confirmed
/// policies again, because a feed may be newer by then.
#[test]
fn what_was_confirmed_and_cannot_be_read_any_more_is_told_and_not_swallowed() {
    let lab = Lab::new("unreadable");
    let daemon = lab.start(&["--mode", "generic"]);
    verb(&lab, &["reload", "--confirm", "1s"]);
    poll("it is rolled back", || is_rolled_back(&lab));
    let archive = lab.directory.path().join("state/last-good.tar");
    fs::write(&archive, [7; 700]).unwrap();
    lab.write_policies(&passing());
    poll("it is told", || {
        let log = daemon.log();
        log.contains("what was in force last cannot be used") && log.contains("last-good.tar")
    });
    assert_eq!(action(&lab), "drop", "it stays in force");
    verb(&lab, &["reload"]);
    assert_eq!(action(&lab), "count");
    poll("it is kept anew", || {
        fs::read(&archive).unwrap() != [7; 700]
    });
}
