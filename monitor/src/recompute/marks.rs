//! The comparisons at marks.

use jiff::Timestamp;

use super::{
    compare::Comparing,
    figures::{Allowed, Counts, Figures},
    replay::StatedMark,
};
use crate::{
    evidence::mark::{Mark, MarkKind},
    report::{Comparison, Ends, Report, Window},
};

/// The marks of a report, sorted by time.
pub(super) fn of(report: &Report) -> Vec<StatedMark> {
    let marks = report.marks.iter().filter_map(|mark| {
        let kind = serde_json::from_value::<MarkKind>(mark.kind.clone().into()).ok()?;
        let detail = |key: &str| {
            let mut stated = mark.stated.iter();
            let found = stated.find(|(own, _)| own == key);
            found.map(|(_, value)| value.clone())
        };
        Some(StatedMark {
            at: mark.at.parse().ok()?,
            device: mark.device.as_deref().map(str::parse).transpose().ok()?,
            mark: Mark {
                text: mark.text.clone(),
                kind,
                model: detail("model"),
                firmware: detail("firmware"),
                accounts: detail("accounts"),
                sim: detail("sim"),
                set: mark
                    .set
                    .as_deref()
                    .and_then(|set| set.parse::<Timestamp>().ok()),
            },
        })
    });
    let mut marks: Vec<_> = marks.collect();
    marks.sort_by_key(|mark| mark.at);
    marks
}

/// Compares what the report says about the time before and after each mark. Returns why some of
/// it was not compared.
pub(super) fn compare(comparing: &Comparing<'_>, figures: &mut Figures) -> Option<String> {
    let marks = &comparing.report.marks;
    let compared = marks.iter().filter(|mark| mark.comparison.is_some());
    if compared.count() == 0 {
        return None;
    }
    if let Some(why) = comparing.unclear_time(figures.slack) {
        return Some(format!("the comparisons at marks: {why}"));
    }
    let replayed = &comparing.built().marks;
    if replayed.len() != marks.len() {
        return Some("the comparisons at marks: a mark of the report cannot be read".to_owned());
    }
    for (mark, replayed) in marks.iter().zip(replayed) {
        let name = format!("mark of {}", mark.at);
        match (&mark.comparison, &replayed.comparison) {
            (Some(reported), Some(replayed)) => comparison(&name, reported, replayed, figures),
            (Some(_), None) => return Some(format!("the comparison at the {name}")),
            _ => {}
        }
    }
    None
}

fn comparison(name: &str, reported: &Comparison, replayed: &Comparison, figures: &mut Figures) {
    let mut number = |what: &str, reported: u64, replayed: u64| {
        let allowed = Allowed {
            least: replayed,
            most: Some(replayed),
        };
        figures.number(
            || format!("{name}, {what}"),
            reported,
            allowed,
            Counts::Packets,
        );
    };
    let devices = |one: &Comparison| (one.devices.len() as u64).saturating_add(one.more_devices);
    number("devices", devices(reported), devices(replayed));
    for device in &reported.devices {
        let same = replayed
            .devices
            .iter()
            .find(|one| one.device == device.device);
        let Some(same) = same else {
            continue;
        };
        let label = device.device.as_deref().unwrap_or("other devices");
        for (side, own, other) in [
            ("before", &device.before, &same.before),
            ("after", &device.after, &same.after),
        ] {
            for (what, own, other) in window(own, other) {
                number(&format!("device {label}, {side}: {what}"), own, other);
            }
        }
        for (what, own, other) in [
            ("contacts that stayed", &device.stayed, &same.stayed),
            ("contacts that went", &device.went, &same.went),
            ("contacts that came", &device.came, &same.came),
        ] {
            let ends = |ends: &Ends| ends.number;
            number(&format!("device {label}, {what}"), ends(own), ends(other));
        }
        let what = format!("device {label}, packets of an unknown side");
        number(&what, device.unclear_packets, same.unclear_packets);
    }
}

/// The numbers of a window that follow from packets.
fn window(reported: &Window, replayed: &Window) -> [(&'static str, u64, u64); 3] {
    [
        ("packets", reported.packets, replayed.packets),
        ("contacts", reported.contacts, replayed.contacts),
        (
            "intervals with packets",
            reported.active_intervals,
            replayed.active_intervals,
        ),
    ]
}
