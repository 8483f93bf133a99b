//! Access to the bytes of a frame. All unsafe uses of packet memory are here.

use core::arch::asm;

use crate::verifier::masked;

/// The bytes of one frame, from the Ethernet header on.
pub(crate) struct Frame {
    start: usize,
    end: usize,
}

impl Frame {
    /// The frame between two addresses of packet memory.
    #[inline(always)]
    pub(crate) const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// Length of the bytes that the program can read.
    #[inline(always)]
    pub(crate) fn captured(&self) -> u64 {
        (self.end - self.start) as u64
    }

    /// Source MAC in network order, followed by two zero bytes. Zero if the frame is too
    /// short to have one; such a frame never matches.
    #[inline(always)]
    pub(crate) fn source_mac(&self) -> u64 {
        const OFFSET: usize = 6;
        // Eight bytes, two more than the MAC: the EtherType behind it is read too.
        let Some(words) = self.words::<2>(OFFSET) else {
            return 0;
        };
        let [first, second] = words.map(u32::to_ne_bytes);
        u64::from_ne_bytes([
            first[0], first[1], first[2], first[3], second[0], second[1], 0, 0,
        ])
    }

    /// Destination MAC, as [`Self::source_mac`].
    #[inline(always)]
    pub(crate) fn destination_mac(&self) -> u64 {
        let Some(mac) = self.bytes::<6>(0) else {
            return 0;
        };
        u64::from_ne_bytes([mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], 0, 0])
    }

    /// The `N` bytes at `offset`, or `None` if the frame is shorter.
    ///
    /// At an offset that is not constant, `N` must be 2 or more: the compiler turns the
    /// check for one byte into a `>=`, from which the verifier learns nothing
    /// (`find_good_pkt_pointers` in `kernel/bpf/verifier.c`).
    #[inline(always)]
    pub(crate) fn bytes<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let at = self.start + offset;
        if at + N > self.end {
            return None;
        }
        // SAFETY: the frame reaches from `start` to `end`, and `at..at + N` was
        // just checked to lie inside. A byte array has no alignment and no
        // invalid values. The verifier proves the same bound again.
        Some(unsafe { (at as *const [u8; N]).read() })
    }

    /// Writes `N` bytes at `offset`, which is at most 2,047; `None` if the frame is shorter. As
    /// for [`bytes`](Self::bytes), `N` must be 2 or more.
    #[inline(always)]
    pub(crate) fn write<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) -> Option<()> {
        let at = self.start + apart(offset);
        if at + N > self.end {
            return None;
        }
        // SAFETY: as in `bytes`. No reference to packet memory exists, because reads copy.
        unsafe { (at as *mut [u8; N]).write(bytes) };
        Some(())
    }

    /// The `N` words of 32 bits at `offset`, in network order, or `None` if the frame is
    /// shorter. Words that the caller does not use are not read.
    ///
    /// `offset` must be two more than a multiple of four. All words of an IP header have
    /// such offsets. On processors that need aligned words, packets begin two bytes
    /// behind a multiple of four (`NET_IP_ALIGN`), and the verifier assumes that.
    #[inline(always)]
    pub(crate) fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        const SIZE: usize = size_of::<u32>();
        let at = self.start + offset;
        if at + N * SIZE > self.end {
            return None;
        }
        // SAFETY: all words lie inside the frame, as was just checked.
        Some(core::array::from_fn(|index| unsafe {
            load(at + index * SIZE)
        }))
    }
}

/// The offset, at most 2,047, computed at this place. Otherwise the compiler checks one pointer
/// and uses another one, and the verifier sees no check of the second.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "at most the mask")]
pub(crate) fn apart(offset: usize) -> usize {
    const LARGEST: u32 = 0x7ff;
    masked::<LARGEST>(offset as u64) as usize
}

/// Loads the word at an address with one instruction. Without assembly, the compiler
/// loads it byte by byte, because it does not know the alignment of packets.
///
/// # Safety
///
/// The four bytes must lie in the frame.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a word was loaded")]
unsafe fn load(at: usize) -> u32 {
    let word: u64;
    // SAFETY: the caller promises that the bytes lie in the frame. The instruction
    // writes no memory.
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
