//! The only unsafe access to packet memory.

use core::arch::asm;

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
        // Eight bytes: the type behind the MAC is always there as well.
        let Some(words) = self.words::<2>(OFFSET) else {
            return 0;
        };
        let [first, second] = words.map(u32::to_ne_bytes);
        u64::from_ne_bytes([
            first[0], first[1], first[2], first[3], second[0], second[1], 0, 0,
        ])
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

    /// The `N` words of 32 bits at `offset`, as they are in memory, or `None` where
    /// the frame ends before them. Of those that are not used none is read.
    ///
    /// The offset is two more than a multiple of four, as it is of all in an IP
    /// header: where the processor wants words aligned, packets begin two bytes
    /// behind such a multiple (`NET_IP_ALIGN`), and the verifier counts on it.
    #[inline(always)]
    pub(crate) fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        const SIZE: usize = size_of::<u32>();
        let at = self.start + offset;
        if at + N * SIZE > self.end {
            return None;
        }
        // SAFETY: all words lie inside, as was just checked.
        Some(core::array::from_fn(|index| unsafe {
            load(at + index * SIZE)
        }))
    }
}

/// The word at an address, in one access. The compiler does not know how a packet
/// is aligned, and would take it byte by byte.
///
/// # Safety
///
/// The four bytes lie in the frame.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a word was loaded")]
unsafe fn load(at: usize) -> u32 {
    let word: u64;
    // SAFETY: as the caller promises; nothing else is read, and nothing written.
    unsafe {
        asm!(
            "{word} = *(u32 *)({at} + 0)",
            at = in(reg) at,
            word = lateout(reg) word,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    word as u32
}
