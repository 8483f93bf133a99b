//! Policies that cannot be invalid.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    Acceptance, Action, PolicyName, Risk,
    by_command::{ByCommand, Pause},
    changed::Override,
    destinations::{Destinations, Entry},
    diagnostic::SourcePlace,
    observed::Observed,
    schedule::{Moment, Outside, Rest, Schedule},
    scope::Scope,
};
use crate::address::{Address, Derivation, DerivedFrom};

/// One policy: at least one destination, its exceptions inside its destinations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub(super) name: PolicyName,
    pub(super) action: Action,
    pub(super) enabled: bool,
    pub(super) description: Option<String>,
    pub(super) observed: Option<Observed>,
    pub(super) references: Vec<String>,
    pub(super) scope: Scope,
    pub(super) schedule: Option<Schedule>,
    pub(super) expires: Option<Timestamp>,
    /// What commands ask of it.
    pub(super) by_command: ByCommand,
    pub(super) now: CurrentEffect,
    /// The scope that it has now, where that is not the written one.
    pub(super) scope_now: Option<Scope>,
    pub(super) place: SourcePlace,
    /// The policy file first, then its lists.
    pub(super) files: Vec<Arc<Path>>,
    pub(super) ipv4: Destinations<Ipv4Addr>,
    pub(super) ipv6: Destinations<Ipv6Addr>,
    pub(super) derives: bool,
    pub(super) changed: Option<Override>,
    /// Of its file first, then of an overlay.
    pub(super) accepted: Vec<Acceptance>,
}

/// What a policy does at the moment that it was told last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum CurrentEffect {
    /// What its action says.
    #[default]
    AsWritten,
    /// Count only.
    Counts,
    /// Nothing, until then.
    Rests(Rest, Option<Timestamp>),
}

impl Policy {
    /// Unique among the policies of a load.
    #[must_use]
    pub fn name(&self) -> &PolicyName {
        &self.name
    }

    /// What it asks for now: outside its schedule that may be less than its
    /// file says.
    #[must_use]
    pub fn action(&self) -> Action {
        match self.now {
            CurrentEffect::Counts => Action::Count,
            CurrentEffect::AsWritten | CurrentEffect::Rests(..) => self.action,
        }
    }

    /// What it asks for when it does not rest.
    #[must_use]
    pub fn written_action(&self) -> Action {
        self.action
    }

