//! The findings for people, in 80 columns.

use std::fmt::{self, Write as _};

use super::finding::{Diagnosis, Finding, FindingStatus};

/// Width of a line.
const WIDTH: usize = 80;

/// Width of the column of the status, and of that of the check.
const STATUS: usize = 9;
const CHECK: usize = 12;

/// The word for a finding that the operator accepts.
const ACCEPTED: &str = "accepted";

/// The order of the findings: what the operator should read first.
const ORDER: [FindingStatus; 4] = [
    FindingStatus::Blind,
    FindingStatus::Degraded,
    FindingStatus::Unknown,
    FindingStatus::Ok,
];

/// Writes each finding, and a line of sums.
impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sums = Vec::new();
        let accepted: Vec<&Finding> = self
            .checks
            .iter()
            .filter(|finding| is_accepted(finding))
            .collect();
        for status in ORDER {
            if status == FindingStatus::Ok {
                for finding in &accepted {
                    write!(f, "{finding}")?;
                }
            }
            let has_it =
                |finding: &&Finding| finding.remark.status == status && !is_accepted(finding);
            let found: Vec<&Finding> = self.checks.iter().filter(has_it).collect();
            for finding in &found {
                write!(f, "{finding}")?;
            }
            sums.push(format!("{} {}", status.word(), found.len()));
        }
        if !accepted.is_empty() {
            sums.push(format!("{ACCEPTED} {}", accepted.len()));
        }
        writeln!(f, "\n{}", sums.join(", "))
    }
}

fn is_accepted(finding: &Finding) -> bool {
    finding.remark.accepted.is_some()
}

/// Writes the lines of one finding.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remark = &self.remark;
        let status = remark
            .accepted
            .as_ref()
            .map_or(remark.status.word(), |_| ACCEPTED);
        let mut text = String::new();
        let _ = write!(text, "{:STATUS$}{:CHECK$}", status, self.check.name());
        wrap(&mut text, &remark.what);
        let accepted = remark
            .accepted
            .as_ref()
            .map(|reason| format!("{}, accepted: {reason}", remark.status.word()));
        let accepted = accepted.unwrap_or_default();
        for (label, part) in [
            ("why", &remark.why),
            ("fix", &remark.fix),
            ("said", &accepted),
        ] {
            if !part.is_empty() {
                let _ = write!(text, "{:STATUS$}{:>width$}", "", label, width = CHECK - 2);
                text.push_str("  ");
                wrap(&mut text, part);
            }
        }
        f.write_str(&text)
    }
}

/// Appends the words of `part` to a line that has reached the third column. Begins new lines
/// at the same column, so no text from elsewhere can look like a line of this program.
fn wrap(text: &mut String, part: &str) {
    let mut used = STATUS + CHECK;
    for (index, word) in part.split_whitespace().enumerate() {
        let length = word.chars().count();
        if index > 0 && used + 1 + length > WIDTH {
            let _ = write!(text, "\n{:indent$}", "", indent = STATUS + CHECK);
            used = STATUS + CHECK;
        } else if index > 0 {
            text.push(' ');
            used += 1;
        }
        text.push_str(word);
        used += length;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::{CheckName, Remark};

    #[test]
    fn lines_have_80_columns_and_the_worst_comes_first() {
        let fine = Finding {
            check: CheckName::Clock,
            remark: Remark::ok("the clock is synchronised"),
        };
        let long = "a long reason ".repeat(12);
        let blind = Finding {
            check: CheckName::Capability,
            remark: Remark::blind("a thing\nok is missing", long, "mend it"),
        };
        let text = Diagnosis::new(vec![fine, blind]).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "blind    capability  a thing ok is missing");
        assert!(
            lines[1].starts_with("                why  a long reason a long"),
            "{text}"
        );
        assert!(lines[2].starts_with("                     "), "{text}");
        assert!(lines.iter().all(|line| line.len() <= WIDTH), "{text}");
        assert!(text.contains("\n                fix  mend it\n"), "{text}");
        assert!(text.contains("\nok       clock       the clock"), "{text}");
        assert!(
            text.ends_with("\nblind 1, degraded 0, unknown 0, ok 1\n"),
            "{text}"
        );
    }
}
