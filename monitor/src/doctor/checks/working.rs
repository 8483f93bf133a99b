//! What must work so that evidence arises: policies, feeds, daemon, kernel, clock, disk.

use bytesize::ByteSize;

use crate::{
    control::Endpoint,
    data::Listed,
    doctor::{
        facts::{DaemonFact, Disk, Facts},
        finding::Remark,
    },
    policy::EvidenceLevel,
    snapshot::{FeedSnapshot, FeedState, Snapshot},
};

/// Data about ranges counts as old after this many days: ranges change hands.
const OLD_DATA: i32 = 90;

/// A list counts as old after this many seconds without a successful look at its URL.
const OLD_FEED: u64 = 7 * 24 * 3600;

/// Below this many free bytes, the store writes nothing more.
const LEAST_FREE: u64 = 4 << 20;

/// Policies that are not in force.
pub(super) fn policy(facts: &Facts) -> Vec<Remark> {
    let mut remarks = Vec::new();
    if let Some(snapshot) = &facts.snapshot {
        remarks.extend(not_in_force(snapshot));
    }
    match &facts.policies {
        Ok(policies) if policies.active == 0 => remarks.push(Remark::blind(
            "no policy has an effect now",
            "packets pass, and nothing is counted or recorded about them",
            "`monitor check` and `monitor status` list the policies, and say which ones rest",
        )),
        Err(why) => remarks.push(Remark::unknown(
            "the policies cannot be read",
            why,
            "`monitor check` shows what is wrong with them",
        )),
        Ok(policies) if remarks.is_empty() => {
            remarks.push(Remark::ok(format!(
                "policies with an effect: {}",
                policies.active
            )));
        }
        Ok(_) => {}
    }
    remarks
}

fn not_in_force(snapshot: &Snapshot) -> Vec<Remark> {
    let mut remarks = Vec::new();
    if let Some(trial) = &snapshot.unconfirmed {
        let fix = "`monitor confirm` keeps a trial; `monitor reload` loads the files again";
        let what = "the files that were put on trial are not in force for good";
        if trial.rolled_back && trial.previous.is_none() && trial.generation.is_some() {
            remarks.push(Remark::blind(
                "no policy is in force",
                trial.to_string(),
                fix,
            ));
        } else {
            remarks.push(Remark::degraded(what, trial.to_string(), fix));
        }
    }
    let failed = snapshot.reload.as_ref().filter(|reload| !reload.success);
    if let Some(reload) = failed {
        remarks.push(Remark::degraded(
            "the policy files are not in force, but older policies are",
            reload
                .error
                .as_deref()
                .and_then(|error| error.lines().next())
                .unwrap_or_default(),
            "`monitor check` shows every error of the files",
        ));
    }
    remarks
}

/// Lists that the daemon downloads.
pub(super) fn feed(facts: &Facts) -> Vec<Remark> {
    let wanted = facts.policies.as_ref().map_or(0, |policies| policies.feeds);
    if facts.daemon == DaemonFact::None && wanted > 0 {
        return vec![Remark::degraded(
            format!("lists that are not downloaded: {wanted}"),
            "no daemon runs",
            "start the daemon",
        )];
    }
    let mut remarks: Vec<Remark> = facts.feeds.iter().filter_map(feed_remark).collect();
    if remarks.is_empty() {
        let what = match facts.feeds.len() {
            0 => "the policies download no lists".to_owned(),
            count => format!("downloaded lists, all current: {count}"),
        };
        remarks.push(Remark::ok(what));
    }
    remarks
}

fn feed_remark(feed: &FeedSnapshot) -> Option<Remark> {
    let FeedSnapshot {
        feed: name,
        state,
        reason,
        age,
        ..
    } = feed;
    let why = reason.clone().unwrap_or_default();
    let fix = "`monitor feed list` shows what happened; `monitor feed fetch` tries again";
    let Some(age) = age else {
        let what = format!("{name} is not in force");
        let why = format!("its destinations are not matched: {} {why}", state.name());
        return Some(Remark::blind(what, why.trim_end(), fix));
    };
    if *state != FeedState::Current {
        return Some(Remark::degraded(
            format!("{name} could not be updated"),
            why,
            fix,
        ));
    }
    (*age > OLD_FEED).then(|| {
        let days = age / (24 * 3600);
        Remark::degraded(
            format!("{name} is {days} days old"),
            "the list may have changed since",
            fix,
        )
    })
}

/// Data about ranges.
pub(super) fn data(facts: &Facts) -> Vec<Remark> {
    let sources = &facts.data.sources;
    let mut remarks: Vec<Remark> = sources.iter().filter_map(source).collect();
    if remarks.is_empty() {
        let what = match sources.len() {
            0 => "no data about ranges is configured: no holder is named".to_owned(),
            count => format!("sources of data about ranges, all usable: {count}"),
        };
        remarks.push(Remark::ok(what));
    }
    remarks
}

