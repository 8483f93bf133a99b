//! Each check on facts that make it find something, and on facts that do not.

mod interface;
mod paths;
mod working;

use std::collections::BTreeMap;

use super::*;
use crate::{
    control::{Endpoint, WaitingInterface},
    data::Listing,
    datapath::Egress,
    doctor::{
        Accepted,
        facts::{DaemonFact, Disk, Families, FilterAt, KernelFacts, Link, LinkKind, PolicyFacts},
        finding::FindingStatus::{self, Blind, Degraded, Ok as Fine, Unknown},
    },
    policy::{EvidenceLevel, Role},
    snapshot::{Mode, Snapshot},
};

const GIB: u64 = 1 << 30;

const BOTH: Families = Families {
    ipv4: true,
    ipv6: true,
};

/// A gateway that sees everything: the filter on wlan0, and eth0 as the far side.
fn gateway() -> Facts {
    Facts {
        links: Ok(vec![
            Link {
                program: Some(7),
                mode: Some(Mode::Native),
                ..link(2, "wlan0")
            },
            link(3, "eth0"),
        ]),
        far_sides: vec![3],
        filters: Ok(vec![FilterAt {
            name: "wlan0".to_owned(),
            index: 2,
            program: 7,
            role: Role::Lan,
            egress: Ok(Egress::Nothing),
        }]),
        detached: Vec::new(),
        ingress: BTreeMap::new(),
        flowtables: Ok(Vec::new()),
        hardware_tc: Ok(Vec::new()),
        accelerators: Ok(Vec::new()),
        ipsec: Ok(Vec::new()),
        wireless: Ok(Vec::new()),
        snapshot: Some(Snapshot::default()),
        policies: Ok(PolicyFacts {
            active: 2,
            with_ipv6: 2,
            feeds: 0,
        }),
        daemon: answers(Some("http://127.0.0.1:9641/"), &[]),
        feeds: Vec::new(),
        data: Listing {
            sources: Vec::new(),
        },
        kernel: KernelFacts {
            version: "6.12.0".to_owned(),
            copies: true,
            has_tcx: true,
            compiles: true,
        },
        missing_rights: Ok(Vec::new()),
        clock_synchronised: true,
        disk: Ok(Disk {
            free: GIB,
            store: 0,
            most: 200 << 20,
        }),
        evidence: EvidenceLevel::Names,
        losses: Ok(BTreeMap::new()),
    }
}

/// An interface that routes both families.
fn link(index: u32, name: &str) -> Link {
    Link {
        name: name.to_owned(),
        index,
        is_up: true,
        addresses: BOTH,
        forwards: BOTH,
        ..Link::default()
    }
}

fn kind(word: &str, link: Link) -> Link {
    Link {
        kind: LinkKind::of(word),
        word: word.to_owned(),
        ..link
    }
}

fn port(bridge: u32, link: Link) -> Link {
    Link {
        controller: Some(bridge),
        addresses: Families::default(),
        ..link
    }
}

fn answers(serving: Option<&str>, waiting: &[&str]) -> DaemonFact {
    let endpoint = Endpoint {
        address: serving.unwrap_or("http://127.0.0.1:9641/").to_owned(),
        serving: serving.is_some(),
        error: serving.is_none().then(|| "address in use".to_owned()),
    };
    let waiting = waiting.iter().map(|name| WaitingInterface {
        interface: (*name).to_owned(),
        why: format!("{name}: there is no such interface"),
    });
    DaemonFact::Answers {
        endpoints: vec![endpoint],
        waiting: waiting.collect(),
    }
}

/// What a check says about the gateway after a change: each status with its text.
fn said(check: CheckName, change: impl FnOnce(&mut Facts)) -> Vec<(FindingStatus, String)> {
    let mut facts = gateway();
    change(&mut facts);
    let remarks = function(check)(&facts);
    assert!(!remarks.is_empty(), "{check:?} says nothing");
    for remark in &remarks {
        let needs_fix = remark.status != Fine;
        assert_eq!(!remark.fix.is_empty(), needs_fix, "{remark:?}");
        assert_eq!(!remark.why.is_empty(), needs_fix, "{remark:?}");
    }
    let each = remarks.into_iter();
    each.map(|remark| (remark.status, remark.what)).collect()
}

