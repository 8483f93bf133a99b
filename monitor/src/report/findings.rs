//! What the checks of `monitor doctor` found in a period.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    facts::Facts,
    model::{Finding, Report},
    words::{first_of, plural, utc},
};
use crate::{clock::to_the_second, evidence::noted::Noted};

/// The most findings that a report lists.
const MOST: usize = 100;

/// The most findings that a sentence names.
const MOST_NAMED: usize = 4;

/// A finding, and the time of its first event.
type Open = (Timestamp, Noted);

/// Adds the findings of the period to the report. They are few: the latest come first into it.
pub(super) fn add(report: &mut Report, facts: &Facts) {
    let mut open: BTreeMap<(String, String), Open> = BTreeMap::new();
    let mut findings = Vec::new();
    let mut close = |(begin, noted): Open, until: Option<Timestamp>| {
        let ended = until.is_some_and(|until| until <= facts.since);
        if !ended && noted.check != Noted::LOOKED {
            findings.push(Finding {
                check: noted.check,
                status: noted.status,
                what: noted.what,
                since: to_the_second(noted.since.unwrap_or(begin)),
                until: until.map(to_the_second),
                accepted: noted.accepted,
            });
        }
    };
    for (at, noted) in &facts.findings {
        let key = noted.key();
        let before = open.remove(&key);
        let lasts =
            |(_, before): &Open| before.status == noted.status && before.accepted == noted.accepted;
        match before {
            Some(before) if lasts(&before) => drop(open.insert(key, before)),
            before => {
                if let Some(before) = before {
                    close(before, Some(*at));
                }
                if !noted.has_ended() {
                    open.insert(key, (*at, noted.clone()));
                }
            }
        }
    }
    for open in open.into_values() {
        close(open, None);
    }
    findings.sort_by(|a, b| (&a.since, &a.check, &a.what).cmp(&(&b.since, &b.check, &b.what)));
    let more = findings.len().saturating_sub(MOST);
    findings.drain(..more);
    report.findings = findings;
    report.more_findings = more as u64;
    let first = facts.findings.first().map(|(at, _)| to_the_second(*at));
    report.findings_since = first;
}

impl Finding {
    /// True if packets or evidence were not seen.
    pub(super) fn is_blind(&self) -> bool {
        self.status == Noted::BLIND
    }

    /// The status, with the operator's reason for accepting it.
    pub(super) fn status_text(&self) -> String {
        match &self.accepted {
            Some(reason) => format!("{}, accepted: {reason}", self.status),
            None => self.status.clone(),
        }
    }

    /// The end, or that there is none.
    pub(super) fn until_text(&self) -> String {
        self.until
            .as_ref()
            .map_or_else(|| "lasts".to_owned(), |until| utc(until))
    }

    /// The finding in words, with its times.
    pub(super) fn text(&self) -> String {
        let since = utc(&self.since);
        let until = self
            .until
            .as_ref()
            .map_or_else(String::new, |until| format!(" to {}", utc(until)));
        let accepted = self
            .accepted
            .as_ref()
            .map_or_else(String::new, |reason| format!(", accepted: {reason}"));
        format!(
            "{} ({}, from {since}{until}{accepted})",
            self.what, self.check
        )
    }
}

impl Report {
    fn blind_findings(&self) -> Vec<String> {
        let blind = self.findings.iter().filter(|finding| finding.is_blind());
        blind.map(Finding::text).collect()
    }

    /// A sentence that belongs to a count of zero; empty if every check saw everything.
    pub(super) fn zero_note(&self) -> String {
        if self.findings.iter().any(Finding::is_blind) {
            " This zero proves nothing about the paths that the gateway did not see in this period; the section on how the gateway watched lists them.".to_owned()
        } else {
            String::new()
        }
    }

