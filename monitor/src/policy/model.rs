//! Policies in their valid form.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    About, Acceptance, Action, EvidenceLevel, PolicyName, Risk,
    by_command::{ByCommand, Pause},
    changed::Override,
    destinations::{Destinations, Entry},
    diagnostic::SourcePlace,
    observed::Observed,
    schedule::{Moment, Outside, Rest, Schedule},
    scope::Scope,
};
use crate::address::{Address, Derivation, DerivedFrom};

/// One policy. It has at least one destination, and each exception lies inside
/// a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub(super) name: PolicyName,
    pub(super) action: Action,
    pub(super) enabled: bool,
    pub(super) description: Option<String>,
    pub(super) observed: Option<Observed>,
    pub(super) about: Option<About>,
    pub(super) references: Vec<String>,
    pub(super) scope: Scope,
    pub(super) schedule: Option<Schedule>,
    pub(super) expires: Option<Timestamp>,
    /// Changes that commands made to the policy.
    pub(super) by_command: ByCommand,
    pub(super) now: CurrentEffect,
    /// The scope at this time, if it differs from the written one.
    pub(super) scope_now: Option<Scope>,
    pub(super) place: SourcePlace,
    /// The policy file first, then its lists. [`Entry::file`] is an index into
    /// it.
    pub(super) files: Vec<Arc<Path>>,
    pub(super) ipv4: Destinations<Ipv4Addr>,
    pub(super) ipv6: Destinations<Ipv6Addr>,
    pub(super) derives: bool,
    pub(super) evidence: EvidenceLevel,
    /// As written; it has an effect only while the action blocks.
    pub(super) allow_handshake: bool,
    pub(super) changed: Option<Override>,
    /// From the policy's own file first, then from an overlay.
    pub(super) accepted: Vec<Acceptance>,
}

/// The effect of a policy at the last time given to [`Policy::set_now`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum CurrentEffect {
    /// The policy does what its action says.
    #[default]
    AsWritten,
    /// The policy only counts.
    Counts,
    /// The policy has no effect, until the given time if that is known.
    Rests(Rest, Option<Timestamp>),
}

impl Policy {
    /// The name of the policy. No other policy in the same set of policy files has it.
    #[must_use]
    pub fn name(&self) -> &PolicyName {
        &self.name
    }

    /// The action that is in effect now. Outside its schedule a policy may only
    /// count.
    #[must_use]
    pub fn action(&self) -> Action {
        match self.now {
            CurrentEffect::Counts => Action::Count,
            CurrentEffect::AsWritten | CurrentEffect::Rests(..) => self.action,
        }
    }

    /// The action that is written, without the effect of the schedule.
    #[must_use]
    pub fn written_action(&self) -> Action {
        self.action
    }

    /// True if the policy is enabled in its files.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// What is recorded about the packets that the policy matches, unless the daemon
    /// records less.
    #[must_use]
    pub fn evidence(&self) -> EvidenceLevel {
        self.evidence
    }

    /// True if the policy blocks now, and lets TCP segments without data pass.
    #[must_use]
    pub fn allows_handshake(&self) -> bool {
        self.allow_handshake && self.action().blocks()
    }

