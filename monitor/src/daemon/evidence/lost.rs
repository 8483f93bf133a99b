//! What was lost on the way to the store, as numbers that only grow.

use monitor_common::evidence::{DnsLosses, EvidenceLosses};

use crate::store::Loss;

/// Numbers of everything that was lost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lost {
    events: u64,
    samples: u64,
    samples_rate: u64,
    samples_cut: u64,
    dns: u64,
    dns_rate: u64,
    dns_cut: u64,
    pub(super) claims: u64,
}

impl Lost {
    /// What the XDP program lost.
    pub(super) fn of(losses: &EvidenceLosses) -> Self {
        Self {
            events: losses.events,
            samples: losses.samples_full,
            samples_rate: losses.samples_rate,
            samples_cut: losses.samples_cut,
            ..Self::default()
        }
    }

    /// Adds what the classifier of one interface lost.
    pub(super) fn add_dns(&mut self, losses: &DnsLosses) {
        self.dns += losses.full;
        self.dns_rate += losses.rate;
        self.dns_cut += losses.cut;
    }

    /// Number of DNS answers that were not copied.
    pub(super) fn dns(&self) -> u64 {
        self.dns + self.dns_rate
    }

    /// What was lost since `before`. A number that became smaller counts from 0: its counters
    /// were created anew.
    pub(super) fn since(&self, before: &Self) -> Vec<Loss> {
        let numbers = [
            ("flow-event", self.events, before.events),
            ("sample", self.samples, before.samples),
            ("sample-rate", self.samples_rate, before.samples_rate),
            ("sample-cut", self.samples_cut, before.samples_cut),
            ("dns", self.dns, before.dns),
            ("dns-rate", self.dns_rate, before.dns_rate),
            ("dns-cut", self.dns_cut, before.dns_cut),
            ("claim", self.claims, before.claims),
        ];
        let lost = numbers.into_iter().map(|(reason, now, before)| {
            let packets = now.checked_sub(before).unwrap_or(now);
            loss(reason, packets, 0)
        });
        lost.filter(|loss| loss.packets > 0).collect()
    }
}

pub(super) fn loss(reason: &str, packets: u64, bytes: u64) -> Loss {
    Loss {
        reason: reason.to_owned(),
        policy: None,
        packets,
        bytes,
    }
}
