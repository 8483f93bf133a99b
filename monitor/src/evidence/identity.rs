//! What is known about each device: its addresses, host names and models, each with the
//! source and the times, and whether its MAC possibly stands for several devices.
//!
//! A device is a MAC. All addresses of a MAC belong to one device. A device can send frames
//! under the MAC of another device, so these statements are about the MAC.

mod at_once;
mod device;
mod fact;
mod losses;
mod same;
mod several;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use jiff::Timestamp;

pub use self::{
    at_once::{MAX_IPV6_AT_ONCE, WINDOW},
    device::{Device, Known},
    fact::{Fact, FactSource, Period},
    losses::Losses,
    same::{InvalidSame, MAX_SAME, Same, Stated, StatedSame},
    several::Several,
};
use crate::{
    devices::{leases::Lease, mac},
    policy::MacAddress,
};

/// Limits of [`Identities`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of devices.
    pub devices: usize,
    /// Maximum number of addresses of a device.
    pub addresses: usize,
    /// Maximum number of host names of a device, and of models.
    pub names: usize,
}

impl Default for Limits {
    /// Returns limits for at most about 13 MiB, if every text has 255 bytes.
    fn default() -> Self {
        Self {
            devices: 1024,
            addresses: 32,
            names: 8,
        }
    }
}

/// Limit of the devices that [`Identities`] prefers.
const MAX_PREFERRED: usize = 32_768;

/// How well a device is known. A device is only removed for one that is known as well or
/// better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Only a lease or another statement names the MAC.
    #[default]
    Named,
    /// Frames came from the MAC, or the neighbour table has it. A device can make up such
    /// MACs.
    Seen,
    /// The kernel reached the MAC. A device that answers ARP can make up such MACs.
    Confirmed,
    /// The store has packets of the MAC that a policy matched.
    Stored,
    /// The operator named the MAC.
    Operator,
}

/// The known devices.
#[derive(Clone, Debug, Default)]
pub struct Identities {
    limits: Limits,
    devices: BTreeMap<MacAddress, Device>,
    /// The devices in the order in which they are removed: see [`Device::order`].
    order: BTreeSet<(Order, MacAddress)>,
    /// The lowest rank of devices that the store or the operator knows.
    preferred: BTreeMap<MacAddress, Rank>,
    /// Devices with a new or changed fact since [`Identities::take_changed`].
    changed: BTreeSet<MacAddress>,
    losses: Losses,
}

/// The device that is known least comes first, and of these the one whose last fact is
/// oldest.
type Order = (Rank, Option<Timestamp>);

impl Identities {
    /// Returns an empty set with these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Returns a device.
    #[must_use]
    pub fn get(&self, mac: MacAddress) -> Option<&Device> {
        self.devices.get(&mac)
    }

    /// Returns all devices, sorted by MAC.
    pub fn iter(&self) -> impl Iterator<Item = (MacAddress, &Device)> {
        self.devices.iter().map(|(mac, device)| (*mac, device))
    }

    /// Returns all facts, for the store: sorted by MAC, kind, value and source.
    pub fn facts(&self) -> impl Iterator<Item = (MacAddress, Fact, FactSource, Period)> {
        self.iter().flat_map(|(mac, device)| {
            let facts = device.facts();
            facts.map(move |(fact, source, period)| (mac, fact, source, period))
        })
    }

    /// Returns what found no room.
    #[must_use]
    pub fn losses(&self) -> Losses {
        self.losses
    }

    /// Returns the devices of which a fact is new or changed since the last call, sorted.
    pub fn take_changed(&mut self) -> BTreeSet<MacAddress> {
        std::mem::take(&mut self.changed)
    }

    /// Gives a device at least this rank, now and when it is known again. So the store's
    /// devices and the operator's stay when many other devices appear.
    pub fn prefer(&mut self, mac: MacAddress, rank: Rank) {
        if self.preferred.len() < MAX_PREFERRED || self.preferred.contains_key(&mac) {
            let known = self.preferred.entry(mac).or_default();
            *known = rank.max(*known);
        }
        if let Some(device) = self.devices.get_mut(&mac) {
            device.rank_at_least(rank);
            self.sort(mac);
        }
    }