/// The findings that are not `ok`.
fn found(check: CheckName, change: impl FnOnce(&mut Facts)) -> Vec<(FindingStatus, String)> {
    let mut said = said(check, change);
    said.retain(|(status, _)| *status != Fine);
    said
}

/// The interface that runs the filter.
fn wlan0(facts: &mut Facts) -> &mut Link {
    &mut facts.links.as_mut().unwrap()[0]
}

fn add(facts: &mut Facts, links: impl IntoIterator<Item = Link>) {
    facts.links.as_mut().unwrap().extend(links);
}

#[test]
fn a_gateway_that_sees_everything_has_no_finding() {
    let diagnosis = diagnose(&gateway());
    let bad: Vec<_> = diagnosis
        .checks
        .iter()
        .filter(|found| found.remark.status != Fine)
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert_eq!(diagnosis.blind, 0);
    let by_check = diagnosis.by_check();
    assert_eq!(by_check.len(), CheckName::ALL.len());
    assert!(by_check.values().all(|blind| !blind), "{by_check:?}");
}

#[test]
fn a_check_that_could_not_look_has_no_value() {
    let mut facts = gateway();
    facts.flowtables = Err("permission denied".to_owned());
    let by_check = |facts: &Facts| diagnose(facts).by_check().get("offload").copied();
    assert_eq!(by_check(&facts), None);
    facts.accelerators = Ok(vec!["ecm".to_owned()]);
    assert_eq!(by_check(&facts), Some(true));
    facts.links = Err("no netlink".to_owned());
    let diagnosis = diagnose(&facts);
    for check in ["interface", "mode", "program", "ipv6", "tunnel"] {
        assert_eq!(diagnosis.by_check().get(check), None, "{check}");
    }
}

#[test]
fn what_one_process_may_not_read_another_adds() {
    let mut facts = gateway();
    facts.flowtables = Err("permission denied".to_owned());
    facts.clock_synchronised = false;
    let daemon = diagnose(&facts);
    assert!(daemon.has_unknown());
    let mut facts = gateway();
    facts.accelerators = Ok(vec!["ecm".to_owned()]);
    facts.losses = Err("permission denied".to_owned());
    let root = diagnose(&facts);
    let both = daemon.completed_by(&root);
    assert!(!both.has_unknown(), "{both:#?}");
    assert_eq!(both.blind, 1);
    assert_eq!(both.by_check().get("offload"), Some(&true));
    // The daemon's word stays where the daemon could look.
    let clock = both
        .checks
        .iter()
        .find(|found| found.check == CheckName::Clock);
    assert_eq!(clock.unwrap().remark.status, Degraded);
}

#[test]
fn an_accepted_finding_stays_and_counts_no_more() {
    let mut facts = gateway();
    add(&mut facts, [link(4, "eth1"), link(5, "eth10")]);
    let accepted = |about: Option<&str>| Accepted {
        check: CheckName::Interface,
        about: about.map(str::to_owned),
        reason: "a test machine".to_owned(),
    };
    let blind = |about| {
        let diagnosis = diagnose(&facts).accepted_by(&[accepted(about)]);
        let texts = diagnosis.to_string();
        assert!(texts.contains("eth1 has no filter"), "{texts}");
        assert!(texts.contains("blind, accepted: a test machine"), "{texts}");
        (diagnosis.blind, diagnosis.by_check()["interface"])
    };
    // A word counts whole.
    assert_eq!(blind(Some("eth1")), (1, true));
    assert_eq!(blind(None), (0, false));
    let json = diagnose(&facts).accepted_by(&[accepted(None)]);
    let json = serde_json::to_value(json.printed()).unwrap();
    let own = json["checks"].as_array().unwrap().iter();
    let own: Vec<_> = own.filter(|found| found["status"] == "blind").collect();
    assert_eq!(own.len(), 2);
    assert_eq!(own[0]["accepted"], "a test machine");
}
