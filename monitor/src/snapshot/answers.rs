//! Answers to packets that a `reject` dropped.

use std::{collections::BTreeMap, fmt};

use monitor_common::{AnswerCounters, Unanswered};
use serde::{Deserialize, Serialize};

/// Dropped packets whose effective policy is a `reject`. Each is in exactly one of the numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// Packets answered by a TCP reset.
    pub resets: u64,
    /// Packets answered by an ICMP or `ICMPv6` error.
    pub errors: u64,
    /// Packets without an answer, for every reason, even if the number is zero.
    pub unanswered: BTreeMap<String, u64>,
}

impl Answers {
    /// Returns the number of packets, answered or not.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.resets + self.errors + self.unanswered.values().sum::<u64>()
    }
}

impl From<&AnswerCounters> for Answers {
    fn from(counters: &AnswerCounters) -> Self {
        let unanswered = Unanswered::ALL.iter().map(|reason| {
            let packets = counters.unanswered[*reason as usize];
            (reason.name().to_owned(), packets)
        });
        Self {
            resets: counters.resets,
            errors: counters.errors,
            unanswered: unanswered.collect(),
        }
    }
}

/// Writes one line, without the reasons that are zero.
impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} by a TCP reset, {} by an ICMP error",
            self.resets, self.errors
        )?;
        for (reason, packets) in self.unanswered.iter().filter(|(_, packets)| **packets > 0) {
            write!(f, ", {packets} not: {reason}")?;
        }
        Ok(())
    }
}