    /// Removes facts whose last time is before `oldest`, and devices without any other.
    pub fn expire(&mut self, oldest: Timestamp) {
        let macs: Vec<_> = self.devices.keys().copied().collect();
        for mac in macs {
            let is_empty = match self.devices.get_mut(&mac) {
                Some(device) => !device.expire(oldest),
                None => false,
            };
            if is_empty {
                self.remove(mac);
            } else {
                self.sort(mac);
            }
        }
    }

    /// Removes everything that is known about a device. Returns true if it was known. A
    /// lease file that still names the MAC makes it known again.
    pub fn forget(&mut self, mac: MacAddress) -> bool {
        self.preferred.remove(&mac);
        self.remove(mac)
    }

    fn remove(&mut self, mac: MacAddress) -> bool {
        self.changed.remove(&mac);
        let removed = self.devices.remove(&mac);
        let order = removed.as_ref().and_then(|device| device.order);
        if let Some(order) = order {
            self.order.remove(&(order, mac));
        }
        removed.is_some()
    }

    /// Takes in that a frame with this source MAC and source address was seen at `at`.
    /// The frames of a MAC should come in the order of time.
    pub fn frame(&mut self, mac: MacAddress, address: IpAddr, at: Timestamp) {
        if !self.is_address(address) {
            return;
        }
        let Some(device) = self.device(mac, Rank::Seen, at) else {
            return;
        };
        device.see(at);
        device.use_address(address, at);
        self.add(
            mac,
            Fact::Address(address),
            FactSource::Frame,
            Period::at(at),
        );
    }

    /// Takes in that the kernel's neighbour table had this entry at `at`. `is_confirmed`
    /// is true if the kernel learned that the neighbour is reachable, or if the operator
    /// entered it.
    pub fn neighbour(
        &mut self,
        mac: MacAddress,
        address: IpAddr,
        is_confirmed: bool,
        at: Timestamp,
    ) {
        if !self.is_address(address) {
            return;
        }
        let rank = if is_confirmed {
            Rank::Confirmed
        } else {
            Rank::Seen
        };
        let Some(device) = self.device(mac, rank, at) else {
            return;
        };
        device.see(at);
        self.add(
            mac,
            Fact::Address(address),
            FactSource::Neighbour,
            Period::at(at),
        );
    }

    /// Takes in the leases that a lease file had at `at`. Leaves out leases that have
    /// ended. A lease without a MAC goes to the device that used its address within
    /// [`WINDOW`], if only one did.
    pub fn leases(&mut self, leases: &[Lease], at: Timestamp) {
        let is_needed = leases.iter().any(|lease| lease.mac.is_none());
        let users = if is_needed {
            self.users(at)
        } else {
            BTreeMap::new()
        };
        let mut new = Vec::new();
        for lease in leases.iter().filter(|lease| !lease.has_ended(at)) {
            let user = || users.get(&lease.address).copied().flatten();
            match lease.mac.or_else(user) {
                Some(mac) if self.devices.contains_key(&mac) => self.lease(mac, lease, at),
                Some(mac) => new.push((mac, lease)),
                None => count(&mut self.losses.leases_without_device),
            }
        }
        // New devices come last, so that they displace no device that has a lease.
        for (mac, lease) in new {
            self.lease(mac, lease, at);
        }
    }

    fn lease(&mut self, mac: MacAddress, lease: &Lease, at: Timestamp) {
        let is_known =
            self.is_address(lease.address) && self.device(mac, Rank::Named, at).is_some();
        if !is_known {
            return;
        }
        let source = FactSource::Lease(lease.source);
        self.add(mac, Fact::Address(lease.address), source, Period::at(at));
        if let Some(name) = &lease.host_name {
            self.add(mac, Fact::HostName(name.clone()), source, Period::at(at));
        }
    }

    /// Takes in a host name or a model that a device showed at `at`. The caller gives it as
    /// printable ASCII of at most 255 bytes.
    pub fn fact(&mut self, mac: MacAddress, fact: Fact, source: FactSource, at: Timestamp) {
        if self.device(mac, Rank::Named, at).is_some() {
            self.add(mac, fact, source, Period::at(at));
        }
    }

