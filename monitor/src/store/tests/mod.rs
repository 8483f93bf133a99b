//! Tests of the store on real files.

mod captures;
mod contact_list;
mod damaged;
mod device_sums;
mod drain;
mod equation;
mod flood;
mod forget;
mod full_disk;
mod killed;
mod merkle_log;
mod migration;
mod reader;
mod records;
mod retention;

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

use jiff::{SignedDuration, Timestamp};
use monitor_common::Count;
use rusqlite::Connection;
use tempfile::TempDir;

use super::{Drained, FlowQuery, Instance, Store, StoreReader, StoreSettings};
use crate::evidence::FlowRow;
use crate::{
    evidence::{
        claim::{Claim, FlowEnd, NameSource},
        flow::{Direction, Flow, FlowKey, Port},
    },
    policy::{MacAddress, PolicyName},
};

/// 2026-11-29T12:00:00Z.
const NOON: i64 = 1_795_953_600;

const INSTANCE: Instance = Instance {
    token: 0xfedc_ba98_7654_3210,
    boot: Some([7; 16]),
};

fn noon() -> Timestamp {
    Timestamp::from_second(NOON).unwrap()
}

/// A time before noon of the test's day.
fn ago(duration: SignedDuration) -> Timestamp {
    noon().checked_sub(duration).unwrap()
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

fn mac(number: u32) -> MacAddress {
    let [a, b, c, d] = number.to_be_bytes();
    MacAddress([0x02, 0xee, a, b, c, d])
}

fn policy(name: &str) -> PolicyName {
    name.parse().unwrap()
}

/// An address in 10.0.0.0/8.
fn destination(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 | number).into()
}

/// A flow of one dropped and `packets` passed packets, 100 bytes each.
fn flow(device: u32, to: u32, packets: u64, at: Timestamp) -> Flow {
    Flow {
        key: FlowKey {
            device: mac(device),
            interface: "br-lan".to_owned(),
            direction: Direction::Out,
            destination: destination(to),
            protocol: 6,
            port: Port::Number(443),
        },
        policies: vec![policy("strict"), policy("all")],
        passed: count(packets),
        dropped: count(1),
        first: at,
        last: at,
    }
}

fn count(packets: u64) -> Count {
    Count {
        packets,
        bytes: 100 * packets,
    }
}

fn claim(device: u32, to: u32, name: &str, at: Timestamp) -> (FlowEnd, Claim) {
    let end = FlowEnd {
        device: mac(device),
        destination: destination(to),
        protocol: 6,
        port: 443,
    };
    let claim = Claim {
        name: name.to_owned(),
        source: NameSource::Sni,
        server: None,
        chain: Vec::new(),
        ech: None,
        first: at,
        last: at,
    };
    (end, claim)
}

/// A store in a directory of its own.
struct Opened {
    directory: TempDir,
    store: Store,
    epoch: u64,
}

impl Opened {
    fn new() -> Self {
        Self::with(StoreSettings::default())
    }

    fn with(settings: StoreSettings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (store, opened) = Store::open(directory.path(), settings, noon()).unwrap();
        assert!(opened.new);
        Self {
            directory,
            store,
            epoch: 0,
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes flows as the next drained table.
    fn drain(&mut self, flows: &[Flow], now: Timestamp) -> super::Written {
        self.epoch += 1;
        let drained = Drained {
            instance: INSTANCE,
            epoch: self.epoch,
            flows,
        };
        self.store.write_drained(&drained, now).unwrap()
    }

    fn reader(&self) -> StoreReader {
        StoreReader::open(self.path()).unwrap().unwrap()
    }

    fn flows(&self, filter: &FlowQuery) -> Vec<FlowRow> {
        self.reader().view().unwrap().flows(filter).unwrap().flows
    }

    fn raw(&self) -> Connection {
        Connection::open(self.path().join(super::FILE)).unwrap()
    }

    /// Checks that the sums by list are those of the rows, and that all rows that other
    /// rows refer to are there.
    fn verify(&self) {
        verify(&self.raw());
    }
}

fn verify(raw: &Connection) {
    let differences = "
        SELECT 'sums', instance, list FROM (
            SELECT instance, list, passed_packets, passed_bytes, dropped_packets,
                dropped_bytes, 1 AS sign FROM count
            UNION ALL
            SELECT instance, list, passed_packets, passed_bytes, dropped_packets,
                dropped_bytes, iif(reason = 'written', -1, 1) FROM total)
        GROUP BY instance, list
        HAVING sum(sign * passed_packets) <> 0 OR sum(sign * passed_bytes) <> 0
            OR sum(sign * dropped_packets) <> 0 OR sum(sign * dropped_bytes) <> 0
        UNION ALL SELECT 'bucket sums', bucket, list FROM (
            SELECT bucket, list, passed_packets, dropped_packets, 1 AS sign FROM count
                WHERE direction = 0
            UNION ALL
            SELECT bucket, list, passed_packets, dropped_packets, -1 FROM bucket_sum)
        GROUP BY bucket, list
        HAVING sum(sign * passed_packets) <> 0 OR sum(sign * dropped_packets) <> 0
        UNION ALL SELECT 'flow end', flow_end, bucket FROM count
            WHERE flow_end NOT IN (SELECT id FROM flow_end)
        UNION ALL SELECT 'bucket', bucket, 0 FROM count
            WHERE bucket NOT IN (SELECT number FROM bucket)
        UNION ALL SELECT 'list', list, 0 FROM total WHERE list NOT IN (SELECT id FROM list)
        UNION ALL SELECT 'device', device, id FROM flow_end
            WHERE device NOT IN (SELECT id FROM device)
        UNION ALL SELECT 'claim', flow_end, 0 FROM claim
            WHERE flow_end NOT IN (SELECT id FROM flow_end)";
    let found: Vec<(String, i64, i64)> = raw
        .prepare(differences)
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(found, []);
    let check: String = raw
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
}

/// Returns the packets of all stored rows and of all removed sums of the test's instance.
fn packets(reader: &mut StoreReader) -> (u64, u64) {
    let view = reader.view().unwrap();
    let recorded = view.recorded(INSTANCE.token).unwrap();
    let removed = view.removed(INSTANCE.token).unwrap();
    (
        recorded
            .iter()
            .map(|sum| sum.passed.packets + sum.dropped.packets)
            .sum(),
        removed
            .iter()
            .map(|removed| removed.sum.passed.packets + removed.sum.dropped.packets)
            .sum(),
    )
}
