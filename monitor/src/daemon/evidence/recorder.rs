//! The state of the thread that records evidence.

mod events;
mod writes;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    device_recorder::DeviceRecorder,
    instance::instance,
    lost::{Lost, loss},
    notes::notes,
    periods::Periods,
    setup::SetupRecorder,
};
use crate::{
    clock,
    config::Settings,
    datapath::{self, DnsCopies, FlowRings, FlowTables, TakenFlows},
    device_book::DeviceBook,
    evidence::{
        Claim, FlowEnd,
        absence::Absence,
        encrypted::resolver_addresses,
        learner::Learner,
        noted::{Noted, Standing},
    },
    policy::{EvidenceLevel, MacAddress},
    store::{self, Drained, Remedy, Store, StoreError},
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
    devices: DeviceRecorder,
    new_flows: usize,
    compacted: Option<Timestamp>,
    /// What the kernel had lost at the last drain.
    lost: Lost,
    /// Generation and ruleset at the last drain.
    ruleset: Option<(u64, String)>,
    /// Hash of the ruleset whose policies are stored.
    stated: Option<String>,
    setup: SetupRecorder,
    periods: Option<Periods>,
    /// True if the captures of earlier daemons have ends in the store.
    has_ended_captures: bool,
    /// Findings of the checks that the store has; `None` before the first ones.
    findings: Option<Standing>,
    /// Findings that are not written yet.
    found: Option<Vec<Noted>>,
    /// Claims that a failed write left.
    claims: Vec<(FlowEnd, Claim)>,
    notes: Vec<String>,
}

impl EvidenceRecorder {
    pub(super) fn new(settings: &Settings, book: Arc<Mutex<DeviceBook>>) -> Self {
        Self {
            state_dir: settings.state_dir.clone(),
            settings: settings.clone(),
            store: None,
            tables: None,
            rings: None,
            copies: BTreeMap::new(),
            copies_due: Instant::now(),
            learner: Learner::new(settings.dns, Timestamp::now()),
            devices: DeviceRecorder::new(settings, book),
            new_flows: 0,
            compacted: None,
            lost: Lost::default(),
            ruleset: None,
            stated: None,
            setup: SetupRecorder::default(),
            periods: None,
            has_ended_captures: false,
            findings: None,
            found: None,
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

    /// Looks at the neighbours and the files that describe devices, if that is due. `is_asked`
    /// is true if an operator waits for the result.
    pub(super) fn look_at_devices(&mut self, is_asked: bool) {
        if self.settings.evidence <= EvidenceLevel::Counters {
            return;
        }
        if self.devices.begin(is_asked) {
            // The ring buffers must not become full while large files are read.
            while self.devices.read_next(Timestamp::now()) {
                self.look();
            }
            self.devices.look(Timestamp::now());
        }
        self.notes.extend(self.devices.take_warnings());
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
            .and_then(|()| Ok(self.store_setup()?))
            .and_then(|()| Ok(self.store_findings()?))
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
        self.devices.take(&addresses, self.learner.take_models());
        Ok(self.devices.write(store, Timestamp::now())?)
    }

    /// Writes the state of the clock, and once a day removes and merges old rows.
    fn compact(&mut self) -> Result<(), StoreError> {
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        let now = Timestamp::now();
        let is_synchronised = clock::now().clock_synchronised;
        store.write_clock(is_synchronised, now)?;
        store.log_step(now, false)?;
        let day = jiff::SignedDuration::from_hours(24);
        let is_due = self
            .compacted
            .is_none_or(|last| now.duration_since(last) >= day);
        if is_due {
            // With a wrong clock, no fact is known to be old.
            if is_synchronised {
                self.devices.expire(store.oldest(now));
            }
            // The rows of a device may go, and come again.
            self.devices.write_all_again();
            if !store.compact_step(now)?.more {
                self.compacted = Some(now);
            }
        }
        Ok(())
    }

    /// Opens the store if it is not open.
    fn open_store(&mut self) -> Result<(), StoreError> {
        if self.store.is_some() {
            return Ok(());
        }
        let now = Timestamp::now();
        let (mut store, opened) = Store::open(&self.state_dir, self.settings.store, now)?;
        self.notes.extend(notes(&opened));
        // Later, the capture without an end may be that of this daemon.
        if !self.has_ended_captures {
            store.end_captures(now)?;
            self.has_ended_captures = true;
        }
        self.devices.write_all_again();
        // The new file may have none of them.
        self.findings = None;
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
        let Ok(interfaces) = self.settings.real_lan() else {
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
            self.devices.forget(*device);
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
