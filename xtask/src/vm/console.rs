//! Messages from the emulated machine to the host, as lines on its console.

use std::fmt;

/// Mark of our lines: the kernel and other programs write to the same console.
const MARK: &str = "@monitor ";

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A scenario begins.
    Began(String),
    /// A check succeeded.
    Seen(String),
    /// What the kernel has, or how a part of the scenario ended: a key and its value.
    Fact(String, String),
    /// The scenario succeeded.
    Passed(String),
    /// The scenario failed, with the reason.
    Failed(String, String),
    /// All scenarios are over.
    Done,
}

impl Line {
    /// Parses a line of the console; `None` for other lines. A kernel message may precede
    /// the message on its line.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (_, text) = text.split_once(MARK)?;
        let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.to_owned();
        Some(match kind {
            "began" => Self::Began(rest),
            "seen" => Self::Seen(rest),
            "fact" => {
                let (key, value) = rest.split_once(' ')?;
                Self::Fact(key.to_owned(), value.to_owned())
            }
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
            // Line breaks become spaces, so that a message is one line.
            Self::Seen(what) => write!(f, "seen {}", what.replace('\n', " | ")),
            Self::Fact(key, value) => write!(f, "fact {key} {value}"),
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
            Line::Fact("dns".to_owned(), "TCX".to_owned()),
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
