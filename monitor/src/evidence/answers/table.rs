//! The bounded table behind the memory of answers.
//!
//! Each device has an account of its answers, with at most a quarter of all room. If the
//! table is full, the largest account loses its oldest answer. Devices that find no place
//! for an account share one account, so new MACs do not push out devices that were there
//! before.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use super::subject::{Key, Subject};
use crate::policy::MacAddress;

/// Maximum number of devices with an account of their own.
const MAX_ACCOUNTS: usize = 1024;

/// Maximum size of all texts, in bytes.
pub(super) const MAX_TEXT_BYTES: usize = 8 << 20;

/// Overhead of one text, in bytes: its counters and its place in the set.
const TEXT_OVERHEAD: usize = 48;

/// Maximum number of names that one device has for one address.
pub(super) const MAX_NAMES: usize = 16;

/// Part of the room that one account may use: one of this many.
const PARTS: usize = 4;

/// What one device learnt about a subject.
#[derive(Debug)]
pub(super) struct Entry {
    /// The names from the asked name to the owner of the record, with a space between.
    pub(super) path: Arc<str>,
    pub(super) server: IpAddr,
    /// First and last time, in seconds since 1970.
    pub(super) first: u32,
    pub(super) last: u32,
    /// Place in the order of its account.
    turn: u64,
    account: AccountId,
}

/// The device, or `None` for the account that devices share.
type AccountId = Option<MacAddress>;

#[derive(Debug, Default)]
struct Account {
    /// The entries from the one that was seen the longest ago.
    order: BTreeMap<u64, Arc<Key>>,
    texts: HashSet<Arc<str>>,
    text_bytes: usize,
    /// Last time of an answer that is missing, in seconds since 1970.
    missing: Option<u32>,
}

#[derive(Debug)]
pub(super) struct Table {
    entries: BTreeMap<Arc<Key>, Entry>,
    accounts: BTreeMap<AccountId, Account>,
    most: usize,
    text_bytes: usize,
    turn: u64,
    /// Last time of an answer to any device that is missing.
    missing: Option<u32>,
    /// Last time of an answer that was forgotten.
    forgotten: Option<u32>,
    evicted: u64,
    replaced: u64,
}

