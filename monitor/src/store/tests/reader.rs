//! Reading while another thread writes.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use jiff::SignedDuration;

use super::{INSTANCE, Opened, flow, noon, packets};
use crate::store::{FlowQuery, Remedy, StoreError, StoreReader, StoreSettings, View};

/// Packets of all flows, and of the sums by policy, and the epoch, as one view sees them.
fn seen(view: &View<'_>) -> (u64, u64, u64) {
    let flows = view.flows(&FlowQuery::default()).unwrap().flows;
    let rows = flows
        .iter()
        .map(|flow| flow.passed.packets + flow.dropped.packets)
        .sum();
    let recorded = view.recorded(INSTANCE.token).unwrap();
    let sums = recorded
        .iter()
        .map(|sum| sum.passed.packets + sum.dropped.packets)
        .sum();
    (
        rows,
        sums,
        view.drained(INSTANCE.token).unwrap().unwrap_or(0),
    )
}

/// Each table has 20 packets.
#[test]
fn a_view_sees_the_rows_of_exactly_the_drained_tables() {
    let mut opened = Opened::new();
    let mut reader = opened.reader();
    let done = AtomicBool::new(false);
    let views = thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut views = 0;
            let mut last = 0;
            while !done.load(Ordering::Relaxed) || views < 5 {
                let view = reader.view().unwrap();
                let (rows, sums, epoch) = seen(&view);
                assert_eq!((rows, sums), (20 * epoch, 20 * epoch));
                assert!(epoch >= last);
                last = epoch;
                views += 1;
            }
            views
        });
        for n in 0_u32..200 {
            let now = noon() + SignedDuration::from_secs(10 * i64::from(n));
            let flows: Vec<_> = (0..4).map(|to| flow(n % 3, to, 4, now)).collect();
            opened.drain(&flows, now);
            if n % 50 == 0 {
                opened
                    .store
                    .compact(now + SignedDuration::from_hours(49))
                    .unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
        reading.join().unwrap()
    });
    assert!(views >= 5);
    assert_eq!(packets(&mut reader), (4_000, 0));
}

#[test]
fn a_view_keeps_what_it_saw_first() {
    let mut opened = Opened::new();
    opened.drain(&[flow(1, 1, 4, noon())], noon());
    let mut reader = opened.reader();
    let view = reader.view().unwrap();
    opened.drain(&[flow(1, 1, 4, noon())], noon());
    assert_eq!(seen(&view), (5, 5, 1));
    drop(view);
    assert_eq!(seen(&reader.view().unwrap()), (10, 10, 2));
}

#[test]
fn a_reader_that_stays_stops_the_writer_at_the_size_and_loses_nothing() {
    let size = 6 << 20;
    let mut opened = Opened::with(StoreSettings {
        size,
        ..StoreSettings::default()
    });
    opened.drain(&[flow(1, 1, 4, noon())], noon());
    let mut reader = opened.reader();
    let view = reader.view().unwrap();
    let mut tables = 1;
    let error = loop {
        let flows: Vec<_> = (0..100).map(|to| flow(1, to, 4, noon())).collect();
        let table = crate::store::Drained {
            instance: INSTANCE,
            epoch: tables + 1,
            flows: &flows,
        };
        match opened.store.write_drained(&table, noon()) {
            Ok(_) => tables += 1,
            Err(error) => break error,
        }
        assert!(tables < 10_000);
    };
    assert!(matches!(error, StoreError::LogHeld { .. }), "{error}");
    assert_eq!(error.remedy(), Remedy::Retry);
    assert!(bytes(&opened) <= size, "{}", bytes(&opened));
    assert_eq!(seen(&view), (5, 5, 1));
    drop(view);
    opened.epoch = tables;
    opened.drain(&[flow(1, 1, 4, noon())], noon());
    assert_eq!(packets(&mut reader), (5 + 500 * (tables - 1) + 5, 0));
}

fn bytes(opened: &Opened) -> u64 {
    let entries = opened.path().read_dir().unwrap();
    entries
        .map(|entry| fs::metadata(entry.unwrap().path()).unwrap().len())
        .sum()
}

#[test]
fn a_query_can_be_stopped() {
    let mut opened = Opened::new();
    let flows: Vec<_> = (0..3_000).map(|to| flow(1, to, 4, noon())).collect();
    opened.drain(&flows, noon());
    let mut reader = opened.reader();
    let handle = reader.interrupt_handle();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                handle.interrupt();
            }
        });
        let view = loop {
            if let Ok(view) = reader.view() {
                break view;
            }
        };
        let stopped = (0..1_000).any(|_| view.flows(&FlowQuery::default()).is_err());
        stop.store(true, Ordering::Relaxed);
        assert!(stopped);
    });
}

#[test]
fn without_a_store_there_is_no_reader() {
    let directory = tempfile::tempdir().unwrap();
    assert!(StoreReader::open(directory.path()).unwrap().is_none());
    fs::write(directory.path().join(crate::store::FILE), "").unwrap();
    assert!(StoreReader::open(directory.path()).unwrap().is_none());
    assert_eq!(directory.path().read_dir().unwrap().count(), 1);
}
