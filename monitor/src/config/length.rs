//! Lengths of time.

use std::time::Duration;

use serde::Deserialize;

/// A length of time, such as `7d` or `12h 30m`; at least a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Length(Duration);

impl Length {
    pub(super) const fn duration(self) -> Duration {
        self.0
    }
}

impl TryFrom<String> for Length {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let length = humantime::parse_duration(&text)
            .map_err(|error| format!("{error}; write a time such as 7d or 12h"))?;
        if length < Duration::from_secs(1) {
            return Err("write a time of at least 1s".to_owned());
        }
        Ok(Self(length))
    }
}
