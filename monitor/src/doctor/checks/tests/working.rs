//! Policies, lists, data, daemon, kernel, clock, disk and evidence.

use super::*;
use crate::{
    data::{Listed, SourceKind},
    snapshot::{
        EvidenceFailure, EvidenceSnapshot, FeedSnapshot, FeedState, PlacesSnapshot, ReloadSnapshot,
        Unconfirmed, Working,
    },
};

fn unconfirmed(rolled_back: bool, previous: Option<u64>) -> Unconfirmed {
    Unconfirmed {
        generation: Some(2),
        previous,
        within_seconds: 60,
        seconds_left: 0,
        rolled_back,
    }
}

#[test]
fn policies_that_are_not_in_force_are_told() {
    let with = |change: fn(&mut Snapshot)| {
        let found = found(CheckName::Policy, |facts| {
            change(facts.snapshot.as_mut().unwrap());
        });
        found.first().map(|(status, _)| *status)
    };
    assert_eq!(
        with(|snapshot| snapshot.unconfirmed = Some(unconfirmed(true, None))),
        Some(Blind)
    );
    assert_eq!(
        with(|snapshot| snapshot.unconfirmed = Some(unconfirmed(true, Some(1)))),
        Some(Degraded)
    );
    assert_eq!(
        with(|snapshot| snapshot.unconfirmed = Some(unconfirmed(false, None))),
        Some(Degraded)
    );
    let reload = |success| ReloadSnapshot {
        success,
        timestamp: 1,
        error: (!success).then(|| "a.yaml:1:1: no such key".to_owned()),
    };
    let failed = found(CheckName::Policy, |facts| {
        facts.snapshot.as_mut().unwrap().reload = Some(reload(false));
    });
    assert_eq!(failed[0].0, Degraded);
    assert!(
        found(CheckName::Policy, |facts| {
            facts.snapshot.as_mut().unwrap().reload = Some(reload(true));
        })
        .is_empty()
    );
    let none = |facts: &mut Facts| facts.policies = Ok(PolicyFacts::default());
    assert_eq!(found(CheckName::Policy, none)[0].0, Blind);
    let broken = |facts: &mut Facts| facts.policies = Err("broken".to_owned());
    assert_eq!(found(CheckName::Policy, broken)[0].0, Unknown);
}

fn feed(state: FeedState, age: Option<u64>) -> FeedSnapshot {
    FeedSnapshot {
        feed: "lists.example/drop.txt".to_owned(),
        policies: Vec::new(),
        state,
        reason: (state != FeedState::Current).then(|| "no route to host".to_owned()),
        age,
        fetched_at: None,
        checked_at: None,
        last_attempt: None,
        next_attempt: None,
        destinations: 1,
        cut: 0,
        cut_networks: Vec::new(),
        candidate: None,
    }
}

#[test]
fn lists_and_data_may_be_missing_or_old() {
    let status = |state, age| {
        let found = found(CheckName::Feed, |facts| {
            facts.feeds = vec![feed(state, age)];
        });
        found.first().map(|(status, _)| *status)
    };
    let day = 24 * 3600;
    assert_eq!(status(FeedState::Current, Some(day)), None);
    assert_eq!(status(FeedState::Current, Some(8 * day)), Some(Degraded));
    assert_eq!(status(FeedState::Refused, Some(day)), Some(Degraded));
    assert_eq!(status(FeedState::NeverFetched, None), Some(Blind));
    assert_eq!(status(FeedState::Failed, None), Some(Blind));
    let no_daemon = |feeds| {
        found(CheckName::Feed, |facts| {
            facts.daemon = DaemonFact::None;
            facts.policies.as_mut().unwrap().feeds = feeds;
        })
    };
    assert_eq!(no_daemon(1)[0].0, Degraded);
    assert!(no_daemon(0).is_empty());
    let source = |age_days, error: Option<&str>| Listed {
        name: "delegated".to_owned(),
        feed: false,
        kind: Some(SourceKind::DelegatedFile),
        ipv4_rows: 1,
        ipv6_rows: 0,
        bad_lines: 0,
        contradictions: 0,
        as_of: None,
        age_days,
        error: error.map(str::to_owned),
    };
    let data = |listed: Listed| {
        let found = found(CheckName::Data, |facts| facts.data.sources = vec![listed]);
        found.first().map(|(status, _)| *status)
    };
    assert_eq!(data(source(Some(90), None)), None);
    assert_eq!(data(source(None, None)), None);
    assert_eq!(data(source(Some(91), None)), Some(Degraded));
    assert_eq!(
        data(source(Some(1), Some("it is a folder"))),
        Some(Degraded)
    );
}

