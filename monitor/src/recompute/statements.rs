//! What the comparison found, as statements.

use super::{
    Reasons,
    figures::Figures,
    file::{Subject, Window},
    policies::{Found, InForce},
    replay::Seen,
};
use jiff::Timestamp;

use crate::{
    capture::CaptureError,
    clock::to_the_second,
    datapath::program_sha256,
    error_text::error_text,
    evidence::captured::Captured,
    policy::PolicyName,
    report::{Report, Status, Verification},
};

/// Figures that no capture gives.
const NEVER: &str = "Not computed again, because a capture does not have it: when the filter was attached, the clock, losses, vendors, host names, addresses and models of devices, and whose range an address is in.";

/// Adds statements to a verification.
pub(super) struct Findings<'a> {
    found: &'a mut Verification,
}

impl<'a> Findings<'a> {
    pub(super) fn new(found: &'a mut Verification) -> Self {
        Self { found }
    }

    pub(super) fn redacted(&mut self) {
        self.found.push(
            Status::Unknown,
            "The report is redacted: its pseudonyms cannot be compared with the devices of a capture. Ask for the report before redaction.",
        );
    }

    pub(super) fn nothing_recomputed(&mut self) {
        self.found
            .push(Status::Unknown, "No figure was computed again.");
    }

    /// Compares the programs of the report with the one that replays.
    pub(super) fn program(&mut self, report: &Report) {
        let own = program_sha256();
        let mut others = report.program.iter().filter(|one| one.sha256 != own);
        if let Some(other) = others.next() {
            self.found.push(
                Status::Unknown,
                format!(
                    "Whether the same kernel program gives these figures: a program with the SHA-256 {}, of version {}, recorded them, and this is another one, with the SHA-256 {own}. Install that version, or figures may differ.",
                    other.sha256, other.version
                ),
            );
        } else if report.program.is_empty() {
            self.found.push(
                Status::Unknown,
                "The report does not say which kernel program recorded its figures.",
            );
        } else {
            self.found.push(
                Status::Holds,
                format!(
                    "This program has the kernel program that recorded the figures: SHA-256 {own}."
                ),
            );
        }
    }

    /// Writes the sentences of the report again.
    pub(super) fn sentences(&mut self, report: &Report) {
        let version = env!("CARGO_PKG_VERSION");
        let mut programs = report.program.iter();
        if report.program.is_empty() || programs.any(|one| one.version != version) {
            self.found.push(
                Status::Unknown,
                "The sentences of the report were not written again: another version wrote them.",
            );
            return;
        }
        let own = report.restated();
        let parts = [
            ("answer", &report.answer, &own.answer),
            ("section on what the data show", &report.shows, &own.shows),
            (
                "section on what the data do not show",
                &report.does_not_show,
                &own.does_not_show,
            ),
        ];
        let differing = parts.iter().filter(|(_, reported, own)| reported != own);
        let mut is_same = true;
        for (name, ..) in differing {
            is_same = false;
            self.found.push(
                Status::Changed,
                format!(
                    "The sentences of the {name} do not follow from the figures of the report."
                ),
            );
        }
        if is_same {
            self.found.push(
                Status::Holds,
                "The sentences of the report follow from its figures.",
            );
        }
    }

    /// Looks for the capture in the log. Returns what the log says about it. `times` are those of
    /// some packets of the file.
    pub(super) fn hash(
        &mut self,
        sha256: &str,
        times: &[Timestamp],
        logged: Option<&[Captured]>,
    ) -> Option<Captured> {
        let captures = logged.unwrap_or_default();
        let is_own = |one: &&Captured| {
            one.sha256
                .as_deref()
                .is_some_and(|logged| logged.eq_ignore_ascii_case(sha256))
        };
        if let Some(own) = captures.iter().find(is_own) {
            self.found.push(
                Status::Holds,
                format!("The log in this report says that the gateway wrote this capture: {own}."),
            );
            return Some(own.clone());
        }
        let hashed = captures.iter().filter(|one| one.sha256.is_some());
        match hashed.count() {
            0 => self.found.push(
                Status::Unknown,
                format!(
                    "Whether the gateway wrote this capture, whose SHA-256 is {sha256}: the report carries no line of the log about a capture. A report whose period ends after the capture, without --policy, carries it."
                ),
            ),
            number if times.is_empty() || times.iter().any(|time| is_during(captures, *time)) => {
                self.found.push(
                    Status::Changed,
                    format!(
                        "The log in this report names {number} captures of this time, and none has the SHA-256 of this file, {sha256}: the file was changed, or another program wrote it."
                    ),
                );
            }
            _ => self.found.push(
                Status::Unknown,
                format!(
                    "Whether the gateway wrote this capture, whose SHA-256 is {sha256}: the log in this report names captures of other times only. A report has the line of a capture that ended in its period."
                ),
            ),
        }
        None
    }

