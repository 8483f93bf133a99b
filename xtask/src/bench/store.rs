//! The evidence store with about a million rows: time of the queries, of a drain, of a
//! compaction and of forgetting a device, and size of the file.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use monitor::device_book::DeviceBook;
use monitor::evidence::{Claim, Direction, Flow, FlowEnd, FlowKey, NameSource, Port};
use monitor::policy::MacAddress;
use monitor::report::{Form, digest, verify};
use monitor::report_facts::{self, ReportFilter, Since};
use monitor::store::{
    AskedProof, Drained, FlowQuery, Instance, Store, StoreReader, StoreSettings, signing_key,
};
use monitor_common::Count;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::report::Report;

const SET: &str = "1,000,000 rows of 30 days";
const ROWS: u32 = 1_000_000;
/// Device 0 has a fifth of all rows, and the other ones share the rest.
const DEVICES: u32 = 40;
const DESTINATIONS: u32 = 4_000;
const CLAIMS: u32 = 20_000;
/// Flows of the drain that is measured.
const DRAINED: u32 = 10_000;
const INSTANCE: Instance = Instance {
    token: 1,
    boot: None,
};

/// Fills a store once and measures it in each round. The last round forgets a device.
pub(crate) fn measure(rounds: usize, report: &mut Report) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let end = Timestamp::now();
    let (mut store, _) = Store::open(directory.path(), StoreSettings::default(), end)?;
    let mut epoch = fill(&mut store, end)?;
    let mut reader = StoreReader::open(directory.path())?.context("the store is there")?;
    for _ in 0..rounds {
        for (what, filter) in queries(end) {
            let time = milliseconds(|| {
                let found = reader.view()?.flows(&filter)?;
                ensure!(!found.flows.is_empty(), "{what}: no flows");
                Ok(())
            });
            report.add("store", SET, [(what, "ms")], time.map(|time| [time]));
        }
        epoch += 1;
        let flows = flows(DRAINED, epoch, end);
        let drained = drained(epoch, &flows);
        let time = milliseconds(|| Ok(store.write_drained(&drained, end)?));
        report.add(
            "store",
            SET,
            [("drain 10,000 flows", "ms")],
            time.map(|time| [time]),
        );
    }
    measure_log(&mut store, &mut reader, end, report);
    measure_report(&mut store, directory.path(), end, report)?;
    let used = store.used()?;
    let time = milliseconds(|| Ok(store.compact(end + SignedDuration::from_hours(24))?));
    report.add(
        "store",
        SET,
        [("daily compaction", "ms")],
        time.map(|time| [time]),
    );
    let time = milliseconds(|| Ok(store.forget(mac(0), end)?));
    report.add(
        "store",
        SET,
        [("forget a fifth", "ms")],
        time.map(|time| [time]),
    );
    #[expect(clippy::cast_precision_loss, reason = "a size in MiB")]
    let size = used.database as f64 / f64::from(1 << 20);
    report.add("store", SET, [("file", "MiB")], Ok([size]));
    Ok(())
}

/// Appends the lines of all packets to the log, and compares all rows with them.
fn measure_log(store: &mut Store, reader: &mut StoreReader, end: Timestamp, report: &mut Report) {
    let time = milliseconds(|| Ok(store.log_all(end)?));
    report.add(
        "store",
        SET,
        [("log all packets", "ms")],
        time.map(|time| [time]),
    );
    let time = milliseconds(|| {
        let check = reader.view()?.check_log(0)?;
        ensure!(
            check.wrong.is_empty() && check.compared > 0,
            "the log does not fit"
        );
        Ok(())
    });
    report.add(
        "store",
        SET,
        [("compare with the log", "ms")],
        time.map(|time| [time]),
    );
}

/// Makes a report of all rows, as JSON with its proof, and verifies it.
fn measure_report(
    store: &mut Store,
    state_dir: &Path,
    end: Timestamp,
    report: &mut Report,
) -> Result<()> {
    let filter = ReportFilter {
        since: Since::Seconds(30 * 24 * 3_600),
        until: Some(end),
        at: None,
        asked_device: None,
        devices: Vec::new(),
        policy: None,
        limit: 100,
    };
    let (mut made, mut text) = (monitor::report::Report::default(), String::new());
    let time = milliseconds(|| {
        let found = report_facts::read(&state_dir.join("pins"), state_dir, &filter, true)?;
        let facts = found.named(&DeviceBook::default(), &BTreeMap::new());
        made = monitor::report::build(&facts);
        text = Form::Json.render(&made)?;
        Ok(())
    });
    report.add(
        "store",
        SET,
        [("report, 30 days", "ms")],
        time.map(|time| [time]),
    );
    let key = signing_key(state_dir)?;
    let asked = AskedProof {
        format: Form::Json.word().to_owned(),
        sha256: digest(&text),
        since: end - SignedDuration::from_hours(30 * 24),
        until: end,
        devices: None,
        with_lines: true,
    };
    let time = milliseconds(|| {
        text = Form::Json.with_proof(&made, &store.prove(&asked, &key, end)?)?;
        Ok(())
    });
    report.add("store", SET, [("its proof", "ms")], time.map(|time| [time]));
    let time = milliseconds(|| {
        ensure!(
            verify(&text, None, None)?.holds(),
            "the report does not hold"
        );
        Ok(())
    });
    report.add(
        "store",
        SET,
        [("verify the report", "ms")],
        time.map(|time| [time]),
    );
    Ok(())
}

