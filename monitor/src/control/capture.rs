//! The messages of a capture.
//!
//! The daemon answers [`Request::Capture`](super::Request::Capture) with a line of JSON, as
//! every request. If that is [`Answer::Capturing`](super::Answer::Capturing), messages follow:
//!
//! ```text
//! kind      1 byte: one of the KIND_* constants
//! length    4 bytes, little endian
//! content   `length` bytes: blocks of pcapng, or JSON
//! ```
//!
//! The client may send [`FromClient::Stop`] at any time, also before the first answer. After
//! [`KIND_END`], it sends [`FromClient::Written`], and the daemon answers with [`KIND_STORED`].

use std::{
    fmt,
    io::{self, Read},
};

use serde::{Deserialize, Serialize};

use crate::{
    evidence::captured::{CaptureFile, content},
    policy::PolicyName,
};

/// The content is whole blocks of a pcapng file.
pub const KIND_BLOCKS: u8 = b'b';
/// The content is [`CaptureProgress`].
pub const KIND_PROGRESS: u8 = b'p';
/// The content is a line of text for the operator.
pub const KIND_NOTE: u8 = b'n';
/// The capture ended. The content is [`Captured`](crate::evidence::captured::Captured).
pub const KIND_END: u8 = b'e';
/// The daemon has stored the end. The content is [`CaptureStored`].
pub const KIND_STORED: u8 = b's';

/// The longest content of a message, in bytes.
pub const MAX_CONTENT: u32 = 1 << 20;

pub use crate::evidence::captured::LONGEST_CAPTURE;

/// The smallest and the largest limit of the file of a capture, in bytes.
pub const CAPTURE_SIZES: std::ops::RangeInclusive<u64> = (64 << 10)..=(1 << 30);

/// A request to capture the packets of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskedCapture {
    /// Name of the policy.
    pub policy: PolicyName,
    /// How long, seconds.
    pub seconds: u64,
    /// The largest size of the file, bytes.
    pub max: u64,
    /// True to capture whole frames, false to capture headers only.
    pub payload: bool,
}

/// A capture that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningCapture {
    /// Name of the policy.
    pub policy: PolicyName,
    /// True if whole frames are captured, false if only headers.
    pub payload: bool,
    /// Begin (RFC 3339).
    pub since: String,
    /// Time at which it ends by itself (RFC 3339).
    pub ends: String,
    /// What was captured until now.
    #[serde(flatten)]
    pub progress: CaptureProgress,
    /// What the operator should know at the begin, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl fmt::Display for RunningCapture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = content(self.payload);
        let CaptureProgress {
            packets,
            bytes,
            lost,
        } = self.progress;
        write!(
            f,
            "capture {} ({content}) since {}, until {}: {packets} packets, {bytes} bytes, {lost} lost",
            self.policy, self.since, self.ends
        )
    }
}

/// What a capture has captured until now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureProgress {
    /// Packets written for the client.
    pub packets: u64,
    /// Size of the file, bytes.
    pub bytes: u64,
    /// Packets that found no room.
    pub lost: u64,
}

/// A line of JSON from the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum FromClient {
    /// End the capture now.
    Stop {},
    /// End the capture now, because the client cannot write its file.
    Failed {},
    /// The client has written what it could.
    Written(ClientFile),
}

/// What the client states about its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum ClientFile {
    /// SHA-256 of the file, hexadecimal. The client read it again after it was on the disk.
    Disk(String),
    /// SHA-256 of the bytes that the client wrote to standard output.
    Pipe(String),
    /// The client could not write all of it.
    Incomplete {},
}

impl ClientFile {
    /// What became of the file. `sent` is the SHA-256 of what the daemon sent.
    #[must_use]
    pub fn compared(&self, sent: &str) -> CaptureFile {
        match self {
            Self::Disk(own) if own == sent => CaptureFile::Written,
            Self::Pipe(own) if own == sent => CaptureFile::Piped,
            Self::Disk(_) | Self::Pipe(_) => CaptureFile::Differs,
            Self::Incomplete {} => CaptureFile::Incomplete,
        }
    }
}

/// Says whether the end of a capture is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureStored {
    /// What became of the file, as the daemon understood the client.
    pub file: CaptureFile,
    /// Why it is not stored; `None` if it is.
    pub error: Option<String>,
}

/// The head and the content of a message.
///
/// # Panics
///
/// Panics if the content has 4 GiB or more.
#[must_use]
pub fn message(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("messages are short");
    let mut message = Vec::with_capacity(content.len() + 5);
    message.push(kind);
    message.extend(length.to_le_bytes());
    message.extend(content);
    message
}

/// A message with JSON.
///
/// # Errors
///
/// Returns an error if the value is not JSON.
pub fn json_message(kind: u8, value: &impl Serialize) -> io::Result<Vec<u8>> {
    Ok(message(kind, &serde_json::to_vec(value)?))
}

/// Reads a message: its kind and its content.
///
/// # Errors
///
/// Returns the error of the system, or says that the message is too long.
pub fn read_message(stream: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let [kind, length @ ..] = head;
    let length = u32::from_le_bytes(length);
    if length > MAX_CONTENT {
        let why = "a message of the daemon is too long";
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let mut content = vec![0; length as usize];
    stream.read_exact(&mut content)?;
    Ok((kind, content))
}
