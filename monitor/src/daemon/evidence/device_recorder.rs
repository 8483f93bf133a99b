//! Takes in what is seen of devices, and writes it into the store.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::{
    config::Settings,
    daemon::evidence_handle::lock,
    datapath::{self, Neighbour},
    device_book::DeviceBook,
    device_files::DeviceFiles,
    evidence::{
        SeenAddress,
        identity::{Fact, FactSource, Period, Rank},
        learner::StatedModel,
    },
    policy::MacAddress,
    store::{DeviceFact, Store, StoreError},
};

/// Time between two looks at the neighbours and the leases.
const LOOK: Duration = Duration::from_mins(1);

/// The same, if an operator asks.
const LOOK_WHEN_ASKED: Duration = Duration::from_secs(10);

pub(super) struct DeviceRecorder {
    settings: Settings,
    files: DeviceFiles,
    book: Arc<Mutex<DeviceBook>>,
    looked: Option<Instant>,
    /// Devices whose facts the store has, except the changed ones.
    written: BTreeSet<MacAddress>,
    /// Devices with facts that the store does not have in their present form.
    changed: BTreeSet<MacAddress>,
}

impl DeviceRecorder {
    pub(super) fn new(settings: &Settings, book: Arc<Mutex<DeviceBook>>) -> Self {
        *lock(&book) = DeviceBook::new(&settings.device_files);
        Self {
            files: DeviceFiles::new(&settings.device_files, &settings.lan_names()),
            settings: settings.clone(),
            book,
            looked: None,
            written: BTreeSet::new(),
            changed: BTreeSet::new(),
        }
    }

    /// Reads the files of vendors and names, if they changed. Returns true if a look at the
    /// neighbours and leases is due. Then the caller calls [`Self::read_next`] until it
    /// returns false, and [`Self::look`].
    pub(super) fn begin(&mut self, is_asked: bool) -> bool {
        let (vendors, names) = (self.files.vendors(), self.files.names());
        let macs = names.iter().flat_map(|file| file.names.keys().copied());
        let macs: Vec<_> = macs.collect();
        let book = &mut lock(&self.book);
        book.update(vendors, names);
        for mac in macs {
            book.identities.prefer(mac, Rank::Operator);
        }
        let wait = if is_asked { LOOK_WHEN_ASKED } else { LOOK };
        let is_due = self.looked.is_none_or(|looked| looked.elapsed() >= wait);
        if is_due {
            self.files.begin_leases();
        }
        is_due
    }

    /// Reads the next lease file that changed. Returns false if there is no other one.
    pub(super) fn read_next(&mut self, now: Timestamp) -> bool {
        self.files.read_next_leases(now)
    }

    /// Takes in the neighbours and all leases.
    pub(super) fn look(&mut self, now: Timestamp) {
        // Interfaces that match a pattern come and go.
        let interfaces = self.settings.real_interfaces();
        let neighbours = interfaces.and_then(|names| datapath::neighbour_entries(&names));
        let identities = &mut lock(&self.book).identities;
        // An interface may be absent; then it has no neighbours.
        for neighbour in neighbours.into_iter().flatten() {
            if let Neighbour {
                mac,
                address: Some(address),
                reachable,
                age,
                ..
            } = neighbour
            {
                let at = now.checked_sub(age).unwrap_or(now);
                identities.neighbour(mac, address, reachable, at);
            }
        }
        for of_file in self.files.leases() {
            identities.leases(of_file, now);
        }
        self.looked = Some(Instant::now());
    }

    /// Takes away the messages for the operator.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
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

    /// Writes the facts of devices that are new to the store, and of devices with a change
    /// since the last write. The store takes only devices whose packets a policy matched.
    pub(super) fn write(&mut self, store: &mut Store, now: Timestamp) -> Result<(), StoreError> {
        let facts = self.new_facts(store.oldest(now));
        let known = store.write_device_facts(&facts, now)?;
        let identities = &mut lock(&self.book).identities;
        for device in &known {
            identities.prefer(*device, Rank::Stored);
        }
        // A device that the store does not know is asked for again at the next write.
        self.changed.clear();
        self.written.extend(known);
        Ok(())
    }

    /// The facts to write, none of which is older than `oldest`.
    fn new_facts(&mut self, oldest: Timestamp) -> BTreeMap<MacAddress, Vec<DeviceFact>> {
        let identities = &mut lock(&self.book).identities;
        self.changed.extend(identities.take_changed());
        self.written.retain(|mac| identities.get(*mac).is_some());
        let mut facts: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (mac, device) in identities.iter() {
            if self.written.contains(&mac) && !self.changed.contains(&mac) {
                continue;
            }
            let of_device = device.facts().filter(|(.., period)| period.last >= oldest);
            let of_device = of_device.map(|(fact, source, period)| stored(&fact, source, period));
            facts.insert(mac, of_device.collect());
        }
        facts
    }

    /// Removes facts from memory whose last time is before `oldest`.
    pub(super) fn expire(&self, oldest: Timestamp) {
        lock(&self.book).identities.expire(oldest);
    }

    /// Lets the next write write all facts.
    pub(super) fn write_all_again(&mut self) {
        self.written.clear();
    }

    pub(super) fn forget(&mut self, device: MacAddress) {
        lock(&self.book).identities.forget(device);
        self.written.remove(&device);
        self.changed.remove(&device);
    }

    /// Number of devices and facts that found no room.
    pub(super) fn lost(&self) -> u64 {
        let losses = lock(&self.book).identities.losses();
        losses.devices_removed
            + losses.devices_refused
            + losses.addresses
            + losses.host_names
            + losses.models
            + self.files.lost()
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

#[cfg(test)]
mod tests;
