//! The runtime overlay: changes that commands make, on top of files and
//! overlays. A change lasts for some time, or until a command undoes it.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Action, Device, Diagnostic, Diagnostics, EvidenceLevel, Moment, PolicyName, Scope, SinceBoot,
    SourcePlace,
    by_command::{ByCommand, Pause},
    destinations::Destinations,
    diagnostic::near_miss,
    model::{CurrentEffect, Policy},
};
use crate::address::Destination;

/// One change that a command made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeChange {
    /// What it does.
    pub effect: Effect,
    /// Devices that the change applies to, sorted; empty: every device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// The devices as the operator typed them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// When the command was given.
    pub since: Timestamp,
    /// When the change ends; `None`: only when a command undoes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<ChangeEnd>,
    /// The operator's reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The effect of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// The policy has no effect.
    Pause(PolicyName),
    /// Packets to these addresses are dropped.
    Block(Destination),
    /// Packets to these addresses are dropped and answered.
    Reject(Destination),
    /// Packets to these addresses pass.
    Allow(Destination),
    /// Packets to these two addresses are counted: the frames of `doctor --canary`.
    Canary {
        /// The IPv4 address.
        ipv4: Destination,
        /// The IPv6 address.
        ipv6: Destination,
    },
}

/// When a change ends, on two clocks: the wall clock, which may be set, and the
/// time since boot, which is never set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeEnd {
    /// The wall-clock time of the end, as computed when the command was given.
    pub at: Timestamp,
    /// The end in time since boot. It takes precedence until the machine
    /// restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_boot: Option<SinceBoot>,
}

/// All current changes, in the order in which the commands were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeOverlay {
    /// The file that stores the changes, one on each line.
    pub file: PathBuf,
    /// The changes. No two are the same apart from their times and reasons.
    pub changes: Vec<RuntimeChange>,
}

impl ChangeEnd {
    /// The end of a change that begins at `moment` and lasts for `length`.
    #[must_use]
    pub fn after(moment: &Moment, length: SignedDuration) -> Self {
        let milliseconds = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
        Self {
            at: moment.at.saturating_add(length).unwrap_or(Timestamp::MAX),
            since_boot: moment.since_boot.map(|now| SinceBoot {
                milliseconds: now.milliseconds.saturating_add(milliseconds),
                ..now
            }),
        }
    }

    /// The wall-clock time of the end, corrected for changes of the clock since
    /// the command was given.
    #[must_use]
    pub fn by_clock(&self, moment: &Moment) -> Timestamp {
        let left = self.left(moment).map(SignedDuration::from_millis);
        let measured = left.and_then(|left| moment.at.checked_add(left).ok());
        measured.unwrap_or(self.at)
    }

    /// Milliseconds until the end by the time since boot; `None` if that is not
    /// known or the machine has restarted.
    fn left(&self, moment: &Moment) -> Option<i64> {
        let (end, now) = (self.since_boot?, moment.since_boot?);
        let left = end.milliseconds.saturating_sub(now.milliseconds);
        (end.boot == now.boot).then_some(left)
    }
}

impl Effect {
    /// True for the policy of `doctor --canary`.
    #[must_use]
    pub const fn is_canary(&self) -> bool {
        matches!(self, Self::Canary { .. })
    }

    /// The command's verb and its object, as they are typed.
    #[must_use]
    pub fn command(&self) -> String {
        match self {
            Self::Pause(policy) => format!("pause {policy}"),
            Self::Block(destination) => format!("block {destination}"),
            Self::Reject(destination) => format!("block --reject {destination}"),
            Self::Allow(destination) => format!("allow {destination}"),
            Self::Canary { .. } => "doctor --canary".to_owned(),
        }
    }
}

impl fmt::Display for RuntimeChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.effect.command())?;
        match &self.device {
            Some(device) => write!(f, " for {device}"),
            None => Ok(()),
        }
    }
}

