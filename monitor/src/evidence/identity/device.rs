//! One device.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;

use super::{
    Limits, Order, Rank,
    at_once::AtOnce,
    fact::{Fact, FactSource, Period},
};

/// What is known about a device.
#[derive(Clone, Debug, Default)]
pub struct Device {
    rank: Option<Rank>,
    /// The place of the device in the order of removal.
    pub(super) order: Option<Order>,
    seen: Option<Period>,
    /// Last time of any fact.
    last: Option<Timestamp>,
    addresses: BTreeMap<IpAddr, Known>,
    host_names: BTreeMap<String, Known>,
    models: BTreeMap<String, Known>,
    pub(super) at_once: AtOnce,
}

/// The sources of a value, each with its times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known(Vec<(FactSource, Period)>);

impl Known {
    /// Returns the sources, sorted.
    #[must_use]
    pub fn sources(&self) -> &[(FactSource, Period)] {
        &self.0
    }

    /// Returns the times of one source.
    #[must_use]
    pub fn of(&self, source: FactSource) -> Option<Period> {
        let mut all = self.0.iter();
        all.find_map(|(found, period)| (*found == source).then_some(*period))
    }

    /// Returns the times of all sources together.
    #[must_use]
    pub fn period(&self) -> Option<Period> {
        self.0
            .iter()
            .map(|(_, period)| *period)
            .reduce(Period::with)
    }

    /// Removes sources whose last time is before `oldest`. Returns false if none is left.
    fn expire(&mut self, oldest: Timestamp) -> bool {
        self.0.retain(|(_, period)| period.last >= oldest);
        !self.0.is_empty()
    }

    fn last(&self) -> Option<Timestamp> {
        self.period().map(|period| period.last)
    }

    /// Adds a period of a source. Returns true if that changes anything.
    fn add(&mut self, source: FactSource, period: Period) -> bool {
        match self.0.binary_search_by_key(&source, |(found, _)| *found) {
            Ok(index) => self.0.get_mut(index).is_some_and(|(_, known)| {
                let before = std::mem::replace(known, known.with(period));
                before != *known
            }),
            Err(index) => {
                // Most values have one or two sources.
                self.0.reserve_exact(1);
                self.0.insert(index, (source, period));
                true
            }
        }
    }
}

/// What adding a fact did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Added {
    /// True if the fact is new or its times changed.
    pub(super) is_changed: bool,
    /// True if a fact found no room or was removed for this one.
    pub(super) is_lost: bool,
}

impl Device {
    /// Returns the first and the last time at which a frame of the MAC or its entry in the
    /// neighbour table was seen. Returns `None` for a device that only leases or other
    /// statements name.
    #[must_use]
    pub const fn seen(&self) -> Option<Period> {
        self.seen
    }

    /// Returns the addresses, sorted.
    #[must_use]
    pub const fn addresses(&self) -> &BTreeMap<IpAddr, Known> {
        &self.addresses
    }

    /// Returns the host names, sorted.
    #[must_use]
    pub const fn host_names(&self) -> &BTreeMap<String, Known> {
        &self.host_names
    }

    /// Returns the models, sorted.
    #[must_use]
    pub const fn models(&self) -> &BTreeMap<String, Known> {
        &self.models
    }

    pub(super) fn rank(&self) -> Rank {
        self.rank.unwrap_or(Rank::Named)
    }

    pub(super) fn rank_at_least(&mut self, rank: Rank) {
        self.rank = self.rank.max(Some(rank));
    }

    pub(super) fn see(&mut self, at: Timestamp) {
        let period = Period::at(at);
        self.seen = Some(self.seen.map_or(period, |seen| seen.with(period)));
        self.last = self.last.max(Some(at));
    }

    /// Returns the last time of any fact.
    pub(super) const fn last(&self) -> Option<Timestamp> {
        self.last
    }

    /// Removes facts whose last time is before `oldest`. Returns false if none is left.
    pub(super) fn expire(&mut self, oldest: Timestamp) -> bool {
        expire(&mut self.addresses, oldest);
        expire(&mut self.host_names, oldest);
        expire(&mut self.models, oldest);
        self.at_once.expire(oldest);
        self.seen = self.seen.filter(|seen| seen.last >= oldest);
        self.seen.is_some() || self.facts().next().is_some()
    }

