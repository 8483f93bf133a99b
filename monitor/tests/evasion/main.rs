//! Sends generated frames through a lab of namespaces, with the kernel as
//! reference. Without the filter, the lab shows which frames the kernel
//! delivers. With the filter, no frame to a dropped destination may arrive, and
//! all others must arrive.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod case;
mod faults;
mod grammar;
mod ground;
mod judge;
mod known;
mod known_ports;
mod shrink;
mod sockets;
#[expect(dead_code, reason = "each test file uses a part of it")]
#[path = "../support/mod.rs"]
mod support;
mod wire;

use std::{
    env,
    time::{Duration, Instant},
};

use case::Case;
use faults::Faults;
use ground::Seat;
use judge::{BATCH, Judge};
use known::Known;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use support::generate::generator;

/// Number of cases in one run, unless `MONITOR_FUZZ_SECONDS` is set.
const CASES: usize = 5_000;
/// A run ends after this many different faults.
const MOST_FAULTS: usize = 30;

#[test]
fn nothing_gets_past_the_filter_in_native_mode() {
    generated("ev-n", Seat::Native);
}

#[test]
fn nothing_gets_past_the_filter_in_generic_mode() {
    generated("ev-g", Seat::Generic);
}

#[test]
fn nothing_gets_past_the_filter_behind_a_card_that_takes_a_tag_off() {
    generated("ev-o", Seat::Offloaded);
}

#[test]
fn nothing_gets_past_the_filter_on_a_port_of_a_bridge() {
    generated("ev-p", Seat::BridgePort);
}

#[test]
fn nothing_gets_past_the_filter_on_a_bridge() {
    generated("ev-b", Seat::Bridge);
}

#[test]
fn no_way_that_was_found_leads_past_the_filter() {
    let mut wrong = Vec::new();
    for seat in Seat::ALL {
        let mut judge = Judge::new("ev-k", seat);
        for Known { name, linux, case } in known::all() {
            let (fault, delivered) = judge.try_one(&case);
            if let Some(fault) = fault {
                wrong.push(format!(
                    "{seat:?}, {name}: {fault:?}\n{}",
                    faults::hex(&case)
                ));
            }
            if !linux.agrees(delivered) {
                wrong.push(format!(
                    "{seat:?}, {name}: Linux delivers: {delivered}\n{}",
                    faults::hex(&case)
                ));
            }
        }
        judge.check_counted();
    }
    // More lines would add nothing.
    wrong.truncate(MOST_FAULTS);
    assert!(
        wrong.is_empty(),
        "{} of the known cases:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn generated(test: &str, seat: Seat) {
    // Another sequence for each seat, from the seed that is printed.
    let start = generator().random::<u64>().wrapping_add(seat as u64);
    let mut random = StdRng::seed_from_u64(start);
    let mut judge = Judge::new(test, seat);
    let mut faults = Faults::default();
    let mut count = Count::default();
    let mut more = rounds();
    while more(count.cases) && faults.found.len() < MOST_FAULTS {
        let mut cases = batch(&mut random);
        let verdicts = judge.try_all(&mut cases);
        for (case, (fault, delivered)) in cases.iter().zip(verdicts) {
            count.cases += 1;
            count.frames += wire::frames(case).len();
            count.delivered += usize::from(delivered);
            if let Some(fault) = fault {
                faults.add(&mut judge, case, &fault, count.frames);
            }
        }
    }
    println!("{seat:?}: {count:?}");
    println!("executions: {}", count.frames);
    faults.check(seat);
    judge.check_counted();
    // If Linux delivered few cases, the run would show little.
    assert!(
        count.delivered * 4 > count.cases,
        "Linux refuses too much of it"
    );
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

/// Returns a function that takes the number of tried cases and returns true if
/// there is another round.
fn rounds() -> impl FnMut(usize) -> bool {
    let seconds = env::var("MONITOR_FUZZ_SECONDS").ok();
    let end = seconds.map(|text| Instant::now() + Duration::from_secs(text.parse().unwrap()));
    move |cases| end.map_or(cases < CASES, |end| Instant::now() < end)
}