    /// States where the policies come from.
    pub(super) fn policies(&mut self, rulesets: &[InForce]) {
        if rulesets.is_empty() {
            self.found.push(
                Status::Unknown,
                "The report names no ruleset, so it is unknown which policies were in force.",
            );
        }
        for InForce { since, hash, found } in rulesets {
            let (status, text) = match found {
                Found::InReport(_) => (
                    Status::Holds,
                    format!(
                        "The policies in the report have the checksum (64 bits) of the ruleset {hash}."
                    ),
                ),
                Found::Given(_) => (
                    Status::Holds,
                    format!(
                        "The policies of --policies have the checksum (64 bits) of the ruleset {hash}."
                    ),
                ),
                Found::Other(own) => (
                    Status::Unknown,
                    format!(
                        "The policies of --policies have the hash {own}, and the report names the ruleset {hash}: they are other policies, or lists and settings differ."
                    ),
                ),
                Found::Unusable(why) => (
                    Status::Unknown,
                    format!("The policies of --policies cannot be used: {why}"),
                ),
                Found::Missing => (
                    Status::Unknown,
                    format!(
                        "The policies in the report do not have the hash of the ruleset {hash}: the report lists only some of their networks, the gateway has NAT64 prefixes in its config file, or the text was changed. Give the policies with --policies, and the config file with --config."
                    ),
                ),
            };
            self.found.push(status, text);
            if found.ruleset().is_none() && rulesets.len() > 1 {
                self.found.push(
                    Status::Unknown,
                    format!("Packets from {since} on, under the ruleset {hash}, were not run."),
                );
            }
        }
    }

    pub(super) fn another_policy(&mut self, policy: &PolicyName) {
        self.found.push(
            Status::Unknown,
            format!(
                "No figure was computed again: the capture has packets of the policy {policy}, and the report is about another one."
            ),
        );
    }

    pub(super) fn damaged(&mut self, error: &CaptureError) {
        self.found.push(
            Status::Changed,
            format!(
                "The capture is damaged, so no figure was computed again: {}.",
                error_text(error)
            ),
        );
    }

    /// States which packets the capture has, and how many do not fit.
    pub(super) fn capture(&mut self, subject: &Subject, window: &Window, seen: &Seen) {
        let kind = if subject.payload {
            "whole frames"
        } else {
            "headers only"
        };
        let [since, until] = [window.since, window.until].map(to_the_second);
        self.found.push(
            Status::Holds,
            format!(
                "The capture has {} packets of the policy {}, {kind}, from {since} to {until}. They were run through the kernel program.",
                seen.packets, subject.policy
            ),
        );
        if seen.not_matched > 0 {
            self.found.push(
                Status::Changed,
                format!(
                    "{} packets of the capture do not match the policy {}: they were added or changed, or the gateway had other policies.",
                    seen.not_matched, subject.policy
                ),
            );
        }
        if seen.other_verdict > 0 {
            self.found.push(
                Status::Changed,
                format!(
                    "The comments of {} packets state another verdict than the kernel program gives: they were changed, or the gateway had other policies.",
                    seen.other_verdict
                ),
            );
        }
    }

    /// States how many packets the report need not have, because it says that it was made before
    /// they came.
    pub(super) fn not_required(&mut self, last: Timestamp, packets: u64) {
        self.found.push(
            Status::Unknown,
            format!(
                "The report says that it was made soon after {}, before the end of its period. So its figures need not have {packets} packets of the capture that came then or within a second of the begin.",
                to_the_second(last)
            ),
        );
    }

    /// States why figures may differ although nothing was changed.
    pub(super) fn reasons(&mut self, reasons: Reasons) {
        let Reasons {
            lost,
            not_recorded,
            full,
            unsure,
        } = reasons;
        let limits = [
            (
                lost,
                "packets were lost by the capture: figures of the report may be higher by that",
            ),
            (
                full,
                "packets found no room in the replay: figures of the report may be higher by that",
            ),
            (
                not_recorded,
                "packets were not recorded, as the report states: its figures may be lower by that",
            ),
            (
                unsure,
                "packets came near a change of the ruleset, or under a ruleset that is not known: figures may differ by that",
            ),
        ];
        for (packets, text) in limits.into_iter().filter(|(packets, _)| *packets > 0) {
            self.found
                .push(Status::Unknown, format!("{packets} {text}."));
        }
    }

    /// States which figures agree, which differ, and which were not compared.
    pub(super) fn figures(
        &mut self,
        report: &Report,
        figures: &Figures,
        skipped: &[String],
        policy: &str,
    ) {
        // Another program may count in another way.
        let own = program_sha256();
        let is_own = report.program.iter().all(|one| one.sha256 == own);
        let differs = if is_own {
            Status::Changed
        } else {
            Status::Unknown
        };
        for text in &figures.differing {
            self.found.push(differs, text.clone());
        }
        if figures.more_differing > 0 {
            self.found.push(
                differs,
                format!("{} further figures differ.", figures.more_differing),
            );
        }
        if figures.differing.is_empty() && figures.agreeing() == 0 {
            self.nothing_recomputed();
        }
        if figures.equal > 0 {
            self.found.push(
                Status::Holds,
                format!(
                    "{} figures about the policy {policy} were computed again, and are equal.",
                    figures.equal
                ),
            );
        }
        if figures.between > 0 {
            self.found.push(
                Status::Holds,
                format!(
                    "{} figures lie between the bounds that the capture gives: packets came near the ends of the period or of an interval, or packets are missing.",
                    figures.between
                ),
            );
        }
        if figures.at_least > 0 {
            self.found.push(
                Status::Unknown,
                format!(
                    "{} figures are not lower than the capture gives. Whether they are too high is unknown: they have packets before or after the capture.",
                    figures.at_least
                ),
            );
        }
        for what in skipped {
            self.found
                .push(Status::Unknown, format!("Not computed again: {what}."));
        }
        self.found.push(Status::Unknown, NEVER);
    }
}

/// True if a capture with a hash had begun at this time, and had not ended.
fn is_during(captures: &[Captured], time: Timestamp) -> bool {
    captures.iter().any(|one| {
        let [since, until] = [&one.since, &one.until].map(|text| text.parse::<Timestamp>());
        one.sha256.is_some()
            && since.is_ok_and(|since| since <= time)
            && until.is_ok_and(|until| time <= until)
    })
}

#[cfg(test)]
mod tests;
