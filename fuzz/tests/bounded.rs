//! Runs every target on its seeds and on a bounded number of mutations.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::{env, fs, panic, path::Path};

use monitor_fuzz::{TARGETS, Target, mutate::mutation, seeds};
use rand::{SeedableRng as _, rngs::StdRng};

/// Default seed of the random numbers; `MONITOR_TEST_SEED` replaces it.
const DEFAULT_SEED: u64 = 42_62_48;

/// Runs a target on its seeds, then on `mutations` mutations.
fn run(name: &str, mutations: usize) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seeds = seeds::read(target).unwrap();
    assert!(!seeds.is_empty(), "no seeds of {name}");
    for (path, bytes) in &seeds {
        println!("{}", path.display());
        (target.run)(bytes);
    }
    let number = env::var("MONITOR_TEST_SEED").map_or(DEFAULT_SEED, |seed| seed.parse().unwrap());
    println!("MONITOR_TEST_SEED={number}");
    let mut random = StdRng::seed_from_u64(number);
    let seeds: Vec<Vec<u8>> = seeds.into_iter().map(|(_, bytes)| bytes).collect();
    for count in 1..=mutations {
        let bytes = mutation(&mut random, &seeds);
        if let Err(panic) = panic::catch_unwind(|| (target.run)(&bytes)) {
            let kept = keep(target, &bytes);
            println!("mutation {count} of {name}: {kept}; `fuzz/corpus/{name}/` runs it again");
            panic::resume_unwind(panic);
        }
    }
    println!("{name}: {} seeds, {mutations} mutations", seeds.len());
}

fn keep(target: &Target, bytes: &[u8]) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-failed", target.name));
    fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

/// A test for each target, with a number of mutations that takes a few seconds on a slow
/// machine.
macro_rules! tests {
    ($($target:ident: $mutations:literal;)*) => {
        $(#[test]
        fn $target() {
            run(stringify!($target), $mutations);
        })*

        #[test]
        fn no_target_is_left_out() {
            let run = [$(stringify!($target)),*];
            let all: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(run[..], all);
        }
    };
}

tests! {
    archive: 300_000;
    capture: 300_000;
    config: 200_000;
    control: 1_000_000;
    database: 200_000;
    devices: 20_000;
    feed: 20_000;
    kernel: 500_000;
    list: 10_000;
    names: 20_000;
    policy: 60_000;
    report: 1_000;
    server: 5_000;
    stamp: 50_000;
    state: 1_000_000;
}

/// The reader of each format has a seed that is recognised as that format.
#[test]
fn each_format_of_a_list_has_a_seed() {
    use monitor::lists::{Format, Why, list_text, recognise, unpack};

    let target = TARGETS.iter().find(|target| target.name == "list").unwrap();
    let mut found = std::collections::BTreeSet::new();
    for (path, bytes) in seeds::read(target).unwrap() {
        let Some(text) = unpack(bytes).ok().and_then(|bytes| list_text(bytes).ok()) else {
            continue;
        };
        match recognise(&text) {
            Ok(format) => found.insert(format),
            Err(refused) if matches!(refused.why, Why::Csv(_)) => found.insert(Format::Csv),
            Err(_) => {
                println!("no format: {}", path.display());
                false
            }
        };
    }
    assert_eq!(found.into_iter().collect::<Vec<_>>(), Format::ALL);
}