impl Table {
    pub(super) fn new(most: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            accounts: BTreeMap::new(),
            most: most.max(PARTS),
            text_bytes: 0,
            turn: 0,
            missing: None,
            forgotten: None,
            evicted: 0,
            replaced: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(super) fn replaced(&self) -> u64 {
        self.replaced
    }

    /// Adds an entry, or updates the equal one.
    pub(super) fn add(
        &mut self,
        subject: Subject,
        device: MacAddress,
        path: &str,
        server: IpAddr,
        now: u32,
    ) {
        let id = self.account_id(device);
        self.turn += 1;
        if self.touch(&subject, device, path, server, now) {
            return;
        }
        self.make_room(id, &subject, device);
        let path = self.intern(id, path);
        let subject = match subject {
            Subject::Configuration(name, config_id) => {
                Subject::Configuration(self.intern(id, &name), config_id)
            }
            Subject::Https(name) => Subject::Https(self.intern(id, &name)),
            Subject::Address(_) | Subject::Hint(_) => subject,
        };
        let turn = self.turn;
        let key = Arc::new(Key {
            subject,
            device,
            id: turn,
        });
        let account = self.accounts.entry(id).or_default();
        account.order.insert(turn, Arc::clone(&key));
        let entry = Entry {
            path,
            server,
            first: now,
            last: now,
            turn,
            account: id,
        };
        self.entries.insert(key, entry);
    }

    /// Returns the entries of a device for a subject.
    pub(super) fn of_device(
        &self,
        subject: &Subject,
        device: MacAddress,
    ) -> impl Iterator<Item = &Entry> {
        self.entries
            .range::<Key, _>(Key::of_device(subject, device))
            .map(|(_, entry)| entry)
    }

    /// Returns the entries of all devices for a subject, sorted by device.
    pub(super) fn of_all(&self, subject: &Subject) -> impl Iterator<Item = (MacAddress, &Entry)> {
        self.entries
            .range::<Key, _>(Key::of_all(subject, subject))
            .map(|(key, entry)| (key.device, entry))
    }

    /// Returns true if a device has an entry for a subject from `first` to `last`.
    pub(super) fn contains(&self, first: &Subject, last: &Subject) -> bool {
        let keys = Key::of_all(first, last);
        self.entries.range::<Key, _>(keys).next().is_some()
    }

    /// Notes that an answer to `device` is missing.
    pub(super) fn missed_by(&mut self, device: MacAddress, now: u32) {
        let id = self.account_id(device);
        self.missing = self.missing.max(Some(now));
        // A device without entries gets an account, which has no entries either.
        let account = self.accounts.entry(id).or_default();
        account.missing = account.missing.max(Some(now));
    }

    pub(super) fn complete_since(&self) -> Option<u32> {
        self.missing.max(self.forgotten)
    }

    pub(super) fn complete_since_of(&self, device: MacAddress) -> Option<u32> {
        let account = self.accounts.get(&Some(device));
        let account = account.or_else(|| self.accounts.get(&None));
        self.forgotten
            .max(account.and_then(|account| account.missing))
    }

    /// Removes the entries that were last seen before `oldest`.
    pub(super) fn expire(&mut self, oldest: u32) {
        let ids: Vec<AccountId> = self.accounts.keys().copied().collect();
        for id in ids {
            self.expire_account(id, oldest);
        }
    }

    /// Removes the entries of the device's account that were last seen before `oldest`.
    pub(super) fn expire_of(&mut self, device: MacAddress, oldest: u32) {
        self.expire_account(self.account_id(device), oldest);
    }

    pub(super) fn forget(&mut self, device: MacAddress) {
        for id in [Some(device), None] {
            let account = self.accounts.get(&id);
            let turns: Vec<u64> = account
                .into_iter()
                .flat_map(|account| &account.order)
                .filter(|(_, key)| key.device == device)
                .map(|(turn, _)| *turn)
                .collect();
            for turn in turns {
                let last = self.remove(id, turn);
                self.forgotten = self.forgotten.max(last);
            }
        }
        self.accounts.remove(&Some(device));
    }

    /// Checks that both orders hold the same entries, and that the sizes are right.
    #[cfg(test)]
    pub(super) fn is_consistent(&self) -> bool {
        let in_order = self.accounts.iter().all(|(id, account)| {
            let size = |text: &Arc<str>| text.len() + TEXT_OVERHEAD;
            account.text_bytes == account.texts.iter().map(size).sum::<usize>()
                && account.order.len() <= self.most / PARTS
                && account.order.iter().all(|(turn, key)| {
                    let entry = self.entries.get(key);
                    entry.is_some_and(|entry| entry.turn == *turn && entry.account == *id)
                })
        });
        let accounts = || self.accounts.values();
        in_order
            && self.entries.len() == accounts().map(|account| account.order.len()).sum::<usize>()
            && self.text_bytes == accounts().map(|account| account.text_bytes).sum::<usize>()
    }

    fn account_id(&self, device: MacAddress) -> AccountId {
        let own = Some(device);
        let has_place = self.accounts.contains_key(&own) || self.accounts.len() < MAX_ACCOUNTS;
        own.filter(|_| has_place)
    }

    /// Updates the entry that says the same. Returns false if there is none.
    fn touch(
        &mut self,
        subject: &Subject,
        device: MacAddress,
        path: &str,
        server: IpAddr,
        now: u32,
    ) -> bool {
        let turn = self.turn;
        let mut entries = self
            .entries
            .range_mut::<Key, _>(Key::of_device(subject, device));
        let Some((key, entry)) =
            entries.find(|(_, entry)| entry.server == server && *entry.path == *path)
        else {
            return false;
        };
        if let Some(account) = self.accounts.get_mut(&entry.account) {
            account.order.remove(&entry.turn);
            account.order.insert(turn, Arc::clone(key));
        }
        entry.turn = turn;
        entry.last = entry.last.max(now);
        true
    }

    /// Removes entries until there is room for one more entry of the account.
    fn make_room(&mut self, id: AccountId, subject: &Subject, device: MacAddress) {
        if self.of_device(subject, device).count() >= MAX_NAMES {
            let places = self.of_device(subject, device);
            let oldest = places.map(|entry| (entry.turn, entry.account)).min();
            self.replaced += 1;
            oldest.map(|(turn, account)| self.remove(account, turn));
        }
        let of_account = |table: &Self| table.accounts.get(&id).map_or(0, |a| a.order.len());
        while of_account(self) >= self.most / PARTS && self.evict(id) {}
        while self.entries.len() >= self.most
            && self.evict(self.largest(|account| account.order.len()))
        {}
    }

    /// Returns the text that the account shares among its entries. Removes entries until
    /// there is room for the text.
    fn intern(&mut self, id: AccountId, text: &str) -> Arc<str> {
        let account = self.accounts.entry(id).or_default();
        if let Some(known) = account.texts.get(text) {
            return Arc::clone(known);
        }
        let size = text.len() + TEXT_OVERHEAD;
        let of_account = |table: &Self| table.accounts.get(&id).map_or(0, |a| a.text_bytes);
        while of_account(self) + size > MAX_TEXT_BYTES / PARTS && self.evict(id) {}
        while self.text_bytes + size > MAX_TEXT_BYTES
            && self.evict(self.largest(|account| account.text_bytes))
        {}
        let text: Arc<str> = text.into();
        let account = self.accounts.entry(id).or_default();
        account.texts.insert(Arc::clone(&text));
        account.text_bytes += size;
        self.text_bytes += size;
        text
    }

    fn largest(&self, size: impl Fn(&Account) -> usize) -> AccountId {
        let accounts = self.accounts.iter();
        let largest = accounts.max_by_key(|(_, account)| size(account));
        largest.and_then(|(id, _)| *id)
    }

    /// Removes the oldest entry of an account. Returns false if it has none.
    fn evict(&mut self, id: AccountId) -> bool {
        let account = self.accounts.get(&id);
        let oldest = account.and_then(|account| account.order.keys().next().copied());
        let last = oldest.and_then(|turn| self.remove(id, turn));
        self.evicted += u64::from(last.is_some());
        self.missing = self.missing.max(last);
        if let Some(account) = self.accounts.get_mut(&id) {
            account.missing = account.missing.max(last);
        }
        last.is_some()
    }

    fn expire_account(&mut self, id: AccountId, oldest: u32) {
        while let Some((turn, key)) = self
            .accounts
            .get(&id)
            .and_then(|a| a.order.first_key_value())
            && self
                .entries
                .get(key)
                .is_none_or(|entry| entry.last < oldest)
        {
            let turn = *turn;
            self.remove(id, turn);
        }
        let obsolete = |account: &Account| {
            account.order.is_empty() && account.missing.is_none_or(|missing| missing < oldest)
        };
        if self.accounts.get(&id).is_some_and(obsolete) {
            self.accounts.remove(&id);
        }
    }

    /// Removes an entry and the texts that no other entry of the account uses. Returns its
    /// last time.
    fn remove(&mut self, id: AccountId, turn: u64) -> Option<u32> {
        let account = self.accounts.get_mut(&id)?;
        let key = account.order.remove(&turn)?;
        let entry = self.entries.remove(&key)?;
        let texts = [Some(entry.path), key.subject.text().cloned()];
        drop(key);
        for text in texts.into_iter().flatten() {
            // One of the two counted uses is the set, the other is `text`.
            if Arc::strong_count(&text) == 2 && account.texts.remove(&text) {
                let size = text.len() + TEXT_OVERHEAD;
                account.text_bytes -= size;
                self.text_bytes -= size;
            }
        }
        Some(entry.last)
    }
}
