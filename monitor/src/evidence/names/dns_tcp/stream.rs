//! Puts the segments of one stream in order and splits the stream into messages.

use std::ops::Range;

use jiff::{SignedDuration, Timestamp};

use super::{MAX_BYTES, Segment, StreamLosses, StreamMessage};

/// Maximum number of separate ranges of bytes that a stream keeps.
const MAX_RANGES: usize = 64;

/// Maximum number of parts of the stream that were read before the bytes in front of them.
const MAX_DONE: usize = 16;

/// Maximum length of a message with its two bytes of length.
const LONGEST: i64 = 65_537;

/// Length of the header of a DNS message.
const HEADER: usize = 12;

/// A stream that waits for a missing segment this long starts again at the next segment
/// that begins like an answer.
const PATIENCE: SignedDuration = SignedDuration::from_secs(2);

#[derive(Debug)]
pub(super) struct Stream {
    /// Sequence number of the first byte of `buffer`. A message begins there.
    start: u32,
    /// Sequence number of the first byte that was read without a gap up to `start`.
    origin: u32,
    /// Parts behind `start` that were read already: first sequence number, and the one
    /// after the last.
    done: Vec<(u32, u32)>,
    /// True if a message was found at `origin`.
    confirmed: bool,
    /// Bytes from `start`. Those outside of `known` are not valid.
    buffer: Vec<u8>,
    /// Ranges of `buffer` that were received: sorted, not empty, not adjacent.
    known: Vec<Range<usize>>,
    /// Places in `buffer` where a copied segment ends before the real one.
    cuts: Vec<usize>,
    /// Time since which the bytes in `buffer` wait for others.
    waiting: Option<Timestamp>,
    last: Timestamp,
}

impl Stream {
    pub(super) fn new(start: u32, now: Timestamp) -> Self {
        Self {
            start,
            origin: start,
            done: Vec::new(),
            confirmed: false,
            buffer: Vec::new(),
            known: Vec::new(),
            cuts: Vec::new(),
            waiting: None,
            last: now,
        }
    }

    pub(super) fn last(&self) -> Timestamp {
        self.last
    }

    pub(super) fn is_unfinished(&self) -> bool {
        !self.known.is_empty()
    }

    pub(super) fn take(
        &mut self,
        segment: Segment<'_>,
        now: Timestamp,
        losses: &mut StreamLosses,
    ) -> Vec<StreamMessage> {
        self.last = now;
        let impatient = self
            .waiting
            .is_some_and(|since| now.duration_since(since) >= PATIENCE);
        if self.is_elsewhere(segment) || (impatient && begins_like_an_answer(segment.payload)) {
            losses.unfinished += u64::from(self.is_unfinished());
            *self = Self::new(segment.sequence, now);
        }
        self.insert(segment, losses);
        let messages = self.messages(losses);
        if self.known.is_empty() {
            self.waiting = None;
        } else if self.waiting.is_none() || !messages.is_empty() {
            self.waiting = Some(now);
        }
        messages
    }

    #[cfg(test)]
    pub(super) fn is_within_bounds(&self) -> bool {
        let ends = self.known.iter().map(|range| range.start..range.end);
        self.buffer.capacity() <= 2 * MAX_BYTES
            && self.known.len() <= MAX_RANGES
            && self.cuts.len() <= MAX_RANGES
            && self.done.len() <= MAX_DONE
            && ends
                .clone()
                .all(|range| range.start < range.end && range.end <= self.buffer.len())
            && ends
                .clone()
                .zip(ends.skip(1))
                .all(|(one, next)| one.end < next.start)
    }

    /// Returns the place of a sequence number, seen from the start.
    fn offset(&self, sequence: u32) -> i64 {
        i64::from(sequence.wrapping_sub(self.start).cast_signed())
    }

    /// Returns true if the segment belongs to another connection with the same ports, or
    /// to a part of the stream that cannot be reached.
    fn is_elsewhere(&self, segment: Segment<'_>) -> bool {
        let offset = self.offset(segment.sequence);
        offset < -LONGEST || usize::try_from(offset).is_ok_and(|offset| offset >= MAX_BYTES)
    }

    fn insert(&mut self, segment: Segment<'_>, losses: &mut StreamLosses) {
        let mut payload = segment.payload;
        let mut offset = self.offset(segment.sequence);
        if offset < self.offset(self.origin) {
            if self.move_start(segment.sequence) {
                offset = 0;
            } else {
                losses.bytes += payload.len() as u64;
                return;
            }
        }
        if let Ok(old) = usize::try_from(-offset) {
            payload = payload.get(old..).unwrap_or_default();
            offset = 0;
        }
        let begin = usize::try_from(offset).unwrap_or_default();
        let room = MAX_BYTES.saturating_sub(begin);
        let kept = payload.get(..room).unwrap_or(payload);
        losses.bytes += (payload.len() - kept.len()) as u64;
        if kept.is_empty() {
            return;
        }
        let end = begin + kept.len();
        if !self.add(begin, kept) {
            losses.bytes += kept.len() as u64;
        } else if segment.cut && self.cuts.len() < MAX_RANGES {
            self.cuts.push(end);
        }
    }

