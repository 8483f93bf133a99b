//! Compares lines that a reader holds with the packets that the store has today.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    clock::to_the_second,
    merkle::{Line, SumOfList},
    policy::MacAddress,
    store::{
        bucket,
        error::{StoreError, on},
        reader::View,
        rows,
    },
};

/// What a comparison with earlier lines found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EarlierLines {
    /// Hours of a device that have at least the packets of the lines.
    pub kept: u64,
    /// Hours of a device whose packets the store has removed or forgotten.
    pub removed: u64,
    /// Hours of a device and list of policies that have fewer packets, bytes or drops than the
    /// lines.
    pub fewer: Vec<Fewer>,
}

/// Packets that were taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fewer {
    /// MAC of the device; `None` for all devices beyond the limits of the store.
    pub device: Option<String>,
    /// Begin of the hour (RFC 3339).
    pub hour: String,
    /// The sum of the lines.
    pub earlier: SumOfList,
    /// The sum in the store.
    pub stored: SumOfList,
}

/// Device and number of the first bucket of an hour.
type Hour = (Option<String>, i64);

impl View<'_> {
    /// Compares the lines about packets with the stored rows. The store merges the rows of an
    /// hour and adds to them, but it never lowers their sum, except when it removes all of them.
    pub fn fewer_packets(&self, lines: &[Line]) -> Result<EarlierLines, StoreError> {
        let oldest: Option<i64> = self
            .transaction
            .query_row("SELECT min(bucket) FROM count", [], |row| row.get(0))
            .map_err(on("read"))?;
        let mut found = EarlierLines::default();
        for ((device, hour), (latest, earlier)) in by_hour(lines) {
            let id = match oldest {
                Some(oldest) if oldest <= hour => self.row_of(device.as_deref(), latest)?,
                _ => None,
            };
            let Some(id) = id else {
                found.removed += 1;
                continue;
            };
            let stored = self.sums_of_hour(id, hour)?;
            let begin = bucket::from_seconds(bucket::start(hour)).unwrap_or(Timestamp::MIN);
            let begin = to_the_second(begin);
            let before = found.fewer.len();
            for earlier in earlier {
                let own = stored.iter().find(|sum| sum.policies == earlier.policies);
                let stored = own.cloned().unwrap_or_else(|| SumOfList {
                    policies: earlier.policies.clone(),
                    packets: 0,
                    bytes: 0,
                    dropped: 0,
                });
                let is_less = stored.packets < earlier.packets
                    || stored.bytes < earlier.bytes
                    || stored.dropped < earlier.dropped;
                if is_less {
                    found.fewer.push(Fewer {
                        device: device.clone(),
                        hour: begin.clone(),
                        earlier,
                        stored,
                    });
                }
            }
            found.kept += u64::from(found.fewer.len() == before);
        }
        Ok(found)
    }

    /// Row number of a device. `None` if the store does not have it, or first saw it after the
    /// bucket `latest`: then it was forgotten, and came again.
    fn row_of(&self, device: Option<&str>, latest: i64) -> Result<Option<i64>, StoreError> {
        let mac = match device.map(str::parse::<MacAddress>) {
            None => Vec::new(),
            Some(Ok(mac)) => mac.0.to_vec(),
            Some(Err(_)) => return Ok(None),
        };
        let select = "SELECT id, first FROM device WHERE mac = ?1";
        let found = self.all(select, [mac], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })?;
        let end = bucket::start(latest + 1).saturating_mul(1_000);
        let known = found.first().filter(|(_, first)| *first < end);
        Ok(known.map(|(id, _)| *id))
    }

    /// Sums of a device in an hour, by list of policies.
    fn sums_of_hour(&self, device: i64, hour: i64) -> Result<Vec<SumOfList>, StoreError> {
        // SQLite seeks to bucket and device only if the buckets are listed.
        let buckets: Vec<String> = (hour..hour + bucket::PER_HOUR)
            .map(|number| number.to_string())
            .collect();
        let select = format!(
            "SELECT policies, sum(passed_packets), sum(passed_bytes), sum(dropped_packets),
                sum(dropped_bytes)
            FROM count JOIN list ON list.id = list
            WHERE bucket IN ({}) AND device = {device} GROUP BY list",
            buckets.join(",")
        );
        let found = self.uncached(&select, |row| {
            Ok((
                row.get::<_, String>(0)?,
                rows::count(row, 1)?,
                rows::count(row, 3)?,
            ))
        })?;
        let sums = found.into_iter().map(|(policies, passed, dropped)| {
            Ok(SumOfList {
                policies: rows::policies(&policies)?
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
                packets: passed.packets.saturating_add(dropped.packets),
                bytes: passed.bytes.saturating_add(dropped.bytes),
                dropped: dropped.packets,
            })
        });
        sums.collect()
    }
}

/// The number of the last bucket and the sums of the lines about packets, by device and hour.
fn by_hour(lines: &[Line]) -> BTreeMap<Hour, (i64, Vec<SumOfList>)> {
    let mut hours: BTreeMap<Hour, (i64, Vec<SumOfList>)> = BTreeMap::new();
    for line in lines {
        let Line::Packets {
            since,
            seconds,
            device,
            sums,
            ..
        } = line
        else {
            continue;
        };
        let Ok(since) = since.parse::<Timestamp>() else {
            continue;
        };
        let begin = bucket::of(since);
        let hour = (device.clone(), bucket::hour(begin));
        let (latest, own) = hours.entry(hour).or_default();
        let buckets = seconds
            .div_euclid(bucket::SECONDS)
            .clamp(1, bucket::PER_HOUR);
        *latest = (*latest).max(begin.saturating_add(buckets - 1));
        for sum in sums {
            match own.iter_mut().find(|known| known.policies == sum.policies) {
                None => own.push(sum.clone()),
                Some(known) => {
                    known.packets = known.packets.saturating_add(sum.packets);
                    known.bytes = known.bytes.saturating_add(sum.bytes);
                    known.dropped = known.dropped.saturating_add(sum.dropped);
                }
            }
        }
    }
    hours
}
