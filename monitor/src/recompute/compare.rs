//! Compares the report with what the replay recorded.

use std::collections::BTreeSet;

use super::{
    Replayed,
    figures::{Allowed, Counts, Figures, Known, Slack, Times},
    flows, marks,
    timeline::Timed,
};
use crate::{
    policy::{InvalidMacAddress, MacAddress},
    report::{Device, DevicePolicy, Facts, Other, Report, Sum, build},
    store::GroupSum,
};

/// A report, and what the replay recorded.
pub(super) struct Comparing<'a> {
    pub(super) report: &'a Report,
    /// The policy of the capture.
    pub(super) policy: &'a str,
    pub(super) replayed: &'a Replayed,
}

/// A device as the report names it.
pub(super) type Label<'a> = Option<&'a str>;

impl Comparing<'_> {
    /// Compares all figures. Returns what was not compared, and why.
    pub(super) fn all(&self, figures: &mut Figures) -> Vec<String> {
        let mut skipped = Vec::new();
        for device in &self.report.devices {
            self.device(device, figures);
        }
        self.missing_devices(figures);
        self.total(figures);
        self.policy_sums(figures);
        skipped.extend(flows::compare(self, figures));
        skipped.extend(marks::compare(self, figures));
        if !self.is_alone() {
            skipped.push(format!(
                "sums over all policies, and packets of other policies: the capture has only those that the policy {} matched",
                self.policy
            ));
        }
        skipped
    }

    /// The report that the replay gives for the period.
    pub(super) fn built(&self) -> Report {
        build(&self.replayed.exact)
    }

    /// The packets of the period, except those near its ends.
    pub(super) fn inner(&self) -> &Facts {
        &self.replayed.inner
    }

    /// The packets of the period and around it.
    pub(super) fn outer(&self) -> &Facts {
        &self.replayed.outer
    }

    /// Which packets of a figure with these times the capture must have.
    pub(super) fn known(&self, times: Times) -> Known {
        Known::of(&self.replayed.window, self.replayed.period.around, times)
    }

    /// The bounds of a figure of which the replay has two values.
    pub(super) fn allowed(known: Option<Known>, inner: u64, outer: u64) -> Allowed {
        Allowed {
            least: inner,
            most: known.is_none_or(Known::all).then_some(outer),
        }
    }

    /// True if every packet of the report is one of the capture's policy.
    fn is_alone(&self) -> bool {
        let of_devices = self
            .report
            .devices
            .iter()
            .flat_map(|device| &device.policies);
        let mut names = of_devices.map(|policy| policy.policy.as_str());
        let is_complete = self.report.more_devices == 0 && self.report.flows_left_out.flows == 0;
        let asked = self.report.period.policy.as_deref() == Some(self.policy);
        asked || (is_complete && names.all(|name| name == self.policy))
    }

    /// Why the store may have counted packets at other times than the capture does.
    pub(super) fn unclear_time(&self, slack: Slack) -> Option<String> {
        if !self.is_alone() {
            return Some("they are about packets of every policy".to_owned());
        }
        if self.report.more_marks > 0 || self.report.period.device.is_some() {
            return Some("the report does not list every mark of the period".to_owned());
        }
        if !self.whole().all() || self.inner().sums.groups != self.outer().sums.groups {
            return Some("packets came before or after the capture or the period".to_owned());
        }
        if slack != Slack::default() {
            return Some("packets are missing".to_owned());
        }
        let timed = self.replayed.seen.timed.values();
        let near = timed.map(Timed::uncertain).sum::<u64>() + self.replayed.seen.near_mark;
        (near > 0).then(|| {
            format!(
                "{near} packets came so near a mark or the end of an interval that they may count on either side"
            )
        })
    }

    /// Which packets the capture must have if the times of a figure are not known: those that
    /// the times of every device allow.
    pub(super) fn whole(&self) -> Known {
        let devices = self.report.devices.iter();
        let own = devices.flat_map(|device| &device.policies);
        let own = own.filter(|policy| policy.policy == self.policy && policy.sum.packets > 0);
        let none = Known {
            begin: false,
            end: false,
        };
        let known = own.map(|policy| {
            let times = Times::read(&policy.sum.first, &policy.sum.last);
            times.map_or(none, |times| self.known(times))
        });
        let is_listed = self.report.more_devices == 0;
        let listed = Known {
            begin: is_listed,
            end: is_listed,
        };
        let listed = known.fold(listed, |all, one| Known {
            begin: all.begin && one.begin,
            end: all.end && one.end,
        });
        Known {
            begin: listed.begin || self.replayed.window.since <= self.replayed.period.around.0,
            end: listed.end || self.replayed.window.until >= self.replayed.period.around.1,
        }
    }

    fn device(&self, device: &Device, figures: &mut Figures) {
        let label = device.device.as_deref();
        let name = label.unwrap_or("other devices");
        let only_own = device.policies.iter().all(|one| one.policy == self.policy);
        if only_own && !device.policies.is_empty() {
            let inner = device_sum(self.inner(), label);
            let outer = device_sum(self.outer(), label);
            self.sum(
                &format!("device {name}"),
                &device.sum,
                inner,
                outer,
                figures,
            );
        }
        let own = device
            .policies
            .iter()
            .filter(|one| one.policy == self.policy);
        for policy in own {
            self.device_policy(label, name, policy, figures);
        }
        let has_own = device.policies.iter().any(|one| one.policy == self.policy);
        if let Some(inner) = group(self.inner(), self.policy, label).filter(|_| !has_own) {
            Self::absent(
                &format!("device {name}, policy {}", self.policy),
                inner,
                figures,
            );
        }
    }

    fn device_policy(
        &self,
        label: Label<'_>,
        name: &str,
        policy: &DevicePolicy,
        figures: &mut Figures,
    ) {
        let path = format!("device {name}, policy {}", self.policy);
        let of = |facts| group(facts, self.policy, label);
        self.sum(
            &path,
            &policy.sum,
            of(self.inner()),
            of(self.outer()),
            figures,
        );
        self.timeline(&path, label, policy, figures);
        for other in &policy.others {
            self.other(&path, label, other, figures);
        }
        let own = named(label).ok();
        let others = |facts: &Facts| {
            let all = groups(facts, self.policy);
            all.filter(|group| Some(group.device) != own).count() as u64
        };
        let allowed = Self::allowed(
            Some(self.whole()),
            others(self.inner()),
            others(self.outer()),
        );
        let reported = (policy.others.len() as u64).saturating_add(policy.more_others);
        figures.number(
            || format!("{path}, other devices"),
            reported,
            allowed,
            Counts::Packets,
        );
    }

    fn other(&self, path: &str, label: Label<'_>, other: &Other, figures: &mut Figures) {
        let beside = other.device.as_deref();
        let path = format!("{path}, beside it {}", beside.unwrap_or("other devices"));
        let of = |facts| group(facts, self.policy, beside);
        self.sum(
            &path,
            &other.sum,
            of(self.inner()),
            of(self.outer()),
            figures,
        );
        let policy = self.policy.parse().ok();
        let pair = policy.zip(named(label).ok()).zip(named(beside).ok());
        let shared = |facts: &Facts| {
            let pair = pair.clone().map(|((policy, one), two)| (policy, one, two));
            let found = pair.and_then(|pair| facts.sums.shared.get(&pair).copied());
            found.unwrap_or(0)
        };
        let allowed = Self::allowed(
            Some(self.whole()),
            shared(self.inner()),
            shared(self.outer()),
        );
        figures.number(
            || format!("{path}, shared networks"),
            other.shared_networks,
            allowed,
            Counts::Packets,
        );
    }

    /// Compares sums. A device or flow that the replay does not have has no packets there.
    pub(super) fn sum(
        &self,
        path: &str,
        reported: &Sum,
        inner: Option<&GroupSum>,
        outer: Option<&GroupSum>,
        figures: &mut Figures,
    ) {
        let times = Times::read(&reported.first, &reported.last);
        if times.is_none() && reported.packets > 0 {
            figures.differs(format!("{path}: the times of its packets cannot be read."));
        }
        let known = times.map(|times| self.known(times));
        let numbers = [
            ("packets", Counts::Packets, reported.packets, packets as Of),
            ("bytes", Counts::Bytes, reported.bytes, bytes as Of),
            (
                "dropped packets",
                Counts::Packets,
                reported.dropped,
                dropped as Of,
            ),
            (
                "destinations",
                Counts::Packets,
                reported.destinations,
                destinations as Of,
            ),
            (
                "further destinations",
                Counts::Packets,
                u64::from(reported.more_destinations),
                others as Of,
            ),
        ];
        for (what, counts, reported, of) in numbers {
            let (inner, outer) = (inner.map_or(0, of), outer.map_or(0, of));
            let allowed = Self::allowed(known, inner, outer);
            figures.number(|| format!("{path}, {what}"), reported, allowed, counts);
        }
        if let (Some(times), Some(known)) = (times, known) {
            let of = |group: &GroupSum| Times {
                first: group.first,
                last: group.last,
            };
            figures.times(
                || path.to_owned(),
                times,
                (inner.map(of), outer.map(of)),
                known,
            );
        }
    }

    /// Names packets that the report must have, and does not have.
    fn absent(path: &str, inner: &GroupSum, figures: &mut Figures) {
        let allowed = Allowed {
            least: packets(inner),
            most: Some(packets(inner)),
        };
        figures.number(|| format!("{path}, packets"), 0, allowed, Counts::Packets);
    }

    /// Devices of the capture that the report must have, and does not have.
    fn missing_devices(&self, figures: &mut Figures) {
        if self.report.more_devices > 0 {
            return;
        }
        let listed: BTreeSet<Label<'_>> = self
            .report
            .devices
            .iter()
            .map(|device| device.device.as_deref())
            .collect();
        for inner in groups(self.inner(), self.policy) {
            let label = inner.device.map(|mac| mac.to_string());
            if !listed.contains(&label.as_deref()) {
                let name = label.as_deref().unwrap_or("other devices");
                Self::absent(
                    &format!("device {name}, policy {}", self.policy),
                    inner,
                    figures,
                );
            }
        }
    }

    fn total(&self, figures: &mut Figures) {
        if !self.is_alone() {
            return;
        }
        let reported = &self.report.total;
        let (inner, outer) = (build(self.inner()).total, build(self.outer()).total);
        let known = Some(self.whole());
        for (what, counts, reported, inner, outer) in [
            (
                "devices",
                Counts::Packets,
                reported.devices,
                inner.devices,
                outer.devices,
            ),
            (
                "packets",
                Counts::Packets,
                reported.packets,
                inner.packets,
                outer.packets,
            ),
            (
                "bytes",
                Counts::Bytes,
                reported.bytes,
                inner.bytes,
                outer.bytes,
            ),
            (
                "dropped packets",
                Counts::Packets,
                reported.dropped,
                inner.dropped,
                outer.dropped,
            ),
        ] {
            let allowed = Self::allowed(known, inner, outer);
            figures.number(|| format!("all devices, {what}"), reported, allowed, counts);
        }
    }

    /// The sums of the policy over all devices.
    fn policy_sums(&self, figures: &mut Figures) {
        let own = self
            .report
            .policies
            .iter()
            .filter(|one| one.policy == self.policy);
        let sum = |facts: &Facts, of: Of| groups(facts, self.policy).map(of).sum::<u64>();
        for coverage in own {
            for (what, reported, of) in [
                ("packets", coverage.packets, packets as Of),
                ("dropped packets", coverage.dropped, dropped as Of),
            ] {
                let (inner, outer) = (sum(self.inner(), of), sum(self.outer(), of));
                let allowed = Self::allowed(Some(self.whole()), inner, outer);
                let name = || format!("policy {}, {what}", self.policy);
                figures.number(name, reported, allowed, Counts::Packets);
            }
        }
    }
}

