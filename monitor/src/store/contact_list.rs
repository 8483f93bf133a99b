//! Lists contacts, the latest first, and sums them by time. A contact is a device, a
//! destination, a protocol and a port.
//!
//! A list reads the rows from the latest bucket back and stops when it is full. So its time
//! depends on the length of the list, and not on the size of the store.

mod by_device;
mod hit;
mod selected;

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use monitor_common::Count;
use rusqlite::Row;

use super::{
    bucket,
    error::{StoreError, on},
    query::DestinationRange,
    reader::View,
    rows,
};
use crate::{
    evidence::{Claim, Direction, Port},
    policy::{MacAddress, PolicyName},
};

pub use by_device::DeviceTimes;
pub use hit::Hit;

pub(in crate::store) use selected::Asked;
use selected::in_period;

/// Which contacts to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactQuery {
    /// Leaves out rows whose last packet is older.
    pub since: Timestamp,
    /// Leaves out rows whose first packet is not older.
    pub until: Timestamp,
    /// Only contacts of these devices; empty for all.
    pub devices: Vec<MacAddress>,
    /// Only contacts that this policy matched.
    pub policy: Option<PolicyName>,
    /// Only contacts with these destinations, or with a name that contains the text.
    pub to: Option<To>,
    /// Only contacts with packets of this verdict.
    pub verdict: Option<Verdict>,
    /// Number of contacts to leave out at the begin.
    pub skip: usize,
    /// The most contacts to list.
    pub limit: usize,
}

/// The end of a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// Destination addresses.
    Range(DestinationRange),
    /// Part of a name, in lower case.
    Name(String),
}

/// What the filter did with packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They passed.
    Passed,
    /// They were dropped.
    Dropped,
}

/// Contacts, the latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactList {
    /// The contacts.
    pub contacts: Vec<ListedContact>,
    /// True if there are further ones.
    pub more: bool,
}

/// The sums of a contact in the asked period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedContact {
    /// The device; `None` for all devices beyond the limits of the store.
    pub device: Option<MacAddress>,
    /// The destination; `None` for all destinations beyond the limits of the store.
    pub destination: Option<std::net::IpAddr>,
    /// Protocol number (IANA).
    pub protocol: u8,
    /// Destination port, or why there is none.
    pub port: Port,
    /// Interfaces on which the packets arrived.
    pub interfaces: BTreeSet<String>,
    /// Every list of policies that matched, each with the effective one first, sorted.
    pub policies: Vec<Vec<PolicyName>>,
    /// Packets that passed.
    pub passed: Count,
    /// Packets that were dropped.
    pub dropped: Count,
    /// Packets that came back to the device. Only an interface with the role `wan` shows them.
    pub answered: Count,
    /// Time of the first packet that the device sent, to about one second.
    pub first: Timestamp,
    /// Time of the last packet that the device sent, to about one second.
    pub last: Timestamp,
    /// Names of the destination.
    pub claims: Vec<Claim>,
    /// Number of claims that were left out.
    pub more_claims: u32,
}

/// Packets by time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeSlots {
    /// Begin of the first slot.
    pub first: Timestamp,
    /// Length of a slot in seconds.
    pub seconds: i64,
    /// Passed and dropped packets of each slot.
    pub slots: Vec<(u64, u64)>,
}

const CHOSEN: &str = "
    DROP TABLE IF EXISTS temp.chosen_end;
    CREATE TEMP TABLE chosen_end (id INTEGER PRIMARY KEY, device INTEGER NOT NULL);";

/// Row numbers of a contact.
#[derive(Clone, Copy)]
struct End {
    id: i64,
    device: i64,
}

/// What one row of `chosen_end` adds up to.
struct Part {
    id: i64,
    list: i64,
    interface: i64,
    direction: Direction,
    unreadable: i64,
    passed: Count,
    dropped: Count,
    first: i64,
    last: i64,
}

