//! Time, size and memory of a large store. Prints the figures; run with `--release`.

use std::{fs, time::Instant};

use jiff::SignedDuration;

use super::{Opened, ago, claim, days, flow, mac, noon};
use crate::{evidence::flow::Flow, store::Filter};

const ROWS: u32 = 1_000_000;
const DEVICES: u32 = 40;

/// Resident memory and its peak, in KiB.
fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let lines = status
        .lines()
        .filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"));
    lines.collect::<Vec<_>>().join(" ")
}

/// Writes rows evenly over 30 days: device 0 has a fifth of them. The last two days are
/// buckets of five minutes.
fn fill(opened: &mut Opened) {
    let steps = 30 * 24 + 48 * 11;
    let per_step = ROWS / steps;
    let mut batch: Vec<Flow> = Vec::new();
    let mut random = 1_u32;
    for step in 0..=steps {
        let minutes = if step < 28 * 24 {
            60 * (30 * 24 - i64::from(step))
        } else {
            (48 * 60 - 5 * i64::from(step - 28 * 24)).max(1)
        };
        let at = ago(SignedDuration::from_mins(minutes));
        for row in 0..per_step {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let device = if row % 5 == 0 { 0 } else { row % DEVICES };
            batch.push(flow(
                device,
                (random >> 8) % 4_000 * 37,
                3 + u64::from(random >> 28),
                at,
            ));
        }
        batch.dedup_by(|a, b| a.key == b.key);
        opened.drain(&batch, at);
        batch.clear();
    }
}

#[test]
#[ignore = "measures, and takes long without --release"]
fn a_million_rows() {
    let mut opened = Opened::new();
    println!("before: {}", memory());
    let start = Instant::now();
    fill(&mut opened);
    println!("written in {:?}; {}", start.elapsed(), memory());
    let start = Instant::now();
    let claims: Vec<_> = (0..20_000)
        .map(|n| {
            claim(
                n % DEVICES,
                n / 5 * 37,
                &format!("host-{n}.cdn.example.net"),
                noon(),
            )
        })
        .collect();
    for chunk in claims.chunks(1000) {
        opened.store.write_claims(chunk, noon()).unwrap();
    }
    println!("20,000 claims in {:?}", start.elapsed());
    let rows: u32 = opened
        .raw()
        .query_row("SELECT count(*) FROM count", [], |row| row.get(0))
        .unwrap();
    println!(
        "rows {rows}, {:?}; {}",
        opened.store.used().unwrap(),
        memory()
    );
    let ends: u32 = opened
        .raw()
        .query_row("SELECT count(*) FROM flow_end", [], |row| row.get(0))
        .unwrap();
    println!("flow ends {ends}");
    let filters = [
        (
            "device 0 (a fifth of all rows), 7 days",
            Filter {
                device: Some(mac(0)),
                since: Some(ago(days(7))),
                ..Filter::default()
            },
        ),
        (
            "device 1, 7 days",
            Filter {
                device: Some(mac(1)),
                since: Some(ago(days(7))),
                ..Filter::default()
            },
        ),
        (
            "device 1, 30 days",
            Filter {
                device: Some(mac(1)),
                ..Filter::default()
            },
        ),
        (
            "all, 1 hour",
            Filter {
                since: Some(ago(SignedDuration::from_hours(1))),
                ..Filter::default()
            },
        ),
        (
            "all, 7 days",
            Filter {
                since: Some(ago(days(7))),
                ..Filter::default()
            },
        ),
        ("all, 30 days", Filter::default()),
        (
            "one destination",
            Filter {
                destination: Some(crate::store::DestinationRange {
                    first: super::destination(37),
                    last: super::destination(37),
                }),
                ..Filter::default()
            },
        ),
        (
            "10.0.0.0/8, 7 days",
            Filter {
                since: Some(ago(days(7))),
                destination: Some(crate::store::DestinationRange {
                    first: super::destination(0),
                    last: super::destination(0x00ff_ffff),
                }),
                ..Filter::default()
            },
        ),
    ];
    for (name, filter) in filters {
        for _ in 0..2 {
            let start = Instant::now();
            let mut reader = opened.reader();
            let flows = reader.view().unwrap().flows(&filter).unwrap();
            println!(
                "{name}: {} flows, more {}, {:?}",
                flows.flows.len(),
                flows.more,
                start.elapsed()
            );
        }
    }
    println!("{}", memory());
    let start = Instant::now();
    let mut reader = opened.reader();
    reader
        .view()
        .unwrap()
        .recorded(super::INSTANCE.token)
        .unwrap();
    println!("recorded: {:?}", start.elapsed());
    let tomorrow = noon() + days(1);
    let start = Instant::now();
    let compacted = opened.store.compact(tomorrow).unwrap();
    println!(
        "daily compaction {:?}: {compacted:?}; {}",
        start.elapsed(),
        memory()
    );
    println!("{:?}", opened.store.used().unwrap());
    let start = Instant::now();
    let step = opened.store.compact(noon() + days(3)).unwrap();
    println!(
        "two more days {:?}: {step:?}; {}",
        start.elapsed(),
        memory()
    );
    let start = Instant::now();
    let forgotten = opened.store.forget(mac(0), tomorrow).unwrap();
    println!("forget {:?}: {forgotten:?}; {}", start.elapsed(), memory());
    opened.verify();
}
