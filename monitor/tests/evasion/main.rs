//! Frames from a grammar on the wire of a namespace lab. The kernel is the judge:
//! it shows without the filter what it delivers, and with the filter nothing of a
//! dropped destination may arrive, and nothing else may be missing.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod case;
mod grammar;
mod ground;
mod judge;
mod known;
mod shrink;
#[expect(dead_code, reason = "each test file uses a part of it")]
#[path = "../support/mod.rs"]
mod support;
mod wire;

use std::{
    collections::BTreeSet,
    env,
    time::{Duration, Instant},
};

use case::Case;
use ground::Seat;
use judge::{BATCH, Fault, Judge};
use rand::rngs::StdRng;
use support::generate::generator;

/// Cases of one run, where `MONITOR_FUZZ_SECONDS` does not ask for more.
const CASES: usize = 5_000;
/// A run ends after this many different faults.
const MOST_FAULTS: usize = 10;
/// Faults that are made smaller; more of them would say the same.
const MOST_SHRUNK: usize = 60;

#[test]
fn nothing_gets_past_the_filter_in_native_mode() {
    run("evn", Seat::Native);
}

#[test]
fn nothing_gets_past_the_filter_in_generic_mode() {
    run("evg", Seat::Generic);
}

#[test]
fn nothing_gets_past_the_filter_on_a_port_of_a_bridge() {
    run("evp", Seat::BridgePort);
}

#[test]
fn nothing_gets_past_the_filter_on_a_bridge() {
    run("evb", Seat::Bridge);
}

fn run(test: &str, seat: Seat) {
    let mut random = generator();
    let mut judge = Judge::new(test, seat);
    let mut faults = Faults::default();
    let mut count = Count::default();
    let mut more = rounds();
    while more(count.cases) && faults.kinds.len() < MOST_FAULTS {
        let mut cases = batch(&mut random);
        let verdicts = judge.try_all(&mut cases);
        for (case, (fault, delivered)) in cases.iter().zip(verdicts) {
            count.cases += 1;
            count.frames += wire::frames(case).len();
            count.delivered += usize::from(delivered);
            if let Some(fault) = fault {
                faults.add(&mut judge, &count, case, &fault);
            }
        }
    }
    println!("{seat:?}: {count:?}");
    println!("executions: {}", count.frames);
    assert!(faults.kinds.is_empty(), "{} faults, printed above", faults.kinds.len());
    // Else the frames would show little.
    assert!(count.delivered * 4 > count.cases, "Linux refuses too much of it");
}

/// Cases whose frames fit the queues.
fn batch(random: &mut StdRng) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut frames = 0;
    while frames < BATCH - 10 {
        let case = grammar::case(random);
        frames += wire::frames(&case).len();
        cases.push(case);
    }
    cases
}

#[derive(Debug, Default)]
struct Count {
    cases: usize,
    frames: usize,
    /// Cases that Linux delivers without the filter.
    delivered: usize,
}

/// What was found, each kind once.
#[derive(Default)]
struct Faults {
    kinds: BTreeSet<String>,
    shrunk: usize,
}

impl Faults {
    fn add(&mut self, judge: &mut Judge, count: &Count, case: &Case, fault: &Fault) {
        if self.shrunk == MOST_SHRUNK {
            return;
        }
        self.shrunk += 1;
        let mut still = |case: &Case| judge.try_one(case).0.as_ref() == Some(fault);
        let again = still(case);
        let mut smallest = shrink::shrink(case, still);
        smallest.marker = 1;
        let kind = format!("{fault:?}: {smallest}");
        if !self.kinds.insert(kind.clone()) {
            return;
        }
        println!("{kind}");
        println!("  case {}, frame {}; seen again alone: {again}", count.cases, count.frames);
        println!("  was: {case}");
        for frame in wire::frames(&smallest) {
            println!("  {}", hex::encode(frame));
        }
    }
}

/// Says whether there is another round after so many cases.
fn rounds() -> impl FnMut(usize) -> bool {
    let seconds = env::var("MONITOR_FUZZ_SECONDS").ok();
    let end = seconds.map(|text| Instant::now() + Duration::from_secs(text.parse().unwrap()));
    move |cases| end.map_or(cases < CASES, |end| Instant::now() < end)
}