    /// Takes in a fact from the store.
    pub fn restore(&mut self, mac: MacAddress, fact: Fact, source: FactSource, period: Period) {
        let rank = match source {
            FactSource::Frame | FactSource::Neighbour => Rank::Seen,
            FactSource::Lease(_) | FactSource::MiPush | FactSource::UserAgent => Rank::Named,
        };
        let Some(device) = self.device(mac, rank, period.last) else {
            return;
        };
        if rank == Rank::Seen {
            device.see(period.first);
            device.see(period.last);
        }
        self.add(mac, fact, source, period);
    }

    /// Returns the device of a MAC. Adds it if it is new and finds room.
    fn device(&mut self, mac: MacAddress, rank: Rank, at: Timestamp) -> Option<&mut Device> {
        if !mac::is_device(mac) {
            count(&mut self.losses.not_a_device);
            return None;
        }
        let rank = self
            .preferred
            .get(&mac)
            .map_or(rank, |known| rank.max(*known));
        if !self.devices.contains_key(&mac) && !self.make_room(rank, at) {
            count(&mut self.losses.devices_refused);
            return None;
        }
        let device = self.devices.entry(mac).or_default();
        device.rank_at_least(rank);
        Some(device)
    }

    /// Returns true if there is room for a device of this rank. If all places are taken,
    /// first removes the device that is known least and was not seen for the longest time.
    fn make_room(&mut self, rank: Rank, at: Timestamp) -> bool {
        if self.devices.len() < self.limits.devices {
            return true;
        }
        let Some(((lowest, last), mac)) = self.order.first().copied() else {
            return false;
        };
        let is_older = last.is_none_or(|last| last < at);
        let is_removed = lowest <= rank && is_older;
        if is_removed {
            self.remove(mac);
            count(&mut self.losses.devices_removed);
        }
        is_removed
    }

    /// Adds a fact to a known device.
    fn add(&mut self, mac: MacAddress, fact: Fact, source: FactSource, period: Period) {
        let Some(device) = self.devices.get_mut(&mac) else {
            return;
        };
        let loss = match &fact {
            Fact::Address(_) => &mut self.losses.addresses,
            Fact::HostName(_) => &mut self.losses.host_names,
            Fact::Model(_) => &mut self.losses.models,
            Fact::AtOnce { .. } => &mut 0,
        };
        let added = device.add(fact, source, period, self.limits);
        if added.is_lost {
            count(loss);
        }
        if added.is_changed {
            self.changed.insert(mac);
        }
        self.sort(mac);
    }

    /// Puts a device into its place in the order of removal.
    fn sort(&mut self, mac: MacAddress) {
        let Some(device) = self.devices.get_mut(&mac) else {
            return;
        };
        let order = (device.rank(), device.last());
        let before = device.order.replace(order);
        if let Some(before) = before.filter(|before| *before != order) {
            self.order.remove(&(before, mac));
        }
        self.order.insert((order, mac));
    }

    /// Returns true if a device can have `address`. Counts one that no device has.
    fn is_address(&mut self, address: IpAddr) -> bool {
        let is_other = match address {
            IpAddr::V4(ipv4) => ipv4.is_broadcast(),
            IpAddr::V6(_) => false,
        };
        let is_none =
            is_other || address.is_unspecified() || address.is_loopback() || address.is_multicast();
        if is_none {
            count(&mut self.losses.not_an_address);
        }
        !is_none
    }

    /// Returns for each address that was used within [`WINDOW`] the device that used it.
    /// The device is `None` if several used it.
    fn users(&self, at: Timestamp) -> BTreeMap<IpAddr, Option<MacAddress>> {
        let start = at.checked_sub(WINDOW).unwrap_or(Timestamp::MIN);
        let mut users = BTreeMap::new();
        for (mac, device) in self.iter() {
            for (address, _) in device.used().filter(|(_, last)| *last >= start) {
                let user = users.entry(address).or_insert(Some(mac));
                *user = user.filter(|user| *user == mac);
            }
        }
        users
    }
}

fn count(loss: &mut u64) {
    *loss = loss.saturating_add(1);
}

#[cfg(test)]
mod tests;
