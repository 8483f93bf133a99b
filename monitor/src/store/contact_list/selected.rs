//! Which rows of the store a query selects.

use std::cell::RefCell;

use rusqlite::params;

use super::{ContactQuery, To, Verdict};
use crate::{
    policy::PolicyName,
    store::{
        bucket,
        error::{StoreError, on},
        period::ids,
        reader::View,
        rows::AddressBytes,
    },
};

/// The asked destinations whose contacts the temporary table `asked_end` has.
pub(in crate::store) type Asked = RefCell<Option<To>>;

const TABLE: &str = "
    DROP TABLE IF EXISTS temp.asked_end;
    CREATE TEMP TABLE asked_end (id INTEGER PRIMARY KEY, device INTEGER NOT NULL);";

/// Above this number of devices, SQLite reads the rows of all devices.
const FEW_DEVICES: i64 = 64;

/// Up to this number of searches, a search for each contact in each bucket takes less time than
/// reading 200,000 rows.
const FEW_SEARCHES: i64 = 60_000;

/// The condition that a row is of packets that a device sent.
const SENT: &str = "direction = 0";

/// How exactly the period of a query is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edges {
    /// By row.
    Exact,
    /// By bucket: the rows need not be compared with the period.
    WholeBuckets,
}

impl View<'_> {
    /// The part of a statement from FROM on that reads the rows that a query selects. Fills
    /// the temporary table that it needs.
    pub(super) fn rows_of(&self, query: &ContactQuery) -> Result<String, StoreError> {
        self.selected(query, Edges::Exact)
    }

    /// The same for a time chart. Without devices and destinations, it reads the sums of buckets.
    pub(super) fn chart_rows(&self, query: &ContactQuery) -> Result<String, StoreError> {
        if !query.devices.is_empty() || query.to.is_some() {
            return self.selected(query, Edges::WholeBuckets);
        }
        let mut conditions = vec![buckets_in(query)];
        if let Some(policy) = &query.policy {
            conditions.push(self.lists_with(policy)?);
        }
        Ok(format!(
            "FROM bucket CROSS JOIN bucket_sum ON bucket_sum.bucket = number WHERE {}",
            conditions.join(" AND ")
        ))
    }

    fn selected(&self, query: &ContactQuery, edges: Edges) -> Result<String, StoreError> {
        let period = match edges {
            Edges::Exact => in_period(query),
            Edges::WholeBuckets => buckets_in(query),
        };
        let mut conditions = vec![period, SENT.to_owned()];
        let (mut between, mut device) = ("", devices_of(query));
        if let Some(to) = &query.to {
            self.fill_asked(to)?;
            if self.are_few_searches(query)? {
                between = "CROSS JOIN temp.asked_end AS asked";
                conditions.push("count.flow_end = asked.id".to_owned());
                conditions.push("count.device = asked.device".to_owned());
            } else {
                if device.is_none() && self.are_of_few_devices()? {
                    device = Some("SELECT DISTINCT device FROM temp.asked_end".to_owned());
                }
                // The sign keeps SQLite from a search for each flow end in each bucket.
                conditions.push("+count.flow_end IN (SELECT id FROM temp.asked_end)".to_owned());
            }
        }
        if let Some(policy) = &query.policy {
            conditions.push(self.lists_with(policy)?);
        }
        match query.verdict {
            Some(Verdict::Passed) => conditions.push("passed_packets > 0".to_owned()),
            Some(Verdict::Dropped) => conditions.push("dropped_packets > 0".to_owned()),
            None => {}
        }
        conditions.extend(device.map(|own| format!("count.device IN ({own})")));
        Ok(format!(
            "FROM bucket {between} CROSS JOIN count ON count.bucket = number WHERE {}",
            conditions.join(" AND ")
        ))
    }

    /// The condition that a list of policies has this one.
    fn lists_with(&self, policy: &PolicyName) -> Result<String, StoreError> {
        let lists = self.lists()?.into_iter();
        let lists = lists.filter(|(_, policies)| policies.contains(policy));
        let lists: Vec<i64> = lists.map(|(id, _)| id).collect();
        Ok(format!("list IN ({})", ids(&lists)))
    }

    /// Fills the table of the asked contacts, unless it has them already.
    fn fill_asked(&self, to: &To) -> Result<(), StoreError> {
        if self.asked.borrow().as_ref() == Some(to) {
            return Ok(());
        }
        self.transaction.execute_batch(TABLE).map_err(on("read"))?;
        let filled = match to {
            To::Range(range) => {
                let bytes = |address| AddressBytes::new(address).as_slice().to_vec();
                let select = "INSERT INTO temp.asked_end SELECT id, device FROM flow_end
                    WHERE destination BETWEEN ?1 AND ?2 AND length(destination) = length(?1)";
                let values = params![bytes(range.first), bytes(range.last)];
                self.transaction.execute(select, values)
            }
            To::Name(part) => {
                let select = "INSERT OR IGNORE INTO temp.asked_end
                    SELECT flow_end.id, device FROM claim JOIN flow_end ON flow_end.id = flow_end
                    WHERE instr(name, ?1) > 0";
                self.transaction.execute(select, [part])
            }
        };
        filled.map_err(on("read"))?;
        self.asked.replace(Some(to.clone()));
        Ok(())
    }

    /// True if a search for each asked contact in each bucket is faster than reading rows.
    fn are_few_searches(&self, query: &ContactQuery) -> Result<bool, StoreError> {
        let select = format!(
            "SELECT (SELECT count(*) FROM temp.asked_end)
                * (SELECT count(*) FROM bucket WHERE {})",
            buckets_in(query)
        );
        let searches: i64 = self
            .transaction
            .query_row(&select, [], |row| row.get(0))
            .map_err(on("read"))?;
        Ok(searches <= FEW_SEARCHES)
    }

    /// True if a search for each device of the asked contacts in each bucket is faster than
    /// reading all rows.
    fn are_of_few_devices(&self) -> Result<bool, StoreError> {
        let select = "SELECT count(*) FROM
            (SELECT DISTINCT device FROM temp.asked_end LIMIT ?1)";
        let devices: i64 = self
            .transaction
            .query_row(select, [FEW_DEVICES + 1], |row| row.get(0))
            .map_err(on("read"))?;
        Ok(devices <= FEW_DEVICES)
    }
}

/// The statement that selects the devices of a query; `None` for all.
fn devices_of(query: &ContactQuery) -> Option<String> {
    let macs = query
        .devices
        .iter()
        .map(|mac| format!("x'{}'", hex::encode(mac.0)));
    let macs = macs.collect::<Vec<_>>().join(",");
    (!macs.is_empty()).then(|| format!("SELECT id FROM device WHERE mac IN ({macs})"))
}

/// The condition that a bucket has packets in the period of a query.
fn buckets_in(query: &ContactQuery) -> String {
    let (since, until) = (bucket::seconds(query.since), bucket::seconds(query.until));
    let seconds = bucket::SECONDS;
    format!("(number + span) * {seconds} > {since} AND earliest < {until}")
}

/// The condition that a row has packets in the period of a query.
pub(super) fn in_period(query: &ContactQuery) -> String {
    let (since, until) = (bucket::seconds(query.since), bucket::seconds(query.until));
    let seconds = bucket::SECONDS;
    format!(
        "{} AND number * {seconds} + last >= {since} AND number * {seconds} + first < {until}",
        buckets_in(query)
    )
}