    /// What the checks say about the limits of the report.
    pub(super) fn blindness(&self) -> Vec<String> {
        let mut all = Vec::new();
        let blind = self.blind_findings();
        if !blind.is_empty() {
            all.push(format!(
                "In this period the gateway knew of {} that it did not see: {}. The report does not show what passed there.",
                plural(blind.len() as u64, "path or part", "paths or parts"),
                first_of(&blind, MOST_NAMED)
            ));
        }
        let accepted = self
            .findings
            .iter()
            .filter(|finding| finding.is_blind() && finding.accepted.is_some());
        let accepted = accepted.count() as u64;
        if accepted > 0 {
            all.push(format!(
                "The operator accepted {} of these. What the operator accepts is not seen all the same.",
                plural(accepted, "finding", "findings")
            ));
        }
        let unknown = self
            .findings
            .iter()
            .filter(|finding| finding.status == "unknown");
        let unknown: Vec<String> = unknown.map(Finding::text).collect();
        if !unknown.is_empty() {
            all.push(format!(
                "Some checks could not look: {}. What they would have found is not known.",
                first_of(&unknown, MOST_NAMED)
            ));
        }
        match &self.findings_since {
            None => all.push("The store has no result of the checks of `monitor doctor`, so the report does not show which paths the gateway did not see.".to_owned()),
            Some(since) if *since > self.period.since && *since > self.attached_since() => {
                all.push(format!(
                    "The store knows what the checks of `monitor doctor` found only since {}.",
                    utc(since)
                ));
            }
            Some(_) => {}
        }
        all
    }

    /// Begin of the first attachment in the period, with a minute for the first look of the
    /// daemon.
    fn attached_since(&self) -> String {
        let first = self.coverage.first().and_then(|one| one.since.parse().ok());
        let first = first.and_then(|first: Timestamp| {
            first.checked_add(jiff::SignedDuration::from_mins(1)).ok()
        });
        first.map_or_else(String::new, to_the_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn event(second: i64, status: &str) -> (Timestamp, Noted) {
        let noted = Noted {
            since: (status != Noted::OK).then(|| at(second)),
            ..Noted::new("interface", "lan1", status, "lan1 has no filter")
        };
        (at(second), noted)
    }

    fn report(since: i64, until: i64, events: &[(Timestamp, Noted)]) -> Report {
        let facts = Facts {
            since: at(since),
            until: at(until),
            findings: events.to_vec(),
            ..Facts::default()
        };
        super::super::build(&facts)
    }

    #[test]
    fn a_finding_lasts_from_its_event_to_its_end() {
        let events = [event(100, "blind"), event(160, "blind"), event(500, "ok")];
        let one = report(200, 900, &events);
        assert_eq!(one.findings.len(), 1);
        assert_eq!(one.findings[0].since, to_the_second(at(100)));
        assert_eq!(one.findings[0].until, Some(to_the_second(at(500))));
        let text = one.does_not_show.join("\n");
        assert!(
            text.contains("lan1 has no filter (interface, from 1970"),
            "{text}"
        );
        assert!(report(600, 900, &events).findings.is_empty());
        assert_eq!(report(200, 400, &events[..2]).findings[0].until, None);
    }

    #[test]
    fn a_zero_beside_a_blind_check_says_so() {
        let blind = report(50, 900, &[event(100, "blind")]);
        assert!(
            blind.answer[0].contains("This zero proves nothing"),
            "{:?}",
            blind.answer
        );
        let degraded = report(50, 900, &[event(100, "degraded")]);
        assert!(
            !degraded.answer[0].contains("This zero"),
            "{:?}",
            degraded.answer
        );
        assert_eq!(degraded.findings.len(), 1);
    }

    #[test]
    fn an_acceptance_is_named_and_changes_nothing_else() {
        let mut accepted = event(100, "blind");
        accepted.1.accepted = Some("a test machine".to_owned());
        let text = report(50, 900, &[accepted]).does_not_show.join("\n");
        assert!(text.contains("accepted: a test machine"), "{text}");
        assert!(text.contains("The operator accepted 1 finding"), "{text}");
    }

    #[test]
    fn without_results_the_report_says_that_nothing_is_known() {
        let text = report(50, 900, &[]).does_not_show.join("\n");
        assert!(text.contains("no result of the checks"), "{text}");
        let looked = (
            at(40),
            Noted::new(Noted::LOOKED, "", Noted::OK, "18 findings"),
        );
        let text = report(50, 900, &[looked]).does_not_show.join("\n");
        assert!(!text.contains("checks of `monitor doctor`"), "{text}");
    }
}
