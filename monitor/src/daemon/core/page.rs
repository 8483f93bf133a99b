//! Answers the questions of the page: from the store, the book of devices and the policies in
//! force.

mod contact;
mod drains;
mod hits;
mod policies;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use jiff::{Timestamp, tz::TimeZone};

use super::Core;
use crate::{
    address::Destination,
    clock,
    control::StandingChange,
    device_list::known_view,
    doctor::Diagnosis,
    error_text::error_text,
    evidence::{DeviceHead, DeviceView},
    page_facts::{
        AskedContacts, AskedDevices, ContactFacts, Contacts, DeviceFacts, DeviceRow, Devices, Hits,
        LastChange, PageFacts, PolicyFacts, SLOTS, SMALL_SLOTS, last_change,
    },
    policy::MacAddress,
    store::{
        ContactQuery, DestinationRange, DeviceTimes, StoreError, StoreReader, StoredDevice,
        TimeSlots, To, View,
    },
};

/// The most encrypted resolvers that the page of a device lists.
const MOST_ENCRYPTED: u32 = 50;

/// The drains that pages asked for, and the packets that policies with `count` would have dropped.
#[derive(Default)]
pub(super) struct Page {
    drains: drains::Drains,
    pub(super) hits: hits::HitCounter,
}

/// Why the page has no answer.
#[derive(Debug, thiserror::Error)]
enum PageError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no policy is named `{0}`: a name has letters, digits, `-`, `.` and `_`")]
    Policy(String),
    #[error(transparent)]
    Device(#[from] crate::device_names::NoDevice),
}

