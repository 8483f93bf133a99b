//! Answers which flows a period has.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
};

use jiff::Timestamp;
use monitor_common::Count;
use rusqlite::{Row, params_from_iter, types::Value};

use super::{
    bucket,
    error::{StoreError, on},
    reader::{View, time},
    rows::{self, AddressBytes},
};
use crate::{
    evidence::{
        FlowRow,
        claim::Claim,
        flow::{Direction, Port},
    },
    policy::{MacAddress, PolicyName},
};

/// Largest number of claims that an answer holds for one flow. The claims that were seen
/// last the longest ago are left out.
const MOST_CLAIMS: usize = 64;

/// Largest text of the claims that an answer holds for one flow, in bytes of names and
/// chains. An answer holds at least one claim.
const MOST_CLAIM_TEXT: usize = 4_096;

/// Which flows to return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowQuery {
    /// Leaves out rows whose last packet is older.
    pub since: Option<Timestamp>,
    /// Leaves out rows whose first packet is not older.
    pub until: Option<Timestamp>,
    /// Only flows of this device.
    pub device: Option<MacAddress>,
    /// Only flows that this policy matched.
    pub policy: Option<PolicyName>,
    /// Only flows to these destinations.
    pub destination: Option<DestinationRange>,
    /// Largest number of flows. Flows with later packets go before others.
    pub limit: usize,
}

impl Default for FlowQuery {
    fn default() -> Self {
        Self {
            since: None,
            until: None,
            device: None,
            policy: None,
            destination: None,
            limit: 1_000,
        }
    }
}

/// Destinations from a first to a last address of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DestinationRange {
    /// The first address.
    pub first: IpAddr,
    /// The last address.
    pub last: IpAddr,
}

/// The answer to a [`FlowQuery`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredFlows {
    /// The flows, sorted by device, destination, protocol, port, interface, direction and
    /// policies.
    pub flows: Vec<FlowRow>,
    /// True if further flows exceed the limit.
    pub more: bool,
}

/// Row numbers that make a flow. The flow end tells the device.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    end: i64,
    unreadable: i64,
    interface: i64,
    direction: i64,
    list: i64,
}

pub(super) struct Sum {
    pub(super) passed: Count,
    pub(super) dropped: Count,
    pub(super) first: i64,
    pub(super) last: i64,
}

