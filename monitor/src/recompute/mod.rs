//! Computes the figures of a report again, from a capture.
//!
//! ```text
//! report ─► rulesets ─┐
//! capture ─► frames ──┴► kernel program ─► temporary store ─► Facts, Report ─► compare
//! ```
//!
//! The store adds up packets in intervals of five minutes, and a report takes whole rows. So a
//! figure has bounds: it has at least the packets of the period (`inner`), and at most those of
//! the intervals that the period touches (`outer`). Where nothing was sent near the ends of the
//! period, both are equal.

mod compare;
mod figures;
mod file;
mod flows;
mod marks;
mod policies;
mod replay;
mod slots;
mod statements;
mod timeline;

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;

pub use self::policies::Compile;
use self::{
    compare::Comparing,
    figures::{Figures, Slack},
    file::{Subject, Window},
    policies::InForce,
    replay::{Plan, Seen},
    statements::Findings,
    timeline::INTERVAL,
};
use crate::{
    address::Derivation,
    capture::{Capture, CaptureError, CaptureNotes},
    datapath,
    device_book::DeviceBook,
    evidence::captured::Captured,
    policy::{InvalidMacAddress, InvalidPolicyName, MacAddress},
    report::{Facts, Report, Verification, captures_in_log},
    report_facts::{self, ReportError, ReportFilter, Since},
    store::{Attachment, StoreError},
};

/// Longest time between two drains of the kernel's tables, in seconds. The daemon drains every
/// ten seconds. A row may begin so much earlier than its interval.
const LONGEST_DRAIN: i64 = 30;

/// Length of the intervals into which the store merges old ones, in seconds.
const HOUR: i64 = 3_600;

