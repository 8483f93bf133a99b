//! The only unsafe access to packet memory.

use aya_ebpf::programs::XdpContext;

/// The bytes of one frame, from the Ethernet header on.
pub(crate) struct Frame {
    start: usize,
    end: usize,
}

impl Frame {
    #[inline(always)]
    pub(crate) fn new(ctx: &XdpContext) -> Self {
        Self {
            start: ctx.data(),
            end: ctx.data_end(),
        }
    }

    /// Length in bytes, layer 2 included.
    #[inline(always)]
    pub(crate) fn len(&self) -> u64 {
        (self.end - self.start) as u64
    }

    /// Source MAC in network order, followed by two zero bytes; all zero for a
    /// frame without one, which is never matched.
    #[inline(always)]
    pub(crate) fn source_mac(&self) -> u64 {
        const OFFSET: usize = 6;
        const MAC: u64 = u64::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
        // Eight bytes: the type behind the MAC is always there as well.
        match self.bytes(OFFSET) {
            Some(bytes) => u64::from_ne_bytes(bytes) & MAC,
            None => 0,
        }
    }

    /// The `N` bytes at `offset`, or `None` where the frame ends before them.
    ///
    /// At an offset that is not constant, ask for two bytes at least: the
    /// compiler turns the check for one into a `>=`, from which the verifier
    /// learns nothing (`find_good_pkt_pointers` in `kernel/bpf/verifier.c`).
    #[inline(always)]
    pub(crate) fn bytes<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let at = self.start + offset;
        if at + N > self.end {
            return None;
        }
        // SAFETY: the frame reaches from `start` to `end`, and `at..at + N` was
        // just checked to lie inside; a byte array has no alignment and no
        // invalid values. The verifier proves the same bound once more.
        Some(unsafe { (at as *const [u8; N]).read() })
    }
}
