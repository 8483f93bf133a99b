use jiff::SignedDuration;
use monitor_common::Count;
use tempfile::TempDir;

use super::*;
use crate::{
    config::Options,
    evidence::flow::{Direction, Flow, FlowKey, Port},
    store::{Drained, Instance, StoreReader, StoreSettings},
};

const PHONE: MacAddress = MacAddress([0x64, 0xcc, 0x2e, 0x11, 0x22, 0x33]);

struct Recorded {
    directory: TempDir,
    store: Store,
    recorder: DeviceRecorder,
    now: Timestamp,
}

impl Recorded {
    /// A store that has packets of the phone.
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let now = Timestamp::from_second(1_795_953_600).unwrap();
        let settings = Options::default().settle();
        let (mut store, _) = Store::open(directory.path(), StoreSettings::default(), now).unwrap();
        let flow = Flow {
            key: FlowKey {
                device: PHONE,
                interface: "wlan0".to_owned(),
                direction: Direction::Out,
                destination: [192, 0, 2, 1].into(),
                protocol: 6,
                port: Port::Number(443),
            },
            policies: vec!["all".parse().unwrap()],
            passed: Count::default(),
            dropped: Count {
                packets: 1,
                bytes: 100,
            },
            first: now,
            last: now,
        };
        let instance = Instance {
            token: 1,
            boot: None,
        };
        let drained = Drained {
            instance,
            epoch: 1,
            flows: &[flow],
        };
        store.write_drained(&drained, now).unwrap();
        Self {
            directory,
            store,
            recorder: DeviceRecorder::new(&settings, Arc::default()),
            now,
        }
    }

    fn fact(&self, name: &str, at: Timestamp) {
        let source = FactSource::MiPush;
        let identities = &mut lock(&self.recorder.book).identities;
        identities.fact(PHONE, Fact::HostName(name.to_owned()), source, at);
    }

    fn write(&mut self) {
        self.recorder.write(&mut self.store, self.now).unwrap();
    }

    /// Names in the store, each with its last time.
    fn stored(&self) -> Vec<(String, Timestamp)> {
        let mut reader = StoreReader::open(self.directory.path()).unwrap().unwrap();
        let view = reader.view().unwrap();
        let device = view.device(PHONE).unwrap().unwrap();
        let facts = device.facts.into_iter();
        facts.map(|fact| (fact.value, fact.last)).collect()
    }
}

#[test]
fn a_fact_that_expired_does_not_come_back_from_memory() {
    let mut recorded = Recorded::new();
    let day = SignedDuration::from_hours(24);
    let (start, last_month) = (recorded.now, recorded.now - day * 29);
    recorded.fact("old", last_month);
    recorded.fact("new", start);
    recorded.write();
    assert_eq!(recorded.stored().len(), 2);
    recorded.now = start + day * 2;
    recorded.store.compact(recorded.now).unwrap();
    // Also without the removal from memory, nothing old is written.
    recorded.recorder.write_all_again();
    recorded.write();
    assert_eq!(recorded.stored(), [("new".to_owned(), start)]);
    let oldest = recorded.store.oldest(recorded.now);
    recorded.recorder.expire(oldest);
    let identities = &lock(&recorded.recorder.book).identities;
    let names = identities.get(PHONE).unwrap().host_names();
    assert_eq!(names.keys().collect::<Vec<_>>(), ["new"]);
}

#[test]
fn a_fact_of_an_older_time_is_written_at_the_next_write() {
    let mut recorded = Recorded::new();
    recorded.fact("first", recorded.now);
    recorded.write();
    let hour_ago = recorded.now - SignedDuration::from_hours(1);
    recorded.fact("late", hour_ago);
    recorded.write();
    assert!(recorded.stored().contains(&("late".to_owned(), hour_ago)));
}

/// A device gets a row in the store only later, when a policy matches its first packet.
#[test]
fn facts_of_before_the_first_packet_are_written() {
    let mut recorded = Recorded::new();
    recorded.fact("x", recorded.now);
    recorded.store.forget_all(&[PHONE], recorded.now).unwrap();
    recorded.write();
    let other = Recorded::new();
    recorded.store = other.store;
    recorded.directory = other.directory;
    recorded.write();
    assert_eq!(recorded.stored(), [("x".to_owned(), recorded.now)]);
}
