//! Verifies a report file. Each statement says that something holds, that something was changed,
//! or that the file cannot show it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    Report, Sum,
    form::{self, NoProof, Parts},
    words::plural,
};
use crate::merkle::{Checkpoint, Entry, Line, Proof, PublicKey};

/// The limit that a stamp moves.
pub(super) const REWRITTEN: &str = "The file cannot show that the operator did not rewrite the log before this head, or that lines which replaced earlier ones are right. An earlier report, or a stamp of an authority (`monitor report publish`), narrows it down.";

/// A statement about a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// What the check found.
    pub status: Status,
    /// The statement, as a sentence.
    pub text: String,
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The statement was checked and is true.
    Holds,
    /// The statement was checked and is false.
    Changed,
    /// Nothing here shows whether it is so.
    Unknown,
}

/// The result for a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The statements, in the order of the checks.
    pub statements: Vec<Statement>,
    /// The head of the log, if its signature fits.
    #[serde(skip)]
    pub checkpoint: Option<Checkpoint>,
    /// The signed head as the file carries it, if its signature fits.
    #[serde(skip)]
    pub head: Option<String>,
    /// The key that the file carries.
    #[serde(skip)]
    pub key: Option<PublicKey>,
    /// The lines that the file carries and whose proofs lead to that head.
    #[serde(skip)]
    pub lines: Vec<Line>,
}

impl Verification {
    /// True if nothing was changed.
    #[must_use]
    pub fn holds(&self) -> bool {
        let mut statements = self.statements.iter();
        statements.all(|statement| statement.status != Status::Changed)
    }

    /// Adds a statement. It is one line, whatever the file says.
    pub fn push(&mut self, status: Status, text: impl Into<String>) {
        let text = text.into().replace(char::is_control, " ");
        self.statements.push(Statement { status, text });
    }
}

/// Verifies a report by the proof that it carries, or by `proof`, the content of a file. `key`
/// is the key that the gateway is known to have.
///
/// # Errors
///
/// Returns an error if there is no proof.
pub fn verify(
    text: &str,
    proof: Option<&str>,
    key: Option<&PublicKey>,
) -> Result<Verification, NoProof> {
    let parts = form::parts(text, proof)?;
    let mut found = Verification::default();
    let checkpoint = head(&parts, key, &mut found);
    if !parts.is_exact {
        found.push(
            Status::Changed,
            "Bytes of the file were changed, added or removed: the program would write it in another way.",
        );
    }
    if let Some(checkpoint) = checkpoint {
        lines(&parts, &checkpoint, &mut found);
        match &parts.report {
            Some(report) => sums(&parts, report, &checkpoint, &mut found),
            None => found.push(
                Status::Unknown,
                "The figures were not added up again. Only a report as json, with its proof inside, allows that.",
            ),
        }
        found.checkpoint = Some(checkpoint);
    }
    limits(key, &mut found);
    Ok(found)
}

/// Checks the signature of the head.
fn head(
    parts: &Parts<'_>,
    known: Option<&PublicKey>,
    found: &mut Verification,
) -> Option<Checkpoint> {
    let head = &parts.proven.head;
    let Ok(own) = head.key.parse::<PublicKey>() else {
        found.push(Status::Changed, "The file carries no valid public key.");
        return None;
    };
    match known {
        Some(known) if !known.is_same_key(&own) => found.push(
            Status::Changed,
            format!("The file is signed with another key than the one given: {own}"),
        ),
        Some(known) if *known != own => found.push(
            Status::Unknown,
            "The key is the one given, but the log is another one: the gateway began a new store.",
        ),
        _ => {}
    }
    found.key = Some(own.clone());
    match Checkpoint::open(&head.checkpoint, &own) {
        Ok(checkpoint) => {
            found.push(
                Status::Holds,
                format!(
                    "The holder of this key signed the head of a log of {} lines at {}, by the gateway's clock: {own}",
                    checkpoint.size, checkpoint.at
                ),
            );
            found.head = Some(head.checkpoint.clone());
            Some(checkpoint)
        }
        Err(error) => {
            found.push(
                Status::Changed,
                format!("The head of the log was changed: {error}."),
            );
            None
        }
    }
}