    /// Moves the start to a sequence number before the origin. Returns false if the bytes
    /// would need too much room.
    fn move_start(&mut self, start: u32) -> bool {
        let distance = usize::try_from(-self.offset(start)).unwrap_or(usize::MAX);
        if distance > MAX_BYTES.saturating_sub(self.buffer.len()) {
            return false;
        }
        if self.origin != self.start {
            if self.done.len() >= MAX_DONE {
                return false;
            }
            self.done.push((self.origin, self.start));
        }
        self.buffer.splice(..0, std::iter::repeat_n(0, distance));
        for range in &mut self.known {
            *range = range.start + distance..range.end + distance;
        }
        for cut in &mut self.cuts {
            *cut += distance;
        }
        self.start = start;
        self.origin = start;
        self.confirmed = false;
        true
    }

    /// Adds bytes at `begin`. Bytes that were received before stay as they are. Returns
    /// false if there are too many ranges.
    fn add(&mut self, begin: usize, bytes: &[u8]) -> bool {
        let end = begin + bytes.len();
        let first = self.known.partition_point(|range| range.end < begin);
        let after = self.known.partition_point(|range| range.start <= end);
        if first == after && self.known.len() >= MAX_RANGES {
            return false;
        }
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        let mut joined = begin..end;
        let mut place = begin;
        for range in self.known.drain(first..after) {
            copy(&mut self.buffer, begin, bytes, place..range.start);
            place = place.max(range.end);
            joined = joined.start.min(range.start)..joined.end.max(range.end);
        }
        copy(&mut self.buffer, begin, bytes, place..end);
        self.known.insert(first, joined);
        true
    }

    /// Takes the messages from the beginning of the buffer.
    fn messages(&mut self, losses: &mut StreamLosses) -> Vec<StreamMessage> {
        let mut messages = Vec::new();
        loop {
            let length = self.read(&mut messages, losses);
            self.remove_before(length);
            if !self.skip_done() {
                return messages;
            }
        }
    }

    /// Reads the messages from the beginning of the buffer. Returns their length in bytes.
    fn read(&mut self, messages: &mut Vec<StreamMessage>, losses: &mut StreamLosses) -> usize {
        let known = match self.known.first() {
            Some(range) if range.start == 0 => range.end,
            _ => return 0,
        };
        let mut begin = 0;
        while let Some((length, rest)) = self
            .buffer
            .get(begin..known)
            .and_then(<[u8]>::split_first_chunk)
        {
            let length = usize::from(u16::from_be_bytes(*length));
            let message = rest.get(..length);
            let lost = known == MAX_BYTES || self.cuts.contains(&known);
            if message.is_none() && !lost {
                break;
            }
            let bytes = message.unwrap_or(rest);
            let is_answer = is_answer(bytes);
            if !is_answer && !self.confirmed {
                break;
            }
            self.confirmed = true;
            losses.cut += u64::from(message.is_none());
            if is_answer {
                messages.push(StreamMessage {
                    bytes: bytes.to_vec(),
                    cut: message.is_none(),
                });
            }
            begin += 2 + length;
        }
        begin
    }

    /// Skips a part at the start that was read already. Returns false if there is none.
    fn skip_done(&mut self) -> bool {
        let start = self.start;
        let place = self.done.iter().position(|(begin, _)| *begin == start);
        let Some((begin, end)) = place.map(|place| self.done.swap_remove(place)) else {
            return false;
        };
        self.remove_before(usize::try_from(end.wrapping_sub(begin)).unwrap_or(usize::MAX));
        true
    }

    /// Removes the first `length` bytes. The buffer may have fewer bytes.
    fn remove_before(&mut self, length: usize) {
        let within = length.min(self.buffer.len());
        self.buffer.drain(..within);
        self.known.retain(|range| range.end > length);
        for range in &mut self.known {
            *range = range.start.saturating_sub(length)..range.end - length;
        }
        self.cuts.retain(|cut| *cut > length);
        for cut in &mut self.cuts {
            *cut -= length;
        }
        // A message has fewer bytes than 2^32.
        let length = u32::try_from(length).unwrap_or_default();
        self.start = self.start.wrapping_add(length);
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
        }
    }
}

/// Copies the part of `bytes` that belongs to `part` of the buffer. `bytes` begins at
/// `begin` of the buffer.
fn copy(buffer: &mut [u8], begin: usize, bytes: &[u8], part: Range<usize>) {
    if part.start >= part.end {
        return;
    }
    let source = bytes.get(part.start.saturating_sub(begin)..part.end.saturating_sub(begin));
    if let (Some(target), Some(source)) = (buffer.get_mut(part), source) {
        target.copy_from_slice(source);
    }
}

/// Returns true if the bytes have the header of an answer to one question.
fn is_answer(message: &[u8]) -> bool {
    match message.first_chunk::<HEADER>() {
        Some(header) => header[2] & 0xf8 == 0x80 && header[4..6] == [0, 1],
        None => false,
    }
}

/// Returns true if the bytes begin with a length and the header of an answer.
fn begins_like_an_answer(payload: &[u8]) -> bool {
    payload
        .split_first_chunk()
        .is_some_and(|(length, message)| {
            usize::from(u16::from_be_bytes(*length)) >= HEADER && is_answer(message)
        })
}
