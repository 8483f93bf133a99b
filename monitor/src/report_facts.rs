//! Reads what a report is built from: the store, and what the kernel counted beside it.

mod captures;

use std::{collections::BTreeMap, path::Path};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use self::captures::{PeriodCaptures, captures};
use crate::{
    datapath::FlowTables,
    device_book::DeviceBook,
    device_list::stored_view,
    evidence::{
        FlowsView, NotRecorded,
        event::{EventView, Happening},
    },
    flows::FlowsError,
    policy::{MacAddress, PolicyName},
    report::{Facts, MOST_FLOWS, MOST_MARKS, MarkFact, SLOTS},
    store::{
        Cut, PeriodQuery, PeriodSums, Segments, StoreError, StoreReader, StoredDevice, StoredEvent,
        View,
    },
};

/// The begin of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Since {
    /// So many seconds before its end.
    Seconds(u32),
    /// A time.
    Time(Timestamp),
}

/// Which report to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportFilter {
    /// Begin of the period.
    pub since: Since,
    /// End of the period; `None`: `at`, or else the last time that the store knows. So equal
    /// stores give equal reports.
    pub until: Option<Timestamp>,
    /// Time of the report, as the caller states it.
    pub at: Option<Timestamp>,
    /// The device, as the caller wrote it.
    pub asked_device: Option<String>,
    /// Its MACs; empty for every device.
    pub devices: Vec<MacAddress>,
    /// Only packets that this policy matched.
    pub policy: Option<PolicyName>,
    /// The most flows of one device and list of policies.
    pub limit: u32,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The store or the kernel cannot be read.
    #[error(transparent)]
    Read(#[from] FlowsError),
    /// There is no store.
    #[error("no evidence is stored in {}: `monitor run` records it", crate::printable::path(.0))]
    NoStore(std::path::PathBuf),
    /// The store is empty.
    #[error("the evidence store is empty: no packet, no attachment and no mark is recorded")]
    Empty,
    /// The period ends before it begins.
    #[error("the period ends at {until}, before its begin {since}")]
    Period {
        /// Begin.
        since: Timestamp,
        /// End.
        until: Timestamp,
    },
}

/// What the store has, without the operator's names.
#[derive(Debug)]
pub struct FoundFacts {
    facts: Facts,
    devices: Vec<StoredDevice>,
}

/// Reads the store in `state_dir`, and the counters of the filter with these pins. If
/// `is_drained` is false, also counts the packets that no daemon has stored yet. A daemon that
/// stored all of them just before says true.
///
/// # Errors
///
/// Returns an error if there is nothing to read, or if it cannot be read.
pub fn read(
    pin_dir: &Path,
    state_dir: &Path,
    filter: &ReportFilter,
    is_drained: bool,
) -> Result<FoundFacts, ReportError> {
    let open = || StoreReader::open(state_dir).map_err(FlowsError::from);
    let reader = match state_dir.try_exists() {
        Ok(false) => None,
        _ => open()?,
    };
    let mut reader = reader.ok_or_else(|| ReportError::NoStore(state_dir.to_owned()))?;
    let policy = filter.policy.as_ref();
    let not_recorded = not_recorded(pin_dir, &mut reader, is_drained, policy)?;
    let view = reader.view().map_err(FlowsError::from)?;
    let (since, until) = period(&view, filter)?;
    let query = PeriodQuery {
        since,
        until,
        devices: filter.devices.clone(),
        policy: filter.policy.clone(),
        timeline: watched_since(&view, since).map_err(FlowsError::from)?,
        flows_of_group: filter.limit,
        flows: u32::try_from(MOST_FLOWS).unwrap_or(u32::MAX),
        slots: SLOTS,
    };
    let mut found = stored(&view, &query, not_recorded).map_err(FlowsError::from)?;
    found.facts.at = filter.at;
    found.facts.asked_device.clone_from(&filter.asked_device);
    Ok(found)
}

