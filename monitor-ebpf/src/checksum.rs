//! Checksums of IP, TCP and ICMP headers (RFC 1071).

/// Sum of the words of 16 bits (RFC 1071). `N` must be even.
#[inline(always)]
pub(crate) fn sum<const N: usize>(bytes: &[u8; N]) -> u32 {
    const { assert!(N.is_multiple_of(2)) };
    let (pairs, _) = bytes.as_chunks();
    pairs
        .iter()
        .map(|pair| u32::from(u16::from_be_bytes(*pair)))
        .sum()
}

/// A sum as one word.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the carries are added")]
pub(crate) fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}

#[inline(always)]
pub(crate) fn checksum(sum: u32) -> [u8; 2] {
    (!fold(sum)).to_be_bytes()
}

/// Sum of both halves of a word.
#[inline(always)]
pub(crate) const fn halves(word: u32) -> u32 {
    (word >> 16) + (word & 0xffff)
}
