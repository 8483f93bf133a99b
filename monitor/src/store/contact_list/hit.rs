//! What a policy would drop that only counts now.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rusqlite::params;

use super::ContactQuery;
use crate::{
    evidence::NameSource,
    policy::{MacAddress, PolicyName},
    store::{
        error::{StoreError, on},
        period::ids,
        reader::View,
    },
};

/// Destinations whose names an answer can have: those with the most packets.
const MOST_NAMED: usize = 500;

/// Devices and destinations whose packets a policy would have dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hit {
    /// The devices with their packets, the most first.
    pub devices: Vec<(MacAddress, u64)>,
    /// Number of contacts.
    pub contacts: u64,
    /// Names of the destinations with the most packets, those with the most packets first.
    pub names: Vec<String>,
    /// Number of further names.
    pub more_names: u64,
    /// Number of packets.
    pub packets: u64,
}

#[derive(Default)]
struct Sums {
    devices: HashMap<i64, u64>,
    ends: HashMap<i64, u64>,
    packets: u64,
}

impl View<'_> {
    /// Returns for each of `policies` what it would have dropped in the period of a query.
    /// Packets that another policy dropped are not among it, and no packets that a policy of
    /// `exempting` let pass. At most `most_names` names are listed.
    pub fn hits(
        &self,
        query: &ContactQuery,
        policies: &BTreeSet<PolicyName>,
        exempting: &BTreeSet<PolicyName>,
        most_names: usize,
    ) -> Result<BTreeMap<PolicyName, Hit>, StoreError> {
        let lists = self.lists()?.into_iter();
        let lists: HashMap<i64, Vec<PolicyName>> = lists
            .filter(|(_, own)| !own.iter().any(|policy| exempting.contains(policy)))
            .map(|(id, own)| {
                let own = own.into_iter().filter(|policy| policies.contains(policy));
                (id, own.collect::<Vec<_>>())
            })
            .filter(|(_, own)| !own.is_empty())
            .collect();
        let mut sums: BTreeMap<PolicyName, Sums> = BTreeMap::new();
        let numbers: Vec<i64> = lists.keys().copied().collect();
        let select = format!(
            "SELECT list, count.device, count.flow_end, passed_packets {}
                AND list IN ({}) AND passed_packets > 0",
            self.rows_of(query)?,
            ids(&numbers)
        );
        let mut statement = self.transaction.prepare(&select).map_err(on("read"))?;
        let mut found = statement.query([]).map_err(on("read"))?;
        while let Some(row) = found.next().map_err(on("read"))? {
            let read = || Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
            let (list, device, end, packets): (i64, i64, i64, i64) = read().map_err(on("read"))?;
            for policy in lists.get(&list).into_iter().flatten() {
                let packets = packets.unsigned_abs();
                if !sums.contains_key(policy) {
                    sums.insert(policy.clone(), Sums::default());
                }
                if let Some(own) = sums.get_mut(policy) {
                    *own.devices.entry(device).or_default() += packets;
                    *own.ends.entry(end).or_default() += packets;
                    own.packets += packets;
                }
            }
        }
        let hits = sums.into_iter();
        hits.map(|(policy, sums)| Ok((policy, self.hit(&sums, most_names)?)))
            .collect()
    }

    fn hit(&self, sums: &Sums, most_names: usize) -> Result<Hit, StoreError> {
        let mut devices = Vec::new();
        for (id, packets) in &sums.devices {
            devices.extend(self.mac(*id)?.map(|mac| (mac, *packets)));
        }
        devices.sort_by_key(|(mac, packets)| (std::cmp::Reverse(*packets), *mac));
        let mut ends: Vec<_> = sums.ends.iter().collect();
        ends.sort_by_key(|(id, packets)| (std::cmp::Reverse(**packets), **id));
        let (mut names, mut seen) = (Vec::new(), HashSet::new());
        for (id, _) in ends.iter().take(MOST_NAMED) {
            let select = "SELECT name FROM claim WHERE flow_end = ?1 AND source <> ?2
                ORDER BY last DESC, name";
            let found = self.all(select, params![id, NameSource::Asked.word()], |row| {
                row.get::<_, String>(0)
            })?;
            names.extend(found.into_iter().filter(|name| seen.insert(name.clone())));
        }
        let more = names.len().saturating_sub(most_names);
        names.truncate(most_names);
        Ok(Hit {
            devices,
            contacts: sums.ends.len() as u64,
            names,
            more_names: more as u64,
            packets: sums.packets,
        })
    }
}
