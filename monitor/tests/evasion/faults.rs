//! The faults that a run found: one minimal case for each kind.

use std::{env, fs, path::Path};

use crate::{
    case::{Case, Envelope, Ip, Trailer},
    ground::Seat,
    judge::{Fault, Judge},
    shrink::shrink,
    wire::frames,
};

#[derive(Default)]
pub(crate) struct Faults {
    /// The smallest case of each fault, and its text.
    pub(crate) found: Vec<(Case, String)>,
}

impl Faults {
    /// Makes a case smaller and prints it, unless a smaller one with the same parts
    /// was found already. `frames` were sent before it.
    pub(crate) fn add(&mut self, judge: &mut Judge, case: &Case, fault: &Fault, frames: usize) {
        if self
            .found
            .iter()
            .any(|(smaller, _)| explains(smaller, case))
        {
            return;
        }
        let mut still = |case: &Case| {
            let found = judge.try_one(case).0;
            found.is_some_and(|found| found.is_like(fault))
        };
        let again = still(case);
        let mut smallest = shrink(case, still);
        smallest.marker = 1;
        let alone = if again { "" } else { ", not seen again alone" };
        let text = format!(
            "{fault:?} after {frames} frames{alone}: {smallest}\nfound as {case}\n{}",
            hex(&smallest)
        );
        println!("{text}");
        self.found.push((smallest, text));
    }

    /// Panics if there are faults, after it has written them to a file.
    pub(crate) fn check(&self, seat: Seat) {
        let texts: Vec<&str> = self.found.iter().map(|(_, text)| text.as_str()).collect();
        if texts.is_empty() {
            return;
        }
        let seed = env::var("MONITOR_TEST_SEED").unwrap_or_default();
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("evasion-failed");
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join(format!("{seat:?}-{seed}.txt"));
        fs::write(&file, texts.join("\n\n")).unwrap();
        panic!(
            "{} faults, printed above and in {}",
            texts.len(),
            file.display()
        );
    }
}

/// The frames of a case, one a line.
pub(crate) fn hex(case: &Case) -> String {
    let lines: Vec<String> = frames(case)
        .iter()
        .map(|frame| format!("  {}", hex::encode(frame)))
        .collect();
    lines.join("\n")
}

/// Every odd part of `smaller` is in `case` too.
fn explains(smaller: &Case, case: &Case) -> bool {
    smaller.target == case.target
        && smaller.family == case.family
        && smaller.tags.len() <= case.tags.len()
        && smaller.chain.len() <= case.chain.len()
        && smaller.pieces.len() <= case.pieces.len()
        && envelope_explains(smaller.envelope, case.envelope)
        && (smaller.ip == Ip::default() || smaller.ip == case.ip)
        && (smaller.trailer == Trailer::None || case.trailer != Trailer::None)
        && (smaller.cut.is_none() || case.cut.is_some())
}

fn envelope_explains(smaller: Envelope, other: Envelope) -> bool {
    match (smaller, other) {
        (Envelope::Bare, _) => true,
        (Envelope::Session(smaller), Envelope::Session(other)) => {
            smaller.protocol == other.protocol
                && (smaller.version_type == 0x11 || other.version_type != 0x11)
                && (smaller.code == 0 || other.code != 0)
        }
        _ => smaller == other,
    }
}
