//! The state of the thread that records evidence.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    facts::facts_of,
    lost::{Lost, loss},
    notes::notes,
    periods::Periods,
};
use crate::{
    clock,
    config::Settings,
    datapath::{self, DnsCopies, FlowRings, FlowTables, TakenFlows},
    evidence::{Claim, FlowEnd, absence::Absence, encrypted::resolver_addresses, learner::Learner},
    policy::{EvidenceLevel, MacAddress},
    snapshot::InterfaceSnapshot,
    store::{self, Drained, Instance, Remedy, Store, StoreError},
};

/// Time between two attempts to open the store, or to copy DNS answers.
const RETRY: Duration = Duration::from_secs(30);

/// Why evidence is not recorded.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error(transparent)]
    Datapath(#[from] datapath::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a device is not forgotten.
#[derive(Debug, thiserror::Error)]
pub(super) enum ForgetError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "its rows are removed, but traces may be left in the file of the store, because the disk is too full or a reader uses it; run the command again"
    )]
    Traces,
}

pub(super) struct EvidenceRecorder {
    settings: Settings,
    state_dir: PathBuf,
    store: Option<Store>,
    tables: Option<FlowTables>,
    rings: Option<FlowRings>,
    copies: BTreeMap<String, DnsCopies>,
    copies_due: Instant,
    learner: Learner,
    new_flows: usize,
    compacted: Option<Timestamp>,
    /// What the kernel had lost at the last drain.
    lost: Lost,
    /// Generation and ruleset at the last drain.
    ruleset: Option<(u64, String)>,
    periods: Option<Periods>,
    /// Claims that a failed write left.
    claims: Vec<(FlowEnd, Claim)>,
    notes: Vec<String>,
}

impl EvidenceRecorder {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            state_dir: settings.state_dir.clone(),
            settings: settings.clone(),
            store: None,
            tables: None,
            rings: None,
            copies: BTreeMap::new(),
            copies_due: Instant::now(),
            learner: Learner::new(settings.dns, Timestamp::now()),
            new_flows: 0,
            compacted: None,
            lost: Lost::default(),
            ruleset: None,
            periods: None,
            claims: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Reads the ring buffers.
    pub(super) fn look(&mut self) {
        let learner = &mut self.learner;
        for copies in self.copies.values_mut() {
            copies.read(|copy| learner.copy(&copy));
        }
        if let Some(rings) = &mut self.rings {
            rings.samples(|sample| learner.sample(&sample));
            self.new_flows += rings.new_flows();
        }
    }

    /// New flows since the last drain.
    pub(super) fn new_flows(&self) -> usize {
        self.new_flows
    }

    /// Drains the tables into the store, and writes what was learnt. Returns messages for the
    /// operator.
    ///
    /// # Errors
    ///
    /// Returns the error of the store or of the kernel. Then the flows stay in the kernel, and
    /// the next call tries again.
    pub(super) fn drain(&mut self) -> Result<Vec<String>, RecordError> {
        self.new_flows = 0;
        self.learner.expire(Timestamp::now());
        if self.tables.is_none() {
            self.tables = FlowTables::open(&self.settings.pin_dir)?;
            let tables = self.tables.as_ref();
            self.rings = tables.map(FlowTables::rings).transpose()?;
        }
        if self.tables.is_none() && !self.has_store() {
            return Ok(Vec::new());
        }
        if self.tables.is_some() {
            self.attach_copies();
        }
        let result = self
            .open_store()
            .map_err(RecordError::from)
            .and_then(|()| self.store_flows())
            .and_then(|()| self.store_names())
            .and_then(|()| self.store_losses())
            .and_then(|()| Ok(self.compact()?));
        if let Err(RecordError::Store(error)) = &result
            && error.remedy() == Remedy::Reopen
        {
            self.store = None;
        }
        result?;
        Ok(std::mem::take(&mut self.notes))
    }

    /// True if an earlier daemon left a store, whose rows expire also if this one records
    /// counters only.
    fn has_store(&self) -> bool {
        self.store.is_some() || self.state_dir.join(store::FILE).exists()
    }

    fn store_flows(&mut self) -> Result<(), RecordError> {
        let (Some(store), Some(tables)) = (&mut self.store, &self.tables) else {
            return Ok(());
        };
        let instance = instance(tables);
        let drained = store.drained(instance.token)?;
        if self.periods.is_none() {
            self.periods = Some(Periods::of(store, drained.is_some())?);
        }
        let drained = drained.unwrap_or(0);
        let learner = &mut self.learner;
        let mut addresses = Vec::new();
        tables.drain(drained, |epoch, taken| {
            let TakenFlows {
                flows,
                has_names,
                lost,
                ..
            } = &taken;
            for (flow, has_names) in flows.iter().zip(has_names) {
                learner.flow(flow, *has_names);
            }
            let now = Timestamp::now();
            store.write_drained(
                &Drained {
                    instance,
                    epoch,
                    flows,
                },
                now,
            )?;
            if lost.packets > 0 {
                store.write_losses(&[loss("lost", lost.packets, lost.bytes)], now)?;
            }
            addresses.extend(taken.addresses);
            Ok::<_, RecordError>(())
        })?;
        let now = Timestamp::now();
        for (device, facts) in facts_of(&addresses, &self.learner.take_models()) {
            store.write_device_facts(device, &facts, now)?;
        }
        Ok(())
    }

