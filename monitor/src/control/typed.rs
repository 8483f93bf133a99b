//! What an operator types for a change, as the command line and the page read it.

use std::time::Duration;

use crate::address::{Destination, InvalidDestination};

/// The longest time of a change: a leap year.
const LONGEST: Duration = Duration::from_hours(366 * 24);

/// The longest reason, in bytes.
const LONGEST_REASON: usize = 500;

/// Parses the length of a change, such as `10m`.
///
/// # Errors
///
/// Returns what is wrong and how to fix it.
pub fn length(text: &str) -> Result<Duration, String> {
    let length = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write it as 10m, 1h or `2h 30m`"))?;
    if length < Duration::from_secs(1) || length > LONGEST {
        return Err("write a time from 1s to 366d".to_owned());
    }
    Ok(length)
}

/// Parses an address or a CIDR.
///
/// # Errors
///
/// Returns what is wrong and how to fix it.
pub fn destination(text: &str) -> Result<Destination, String> {
    let destination: Destination = text
        .parse()
        .map_err(|error: InvalidDestination| format!("{error}; {}", error.help()))?;
    if !destination.is_one_network() {
        return Err("write one address or one CIDR; a range belongs in a policy file".to_owned());
    }
    Ok(destination)
}

/// Parses a reason that fits into a request.
///
/// # Errors
///
/// Returns how to fix it.
pub fn reason(text: &str) -> Result<String, String> {
    if text.len() > LONGEST_REASON || text.contains(char::is_control) {
        return Err(format!("write one line of at most {LONGEST_REASON} bytes"));
    }
    Ok(text.to_owned())
}
