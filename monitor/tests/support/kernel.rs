//! Runs the same frames through the kernel program and the reference model.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use monitor::{
    address::{Derivation, Destination, Embedding},
    compile::{Ruleset, compile},
    datapath::{FrameOutcome, Sandbox, SandboxCounters},
    explain::{Decision, explain},
    policy::{
        Action, DeviceNames, Diagnostics, Effect, Files, Loaded, MacAddress, Moment, Packet, Ports,
        RuntimeChange, RuntimeOverlay, Service, load,
    },
};
use monitor_common::{Count, Reason};

use super::{
    generate::{to_overlay, to_yaml},
    reference::{Cells, Family, Model, Outcome, Policy, Total, Verdict, judge},
};

/// The only interface of a sandbox.
pub(crate) const INTERFACE: &str = "wlan0";

/// One ruleset, in the kernel and in the model.
pub(crate) struct Pair {
    policies: Vec<Policy>,
    /// The policies that `explain` gets.
    read: Vec<monitor::policy::Policy>,
    derivation: Derivation,
    ruleset: Ruleset,
    sandbox: Sandbox,
    model: Model,
}

impl Pair {
    /// Loads the policies into the kernel through the real reader and compiler,
    /// and into the model directly.
    pub(crate) fn new(policies: Vec<Policy>) -> Self {
        let (read, derivation) = read_model(&policies);
        let ruleset = compile(&read, &derivation).unwrap();
        let sandbox =
            Sandbox::new(&ruleset, INTERFACE).expect("load the program (this test needs root)");
        Self {
            model: Model::new(policies.clone()),
            policies,
            read,
            derivation,
            ruleset,
            sandbox,
        }
    }

    /// Runs a frame through both, asserts equal results, and checks the answer
    /// of `explain`.
    pub(crate) fn check(&mut self, frame: &[u8]) -> FrameOutcome {
        let outcome = judge(&self.policies, INTERFACE, frame);
        let decision = self.check_explanations(&outcome);
        let before = self.sandbox.answers().unwrap().packets();
        let found = self.check_outcome(frame, &outcome);
        let rejected = self.sandbox.answers().unwrap().packets() - before;
        let dropped = matches!(found, FrameOutcome::Parsed { dropped: true, .. });
        let is_rejected = dropped && decision == Some(Decision::Action(Action::Reject));
        // If the port is hidden, `explain` cannot be asked about the whole packet.
        if decision.is_some() || !dropped {
            assert_eq!(rejected, u64::from(is_rejected), "{:#?}", self.policies);
        }
        found
    }

    /// Runs a frame through both, and asserts equal results.
    pub(crate) fn compare(&mut self, frame: &[u8]) -> FrameOutcome {
        let outcome = judge(&self.policies, INTERFACE, frame);
        self.check_outcome(frame, &outcome)
    }

    fn check_outcome(&mut self, frame: &[u8], outcome: &Outcome) -> FrameOutcome {
        let found = self.sandbox.run(frame).unwrap();
        let expected = self.expected(outcome);
        assert_eq!(
            found,
            expected,
            "frame {}\npolicies\n{:#?}",
            hex::encode(frame),
            self.policies
        );
        if frame.len() >= 14 {
            // Shorter frames never reach the kernel program.
            self.model.receive(INTERFACE, frame, frame.len() as u64);
        }
        found
    }

