//! Sums of old buckets in memory, for time charts of everything.
//!
//! A bucket that ended an hour ago gets no more packets. It changes only if rows are merged,
//! which changes its span, or removed, which changes the removed sums.

use std::collections::{HashMap, HashSet};

use super::{ContactQuery, TimeSlots, Verdict};
use crate::store::{
    bucket,
    error::{StoreError, on},
    reader::View,
};

/// The most sums in memory.
const MOST: usize = 200_000;

/// Number and span of a bucket.
type Bucket = (i64, i64);

/// Passed and dropped packets of one list of policies.
type OfList = (i64, i64, i64);

/// The sums of old buckets by list of policies.
#[derive(Debug, Default)]
pub struct SlotCache {
    /// Sums that the store had removed when the cache was filled.
    removed: i64,
    buckets: HashMap<Bucket, Vec<OfList>>,
    sums: usize,
}

impl View<'_> {
    /// Returns the same as [`View::time_slots`]. For a query without devices and destinations,
    /// it reads only the buckets that `cache` does not have.
    pub fn cached_time_slots(
        &self,
        query: &ContactQuery,
        most: u32,
        cache: &mut SlotCache,
    ) -> Result<TimeSlots, StoreError> {
        if !query.devices.is_empty() || query.to.is_some() {
            return self.time_slots(query, most);
        }
        cache.keep_if(self.removed_packets()?);
        let lists: HashSet<i64> = {
            let lists = self.lists()?.into_iter();
            let policy = query.policy.as_ref();
            let asked = lists.filter(|(_, own)| policy.is_none_or(|policy| own.contains(policy)));
            asked.map(|(id, _)| id).collect()
        };
        let mut slots = self.empty_slots(query, most)?;
        let closed = bucket::of(query.until) - bucket::PER_HOUR;
        for key in self.buckets_of(query)? {
            let (number, span) = key;
            let mut read = Vec::new();
            let sums = if let Some(known) = cache.buckets.get(&key) {
                known
            } else {
                read = self.sums_of(number)?;
                &read
            };
            for (list, passed, dropped) in sums {
                if lists.contains(list) {
                    slots.add(bucket::start(number), only(query, (*passed, *dropped)));
                }
            }
            if !read.is_empty() && number + span <= closed {
                cache.put(key, read);
            }
        }
        Ok(slots)
    }

    fn removed_packets(&self) -> Result<i64, StoreError> {
        let select = "SELECT coalesce(sum(passed_packets + dropped_packets), 0) FROM total
            WHERE reason <> 'written'";
        self.transaction
            .query_row(select, [], |row| row.get(0))
            .map_err(on("read"))
    }

    fn buckets_of(&self, query: &ContactQuery) -> Result<Vec<Bucket>, StoreError> {
        let select = "SELECT number, span FROM bucket
            WHERE (number + span) * 300 > ?1 AND earliest < ?2 ORDER BY number";
        let period = [bucket::seconds(query.since), bucket::seconds(query.until)];
        self.all(select, period, |row| Ok((row.get(0)?, row.get(1)?)))
    }

    fn sums_of(&self, number: i64) -> Result<Vec<OfList>, StoreError> {
        let select = "SELECT list, sum(passed_packets), sum(dropped_packets) FROM count
            WHERE bucket = ?1 AND direction = 0 GROUP BY list";
        self.all(select, [number], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
    }
}

impl SlotCache {
    /// Forgets everything if the store has removed rows since.
    fn keep_if(&mut self, removed: i64) {
        if self.removed != removed || self.sums > MOST {
            self.buckets.clear();
            (self.removed, self.sums) = (removed, 0);
        }
    }

    fn put(&mut self, key: Bucket, sums: Vec<OfList>) {
        self.sums += sums.len();
        self.buckets.insert(key, sums);
    }
}

/// The packets of the asked verdict.
pub(super) const fn only(query: &ContactQuery, (passed, dropped): (i64, i64)) -> (i64, i64) {
    match query.verdict {
        None => (passed, dropped),
        Some(Verdict::Passed) => (passed, 0),
        Some(Verdict::Dropped) => (0, dropped),
    }
}
