//! Compares the store with its log.

use std::collections::BTreeSet;

use super::{base, claims, leaf, packets, text};
use crate::{
    clock::to_the_second,
    merkle::{Collector, Entry, Frontier, Hash, Line, SALT_BYTES, leaf_hash},
    store::{
        error::{StoreError, on},
        reader::{View, time},
        records::LOGGED,
        rows,
    },
};

/// The most wrong lines that a check names.
const MOST_WRONG: usize = 100;

/// What a check of the log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogCheck {
    /// Name of the log; `None` if there is none.
    pub origin: Option<String>,
    /// Number of lines, erased and removed ones included.
    pub size: u64,
    /// Number of lines whose text was compared with its hash.
    pub compared: u64,
    /// Number of lines that are erased, so that only their hash is left.
    pub erased: u64,
    /// Number of lines at the begin that are removed. The tree still stands for them.
    pub removed: u64,
    /// Buckets and devices whose packets have no line yet.
    pub unlogged: u64,
    /// What does not fit, at most 100.
    pub wrong: Vec<WrongLine>,
    /// Root of the tree of as many lines as the caller asked for; `None` if the log has fewer.
    pub root: Option<Hash>,
}

/// A place at which store and log do not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrongLine {
    /// The text of a line has another hash. For a line about packets: their rows changed.
    Changed {
        /// Number of the line.
        number: u64,
    },
    /// A line is missing.
    Missing {
        /// Number of the line.
        number: u64,
    },
    /// An event in the store has no line, or another text than its line.
    Event {
        /// Time of the event (RFC 3339).
        at: String,
    },
    /// A mark that has a line is gone from the store.
    Mark {
        /// Time of the mark (RFC 3339).
        at: String,
    },
    /// Packets have no line.
    WithoutLine {
        /// Number of their bucket of five minutes since 1970-01-01T00:00:00Z.
        bucket: i64,
    },
}

impl View<'_> {
    /// Compares each line with its hash, and the stored packets with their lines. Also
    /// computes the root of the tree of the first `size` lines.
    pub fn check_log(&self, size: u64) -> Result<LogCheck, StoreError> {
        let Some(base) = base(&self.transaction)? else {
            return Ok(LogCheck::default());
        };
        let mut check = LogCheck {
            origin: Some(base.origin),
            removed: base.frontier.size(),
            unlogged: self.number("SELECT count(*) FROM unlogged")?,
            ..LogCheck::default()
        };
        check.size = self.check_lines(base.frontier, size, &mut check)?;
        self.check_packets(&mut check)?;
        self.check_events(&mut check)?;
        Ok(check)
    }

    /// Compares the events of logged kinds with their lines. Events from before the log, or
    /// whose lines were removed, are left out.
    fn check_events(&self, check: &mut LogCheck) -> Result<(), StoreError> {
        let select = "SELECT at, line FROM log WHERE line IS NOT NULL";
        let lines = self.all(select, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let lines = lines.into_iter().filter_map(|(at, line): (i64, String)| {
            let Line::Event {
                at: of,
                device,
                event,
            } = Entry::read(&line).ok()?.line
            else {
                return None;
            };
            Some((of, device, event, at))
        });
        let lines: Vec<_> = lines.collect();
        let logged: BTreeSet<_> = lines
            .iter()
            .map(|(of, device, event, _)| (of, device, event))
            .collect();
        let kinds = LOGGED.map(|kind| format!("'{kind}'")).join(",");
        let select = format!(
            "SELECT at, json, kind = 'mark', mac
            FROM event LEFT JOIN device ON device.id = event.device
            WHERE kind IN ({kinds}) AND at >= (SELECT min(at) FROM log)"
        );
        let events = self.all(&select, [], |row| {
            let mac: Option<Vec<u8>> = row.get(3)?;
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, mac))
        })?;
        let mut marks = BTreeSet::new();
        for (at, json, is_mark, mac) in events {
            let at = to_the_second(time(at, "event")?);
            let device = rows::mac(&mac.unwrap_or_default())?.map(|mac| mac.to_string());
            if !logged.contains(&(&at, &device, &json)) {
                check.wrong(WrongLine::Event { at: at.clone() });
            }
            if is_mark {
                marks.insert((at, json));
            }
        }
        for (of, _, event, at) in lines {
            // A backdated mark goes with the events of its time.
            let is_now = of == to_the_second(time(at, "log")?);
            let is_mark = event.contains("\"event\":\"mark\"");
            if is_mark && is_now && !marks.contains(&(of.clone(), event)) {
                check.wrong(WrongLine::Mark { at: of });
            }
        }
        Ok(())
    }

    fn number(&self, select: &str) -> Result<u64, StoreError> {
        self.transaction
            .query_row(select, [], |row| row.get::<_, i64>(0))
            .map(i64::unsigned_abs)
            .map_err(on("read"))
    }

    /// Compares the lines. Returns the number of lines of the log.
    fn check_lines(
        &self,
        base: Frontier,
        size: u64,
        check: &mut LogCheck,
    ) -> Result<u64, StoreError> {
        let mut collector = Collector::new(base, &[]);
        if collector.frontier().size() == size {
            check.root = Some(collector.frontier().root());
        }
        let select = "SELECT number, bucket, device, salt, line, leaf FROM log ORDER BY number";
        let mut statement = self.transaction.prepare(select).map_err(on("read"))?;
        let mut found = statement.query([]).map_err(on("read"))?;
        while let Some(row) = found.next().map_err(on("read"))? {
            let line = Stored::read(row).map_err(on("read"))?;
            let number = collector.frontier().size();
            if number != line.number {
                // Without this line, no later root can be computed.
                check.wrong(WrongLine::Missing { number });
                break;
            }
            // Rows that cannot be read are changed rows.
            let text = match line.text(self) {
                Err(error) if error.is_damaged_row() => None,
                text => text?,
            };
            match text {
                Some(text) if leaf_hash(text.as_bytes()) == leaf(&line.leaf)? => {
                    check.compared += 1;
                }
                None if line.is_erased() => check.erased += 1,
                _ => check.wrong(WrongLine::Changed {
                    number: line.number,
                }),
            }
            collector.push(leaf(&line.leaf)?);
            if collector.frontier().size() == size {
                check.root = Some(collector.frontier().root());
            }
        }
        Ok(collector.frontier().size())
    }

    /// Looks for packets without a line.
    fn check_packets(&self, check: &mut LogCheck) -> Result<(), StoreError> {
        let select =
            "SELECT DISTINCT bucket FROM (SELECT DISTINCT bucket, device FROM count) AS own
            WHERE NOT EXISTS (SELECT 1 FROM log WHERE log.bucket = own.bucket
                    AND log.device = own.device AND salt IS NOT NULL)
                AND NOT EXISTS (SELECT 1 FROM unlogged WHERE unlogged.bucket = own.bucket
                    AND unlogged.device = own.device)";
        let buckets = self.all(select, [], |row| row.get(0))?;
        for bucket in buckets {
            check.wrong(WrongLine::WithoutLine { bucket });
        }
        Ok(())
    }
}

