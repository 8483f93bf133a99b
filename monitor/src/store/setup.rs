//! Writes and reads what a report shows about the gateway and its policies.

use std::net::IpAddr;

use jiff::Timestamp;
use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::{
    Store,
    error::StoreError,
    reader::{View, time},
    types::StoredGeneration,
};

/// The most stored setups. The oldest goes first.
const MOST_SETUPS: u32 = 1_000;

/// Which program ran on which host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Version of the daemon.
    pub version: String,
    /// SHA-256 of the compiled kernel program, hexadecimal.
    pub program: String,
    /// SHA-256 of the compiled classifier that copies DNS answers, hexadecimal.
    pub classifier: String,
    /// Host name of the gateway.
    pub host: Option<String>,
    /// Release of the kernel.
    pub kernel: Option<String>,
    /// The gateway's own addresses on the filtered interfaces, sorted.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
}

/// The texts of the policies of a ruleset, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedPolicies {
    /// Hash of the ruleset, hexadecimal.
    pub hash: String,
    /// Time at which the texts were stored last.
    pub at: Timestamp,
    /// The policies as a JSON array.
    pub policies: String,
}

impl Store {
    /// Writes which program runs on which host, if that differs from the last stored one.
    pub fn write_setup(&mut self, setup: &Setup, now: Timestamp) -> Result<(), StoreError> {
        let json = serde_json::to_string(setup).unwrap_or_default();
        self.transaction(now, |writer| {
            let insert = "INSERT OR REPLACE INTO setup SELECT ?1, ?2 WHERE ?2 IS NOT
                (SELECT json FROM setup ORDER BY at DESC LIMIT 1)";
            writer.change(insert, params![now.as_millisecond(), json])?;
            let oldest = "DELETE FROM setup WHERE at <= (
                SELECT at FROM setup ORDER BY at DESC LIMIT 1 OFFSET ?1)";
            writer.change(oldest, [MOST_SETUPS])?;
            Ok(())
        })
    }

    /// Writes the texts of the policies of a ruleset, as a JSON array.
    pub fn write_policies(
        &mut self,
        hash: &str,
        policies: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.make_room(now)?;
        self.transaction(now, |writer| {
            let upsert = "INSERT INTO ruleset VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE
                SET at = excluded.at, policies = excluded.policies";
            writer.change(upsert, params![hash, now.as_millisecond(), policies])?;
            Ok(())
        })
    }
}

impl View<'_> {
    /// Returns the setups since a time, and the last one before it, sorted by time.
    pub fn setups(&self, since: Timestamp) -> Result<Vec<(Timestamp, Setup)>, StoreError> {
        let select = "SELECT at, json FROM setup
            WHERE at >= coalesce((SELECT max(at) FROM setup WHERE at <= ?1), ?1) ORDER BY at";
        let found = self.all(select, [since.as_millisecond()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })?;
        let setups = found.into_iter().map(|(at, json)| {
            let setup = serde_json::from_str(&json);
            let setup = setup.map_err(|_| StoreError::Content { table: "setup" })?;
            Ok((time(at, "setup")?, setup))
        });
        setups.collect()
    }

    /// Returns the texts of the policies of every ruleset, sorted by hash.
    pub fn stated_policies(&self) -> Result<Vec<StatedPolicies>, StoreError> {
        let select = "SELECT hash, at, policies FROM ruleset ORDER BY hash";
        let found = self.all(select, [], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get(2)?))
        })?;
        let stated = found.into_iter().map(|(hash, at, policies)| {
            Ok(StatedPolicies {
                hash,
                at: time(at, "ruleset")?,
                policies,
            })
        });
        stated.collect()
    }

    /// Returns the generations of every instance, sorted by begin.
    pub fn all_generations(&self) -> Result<Vec<StoredGeneration>, StoreError> {
        let select = "SELECT number, ruleset, since, coalesce(until, (
                SELECT min(next.since) FROM generation AS next
                WHERE next.instance <> generation.instance AND next.since > generation.since))
            FROM generation
            ORDER BY since, number, instance";
        let found = self.all(select, [], |row| {
            Ok((
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get::<_, Option<i64>>(3)?,
            ))
        })?;
        let generations = found.into_iter().map(|(number, ruleset, since, until)| {
            let until = until.map(|until| time(until, "generation")).transpose();
            Ok(StoredGeneration {
                number,
                ruleset,
                since: time(since, "generation")?,
                until: until?,
            })
        });
        generations.collect()
    }
}
