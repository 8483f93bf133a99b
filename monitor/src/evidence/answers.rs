//! Memory of DNS answers: which device learnt which address by which name.
//!
//! The memory is bounded in time, in number and in bytes of text. A device that gets very
//! many answers loses its own oldest answers, not those of other devices.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    claim::{Claim, Ech, NameSource},
    names::dns::{Answer, AnswerAddress, Asked},
};
use crate::policy::MacAddress;

mod subject;
mod table;

use subject::Subject;
use table::{Entry, Table};

/// Maximum number of claims of one [`NameSource`] that [`Answers::names`] returns.
pub const MAX_CLAIMS: usize = 16;

/// Number of entries for one address that [`Answers::names`] examines at most.
const MAX_EXAMINED: usize = 1024;

/// Maximum number of claims of one other device.
const MAX_CLAIMS_OF_OTHER: usize = 2;

/// Bounds of the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerSettings {
    /// How long an answer is kept after it was last seen.
    pub keep: SignedDuration,
    /// Maximum number of answers. Each name of each address counts.
    pub answers: usize,
}

impl Default for AnswerSettings {
    /// Keeps 50,000 answers for 24 hours.
    fn default() -> Self {
        Self {
            keep: SignedDuration::from_hours(24),
            answers: 50_000,
        }
    }
}

/// Numbers of what the memory lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerLosses {
    /// Answers that were removed to make room, before their time was over.
    pub evicted: u64,
    /// Names that were removed because their address got too many names.
    pub replaced: u64,
    /// Answers with addresses whose last records are missing.
    pub incomplete: u64,
}

/// The memory of DNS answers.
#[derive(Debug)]
pub struct Answers {
    table: Table,
    keep: SignedDuration,
    /// Every answer since this time was seen, as far as the caller knows.
    started: Timestamp,
    incomplete: u64,
}

impl Answers {
    /// Creates an empty memory. Copies of answers arrive since `started`.
    #[must_use]
    pub fn new(settings: AnswerSettings, started: Timestamp) -> Self {
        Self {
            table: Table::new(settings.answers),
            keep: settings.keep,
            started,
            incomplete: 0,
        }
    }

    /// Takes what `device` learnt from an answer of `server`.
    pub fn learn(&mut self, device: MacAddress, server: IpAddr, answer: &Answer, now: Timestamp) {
        let seconds = seconds(now);
        self.table.expire_of(device, self.oldest(now));
        for address in &answer.addresses {
            let subject = Subject::Address(address.address);
            let path = path(answer, address);
            self.table.add(subject, device, &path, server, seconds);
        }
        for hint in &answer.hints {
            let subject = Subject::Hint(hint.address);
            let path = path(answer, hint);
            self.table.add(subject, device, &path, server, seconds);
        }
        for configuration in &answer.configurations {
            let name = configuration.public_name.as_str().into();
            let subject = Subject::Configuration(name, configuration.config_id);
            self.table.add(subject, device, "", server, seconds);
        }
        if let (true, Some(name)) = (answer.https_known, answer.chain.first()) {
            let subject = Subject::Https(name.as_str().into());
            self.table.add(subject, device, "", server, seconds);
        }
        let records_missing = answer.defects.incomplete || answer.defects.beyond;
        if records_missing && answer.asked != Asked::Other {
            self.incomplete += 1;
            self.table.missed_by(device, seconds);
        }
    }

    /// Notes that copies of answers were lost, or did not arrive, until `now`.
    pub fn missed(&mut self, now: Timestamp) {
        self.started = self.started.max(now);
    }

    /// Removes the answers that were not seen for the time to keep.
    pub fn expire(&mut self, now: Timestamp) {
        self.table.expire(self.oldest(now));
    }

    /// Returns the names of `destination` for `device`, sorted.
    ///
    /// There are at most [`MAX_CLAIMS`] of each source, the last seen ones. Names that
    /// another device learnt are left out if this device learnt them too.
    #[must_use]
    pub fn names(&self, device: MacAddress, destination: IpAddr, now: Timestamp) -> Vec<Claim> {
        let oldest = self.oldest(now);
        let destination = destination.to_canonical();
        let own = |subject: Subject, source: NameSource| {
            let entries = self.table.of_device(&subject, device);
            let kept = entries.filter(move |entry| entry.last >= oldest);
            newest(kept.map(|entry| claim(entry, source)).collect())
        };
        let mut claims = own(Subject::Address(destination), NameSource::Dns);
        claims.extend(own(Subject::Hint(destination), NameSource::DnsHint));
        let known: BTreeSet<&str> = claims
            .iter()
            .filter(|claim| claim.source == NameSource::Dns)
            .map(|claim| claim.name.as_str())
            .collect();
        let mut others = self.names_of_others(device, destination, oldest);
        others.retain(|claim| !known.contains(claim.name.as_str()));
        claims.extend(newest(others));
        claims.sort();
        claims
    }