    /// Checks the answers of `explain`, with all or only some properties of the
    /// packet known. Returns the decision about the whole packet, if it can be known.
    fn check_explanations(&self, outcome: &Outcome) -> Option<Decision> {
        let mut of_whole = None;
        let Outcome::Parsed {
            packet,
            matched,
            verdict,
        } = outcome
        else {
            return None;
        };
        let mut names: Vec<&str> = matched
            .iter()
            .map(|index| self.policies[*index].name.as_str())
            .collect();
        names.sort_unstable();
        for known in 0..16_u8 {
            let has = |bit: u8| known >> bit & 1 == 1;
            let asked = Packet {
                mac: has(0).then_some(packet.source),
                address: has(1).then_some(packet.sender),
                interface: has(2).then(|| INTERFACE.to_owned()),
                service: packet.service.and_then(service).filter(|_| has(3)),
                ..Packet::default()
            };
            let whole = known == 15 && asked.service.is_some();
            let answer = explain(&self.read, &self.derivation, packet.destination, &asked);
            let certain = answer
                .matches
                .iter()
                .filter(|found| found.condition.is_none());
            let mut certain: Vec<&str> = certain.map(|found| found.policy.as_str()).collect();
            certain.sort_unstable();
            let possible = answer.matches.iter().map(|found| found.policy.as_str());
            let possible: Vec<&str> = possible.collect();
            assert!(
                names.iter().all(|name| possible.contains(name)),
                "{asked:?} {answer}"
            );
            assert!(
                certain.iter().all(|name| names.contains(name)),
                "{asked:?} {answer}"
            );
            match answer.decision {
                Decision::Depends => assert!(!whole, "{answer}"),
                // `explain` does not ask whether a packet has data.
                Decision::Action(action) if action.blocks() && packet.no_data => {}
                decision => assert_eq!(
                    matches!(decision, Decision::Action(action) if action.blocks()),
                    *verdict == Verdict::Dropped,
                    "{asked:?} {answer}"
                ),
            }
            if whole {
                of_whole = Some(answer.decision);
                assert_eq!(certain, names, "{asked:?} {answer}");
            }
        }
        of_whole
    }

    /// Asserts that all cells of both are equal.
    pub(crate) fn check_cells(&self) {
        let found = self.cells(&self.sandbox.counters().unwrap());
        assert_eq!(found, self.model.cells, "{:#?}", self.policies);
    }

    /// Converts the model's outcome into the type of the kernel's outcome.
    fn expected(&self, outcome: &Outcome) -> FrameOutcome {
        match outcome {
            Outcome::Unparsed(reason, verdict) => FrameOutcome::Unparsed {
                reason: *reason,
                dropped: *verdict == Verdict::Dropped,
            },
            Outcome::Parsed {
                matched, verdict, ..
            } => {
                let mut matched: Vec<u16> = matched
                    .iter()
                    .map(|index| self.index_of(&self.policies[*index].name))
                    .collect();
                matched.sort_unstable();
                FrameOutcome::Parsed {
                    matched,
                    dropped: *verdict == Verdict::Dropped,
                }
            }
        }
    }

    fn index_of(&self, name: &str) -> u16 {
        let index = self
            .ruleset
            .policies
            .iter()
            .position(|policy| policy.name.as_str() == name)
            .unwrap();
        u16::try_from(index).unwrap()
    }

    fn cells(&self, counters: &SandboxCounters) -> Cells {
        let mut cells = Cells::default();
        let interface = &counters.interface;
        let mut add = |verdict, family, count: Count| {
            insert(
                &mut cells.interfaces,
                (INTERFACE.to_owned(), verdict, family),
                count,
            );
        };
        add(Verdict::Passed, Family::Ipv4, interface.passed_ipv4);
        add(Verdict::Passed, Family::Ipv6, interface.passed_ipv6);
        add(Verdict::Dropped, Family::Ipv4, interface.dropped_ipv4);
        add(Verdict::Dropped, Family::Ipv6, interface.dropped_ipv6);
        for reason in Reason::ALL {
            let passed = interface.unparsed_passed[reason as usize];
            add(Verdict::Passed, Family::Other(reason), passed);
            let dropped = interface.unparsed_dropped[reason as usize];
            add(Verdict::Dropped, Family::Other(reason), dropped);
        }
        for (policy, counters) in self.ruleset.policies.iter().zip(&counters.policies) {
            let name = policy.name.as_str().to_owned();
            insert(
                &mut cells.policies,
                (name.clone(), Verdict::Passed),
                counters.passed,
            );
            insert(
                &mut cells.policies,
                (name, Verdict::Dropped),
                counters.dropped,
            );
            assert_eq!(counters.other_passed, Count::default());
            assert_eq!(counters.other_dropped, Count::default());
        }
        for (key, counters) in &counters.devices {
            let name = self.ruleset.policies[usize::from(key.policy)].name.as_str();
            let cell = |verdict| (MacAddress(key.mac), name.to_owned(), verdict);
            insert(&mut cells.devices, cell(Verdict::Passed), counters.passed);
            insert(&mut cells.devices, cell(Verdict::Dropped), counters.dropped);
        }
        cells
    }
}