    /// Whether its files want it.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Whether it is part of the ruleset.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.enabled && self.rest().is_none()
    }

    /// Whether it is part of the ruleset at every time from now on.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        let timed = self.schedule.is_some() || self.expires.is_some();
        self.enabled && !timed && self.by_command.pauses.is_empty()
    }

    /// Why it does nothing now, though it is enabled.
    #[must_use]
    pub fn rest(&self) -> Option<Rest> {
        match self.now {
            CurrentEffect::Rests(rest, _) if self.enabled => Some(rest),
            CurrentEffect::Rests(..) | CurrentEffect::AsWritten | CurrentEffect::Counts => None,
        }
    }

    /// When its rest ends by itself.
    #[must_use]
    pub fn rests_until(&self) -> Option<Timestamp> {
        match self.now {
            CurrentEffect::Rests(_, until) => until,
            CurrentEffect::AsWritten | CurrentEffect::Counts => None,
        }
    }

    /// Sets what it does at `moment`.
    pub fn set_now(&mut self, moment: &Moment) {
        let outside = || {
            let schedule = self.schedule.as_ref()?;
            (!schedule.is_open(moment.at)).then_some(schedule.outside())
        };
        let sure = moment.clock_synchronised || self.by_command.end_is_measured;
        let unsure = self.action.exempts() && !sure;
        let until = self.next_edge(moment.at);
        let paused_until = self.by_command.paused_until(moment.at);
        self.now = match (self.expires, outside()) {
            (Some(end), _) if end <= moment.at => CurrentEffect::Rests(Rest::Expired, None),
            _ if paused_until.is_some() => CurrentEffect::Rests(Rest::Paused, paused_until),
            (Some(_), _) if unsure => CurrentEffect::Rests(Rest::Clock, None),
            (_, None) => CurrentEffect::AsWritten,
            (_, Some(Outside::Off)) => CurrentEffect::Rests(Rest::Schedule, until),
            (_, Some(Outside::Count)) => CurrentEffect::Counts,
        };
        self.scope_now = self.by_command.narrowed(&self.scope, moment.at);
    }

    /// When that changes next by itself.
    #[must_use]
    pub fn next_edge(&self, after: Timestamp) -> Option<Timestamp> {
        if !self.enabled || self.expires.is_some_and(|end| end <= after) {
            return None;
        }
        let schedule = self.schedule.as_ref();
        let edge = schedule.and_then(|schedule| schedule.next_edge(after));
        let pauses = self.by_command.pauses.iter().map(|pause| pause.until);
        let pauses = pauses.filter(|until| *until > after);
        edge.into_iter().chain(self.expires).chain(pauses).min()
    }

    /// The command that wrote it, where no file did.
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        self.by_command.made_by.as_deref()
    }

    /// The pauses that commands asked for, of all of it or for some devices.
    #[must_use]
    pub fn pauses(&self) -> &[Pause] {
        &self.by_command.pauses
    }

    /// When it ends, where it does.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// Whether it waits for a synchronised clock.
    #[must_use]
    pub fn waits_for_clock(&self) -> bool {
        self.rest() == Some(Rest::Clock)
    }

    /// What it is about, in the author's words.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// When the traffic was seen that it is about.
    #[must_use]
    pub fn observed(&self) -> Option<&Observed> {
        self.observed.as_ref()
    }

    /// Where to read about it.
    #[must_use]
    pub fn references(&self) -> &[String] {
        &self.references
    }

    /// Which packets to its destinations it is about now.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        self.scope_now.as_ref().unwrap_or(&self.scope)
    }

    /// Where its name is written.
    #[must_use]
    pub fn place(&self) -> &SourcePlace {
        &self.place
    }

    /// Its IPv4 destinations.
    #[must_use]
    pub fn ipv4(&self) -> &Destinations<Ipv4Addr> {
        &self.ipv4
    }

    /// Its IPv6 destinations.
    #[must_use]
    pub fn ipv6(&self) -> &Destinations<Ipv6Addr> {
        &self.ipv6
    }

    /// Whether its IPv4 destinations also hold the IPv6 addresses that carry
    /// them: not with `derive: none`.
    #[must_use]
    pub fn derives(&self) -> bool {
        self.derives
    }

    /// The longest prefix that covers `address`, where one does; written, or
    /// derived as `derivation` says.
    #[must_use]
    pub fn longest_match(&self, address: IpAddr, derivation: &Derivation) -> Option<LongestMatch> {
        self.longest_of(&self.ipv4, &self.ipv6, address, derivation)
    }

    /// What an overlay changed of it.
    #[must_use]
    pub fn changed(&self) -> Option<&Override> {
        self.changed.as_ref()
    }

    /// The risks that it accepts: in its file, and in an overlay.
    #[must_use]
    pub fn accepted(&self) -> &[Acceptance] {
        &self.accepted
    }

    /// Whether it accepts `risk`.
    #[must_use]
    pub fn accepts(&self, risk: Risk) -> bool {
        let mut accepted = self.accepted.iter();
        accepted.any(|accepted| accepted.risks.contains_key(&risk))
    }

    /// The file that `entry` is written in.
    #[must_use]
    pub fn file_of<A: Address>(&self, entry: &Entry<A>) -> &Path {
        &self.files[entry.file as usize]
    }

    /// What would cover `address`, had an overlay made no exceptions.
    #[must_use]
    pub fn left_out(&self, address: IpAddr, derivation: &Derivation) -> Option<LongestMatch> {
        let changed = self.changed.as_ref()?;
        self.longest_of(&changed.ipv4, &changed.ipv6, address, derivation)
    }

    fn longest_of(
        &self,
        ipv4: &Destinations<Ipv4Addr>,
        ipv6: &Destinations<Ipv6Addr>,
        address: IpAddr,
        derivation: &Derivation,
    ) -> Option<LongestMatch> {
        let address = match address {
            IpAddr::V4(address) => {
                return ipv4.longest_match(address).map(|entry| self.show(entry));
            }
            IpAddr::V6(address) => address,
        };
        let written = ipv6.longest_match(address).map(|entry| self.show(entry));
        let derived = self.derived_of(ipv4, address, derivation);
        // Among equals the written one.
        derived
            .chain(written)
            .max_by_key(|found| (found.length, found.derived.is_none()))
    }

    /// The longest match of the IPv4 address that `address` carries, for each
    /// way in which it can carry one.
    fn derived_of(
        &self,
        ipv4: &Destinations<Ipv4Addr>,
        address: Ipv6Addr,
        derivation: &Derivation,
    ) -> impl Iterator<Item = LongestMatch> {
        let embeddings = derivation.embeddings().iter().filter(|_| self.derives);
        embeddings.filter_map(move |by| {
            let entry = ipv4.longest_match(by.extract(address)?)?;
            let network = by.network_like(entry.network, address);
            Some(LongestMatch {
                length: network.length(),
                prefix: network.to_string(),
                derived: Some(DerivedFrom {
                    from: entry.network,
                    by: *by,
                }),
                ..self.show(entry)
            })
        })
    }

    fn show<A: Address>(&self, entry: &Entry<A>) -> LongestMatch {
        let file = crate::printable::path(self.file_of(entry));
        LongestMatch {
            length: entry.network.length(),
            prefix: entry.network.to_string(),
            source: entry
                .line()
                .map_or_else(|| file.to_string(), |line| format!("{file}:{line}")),
            derived: None,
        }
    }
}

/// The part of a policy that matches an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongestMatch {
    /// Length of the prefix in bits.
    pub length: u8,
    /// The prefix.
    pub prefix: String,
    /// `file:line` where it is written; `file` alone where that has no lines.
    pub source: String,
    /// The IPv4 network that the prefix is derived from, where it is not written.
    pub derived: Option<DerivedFrom>,
}
