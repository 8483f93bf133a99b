//! Statements about the time stamps of a report.

use jiff::Timestamp;

use super::verify::{REWRITTEN, Statement, Status, Verification};
use crate::{
    clock::to_the_second,
    stamp::{self, Authorities, Stamp, StampError},
};

/// What a statement says about a stamp of an authority that the reader does not trust.
const NOT_TRUSTED: &str = "is not of an authority in the file of --tsa-ca";

/// A stamp beside a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StampFile {
    /// Name of the file, as statements show it.
    pub name: String,
    /// The response of the authority.
    pub response: Vec<u8>,
}

impl Verification {
    /// Adds a statement about each stamp. `authorities` are those that the reader trusts.
    pub fn check_stamps(&mut self, stamps: &[StampFile], authorities: Option<&Authorities>) {
        let trusted = stamps
            .iter()
            .filter_map(|stamp| self.check_stamp(stamp, authorities));
        let trusted: Vec<Timestamp> = trusted.collect();
        let Some(earliest) = trusted.into_iter().min() else {
            return;
        };
        for statement in &mut self.statements {
            // One trusted authority is enough.
            if statement.text.contains(NOT_TRUSTED) {
                statement.status = Status::Unknown;
            }
            if statement.text == REWRITTEN {
                statement.text = format!(
                    "The file cannot show that the gateway wrote the truth between an event and the stamp of {}, or that lines which replaced earlier ones are right.",
                    to_the_second(earliest)
                );
            }
        }
    }

    /// Adds a statement about a stamp. Returns its time if a trusted authority made it of this
    /// head.
    fn check_stamp(
        &mut self,
        file: &StampFile,
        authorities: Option<&Authorities>,
    ) -> Option<Timestamp> {
        let name = &file.name;
        let (Some(head), Some(checkpoint)) = (&self.head, &self.checkpoint) else {
            let text = format!("The stamp {name} was not checked, because the head was changed.");
            self.add(Status::Unknown, text);
            return None;
        };
        let lines = checkpoint.size;
        let stamp = match stamp::open(&file.response, head.as_bytes(), None) {
            Ok(stamp) => stamp,
            Err(StampError::OtherBytes) => {
                let text =
                    format!("The stamp {name} is of another head than the one in this file.");
                self.add(Status::Changed, text);
                return None;
            }
            Err(error) if error.is_unchecked() => {
                let text = format!("The stamp {name} was not checked: {error}.");
                self.add(Status::Unknown, text);
                return None;
            }
            Err(error) => {
                let text = format!("The stamp {name} does not hold: {error}.");
                self.add(Status::Changed, text);
                return None;
            }
        };
        let by = by(&stamp);
        let Some(authorities) = authorities else {
            let text = format!(
                "The stamp {name} is of this head, {by}. Everybody can make such a stamp: only --tsa-ca, with the certificate of the authority's CA, tells whether this one is to be trusted."
            );
            self.add(Status::Unknown, text);
            return None;
        };
        if let Err(error) = stamp.check_authority(authorities) {
            let text = format!("The stamp {name}, {by}, {NOT_TRUSTED}: {error}.");
            self.add(Status::Changed, text);
            return None;
        }
        let text = format!(
            "The authority {:?} stamped this head at {}: the {lines} lines before it existed then, and a later rewriting of them is found.",
            stamp.authority,
            time(&stamp)
        );
        self.add(Status::Holds, text);
        Some(stamp.at)
    }

    /// Adds a statement behind the last one about which something is known.
    fn add(&mut self, status: Status, text: String) {
        self.push(status, text);
        let Some(statement) = self.statements.pop() else {
            return;
        };
        let is_known = |statement: &Statement| statement.status != Status::Unknown;
        let at = self.statements.iter().rposition(is_known);
        self.statements.insert(at.map_or(0, |at| at + 1), statement);
    }
}

fn by(stamp: &Stamp) -> String {
    format!("of {} by {:?}", time(stamp), stamp.authority)
}

fn time(stamp: &Stamp) -> String {
    let at = to_the_second(stamp.at);
    match stamp.accuracy {
        Some(accuracy) if !accuracy.is_zero() => {
            format!("{at} (± {} s)", accuracy.as_secs_f64())
        }
        _ => at,
    }
}
