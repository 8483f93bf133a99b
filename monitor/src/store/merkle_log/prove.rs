//! Proofs for a report.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use super::{append, base, claims, claims::TextLine, damaged, leaf, packets, text};
use crate::{
    clock::to_the_second,
    merkle::{
        Checkpoint, Collector, Entry, Hash, Line, Proven, Range, SALT_BYTES, SigningKey,
        path_ranges,
    },
    policy::MacAddress,
    store::{
        Store, bucket,
        error::{StoreError, on},
        writer::Writer,
    },
};

/// The most lines of evidence in a proof, those about packets first. The latest stay.
pub const MOST_LINES: usize = 5_000;

/// What a proof is about.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AskedProof {
    /// Form of the file, as a word such as `html`.
    pub format: String,
    /// SHA-256 of the file without its proof, hexadecimal.
    pub sha256: String,
    /// Begin of the period of the evidence.
    pub since: Timestamp,
    /// End of the period.
    pub until: Timestamp,
    /// The devices; `None` for all.
    pub devices: Option<Vec<MacAddress>>,
    /// True if the proof has lines about the evidence, which name devices.
    pub with_lines: bool,
}

/// Number and text of a line.
type Numbered = (u64, String);

impl Store {
    /// Appends a line about a file, unless the log has it, and proves that this line and those
    /// about its evidence are in the log. The caller has logged the packets before it made the
    /// file ([`Store::log_all`]).
    pub fn prove(
        &mut self,
        asked: &AskedProof,
        key: &SigningKey,
        now: Timestamp,
    ) -> Result<Proven, StoreError> {
        // What the head covers must be there after a power failure: the key must not sign two
        // histories of one log.
        self.set_durable(true)?;
        let proven = self.transaction(now, |writer| {
            let number = report_line(writer, asked)?;
            let (mut lines, more) = evidence(writer, asked, number)?;
            let own = line_at(writer, number)?.ok_or_else(damaged)?;
            let Line::Report { at, .. } = Entry::read(&own).map_err(|_| damaged())?.line else {
                return Err(damaged());
            };
            lines.insert(0, (number.unsigned_abs(), own));
            let size = number.unsigned_abs() + 1;
            let (origin, root, lines) = with_paths(writer, lines, size)?;
            let mut proven = Proven::new(lines, more);
            let checkpoint = Checkpoint {
                origin,
                size,
                root,
                at,
                proofs: proven.digest(),
            };
            proven.sign(&checkpoint, key);
            Ok(proven)
        });
        self.set_durable(false)?;
        proven
    }

    /// Makes each commit wait until it is on the disk.
    fn set_durable(&self, is_durable: bool) -> Result<(), StoreError> {
        let level = if is_durable { "FULL" } else { "NORMAL" };
        let set = self.connection.pragma_update(None, "synchronous", level);
        set.map_err(on("write"))
    }
}

/// The number of the line about the file.
fn report_line(writer: &Writer<'_>, asked: &AskedProof) -> Result<i64, StoreError> {
    let select = "SELECT number FROM log WHERE line IS NOT NULL AND number =
        (SELECT number FROM reported WHERE sha256 = ?1 AND format = ?2)";
    if let Some(number) = writer.first(select, params![asked.sha256, asked.format])? {
        // Lines that replaced others since are not under the old head.
        let newer = "SELECT 1 FROM log WHERE number > ?1 AND salt IS NOT NULL LIMIT 1";
        if writer.first(newer, [number])?.is_none() {
            return Ok(number);
        }
    }
    let line = Line::Report {
        at: to_the_second(writer.now),
        format: asked.format.clone(),
        sha256: asked.sha256.clone(),
    };
    let number = append(writer, line, None)?;
    let insert = "INSERT OR REPLACE INTO reported VALUES (?1, ?2, ?3)";
    writer.change(insert, params![asked.sha256, asked.format, number])?;
    Ok(number)
}

fn line_at(writer: &Writer<'_>, number: i64) -> Result<Option<String>, StoreError> {
    let select = "SELECT line FROM log WHERE number = ?1";
    let line: Option<Option<String>> = writer
        .connection
        .query_row(select, [number], |row| row.get(0))
        .optional()
        .map_err(on("read"))?;
    Ok(line.flatten())
}

