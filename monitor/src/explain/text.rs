//! Writes the answer of `explain` as text.

use std::fmt;

use super::{Changed, Decision, Explanation, LeftOut, Match, Resting};
use crate::{
    address::DerivedFrom,
    policy::{Action, Direction},
    printable,
};

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = match self.direction {
            Direction::Out => "",
            Direction::In => "packets from ",
        };
        writeln!(
            f,
            "{from}{}: {} ({})",
            self.address,
            self.decision.name(),
            self.decision.meaning()
        )?;
        self.write_matches(f)?;
        for policy in &self.left_out {
            let LeftOut {
                policy,
                prefix,
                source,
                derived,
                changed,
            } = policy;
            writeln!(f, "   left out {policy}  {prefix}  {source}")?;
            write_derived(f, *derived)?;
            writeln!(f, "          overlay: {changed}")?;
        }
        for resting in &self.resting {
            let Resting {
                policy,
                prefix,
                source,
                derived,
                reason,
                until,
            } = resting;
            writeln!(f, "   resting  {policy}  {prefix}  {source}")?;
            write_derived(f, *derived)?;
            write!(f, "          {}", printable::value(reason))?;
            match until {
                Some(until) => writeln!(f, ", until {until}")?,
                None => writeln!(f)?,
            }
        }
        if let Some(winner) = &self.effective {
            let others = self.matches.iter().filter(|found| !found.effective);
            let without = Decision::of(&others.cloned().collect::<Vec<_>>());
            writeln!(
                f,
                "\nwithout {winner}: {} ({})",
                without.name(),
                without.meaning()
            )?;
        }
        writeln!(f)?;
        self.holder.fmt(f)?;
        match &self.rdap {
            Some(answer) => writeln!(f, "{answer}"),
            None => Ok(()),
        }
    }
}

impl Explanation {
    fn write_matches(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |text: fn(&Match) -> usize| self.matches.iter().map(text).max().unwrap_or(0);
        let action = Action::LONGEST_NAME;
        let name = width(|found| found.policy.as_str().len());
        let prefix = width(|found| found.prefix.len());
        for found in &self.matches {
            let mark = if found.effective { "=>" } else { "  " };
            writeln!(
                f,
                "{mark} {:<action$}  {:<name$}  {:<prefix$}  {}",
                found.action, found.policy, found.prefix, found.source
            )?;
            write_derived(f, found.derived)?;
            if found.allow_handshake {
                writeln!(
                    f,
                    "          allow_handshake: TCP segments without data pass, unless another policy drops them"
                )?;
            }
            if let Some(condition) = &found.condition {
                writeln!(f, "          if {condition}")?;
            }
            if let Some(changed) = &found.changed {
                writeln!(f, "          overlay: {changed}")?;
            }
            for changed in &found.by_command {
                writeln!(f, "          by command: {changed}")?;
            }
        }
        Ok(())
    }
}

fn write_derived(f: &mut fmt::Formatter<'_>, derived: Option<DerivedFrom>) -> fmt::Result {
    match derived {
        Some(derived) => writeln!(f, "          {derived}"),
        None => Ok(()),
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.changes, self.source)?;
        match &self.reason {
            Some(reason) => write!(f, ": {}", printable::value(reason)),
            None => Ok(()),
        }
    }
}
