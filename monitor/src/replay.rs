//! The report of `monitor replay`: what a ruleset would have done to captured frames.
//! This module only adds up results. `datapath` runs the frames through the program in
//! the kernel.

use std::{collections::BTreeMap, fmt};

use comfy_table::{CellAlignment, Table, presets};
use monitor_common::Reason;
use serde::Serialize;

use crate::{
    compile::Ruleset,
    datapath::FrameOutcome,
    policy::{Action, MacAddress, PolicyName},
    snapshot::Answers,
};

/// The counts of one or more captures. Serialises to the output of `replay --json`.
/// Bytes are lengths on the wire, with the layer 2 header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplayReport {
    packets: u64,
    parsed: u64,
    /// Number of unparsed frames for every reason, even if it is zero.
    unparsed: BTreeMap<&'static str, u64>,
    /// Number of dropped frames among `unparsed`, for every reason, even if it is zero.
    unparsed_dropped: BTreeMap<&'static str, u64>,
    /// Dropped packets whose effective policy is a `reject`, by what would have come back.
    /// `None` if the policies have no `reject`.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<Answers>,
    /// Totals of every policy, even if they are zero.
    policies: BTreeMap<PolicyName, PolicyTotals>,
    /// Totals of every source MAC.
    devices: BTreeMap<MacAddress, DeviceTotals>,
    /// The names of the policies, by their index in outcomes.
    #[serde(skip)]
    names: Vec<PolicyName>,
}

/// Packets that one policy matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyTotals {
    /// The action of the policy.
    pub action: Action,
    /// The packets that it matched.
    #[serde(flatten)]
    pub matched: Matched,
}

/// Numbers of matched packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Matched {
    /// Packets that matched.
    pub packets: u64,
    /// Bytes of these packets.
    pub bytes: u64,
    /// Packets among them that were dropped, by this policy or another.
    pub dropped: u64,
}

/// Frames of one source MAC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeviceTotals {
    /// All its frames, matched or not.
    pub packets: u64,
    /// Bytes of these frames.
    pub bytes: u64,
    /// The policies that matched some of them, with the numbers.
    pub policies: BTreeMap<PolicyName, Matched>,
}

impl ReplayReport {
    /// Returns a report without frames, for the policies of `ruleset`.
    #[must_use]
    pub fn new(ruleset: &Ruleset) -> Self {
        let totals = |action| PolicyTotals {
            action,
            matched: Matched::default(),
        };
        let policies = ruleset.policies.iter();
        Self {
            packets: 0,
            parsed: 0,
            unparsed: no_frames(),
            unparsed_dropped: no_frames(),
            rejected: None,
            policies: policies
                .clone()
                .map(|policy| (policy.name.clone(), totals(policy.action)))
                .collect(),
            devices: BTreeMap::new(),
            names: policies.map(|policy| policy.name.clone()).collect(),
        }
    }

    /// Adds a frame of `wire_length` bytes. A frame that is too short for a source MAC
    /// belongs to no device.
    ///
    /// # Panics
    ///
    /// Panics if `outcome` names a policy that the ruleset does not have.
    pub fn record(
        &mut self,
        source_mac: Option<MacAddress>,
        wire_length: u32,
        outcome: &FrameOutcome,
    ) {
        let bytes = u64::from(wire_length);
        self.packets += 1;
        let mut device = source_mac.map(|mac| self.devices.entry(mac).or_default());
        if let Some(device) = &mut device {
            device.packets += 1;
            device.bytes += bytes;
        }
        match outcome {
            FrameOutcome::Unparsed { reason, dropped } => {
                *self.unparsed.entry(reason.name()).or_default() += 1;
                let of_dropped = self.unparsed_dropped.entry(reason.name()).or_default();
                *of_dropped += u64::from(*dropped);
            }
            FrameOutcome::Parsed { matched, dropped } => {
                self.parsed += 1;
                for &index in matched {
                    let name = &self.names[usize::from(index)];
                    if let Some(policy) = self.policies.get_mut(name) {
                        policy.matched.add(bytes, *dropped);
                    }
                    if let Some(device) = &mut device {
                        device
                            .policies
                            .entry(name.clone())
                            .or_default()
                            .add(bytes, *dropped);
                    }
                }
            }
        }
    }

