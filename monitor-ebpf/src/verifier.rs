//! What the verifier is made to forget, so that it examines the code behind once,
//! and not once for each way that leads there.

use core::arch::asm;

/// The bits of `value` that are in `MASK`, taken here: the compiler would take them
/// behind the next branches, which were then examined for each range of values.
#[inline(always)]
pub(crate) fn masked<const MASK: u32>(mut value: u64) -> u64 {
    // SAFETY: only computes. Not `pure`, so that it stays where it is.
    unsafe {
        asm!(
            "{value} &= {mask}",
            value = inout(reg) value,
            mask = const MASK,
            options(nomem, nostack, preserves_flags)
        );
    }
    value
}

/// The largest offset that [`any_offset`] is for.
pub(crate) const LARGEST_OFFSET: usize = 126;

/// `offset`, two more than a multiple of four, of which the verifier then knows no
/// more than that. It takes something that is unknown to it, of which a difference
/// from itself is as unknown.
#[inline(always)]
pub(crate) fn any_offset(mut offset: usize, unknown: u16) -> usize {
    // SAFETY: only computes.
    unsafe {
        asm!(
            "{difference} = {unknown}",
            "{difference} -= {unknown}",
            "{offset} += {difference}",
            "{offset} &= {multiple}",
            "{offset} |= 2",
            difference = out(reg) _,
            unknown = in(reg) u64::from(unknown),
            offset = inout(reg) offset,
            multiple = const LARGEST_OFFSET - 2,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    offset
}

/// `offset`, at most 255, of which the verifier then knows no more than that.
/// `unknown` is any number that the verifier does not know.
#[inline(always)]
pub(crate) fn byte_offset(mut offset: usize, unknown: u64) -> usize {
    // SAFETY: only computes.
    unsafe {
        asm!(
            "{difference} = {unknown}",
            "{difference} -= {unknown}",
            "{offset} += {difference}",
            "{offset} &= 255",
            difference = out(reg) _,
            unknown = in(reg) unknown,
            offset = inout(reg) offset,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    offset
}
