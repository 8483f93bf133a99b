//! The sums stay exact, whatever is written, merged, removed and forgotten.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use monitor_common::Count;
use proptest::prelude::*;

use super::{INSTANCE, Opened, ago, days, flow, mac, policy};
use crate::{
    evidence::flow::Flow,
    policy::PolicyName,
    store::{StoreLimits, StoreSettings},
};

#[derive(Clone, Debug)]
enum Step {
    /// Writes a table: for each flow its device, destination, policies, packets, and age of
    /// its first packet in seconds.
    Drain(Vec<(u32, u32, usize, u64, i64)>),
    /// Lets hours pass.
    Wait(i64),
    Compact,
    Forget(u32),
    Reopen,
    Fail,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = (0..6_u32, 0..12_u32, 0..4_usize, 1..5_u64, 0..90_000_i64);
    let step = prop_oneof![
        6 => proptest::collection::vec(row, 0..30).prop_map(Step::Drain),
        4 => (0..60_i64).prop_map(Step::Wait),
        2 => Just(Step::Compact),
        1 => (0..6_u32).prop_map(Step::Forget),
        1 => Just(Step::Reopen),
        1 => Just(Step::Fail),
    ];
    proptest::collection::vec(step, 1..25)
}

fn policies(number: usize) -> Vec<PolicyName> {
    let lists: [&[&str]; 4] = [&["a"], &["a", "b"], &["b"], &["c", "a", "b"]];
    lists[number].iter().map(|name| policy(name)).collect()
}

type Sums = BTreeMap<PolicyName, [u64; 4]>;

fn add(sums: &mut Sums, policy: &PolicyName, passed: Count, dropped: Count) {
    let sum = sums.entry(policy.clone()).or_default();
    let parts = [passed.packets, passed.bytes, dropped.packets, dropped.bytes];
    sum.iter_mut()
        .zip(parts)
        .for_each(|(sum, part)| *sum += part);
}

/// Returns the recorded and the removed sums together.
fn stored(opened: &Opened) -> Sums {
    let mut sums = Sums::new();
    let mut reader = opened.reader();
    let view = reader.view().unwrap();
    let recorded = view.recorded(INSTANCE.token).unwrap();
    let removed = view.removed(INSTANCE.token).unwrap();
    for sum in recorded
        .iter()
        .chain(removed.iter().map(|removed| &removed.sum))
    {
        add(&mut sums, &sum.policy, sum.passed, sum.dropped);
    }
    sums
}

fn run(steps: Vec<Step>) {
    let limits = StoreLimits {
        ends: 40,
        ends_of_device: 9,
        ends_of_new_devices: 30,
        devices: 4,
        rows_of_device: 5,
        rows: 12,
        lists: 3,
        ..StoreLimits::default()
    };
    let settings = StoreSettings {
        limits,
        ..StoreSettings::default()
    };
    let mut opened = Opened::with(settings);
    let mut now = ago(days(60));
    let mut written = Sums::new();
    for step in steps {
        match step {
            Step::Drain(table) => {
                let flows: Vec<Flow> = table
                    .into_iter()
                    .map(|(device, to, list, packets, age)| {
                        let mut flow = flow(device, to, packets, now);
                        flow.first = now - SignedDuration::from_secs(age);
                        flow.policies = policies(list);
                        flow
                    })
                    .collect();
                for flow in &flows {
                    add(&mut written, &flow.policies[0], flow.passed, flow.dropped);
                }
                opened.drain(&flows, now);
            }
            Step::Wait(hours) => now += SignedDuration::from_hours(hours),
            Step::Compact => {
                opened.store.compact(now).unwrap();
            }
            Step::Forget(device) => {
                assert!(opened.store.forget(mac(device), now).unwrap().complete);
            }
            Step::Reopen => {
                let (store, found) =
                    crate::store::Store::open(opened.path(), settings, now).unwrap();
                opened.store = store;
                assert!(found.killed && found.damaged.is_none());
            }
            Step::Fail => {
                opened
                    .store
                    .transaction(now, |writer| -> Result<(), _> {
                        writer.device(mac(77), now, now)?;
                        writer.list(&[policy("never")])?;
                        writer.interface("never")?;
                        Err(crate::store::StoreError::Content { table: "test" })
                    })
                    .unwrap_err();
            }
        }
        let mut found = stored(&opened);
        found.retain(|_, sum| *sum != [0; 4]);
        assert_eq!(found, written);
    }
    opened.verify();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn recorded_and_removed_sums_are_what_was_written(steps in steps()) {
        run(steps);
    }
}
