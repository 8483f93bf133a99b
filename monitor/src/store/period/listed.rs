//! The flows to list, and the networks that devices share.

use std::collections::{BTreeMap, BTreeSet};

use monitor_common::Count;
use rusqlite::{Row, types::Value};

use super::{
    super::{
        error::{StoreError, on},
        reader::View,
        rows,
    },
    LeftOut, PeriodQuery,
};
use crate::{
    evidence::FlowRow,
    policy::{MacAddress, PolicyName},
};

impl View<'_> {
    /// Counts, for each pair of devices, the networks that both contacted.
    pub(super) fn shared(
        &self,
        policy: &PolicyName,
        condition: &str,
    ) -> Result<Shared, StoreError> {
        let select = format!(
            "SELECT DISTINCT substr(destination, 1, iif(length(destination) = 4, 3, 6)), mac
            FROM temp.period_flow AS sums JOIN flow_end ON flow_end.id = flow_end
                JOIN device ON device.id = sums.device
            WHERE {condition} AND direction = 0 AND length(destination) > 0 ORDER BY 1, 2"
        );
        let mut statement = self.transaction.prepare(&select).map_err(on("read"))?;
        let mut found = statement.query([]).map_err(on("read"))?;
        let mut shared = BTreeMap::new();
        let mut network: (Vec<u8>, BTreeSet<Option<MacAddress>>) = Default::default();
        while let Some(row) = found.next().map_err(on("read"))? {
            let prefix: Vec<u8> = row.get(0).map_err(on("read"))?;
            let mac: Vec<u8> = row.get(1).map_err(on("read"))?;
            if prefix != network.0 {
                add_pairs(&mut shared, policy, &network.1);
                network = (prefix, BTreeSet::new());
            }
            network.1.insert(rows::mac(&mac)?);
        }
        add_pairs(&mut shared, policy, &network.1);
        Ok(shared)
    }

    /// The flows to list, and the sums of the others.
    pub(super) fn listed(
        &self,
        query: &PeriodQuery,
    ) -> Result<(Vec<FlowRow>, LeftOut), StoreError> {
        let macs: Vec<String> = query.devices.iter().map(|mac| hex::encode(mac.0)).collect();
        let of_devices = if macs.is_empty() {
            "1".to_owned()
        } else {
            format!("hex(mac) IN ('{}')", macs.join("','").to_uppercase())
        };
        let ranked = format!(
            "SELECT sums.*, row_number() OVER (
                    PARTITION BY sums.device, list
                    ORDER BY passed_packets + dropped_packets DESC, flow_end, unreadable,
                        interface, direction) AS rank
            FROM temp.period_flow AS sums JOIN device ON device.id = sums.device
            WHERE {of_devices}"
        );
        let listed = format!(
            "SELECT flow_end, unreadable, interface, direction, list, passed_packets,
                passed_bytes, dropped_packets, dropped_bytes, first, last
            FROM ({ranked}) WHERE rank <= ?1
            ORDER BY rank, passed_packets + dropped_packets DESC, flow_end, unreadable,
                interface, direction, list LIMIT ?2"
        );
        let limits = [query.flows_of_group, query.flows];
        let flows = self.rows(&listed, limits)?;
        let all = format!(
            "SELECT count(*), coalesce(sum(passed_packets), 0), coalesce(sum(passed_bytes), 0),
                coalesce(sum(dropped_packets), 0), coalesce(sum(dropped_bytes), 0)
            FROM temp.period_flow AS sums JOIN device ON device.id = sums.device
            WHERE {of_devices}"
        );
        let read = |row: &Row<'_>| {
            Ok(LeftOut {
                flows: row.get::<_, i64>(0)?.unsigned_abs(),
                passed: rows::count(row, 1)?,
                dropped: rows::count(row, 3)?,
            })
        };
        let mut left_out = self
            .transaction
            .query_row(&all, [], read)
            .map_err(on("read"))?;
        left_out.flows -= flows.len() as u64;
        for flow in &flows {
            subtract(&mut left_out.passed, flow.passed);
            subtract(&mut left_out.dropped, flow.dropped);
        }
        Ok((flows, left_out))
    }

    fn rows(&self, select: &str, limits: [u32; 2]) -> Result<Vec<FlowRow>, StoreError> {
        let lists = self.lists()?;
        let interfaces = self.interfaces()?;
        let mut statement = self.transaction.prepare(select).map_err(on("read"))?;
        let values = limits.map(|limit| Value::Integer(limit.into()));
        let found = statement
            .query_map(rusqlite::params_from_iter(values), |row| {
                let key = super::super::query::read_key(row)?;
                let counts = (rows::count(row, 5)?, rows::count(row, 7)?);
                Ok((key, counts, (row.get(9)?, row.get(10)?)))
            })
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
            .map_err(on("read"))?;
        let mut flows = found
            .into_iter()
            .map(|(key, (passed, dropped), (first, last))| {
                let sum = super::super::query::Sum {
                    passed,
                    dropped,
                    first,
                    last,
                };
                self.flow(key, &sum, &lists, &interfaces)
            })
            .collect::<Result<Vec<_>, _>>()?;
        flows.sort_by(|a, b| super::super::query::order(a).cmp(&super::super::query::order(b)));
        Ok(flows)
    }
}

type Shared = BTreeMap<(PolicyName, Option<MacAddress>, Option<MacAddress>), u64>;

fn add_pairs(shared: &mut Shared, policy: &PolicyName, devices: &BTreeSet<Option<MacAddress>>) {
    for one in devices {
        for other in devices.iter().filter(|other| *other != one) {
            *shared.entry((policy.clone(), *one, *other)).or_default() += 1;
        }
    }
}

fn subtract(from: &mut Count, part: Count) {
    from.packets = from.packets.saturating_sub(part.packets);
    from.bytes = from.bytes.saturating_sub(part.bytes);
}