impl Core {
    /// Answers a question with the store as it is now; `none` if there is no store yet.
    fn ask_store<T>(
        &self,
        none: T,
        read: impl FnOnce(&View<'_>) -> Result<T, PageError>,
    ) -> Result<T, String> {
        self.page.drains.drain(&self.evidence);
        self.read_store(none, read)
    }

    /// Answers a question with what the store has; `none` if there is no store yet.
    fn read_store<T>(
        &self,
        none: T,
        read: impl FnOnce(&View<'_>) -> Result<T, PageError>,
    ) -> Result<T, String> {
        let answer = || {
            let Some(mut reader) = self.open_store()? else {
                return Ok(none);
            };
            read(&reader.view()?)
        };
        answer().map_err(|error: PageError| error_text(&error))
    }

    /// Opens the store. After an update, waits for the first drain, which migrates the store.
    fn open_store(&self) -> Result<Option<StoreReader>, StoreError> {
        let open = || StoreReader::open(&self.settings.state_dir);
        match open() {
            Err(StoreError::Older { .. }) if self.evidence.drain() => open(),
            opened => opened,
        }
    }

    /// What the store, the book and the operator's files say about devices.
    fn device_views(
        &self,
        view: &View<'_>,
        macs: impl IntoIterator<Item = MacAddress>,
    ) -> Result<BTreeMap<MacAddress, DeviceView>, StoreError> {
        let stored = macs.into_iter().map(|mac| Ok((mac, view.device(mac)?)));
        let stored =
            stored.collect::<Result<Vec<(MacAddress, Option<StoredDevice>)>, StoreError>>()?;
        let names = self.device_names().by_mac();
        Ok(self.evidence.with_book(|book| {
            let views = stored
                .iter()
                .map(|(mac, stored)| (*mac, known_view(*mac, stored.as_ref(), book, &names)));
            views.collect()
        }))
    }

    fn heads(
        &self,
        view: &View<'_>,
        macs: impl IntoIterator<Item = MacAddress>,
    ) -> Result<BTreeMap<MacAddress, DeviceHead>, StoreError> {
        let views = self.device_views(view, macs)?.into_iter();
        Ok(views.map(|(mac, view)| (mac, view.head)).collect())
    }

    /// The query of a question, about the period of its chart.
    fn contact_query(&self, asked: &AskedContacts) -> Result<ContactQuery, PageError> {
        let (since, until) = asked.chart;
        let policy = |name: &String| name.parse().map_err(|_| PageError::Policy(name.clone()));
        let devices = asked.device.as_ref();
        Ok(ContactQuery {
            devices: devices.map_or(Ok(Vec::new()), |device| self.macs_of(device))?,
            policy: asked.policy.as_ref().map(policy).transpose()?,
            to: asked.to.as_deref().map(end_of),
            verdict: asked.verdict,
            skip: asked.skip,
            limit: asked.limit,
            ..whole(since, until)
        })
    }

    fn answer_contacts(
        &self,
        view: &View<'_>,
        asked: &AskedContacts,
    ) -> Result<Contacts, PageError> {
        let query = self.contact_query(asked)?;
        let chart = if asked.has_chart {
            view.time_slots(&query, SLOTS)?
        } else {
            TimeSlots::default()
        };
        let (since, until) = asked.list.unwrap_or(asked.chart);
        let list = view.contacts(&ContactQuery {
            since,
            until,
            ..query
        })?;
        let macs: BTreeSet<_> = list.contacts.iter().filter_map(|own| own.device).collect();
        let (stored, devices, oldest) = view.totals()?;
        Ok(Contacts {
            heads: self.heads(view, macs)?,
            list,
            chart,
            stored,
            devices,
            oldest,
        })
    }

    fn answer_devices(&self, view: &View<'_>, asked: &AskedDevices) -> Result<Devices, PageError> {
        let (since, until) = asked.period;
        let mut times = view.devices_since(since)?;
        if let Some(text) = &asked.text {
            let names = self.all_names(view)?;
            times.retain(|own| self.has_text(own, &names, text));
        }
        let all = times.len();
        let shown: Vec<DeviceTimes> = times
            .into_iter()
            .skip(asked.skip)
            .take(asked.limit)
            .collect();
        let macs: Vec<MacAddress> = shown.iter().map(|own| own.mac).collect();
        let query = ContactQuery {
            devices: macs.clone(),
            ..whole(since, until)
        };
        let mut slots = if macs.is_empty() {
            std::collections::HashMap::new()
        } else {
            view.device_slots(&query, SMALL_SLOTS)?
        };
        let mut heads = self.heads(view, macs)?;
        let rows = shown.into_iter().map(|times| DeviceRow {
            head: heads.remove(&times.mac).unwrap_or_default(),
            slots: slots.remove(&times.mac).unwrap_or_default(),
            times,
        });
        Ok(Devices {
            rows: rows.collect(),
            all,
        })
    }

    /// Host names and the operator's names of all devices.
    fn all_names(&self, view: &View<'_>) -> Result<BTreeMap<MacAddress, Vec<String>>, StoreError> {
        let mut names: BTreeMap<MacAddress, Vec<String>> = BTreeMap::new();
        for (mac, name) in view.host_names()?.into_iter().chain(self.names_by_mac()) {
            names.entry(mac).or_default().push(name);
        }
        Ok(names)
    }

    fn has_text(
        &self,
        device: &DeviceTimes,
        names: &BTreeMap<MacAddress, Vec<String>>,
        text: &str,
    ) -> bool {
        let has = |own: &str| own.to_lowercase().contains(text);
        let mac = device.mac;
        has(&mac.to_string())
            || names
                .get(&mac)
                .is_some_and(|names| names.iter().any(|name| has(name)))
            || self.evidence.with_book(|book| {
                let head = book.head(mac, None, None);
                [head.name, head.vendor]
                    .iter()
                    .flatten()
                    .any(|own| has(own))
            })
    }
}

impl PageFacts for Core {
    fn moment(&self) -> (Timestamp, TimeZone) {
        (clock::now().at, TimeZone::system())
    }

    fn contacts(&self, asked: &AskedContacts) -> Result<Contacts, String> {
        self.ask_store(Contacts::default(), |view| {
            self.answer_contacts(view, asked)
        })
    }

    fn devices(&self, asked: &AskedDevices) -> Result<Devices, String> {
        self.ask_store(Devices::default(), |view| self.answer_devices(view, asked))
    }

    fn device(&self, mac: MacAddress) -> Result<DeviceFacts, String> {
        let (view, encrypted) = self.ask_store((None, Vec::new()), |view| {
            let own = self.device_views(view, [mac])?.remove(&mac);
            Ok((own, view.encrypted(Some(mac), MOST_ENCRYPTED)?))
        })?;
        let names = self.device_names().by_mac();
        let unknown = || {
            self.evidence
                .with_book(|book| known_view(mac, None, book, &names))
        };
        Ok(DeviceFacts {
            view: view.unwrap_or_else(unknown),
            rules: self.rules_of(mac),
            encrypted,
        })
    }

    fn contact(
        &self,
        mac: MacAddress,
        to: IpAddr,
        since: Timestamp,
    ) -> Result<ContactFacts, String> {
        self.contact_facts(mac, to, since)
    }

    fn policies(&self) -> Vec<PolicyFacts> {
        self.policies_in_force()
    }

    fn hits(&self, since: Timestamp) -> Result<Option<Arc<Hits>>, String> {
        self.counted_hits(since)
    }

    fn late(&self) -> u64 {
        self.page.hits.rounds() + self.page.drains.late()
    }

    fn is_behind(&self) -> bool {
        self.page.drains.is_running()
    }

    fn last_change(&self) -> Result<Option<LastChange>, String> {
        self.ask_store(None, |view| {
            let generations = view.all_generations()?;
            Ok(last_change(&generations, &view.stated_policies()?))
        })
    }

    fn diagnosis(&self) -> Option<Diagnosis> {
        self.last_diagnosis()
    }

    fn standing(&self) -> Vec<StandingChange> {
        Self::standing(self)
    }
}

/// The end of a period up to now. The packets of this second belong to it.
fn end() -> Timestamp {
    let now = clock::now().at;
    now.checked_add(jiff::SignedDuration::from_secs(1))
        .unwrap_or(now)
}

/// A query for everything in a period.
fn whole(since: Timestamp, until: Timestamp) -> ContactQuery {
    ContactQuery {
        since,
        until,
        devices: Vec::new(),
        policy: None,
        to: None,
        verdict: None,
        skip: 0,
        limit: 0,
    }
}

/// An address, a network or a range; any other text is part of a name.
fn end_of(text: &str) -> To {
    match text.parse::<Destination>() {
        Ok(destination) => {
            let (first, last) = destination.bounds();
            To::Range(DestinationRange { first, last })
        }
        Err(_) => To::Name(text.to_lowercase()),
    }
}
