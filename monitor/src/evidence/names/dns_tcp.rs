//! Puts DNS messages together that a server sends over TCP (RFC 1035, section 4.2.2). Each
//! message follows its length, two bytes in network order.
//!
//! The caller gives copies of the segments from servers to devices, in any order. The
//! stream begins with the first segment that is seen, or with an earlier one that begins
//! like an answer.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::{SignedDuration, Timestamp};

use crate::policy::MacAddress;

mod stream;

use stream::Stream;

/// Maximum number of streams.
pub const MAX_STREAMS: usize = 64;

/// Maximum number of streams of one device.
pub const MAX_STREAMS_OF_DEVICE: usize = 8;

/// Maximum number of bytes that a stream keeps.
pub const MAX_BYTES: usize = 16 << 10;

/// A stream without a segment for this long is removed.
const IDLE: SignedDuration = SignedDuration::from_secs(30);

/// Identifies a TCP connection, seen from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    /// Destination MAC of the segments.
    pub device: MacAddress,
    /// Source address of the segments.
    pub server: IpAddr,
    /// Destination port of the segments.
    pub client_port: u16,
    /// Source port of the segments.
    pub server_port: u16,
}

/// Payload of a TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Sequence number of the first byte.
    pub sequence: u32,
    /// The bytes that were copied.
    pub payload: &'a [u8],
    /// True if the segment has more bytes than were copied.
    pub cut: bool,
}

/// A DNS message without its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamMessage {
    /// The message, or its beginning.
    pub bytes: Vec<u8>,
    /// True if the end of the message is missing.
    pub cut: bool,
}

/// Numbers of what the streams lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamLosses {
    /// Streams that were removed or restarted before their bytes made a whole message.
    pub unfinished: u64,
    /// Bytes that found no room in their stream.
    pub bytes: u64,
    /// Messages whose end is missing.
    pub cut: u64,
}

/// The streams of all devices.
///
/// A device has at most [`MAX_STREAMS_OF_DEVICE`] streams. If there is no room, a stream
/// of the device with the most streams is removed, the one that is idle the longest.
#[derive(Debug, Default)]
pub struct DnsStreams {
    streams: BTreeMap<StreamKey, Stream>,
    losses: StreamLosses,
}

impl DnsStreams {
    /// Takes a segment. Returns the messages that it completes, in the order of the
    /// stream.
    pub fn take(
        &mut self,
        key: StreamKey,
        segment: Segment<'_>,
        now: Timestamp,
    ) -> Vec<StreamMessage> {
        if segment.payload.is_empty() {
            return Vec::new();
        }
        self.remove_idle(now);
        if !self.streams.contains_key(&key) {
            self.make_room(key.device);
        }
        let stream = self
            .streams
            .entry(key)
            .or_insert_with(|| Stream::new(segment.sequence, now));
        stream.take(segment, now, &mut self.losses)
    }

    /// Removes the streams of a device.
    pub fn forget(&mut self, device: MacAddress) {
        self.streams.retain(|key, _| key.device != device);
    }

    /// Returns the number of streams.
    #[must_use]
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Returns true if there is no stream.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Returns what was lost since the start.
    #[must_use]
    pub fn losses(&self) -> StreamLosses {
        self.losses
    }

    fn remove_idle(&mut self, now: Timestamp) {
        let losses = &mut self.losses;
        self.streams.retain(|_, stream| {
            let kept = now.duration_since(stream.last()) < IDLE;
            losses.unfinished += u64::from(!kept && stream.is_unfinished());
            kept
        });
    }

    fn make_room(&mut self, device: MacAddress) {
        let mut counts = BTreeMap::<MacAddress, usize>::new();
        for key in self.streams.keys() {
            *counts.entry(key.device).or_default() += 1;
        }
        if counts.get(&device).copied() >= Some(MAX_STREAMS_OF_DEVICE) {
            self.remove_oldest(device);
        } else if self.streams.len() >= MAX_STREAMS {
            let most = counts.iter().max_by_key(|(_, count)| **count);
            if let Some((device, _)) = most {
                self.remove_oldest(*device);
            }
        }
    }

    fn remove_oldest(&mut self, device: MacAddress) {
        let oldest = self
            .streams
            .iter()
            .filter(|(key, _)| key.device == device)
            .min_by_key(|(_, stream)| stream.last())
            .map(|(key, _)| *key);
        let removed = oldest.and_then(|key| self.streams.remove(&key));
        self.losses.unfinished += u64::from(removed.is_some_and(|stream| stream.is_unfinished()));
    }
}

#[cfg(test)]
mod tests;
