//! Looks up many destinations in one run, in the filter's trie or in the kernel's
//! LPM trie.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod destinations;
#[path = "../../../monitor-ebpf/src/maps.rs"]
#[expect(dead_code, reason = "only the maps of the trie are used")]
mod maps;
#[path = "../../../monitor-ebpf/src/runtime.rs"]
mod runtime;
#[path = "../../../monitor-ebpf/src/trie.rs"]
mod trie;
#[path = "../../../monitor-ebpf/src/verifier.rs"]
#[expect(dead_code, reason = "no packet is parsed")]
mod verifier;

use core::ffi::c_void;

use aya_ebpf::{
    Global,
    bindings::xdp_action,
    macros::{map, xdp},
    maps::{Array, LpmTrie, lpm_trie::Key},
    programs::XdpContext,
};
use destinations::{Cursor, DESTINATIONS_V4, DESTINATIONS_V6, IPV6};

#[map(name = "LPM_V4")]
static LPM_V4: LpmTrie<[u8; 4], u32> = LpmTrie::with_max_entries(1, 0);

#[map(name = "LPM_V6")]
static LPM_V6: LpmTrie<[u8; 16], u32> = LpmTrie::with_max_entries(1, 0);

/// Cache lines of zeros, as many as the first level of a trie has.
#[map(name = "FIRST_LINES")]
static FIRST_LINES: Array<[u64; 8]> = Array::with_max_entries(1, 0);

/// Cache lines of zeros, as many as the rest of the trie has.
#[map(name = "OTHER_LINES")]
static OTHER_LINES: Array<[u64; 8]> = Array::with_max_entries(1, 0);

/// Number of elements of `FIRST_LINES`.
#[unsafe(no_mangle)]
static FIRST_COUNT: Global<u32> = Global::new(1);
/// Number of elements of `OTHER_LINES`.
#[unsafe(no_mangle)]
static OTHER_COUNT: Global<u32> = Global::new(1);

/// The work for each destination: one of the constants below, or else a look-up in the
/// kernel's LPM trie.
#[unsafe(no_mangle)]
static METHOD: Global<u32> = Global::new(0);

const NOTHING: u32 = 0;
const TRIE: u32 = 1;
const READS: u32 = 2;

#[xdp]
fn lookup(_ctx: XdpContext) -> u32 {
    let Some(mut cursor) = Cursor::begin() else {
        return xdp_action::XDP_ABORTED;
    };
    destinations::each(one, &mut cursor);
    cursor.end()
}

extern "C" fn one(_index: u32, cursor: *mut c_void) -> i64 {
    // SAFETY: `lookup` passes its own cursor.
    let cursor = unsafe { &mut *cursor.cast::<Cursor>() };
    let at = cursor.index();
    let answer = if IPV6.load() == 0 {
        let Some(destination) = DESTINATIONS_V4.get(at) else {
            return 1;
        };
        ipv4(*destination)
    } else {
        let Some(destination) = DESTINATIONS_V6.get(at) else {
            return 1;
        };
        ipv6(destination)
    };
    cursor.advance(answer);
    0
}

#[inline(always)]
fn ipv4(address: u32) -> u32 {
    match METHOD.load() {
        NOTHING => address >> 31,
        TRIE => trie::ipv4(address),
        READS => reads(address.into()),
        _lpm => LPM_V4
            .get(&Key::new(u32::BITS, address.to_be_bytes()))
            .copied()
            .unwrap_or(0),
    }
}

#[inline(always)]
fn ipv6(address: &[u64; 2]) -> u32 {
    match METHOD.load() {
        NOTHING => (address[0] >> 63) as u32,
        TRIE => trie::ipv6(address[0], address[1]),
        READS => reads(address[0] >> u32::BITS ^ address[1]),
        _lpm => {
            let number = u128::from(address[0]) << u64::BITS | u128::from(address[1]);
            LPM_V6
                .get(&Key::new(u128::BITS, number.to_be_bytes()))
                .copied()
                .unwrap_or(0)
        }
    }
}

/// Reads one cache line of `FIRST_LINES`, then one of `OTHER_LINES`, as a look-up with two
/// memory reads does. The second address depends on the first result. Returns 0.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
fn reads(address: u64) -> u32 {
    // Multiplicative hashing spreads the addresses evenly over the highest bits.
    let even = (address as u32).wrapping_mul(0x9e37_79b1);
    let Some(first) = FIRST_LINES.get(scaled(even, FIRST_COUNT.load())) else {
        return 1;
    };
    let even = (even ^ first[0] as u32).wrapping_mul(0x85eb_ca6b);
    OTHER_LINES
        .get(scaled(even, OTHER_COUNT.load()))
        .map_or(1, |other| other[0] as u32)
}

/// Scales a 32-bit number down to an index below `count`.
#[inline(always)]
fn scaled(even: u32, count: u32) -> u32 {
    ((u64::from(even) * u64::from(count)) >> u32::BITS) as u32
}
