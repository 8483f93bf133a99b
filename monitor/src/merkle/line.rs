//! Lines of the log.

use serde::{Deserialize, Serialize};

/// Length of the random salt of a line, in bytes. Once the salt is erased, the text of the line
/// cannot be guessed from its hash.
pub const SALT_BYTES: usize = 16;

/// A line as text is not a line of this program.
#[derive(Debug, thiserror::Error)]
#[error("this is not a line of the log: {0}")]
pub struct InvalidLine(#[from] serde_json::Error);

/// A line of the log with its salt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The line.
    #[serde(flatten)]
    pub line: Line,
    /// Random bytes, hexadecimal.
    pub salt: String,
}

impl Entry {
    /// A line with this salt.
    #[must_use]
    pub fn new(line: Line, salt: [u8; SALT_BYTES]) -> Self {
        Self {
            line,
            salt: hex::encode(salt),
        }
    }

    /// The text over which the hash of the leaf goes.
    ///
    /// # Errors
    ///
    /// Returns an error if a field cannot be written as JSON.
    pub fn to_text(&self) -> Result<String, InvalidLine> {
        Ok(serde_json::to_string(self)?)
    }

    /// Reads the text of a line.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is no line of this program.
    pub fn read(text: &str) -> Result<Self, InvalidLine> {
        Ok(serde_json::from_str(text)?)
    }
}

/// What a line states. Times are RFC 3339, to the second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Line {
    /// The log began.
    Began {
        /// Time by the gateway's clock.
        at: String,
    },
    /// The stored packets of a device in an interval. A later line about the same device and
    /// begin takes its place.
    Packets {
        /// Begin of the interval. It contains the last packet of each row.
        since: String,
        /// Length of the interval in seconds.
        seconds: i64,
        /// MAC of the device; `None` for all devices beyond the limits of the store.
        device: Option<String>,
        /// Sums by the list of policies that matched, sorted by list.
        sums: Vec<SumOfList>,
        /// Number of rows.
        rows: u64,
        /// SHA-256 over the rows, hexadecimal.
        sha256: String,
    },
    /// A claim about a name was stored.
    Claim {
        /// Time at which it was stored, by the gateway's clock.
        at: String,
        /// MAC of the device.
        device: String,
        /// Destination address.
        destination: String,
        /// Protocol number (IANA).
        protocol: u8,
        /// Destination port; 0 if there is none to read.
        port: u16,
        /// How the name was learnt, as a word such as `dns`.
        how: String,
        /// The name.
        name: String,
    },
    /// An event about the evidence was stored, such as a mark of the operator.
    Event {
        /// Time of the event.
        at: String,
        /// MAC of the device; `None` for an event about all devices.
        device: Option<String>,
        /// The event as JSON.
        event: String,
    },
    /// A report was made.
    Report {
        /// Time by the gateway's clock.
        at: String,
        /// Form of the file, as a word such as `html`.
        format: String,
        /// SHA-256 of the file without its proof, hexadecimal.
        sha256: String,
    },
    /// Lines about a device were erased. Their hashes stay.
    Forgotten {
        /// Time by the gateway's clock.
        at: String,
        /// Number of erased lines.
        lines: u64,
    },
}

/// Sums of the packets that a list of policies matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SumOfList {
    /// Every policy that matched; the effective policy is the first.
    pub policies: Vec<String>,
    /// Packets, dropped ones included.
    pub packets: u64,
    /// Bytes of these packets on the wire, layer 2 included.
    pub bytes: u64,
    /// Packets among them that were dropped.
    pub dropped: u64,
}