    /// Sets what the program would have answered to all frames.
    pub fn set_rejected(&mut self, answers: Answers) {
        let mut policies = self.policies.values();
        self.rejected = policies
            .any(|policy| policy.action.answers())
            .then_some(answers);
    }

    /// Returns the number of all frames, parsed or not.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Returns the number of frames whose destination was looked up.
    #[must_use]
    pub fn parsed(&self) -> u64 {
        self.parsed
    }

    /// Returns the number of unparsed frames for every reason.
    #[must_use]
    pub fn unparsed(&self) -> &BTreeMap<&'static str, u64> {
        &self.unparsed
    }

    /// Returns the part of [`unparsed`](Self::unparsed) that was dropped.
    #[must_use]
    pub fn unparsed_dropped(&self) -> &BTreeMap<&'static str, u64> {
        &self.unparsed_dropped
    }

    /// Returns the totals of every policy of the ruleset.
    #[must_use]
    pub fn policies(&self) -> &BTreeMap<PolicyName, PolicyTotals> {
        &self.policies
    }

    /// Returns the totals of every source MAC.
    #[must_use]
    pub fn devices(&self) -> &BTreeMap<MacAddress, DeviceTotals> {
        &self.devices
    }
}

impl Matched {
    fn add(&mut self, bytes: u64, dropped: bool) {
        self.packets += 1;
        self.bytes += bytes;
        self.dropped += u64::from(dropped);
    }

    fn cells(self) -> [String; 3] {
        [self.packets, self.bytes, self.dropped].map(|number| number.to_string())
    }
}

/// Writes the report as tables for people: sorted, without escape sequences.
impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} packets, {} parsed", self.packets, self.parsed)?;
        for (reason, packets) in self.unparsed.iter().filter(|&(_, &packets)| packets > 0) {
            let dropped = match self.unparsed_dropped[reason] {
                0 => String::new(),
                dropped => format!(", {dropped} dropped"),
            };
            writeln!(f, "{packets} not parsed: {reason}{dropped}")?;
        }
        if let Some(rejected) = &self.rejected {
            writeln!(f, "{} rejected: {rejected}", rejected.packets())?;
        }
        if !self.policies.is_empty() {
            writeln!(f, "\n{}", self.policy_table().trim_fmt())?;
        }
        if !self.devices.is_empty() {
            writeln!(f, "\n{}", self.device_table().trim_fmt())?;
        }
        Ok(())
    }
}

impl ReplayReport {
    fn policy_table(&self) -> Table {
        let mut table = table(&["Policy", "Action", "Packets", "Bytes", "Dropped"], 2);
        for (name, totals) in &self.policies {
            let [packets, bytes, dropped] = totals.matched.cells();
            let action = totals.action.to_string();
            table.add_row([name.to_string(), action, packets, bytes, dropped]);
        }
        table
    }

    /// Returns a table that has, for each device, a row with all its frames and then a row
    /// for each policy.
    fn device_table(&self) -> Table {
        let mut table = table(&["Device", "Policy", "Packets", "Bytes", "Dropped"], 2);
        for (mac, device) in &self.devices {
            let frames = [device.packets, device.bytes].map(|number| number.to_string());
            let [packets, bytes] = frames;
            table.add_row([
                mac.to_string(),
                "(all frames)".to_owned(),
                packets,
                bytes,
                String::new(),
            ]);
            for (name, matched) in &device.policies {
                let [packets, bytes, dropped] = matched.cells();
                table.add_row([String::new(), name.to_string(), packets, bytes, dropped]);
            }
        }
        table
    }
}

/// Returns a map with zero for every reason.
fn no_frames() -> BTreeMap<&'static str, u64> {
    Reason::ALL
        .iter()
        .map(|reason| (reason.name(), 0))
        .collect()
}