    /// True if the policy is part of the ruleset now.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.enabled && self.rest().is_none()
    }

    /// True if the policy is part of the ruleset now and at every later time.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        let timed = self.schedule.is_some() || self.expires.is_some();
        self.enabled && !timed && self.by_command.pauses.is_empty()
    }

    /// Why the policy has no effect now although it is enabled; `None` if it
    /// has one.
    #[must_use]
    pub fn rest(&self) -> Option<Rest> {
        match self.now {
            CurrentEffect::Rests(rest, _) if self.enabled => Some(rest),
            CurrentEffect::Rests(..) | CurrentEffect::AsWritten | CurrentEffect::Counts => None,
        }
    }

    /// When the policy takes effect again, if that time is known.
    #[must_use]
    pub fn rests_until(&self) -> Option<Timestamp> {
        match self.now {
            CurrentEffect::Rests(_, until) => until,
            CurrentEffect::AsWritten | CurrentEffect::Counts => None,
        }
    }

    /// Sets the effect that the policy has at `moment`.
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

    /// The next time after `after` at which the effect may change: an edge of
    /// the schedule, the end of the policy, or the end of a pause.
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

    /// The command that created the policy; `None` if a file defines it.
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        self.by_command.made_by.as_deref()
    }

    /// Pauses that commands set, for every device or for some.
    #[must_use]
    pub fn pauses(&self) -> &[Pause] {
        &self.by_command.pauses
    }

    /// When the policy ends, if it does.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// True if the policy has no effect because the clock is not synchronised.
    #[must_use]
    pub fn waits_for_clock(&self) -> bool {
        self.rest() == Some(Rest::Clock)
    }

    /// The author's description.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// When the author saw the traffic.
    #[must_use]
    pub fn observed(&self) -> Option<&Observed> {
        self.observed.as_ref()
    }

    /// What the author states about the holder of the destinations.
    #[must_use]
    pub fn about(&self) -> Option<&About> {
        self.about.as_ref()
    }

    /// Links to further information.
    #[must_use]
    pub fn references(&self) -> &[String] {
        &self.references
    }

    /// The devices, interfaces and services to which the policy applies now.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        self.scope_now.as_ref().unwrap_or(&self.scope)
    }

    /// Where the policy's name is written.
    #[must_use]
    pub fn place(&self) -> &SourcePlace {
        &self.place
    }

    /// The IPv4 destinations.
    #[must_use]
    pub fn ipv4(&self) -> &Destinations<Ipv4Addr> {
        &self.ipv4
    }

    /// The IPv6 destinations.
    #[must_use]
    pub fn ipv6(&self) -> &Destinations<Ipv6Addr> {
        &self.ipv6
    }

    /// True if the policy also covers the IPv6 addresses that embed its IPv4
    /// destinations. It is false with `derive: none`.
    #[must_use]
    pub fn derives(&self) -> bool {
        self.derives
    }

    /// The longest prefix of the policy that covers `address`: a written
    /// prefix, or one that is derived as `derivation` defines.
    #[must_use]
    pub fn longest_match(&self, address: IpAddr, derivation: &Derivation) -> Option<LongestMatch> {
        self.longest_of(&self.ipv4, &self.ipv6, address, derivation)
    }

    /// What an overlay changed in the policy.
    #[must_use]
    pub fn changed(&self) -> Option<&Override> {
        self.changed.as_ref()
    }

    /// The risks that the policy's file and an overlay accept.
    #[must_use]
    pub fn accepted(&self) -> &[Acceptance] {
        &self.accepted
    }

    /// True if the policy's file or an overlay accepts `risk`.
    #[must_use]
    pub fn accepts(&self, risk: Risk) -> bool {
        let mut accepted = self.accepted.iter();
        accepted.any(|accepted| accepted.risks.contains_key(&risk))
    }

    /// The file in which `entry` is written.
    #[must_use]
    pub fn file_of<A: Address>(&self, entry: &Entry<A>) -> &Path {
        &self.files[entry.file as usize]
    }

    /// The prefix that an overlay's exception removed and that would otherwise
    /// cover `address`.
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
                return ipv4.longest_match(address).map(|entry| self.show(&entry));
            }
            IpAddr::V6(address) => address,
        };
        let written = ipv6.longest_match(address).map(|entry| self.show(&entry));
        let derived = self.derived_of(ipv4, address, derivation);
        // Of equally long prefixes, the written one wins.
        derived
            .chain(written)
            .max_by_key(|found| (found.length, found.derived.is_none()))
    }

    /// For each embedding of the IPv4 address in `address`, the longest prefix
    /// that covers it.
    fn derived_of(
        &self,
        ipv4: &Destinations<Ipv4Addr>,
        address: Ipv6Addr,
        derivation: &Derivation,
    ) -> impl Iterator<Item = LongestMatch> {
        let embeddings = derivation.embeddings().iter().filter(|_| self.derives);
        embeddings.filter_map(move |by| {
            let entry = ipv4.longest_match(by.extract(address)?)?;
            let network = by.network_like(entry.network(), address);
            Some(LongestMatch {
                length: network.length(),
                prefix: network.to_string(),
                derived: Some(DerivedFrom {
                    from: entry.network(),
                    by: *by,
                }),
                ..self.show(&entry)
            })
        })
    }

    fn show<A: Address>(&self, entry: &Entry<A>) -> LongestMatch {
        let file = crate::printable::path(self.file_of(entry));
        LongestMatch {
            length: entry.network().length(),
            prefix: entry.network().to_string(),
            source: entry
                .line()
                .map_or_else(|| file.to_string(), |line| format!("{file}:{line}")),
            derived: None,
        }
    }
}

/// The prefix of a policy that covers an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongestMatch {
    /// Length of the prefix in bits.
    pub length: u8,
    /// The prefix as text.
    pub prefix: String,
    /// `file:line` where the prefix is written; only `file` if the file has no
    /// lines.
    pub source: String,
    /// The IPv4 network from which the prefix is derived; `None` if it is
    /// written.
    pub derived: Option<DerivedFrom>,
}
