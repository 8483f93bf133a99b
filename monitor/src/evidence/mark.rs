//! Marks: what the operator did at a time, as the operator states it.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::printable;

/// A mark on the time line. Nothing in it is observed: the operator states it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// What the operator did, such as "cloud backup off".
    pub text: String,
    /// The kind of event.
    pub kind: MarkKind,
    /// Model of the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Firmware of the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// Accounts that are set up on the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounts: Option<String>,
    /// The SIM in the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sim: Option<String>,
    /// When the mark was stored. The store writes it; a mark of an older store has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<Timestamp>,
}

/// The kind of a mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum MarkKind {
    /// From now on, the device lies unused.
    Idle,
    /// From now on, a person uses the device.
    InUse,
    /// A setting was changed.
    SettingChanged,
    /// The device was reset.
    Reset,
    /// The device got another system.
    Reflashed,
    /// Another event.
    #[default]
    Other,
}

impl MarkKind {
    /// The word of JSON and of the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::InUse => "in-use",
            Self::SettingChanged => "setting-changed",
            Self::Reset => "reset",
            Self::Reflashed => "reflashed",
            Self::Other => "other",
        }
    }
}

/// Why a text is no part of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write one line of 1 to {most} bytes without control characters")]
pub struct InvalidMark {
    /// The most bytes.
    pub most: usize,
}

impl Mark {
    /// Longest text in bytes.
    pub const MOST_TEXT: usize = 200;

    /// Longest model, firmware, accounts or SIM in bytes.
    pub const MOST_DETAIL: usize = 80;

    /// Checks the length and the characters of all texts.
    ///
    /// # Errors
    ///
    /// Returns an error if a text is empty, too long, or has control characters.
    pub fn check(&self) -> Result<(), InvalidMark> {
        line(&self.text, Self::MOST_TEXT)?;
        self.details()
            .try_for_each(|(_, detail)| line(detail, Self::MOST_DETAIL))
    }

    /// When the mark was stored, if that is more than a minute from the time `at` that it
    /// states. Then the operator chose the time.
    #[must_use]
    pub fn set_at_another_time(&self, at: Timestamp) -> Option<Timestamp> {
        self.set
            .filter(|set| set.duration_since(at).abs() > SignedDuration::from_mins(1))
    }

    /// What the operator states about the device, each with its key.
    pub fn details(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let details = [
            ("model", &self.model),
            ("firmware", &self.firmware),
            ("accounts", &self.accounts),
            ("sim", &self.sim),
        ];
        let stated = details.into_iter();
        stated.filter_map(|(key, value)| Some((key, value.as_deref()?)))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = printable::value(&self.text);
        write!(f, "mark ({}): \"{text}\"", self.kind.word())?;
        for (key, value) in self.details() {
            write!(f, ", {key} \"{}\"", printable::value(value))?;
        }
        Ok(())
    }
}

/// Checks one line of a mark.
///
/// # Errors
///
/// Returns an error if the text is empty, too long, or has control characters.
pub fn line(text: &str, most: usize) -> Result<(), InvalidMark> {
    let fits = !text.trim().is_empty() && text.len() <= most;
    if fits && !text.contains(printable::acts) {
        Ok(())
    } else {
        Err(InvalidMark { most })
    }
}