/// Checks that the lines are in the log, and that the first one is about this file.
fn lines(parts: &Parts<'_>, checkpoint: &Checkpoint, found: &mut Verification) {
    let mut proofs = parts.proven.proofs.iter();
    let digest = form::digest(&parts.body);
    let own = proofs
        .next()
        .filter(|proof| parts.proven.is_in_log(proof, checkpoint));
    match own.and_then(|proof| Entry::read(&proof.line).ok()) {
        Some(Entry {
            line: Line::Report { at, sha256, format },
            ..
        }) if sha256 == digest && at.parse::<Timestamp>().is_ok() => {
            let unchanged = if parts.is_exact {
                " Not a byte was changed since."
            } else {
                ""
            };
            found.push(
                Status::Holds,
                format!("This report as {format}, with the SHA-256 {digest}, was written to that log at {at}.{unchanged}"),
            );
        }
        _ => found.push(
            Status::Changed,
            format!("The proof has no line about this file, whose SHA-256 is {digest}: the file was changed, or the proof belongs to another file."),
        ),
    }
    if parts.proven.digest() != checkpoint.proofs {
        found.push(
            Status::Changed,
            "The proofs are not those that were signed: some were changed, added or removed.",
        );
    }
    let (mut in_log, mut changed) = (0_u64, Vec::new());
    for proof in proofs {
        if parts.proven.is_in_log(proof, checkpoint) {
            in_log += 1;
            found
                .lines
                .extend(Entry::read(&proof.line).map(|entry| entry.line));
        } else {
            changed.push(proof.number);
        }
    }
    if in_log > 0 {
        found.push(
            Status::Holds,
            format!(
                "The log has {in_log} lines of evidence that the file carries, each unchanged."
            ),
        );
    }
    for number in changed.iter().take(10) {
        let text = format!("The proof of line {number} does not lead to the signed head.");
        found.push(Status::Changed, text);
    }
    if changed.len() > 10 {
        let more = changed.len() - 10;
        found.push(
            Status::Changed,
            format!("The proofs of {more} further lines do not lead to the signed head."),
        );
    }
}

/// Packets, bytes and dropped packets.
type Figures = [u64; 3];

/// The names of the figures.
const FIGURES: [&str; 3] = ["packets", "bytes", "dropped packets"];

/// A device, and a policy or all.
type Group = (Option<String>, Option<String>);

/// Figures of a group by the lines of the log.
#[derive(Default)]
struct Bounds {
    /// In intervals that lie in the period.
    least: Figures,
    /// With those that the period cuts.
    most: Figures,
}