#[test]
fn the_daemon_and_its_endpoints_are_judged() {
    let status = |check, daemon: DaemonFact| {
        let found = found(check, |facts| facts.daemon = daemon);
        found.first().map(|(status, _)| *status)
    };
    assert_eq!(status(CheckName::Daemon, DaemonFact::None), Some(Degraded));
    let silent = DaemonFact::Silent("no answer within 10 s".to_owned());
    assert_eq!(status(CheckName::Daemon, silent), Some(Degraded));
    assert_eq!(status(CheckName::Daemon, answers(None, &[])), None);
    assert_eq!(status(CheckName::Http, answers(None, &[])), Some(Degraded));
    assert_eq!(status(CheckName::Http, answers(Some("x"), &[])), None);
    assert_eq!(status(CheckName::Http, DaemonFact::None), Some(Degraded));
    let hangs = |seconds| {
        found(CheckName::Daemon, |facts| {
            facts.snapshot.as_mut().unwrap().working = Some(Working {
                what: "a reload".to_owned(),
                seconds,
            });
        })
    };
    assert_eq!(hangs(Working::HANGS_AFTER)[0].0, Degraded);
    assert!(hangs(1).is_empty());
}

#[test]
fn kernel_rights_and_clock_are_judged() {
    let one = |check, change: fn(&mut Facts)| found(check, change)[0].0;
    assert_eq!(
        one(CheckName::Kernel, |facts| facts.kernel.copies = false),
        Degraded
    );
    assert_eq!(
        one(CheckName::Kernel, |facts| facts.kernel.compiles = false),
        Degraded
    );
    let said = |change: fn(&mut Facts)| said(CheckName::Kernel, change);
    let all = "Linux 6.12.0 has every feature that the filter uses".to_owned();
    assert_eq!(said(|_| {}), [(Fine, all)]);
    // Nothing is lost: another feature is in its place.
    let old = |facts: &mut Facts| {
        facts.kernel.version = "6.1.0".to_owned();
        facts.kernel.has_tcx = false;
    };
    let clsact = "Linux 6.1.0 has no links for classifiers (TCX, since Linux 6.6): filters of clsact are used in their place";
    assert_eq!(said(old), [(Fine, clsact.to_owned())]);
    assert_eq!(
        one(CheckName::Capability, |facts| facts.missing_rights =
            Ok(vec!["CAP_BPF"])),
        Degraded
    );
    assert_eq!(
        one(CheckName::Capability, |facts| facts.missing_rights =
            Err("x".to_owned())),
        Unknown
    );
    assert_eq!(
        one(CheckName::Clock, |facts| facts.clock_synchronised = false),
        Degraded
    );
}

#[test]
fn the_disk_must_hold_what_the_store_may_become() {
    let status = |free: u64, store: u64| {
        let found = found(CheckName::Disk, |facts| {
            facts.disk = Ok(Disk {
                free,
                store,
                most: 200 << 20,
            });
        });
        found.first().map(|(status, _)| *status)
    };
    assert_eq!(status(GIB, 0), None);
    assert_eq!(status(100 << 20, 100 << 20), None);
    assert_eq!(status(99 << 20, 100 << 20), Some(Degraded));
    assert_eq!(status(1 << 20, 0), Some(Blind));
    assert_eq!(status(GIB, 140 << 20), Some(Degraded));
    let denied = |facts: &mut Facts| facts.disk = Err("permission denied".to_owned());
    assert_eq!(found(CheckName::Disk, denied)[0].0, Unknown);
    // Nothing is stored.
    assert!(
        found(CheckName::Disk, |facts| {
            facts.evidence = EvidenceLevel::Counters;
            facts.disk = Ok(Disk::default());
        })
        .is_empty()
    );
}

#[test]
fn lost_evidence_is_told_by_reason() {
    let lost = |reason: &str| {
        let losses = [(reason.to_owned(), 5)].into();
        found(CheckName::Evidence, |facts| facts.losses = Ok(losses))
    };
    assert_eq!(
        lost("sample"),
        [(
            Degraded,
            "evidence was lost in the last 24 hours".to_owned()
        )]
    );
    assert_eq!(lost("full")[0].0, Blind);
    let failed = found(CheckName::Evidence, |facts| {
        facts.snapshot.as_mut().unwrap().evidence = Some(EvidenceSnapshot {
            failure: Some(EvidenceFailure {
                error: "the disk is full".to_owned(),
                since: "2026-11-30T00:00:00Z".to_owned(),
            }),
            ..EvidenceSnapshot::default()
        });
    });
    assert_eq!(failed[0].0, Blind);
    let places = |used| {
        found(CheckName::Evidence, |facts| {
            facts.snapshot.as_mut().unwrap().places = vec![PlacesSnapshot {
                kept_for: "any".to_owned(),
                used,
                size: 10,
            }];
        })
    };
    assert_eq!(places(10)[0].0, Degraded);
    assert!(places(9).is_empty());
    let only_counters = |facts: &mut Facts| {
        facts.evidence = EvidenceLevel::Counters;
        facts.losses = Ok([("full".to_owned(), 5)].into());
    };
    let setting = "by setting, only counters are recorded".to_owned();
    assert_eq!(said(CheckName::Evidence, only_counters), [(Fine, setting)]);
    let all = "no evidence was lost in the last 24 hours".to_owned();
    assert_eq!(said(CheckName::Evidence, |_| {}), [(Fine, all)]);
    let unknown = |facts: &mut Facts| facts.losses = Err("permission denied".to_owned());
    assert_eq!(found(CheckName::Evidence, unknown)[0].0, Unknown);
}