    /// Takes in that the device used an address, before the address is added.
    pub(super) fn use_address(&mut self, address: IpAddr, at: Timestamp) {
        let last = |known: &Known| known.of(FactSource::Frame).map(|period| period.last);
        let before = self.addresses.get(&address).and_then(last);
        let others = self.addresses.iter();
        let others = others.filter_map(|(other, known)| Some((*other, last(known)?)));
        let others = others.filter(|(other, _)| *other != address);
        self.at_once.use_address(address, before, at, others);
    }

    /// Returns the addresses that the device used, each with the last time.
    pub(super) fn used(&self) -> impl Iterator<Item = (IpAddr, Timestamp)> {
        self.addresses.iter().filter_map(|(address, known)| {
            let used = [FactSource::Frame, FactSource::Neighbour];
            let last = used.into_iter().filter_map(|source| known.of(source));
            Some((*address, last.map(|period| period.last).max()?))
        })
    }

    /// Adds a fact.
    pub(super) fn add(
        &mut self,
        fact: Fact,
        source: FactSource,
        period: Period,
        limits: Limits,
    ) -> Added {
        self.last = self.last.max(Some(period.last));
        match fact {
            Fact::Address(address) => add(
                &mut self.addresses,
                address,
                source,
                period,
                limits.addresses,
            ),
            Fact::HostName(name) => add(&mut self.host_names, name, source, period, limits.names),
            Fact::Model(model) => add(&mut self.models, model, source, period, limits.names),
            Fact::AtOnce { is_ipv6, most } => {
                self.at_once.add(is_ipv6, most, period);
                Added {
                    is_changed: true,
                    is_lost: false,
                }
            }
        }
    }

    /// Keeps the addresses, host names and models that were stated last, within the limits.
    /// Returns the number of removed values.
    pub fn shorten(&mut self, limits: Limits) -> u64 {
        shorten(&mut self.addresses, limits.addresses)
            + shorten(&mut self.host_names, limits.names)
            + shorten(&mut self.models, limits.names)
    }

    /// Returns all facts, sorted by kind, value and source.
    pub fn facts(&self) -> impl Iterator<Item = (Fact, FactSource, Period)> {
        let addresses = self.addresses.iter();
        let addresses = addresses.map(|(address, known)| (Fact::Address(*address), known));
        let names = self.host_names.iter();
        let names = names.map(|(name, known)| (Fact::HostName(name.clone()), known));
        let models = self.models.iter();
        let models = models.map(|(model, known)| (Fact::Model(model.clone()), known));
        let known = addresses.chain(names).chain(models);
        let known = known.flat_map(|(fact, known)| {
            let sources = known.sources().iter();
            sources.map(move |(source, period)| (fact.clone(), *source, *period))
        });
        known.chain(self.at_once.facts())
    }
}

fn expire<V: Ord>(values: &mut BTreeMap<V, Known>, oldest: Timestamp) {
    values.retain(|_, known| known.expire(oldest));
}

/// Keeps the `limit` values that were stated last. Returns the number of the others.
fn shorten<V: Ord + Clone>(values: &mut BTreeMap<V, Known>, limit: usize) -> u64 {
    let mut by_time: Vec<_> = values
        .iter()
        .map(|(value, known)| (known.last(), value))
        .collect();
    by_time.sort_by(|a, b| b.cmp(a));
    let others = by_time
        .iter()
        .skip(limit)
        .map(|(_, value)| (*value).clone());
    let others: Vec<V> = others.collect();
    for value in &others {
        values.remove(value);
    }
    others.len() as u64
}

/// Adds a value. If all places are taken, removes the value that was not seen for the
/// longest time.
fn add<V: Ord + Clone>(
    values: &mut BTreeMap<V, Known>,
    value: V,
    source: FactSource,
    period: Period,
    limit: usize,
) -> Added {
    let is_full = values.len() >= limit && !values.contains_key(&value);
    if is_full {
        let oldest = values.iter().min_by_key(|(_, known)| known.last());
        let oldest = oldest.filter(|(_, known)| known.last().is_none_or(|last| last < period.last));
        let Some((oldest, _)) = oldest else {
            return Added {
                is_changed: false,
                is_lost: true,
            };
        };
        let oldest = oldest.clone();
        values.remove(&oldest);
    }
    Added {
        is_changed: values.entry(value).or_default().add(source, period),
        is_lost: is_full,
    }
}
