//! A disk without room. Needs root, to mount a small file system.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
};

use jiff::Timestamp;
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};
use tempfile::TempDir;

use super::{INSTANCE, claim, days, flow, mac, noon, packets, verify};
use crate::store::{Drained, FILE, Loss, Remedy, Store, StoreError, StoreReader, StoreSettings};

/// A small file system in memory. Only the thread that mounts it sees it, so it goes with
/// the thread at the latest.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new(size: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let options = format!("size={size},mode=0700");
        let flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
        mount(
            Some("tmpfs"),
            directory.path(),
            Some("tmpfs"),
            flags,
            Some(options.as_str()),
        )
        .unwrap();
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills the disk. Removing the file makes room again.
    fn fill(&self) {
        let mut options = OpenOptions::new();
        let mut file = options
            .append(true)
            .create(true)
            .open(self.filler())
            .unwrap();
        for size in [4_096, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> std::path::PathBuf {
        self.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        umount2(self.0.path(), MntFlags::MNT_DETACH).unwrap();
    }
}

fn write(store: &mut Store, epoch: u64) -> Result<(), StoreError> {
    write_at(store, epoch, noon())
}

/// Writes a table of 1,000 packets.
fn write_at(store: &mut Store, epoch: u64, now: Timestamp) -> Result<(), StoreError> {
    let n = u32::try_from(epoch).unwrap() * 200;
    let flows: Vec<_> = (n..n + 200).map(|to| flow(to % 3, to, 4, now)).collect();
    let table = Drained {
        instance: INSTANCE,
        epoch,
        flows: &flows,
    };
    store.write_drained(&table, now).map(|_| ())
}

#[test]
fn a_table_is_written_completely_or_not_at_all_and_later_again() {
    let disk = SmallDisk::new("8m");
    let (mut store, _) = Store::open(disk.path(), StoreSettings::default(), noon()).unwrap();
    let mut failures = 0_u32;
    let mut epoch = 1;
    for _ in 0..6 {
        for _ in 0..5 {
            write(&mut store, epoch).unwrap();
            epoch += 1;
        }
        disk.fill();
        let error = loop {
            match write(&mut store, epoch) {
                Ok(()) => epoch += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.remedy(), Remedy::Retry, "{error}");
        failures += 1;
        // A claim is smaller than a table, and may find room in the log.
        let claims = [claim(1, 1_000_000 + failures, "a.example", noon())];
        if let Err(error) = store.write_claims(&claims, noon()) {
            assert_eq!(error.remedy(), Remedy::Retry, "{error}");
        }
        // What was written before can be read on the full disk.
        let mut reader = StoreReader::open(disk.path()).unwrap().unwrap();
        assert_eq!(packets(&mut reader), (1_000 * (epoch - 1), 0));
        assert_eq!(store.drained(INSTANCE.token).unwrap(), Some(epoch - 1));
        disk.make_room();
        write(&mut store, epoch).unwrap();
        epoch += 1;
        let loss = Loss {
            reason: "store".to_owned(),
            policy: None,
            packets: 1,
            bytes: 0,
        };
        store.write_losses(&[loss], noon()).unwrap();
    }
    let mut reader = StoreReader::open(disk.path()).unwrap().unwrap();
    assert_eq!(packets(&mut reader), (1_000 * (epoch - 1), 0));
    let losses = reader.view().unwrap().losses(noon()).unwrap();
    let store = losses.iter().find(|loss| loss.loss.reason == "store");
    assert_eq!(store.unwrap().loss.packets, u64::from(failures));
    verify(&rusqlite::Connection::open(disk.path().join(FILE)).unwrap());
}

#[test]
fn a_store_on_a_full_disk_opens_when_there_is_room() {
    let disk = SmallDisk::new("1m");
    disk.fill();
    let error = Store::open(disk.path(), StoreSettings::default(), noon()).unwrap_err();
    assert_eq!(error.remedy(), Remedy::Retry, "{error}");
    disk.make_room();
    let (mut store, opened) = Store::open(disk.path(), StoreSettings::default(), noon()).unwrap();
    assert!(opened.new && opened.damaged.is_none());
    write(&mut store, 1).unwrap();
}

#[test]
fn a_device_is_forgotten_completely_as_soon_as_there_is_room() {
    let disk = SmallDisk::new("8m");
    let (mut store, _) = Store::open(disk.path(), StoreSettings::default(), noon()).unwrap();
    let mut epoch = 0;
    while store.used().unwrap().database < 2 << 20 {
        epoch += 1;
        assert!(epoch < 300);
        let now = noon() + days(i64::try_from(epoch).unwrap());
        write_at(&mut store, epoch, now).unwrap();
        store.empty_log().unwrap();
    }
    // Leaves room for the log, but not for a second copy of the database.
    disk.fill();
    let filler = OpenOptions::new().write(true).open(disk.filler()).unwrap();
    let size = filler.metadata().unwrap().len();
    filler.set_len(size - (5 << 19)).unwrap();
    drop(filler);
    assert!(!store.forget(mac(1), noon()).unwrap().complete);
    let mut reader = StoreReader::open(disk.path()).unwrap().unwrap();
    let devices = reader.view().unwrap().devices(None, 10).unwrap();
    assert_eq!(
        devices.iter().map(|device| device.mac).collect::<Vec<_>>(),
        [mac(0), mac(2)]
    );
    disk.make_room();
    assert!(store.forget(mac(1), noon()).unwrap().complete);
}
