//! Makes a snapshot of the pinned maps. It needs no daemon and takes no lock.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use monitor_common::{
    AnswerCounters, Count, DeviceCounters, DeviceKey, GenerationPolicy, InterfaceCounters, Reason,
    evidence::EffectiveCounters,
};

use super::{
    Error,
    devices::{DeviceCounts, PolicySlot},
    evidence::{EffectivePolicy, FlowTables},
    generation::{self, Description},
    hook::HookPoint,
    in_force::{self, InForce},
    link::Link,
    pins::Pins,
    state::{InterfaceMaps, InterfaceSlot, PolicyMaps, State, hook},
};
use crate::{
    policy::{Action, Direction, MacAddress},
    snapshot::{
        DeviceSnapshot, EffectiveSnapshot, EvidenceSnapshot, InterfaceSnapshot, PlacesSnapshot,
        PolicySnapshot, Prefixes, ReloadSnapshot, Snapshot, Unconfirmed, Verdicts,
    },
};

/// Reads the pinned state at any time, also during a swap.
pub struct Reader {
    pins: Pins,
    state: State,
}

/// What each attached link runs, by interface name, and the records of the newest
/// generation that decides on an interface.
type InForceByHook = (HashMap<HookPoint, InForce>, Option<Description>);

/// Number of attempts to read during which no swap takes place.
const ATTEMPTS: usize = 5;

impl Reader {
    /// Opens the state maps. Returns an error if nothing is pinned, or only the
    /// state of another version.
    pub fn open(pin_dir: &Path) -> Result<Self, Error> {
        let pins = Pins::new(pin_dir);
        let path = pins.root().to_owned();
        if !pins.exists()? {
            return Err(Error::NotAttached { path });
        }
        if !State::is_whole(&pins.state()) {
            return Err(if pins.other_versions()?.is_empty() {
                Error::NotAttached { path }
            } else {
                Error::OtherVersion { path }
            });
        }
        let state = State::open(&pins.state())?;
        Ok(Self { pins, state })
    }

    /// Reads every counter once. The caller passes the result of the last reload.
    pub fn snapshot(&self, reload: Option<ReloadSnapshot>) -> Result<Snapshot, Error> {
        let (in_force, description) = self.find()?;
        let interfaces = interfaces(&self.state.interfaces, &in_force)?;
        let counts = self.state.devices.counts()?;
        let places = counts.places.iter().map(|places| PlacesSnapshot {
            kept_for: places.kept_for.to_owned(),
            used: places.used,
            size: places.size,
        });
        Ok(Snapshot {
            interfaces,
            places: places.collect(),
            policies: policies(&self.state.policies, description.as_ref(), counts)?,
            ruleset: description
                .as_ref()
                .map(|description| format!("{:016x}", description.record.ruleset_hash)),
            reload,
            unconfirmed: unconfirmed(&in_force),
            feeds: Vec::new(),
            evidence: self.evidence()?,
            working: None,
            blind: BTreeMap::new(),
        })
    }

    /// Reads what is recorded in flows.
    fn evidence(&self) -> Result<Option<EvidenceSnapshot>, Error> {
        let Some(tables) = FlowTables::open(self.pins.root())? else {
            return Ok(None);
        };
        let effective = tables.effective()?.into_iter();
        let effective = effective.filter(|policy| policy.counters != EffectiveCounters::default());
        let mut effective: Vec<_> = effective
            .map(|policy| effective_snapshot(&policy))
            .collect();
        effective.sort_by(|a, b| (&a.policy, a.direction).cmp(&(&b.policy, b.direction)));
        let losses = tables.losses()?;
        Ok(Some(EvidenceSnapshot {
            effective,
            lost_events: losses.events,
            lost_samples: losses.samples_full + losses.samples_rate,
            answers: losses.answers.into(),
            answers_full: losses.answers_full.into(),
            dns_copied: Vec::new(),
            first_contacts: None,
            failure: None,
        }))
    }

    /// Reads which generation each interface runs (from its link), then the record of that
    /// generation. A reload moves the links to a new generation and removes the old one. So
    /// the two reads fit together only if the links are the same afterwards; otherwise both
    /// are read again.
    fn find(&self) -> Result<InForceByHook, Error> {
        let mut last = self.try_find();
        for _ in 1..ATTEMPTS {
            if let Ok((in_force, _)) = &last
                && self.in_force().is_ok_and(|again| again == *in_force)
            {
                break;
            }
            last = self.try_find();
        }
        last
    }

    fn try_find(&self) -> Result<InForceByHook, Error> {
        let in_force = self.in_force()?;
        let newest = in_force.values().filter_map(InForce::deciding).max();
        let description = newest
            .map(|number| generation::describe(&self.pins, number))
            .transpose()?;
        Ok((in_force, description))
    }

    fn in_force(&self) -> Result<HashMap<HookPoint, InForce>, Error> {
        let mut in_force = HashMap::new();
        for at in self.pins.linked()? {
            let link = Link::open(&self.pins, &at)?;
            let info = link.info(&at)?;
            if info.ifindex != 0 {
                let found = in_force::in_force(&self.pins, &at, info.program)?;
                in_force.insert(at, found);
            }
        }
        Ok(in_force)
    }
}