fn source(source: &Listed) -> Option<Remark> {
    let name = &source.name;
    if let Some(error) = &source.error {
        return Some(Remark::degraded(
            format!("{name} cannot be used"),
            error,
            "`monitor data` shows every source; correct the file, or `data:` in the config file",
        ));
    }
    let days = source.age_days?;
    (days > OLD_DATA).then(|| {
        Remark::degraded(
            format!("{name} is {days} days old"),
            "ranges change hands: what it says may no longer hold",
            "download the file again",
        )
    })
}

/// The daemon itself.
pub(super) fn daemon(facts: &Facts) -> Vec<Remark> {
    let hanging = facts
        .snapshot
        .as_ref()
        .and_then(|snapshot| snapshot.working.as_ref());
    let hanging = hanging.filter(|working| working.hangs());
    vec![match (&facts.daemon, hanging) {
        (DaemonFact::None, _) => Remark::degraded(
            "no daemon runs",
            "an attached filter goes on, but nothing is stored, and changed files, schedules and lists have no effect",
            "start the daemon: `systemctl start monitor`, or `monitor run`",
        ),
        (DaemonFact::Silent(why), _) => Remark::degraded(
            "the daemon gives no answer",
            why,
            "if it is stopped, continue it with `kill -CONT`; otherwise start it again",
        ),
        (DaemonFact::Answers { .. }, Some(working)) => Remark::degraded(
            "the daemon hangs",
            working.to_string(),
            "look at the log and the file systems, then start it again",
        ),
        (DaemonFact::Answers { .. }, None) => Remark::ok("the daemon answers"),
    }]
}

/// Metrics and page.
pub(super) fn http(facts: &Facts) -> Vec<Remark> {
    let DaemonFact::Answers { endpoints, .. } = &facts.daemon else {
        return vec![Remark::degraded(
            "metrics and page are not served",
            "no daemon answers",
            "start the daemon",
        )];
    };
    endpoints.iter().map(endpoint).collect()
}

fn endpoint(endpoint: &Endpoint) -> Remark {
    let address = &endpoint.address;
    match (&endpoint.error, endpoint.serving) {
        (_, true) => Remark::ok(format!("metrics and page are served at {address}")),
        (error, false) => Remark::degraded(
            format!("metrics and page are not served at {address}"),
            error
                .as_deref()
                .unwrap_or("the daemon has not tried it yet"),
            "free the address, or choose another with `listen` or --listen",
        ),
    }
}

/// Features of the kernel.
pub(super) fn kernel(facts: &Facts) -> Vec<Remark> {
    let kernel = &facts.kernel;
    let version = &kernel.version;
    let mut remarks = Vec::new();
    if !kernel.copies {
        remarks.push(Remark::degraded(
            format!("Linux {version} cannot copy the first packets of connections"),
            "names in what devices send are not read, and `monitor capture` does not work",
            "upgrade the kernel to 5.18 or later",
        ));
    }
    if !kernel.compiles {
        remarks.push(Remark::degraded(
            "the kernel interprets the filter, and does not compile it",
            "each packet takes several times as long",
            "`sysctl net.core.bpf_jit_enable=1`",
        ));
    }
    if !kernel.has_tcx {
        remarks.push(Remark::ok(format!(
            "Linux {version} has no links for classifiers (TCX, since Linux 6.6): filters of clsact are used in their place"
        )));
    }
    if remarks.is_empty() {
        remarks.push(Remark::ok(format!(
            "Linux {version} has every feature that the filter uses"
        )));
    }
    remarks
}

/// Rights of the process.
pub(super) fn capability(facts: &Facts) -> Vec<Remark> {
    vec![match &facts.missing_rights {
        Ok(missing) if missing.is_empty() => Remark::ok("no right is missing"),
        Ok(missing) => {
            let what = format!("{} missing", missing.join(", "));
            let fix = "run as root, or give the process these capabilities";
            match facts.daemon {
                DaemonFact::Answers { .. } => Remark::degraded(
                    format!("the daemon lacks rights: {what}"),
                    "the next reload cannot load its filter",
                    fix,
                ),
                _ => Remark::degraded(
                    format!("this command lacks rights: {what}"),
                    "lines above with the status `unknown` could not be checked",
                    fix,
                ),
            }
        }
        Err(why) => Remark::unknown(
            "the rights of the process cannot be read",
            why,
            "run as root",
        ),
    }]
}

