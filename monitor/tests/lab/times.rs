//! Schedules and expiries: the daemon makes new generations when their times
//! come.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use support::lab::{Lab, poll, text};

/// RFC 3339, `seconds` from now.
fn from_now(seconds: u64) -> String {
    let time = SystemTime::now() + Duration::from_secs(seconds);
    let seconds = time.duration_since(UNIX_EPOCH).unwrap().as_secs();
    // Uses GNU date, which exists on all test machines.
    let date = std::process::Command::new("date")
        .args([
            "--utc",
            "--iso-8601=seconds",
            "--date",
            &format!("@{seconds}"),
        ])
        .output()
        .unwrap();
    text(&date.stdout).trim().to_owned()
}

fn policies(expires: &str) -> String {
    format!(
        "version: 1
policies:
  - {{name: brief, action: drop, destinations: [203.0.113.0/24], expires: {expires}}}
  - {{name: lasting, action: count, destinations: [203.0.113.0/24]}}
"
    )
}

#[test]
fn an_expiry_makes_a_generation_by_itself_also_while_the_files_are_broken() {
    let lab = Lab::new("expiry");
    lab.write_policies(&policies(&from_now(4)));
    let daemon = lab.start(&["--mode", "generic"]);
    assert_eq!(lab.generation("wlan0"), Some(1));
    assert_eq!(lab.status()["policies"][0]["action"], "drop");
    lab.write_policies("version: 1\npolicies: []\n");
    poll("the broken files are in the status", || {
        lab.status()["reload"]["success"] == false
    });
    poll("the policy has expired", || {
        lab.generation("wlan0") == Some(2)
    });
    // The kernel has the generation before the daemon has recorded it.
    poll("the daemon says which policy does nothing", || {
        lab.status()["daemon"]["resting"][0]["policy"] == "brief"
    });
    let status = lab.status();
    assert_eq!(
        status["reload"]["success"], false,
        "the files are still broken"
    );
    let resting = &status["daemon"]["resting"];
    assert_eq!(resting[0]["reason"], "expired");
    assert_eq!(
        status["policies"][0]["name"], "brief",
        "its counters live on"
    );
    assert!(status["policies"][0]["action"].is_null());
    poll("the log says why", || {
        daemon.log().contains("brief: expired")
    });
    let human = text(&lab.monitor(&["status"]).stdout);
    assert!(human.contains("resting    brief: expired"), "{human}");
}

#[test]
fn an_expiry_that_no_daemon_saw_is_told_and_made_good_by_the_next() {
    let lab = Lab::new("missed-expiry");
    lab.write_policies(&policies(&from_now(3)));
    let daemon = lab.start(&["--mode", "generic"]);
    daemon.kill();
    let state = lab.directory.path().join("state");
    let status = || {
        let output = lab.monitor(&["status", "--state-dir", state.to_str().unwrap()]);
        text(&output.stdout)
    };
    assert!(!status().contains("MISSED"));
    poll("the expiry has passed", || {
        status().contains("MISSED     brief: due to change at ")
    });
    assert!(status().contains("still in force: drop"));
    assert_eq!(lab.status()["policies"][0]["action"], "drop");
    let _daemon = lab.start(&["--mode", "generic"]);
    assert!(lab.status()["policies"][0]["action"].is_null());
    assert!(!status().contains("MISSED"));
}

/// The test accepts both states of this machine's clock.
#[test]
fn an_allow_that_expires_needs_a_synchronised_clock() {
    // SAFETY: all fields are integers, and with no mode set the call only reads.
    let state = unsafe {
        let mut answer: libc::timex = std::mem::zeroed();
        libc::adjtimex(&raw mut answer)
    };
    let synchronised = state != libc::TIME_ERROR;
    println!("adjtimex: {state}");
    let lab = Lab::new("clock");
    lab.write_policies(&format!(
        "version: 1
policies:
  - {{name: guest, action: allow, destinations: [203.0.113.7], expires: {}}}
  - {{name: range, action: drop, destinations: [203.0.113.0/24]}}
",
        from_now(3600)
    ));
    let _daemon = lab.start(&["--mode", "generic"]);
    let status = lab.status();
    let resting = status["daemon"]["resting"].as_array().unwrap();
    if synchronised {
        assert!(resting.is_empty(), "{resting:?}");
    } else {
        let reason = resting[0]["reason"].as_str().unwrap();
        assert!(reason.contains("clock"), "{reason}");
    }
}