/// The policies through the real reader, and the derivation of their network.
fn read_model(policies: &[Policy]) -> (Vec<monitor::policy::Policy>, Derivation) {
    let loaded = read(&to_yaml(policies), to_overlay(policies).as_deref());
    let mut read = loaded.policies;
    let pauses = pauses(policies, &loaded.devices);
    let warnings = pauses.put_on(&mut read, &Moment::given(Timestamp::UNIX_EPOCH));
    assert_eq!(warnings, Diagnostics::default());
    let own = policies.iter().find_map(|policy| policy.derive);
    (read, derivation(own.unwrap_or_default()))
}

/// The ruleset of the policies, through the real reader and compiler.
pub(crate) fn ruleset_of(policies: &[Policy]) -> Ruleset {
    let (read, derivation) = read_model(policies);
    compile(&read, &derivation).unwrap()
}

/// The service that a policy can name, if there is one.
fn service((protocol, port): (u8, u16)) -> Option<Service> {
    match protocol {
        6 => Ports::new(port, port).map(Service::Tcp),
        17 => Ports::new(port, port).map(Service::Udp),
        _ => Some(Service::Icmp),
    }
}

/// The ruleset of a valid policy file with the text `yaml`.
pub(crate) fn compiled(yaml: &str) -> Ruleset {
    compiled_with(yaml, &Derivation::default())
}

/// Like [`compiled`], with the given derivation.
pub(crate) fn compiled_with(yaml: &str, derivation: &Derivation) -> Ruleset {
    compile(&read(yaml, None).policies, derivation).unwrap()
}

/// The derivation of a network with these NAT64 prefixes.
pub(crate) fn derivation(own: &[&str]) -> Derivation {
    let own = own.iter().map(|text| {
        let Destination::Ipv6(interval) = text.parse().unwrap() else {
            panic!("{text}");
        };
        Embedding::nat64(interval.networks()[0]).unwrap()
    });
    Derivation::with(own)
}

/// A runtime overlay with the pauses of the policies' changes.
fn pauses(policies: &[Policy], names: &DeviceNames) -> RuntimeOverlay {
    let each = policies.iter().filter_map(|policy| {
        let paused = policy.change.paused.as_ref()?;
        let devices = paused.iter();
        let devices = devices.flat_map(|device| names.named(&device.to_string()).unwrap());
        Some(RuntimeChange {
            effect: Effect::Pause(policy.name.parse().unwrap()),
            devices: devices.collect(),
            device: None,
            since: Timestamp::UNIX_EPOCH,
            ends: None,
            reason: None,
        })
    });
    RuntimeOverlay {
        changes: each.collect(),
        ..RuntimeOverlay::default()
    }
}

const FILE: &str = "test.yaml";
const OVERLAY: &str = "test.local.yaml";

fn read(yaml: &str, overlay: Option<&str>) -> Loaded {
    let texts = Texts { yaml, overlay };
    let mut paths = vec![PathBuf::from(FILE)];
    paths.extend(overlay.map(|_| PathBuf::from(OVERLAY)));
    let loaded = load(&paths, &texts);
    assert!(
        !loaded.diagnostics.has_errors(),
        "{}\n{yaml}",
        loaded.diagnostics.render(false)
    );
    loaded
}

/// A policy file and, in some tests, an overlay.
struct Texts<'a> {
    yaml: &'a str,
    overlay: Option<&'a str>,
}

fn insert<K: Ord>(cells: &mut BTreeMap<K, Total>, key: K, count: Count) {
    if count != Count::default() {
        let total = Total {
            packets: count.packets,
            bytes: count.bytes,
        };
        assert_eq!(cells.insert(key, total), None, "a cell stands twice");
    }
}

impl Files for Texts<'_> {
    fn read(&self, path: &Path, _: monitor::regular_file::Purpose) -> std::io::Result<Vec<u8>> {
        let overlay = self.overlay.filter(|_| path == Path::new(OVERLAY));
        Ok(overlay.unwrap_or(self.yaml).as_bytes().to_vec())
    }

    fn is_directory(&self, _: &Path) -> bool {
        false
    }

    fn list(&self, _: &Path) -> std::io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }
}
