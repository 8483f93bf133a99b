//! Takes in what is seen of devices, and writes it into the store.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    config::Settings,
    daemon::evidence_handle::lock,
    datapath::{self, Neighbour},
    device_book::DeviceBook,
    device_files::DeviceFiles,
    evidence::{
        SeenAddress,
        identity::{Fact, FactSource, Period},
        learner::StatedModel,
    },
    policy::MacAddress,
    store::{DeviceFact, Store, StoreError},
};

/// Time between two looks at the neighbours and the leases.
const LOOK: Duration = Duration::from_mins(1);

/// The same, if an operator asks.
const LOOK_WHEN_ASKED: Duration = Duration::from_secs(1);

/// Facts that are older than the last write by less than this are written again, because
/// packets are drained up to some seconds after they were seen.
const OVERLAP: SignedDuration = SignedDuration::from_secs(60);

pub(super) struct DeviceRecorder {
    interfaces: Vec<String>,
    files: DeviceFiles,
    book: Arc<Mutex<DeviceBook>>,
    looked: Option<Instant>,
    /// Devices whose facts the store has, with the time of the last write.
    written: BTreeMap<MacAddress, Timestamp>,
}

impl DeviceRecorder {
    pub(super) fn new(settings: &Settings, book: Arc<Mutex<DeviceBook>>) -> Self {
        *lock(&book) = DeviceBook::new(&settings.device_files);
        Self {
            interfaces: settings.interfaces.clone(),
            files: DeviceFiles::new(&settings.device_files, &settings.interfaces),
            book,
            looked: None,
            written: BTreeMap::new(),
        }
    }

    /// Reads the files that changed, and from time to time the neighbour tables and all
    /// leases. Returns messages for the operator.
    pub(super) fn look(&mut self, now: Timestamp, is_asked: bool) -> Vec<String> {
        let (vendors, names) = (self.files.vendors(), self.files.names());
        lock(&self.book).update(vendors, names);
        let wait = if is_asked { LOOK_WHEN_ASKED } else { LOOK };
        let is_due = self.looked.is_none_or(|looked| looked.elapsed() >= wait);
        if self.files.have_leases_changed() || is_due {
            let neighbours = datapath::neighbour_entries(&self.interfaces);
            let mut leases = Vec::new();
            self.files.leases(|of_file| leases.push(of_file));
            let identities = &mut lock(&self.book).identities;
            // An interface may be absent; then it has no neighbours.
            for neighbour in neighbours.into_iter().flatten() {
                if let Neighbour {
                    mac,
                    address: Some(address),
                    confirmed,
                    age,
                    ..
                } = neighbour
                {
                    let at = now.checked_sub(age).unwrap_or(now);
                    identities.neighbour(mac, address, confirmed, at);
                }
            }
            for of_file in leases {
                identities.leases(&of_file, now);
            }
            self.looked = Some(Instant::now());
        }
        self.files.take_warnings()
    }

    /// Takes in the source addresses of packets, and models that devices stated.
    pub(super) fn take(&mut self, addresses: &[SeenAddress], models: Vec<StatedModel>) {
        let mut addresses = addresses.to_vec();
        addresses.sort_by_key(|seen| (seen.at, seen.device, seen.address));
        let identities = &mut lock(&self.book).identities;
        for seen in addresses {
            identities.frame(seen.device, seen.address, seen.at);
        }
        for StatedModel {
            device,
            model,
            source,
            at,
        } in models
        {
            identities.fact(device, Fact::Model(model), source.into(), at);
        }
    }

    /// Writes the facts that are new since the last write. The store takes only devices whose
    /// packets a policy matched.
    pub(super) fn write(&mut self, store: &mut Store, now: Timestamp) -> Result<(), StoreError> {
        for (device, facts) in self.new_facts(now) {
            if store.write_device_facts(device, &facts, now)? > 0 {
                self.written.insert(device, now);
            }
        }
        Ok(())
    }

    fn new_facts(&mut self, now: Timestamp) -> BTreeMap<MacAddress, Vec<DeviceFact>> {
        let identities = &lock(&self.book).identities;
        self.written
            .retain(|mac, at| *at <= now && identities.get(*mac).is_some());
        let mut facts: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (device, fact, source, period) in identities.facts() {
            let written = self.written.get(&device);
            let is_new =
                written.is_none_or(|at| period.last >= at.saturating_sub(OVERLAP).unwrap_or(*at));
            if is_new {
                let facts = facts.entry(device).or_default();
                facts.push(stored(&fact, source, period));
            }
        }
        facts
    }

    /// Lets the next write write all facts.
    pub(super) fn write_all_again(&mut self) {
        self.written.clear();
    }

    pub(super) fn forget(&mut self, device: MacAddress) {
        lock(&self.book).identities.forget(device);
        self.written.remove(&device);
    }

    /// Number of devices and facts that found no room.
    pub(super) fn lost(&self) -> u64 {
        let losses = lock(&self.book).identities.losses();
        losses.devices_removed
            + losses.devices_refused
            + losses.addresses
            + losses.host_names
            + losses.models
    }
}

fn stored(fact: &Fact, source: FactSource, period: Period) -> DeviceFact {
    let (kind, value) = fact.words();
    DeviceFact {
        kind: kind.to_owned(),
        value,
        source: source.word().to_owned(),
        first: period.first,
        last: period.last,
    }
}