/// Begin and end of the period.
fn period(view: &View<'_>, filter: &ReportFilter) -> Result<(Timestamp, Timestamp), ReportError> {
    let until = match filter.until.or(filter.at) {
        Some(until) => until,
        None => last(view)
            .map_err(FlowsError::from)?
            .ok_or(ReportError::Empty)?,
    };
    let since = match filter.since {
        Since::Time(since) => since,
        Since::Seconds(length) => until
            .checked_sub(SignedDuration::from_secs(length.into()))
            .unwrap_or(Timestamp::MIN),
    };
    if since < until {
        Ok((since, until))
    } else {
        Err(ReportError::Period { since, until })
    }
}

/// The first time in the period of which the store knows anything. A timeline begins there.
fn watched_since(view: &View<'_>, since: Timestamp) -> Result<Timestamp, StoreError> {
    let attached = view.attachments(since)?;
    let attached = attached.into_iter().map(|attachment| attachment.since);
    let first = attached.chain(view.oldest()?).min();
    Ok(first.unwrap_or(since).max(since))
}

/// The second after the last time that the store knows.
fn last(view: &View<'_>) -> Result<Option<Timestamp>, StoreError> {
    let packets = view.latest()?;
    let attached = view.attachments(Timestamp::MIN)?;
    let attached = attached.into_iter().map(|attachment| attachment.until);
    let marks = view.marks(Timestamp::MIN, Timestamp::MAX)?;
    let marks = marks.into_iter().map(|mark| mark.event.at);
    let last = packets.into_iter().chain(attached).chain(marks).max();
    let next = last.map(|last| Timestamp::from_second(last.as_second() + 1).unwrap_or(last));
    Ok(next)
}

/// Matched packets that are in no stored flow, and since when they were counted.
struct Uncounted {
    packets: NotRecorded,
    since: Option<Timestamp>,
}

/// Packets that the kernel counted and that are in no stored flow. Flows that are not stored
/// yet are those of the asked policy. Of the others, the kernel does not know every policy.
fn not_recorded(
    pin_dir: &Path,
    reader: &mut StoreReader,
    is_drained: bool,
    asked: Option<&PolicyName>,
) -> Result<Uncounted, FlowsError> {
    let mut not_recorded = NotRecorded::default();
    let Some(tables) = FlowTables::open(pin_dir)? else {
        return Ok(Uncounted {
            packets: not_recorded,
            since: None,
        });
    };
    let is_asked = |policy: &PolicyName| asked.is_none_or(|asked| asked == policy);
    if !is_drained {
        let live = tables.live(|| {
            let drained = reader.view()?.drained(tables.instance())?;
            Ok::<_, FlowsError>(drained.unwrap_or(0))
        })?;
        let own = live.flows.iter();
        let own = own.filter(|flow| flow.policies.iter().any(is_asked));
        let packets = own.map(|flow| flow.passed.packets + flow.dropped.packets);
        not_recorded.add("not-stored", packets.sum());
        not_recorded.add("lost", live.lost.packets);
    }
    for policy in tables.effective()? {
        // Another policy than the effective one may have matched these packets too.
        not_recorded.add_effective(&policy.counters);
    }
    let since = reader.view()?.instance_since(tables.instance())?;
    Ok(Uncounted {
        packets: not_recorded,
        since,
    })
}

