//! A snapshot of a gateway for the tests of metrics and HTTP.

use monitor::{
    policy::{Action, Direction, MacAddress},
    snapshot::{
        Answers, Count, DeviceSnapshot, EffectiveSnapshot, EvidenceSnapshot, InterfaceSnapshot,
        Mode, PlacesSnapshot, PolicySnapshot, Prefixes, ReloadSnapshot, Snapshot, Verdicts,
    },
};

/// The phone of [`gateway`].
pub(crate) const PHONE: MacAddress = MacAddress([0x64, 0xcc, 0x2e, 0x11, 0x22, 0x33]);

/// The television of [`gateway`].
pub(crate) const TELEVISION: MacAddress = MacAddress([0x02, 0x00, 0x00, 0x00, 0x00, 0x07]);

/// A count of packets, each of 100 bytes.
pub(crate) const fn packets(packets: u64) -> Count {
    Count {
        packets,
        bytes: packets * 100,
    }
}

pub(crate) const fn verdicts(passed: u64, dropped: u64) -> Verdicts {
    Verdicts {
        passed: packets(passed),
        dropped: packets(dropped),
    }
}

/// A snapshot with two interfaces, of which one is no longer attached, and
/// three policies, of which one is no longer in force and one has lost devices.
pub(crate) fn gateway() -> Snapshot {
    Snapshot {
        interfaces: vec![
            interface("br-lan", Some(Mode::Native), Some(7), verdicts(1000, 30)),
            interface("wlan0", None, None, verdicts(5, 0)),
        ],
        policies: vec![
            PolicySnapshot {
                name: "former".to_owned(),
                action: None,
                prefixes: Prefixes::default(),
                matched: verdicts(0, 0),
                incoming: verdicts(0, 0),
                other: verdicts(0, 0),
                past: verdicts(0, 0),
                devices: vec![],
            },
            PolicySnapshot {
                name: "range-42.62.48.0-24".to_owned(),
                action: Some(Action::Count),
                prefixes: Prefixes { v4: 1, v6: 0 },
                matched: verdicts(12, 3),
                incoming: verdicts(6, 2),
                other: verdicts(0, 0),
                past: verdicts(0, 0),
                devices: vec![device(TELEVISION, 4, 0), device(PHONE, 8, 3)],
            },
            PolicySnapshot {
                name: "telemetry".to_owned(),
                action: Some(Action::Drop),
                prefixes: Prefixes { v4: 5501, v6: 2024 },
                matched: verdicts(7, 30),
                incoming: verdicts(0, 0),
                other: verdicts(1, 7),
                past: verdicts(5, 3),
                devices: vec![device(PHONE, 1, 20)],
            },
        ],
        places: vec![
            places("any", 3, 16_384),
            places("named", 0, 4096),
            places("neighbour", 1, 4096),
        ],
        ruleset: Some("0123456789abcdef".to_owned()),
        reload: Some(ReloadSnapshot {
            success: true,
            timestamp: 1_770_000_000,
            error: None,
        }),
        unconfirmed: None,
        feeds: Vec::new(),
        evidence: Some(EvidenceSnapshot {
            effective: vec![EffectiveSnapshot {
                policy: "range-42.62.48.0-24".to_owned(),
                direction: Direction::Out,
                packets: verdicts(12, 3),
                full: verdicts(2, 1),
                setting: verdicts(0, 0),
            }],
            lost_events: 4,
            lost_samples: 5,
            ..EvidenceSnapshot::default()
        }),
        working: None,
        blind: [("clock", false), ("station", true)]
            .map(|(check, is_blind)| (check.to_owned(), is_blind))
            .into(),
    }
}

fn places(kept_for: &str, used: usize, size: usize) -> PlacesSnapshot {
    PlacesSnapshot {
        kept_for: kept_for.to_owned(),
        used,
        size,
    }
}

/// The snapshot with these names of devices.
pub(crate) fn named(mut snapshot: Snapshot, names: &[(MacAddress, &str)]) -> Snapshot {
    let names = names.iter().map(|(mac, name)| (*mac, (*name).to_owned()));
    snapshot.name_devices(&names.collect());
    snapshot
}

fn interface(
    name: &str,
    mode: Option<Mode>,
    generation: Option<u64>,
    ipv4: Verdicts,
) -> InterfaceSnapshot {
    InterfaceSnapshot {
        name: name.to_owned(),
        direction: Direction::Out,
        mode,
        frags: false,
        generation,
        ipv4,
        ipv6: verdicts(40, 2),
        unparsed: vec![
            ("non_ip".to_owned(), verdicts(9, 0)),
            ("bad_ipv4".to_owned(), verdicts(1, 0)),
        ],
        not_confirmed: packets(0),
        lost_log: 3,
        answers: Answers {
            resets: 6,
            errors: 5,
            unanswered: [("device_rate", 2), ("not_answerable", 1)]
                .map(|(reason, packets)| (reason.to_owned(), packets))
                .into(),
        },
    }
}

fn device(mac: MacAddress, passed: u64, dropped: u64) -> DeviceSnapshot {
    DeviceSnapshot {
        mac,
        name: None,
        matched: verdicts(passed, dropped),
    }
}