fn milliseconds<T>(work: impl FnOnce() -> Result<T>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// Writes a table for each hour of 30 days and, in the last two days, for each five minutes.
/// Returns the last epoch.
fn fill(store: &mut Store, end: Timestamp) -> Result<u64> {
    let hours = (48..30 * 24).rev().map(SignedDuration::from_hours);
    let minutes = (0..48 * 12).rev().map(|n| SignedDuration::from_mins(5 * n));
    let ages: Vec<_> = hours.chain(minutes).collect();
    let rows = ROWS / u32::try_from(ages.len())?;
    let mut epoch = 0;
    for age in ages {
        epoch += 1;
        let at = end - age;
        store.write_drained(&drained(epoch, &flows(rows, epoch, at)), at)?;
    }
    let claims: Vec<_> = (0..CLAIMS)
        .map(|number| {
            let destination = destination(number / 5 % DESTINATIONS);
            claim(number, mac(number % DEVICES), destination, end)
        })
        .collect();
    for chunk in claims.chunks(1_000) {
        store.write_claims(chunk, end)?;
    }
    Ok(epoch)
}

fn queries(end: Timestamp) -> [(&'static str, FlowQuery); 4] {
    let week = Some(end - SignedDuration::from_hours(7 * 24));
    let of = |device: Option<u32>, since| FlowQuery {
        device: device.map(mac),
        since,
        ..FlowQuery::default()
    };
    [
        ("flows of a device, 7 days", of(Some(1), week)),
        (
            "flows of a device with a fifth of all rows, 7 days",
            of(Some(0), week),
        ),
        ("flows of a device, 30 days", of(Some(1), None)),
        ("all flows, 7 days", of(None, week)),
    ]
}

fn drained(epoch: u64, flows: &[Flow]) -> Drained<'_> {
    Drained {
        instance: INSTANCE,
        epoch,
        flows,
    }
}

fn flows(number: u32, seed: u64, at: Timestamp) -> Vec<Flow> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut flows: Vec<_> = (0..number)
        .map(|row| {
            let device = if row % 5 == 0 {
                0
            } else {
                1 + row % (DEVICES - 1)
            };
            let packets = random.random_range(1..20);
            Flow {
                key: FlowKey {
                    device: mac(device),
                    interface: "br-lan".to_owned(),
                    direction: Direction::Out,
                    destination: destination(random.random_range(0..DESTINATIONS)).into(),
                    protocol: 6,
                    port: Port::Number(443),
                },
                policies: vec!["suspect".parse().expect("a valid name")],
                passed: Count {
                    packets,
                    bytes: 100 * packets,
                },
                dropped: Count::default(),
                first: at,
                last: at,
            }
        })
        .collect();
    flows.sort_by(|a, b| a.key.cmp(&b.key));
    flows.dedup_by(|a, b| a.key == b.key);
    flows
}

/// A name that a device stated to a destination in TLS.
pub(super) fn claim(
    number: u32,
    device: MacAddress,
    destination: Ipv4Addr,
    at: Timestamp,
) -> (FlowEnd, Claim) {
    let end = FlowEnd {
        device,
        destination: destination.into(),
        protocol: 6,
        port: 443,
    };
    let claim = Claim {
        name: format!("host-{number}.cdn.example.net"),
        source: NameSource::Sni,
        server: None,
        chain: Vec::new(),
        ech: None,
        first: at,
        last: at,
    };
    (end, claim)
}

/// The MAC of a device.
pub(super) fn mac(number: u32) -> MacAddress {
    let [a, b, c, d] = number.to_be_bytes();
    MacAddress([0x02, 0xee, a, b, c, d])
}

/// An address in 10.0.0.0/8.
fn destination(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 | (number * 37))
}
