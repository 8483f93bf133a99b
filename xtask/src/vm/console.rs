//! What the machine says to whoever started it, as lines on its console.

use std::fmt;

/// Kernel messages and other programs write to the same console.
const MARK: &str = "@monitor ";

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A scenario has begun.
    Began(String),
    /// Something was seen to be as it must be.
    Seen(String),
    /// The scenario that had begun ended well.
    Passed(String),
    /// It did not, and why.
    Failed(String, String),
    /// Every scenario has ended.
    Done,
}

impl Line {
    /// `None` for a line that is not ours. A kernel message may stand before it.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (_, text) = text.split_once(MARK)?;
        let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.to_owned();
        Some(match kind {
            "began" => Self::Began(rest),
            "seen" => Self::Seen(rest),
            "passed" => Self::Passed(rest),
            "failed" => {
                let (scenario, why) = rest.split_once(' ')?;
                Self::Failed(scenario.to_owned(), why.to_owned())
            }
            "done" => Self::Done,
            _ => return None,
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MARK}")?;
        match self {
            Self::Began(scenario) => write!(f, "began {scenario}"),
            // One line, whatever a program printed.
            Self::Seen(what) => write!(f, "seen {}", what.replace('\n', " | ")),
            Self::Passed(scenario) => write!(f, "passed {scenario}"),
            Self::Failed(scenario, why) => {
                write!(f, "failed {scenario} {}", why.replace('\n', " | "))
            }
            Self::Done => f.write_str("done"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written() {
        let lines = [
            Line::Began("wifi".to_owned()),
            Line::Seen("10 of 10 passed".to_owned()),
            Line::Passed("wifi".to_owned()),
            Line::Failed("vlan".to_owned(), "9 of 10".to_owned()),
            Line::Done,
        ];
        for line in lines {
            assert_eq!(Line::read(&line.to_string()), Some(line.clone()));
            let behind = format!("[   12.3] cfg80211: loaded {line}");
            assert_eq!(Line::read(&behind), Some(line));
        }
    }

    #[test]
    fn what_is_written_is_one_line() {
        let line = Line::Failed("load".to_owned(), "it said:\nno\n".to_owned()).to_string();
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn other_lines_are_none() {
        for text in [
            "",
            "[    0.1] Linux version 6.12",
            "@monitor",
            "@monitor hello",
        ] {
            assert_eq!(Line::read(text), None, "{text}");
        }
    }
}