impl LogCheck {
    fn wrong(&mut self, wrong: WrongLine) {
        if self.wrong.len() < MOST_WRONG {
            self.wrong.push(wrong);
        }
    }
}

/// A line as it is stored.
struct Stored {
    number: u64,
    bucket: Option<i64>,
    device: Option<i64>,
    salt: Option<[u8; SALT_BYTES]>,
    line: Option<String>,
    leaf: Vec<u8>,
}

impl Stored {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            number: row.get::<_, i64>(0)?.unsigned_abs(),
            bucket: row.get(1)?,
            device: row.get(2)?,
            salt: row.get(3)?,
            line: row.get(4)?,
            leaf: row.get(5)?,
        })
    }

    fn is_erased(&self) -> bool {
        self.salt.is_none() && self.line.is_none()
    }

    /// True if the row names the device of the line. By the row, `forget` finds the line.
    fn has_its_device(&self, view: &View<'_>, line: &str) -> Result<bool, StoreError> {
        let device = match Entry::read(line) {
            Ok(Entry {
                line: Line::Event { device, .. },
                ..
            }) => device,
            _ => None,
        };
        let own = match self.device {
            Some(id) => packets::mac(&view.transaction, id)?,
            None => None,
        };
        Ok(own == device)
    }

    /// The text; `None` if the line is erased, its packets are gone or it has another device.
    fn text(&self, view: &View<'_>) -> Result<Option<String>, StoreError> {
        let Some(salt) = self.salt else {
            return match &self.line {
                Some(line) if self.has_its_device(view, line)? => Ok(Some(line.clone())),
                _ => Ok(None),
            };
        };
        let (Some(bucket), Some(device)) = (self.bucket, self.device) else {
            let number = i64::try_from(self.number).unwrap_or(i64::MAX);
            return claims::text_of(&view.transaction, number);
        };
        let packets = packets::read(&view.transaction, bucket, device)?;
        packets.map(|own| text(own.line, salt)).transpose()
    }
}
