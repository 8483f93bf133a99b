//! Losses, each with its meaning.

use jiff::Timestamp;

use super::{
    model::{LossOfHour, Losses},
    words::utc,
};
use crate::{clock::to_the_second, evidence::NotRecorded, store::StoredLoss};

/// What a reason means, as a sentence about the number of the loss.
pub(super) fn meaning(reason: &str) -> &'static str {
    match reason {
        "flow-event" => "new flows were not announced to the daemon; their packets are recorded",
        "sample" => "first packets of connections found no room: names may be missing",
        "sample-rate" => "first packets of connections came too fast to copy: names may be missing",
        "sample-cut" => {
            "first packets of connections were longer than a copy: names may be missing"
        }
        "dns" => "DNS answers found no room: names may be missing",
        "dns-rate" => "DNS answers came too fast to copy: names may be missing",
        "dns-cut" => "DNS answers were longer than a copy: names may be missing",
        "claim" => "names exceeded a limit and are not stored",
        "device-fact" => "facts about devices exceeded a limit and are not stored",
        "event" => "events exceeded a limit and are not stored",
        "lost" => "packets belong to a ruleset that is gone: their policies are unknown",
        "killed" => "the daemon was killed: names of its last seconds may be missing",
        "damaged" => "the store was damaged, and a new one began",
        "full" => "packets found no free place in the kernel's table of flows",
        "setting" => "packets matched only policies that record no flows",
        "expired" => "packets were older than the store keeps them",
        "size" => "packets were removed to keep the size of the store",
        "forgotten" => "packets were sent by a device that the operator erased",
        "not-stored" => "packets are still in the kernel: no daemon has stored them",
        _ => "other losses",
    }
}

impl Losses {
    /// Since when packets without a flow were counted, in words.
    pub(super) fn counted(&self) -> String {
        match &self.not_recorded_since {
            Some(since) => format!("counted since {}, not only in this period", utc(since)),
            None => "not only of this period".to_owned(),
        }
    }
}

/// The losses of a period.
pub(super) fn losses(
    stored: &[StoredLoss],
    not_recorded: NotRecorded,
    since: Option<Timestamp>,
) -> Losses {
    let hours = stored.iter().map(|stored| LossOfHour {
        hour: to_the_second(stored.hour),
        reason: stored.loss.reason.clone(),
        meaning: meaning(&stored.loss.reason).to_owned(),
        policy: stored.loss.policy.as_ref().map(ToString::to_string),
        number: stored.loss.packets,
    });
    Losses {
        hours: hours.collect(),
        not_recorded,
        not_recorded_since: since.map(to_the_second),
    }
}