type Of = fn(&GroupSum) -> u64;

fn packets(group: &GroupSum) -> u64 {
    group.passed.packets + group.dropped.packets
}

fn bytes(group: &GroupSum) -> u64 {
    group.passed.bytes + group.dropped.bytes
}

fn dropped(group: &GroupSum) -> u64 {
    group.dropped.packets
}

fn destinations(group: &GroupSum) -> u64 {
    group.destinations
}

fn others(group: &GroupSum) -> u64 {
    u64::from(group.has_other_destinations)
}

/// The device that a report names so; `None` for all devices beyond the limits of the store.
fn named(label: Label<'_>) -> Result<Option<MacAddress>, InvalidMacAddress> {
    label.map(str::parse).transpose()
}

fn groups<'a>(facts: &'a Facts, policy: &'a str) -> impl Iterator<Item = &'a GroupSum> {
    let all = facts.sums.groups.iter();
    all.filter(move |group| {
        group
            .policy
            .as_ref()
            .is_some_and(|own| own.as_str() == policy)
    })
}

fn group<'a>(facts: &'a Facts, policy: &'a str, label: Label<'_>) -> Option<&'a GroupSum> {
    let device = named(label).ok()?;
    groups(facts, policy).find(|group| group.device == device)
}

fn device_sum<'a>(facts: &'a Facts, label: Label<'_>) -> Option<&'a GroupSum> {
    let device = named(label).ok()?;
    facts.sums.devices.iter().find(|sum| sum.device == device)
}