impl RuntimeChange {
    /// True if the two changes differ only in their times and reasons.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.effect == other.effect && self.devices == other.devices
    }

    /// True if the change has ended at `moment`.
    #[must_use]
    pub fn has_ended(&self, moment: &Moment) -> bool {
        let ends = self.ends.as_ref();
        ends.is_some_and(|end| end.by_clock(moment) <= moment.at)
    }

    /// True if the end can be trusted: the clock is synchronised, the end is
    /// measured in time since boot, or there is no end. Without this, a change
    /// that opens the filter does not take effect.
    #[must_use]
    pub fn end_is_known(&self, moment: &Moment) -> bool {
        let ends = self.ends.as_ref();
        ends.is_none_or(|end| moment.clock_synchronised || end.left(moment).is_some())
    }

    /// The name of the policy that the change pauses or creates. A created name
    /// is a hash of destination and devices alone, so that counters continue if
    /// the same command is given again.
    #[must_use]
    pub fn policy(&self) -> PolicyName {
        let (verb, destination) = match &self.effect {
            Effect::Pause(policy) => return policy.clone(),
            Effect::Block(destination) => ("block", destination),
            Effect::Reject(destination) => ("reject", destination),
            Effect::Allow(destination) => ("allow", destination),
            // Every canary has the same name, so that it takes one slot for ever.
            Effect::Canary { .. } => return PolicyName::canary(),
        };
        let mut text = destination.to_string();
        for device in &self.devices {
            text.push('\n');
            text.push_str(&device.to_string());
        }
        let hash = blake3::hash(text.as_bytes()).to_hex();
        let name = format!("{}{verb}-{}", PolicyName::OF_COMMANDS, &hash[..8]);
        name.parse()
            .unwrap_or_else(|_| unreachable!("letters, digits, a dot and a hyphen"))
    }

    fn made(&self, file: &Arc<Path>, line: u32, moment: &Moment) -> Option<Policy> {
        let (action, destinations) = match self.effect {
            Effect::Pause(_) => return None,
            Effect::Block(destination) => (Action::Drop, vec![destination]),
            Effect::Reject(destination) => (Action::Reject, vec![destination]),
            Effect::Allow(destination) => (Action::Allow, vec![destination]),
            Effect::Canary { ipv4, ipv6 } => (Action::Count, vec![ipv4, ipv6]),
        };
        let is_canary = self.effect.is_canary();
        let (mut ipv4, mut ipv6) = (Destinations::default(), Destinations::default());
        for destination in destinations {
            match destination {
                Destination::Ipv4(interval) => ipv4.add(interval, line),
                Destination::Ipv6(interval) => ipv6.add(interval, line),
            }
        }
        Some(Policy {
            name: self.policy(),
            action,
            enabled: true,
            description: self.reason.clone(),
            observed: None,
            about: None,
            references: Vec::new(),
            scope: Scope {
                devices: self.devices.clone(),
                ..Scope::default()
            },
            schedule: None,
            expires: self.ends.map(|end| end.by_clock(moment)),
            by_command: ByCommand {
                made_by: Some(self.effect.command()),
                end_is_measured: self.end_is_known(moment),
                pauses: Vec::new(),
            },
            now: CurrentEffect::default(),
            scope_now: None,
            place: SourcePlace::file_only(file),
            files: vec![Arc::clone(file)],
            ipv4,
            ipv6,
            derives: !is_canary,
            // Its frames are no contacts of a device.
            evidence: if is_canary {
                EvidenceLevel::Counters
            } else {
                EvidenceLevel::default()
            },
            allow_handshake: false,
            changed: None,
            accepted: Vec::new(),
        })
    }
}

impl RuntimeOverlay {
    /// Largest number of changes at the same time.
    pub const MAX_CHANGES: usize = 1000;

    /// Removes the changes that have ended, and returns them.
    pub fn remove_ended(&mut self, moment: &Moment) -> Vec<RuntimeChange> {
        let ended = |change: &mut RuntimeChange| change.has_ended(moment);
        self.changes.extract_if(.., ended).collect()
    }

    /// Applies the changes of this overlay to `policies`, after the effects of an earlier
    /// overlay are removed. Sorts the policies by name. Returns a warning for each pause of
    /// a policy that no longer exists.
    pub fn put_on(&self, policies: &mut Vec<Policy>, moment: &Moment) -> Diagnostics {
        let mut out = Diagnostics::default();
        policies.retain(|policy| policy.by_command.made_by.is_none());
        for policy in &mut *policies {
            policy.by_command.pauses.clear();
        }
        let standing = self.changes.iter().zip(1..);
        for (change, line) in standing.filter(|(change, _)| !change.has_ended(moment)) {
            if let Some(pause) = self.pause(change, line, moment) {
                let name = change.policy();
                match policies.iter_mut().find(|policy| policy.name == name) {
                    Some(policy) => policy.by_command.pauses.push(pause),
                    None => out.push(no_policy(change, &self.file)),
                }
            }
        }
        let file: Arc<Path> = self.file.as_path().into();
        let made = self.changes.iter().zip(1..);
        policies.extend(made.filter_map(|(change, line)| change.made(&file, line, moment)));
        policies.sort_by(|a, b| a.name.cmp(&b.name));
        for policy in policies {
            policy.set_now(moment);
        }
        out
    }

    /// True if a change waits for a synchronised clock.
    #[must_use]
    pub fn waits_for_clock(&self, moment: &Moment) -> bool {
        let mut changes = self.changes.iter();
        changes.any(|change| !change.end_is_known(moment))
    }

    fn pause(&self, change: &RuntimeChange, line: usize, moment: &Moment) -> Option<Pause> {
        let Effect::Pause(_) = change.effect else {
            return None;
        };
        change.end_is_known(moment).then(|| Pause {
            devices: change.devices.clone(),
            device: change.device.clone(),
            until: change
                .ends
                .map_or(Timestamp::MAX, |end| end.by_clock(moment)),
            reason: change.reason.clone(),
            source: format!("{}:{line}", crate::printable::path(&self.file)),
        })
    }
}