/// Compares the packets of each device with the lines about them.
fn sums(parts: &Parts<'_>, report: &Report, checkpoint: &Checkpoint, found: &mut Verification) {
    if report.redacted || report.period.policy.is_some() {
        found.push(
            Status::Unknown,
            "The report is redacted or of one policy, so it carries no lines about packets: its figures cannot be added up again.",
        );
        return;
    }
    if parts.proven.head.more_lines > 0 {
        found.push(
            Status::Unknown,
            format!(
                "{} further lines had no room in the file, so its figures cannot be added up again.",
                parts.proven.head.more_lines
            ),
        );
        return;
    }
    let proofs = parts.proven.proofs.iter();
    let in_log = proofs.filter(|proof| parts.proven.is_in_log(proof, checkpoint));
    let Some(sums) = by_device(in_log, report) else {
        found.push(Status::Changed, "The period of the report cannot be read.");
        return;
    };
    let subjects = report.devices.iter().filter(|device| device.is_subject);
    let (mut fit, mut wrong) = (0_u64, Vec::new());
    for device in subjects {
        let name = device.device.as_deref().unwrap_or("all other devices");
        let before = wrong.len();
        let of_policies = device.policies.iter();
        let of_policies = of_policies.map(|own| (Some(own.policy.clone()), &own.sum));
        for (policy, sum) in std::iter::once((None, &device.sum)).chain(of_policies) {
            let of_policy = policy.as_ref().map(|policy| format!(" by {policy}"));
            let bounds = sums.get(&(device.device.clone(), policy));
            for difference in differences(sum, bounds) {
                let of_policy = of_policy.as_deref().unwrap_or_default();
                wrong.push(format!("The report gives {name}{of_policy} {difference}."));
            }
        }
        fit += u64::from(wrong.len() == before);
    }
    if fit > 0 {
        found.push(
            Status::Holds,
            format!(
                "The packets, bytes and drops of {} agree with the lines of the log about them, by policy too. Single flows, names and marks were not compared with lines.",
                plural(fit, "device", "devices")
            ),
        );
    }
    if report.period.device.is_none() && report.more_devices == 0 {
        let missing = sums.iter().filter(|((device, policy), bounds)| {
            let mut listed = report.devices.iter();
            let is_listed = listed.any(|listed| listed.device == *device);
            policy.is_none() && bounds.least != Figures::default() && !is_listed
        });
        for ((device, _), _) in missing {
            let name = device.as_deref().unwrap_or("all other devices");
            wrong.push(format!(
                "The lines of the log have packets of {name}, and the report does not list it."
            ));
        }
    }
    for text in wrong {
        found.push(Status::Changed, text);
    }
}

/// What does not agree with the lines.
fn differences(sum: &Sum, bounds: Option<&Bounds>) -> Vec<String> {
    let none = Bounds::default();
    let Bounds { least, most } = bounds.unwrap_or(&none);
    let figures = [sum.packets, sum.bytes, sum.dropped];
    let bounds = least.iter().zip(most);
    let all = FIGURES.iter().zip(figures).zip(bounds);
    all.filter(|((_, figure), (least, most))| !(*least..=*most).contains(&figure))
        .map(|((what, figure), (least, most))| {
            format!("{figure} {what}; the lines of the log give {least} to {most}")
        })
        .collect()
}

fn by_device<'a>(
    proofs: impl Iterator<Item = &'a Proof>,
    report: &Report,
) -> Option<BTreeMap<Group, Bounds>> {
    let since: Timestamp = report.period.since.parse().ok()?;
    let until: Timestamp = report.period.until.parse().ok()?;
    let mut sums: BTreeMap<Group, Bounds> = BTreeMap::new();
    for proof in proofs {
        let Ok(Entry {
            line:
                Line::Packets {
                    since: begin,
                    seconds,
                    device,
                    sums: of_lists,
                    ..
                },
            ..
        }) = Entry::read(&proof.line)
        else {
            continue;
        };
        let begin: Timestamp = begin.parse().ok()?;
        let end = begin
            .checked_add(jiff::SignedDuration::from_secs(seconds))
            .ok()?;
        for sum in of_lists {
            let figures = [sum.packets, sum.bytes, sum.dropped];
            let policies: BTreeSet<_> = sum.policies.into_iter().map(Some).collect();
            for policy in std::iter::once(None).chain(policies) {
                let bounds = sums.entry((device.clone(), policy)).or_default();
                if begin >= since && end <= until {
                    add(&mut bounds.least, figures);
                }
                add(&mut bounds.most, figures);
            }
        }
    }
    Some(sums)
}

fn add(sums: &mut Figures, figures: Figures) {
    for (sum, figure) in sums.iter_mut().zip(figures) {
        *sum = sum.saturating_add(figure);
    }
}

/// What a file cannot show by itself.
fn limits(key: Option<&PublicKey>, found: &mut Verification) {
    if key.is_none() {
        found.push(
            Status::Unknown,
            "The file cannot show that the key is the gateway's. Compare it with a copy that the operator gave you another way (--key).",
        );
    }
    found.push(Status::Unknown, REWRITTEN);
    found.push(
        Status::Unknown,
        "The file cannot show that the gateway recorded everything that its devices sent.",
    );
}
