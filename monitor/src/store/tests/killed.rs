//! Kills the writing process in the middle of its work.

use std::{
    env,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use jiff::SignedDuration;

use super::{INSTANCE, Opened, claim, flow, noon, packets, verify};
use crate::store::{Drained, Store, StoreReader, StoreSettings};

/// Tells the test process that it is the one to be killed, and the state directory.
const DIRECTORY: &str = "MONITOR_TEST_STORE_TO_KILL";

/// Writes tables of 50 packets until it is killed. Every seventh table it also compacts,
/// and every eleventh it forgets a device.
fn write_until_killed(directory: &Path) -> ! {
    let (mut store, _) = Store::open(directory, StoreSettings::default(), noon()).unwrap();
    let mut epoch = store.drained(INSTANCE.token).unwrap().unwrap_or(0);
    loop {
        epoch += 1;
        let n = u32::try_from(epoch).unwrap();
        let now = noon() + SignedDuration::from_mins(20 * i64::from(n));
        let flows: Vec<_> = (0..10)
            .map(|to| flow(to % 3, n * 10 + to, 4, now))
            .collect();
        let table = Drained {
            instance: INSTANCE,
            epoch,
            flows: &flows,
        };
        store.write_drained(&table, now).unwrap();
        store
            .write_claims(&[claim(1, n * 10 + 1, "a.example", now)], now)
            .unwrap();
        if epoch.is_multiple_of(7) {
            store.compact(now).unwrap();
        }
        if epoch.is_multiple_of(11) {
            store.forget(super::mac(n % 3), now).unwrap();
        }
    }
}

fn start(directory: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "store::tests::killed::after_kill_9_every_drained_table_is_there_completely",
        ])
        .env(DIRECTORY, directory)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn epoch(directory: &Path) -> u64 {
    let reader = StoreReader::open(directory).ok().flatten();
    let epoch = reader.and_then(|mut reader| reader.view().ok()?.drained(INSTANCE.token).ok()?);
    epoch.unwrap_or(0)
}

/// Starts this test again as the process to kill.
#[test]
fn after_kill_9_every_drained_table_is_there_completely() {
    if let Some(directory) = env::var_os(DIRECTORY) {
        write_until_killed(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    for round in 0..12 {
        let before = epoch(directory.path());
        let mut child = start(directory.path());
        // Kills at another moment in each round.
        while epoch(directory.path()) < before + 3 {
            assert!(child.try_wait().unwrap().is_none(), "the process ended");
        }
        thread::sleep(Duration::from_millis(13 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let mut reader = StoreReader::open(directory.path()).unwrap().unwrap();
        let drained = reader
            .view()
            .unwrap()
            .drained(INSTANCE.token)
            .unwrap()
            .unwrap();
        assert!(drained >= before + 3);
        let (recorded, removed) = packets(&mut reader);
        assert_eq!(recorded + removed, 50 * drained);
        verify(&rusqlite::Connection::open(directory.path().join(crate::store::FILE)).unwrap());
    }
    let (store, opened) = Store::open(directory.path(), StoreSettings::default(), noon()).unwrap();
    assert!(opened.killed && opened.damaged.is_none() && !opened.new);
    let mut reader = StoreReader::open(directory.path()).unwrap().unwrap();
    let losses = reader.view().unwrap().losses(noon()).unwrap();
    assert!(losses.iter().any(|stored| stored.loss.reason == "killed"));
    store.close().unwrap();
    let (_, opened) = Store::open(directory.path(), StoreSettings::default(), noon()).unwrap();
    assert!(!opened.killed);
}

/// The test can fail only if a kill can leave traces: here the process is stopped in a
/// transaction.
#[test]
fn an_unfinished_transaction_leaves_no_row() {
    let mut opened = Opened::new();
    opened.drain(&[flow(1, 1, 4, noon())], noon());
    let raw = opened.raw();
    raw.execute_batch("BEGIN IMMEDIATE; DELETE FROM count; UPDATE instance SET drained = 99")
        .unwrap();
    drop(raw);
    assert_eq!(packets(&mut opened.reader()), (5, 0));
    assert_eq!(opened.store.drained(INSTANCE.token).unwrap(), Some(1));
}
