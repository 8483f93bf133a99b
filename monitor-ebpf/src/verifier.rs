//! Functions that make the verifier forget what it knows about a number.
//!
//! The verifier examines code again for each path on which it knows a different range
//! of a number. After one of these functions it knows the same on all paths, so it
//! examines the following code once.

use core::arch::asm;

/// `value & MASK`, computed at this place. The compiler would move the operation behind
/// the next branches, and the verifier would examine these for each range of values.
#[inline(always)]
pub(crate) fn masked<const MASK: u32>(mut value: u64) -> u64 {
    // SAFETY: the instruction computes only. Without `pure`, the compiler does not move
    // it.
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

/// `value`, read at this place. The compiler does not move the read to other paths.
#[inline(always)]
pub(crate) fn read_here(mut value: u64) -> u64 {
    // SAFETY: there is no instruction. Without `pure`, the compiler does not move it.
    unsafe {
        asm!(
            "/* {value} */",
            value = inout(reg) value,
            options(nomem, nostack, preserves_flags)
        );
    }
    value
}

/// The largest argument of [`any_offset`].
pub(crate) const LARGEST_OFFSET: usize = 126;

/// Returns `offset`, which must be two more than a multiple of four and at most
/// [`LARGEST_OFFSET`]. The verifier then knows no more than that about it.
///
/// `unknown` is any number that the verifier does not know. The function adds
/// `unknown - unknown`, which is 0, but not to the verifier.
#[inline(always)]
pub(crate) fn any_offset(mut offset: usize, unknown: u16) -> usize {
    // SAFETY: the instructions compute only.
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