fn stored(
    view: &View<'_>,
    query: &PeriodQuery,
    uncounted: Uncounted,
) -> Result<FoundFacts, StoreError> {
    let (since, until) = (query.since, query.until);
    let mut not_recorded = uncounted.packets;
    let removed = view.removed_since(since, query.policy.as_ref())?;
    for (reason, packets) in removed.packets {
        not_recorded.add(&reason, packets);
    }
    let not_recorded_since = uncounted.since.into_iter().chain(removed.since).min();
    let mut sums = view.period(query)?;
    let rows = std::mem::take(&mut sums.flows);
    let flows = FlowsView::new(rows, NotRecorded::default(), usize::MAX);
    let PeriodMarks {
        marks,
        more: more_marks,
        hidden: hidden_marks,
    } = marks(view, query)?;
    let segments = segments(view, query, &marks)?;
    let devices = devices(view, query, &sums)?;
    let PeriodCaptures {
        captures,
        more: more_captures,
    } = captures(view, query)?;
    let mut losses = view.losses(since)?;
    losses.retain(|loss| loss.hour < until);
    let mut attachments = view.attachments(since)?;
    attachments.retain(|attachment| attachment.since < until);
    let mut encrypted = view.encrypted(None, u32::MAX)?;
    encrypted.retain(|one| one.first < until && one.last >= since);
    let facts = Facts {
        since,
        until,
        asked_policy: query.policy.clone(),
        subjects: query.devices.clone(),
        oldest: view.oldest()?,
        sums,
        flows,
        encrypted,
        attachments,
        findings: view.findings(until)?,
        losses,
        not_recorded,
        not_recorded_since,
        clock: view.clock(since)?,
        generations: view.all_generations()?,
        policies: view.stated_policies()?,
        setups: view.setups(since)?,
        marks,
        more_marks,
        hidden_marks,
        segments,
        captures,
        more_captures,
        ..Facts::default()
    };
    Ok(FoundFacts { facts, devices })
}

/// The stored rows of the devices of a period.
fn devices(
    view: &View<'_>,
    query: &PeriodQuery,
    sums: &PeriodSums,
) -> Result<Vec<StoredDevice>, StoreError> {
    let macs = sums.devices.iter().filter_map(|sum| sum.device);
    let macs: std::collections::BTreeSet<_> = macs.chain(query.devices.iter().copied()).collect();
    let devices = macs.into_iter().map(|mac| {
        let stored = view.device(mac)?;
        Ok(stored.unwrap_or(StoredDevice {
            mac,
            first: query.since,
            last: query.since,
            facts: Vec::new(),
        }))
    });
    devices.collect()
}

/// What lies between the marks; nothing without marks.
fn segments(
    view: &View<'_>,
    query: &PeriodQuery,
    marks: &[MarkFact],
) -> Result<Segments, StoreError> {
    let cuts: Vec<Cut> = marks
        .iter()
        .map(|mark| Cut {
            at: mark.at,
            mark: mark.id,
        })
        .collect();
    if cuts.is_empty() {
        Ok(Segments::default())
    } else {
        view.segments(query, &cuts)
    }
}

/// Marks of the period.
struct PeriodMarks {
    /// The latest ones that are about the asked devices or about all.
    marks: Vec<MarkFact>,
    /// Number of earlier ones.
    more: u64,
    /// Time and device of the marks that are about devices for which the report was not asked.
    hidden: Vec<(Timestamp, MacAddress)>,
}

fn marks(view: &View<'_>, query: &PeriodQuery) -> Result<PeriodMarks, StoreError> {
    let (mut marks, mut hidden) = (Vec::new(), Vec::new());
    for StoredEvent { id, event } in view.marks(query.since, query.until)? {
        let read = EventView::read(id, event.at, event.device, &event.json);
        let Some(Happening::Mark(mark)) = read.map(|read| read.what) else {
            continue;
        };
        let asked = &query.devices;
        match event.device {
            Some(device) if !asked.is_empty() && !asked.contains(&device) => {
                hidden.push((event.at, device));
            }
            device => marks.push(MarkFact {
                id,
                at: event.at,
                device,
                mark,
            }),
        }
    }
    let more = marks.len().saturating_sub(MOST_MARKS);
    marks.drain(..more);
    Ok(PeriodMarks {
        marks,
        more: more as u64,
        hidden,
    })
}

impl FoundFacts {
    /// Adds what the operator's files say. `names` are the names of the policies.
    #[must_use]
    pub fn named(mut self, book: &DeviceBook, names: &BTreeMap<MacAddress, String>) -> Facts {
        let views = self
            .devices
            .iter()
            .map(|device| stored_view(device, book, names));
        self.facts.devices = views.collect();
        self.facts
    }
}