/// The lines before `end` about the evidence, sorted by number, and the number of those that
/// have no room.
fn evidence(
    writer: &Writer<'_>,
    asked: &AskedProof,
    end: i64,
) -> Result<(Vec<Numbered>, u64), StoreError> {
    if !asked.with_lines {
        return Ok((Vec::new(), 0));
    }
    let devices = devices(writer, asked)?;
    let packets = packet_lines(writer, asked, end)?;
    let mut packets: Vec<_> = packets
        .into_iter()
        .filter(|line| {
            devices
                .as_ref()
                .is_none_or(|own| own.contains(&line.device))
        })
        .collect();
    let mut others = text_lines(writer, asked, end)?;
    let bounds = [asked.since, asked.until].map(Timestamp::as_millisecond);
    let (claims, more_claims) = claims::between(writer.connection, bounds, end)?;
    others.extend(claims);
    others.retain(|line| {
        let chosen = |device| devices.as_ref().is_none_or(|own| own.contains(&device));
        line.device.is_none_or(chosen)
    });
    others.sort_by_key(|line| std::cmp::Reverse(line.number));
    let more = (packets.len() + others.len()).saturating_sub(MOST_LINES) as u64 + more_claims;
    packets.truncate(MOST_LINES);
    others.truncate(MOST_LINES - packets.len());
    let mut lines = Vec::with_capacity(packets.len() + others.len());
    for line in packets {
        if let Some(read) = packets::read(writer.connection, line.bucket, line.device)? {
            lines.push((line.number.unsigned_abs(), text(read.line, line.salt)?));
        }
    }
    let others = others.into_iter();
    lines.extend(others.map(|line| (line.number.unsigned_abs(), line.text)));
    lines.sort_unstable();
    Ok((lines, more))
}

/// Row numbers of the devices; `None` for all.
fn devices(writer: &Writer<'_>, asked: &AskedProof) -> Result<Option<Vec<i64>>, StoreError> {
    let Some(macs) = &asked.devices else {
        return Ok(None);
    };
    let mut found = Vec::new();
    for mac in macs {
        found.extend(writer.first("SELECT id FROM device WHERE mac = ?1", [mac.0])?);
    }
    Ok(Some(found))
}

struct PacketLine {
    number: i64,
    bucket: i64,
    device: i64,
    salt: [u8; SALT_BYTES],
}

/// Lines about packets of the period, the latest first.
fn packet_lines(
    writer: &Writer<'_>,
    asked: &AskedProof,
    end: i64,
) -> Result<Vec<PacketLine>, StoreError> {
    // An hour is the longest interval.
    let first = bucket::of(asked.since) - bucket::PER_HOUR;
    let last = bucket::of(asked.until) + 1;
    let select = "SELECT log.number, bucket, device, salt
        FROM log JOIN bucket ON bucket.number = bucket
        WHERE bucket BETWEEN ?1 AND ?2 AND (bucket + span) * 300 > ?3
            AND salt IS NOT NULL AND log.number < ?4
        ORDER BY bucket DESC, device";
    let mut statement = writer.connection.prepare(select).map_err(on("read"))?;
    let since = bucket::seconds(asked.since);
    let rows = statement.query_map([first, last, since, end], |row| {
        Ok(PacketLine {
            number: row.get(0)?,
            bucket: row.get(1)?,
            device: row.get(2)?,
            salt: row.get(3)?,
        })
    });
    rows.and_then(Iterator::collect).map_err(on("read"))
}

/// Lines about events that were appended in the period.
fn text_lines(
    writer: &Writer<'_>,
    asked: &AskedProof,
    end: i64,
) -> Result<Vec<TextLine>, StoreError> {
    let select = "SELECT device, number, line FROM log
        WHERE at BETWEEN ?1 AND ?2 AND number < ?3 AND line IS NOT NULL
            AND iif(json_valid(line), line ->> 'kind', NULL) = 'event'";
    let mut statement = writer.connection.prepare(select).map_err(on("read"))?;
    let [since, until] = [asked.since, asked.until].map(Timestamp::as_millisecond);
    let rows = statement.query_map([since, until, end], |row| {
        Ok(TextLine {
            device: row.get(0)?,
            number: row.get(1)?,
            text: row.get(2)?,
        })
    });
    rows.and_then(Iterator::collect).map_err(on("read"))
}

/// A line with the hashes of its path.
type WithPath = (u64, String, Vec<Hash>);

/// Origin and root of the log of `size` lines, and the path of each line.
fn with_paths(
    writer: &Writer<'_>,
    lines: Vec<Numbered>,
    size: u64,
) -> Result<(String, Hash, Vec<WithPath>), StoreError> {
    let base = base(writer.connection)?.ok_or_else(damaged)?;
    let ranges = lines.iter().map(|(number, _)| path_ranges(*number, size));
    let ranges: Vec<Vec<Range>> = ranges.collect();
    let mut collector = Collector::new(base.frontier, &ranges.concat());
    let select = "SELECT leaf FROM log WHERE number < ?1 ORDER BY number";
    let mut statement = writer.connection.prepare(select).map_err(on("read"))?;
    let end = i64::try_from(size).unwrap_or(i64::MAX);
    let mut leaves = statement.query([end]).map_err(on("read"))?;
    while let Some(row) = leaves.next().map_err(on("read"))? {
        let bytes: Vec<u8> = row.get(0).map_err(on("read"))?;
        collector.push(leaf(&bytes)?);
    }
    if collector.frontier().size() != size {
        return Err(damaged());
    }
    let lines = lines
        .into_iter()
        .zip(ranges)
        .map(|((number, text), ranges)| {
            let path: Option<Vec<Hash>> =
                ranges.iter().map(|range| collector.hash(*range)).collect();
            Ok((number, text, path.ok_or_else(damaged)?))
        });
    let lines = lines.collect::<Result<_, StoreError>>()?;
    Ok((base.origin, collector.frontier().root(), lines))
}