/// Why figures are not computed again.
#[derive(Debug, thiserror::Error)]
pub enum RecomputeError {
    /// The file is not a capture.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The file cannot be read.
    #[error("read {}", crate::printable::path(.path))]
    File {
        /// Its path.
        path: std::path::PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The capture is not one of `monitor capture`.
    #[error(
        "the capture does not say which policy it is about: give a file that `monitor capture` wrote"
    )]
    NoPolicy,
    /// A packet has no time.
    #[error("a packet of the capture has no time, so it belongs to no period")]
    NoTime,
    /// The capture has more interfaces than a filter can have.
    #[error("the capture has more interfaces than a filter can have")]
    Interfaces,
    /// The period of the report cannot be read.
    #[error("the period of the report cannot be read")]
    Period,
    /// A MAC of the report cannot be read.
    #[error("a device of the report cannot be read")]
    Device(#[from] InvalidMacAddress),
    /// The policy of the report cannot be read.
    #[error("the policy of the report cannot be read")]
    Policy(#[from] InvalidPolicyName),
    /// The frames were not run.
    #[error(transparent)]
    Datapath(#[from] datapath::Error),
    /// The temporary store failed.
    #[error("the temporary store of the replay")]
    Store(#[from] StoreError),
    /// The temporary store cannot be read.
    #[error("the temporary store of the replay")]
    Report(#[from] ReportError),
    /// There is no directory for the store.
    #[error("make a temporary directory")]
    Directory(#[source] std::io::Error),
}

/// What a report is compared with.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The capture file.
    pub capture: &'a Path,
    /// How IPv6 prefixes are derived on the gateway.
    pub derivation: &'a Derivation,
    /// Compiles the policies that the caller gave, if it gave some.
    pub given: Option<Compile<'a>>,
}

/// Compares the figures of a report with a capture, and adds the result to `found`.
///
/// # Errors
///
/// Returns an error if the file is no capture, or if its frames cannot be run.
pub fn recompute(
    report: &Report,
    inputs: Inputs<'_>,
    found: &mut Verification,
) -> Result<(), RecomputeError> {
    if let Some(replayed) = Replayed::new(report, inputs, found)? {
        replayed.compare(report, found);
    }
    Ok(())
}

/// What the kernel program recorded about the packets of a capture, for the period of a report.
pub struct Replayed {
    subject: Subject,
    window: Window,
    period: Period,
    seen: Seen,
    lost: u64,
    /// The packets of the period.
    exact: Facts,
    /// The packets of the period, except those near its ends.
    inner: Facts,
    /// The packets of the period and around it.
    outer: Facts,
}

impl Replayed {
    /// Runs the packets of a capture for the period of a report, with its policies. Adds to
    /// `found` what program, policies and capture are. `None` if nothing can be compared.
    ///
    /// # Errors
    ///
    /// Returns an error if the file is no capture, or if its frames cannot be run.
    pub fn new(
        report: &Report,
        inputs: Inputs<'_>,
        found: &mut Verification,
    ) -> Result<Option<Self>, RecomputeError> {
        let mut findings = Findings::new(found);
        if report.redacted {
            findings.redacted();
            return Ok(None);
        }
        findings.program(report);
        let sha256 = file::sha256(inputs.capture).map_err(|source| RecomputeError::File {
            path: inputs.capture.to_owned(),
            source,
        })?;
        let times = first_times(inputs.capture);
        let event = findings.hash(&sha256, &times, captures_in_log(report).as_deref());
        let rulesets = policies::in_force(report, inputs.derivation, inputs.given);
        findings.policies(&rulesets);
        if rulesets.iter().all(|one| one.found.ruleset().is_none()) {
            findings.nothing_recomputed();
            return Ok(None);
        }
        let subject = subject(inputs.capture)?;
        let asked = report.period.policy.as_deref();
        if asked.is_some_and(|asked| asked != subject.policy.as_str()) {
            findings.another_policy(&subject.policy);
            return Ok(None);
        }
        let replayed = Self::run(report, inputs.capture, subject, &rulesets, event.as_ref());
        match replayed {
            Err(RecomputeError::Capture(damage)) => {
                findings.damaged(&damage);
                Ok(None)
            }
            Ok(None) => {
                findings.nothing_recomputed();
                Ok(None)
            }
            Ok(Some(replayed)) => {
                findings.capture(&replayed.subject, &replayed.window, &replayed.seen);
                Ok(Some(replayed))
            }
            Err(error) => Err(error),
        }
    }

    /// `None` if the capture has no packet and does not say its time.
    fn run(
        report: &Report,
        path: &Path,
        subject: Subject,
        rulesets: &[InForce],
        event: Option<&Captured>,
    ) -> Result<Option<Self>, RecomputeError> {
        let period = Period::of(report)?;
        let marks = marks::of(report);
        let attachments = attachments(report);
        let plan = Plan {
            policy: &subject.policy,
            rulesets,
            inner: seconds(period.inner),
            ends: [period.around, period.exact, period.inner].map(seconds),
            marks: &marks,
            attachments: &attachments,
        };
        let directory = tempfile::Builder::new()
            .prefix("monitor-replay-")
            .tempdir()
            .map_err(RecomputeError::Directory)?;
        let mut capture = Capture::open(path)?;
        let seen = replay::run(&mut capture, &plan, directory.path())?;
        let notes = capture.notes();
        let Some(window) = window(&notes, event, &seen) else {
            return Ok(None);
        };
        let filter = filter(report)?;
        let facts = |period| facts(directory.path(), &filter, period);
        Ok(Some(Self {
            window,
            lost: file::lost(&notes, event),
            exact: facts(period.exact)?,
            inner: facts(period.inner)?,
            outer: facts(period.around)?,
            subject,
            period,
            seen,
        }))
    }

    /// Compares the figures of a report of this period, and adds the result to `found`.
    pub fn compare(&self, report: &Report, found: &mut Verification) {
        let mut findings = Findings::new(found);
        findings.sentences(report);
        let reasons = self.reasons(report);
        findings.reasons(reasons);
        if self.period.is_shortened() {
            let [exact, inner] = [&self.exact, &self.inner].map(packets);
            findings.not_required(self.period.inner.1, exact.saturating_sub(inner));
        }
        let mut figures = Figures {
            slack: reasons.packets(),
            ..Figures::default()
        };
        let policy = self.subject.policy.as_str();
        let comparing = Comparing {
            report,
            policy,
            replayed: self,
        };
        let skipped = comparing.all(&mut figures);
        findings.figures(report, &figures, &skipped, policy);
    }

    fn reasons(&self, report: &Report) -> Reasons {
        let reasons = &report.losses.not_recorded.reasons;
        // Packets that only policies without flows matched are none of the capture's policy.
        let other = reasons.iter().filter(|(reason, _)| *reason != "setting");
        let other = other.map(|(_, packets)| *packets);
        let seen = &self.seen;
        Reasons {
            lost: self.lost,
            not_recorded: other.fold(0, u64::saturating_add),
            full: seen.not_recorded,
            unsure: seen.near_change.saturating_add(seen.without_ruleset),
        }
    }
}

/// What the first block of the file says. The file ends there, or goes on.
fn subject(path: &Path) -> Result<Subject, RecomputeError> {
    let mut capture = Capture::open(path)?;
    let _ = capture.next();
    Subject::of(&capture.notes()).ok_or(RecomputeError::NoPolicy)
}

/// Times of the first packets of a file, as far as they can be read.
fn first_times(path: &Path) -> Vec<Timestamp> {
    let frames = Capture::open(path).ok().into_iter().flatten();
    let frames = frames.map_while(Result::ok).take(8);
    frames.filter_map(|frame| frame.at).collect()
}

/// A time from a begin to an end.
type Span = (Timestamp, Timestamp);

/// The period of the report.
#[derive(Clone, Copy)]
struct Period {
    exact: Span,
    /// Without the first and the last second: the clocks of capture and flows may differ by a
    /// tick.
    inner: Span,
    /// With the time around it from which rows of the store may reach into it.
    around: Span,
}

impl Period {
    /// True if the report says that it was made before its period ended.
    fn is_shortened(&self) -> bool {
        timeline::second(self.inner.1) + 1 < timeline::second(self.exact.1)
    }

    fn of(report: &Report) -> Result<Self, RecomputeError> {
        let parse = |text: &str| {
            let time: Option<Timestamp> = text.parse().ok();
            time.map(timeline::second).ok_or(RecomputeError::Period)
        };
        let (since, until) = (parse(&report.period.since)?, parse(&report.period.until)?);
        if since >= until {
            return Err(RecomputeError::Period);
        }
        // Rows of an hour have slots of an hour or more.
        let slots = report.devices.iter().flat_map(|device| &device.policies);
        let slot = slots.map(|policy| policy.timeline.slot_seconds).max();
        let length = if slot >= Some(HOUR) { HOUR } else { INTERVAL };
        let begin = since.div_euclid(length) * length - LONGEST_DRAIN;
        let end = ((until + LONGEST_DRAIN).div_euclid(length) + 1) * length;
        let span = |since, until| -> Result<Span, RecomputeError> {
            let time = |second| Timestamp::from_second(second).map_err(|_| RecomputeError::Period);
            Ok((time(since)?, time(until)?))
        };
        // A report has no packets that came after it was made. Until then, the daemon noted that
        // the filter was attached.
        let attached = report.coverage.iter();
        let attached = attached.filter_map(|one| parse(&one.until).ok()).max();
        let last = until.min(attached.unwrap_or(until));
        Ok(Self {
            exact: span(since, until)?,
            inner: span(since + 1, (last - 1).max(since + 2))?,
            around: span(begin, end)?,
        })
    }
}

/// Packets of a period.
fn packets(facts: &Facts) -> u64 {
    let sums = facts.sums.devices.iter();
    let each = sums.map(|sum| sum.passed.packets.saturating_add(sum.dropped.packets));
    each.fold(0, u64::saturating_add)
}

/// A span in seconds.
fn seconds((since, until): Span) -> (i64, i64) {
    (timeline::second(since), timeline::second(until))
}

/// The time that the capture covers, by its counts or by the log; else the time of its packets.
fn window(notes: &CaptureNotes, event: Option<&Captured>, seen: &Seen) -> Option<Window> {
    Window::of(notes, event).or_else(|| {
        Some(Window {
            since: seen.first?,
            until: seen.last?,
        })
    })
}

/// Why figures may differ although nothing was changed, each as a number of packets.
#[derive(Clone, Copy)]
struct Reasons {
    /// Lost by the capture.
    lost: u64,
    /// Not recorded by the gateway, as the report states.
    not_recorded: u64,
    /// Without room in the tables of the replay.
    full: u64,
    /// Near a change of the ruleset, or of a time without one.
    unsure: u64,
}

impl Reasons {
    const fn packets(self) -> Slack {
        Slack {
            more: self
                .lost
                .saturating_add(self.full)
                .saturating_add(self.unsure),
            fewer: self.not_recorded.saturating_add(self.unsure),
        }
    }
}

/// The attachments that the report states: without them, nothing was observed.
fn attachments(report: &Report) -> Vec<Attachment> {
    let attachments = report.coverage.iter().filter_map(|coverage| {
        Some(Attachment {
            interface: coverage.interface.clone(),
            mode: coverage.mode.clone(),
            generation: 0,
            since: coverage.since.parse().ok()?,
            until: coverage.until.parse().ok()?,
        })
    });
    attachments.collect()
}

/// What the report is about, without its period.
fn filter(report: &Report) -> Result<ReportFilter, RecomputeError> {
    let subjects = report.devices.iter().filter(|device| device.is_subject);
    let subjects = subjects.filter_map(|device| device.device.as_deref());
    let devices: Vec<MacAddress> = match &report.period.device {
        Some(_) => subjects.map(str::parse).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let policy = report.period.policy.as_deref().map(str::parse);
    Ok(ReportFilter {
        since: Since::Seconds(1),
        until: None,
        at: None,
        asked_device: report.period.device.clone(),
        devices,
        policy: policy.transpose()?,
        limit: u32::MAX,
    })
}

/// What the temporary store has of a period, as `monitor report` reads it.
fn facts(
    directory: &Path,
    filter: &ReportFilter,
    (since, until): Span,
) -> Result<Facts, RecomputeError> {
    let filter = ReportFilter {
        since: Since::Time(since),
        until: Some(until),
        ..filter.clone()
    };
    let no_pins = directory.join("no-pins");
    let found = report_facts::read(&no_pins, directory, &filter, true)?;
    Ok(found.named(&DeviceBook::default(), &BTreeMap::new()))
}