    /// Writes the state of the clock, and once a day removes and merges old rows.
    fn compact(&mut self) -> Result<(), StoreError> {
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        let now = Timestamp::now();
        store.write_clock(clock::now().clock_synchronised, now)?;
        let day = jiff::SignedDuration::from_hours(24);
        let is_due = self
            .compacted
            .is_none_or(|last| now.duration_since(last) >= day);
        if is_due && !store.compact_step(now)?.more {
            self.compacted = Some(now);
        }
        Ok(())
    }

    /// Writes which generation is in force, if that changed.
    ///
    /// # Errors
    ///
    /// Returns the error of the store.
    pub(super) fn store_ruleset(&mut self, generation: u64, hash: &str) -> Result<(), StoreError> {
        let ruleset = (generation, hash.to_owned());
        let (Some(store), Some(tables)) = (&mut self.store, &self.tables) else {
            return Ok(());
        };
        if self.ruleset.as_ref() == Some(&ruleset) {
            return Ok(());
        }
        let number = u32::try_from(generation).unwrap_or(u32::MAX);
        let instance = instance(tables);
        store.write_generation(instance, number, hash.as_bytes(), Timestamp::now())?;
        self.ruleset = Some(ruleset);
        Ok(())
    }

    /// Writes where the filter is attached.
    ///
    /// # Errors
    ///
    /// Returns the error of the store.
    pub(super) fn store_periods(
        &mut self,
        interfaces: &[InterfaceSnapshot],
    ) -> Result<(), StoreError> {
        if let (Some(store), Some(periods)) = (&mut self.store, &mut self.periods) {
            let now = Timestamp::now();
            store.write_attachments(&periods.look(interfaces, now), now)?;
        }
        Ok(())
    }

    /// Writes what was lost since the last drain.
    fn store_losses(&mut self) -> Result<(), RecordError> {
        let (Some(store), Some(tables)) = (&mut self.store, &self.tables) else {
            return Ok(());
        };
        let mut lost = Lost::of(&tables.losses()?);
        lost.claims = self.learner.lost();
        for copies in self.copies.values() {
            lost.add_dns(&copies.losses()?);
        }
        let now = Timestamp::now();
        if lost.dns() > self.lost.dns() {
            // From now on, a missing answer means nothing about the time before.
            self.learner.missed_answers(now);
        }
        let losses = lost.since(&self.lost);
        if !losses.is_empty() {
            store.write_losses(&losses, now)?;
        }
        self.lost = lost;
        Ok(())
    }

    fn store_names(&mut self) -> Result<(), RecordError> {
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        // While the store refuses claims, the learner keeps the next ones within its bounds.
        if self.claims.is_empty() {
            for (end, claims) in self.learner.take_claims() {
                let claims = claims.into_iter().map(|claim| (end.clone(), claim));
                self.claims.extend(claims);
            }
        }
        store.write_claims(&self.claims, Timestamp::now())?;
        self.claims.clear();
        Ok(())
    }

    /// Opens the store if it is not open.
    fn open_store(&mut self) -> Result<(), StoreError> {
        if self.store.is_some() {
            return Ok(());
        }
        let now = Timestamp::now();
        let (store, opened) = Store::open(&self.state_dir, self.settings.store, now)?;
        self.notes.extend(notes(&opened));
        self.store = Some(store);
        Ok(())
    }

    /// Copies the DNS answers that leave through each filtered interface.
    fn attach_copies(&mut self) {
        let wanted = self.settings.evidence == EvidenceLevel::Names;
        if !wanted || self.copies_due > Instant::now() {
            return;
        }
        self.copies_due = Instant::now() + RETRY;
        let Ok(interfaces) = self.settings.real_interfaces() else {
            return;
        };
        self.copies
            .retain(|name, copies| interfaces.contains(name) && copies.is_attached());
        for interface in interfaces {
            if self.copies.contains_key(&interface) {
                continue;
            }
            match DnsCopies::attach(&interface, resolver_addresses()) {
                Ok(copies) => drop(self.copies.insert(interface, copies)),
                Err(error) => self
                    .notes
                    .push(format!("{error}; no names are learnt from DNS there")),
            }
        }
    }

    /// Interfaces on whose way to the devices DNS answers are copied, sorted.
    pub(super) fn dns_copied(&self) -> Vec<String> {
        self.copies.keys().cloned().collect()
    }

    /// Why destinations of devices have no name.
    pub(super) fn absences(&self, devices: &[MacAddress]) -> Vec<(MacAddress, Absence)> {
        let now = Timestamp::now();
        let devices = devices.iter();
        devices
            .map(|device| (*device, self.learner.absence(*device, now)))
            .collect()
    }

    /// Removes all evidence of devices from the store and from memory.
    ///
    /// # Errors
    ///
    /// Returns the error of the store, or says that traces are left in its file.
    pub(super) fn forget(&mut self, devices: &[MacAddress]) -> Result<(), ForgetError> {
        if self.tables.is_some() || self.has_store() {
            self.open_store()?;
        }
        for device in devices {
            self.learner.forget(*device);
            self.claims.retain(|(end, _)| end.device != *device);
        }
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        let forgotten = store.forget_all(devices, Timestamp::now())?;
        if forgotten.complete {
            Ok(())
        } else {
            Err(ForgetError::Traces)
        }
    }

    /// Closes the store, so that the next daemon knows that nothing is missing.
    pub(super) fn close(&mut self) {
        if let Some(store) = self.store.take()
            && let Err(error) = store.close()
        {
            tracing::warn!("{error}");
        }
    }
}

fn instance(tables: &FlowTables) -> Instance {
    Instance {
        token: tables.instance(),
        boot: clock::now().since_boot.map(|since| since.boot),
    }
}