/// The name of one of `policies` that `name` most likely misspells.
#[must_use]
pub fn closest_policy(name: &PolicyName, policies: &[Policy]) -> Option<PolicyName> {
    let names: Vec<&str> = policies.iter().map(|policy| policy.name.as_str()).collect();
    near_miss(name.as_str(), &names)?.parse().ok()
}

fn no_policy(change: &RuntimeChange, file: &Path) -> Diagnostic {
    Diagnostic::warning(
        SourcePlace::file_only(file),
        format!("`{change}` has no effect: there is no such policy any more"),
        format!("undo it: `monitor {} --undo`", change.effect.command()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: [u8; 16] = [7; 16];

    fn moment(at: &str, boot: [u8; 16], milliseconds: i64) -> Moment {
        Moment {
            at: at.parse().unwrap(),
            clock_synchronised: false,
            since_boot: Some(SinceBoot { boot, milliseconds }),
        }
    }

    fn change(effect: Effect, devices: &[&str], ends: Option<ChangeEnd>) -> RuntimeChange {
        let devices = devices.iter().map(|text| (*text).to_owned());
        RuntimeChange {
            effect,
            devices: devices.map(|text| text.try_into().unwrap()).collect(),
            device: None,
            since: "2026-01-01T00:00:00Z".parse().unwrap(),
            ends,
            reason: None,
        }
    }

    fn block(devices: &[&str], ends: Option<ChangeEnd>) -> RuntimeChange {
        change(
            Effect::Block("198.51.100.7".parse().unwrap()),
            devices,
            ends,
        )
    }

    #[test]
    fn a_clock_that_is_set_does_not_move_an_end() {
        let asked = moment("2026-01-01T00:00:00Z", BOOT, 1_000);
        let change = block(
            &[],
            Some(ChangeEnd::after(&asked, SignedDuration::from_mins(10))),
        );
        let minute = 60_000;
        // The clock is set years ahead and back; the change still lasts ten
        // minutes.
        for clock in ["2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z"] {
            let before = moment(clock, BOOT, 1_000 + 9 * minute);
            assert!(!change.has_ended(&before), "{clock}");
            let end = change.ends.unwrap().by_clock(&before);
            assert_eq!(before.at.duration_until(end), SignedDuration::from_mins(1));
            assert!(change.has_ended(&moment(clock, BOOT, 1_000 + 10 * minute)));
            assert!(change.end_is_known(&before));
        }
    }

    #[test]
    fn after_another_start_the_clock_decides() {
        let asked = moment("2026-01-01T00:00:00Z", BOOT, 1_000);
        let change = block(
            &[],
            Some(ChangeEnd::after(&asked, SignedDuration::from_mins(10))),
        );
        let other = [8; 16];
        let before = moment("2026-01-01T00:09:59Z", other, 900_000);
        assert!(!change.has_ended(&before));
        assert!(!change.end_is_known(&before));
        assert!(change.has_ended(&moment("2026-01-01T00:10:00Z", other, 1)));
    }

    #[test]
    fn what_opens_the_filter_waits_for_the_clock_and_what_closes_it_does_not() {
        let asked = moment("2026-01-01T00:00:00Z", BOOT, 1_000);
        let ends = Some(ChangeEnd::after(&asked, SignedDuration::from_mins(10)));
        let effects = [
            Effect::Block("198.51.100.7".parse().unwrap()),
            Effect::Allow("198.51.100.8".parse().unwrap()),
        ];
        let overlay = RuntimeOverlay {
            changes: effects
                .into_iter()
                .map(|effect| change(effect, &[], ends))
                .collect(),
            ..RuntimeOverlay::default()
        };
        let active = |moment: &Moment| {
            let mut policies = Vec::new();
            assert!(!overlay.put_on(&mut policies, moment).has_errors());
            let active = policies.iter().filter(|policy| policy.is_active());
            active.map(Policy::action).collect::<Vec<Action>>()
        };
        let started_anew = moment("2026-01-01T00:01:00Z", [8; 16], 5);
        assert_eq!(active(&asked), [Action::Allow, Action::Drop]);
        assert_eq!(active(&started_anew), [Action::Drop]);
        assert!(overlay.waits_for_clock(&started_anew));
        let synchronised = Moment {
            clock_synchronised: true,
            ..started_anew
        };
        assert_eq!(active(&synchronised), [Action::Allow, Action::Drop]);
    }

    #[test]
    fn the_same_block_has_the_same_name_and_others_have_others() {
        let same = block(&["02:00:00:00:00:01"], None);
        let asked = moment("2026-01-01T00:00:00Z", BOOT, 1_000);
        let later = RuntimeChange {
            ends: Some(ChangeEnd::after(&asked, SignedDuration::from_mins(1))),
            reason: Some("again".to_owned()),
            ..same.clone()
        };
        assert!(same.is_same(&later));
        assert_eq!(same.policy(), later.policy());
        let other = block(&["02:00:00:00:00:02"], None);
        assert!(!same.is_same(&other));
        assert_ne!(same.policy(), other.policy());
        assert!(same.policy().as_str().starts_with("runtime.block-"));
    }
}