/// Every interface and direction that has a slot, sorted by name.
pub(super) fn interfaces(
    maps: &InterfaceMaps,
    in_force: &HashMap<HookPoint, InForce>,
) -> Result<Vec<InterfaceSnapshot>, Error> {
    let mut interfaces = Vec::new();
    for slot in maps.slots()? {
        let counters = maps.counters(slot.slot)?;
        let answers = maps.answers(slot.slot)?;
        let at = slot
            .attachment
            .map(|attachment| HookPoint::new(&slot.name, hook(attachment.mode)));
        let in_force = at.and_then(|at| in_force.get(&at));
        interfaces.push(interface(slot, in_force, &counters, &answers));
    }
    interfaces.sort_by(|a, b| (&a.name, a.direction).cmp(&(&b.name, b.direction)));
    Ok(interfaces)
}

/// Every policy that has a slot, sorted by name.
pub(super) fn policies(
    maps: &PolicyMaps,
    description: Option<&Description>,
    counts: DeviceCounts,
) -> Result<Vec<PolicySnapshot>, Error> {
    let in_force: HashMap<u32, GenerationPolicy> = description
        .iter()
        .flat_map(|description| &description.policies)
        .map(|policy| (policy.slot, *policy))
        .collect();
    let DeviceCounts {
        devices, mut past, ..
    } = counts;
    let mut devices = by_policy(devices);
    let mut policies = Vec::new();
    for (slot, name) in maps.slots()? {
        let counters = maps.counters(slot, Direction::Out)?;
        let incoming = maps.counters(slot, Direction::In)?;
        let record = in_force.get(&u32::from(slot));
        policies.push(PolicySnapshot {
            name,
            action: record.and_then(|record| Action::from_code(record.action)),
            prefixes: record.map_or_else(Prefixes::default, |record| Prefixes {
                v4: record.prefixes_v4 as usize,
                v6: record.prefixes_v6 as usize,
            }),
            matched: Verdicts {
                passed: counters.passed.into(),
                dropped: counters.dropped.into(),
            },
            other: Verdicts {
                passed: counters.other_passed.into(),
                dropped: counters.other_dropped.into(),
            },
            incoming: Verdicts {
                passed: incoming.passed.into(),
                dropped: incoming.dropped.into(),
            },
            past: verdicts(&past.remove(&slot).unwrap_or_default()),
            devices: devices.remove(&slot).unwrap_or_default(),
        });
    }
    policies.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(policies)
}

fn effective_snapshot(policy: &EffectivePolicy) -> EffectiveSnapshot {
    let counters = &policy.counters;
    let verdicts = |passed: Count, dropped: Count| Verdicts {
        passed: passed.into(),
        dropped: dropped.into(),
    };
    EffectiveSnapshot {
        policy: policy.name.to_string(),
        direction: policy.direction,
        packets: verdicts(counters.passed, counters.dropped),
        full: verdicts(counters.full_passed, counters.full_dropped),
        setting: verdicts(counters.setting_passed, counters.setting_dropped),
    }
}

/// Groups counters by policy slot. Each group is sorted by MAC.
fn by_policy(
    devices: BTreeMap<DeviceKey, DeviceCounters>,
) -> HashMap<PolicySlot, Vec<DeviceSnapshot>> {
    let mut by_policy: HashMap<PolicySlot, Vec<DeviceSnapshot>> = HashMap::new();
    for (key, counters) in devices {
        by_policy
            .entry(key.policy)
            .or_default()
            .push(DeviceSnapshot {
                mac: MacAddress(key.mac),
                name: None,
                matched: verdicts(&counters),
            });
    }
    by_policy
}

fn verdicts(counters: &DeviceCounters) -> Verdicts {
    Verdicts {
        passed: counters.passed.into(),
        dropped: counters.dropped.into(),
    }
}

/// The newest generation that waits for its confirmation, or whose deadline has
/// passed.
fn unconfirmed(in_force: &HashMap<HookPoint, InForce>) -> Option<Unconfirmed> {
    let waiting = in_force.values().filter(|link| link.deadline.is_some());
    let newest = waiting.max_by_key(|link| (link.generation, link.previous))?;
    let deadline = newest.deadline?;
    let left = deadline.left();
    Some(Unconfirmed {
        generation: newest.generation,
        previous: newest.previous,
        within_seconds: deadline.within().as_secs(),
        seconds_left: left.as_secs() + u64::from(left.subsec_nanos() > 0),
        rolled_back: left.is_zero(),
    })
}

fn interface(
    slot: InterfaceSlot,
    in_force: Option<&InForce>,
    counters: &InterfaceCounters,
    answers: &AnswerCounters,
) -> InterfaceSnapshot {
    let unparsed = |reason: Reason| {
        let verdicts = Verdicts {
            passed: counters.unparsed_passed[reason as usize].into(),
            dropped: counters.unparsed_dropped[reason as usize].into(),
        };
        (reason.name().to_owned(), verdicts)
    };
    let attachment = slot.attachment.filter(|_| in_force.is_some());
    InterfaceSnapshot {
        name: slot.name,
        direction: slot.direction,
        mode: attachment.map(|attachment| attachment.mode),
        frags: attachment.is_some_and(|attachment| attachment.frags),
        generation: in_force.and_then(InForce::deciding),
        ipv4: Verdicts {
            passed: counters.passed_ipv4.into(),
            dropped: counters.dropped_ipv4.into(),
        },
        ipv6: Verdicts {
            passed: counters.passed_ipv6.into(),
            dropped: counters.dropped_ipv6.into(),
        },
        unparsed: Reason::ALL.into_iter().map(unparsed).collect(),
        not_confirmed: counters.not_confirmed.into(),
        lost_log: counters.lost_log,
        answers: answers.into(),
    }
}