/// Returns an empty table. Columns from index `first_number` on hold numbers.
fn table(header: &[&str], first_number: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.to_vec());
    for column in table.column_iter_mut().skip(first_number) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        compile::{PolicyIndex, RulesetPolicy},
        policy::EvidenceLevel,
    };

    const PHONE: MacAddress = MacAddress([0x64, 0xcc, 0x2e, 0x11, 0x22, 0x33]);
    const LAPTOP: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);

    fn ruleset() -> Ruleset {
        let policy = |name: &str, action| RulesetPolicy {
            allows_handshake: false,
            evidence: EvidenceLevel::default(),
            scope: 0,
            name: name.parse().unwrap(),
            action,
            prefixes: crate::snapshot::Prefixes::default(),
        };
        Ruleset {
            policies: vec![
                policy("a-count", Action::Count),
                policy("b-drop", Action::Drop),
                policy("c-allow", Action::Allow),
            ],
            ..Ruleset::default()
        }
    }

    fn parsed(matched: &[PolicyIndex], dropped: bool) -> FrameOutcome {
        FrameOutcome::Parsed {
            matched: matched.to_vec(),
            dropped,
        }
    }

    fn unparsed(reason: Reason, dropped: bool) -> FrameOutcome {
        FrameOutcome::Unparsed { reason, dropped }
    }

    fn report() -> ReplayReport {
        let mut report = ReplayReport::new(&ruleset());
        report.record(Some(PHONE), 100, &parsed(&[0, 1], true));
        report.record(Some(PHONE), 1500, &parsed(&[0], false));
        report.record(Some(PHONE), 42, &unparsed(Reason::NonIp, false));
        report.record(Some(PHONE), 146, &unparsed(Reason::VlanDepth, true));
        report.record(Some(LAPTOP), u32::MAX, &parsed(&[], false));
        report.record(None, 8, &unparsed(Reason::TruncatedEthernet, false));
        report
    }

    #[test]
    fn serialises_to_the_documented_schema() {
        let expected = json!({
            "packets": 6,
            "parsed": 3,
            "unparsed": {
                "non_ip": 1, "truncated_ethernet": 1, "vlan_depth": 1, "truncated_vlan": 0, "bad_pppoe": 0,
                "truncated_ipv4": 0, "bad_ipv4": 0, "truncated_ipv6": 0, "bad_ipv6": 0
            },
            "unparsed_dropped": {
                "non_ip": 0, "truncated_ethernet": 0, "vlan_depth": 1, "truncated_vlan": 0, "bad_pppoe": 0,
                "truncated_ipv4": 0, "bad_ipv4": 0, "truncated_ipv6": 0, "bad_ipv6": 0
            },
            "policies": {
                "a-count": {"action": "count", "packets": 2, "bytes": 1600, "dropped": 1},
                "b-drop": {"action": "drop", "packets": 1, "bytes": 100, "dropped": 1},
                "c-allow": {"action": "allow", "packets": 0, "bytes": 0, "dropped": 0}
            },
            "devices": {
                "02:00:00:00:00:01": {"packets": 1, "bytes": 4_294_967_295_u64, "policies": {}},
                "64:cc:2e:11:22:33": {"packets": 4, "bytes": 1788, "policies": {
                    "a-count": {"packets": 2, "bytes": 1600, "dropped": 1},
                    "b-drop": {"packets": 1, "bytes": 100, "dropped": 1}
                }}
            }
        });
        assert_eq!(serde_json::to_value(report()).unwrap(), expected);
    }

    #[test]
    fn every_frame_is_parsed_or_has_a_reason() {
        let report = report();
        assert_eq!(
            report.parsed() + report.unparsed().values().sum::<u64>(),
            report.packets()
        );
    }

    #[test]
    fn an_empty_ruleset_still_counts_devices() {
        let mut report = ReplayReport::new(&Ruleset::default());
        report.record(Some(PHONE), 60, &parsed(&[], false));
        assert_eq!(report.devices()[&PHONE].packets, 1);
        assert!(report.policies().is_empty());
    }

    #[test]
    fn the_table_is_sorted_and_complete() {
        let expected = "\
6 packets, 3 parsed
1 not parsed: non_ip
1 not parsed: truncated_ethernet
1 not parsed: vlan_depth, 1 dropped

 Policy   Action  Packets  Bytes  Dropped
 a-count  count         2   1600        1
 b-drop   drop          1    100        1
 c-allow  allow         0      0        0

 Device             Policy        Packets       Bytes  Dropped
 02:00:00:00:00:01  (all frames)        1  4294967295
 64:cc:2e:11:22:33  (all frames)        4        1788
                    a-count             2        1600        1
                    b-drop              1         100        1
";
        assert_eq!(report().to_string(), expected);
    }
}
