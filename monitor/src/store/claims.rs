//! Writes claims.

use rusqlite::{OptionalExtension as _, params};

use jiff::Timestamp;

use super::{
    Store, bucket,
    error::{StoreError, on},
    merkle_log,
    records::{add_event, add_loss},
    rows::{self, AddressBytes},
    types::Loss,
    writer::{OTHERS, Writer},
};
use crate::evidence::{
    claim::{Claim, FlowEnd},
    event::Happening,
};

/// Longest name in bytes.
const MOST_NAME: usize = 255;

/// Longest chain in bytes of JSON. The names at its end go first.
const MOST_CHAIN: usize = 2_048;

/// Number of claims in one transaction. The room that [`Store::make_room`] makes is enough for
/// them also in the smallest store.
const BATCH: usize = 128;

impl Store {
    /// Writes claims, 128 in one transaction. After an error, the caller writes all again:
    /// repeated claims only move their first and last time. Claims beyond a limit are stored as a loss with the reason "claim". Returns
    /// their number.
    pub fn write_claims(
        &mut self,
        claims: &[(FlowEnd, Claim)],
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut lost = 0;
        for batch in claims.chunks(BATCH) {
            self.make_room(now)?;
            lost += self.transaction(now, |writer| write_batch(writer, batch))?;
        }
        Ok(lost)
    }
}

/// Writes claims. Returns the number of those beyond a limit.
fn write_batch(writer: &mut Writer<'_>, claims: &[(FlowEnd, Claim)]) -> Result<u64, StoreError> {
    let mut lost = 0;
    for (end, claim) in claims {
        lost += u64::from(!write_claim(writer, end, claim)?);
    }
    if lost > 0 {
        add_loss(writer, &loss_of(lost))?;
    }
    Ok(lost)
}

fn loss_of(claims: u64) -> Loss {
    Loss {
        reason: "claim".to_owned(),
        policy: None,
        packets: claims,
        bytes: 0,
    }
}

/// Writes a claim. Returns false if it exceeds a limit.
fn write_claim(writer: &mut Writer<'_>, end: &FlowEnd, claim: &Claim) -> Result<bool, StoreError> {
    if claim.name.is_empty() || claim.name.len() > MOST_NAME {
        return Ok(false);
    }
    let position = writer.device(end.device, claim.first, claim.last)?;
    let destination = AddressBytes::new(end.destination);
    let bucket = bucket::of(claim.last);
    let row = writer.end(
        position,
        destination.as_slice(),
        end.protocol,
        end.port,
        bucket,
    )?;
    let Some(row) = row.filter(|_| position != OTHERS) else {
        return Ok(false);
    };
    let row = row.id;
    let chain = chain_text(&claim.chain);
    let length = claim.name.len() + chain.as_ref().map_or(0, String::len);
    let change = Change {
        row,
        claim,
        server: rows::optional_address(claim.server),
        chain,
    };
    if change.update(writer)? {
        return Ok(true);
    }
    let fits = change.has_room(writer)?
        && writer.take_claim(position, u32::try_from(length).unwrap_or(u32::MAX));
    if fits {
        change.insert(writer)?;
        let line = merkle_log::claim(writer, writer.device_id(position), end, claim)?;
        change.set_line(writer, line)?;
        let what = Happening::name(end, claim);
        add_event(writer, &what.of(end.device, claim.first))?;
    }
    Ok(fits)
}

/// A claim and the columns of its row.
struct Change<'a> {
    row: i64,
    claim: &'a Claim,
    server: Vec<u8>,
    chain: Option<String>,
}

impl Change<'_> {
    /// Changes the row of the same claim. Returns false if there is none.
    fn update(&self, writer: &Writer<'_>) -> Result<bool, StoreError> {
        let update = "UPDATE claim SET
                chain = iif(?8 >= last, ?5, chain), ech = iif(?8 >= last, ?6, ech),
                first = min(first, ?7), last = max(last, ?8)
            WHERE flow_end = ?1 AND source = ?2 AND name = ?3 AND server = ?4";
        Ok(self.put(writer, update)? > 0)
    }

    fn insert(&self, writer: &Writer<'_>) -> Result<(), StoreError> {
        self.put(
            writer,
            "INSERT INTO claim (flow_end, source, name, server, chain, ech, first, last)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        Ok(())
    }

    /// Notes the number of the line about the claim.
    fn set_line(&self, writer: &Writer<'_>, line: i64) -> Result<(), StoreError> {
        let update = "UPDATE claim SET line = ?5
            WHERE flow_end = ?1 AND source = ?2 AND name = ?3 AND server = ?4";
        let source = self.claim.source.word();
        let values = params![self.row, source, self.claim.name, self.server, line];
        writer.change(update, values)?;
        Ok(())
    }

    fn put(&self, writer: &Writer<'_>, statement: &str) -> Result<usize, StoreError> {
        let claim = self.claim;
        let values = params![
            self.row,
            claim.source.word(),
            claim.name,
            self.server,
            self.chain,
            claim.ech.map(rows::ech_word),
            claim.first.as_millisecond(),
            claim.last.as_millisecond(),
        ];
        writer.change(statement, values)
    }

    /// Returns true if the flow end may have one more claim of this source.
    fn has_room(&self, writer: &Writer<'_>) -> Result<bool, StoreError> {
        let select = "SELECT count(*) FROM claim WHERE flow_end = ?1 AND source = ?2";
        let count: Option<u32> = writer
            .connection
            .prepare_cached(select)
            .and_then(|mut statement| {
                let key = params![self.row, self.claim.source.word()];
                statement.query_row(key, |row| row.get(0)).optional()
            })
            .map_err(on("read"))?;
        Ok(count.unwrap_or(0) < writer.limits.claims_of_source)
    }
}

/// Writes a chain as a JSON array of at most [`MOST_CHAIN`] bytes. Returns `None` for an
/// empty chain.
fn chain_text(chain: &[String]) -> Option<String> {
    let mut text = String::new();
    for name in chain {
        let name = serde_json::Value::from(name.as_str()).to_string();
        if text.len() + name.len() + 2 > MOST_CHAIN {
            break;
        }
        text.push(if text.is_empty() { '[' } else { ',' });
        text.push_str(&name);
    }
    (!text.is_empty()).then(|| text + "]")
}
