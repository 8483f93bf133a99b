//! Statements of the operator that two MACs are the same device. A phone gets new MACs
//! after a reset, which no packet shows. So each view says that this is stated, not seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::{devices::mac, policy::MacAddress};

/// Maximum number of statements.
pub const MAX_SAME: usize = 256;

/// A statement that a device changed its MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Same {
    /// The MAC before.
    pub from: MacAddress,
    /// The MAC after.
    pub to: MacAddress,
    /// The day from which the device has the MAC `to`.
    pub since: Date,
}

/// Why a statement is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSame {
    /// Both MACs are equal.
    #[error("`from` and `to` are both {0}; write the MAC before and the MAC after the change")]
    Equal(MacAddress),
    /// A MAC is not the address of one device.
    #[error("{0} is a group address or all zeros; write the MAC of one device")]
    NotADevice(MacAddress),
    /// Earlier statements already say that both are the same device.
    #[error("{from} and {to} are already stated as one device; remove one of the statements")]
    Known {
        /// The MAC before.
        from: MacAddress,
        /// The MAC after.
        to: MacAddress,
    },
    /// An earlier statement already says which MAC the device had before or after.
    #[error(
        "{mac} is already in `{key}` of an earlier statement; a device has one MAC at a time: remove one of the two, or state the next change as `from` the later MAC"
    )]
    Twice {
        /// The MAC.
        mac: MacAddress,
        /// The key that has the MAC in both statements: `from` or `to`.
        key: &'static str,
    },
    /// The change is not between the changes before and after it.
    #[error(
        "the change of {mac} on {other} does not fit to `since: {since}`; write the changes of a device in the order in which they happened, each on a later day"
    )]
    Order {
        /// The MAC that both statements name.
        mac: MacAddress,
        /// The day of this statement.
        since: Date,
        /// The day of the other statement.
        other: Date,
    },
    /// There are too many statements.
    #[error("there are more than {MAX_SAME} statements; remove those of old devices")]
    TooMany,
}

/// A MAC that is stated to be the same device as another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatedSame {
    /// The other MAC.
    pub mac: MacAddress,
    /// The day of the change that leads to the other MAC.
    pub since: Date,
    /// True if the device had the other MAC before that day, false if after.
    pub is_earlier: bool,
}

impl fmt::Display for StatedSame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mac, since, .. } = self;
        let when = if self.is_earlier { "before" } else { "since" };
        write!(f, "{mac} {when} {since}: stated, not seen")
    }
}

/// The valid statements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<Same>")]
pub struct Stated {
    /// The links of each MAC, in both directions.
    links: BTreeMap<MacAddress, Vec<StatedSame>>,
}

impl TryFrom<Vec<Same>> for Stated {
    type Error = String;

    fn try_from(statements: Vec<Same>) -> Result<Self, String> {
        Self::new(&statements).map_err(|invalid| {
            let each = invalid.iter();
            let each = each.map(|(index, why)| format!("statement {}: {why}", index + 1));
            each.collect::<Vec<_>>().join("; ")
        })
    }
}

impl Stated {
    /// Checks the statements. Returns all that are not valid, each with its index.
    pub fn new(statements: &[Same]) -> Result<Self, Vec<(usize, InvalidSame)>> {
        let mut stated = Self::default();
        let mut invalid = Vec::new();
        for (index, same) in statements.iter().enumerate() {
            if index >= MAX_SAME {
                invalid.push((index, InvalidSame::TooMany));
                break;
            }
            if let Err(error) = stated.add(same) {
                invalid.push((index, error));
            }
        }
        if invalid.is_empty() {
            Ok(stated)
        } else {
            Err(invalid)
        }
    }

    /// Returns true if there is no statement.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Returns the other MACs that are stated to be the same device as `mac`, sorted. If
    /// the operator states that A is B and that B is C, then B and C are the others of A.
    #[must_use]
    pub fn others(&self, mac: MacAddress) -> Vec<StatedSame> {
        let mut known = BTreeSet::from([mac]);
        let mut others = Vec::new();
        let mut next = vec![mac];
        while let Some(mac) = next.pop() {
            for link in self.links.get(&mac).into_iter().flatten() {
                if known.insert(link.mac) {
                    others.push(*link);
                    next.push(link.mac);
                }
            }
        }
        others.sort_unstable();
        others
    }

    fn add(&mut self, same: &Same) -> Result<(), InvalidSame> {
        let Same { from, to, since } = *same;
        if let Some(mac) = [from, to].into_iter().find(|mac| !mac::is_device(*mac)) {
            return Err(InvalidSame::NotADevice(mac));
        }
        if from == to {
            return Err(InvalidSame::Equal(from));
        }
        if self.others(from).iter().any(|other| other.mac == to) {
            return Err(InvalidSame::Known { from, to });
        }
        self.check_order(same)?;
        for (mac, other, is_earlier) in [(from, to, false), (to, from, true)] {
            let link = StatedSame {
                mac: other,
                since,
                is_earlier,
            };
            self.links.entry(mac).or_default().push(link);
        }
        Ok(())
    }

    /// Checks the order of the statements. At most one statement may say when a device got a MAC,
    /// and at most one may say when it gave the MAC up, which is on a later day.
    fn check_order(&self, same: &Same) -> Result<(), InvalidSame> {
        let Same { from, to, since } = *same;
        // The device became `from` before this change, and `to` becomes another MAC after it.
        for (mac, key, is_from) in [(from, "from", true), (to, "to", false)] {
            for link in self.links.get(&mac).into_iter().flatten() {
                let other = link.since;
                if link.is_earlier != is_from {
                    return Err(InvalidSame::Twice { mac, key });
                }
                let fits = if is_from {
                    other < since
                } else {
                    since < other
                };
                if !fits {
                    return Err(InvalidSame::Order { mac, since, other });
                }
            }
        }
        Ok(())
    }
}