/// The clock.
pub(super) fn clock(facts: &Facts) -> Vec<Remark> {
    vec![if facts.clock_synchronised {
        Remark::ok("the clock is synchronised")
    } else {
        Remark::degraded(
            "the clock is not synchronised",
            "times of evidence may be wrong, and exemptions with an end are off",
            "start a time service such as systemd-timesyncd or chrony",
        )
    }]
}

/// Room in the state directory.
pub(super) fn disk(facts: &Facts) -> Vec<Remark> {
    let Disk { free, store, most } = match &facts.disk {
        Ok(disk) => *disk,
        Err(why) => {
            return vec![Remark::unknown(
                "the state directory cannot be read",
                why,
                "start the daemon, which creates it; or run as root, or as the user that runs the daemon",
            )];
        }
    };
    let bytes = |bytes: u64| ByteSize::b(bytes).display().iec().to_string();
    if facts.evidence == EvidenceLevel::Counters {
        return vec![Remark::ok(format!(
            "{} are free in the state directory",
            bytes(free)
        ))];
    }
    if free < LEAST_FREE {
        return vec![Remark::blind(
            "the state directory is full",
            format!(
                "only {} are left: new evidence cannot be stored",
                bytes(free)
            ),
            "make room on its file system, or choose another with --state-dir",
        )];
    }
    if free < most.saturating_sub(store) {
        return vec![Remark::degraded(
            format!("the state directory has {} left", bytes(free)),
            format!(
                "the store may grow to {} (`store.size`), and has {} now",
                bytes(most),
                bytes(store)
            ),
            "make room, or set a smaller `store.size` in the config file",
        )];
    }
    // The database itself may take seven tenths of the size, its log the rest.
    if store >= most / 100 * 65 {
        return vec![Remark::degraded(
            format!(
                "the store is full: it has {} of {}",
                bytes(store),
                bytes(most)
            ),
            "the oldest evidence is removed, also before its time",
            "set a larger `store.size` in the config file, or make reports more often",
        )];
    }
    vec![Remark::ok(format!(
        "{} are free, and the store has {}",
        bytes(free),
        bytes(store)
    ))]
}

/// Evidence that was lost.
pub(super) fn evidence(facts: &Facts) -> Vec<Remark> {
    if facts.evidence == EvidenceLevel::Counters {
        return vec![Remark::ok("by setting, only counters are recorded")];
    }
    let mut remarks = Vec::new();
    if let Some(snapshot) = &facts.snapshot {
        remarks.extend(not_stored(snapshot));
        remarks.extend(no_places(snapshot));
    }
    match &facts.losses {
        Ok(losses) if losses.is_empty() => {}
        Ok(losses) => remarks.push(lost(losses.iter())),
        Err(why) => remarks.push(Remark::unknown(
            "losses of the last 24 hours cannot be read",
            why,
            "start the daemon, which creates it; or run as root, or as the user that runs the daemon",
        )),
    }
    if remarks.is_empty() {
        remarks.push(Remark::ok("no evidence was lost in the last 24 hours"));
    }
    remarks
}

fn not_stored(snapshot: &Snapshot) -> Option<Remark> {
    let failure = snapshot.evidence.as_ref()?.failure.as_ref()?;
    Some(Remark::blind(
        format!("since {} flows are not stored", failure.since),
        failure.error.clone(),
        "look at the log of the daemon, and at the state directory",
    ))
}

/// Device tables without a free place.
fn no_places(snapshot: &Snapshot) -> Vec<Remark> {
    let full = snapshot
        .places
        .iter()
        .filter(|table| table.used >= table.size && table.size > 0);
    let each = full.map(|table| {
        Remark::degraded(
            format!("the table of devices ({}) is full", table.kept_for),
            "packets of further devices count under `other`, without their device",
            "name the devices that matter in `devices:`; set a shorter `devices.forget_after`",
        )
    });
    each.collect()
}

/// Losses that lie in the nature of a copy or of a setting are not counted here.
fn lost<'a>(losses: impl Iterator<Item = (&'a String, &'a u64)>) -> Remark {
    let each: Vec<String> = losses
        .map(|(reason, number)| format!("{reason} {number}"))
        .collect();
    let packets_are_lost = each
        .iter()
        .any(|loss| loss.starts_with("full ") || loss.starts_with("lost "));
    // Without the numbers: a new text would be logged again.
    let what = "evidence was lost in the last 24 hours";
    let each = each.join(", ");
    let fix = "`monitor report` lists each loss by hour, with its meaning";
    if packets_are_lost {
        let why = format!("packets that a policy matched are in no flow ({each})");
        Remark::blind(what, why, fix)
    } else {
        let why = format!("names may be missing, or contacts were announced late ({each})");
        Remark::degraded(what, why, fix)
    }
}
