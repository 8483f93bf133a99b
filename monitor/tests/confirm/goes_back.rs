//! Without a confirmation, the old policies come back. Every packet is counted
//! once.

use std::sync::atomic::Ordering;

use serde_json::Value;

use super::{
    LONG, action, assert_counted, generations, is_rolled_back, not_confirmed, passing,
    sent_and_seen, start,
    support::{
        datagrams::{count_arrivals, send},
        lab::{BLOCKED, Lab, POLICIES, poll, text},
        verbs::refused,
    },
    under_traffic, verb,
};

#[test]
fn what_nobody_confirms_goes_back_and_every_packet_is_counted_once() {
    let lab = Lab::new("unconfirmed");
    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    let daemon = start(&lab, &[]);
    lab.write_policies(&passing());
    let sent = under_traffic(&lab, blocked, || {
        verb(&lab, &["reload", "--confirm", "1s"]);
        poll("it is rolled back for good", || {
            is_rolled_back(&lab) && generations(&lab) == ["gen-1"]
        });
    });
    assert_counted(&lab, received, sent);
    assert_eq!(lab.generation("wlan0"), Some(1));
    assert_eq!(action(&lab), "drop");

    let status = lab.status();
    assert_eq!(status["reload"]["success"], false);
    let error = status["reload"]["error"].as_str().unwrap();
    assert!(error.contains("not confirmed within 1 s"), "{error}");
    assert!(daemon.log().contains("not confirmed within 1 s"));
    let human = text(&lab.monitor(&["status"]).stdout);
    assert!(human.contains("NOT LOADED"), "{human}");
    assert!(
        human.contains("rolled back: not confirmed within 1 s"),
        "{human}"
    );
    let metrics = lab.metrics();
    assert!(metrics.contains("monitor_rolled_back 1"), "{metrics}");
    assert!(metrics.contains("monitor_reload_success 0"), "{metrics}");
    assert!(lab.page().contains("not confirmed within 1 s"));
    let late = lab.monitor(&["confirm"]);
    assert_eq!(late.status.code(), Some(1), "{late:?}");

    verb(&lab, &["reload"]);
    assert_eq!(action(&lab), "count", "asked for, they are in force");
    assert_eq!(lab.status()["unconfirmed"], Value::Null);
    assert!(lab.metrics().contains("monitor_rolled_back 0"));
}

#[test]
fn the_kernel_goes_back_by_itself_where_the_daemon_is_killed() {
    let lab = Lab::new("alone");
    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    let daemon = start(&lab, &[]);
    lab.write_policies(&passing());
    let sent = under_traffic(&lab, blocked, || {
        verb(&lab, &["reload", "--confirm", "2s"]);
        daemon.kill();
        poll("the kernel goes back", || is_rolled_back(&lab));
    });
    assert_counted(&lab, received, sent);
    let status = lab.status();
    assert_eq!(status["daemon"], Value::Null);
    assert_eq!(status["interfaces"][0]["generation"], 1);
    assert_eq!(status["unconfirmed"]["generation"], 2);
    assert_eq!(action(&lab), "drop", "{status:#}");
    let human = text(&lab.monitor(&["status"]).stdout);
    assert!(
        human.contains("generation 2 was not confirmed within 2 s, generation 1 decides again"),
        "{human}"
    );
    let late = lab.monitor(&["confirm"]);
    assert!(text(&late.stderr).contains("was not confirmed within 2 s"));

    let before = received.load(Ordering::Relaxed);
    let next = start(&lab, &[]);
    assert!(
        next.log().contains("not confirmed within 2 s"),
        "{}",
        next.log()
    );
    assert_eq!(action(&lab), "drop", "the files are not loaded unasked");
    send(&lab, blocked, 5);
    assert_counted(&lab, received, sent + 5);
    assert_eq!(received.load(Ordering::Relaxed), before);
    next.kill();
    let _third = start(&lab, &[]);
    assert_eq!(action(&lab), "drop", "nor at the start after that");
    verb(&lab, &["reload", "--confirm", LONG]);
    assert_eq!(action(&lab), "count");
    verb(&lab, &["confirm"]);
}

#[test]
fn a_second_one_goes_back_to_what_was_confirmed_and_not_to_the_first() {
    let lab = Lab::new("second");
    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    let _daemon = start(&lab, &[]);
    lab.write_policies(&passing());
    verb(&lab, &["reload", "--confirm", LONG]);
    lab.write_policies(&POLICIES.replace("action: drop", "action: allow"));
    let sent = under_traffic(&lab, blocked, || {
        let told = verb(&lab, &["reload", "--confirm", "1s"]);
        assert!(told.contains("generation 1 decides again"), "{told}");
        poll("it is rolled back for good", || {
            is_rolled_back(&lab) && generations(&lab) == ["gen-1"]
        });
    });
    assert_counted(&lab, received, sent);
    assert_eq!(action(&lab), "drop");
}

#[test]
fn with_nothing_before_every_packet_passes_and_is_counted() {
    let lab = Lab::new("nothing");
    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    let daemon = start(&lab, &["--confirm", "2s"]);
    assert_eq!(lab.status()["unconfirmed"]["previous"], Value::Null);
    poll("it is rolled back", || is_rolled_back(&lab));
    let told = text(&lab.monitor(&["status"]).stdout);
    assert!(told.contains("every packet passes"), "{told}");
    let (sent_before, seen_before) = sent_and_seen(&lab);
    send(&lab, blocked, 50);
    poll("they arrive", || received.load(Ordering::Relaxed) == 50);
    let (sent, seen) = sent_and_seen(&lab);
    assert_eq!(sent - sent_before, seen - seen_before);
    let not_confirmed = not_confirmed(&lab);
    assert!(not_confirmed >= 50, "{not_confirmed}");
    let lost = format!("monitor_lost_total{{reason=\"not_confirmed\"}} {not_confirmed}");
    poll("the metric tells them", || lab.metrics().contains(&lost));
    daemon.kill();
    send(&lab, blocked, 50);
    poll("they arrive", || received.load(Ordering::Relaxed) == 100);

    // These policies were never confirmed, and there are no others to start
    // with.
    let error = refused(&lab, &["--interface", "wlan0"]);
    assert!(
        error.contains("never confirmed") && error.contains("--confirm 60s"),
        "{error}"
    );
    let daemon = start(&lab, &["--confirm", LONG]);
    verb(&lab, &["confirm"]);
    daemon.kill();
    let _last = start(&lab, &[]);
    send(&lab, blocked, 5);
    assert_eq!(lab.policy("blocked").1, 5);
    assert_eq!(lab.status()["unconfirmed"], Value::Null);
}