impl View<'_> {
    /// Returns the contacts that a query selects, with their sums over its period.
    pub fn contacts(&self, query: &ContactQuery) -> Result<ContactList, StoreError> {
        let rows = self.rows_of(query)?;
        let (chosen, more) = self.latest_ends(&rows, query)?;
        self.transaction.execute_batch(CHOSEN).map_err(on("read"))?;
        let insert = "INSERT INTO temp.chosen_end VALUES (?1, ?2)";
        for end in &chosen {
            self.transaction
                .prepare_cached(insert)
                .and_then(|mut statement| statement.execute([end.id, end.device]))
                .map_err(on("read"))?;
        }
        let mut parts: HashMap<i64, Vec<Part>> = HashMap::new();
        for part in self.parts(query)? {
            parts.entry(part.id).or_default().push(part);
        }
        let (lists, interfaces) = (self.lists()?, self.interfaces()?);
        let contacts = chosen.iter().filter_map(|end| {
            let parts = parts.remove(&end.id)?;
            Some(self.contact(end.id, &parts, &lists, &interfaces))
        });
        Ok(ContactList {
            contacts: contacts.collect::<Result<_, _>>()?,
            more,
        })
    }

    /// Returns the packets that a query selects, in at most `most` slots. Buckets at the edges of
    /// the period count as a whole.
    pub fn time_slots(&self, query: &ContactQuery, most: u32) -> Result<TimeSlots, StoreError> {
        let rows = self.chart_rows(query)?;
        let mut times = self.empty_slots(query, most)?;
        let select = format!(
            "SELECT number, sum(passed_packets), sum(dropped_packets) {rows} GROUP BY number"
        );
        let found = self.uncached(&select, |row| {
            let counts: (i64, i64) = (row.get(1)?, row.get(2)?);
            Ok((row.get::<_, i64>(0)?, counts))
        })?;
        for (number, counts) in found {
            times.add(bucket::start(number), only(query, counts));
        }
        Ok(times)
    }

    /// The asked contacts by their latest rows, and true if there are further ones.
    fn latest_ends(
        &self,
        rows: &str,
        query: &ContactQuery,
    ) -> Result<(Vec<End>, bool), StoreError> {
        let select = format!(
            "SELECT number, count.flow_end, count.device, last {rows} ORDER BY number DESC"
        );
        let mut statement = self.transaction.prepare(&select).map_err(on("read"))?;
        let mut found = statement.query([]).map_err(on("read"))?;
        let wanted = query.skip.saturating_add(query.limit).saturating_add(1);
        let (mut seen, mut ends) = (HashSet::new(), Vec::new());
        let (mut bucket, mut current) = (None, Vec::new());
        while let Some(row) = found.next().map_err(on("read"))? {
            let (number, end, last) = read_end(row).map_err(on("read"))?;
            if bucket != Some(number) {
                take(&mut current, &mut seen, &mut ends);
                if ends.len() >= wanted {
                    break;
                }
                bucket = Some(number);
            }
            current.push((last, end));
        }
        take(&mut current, &mut seen, &mut ends);
        let more = ends.len() >= wanted;
        let chosen = ends.into_iter().skip(query.skip).take(query.limit);
        Ok((chosen.collect(), more))
    }

    /// The sums of the chosen contacts. The buckets come first: in the other order, SQLite 3.54
    /// makes an index of all rows for this one question.
    fn parts(&self, query: &ContactQuery) -> Result<Vec<Part>, StoreError> {
        let select = format!(
            "SELECT chosen.id, list, interface, direction, max(unreadable), sum(passed_packets),
                sum(passed_bytes), sum(dropped_packets), sum(dropped_bytes),
                min(number * {seconds} + first), max(number * {seconds} + last)
            FROM bucket CROSS JOIN temp.chosen_end AS chosen CROSS JOIN count
                ON count.bucket = number AND count.device = chosen.device
                AND count.flow_end = chosen.id
            WHERE {} GROUP BY chosen.id, list, interface, direction",
            in_period(query),
            seconds = bucket::SECONDS,
        );
        let found = self.uncached(&select, |row| {
            let part = Part {
                id: row.get(0)?,
                list: row.get(1)?,
                interface: row.get(2)?,
                direction: Direction::Out,
                unreadable: row.get(4)?,
                passed: rows::count(row, 5)?,
                dropped: rows::count(row, 7)?,
                first: row.get(9)?,
                last: row.get(10)?,
            };
            Ok((row.get(3)?, part))
        })?;
        let parts = found.into_iter().map(|(direction, part)| {
            let direction = rows::direction(direction)?;
            Ok(Part { direction, ..part })
        });
        parts.collect()
    }

    fn contact(
        &self,
        id: i64,
        parts: &[Part],
        lists: &HashMap<i64, Vec<PolicyName>>,
        interfaces: &HashMap<i64, String>,
    ) -> Result<ListedContact, StoreError> {
        let damaged = || StoreError::Content { table: "count" };
        let select = "SELECT mac, destination, protocol, port
            FROM flow_end JOIN device ON device.id = device WHERE flow_end.id = ?1";
        let found = self.all(select, [id], |row| {
            let end: (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
            Ok((end, row.get::<_, u8>(2)?, row.get::<_, u16>(3)?))
        })?;
        let ((mac, destination), protocol, port) = found.into_iter().next().ok_or_else(damaged)?;
        let (claims, more_claims) = self.claims(id)?;
        let (sent, came): (Vec<&Part>, Vec<&Part>) = parts
            .iter()
            .partition(|part| part.direction == Direction::Out);
        let sum = |parts: &[&Part], of: fn(&Part) -> Count| {
            let mut sum = Count::default();
            for part in parts {
                sum += of(part);
            }
            sum
        };
        let unreadable = sent.iter().map(|part| part.unreadable).max().unwrap_or(0);
        let (first, last) = (
            sent.iter().map(|part| part.first).min().unwrap_or(0),
            sent.iter().map(|part| part.last).max().unwrap_or(0),
        );
        let matched: BTreeSet<_> = sent
            .iter()
            .filter_map(|part| lists.get(&part.list))
            .collect();
        let names = sent
            .iter()
            .filter_map(|part| interfaces.get(&part.interface));
        Ok(ListedContact {
            device: rows::mac(&mac)?,
            destination: rows::address(&destination, "flow_end")?,
            protocol,
            port: rows::port(unreadable, port)?,
            interfaces: names.cloned().collect(),
            policies: matched.into_iter().cloned().collect(),
            passed: sum(&sent, |part| part.passed),
            dropped: sum(&sent, |part| part.dropped),
            answered: sum(&came, |part| part.passed),
            first: bucket::from_seconds(first).ok_or_else(damaged)?,
            last: bucket::from_seconds(last).ok_or_else(damaged)?,
            claims,
            more_claims,
        })
    }
}

/// The packets of the asked verdict.
const fn only(query: &ContactQuery, (passed, dropped): (i64, i64)) -> (i64, i64) {
    match query.verdict {
        None => (passed, dropped),
        Some(Verdict::Passed) => (passed, 0),
        Some(Verdict::Dropped) => (0, dropped),
    }
}

fn read_end(row: &Row<'_>) -> rusqlite::Result<(i64, End, i64)> {
    let end = End {
        id: row.get(1)?,
        device: row.get(2)?,
    };
    Ok((row.get(0)?, end, row.get(3)?))
}

/// Moves the contacts of a bucket that later buckets do not have, the latest first.
fn take(current: &mut Vec<(i64, End)>, seen: &mut HashSet<i64>, ends: &mut Vec<End>) {
    current.sort_by_key(|(last, end)| (std::cmp::Reverse(*last), end.id));
    for (_, end) in current.drain(..) {
        if seen.insert(end.id) {
            ends.push(end);
        }
    }
}
