//! What the daemon's checks (`monitor doctor`) found, as the store keeps it.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::printable;

/// A finding that began, changed, lasts or ended. Its event has the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// The check, as a word such as `interface`.
    pub check: String,
    /// What tells the finding from others of the same check. Empty: the check finds one thing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub object: String,
    /// `blind`, `degraded` or `unknown`; `ok` if the finding ended.
    pub status: String,
    /// What was found.
    pub what: String,
    /// The operator's reason for accepting it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
    /// Since when it lasts, to the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

impl Noted {
    /// The check of the event that says that all checks ran.
    pub const LOOKED: &str = "doctor";

    /// The status of a finding that ended.
    pub const OK: &str = "ok";

    /// The status of a finding that says that packets or evidence are not seen.
    pub const BLIND: &str = "blind";

    /// The longest text that is stored, in bytes.
    const MOST_TEXT: usize = 200;

    /// A finding without its begin.
    #[must_use]
    pub fn new(check: &str, object: &str, status: &str, what: &str) -> Self {
        Self {
            check: check.to_owned(),
            object: shortened(object),
            status: status.to_owned(),
            what: shortened(what),
            accepted: None,
            since: None,
        }
    }

    /// What the finding is about. Two findings with the same one are the same over time.
    #[must_use]
    pub fn key(&self) -> (String, String) {
        (self.check.clone(), self.object.clone())
    }

    /// True if the finding ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.status == Self::OK
    }

    /// True if `other` says the same. Texts may hold numbers that change, so they do not count.
    fn is_same(&self, other: &Self) -> bool {
        self.status == other.status && self.accepted == other.accepted
    }
}

/// The beginning of a text, so that no event becomes too long for the store.
fn shortened(text: &str) -> String {
    let end = text.floor_char_boundary(Noted::MOST_TEXT);
    text[..end].to_owned()
}

impl fmt::Display for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = printable::value(&self.what);
        match self.status.as_str() {
            Self::OK if self.check == Self::LOOKED => write!(f, "the checks of doctor ran: {what}"),
            Self::OK => write!(f, "no longer so ({}): {what}", self.check),
            status => write!(f, "{status} ({}): {what}", self.check),
        }?;
        match &self.accepted {
            Some(reason) => write!(f, "; accepted: {}", printable::value(reason)),
            None => Ok(()),
        }
    }
}

/// The findings that last, and when each was last written.
#[derive(Clone, Debug, Default)]
pub struct Standing(BTreeMap<(String, String), Written>);

#[derive(Clone, Debug)]
struct Written {
    noted: Noted,
    at: Timestamp,
}

/// A finding that lasts is written again after this time, because the store removes old events.
const AGAIN: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

impl Standing {
    /// The findings that last after these events, which are sorted by time.
    #[must_use]
    pub fn after(events: impl IntoIterator<Item = (Timestamp, Noted)>) -> Self {
        let mut standing = Self::default();
        for (at, noted) in events {
            standing.take(noted, at);
        }
        standing
    }

    /// Compares with what the checks found at `now`. Returns the events to write.
    #[must_use]
    pub fn changes(&self, found: &[Noted], now: Timestamp) -> Vec<Noted> {
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let mut events = Vec::new();
        for (key, written) in &self.0 {
            if !found.iter().any(|noted| noted.key() == *key) {
                events.push(Noted {
                    status: Noted::OK.to_owned(),
                    accepted: None,
                    ..written.noted.clone()
                });
            }
        }
        for noted in found {
            let before = self.0.get(&noted.key());
            let since = match before {
                Some(before) if before.noted.is_same(noted) => {
                    if now.duration_since(before.at) < AGAIN {
                        continue;
                    }
                    before.noted.since
                }
                _ => Some(now),
            };
            events.push(Noted {
                since,
                ..noted.clone()
            });
        }
        events
    }

    /// Remembers an event that is written.
    pub fn take(&mut self, noted: Noted, at: Timestamp) {
        if noted.has_ended() && noted.check != Noted::LOOKED {
            self.0.remove(&noted.key());
        } else {
            self.0.insert(noted.key(), Written { noted, at });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn only_changes_are_written_and_a_long_finding_once_a_day() {
        let blind = Noted::new("interface", "lan1", Noted::BLIND, "lan1 has no filter");
        let mut standing = Standing::default();
        let mut write = |found: &[Noted], second| {
            let events = standing.changes(found, at(second));
            for event in &events {
                standing.take(event.clone(), at(second));
            }
            events
        };
        let first = write(std::slice::from_ref(&blind), 100);
        assert_eq!(first[0].since, Some(at(100)));
        assert!(write(std::slice::from_ref(&blind), 160).is_empty());
        let again = write(std::slice::from_ref(&blind), 100 + 24 * 3600);
        assert_eq!(again[0].since, Some(at(100)));
        let accepted = Noted {
            accepted: Some("for tests".to_owned()),
            ..blind.clone()
        };
        let changed = write(&[accepted], 200_000);
        assert_eq!(changed[0].since, Some(at(200_000)));
        let ended = write(&[], 200_060);
        assert_eq!((ended.len(), &*ended[0].status), (1, Noted::OK));
        assert!(write(&[], 200_120).is_empty());
    }

    #[test]
    fn another_daemon_goes_on_where_the_one_before_ended() {
        let noted = Noted {
            since: Some(at(100)),
            ..Noted::new("ipv6", "", Noted::BLIND, "no policy names IPv6")
        };
        let standing = Standing::after([(at(100), noted.clone())]);
        assert!(
            standing
                .changes(std::slice::from_ref(&noted), at(160))
                .is_empty()
        );
        let ended = standing.changes(&[], at(160));
        assert_eq!(ended[0].key(), noted.key());
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let noted = Noted::new("policy", "", Noted::BLIND, &"ü".repeat(300));
        assert_eq!(noted.what.chars().count(), 100);
    }
}
