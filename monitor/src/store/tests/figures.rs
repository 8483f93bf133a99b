//! Prints time, size and memory of a large store. Run it with `--release`.

use std::{fs, time::Instant};

use jiff::{SignedDuration, Timestamp};

use super::{INSTANCE, Opened, ago, claim, days, destination, flow, mac, noon};
use crate::{
    evidence::flow::Flow,
    store::{DestinationRange, Drained, Filter},
};

const ROWS: u32 = 1_000_000;

/// Device 0 has a fifth of all rows, and the other ones share the rest.
const DEVICES: u32 = 40;

const CLAIMS: u32 = 20_000;

fn resident() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let lines = status
        .lines()
        .filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"));
    lines.collect::<Vec<_>>().join(" ").replace('\t', " ")
}

fn measure<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    println!("{what}: {:.1?}; {}", start.elapsed(), resident());
    result
}

/// The begin of each bucket of 30 days, of which the last two have buckets of five minutes.
fn buckets() -> Vec<Timestamp> {
    let hours = (48..30 * 24)
        .rev()
        .map(|hours| ago(SignedDuration::from_hours(hours)));
    let minutes = (0..48 * 12)
        .rev()
        .map(|n| ago(SignedDuration::from_mins(5 * n)));
    hours.chain(minutes).collect()
}

fn rows(number: u32, seed: u32, at: Timestamp) -> Vec<Flow> {
    let mut random = seed;
    let mut table: Vec<_> = (0..number)
        .map(|row| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let device = if row % 5 == 0 {
                0
            } else {
                1 + row % (DEVICES - 1)
            };
            flow(
                device,
                (random >> 8) % 4_000 * 37,
                3 + u64::from(random >> 28),
                at,
            )
        })
        .collect();
    table.sort_by(|a, b| a.key.cmp(&b.key));
    table.dedup_by(|a, b| a.key == b.key);
    table
}

fn fill(opened: &mut Opened) {
    let buckets = buckets();
    let per_bucket = ROWS / u32::try_from(buckets.len()).unwrap();
    for (seed, at) in (1..).zip(buckets) {
        opened.drain(&rows(per_bucket, seed, at), at);
    }
    let claims: Vec<_> = (0..CLAIMS)
        .map(|n| {
            claim(
                n % DEVICES,
                n / 5 * 37,
                &format!("host-{n}.cdn.example.net"),
                noon(),
            )
        })
        .collect();
    for chunk in claims.chunks(1_000) {
        opened.store.write_claims(chunk, noon()).unwrap();
    }
}

fn filters() -> [(&'static str, Filter); 8] {
    let all = Filter::default;
    let (week, hour) = (Some(ago(days(7))), Some(ago(SignedDuration::from_hours(1))));
    let (first, other) = (Some(mac(0)), Some(mac(1)));
    let range = |first, last| {
        let (first, last) = (destination(first), destination(last));
        Some(DestinationRange { first, last })
    };
    let (one, network) = (range(37, 37), range(0, 0x00ff_ffff));
    [
        (
            "device with a fifth of all rows, 7 days",
            Filter {
                device: first,
                since: week,
                ..all()
            },
        ),
        (
            "another device, 7 days",
            Filter {
                device: other,
                since: week,
                ..all()
            },
        ),
        (
            "another device, 30 days",
            Filter {
                device: other,
                ..all()
            },
        ),
        (
            "all devices, 1 hour",
            Filter {
                since: hour,
                ..all()
            },
        ),
        (
            "all devices, 7 days",
            Filter {
                since: week,
                ..all()
            },
        ),
        ("all devices, 30 days", all()),
        (
            "one destination, 30 days",
            Filter {
                destination: one,
                ..all()
            },
        ),
        (
            "10.0.0.0/8, 7 days",
            Filter {
                destination: network,
                since: week,
                ..all()
            },
        ),
    ]
}

#[test]
#[ignore = "prints figures, and takes minutes without --release"]
fn figures_of_a_million_rows() {
    let mut opened = Opened::new();
    measure("nothing", || ());
    measure("write all", || fill(&mut opened));
    for table in ["count", "flow_end", "claim"] {
        let count = format!("SELECT count(*) FROM {table}");
        let rows: u32 = opened
            .raw()
            .query_row(&count, [], |row| row.get(0))
            .unwrap();
        println!("{table}: {rows} rows");
    }
    println!("{:?}", opened.store.used().unwrap());
    for (name, filter) in filters() {
        for _ in 0..3 {
            let found = measure(name, || {
                opened.reader().view().unwrap().flows(&filter).unwrap()
            });
            println!("    {} flows, more: {}", found.flows.len(), found.more);
        }
    }
    measure("recorded", || {
        opened
            .reader()
            .view()
            .unwrap()
            .recorded(INSTANCE.token)
            .unwrap()
    });
    let table = rows(10_000, 9, noon());
    for epoch in 10_000..10_003 {
        let drained = Drained {
            instance: INSTANCE,
            epoch,
            flows: &table,
        };
        measure("drain 10,000 flows", || {
            opened.store.write_drained(&drained, noon()).unwrap()
        });
    }
    for day in 1..=3 {
        let done = measure("compact", || {
            opened.store.compact(noon() + days(day)).unwrap()
        });
        println!("    {done:?}, {:?}", opened.store.used().unwrap());
    }
    let done = measure("forget", || opened.store.forget(mac(0), noon()).unwrap());
    println!("    {done:?}, {:?}", opened.store.used().unwrap());
    opened.verify();
}
