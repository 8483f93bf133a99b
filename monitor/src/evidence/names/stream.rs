//! Reassembles the first sampled bytes of one direction of a TCP connection.

use super::fragments::Fragments;

/// Maximum number of samples of one connection.
pub const MAX_SAMPLES: u8 = 4;

/// Maximum number of bytes kept of one connection.
pub const MAX_BYTES: usize = 4096;

/// A segment farther than this from the first sample, in bytes, belongs to another
/// connection that uses the same ports. Four packets that the kernel merged to 64 KiB each
/// are nearer.
const MAX_DISTANCE: u32 = 1 << 20;

/// The first sampled bytes of one direction of a TCP connection.
///
/// Positions count from the first sampled byte. They are negative for bytes that the
/// device sent before it.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Sequence number of position 0.
    base: u32,
    fragments: Fragments,
    /// Position of the first byte of each segment, sorted.
    starts: Vec<i64>,
    samples: u8,
    closed: bool,
}

impl Stream {
    /// Creates a stream whose first sampled byte has sequence number `base`.
    #[must_use]
    pub fn new(base: u32) -> Self {
        Self {
            base,
            fragments: Fragments::new(MAX_SAMPLES.into(), MAX_BYTES),
            starts: Vec::new(),
            samples: 0,
            closed: false,
        }
    }

    /// Sequence number of position 0.
    #[must_use]
    pub const fn base(&self) -> u32 {
        self.base
    }

    /// Returns true if a segment that begins with sequence number `sequence` can belong to
    /// this connection.
    #[must_use]
    pub const fn is_near(&self, sequence: u32) -> bool {
        self.position(sequence).unsigned_abs() <= MAX_DISTANCE as u64
    }

    /// Adds a segment whose first byte has sequence number `sequence` (RFC 9293, section
    /// 3.4). Returns the number of bytes that found no room. A closed stream needs no
    /// bytes and takes none.
    pub fn add(&mut self, sequence: u32, payload: &[u8]) -> usize {
        if self.closed {
            return 0;
        }
        let start = self.position(sequence);
        self.samples = self.samples.saturating_add(1);
        if let Err(index) = self.starts.binary_search(&start)
            && self.samples <= MAX_SAMPLES
        {
            self.starts.insert(index, start);
        }
        self.fragments.add(start, payload)
    }

    const fn position(&self, sequence: u32) -> i64 {
        sequence.wrapping_sub(self.base).cast_signed() as i64
    }

    /// Returns the positions of the first bytes of the segments, sorted.
    #[must_use]
    pub fn starts(&self) -> &[i64] {
        &self.starts
    }

    /// Returns the bytes from position `start` up to the first gap.
    #[must_use]
    pub fn from(&self, start: i64) -> Vec<u8> {
        self.fragments.from(start)
    }

    /// Returns true if the stream takes no further samples.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.samples >= MAX_SAMPLES || self.fragments.held() >= MAX_BYTES
    }

    /// Discards all bytes. Keeps the sequence number, so that later segments of the
    /// connection are recognised.
    pub fn close(&mut self) {
        let closed = Self {
            closed: true,
            ..Self::new(self.base)
        };
        *self = closed;
    }

    /// Returns true if the stream was closed.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Number of bytes kept.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.fragments.held()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Adds each segment and returns the bytes from the lowest position on.
    fn reassemble(base: u32, segments: &[(u32, &[u8])]) -> Vec<u8> {
        let mut stream = Stream::new(base);
        for (sequence, payload) in segments {
            stream.add(*sequence, payload);
        }
        let lowest = stream.starts().first().copied().unwrap_or_default();
        stream.from(lowest)
    }

    #[test]
    fn segments_are_joined_in_any_order_and_across_the_wrap_of_sequence_numbers() {
        let [a, b, c]: [(u32, &[u8]); 3] = [(u32::MAX - 1, b"abc"), (1, b"def"), (4, b"gh")];
        let orders = [
            [a, b, c],
            [a, c, b],
            [b, a, c],
            [b, c, a],
            [c, a, b],
            [c, b, a],
        ];
        for segments in orders {
            assert_eq!(reassemble(segments[0].0, &segments), b"abcdefgh");
        }
    }

    #[test]
    fn a_retransmission_changes_nothing() {
        let segments: [(u32, &[u8]); 3] = [(7, b"abcd"), (5, b"xyXYef"), (7, b"1234")];
        assert_eq!(reassemble(7, &segments), b"xyabcd");
        let segments: [(u32, &[u8]); 2] = [(7, b"abcd"), (9, b"XYef")];
        assert_eq!(reassemble(7, &segments), b"abcdef");
    }

    #[test]
    fn four_samples_or_4096_bytes_fill_a_stream() {
        let mut stream = Stream::new(0);
        assert_eq!(stream.add(0, &[1; 4000]), 0);
        assert!(!stream.is_full());
        assert_eq!(stream.add(4000, &[1; 100]), 4);
        assert!(stream.is_full());

        let mut stream = Stream::new(0);
        for sequence in [0, 10, 20, 30] {
            assert!(!stream.is_full());
            assert_eq!(stream.add(sequence, b"a"), 0);
        }
        assert!(stream.is_full());
        assert_eq!(stream.add(40, b"a"), 1);
        assert_eq!(stream.starts(), [0, 10, 20, 30]);
    }

    #[test]
    fn a_far_segment_belongs_to_another_connection() {
        let stream = Stream::new(5);
        assert!(stream.is_near(5 + MAX_DISTANCE));
        assert!(stream.is_near(5u32.wrapping_sub(MAX_DISTANCE)));
        assert!(!stream.is_near(6 + MAX_DISTANCE));
        assert!(!stream.is_near(5 + (1 << 31)));
    }

    #[test]
    fn a_closed_stream_holds_no_bytes() {
        let mut stream = Stream::new(5);
        stream.add(5, b"secret");
        stream.close();
        stream.add(11, b"more");
        assert_eq!((stream.held(), stream.from(0)), (0, Vec::new()));
        assert!(stream.is_closed() && stream.is_near(5));
    }

    proptest! {
        #[test]
        fn the_bounds_hold(
            base in any::<u32>(),
            segments in prop::collection::vec((any::<u32>(), 0..2000usize), 0..12),
        ) {
            let mut stream = Stream::new(base);
            for (sequence, length) in segments {
                stream.add(sequence, &vec![7; length]);
                prop_assert!(stream.held() <= MAX_BYTES);
                prop_assert!(stream.starts().len() <= usize::from(MAX_SAMPLES));
                prop_assert!(stream.starts().is_sorted());
            }
        }
    }
}