    /// Returns what a ClientHello with an Encrypted Client Hello extension is.
    ///
    /// `public_name` and `config_id` are those of the outer ClientHello. `server_name` is
    /// its server name. GREASE is stated only if the HTTPS records of `server_name` are
    /// known, and no configuration has that name as its public name.
    #[must_use]
    pub fn ech(&self, public_name: &str, config_id: u8, server_name: &str) -> Ech {
        let configuration = |name: &str, id| Subject::Configuration(name.into(), id);
        let exact = configuration(public_name, config_id);
        if self.table.contains(&exact, &exact) {
            return Ech::Real;
        }
        let is_public_name = |name| {
            let (first, last) = (configuration(name, 0), configuration(name, u8::MAX));
            self.table.contains(&first, &last)
        };
        let https = Subject::Https(server_name.into());
        let is_known = self.table.contains(&https, &https);
        if is_known && !is_public_name(public_name) && !is_public_name(server_name) {
            Ech::Grease
        } else {
            Ech::Unknown
        }
    }

    /// Returns the time since which every answer to any device is in the memory.
    #[must_use]
    pub fn seen_since(&self, now: Timestamp) -> Timestamp {
        self.since(self.table.complete_since(), now)
    }

    /// Returns the time since which every answer to `device` is in the memory. It may be
    /// earlier than [`seen_since`](Self::seen_since).
    #[must_use]
    pub fn seen_since_by(&self, device: MacAddress, now: Timestamp) -> Timestamp {
        self.since(self.table.complete_since_of(device), now)
    }

    /// Removes everything that `device` learnt.
    pub fn forget(&mut self, device: MacAddress) {
        self.table.forget(device);
    }

    /// Returns the number of answers in the memory.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Returns true if the memory has no answer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    /// Returns the size of the texts in the memory, in bytes, with their overhead.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.table.text_bytes()
    }

    /// Returns what was lost since the start.
    #[must_use]
    pub fn losses(&self) -> AnswerLosses {
        AnswerLosses {
            evicted: self.table.evicted(),
            replaced: self.table.replaced(),
            incomplete: self.incomplete,
        }
    }

    /// Returns the claims by answers that other devices got. Equal answers of several
    /// devices make one claim.
    fn names_of_others(&self, device: MacAddress, address: IpAddr, oldest: u32) -> Vec<Claim> {
        let mut by_device = BTreeMap::<MacAddress, Vec<Claim>>::new();
        let subject = Subject::Address(address);
        for (other, entry) in self.table.of_all(&subject).take(MAX_EXAMINED) {
            if other != device && entry.last >= oldest {
                let claims = by_device.entry(other).or_default();
                claims.push(claim(entry, NameSource::DnsOther));
            }
        }
        let mut merged = BTreeMap::<_, Claim>::new();
        for mut claims in by_device.into_values() {
            claims.sort_by(|one, other| other.last.cmp(&one.last).then(one.cmp(other)));
            for claim in claims.into_iter().take(MAX_CLAIMS_OF_OTHER) {
                let key = (claim.name.clone(), claim.chain.clone(), claim.server);
                merged
                    .entry(key)
                    .and_modify(|known| {
                        known.first = known.first.min(claim.first);
                        known.last = known.last.max(claim.last);
                    })
                    .or_insert(claim);
            }
        }
        merged.into_values().collect()
    }

    fn oldest(&self, now: Timestamp) -> u32 {
        seconds(now.saturating_sub(self.keep).unwrap_or(Timestamp::MIN))
    }

    fn since(&self, complete: Option<u32>, now: Timestamp) -> Timestamp {
        let complete = complete.map_or(Timestamp::MIN, |seconds| {
            timestamp(seconds.saturating_add(1))
        });
        let kept = now.saturating_sub(self.keep).unwrap_or(Timestamp::MIN);
        self.started.max(kept).max(complete)
    }
}

/// Returns the names from the asked name to the owner of a record, with a space between.
/// The texts of names have no spaces.
fn path(answer: &Answer, address: &AnswerAddress) -> String {
    let chain = answer.chain.iter().take(address.owner.saturating_add(1));
    let names: Vec<&str> = chain.chain(&address.target).map(String::as_str).collect();
    names.join(" ")
}

fn claim(entry: &Entry, source: NameSource) -> Claim {
    let mut names: Vec<String> = entry.path.split(' ').map(str::to_owned).collect();
    let name = names.first().cloned().unwrap_or_default();
    if names.len() == 1 {
        names.clear();
    }
    Claim {
        name,
        source,
        server: Some(entry.server),
        chain: names,
        ech: None,
        first: timestamp(entry.first),
        last: timestamp(entry.last),
    }
}

/// Returns the claims that were seen last, at most [`MAX_CLAIMS`].
fn newest(mut claims: Vec<Claim>) -> Vec<Claim> {
    claims.sort_by(|one, other| other.last.cmp(&one.last).then(one.cmp(other)));
    claims.truncate(MAX_CLAIMS);
    claims
}

/// Returns the seconds since 1970. Times before 1970 and after 2106 are not told apart.
fn seconds(time: Timestamp) -> u32 {
    u32::try_from(time.as_second().max(0)).unwrap_or(u32::MAX)
}

fn timestamp(seconds: u32) -> Timestamp {
    Timestamp::from_second(seconds.into()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