impl View<'_> {
    /// Returns the flows that a filter selects, with their sums over the period. Adjacent
    /// periods share the rows that cross their border.
    pub fn flows(&self, filter: &FlowQuery) -> Result<StoredFlows, StoreError> {
        let lists = self.lists()?;
        let (sums, more) = self.sum_rows(filter, &lists)?;
        let interfaces = self.interfaces()?;
        let mut sums: Vec<_> = sums.into_iter().collect();
        // Neighbours share pages.
        sums.sort_by_key(|(key, _)| key.end);
        let mut flows = sums
            .into_iter()
            .map(|(key, sum)| self.flow(key, &sum, &lists, &interfaces))
            .collect::<Result<Vec<_>, _>>()?;
        flows.sort_by(|a, b| order(a).cmp(&order(b)));
        Ok(StoredFlows { flows, more })
    }

    /// Reads the rows from the latest bucket back to the earliest. Takes the first
    /// `filter.limit` flows, and sums only their rows, so the memory is bounded.
    fn sum_rows(
        &self,
        filter: &FlowQuery,
        lists: &HashMap<i64, Vec<PolicyName>>,
    ) -> Result<(HashMap<Key, Sum>, bool), StoreError> {
        let (since, until) = (seconds(filter.since), seconds(filter.until));
        let select = select(
            "flow_end, unreadable, interface, direction, list,
            passed_packets, passed_bytes, dropped_packets, dropped_bytes, first, last, number",
            filter,
        );
        let mut statement = self
            .transaction
            .prepare_cached(&select)
            .map_err(on("read"))?;
        let values = values(filter);
        let mut found = statement
            .query(params_from_iter(values))
            .map_err(on("read"))?;
        let mut sums = HashMap::new();
        let mut more = false;
        while let Some(row) = found.next().map_err(on("read"))? {
            let key = read_key(row).map_err(on("read"))?;
            if !has_policy(filter, lists, key.list) {
                continue;
            }
            let is_further = sums.len() >= filter.limit && !sums.contains_key(&key);
            // These are most rows of a long answer. Reading them takes most of the time.
            if is_further && more {
                continue;
            }
            let sum = read_sum(row).map_err(on("read"))?;
            let is_outside = since.is_some_and(|since| sum.last < since)
                || until.is_some_and(|until| sum.first >= until);
            match sums.entry(key) {
                _ if is_outside => {}
                Entry::Occupied(mut entry) => add(entry.get_mut(), &sum),
                Entry::Vacant(_) if is_further => more = true,
                Entry::Vacant(entry) => {
                    entry.insert(sum);
                }
            }
        }
        Ok((sums, more))
    }

    pub(super) fn flow(
        &self,
        key: Key,
        sum: &Sum,
        lists: &HashMap<i64, Vec<PolicyName>>,
        interfaces: &HashMap<i64, String>,
    ) -> Result<FlowRow, StoreError> {
        let damaged = || StoreError::Content { table: "count" };
        let select = "SELECT mac, destination, protocol, port
            FROM flow_end JOIN device ON device.id = device WHERE flow_end.id = ?1";
        let (mac, destination, protocol, port): (Vec<u8>, Vec<u8>, u8, u16) = self
            .transaction
            .prepare_cached(select)
            .and_then(|mut statement| {
                statement.query_row([key.end], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                })
            })
            .map_err(on("read"))?;
        let (claims, more_claims) = self.claims(key.end)?;
        Ok(FlowRow {
            device: rows::mac(&mac)?,
            destination: rows::address(&destination, "flow_end")?,
            protocol,
            port: rows::port(key.unreadable, port)?,
            interface: interfaces.get(&key.interface).ok_or_else(damaged)?.clone(),
            direction: rows::direction(key.direction)?,
            policies: lists.get(&key.list).ok_or_else(damaged)?.clone(),
            passed: sum.passed,
            dropped: sum.dropped,
            first: bucket::from_seconds(sum.first).ok_or_else(damaged)?,
            last: bucket::from_seconds(sum.last).ok_or_else(damaged)?,
            claims,
            more_claims,
        })
    }

    /// Returns the claims of a flow end, and the number of claims that are left out.
    pub(super) fn claims(&self, end: i64) -> Result<(Vec<Claim>, u32), StoreError> {
        let select = "SELECT source, name, server, chain, ech, first, last
            FROM claim WHERE flow_end = ?1";
        let found = self.all(select, [end], |row| {
            let source: String = row.get(0)?;
            let server: Vec<u8> = row.get(2)?;
            let (chain, ech): (Option<String>, Option<String>) = (row.get(3)?, row.get(4)?);
            let times: (i64, i64) = (row.get(5)?, row.get(6)?);
            Ok(((source, row.get(1)?, server), (chain, ech), times))
        })?;
        let mut claims = found
            .into_iter()
            .map(|((source, name, server), (chain, ech), (first, last))| {
                let damaged = |_| StoreError::Content { table: "claim" };
                let chain = chain.map(|text| serde_json::from_str(&text)).transpose();
                Ok(Claim {
                    name,
                    source: rows::source(&source)?,
                    server: rows::address(&server, "claim")?,
                    chain: chain.map_err(damaged)?.unwrap_or_default(),
                    ech: ech.map(|word| rows::ech(&word)).transpose()?,
                    first: time(first, "claim")?,
                    last: time(last, "claim")?,
                })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        claims.sort_by(|a, b| b.last.cmp(&a.last).then_with(|| a.cmp(b)));
        let mut text = 0;
        let fitting = claims.iter().take(MOST_CLAIMS).take_while(|claim| {
            text += claim.name.len() + claim.chain.iter().map(String::len).sum::<usize>();
            text <= MOST_CLAIM_TEXT
        });
        let kept = fitting.count().max(1);
        let more = claims.len().saturating_sub(kept);
        claims.truncate(kept);
        claims.sort();
        Ok((claims, u32::try_from(more).unwrap_or(u32::MAX)))
    }

    pub(super) fn lists(&self) -> Result<HashMap<i64, Vec<PolicyName>>, StoreError> {
        let select = "SELECT id, policies FROM list";
        let found = self.all(select, [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })?;
        found
            .into_iter()
            .map(|(id, text)| Ok((id, rows::policies(&text)?)))
            .collect()
    }

    pub(super) fn interfaces(&self) -> Result<HashMap<i64, String>, StoreError> {
        let select = "SELECT id, name FROM interface";
        let found = self.all(select, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(found.into_iter().collect())
    }
}

/// Returns the statement that reads columns of the rows that a filter selects. The statement
/// goes from bucket to bucket, and within a bucket only to the rows of the selected devices.
pub(super) fn select(columns: &str, filter: &FlowQuery) -> String {
    let device = match (filter.device, filter.destination) {
        (Some(_), _) => "AND count.device = (SELECT id FROM device WHERE mac = ?3)",
        (None, Some(_)) => "AND count.device IN (SELECT DISTINCT device FROM ends)",
        (None, None) => "",
    };
    let (ends, end) = match filter.destination {
        // The sign keeps SQLite from a search for each flow end in each bucket.
        Some(_) => (
            "WITH ends AS MATERIALIZED (SELECT id, device FROM flow_end
                WHERE destination BETWEEN ?4 AND ?5
                    AND length(destination) = length(?4))",
            "AND +count.flow_end IN (SELECT id FROM ends)",
        ),
        None => ("", ""),
    };
    format!(
        "{ends} SELECT {columns}
        FROM bucket CROSS JOIN count ON count.bucket = number {device} {end}
        WHERE (number + span) * {seconds} > ?1 AND earliest < ?2
        ORDER BY number DESC",
        seconds = bucket::SECONDS,
    )
}

/// Returns the values of the statement of [`select`]: begin and end of the period in
/// seconds, MAC, first and last destination.
pub(super) fn values(filter: &FlowQuery) -> Vec<Value> {
    let bytes = |address| Value::Blob(AddressBytes::new(address).as_slice().to_vec());
    let mut values = vec![
        Value::Integer(seconds(filter.since).unwrap_or(i64::MIN)),
        Value::Integer(seconds(filter.until).unwrap_or(i64::MAX)),
    ];
    if let Some(mac) = filter.device {
        values.push(Value::Blob(mac.0.to_vec()));
    } else if filter.destination.is_some() {
        values.push(Value::Null);
    }
    if let Some(range) = filter.destination {
        values.extend([bytes(range.first), bytes(range.last)]);
    }
    values
}

pub(super) fn seconds(time: Option<Timestamp>) -> Option<i64> {
    time.map(bucket::seconds)
}

pub(super) fn read_key(row: &Row<'_>) -> rusqlite::Result<Key> {
    Ok(Key {
        end: row.get(0)?,
        unreadable: row.get(1)?,
        interface: row.get(2)?,
        direction: row.get(3)?,
        list: row.get(4)?,
    })
}

fn read_sum(row: &Row<'_>) -> rusqlite::Result<Sum> {
    let start = bucket::start(row.get(11)?);
    Ok(Sum {
        passed: rows::count(row, 5)?,
        dropped: rows::count(row, 7)?,
        first: start.saturating_add(row.get(9)?),
        last: start.saturating_add(row.get(10)?),
    })
}

fn add(sum: &mut Sum, other: &Sum) {
    sum.passed += other.passed;
    sum.dropped += other.dropped;
    sum.first = sum.first.min(other.first);
    sum.last = sum.last.max(other.last);
}

pub(super) fn has_policy(
    filter: &FlowQuery,
    lists: &HashMap<i64, Vec<PolicyName>>,
    list: i64,
) -> bool {
    let Some(policy) = &filter.policy else {
        return true;
    };
    lists.get(&list).is_some_and(|list| list.contains(policy))
}

pub(super) type Order<'a> = (
    Option<MacAddress>,
    Option<IpAddr>,
    u8,
    Port,
    &'a str,
    Direction,
    &'a [PolicyName],
);

pub(super) fn order(flow: &FlowRow) -> Order<'_> {
    (
        flow.device,
        flow.destination,
        flow.protocol,
        flow.port,
        &flow.interface,
        flow.direction,
        &flow.policies,
    )
}
