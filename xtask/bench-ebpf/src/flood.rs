//! Programs for floods: a generator, a sink that counts, and simple filters that the
//! filter is compared with. They handle Ethernet frames with IPv4 without options, as
//! `generate` makes them, and pass all other frames.

#![no_std]
#![no_main]
#![expect(
    clippy::needless_pass_by_value,
    reason = "the macros pass the context by value"
)]

#[path = "../../../monitor-ebpf/src/runtime.rs"]
mod runtime;

use core::ptr;

use aya_ebpf::{
    Global,
    bindings::{TC_ACT_OK, TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action},
    helpers::bpf_get_prandom_u32,
    macros::{classifier, map, xdp},
    maps::{Array, LpmTrie, PerCpuArray, lpm_trie::Key},
    programs::{TcContext, XdpContext},
};

const DESTINATIONS_COUNT: u32 = 65_536;
const ETHER_TYPE: usize = 12;
const PROTOCOL: usize = 23;
const CHECKSUM: usize = 24;
const DESTINATION: usize = 30;
const HEADERS: usize = 34;
const UDP: u8 = 17;

/// The headers of a frame, with zeros for destination and checksum, and the sum of the
/// words of the IPv4 header (RFC 1071).
#[repr(C)]
#[derive(Clone, Copy)]
struct Template {
    headers: [u8; HEADERS],
    padding: [u8; 2],
    sum: u32,
}

#[map(name = "TEMPLATE")]
static TEMPLATE: Array<Template> = Array::with_max_entries(1, 0);

#[map(name = "DESTINATIONS")]
static DESTINATIONS: Array<[u8; 4]> = Array::with_max_entries(DESTINATIONS_COUNT, 0);

#[map(name = "RECEIVED")]
static RECEIVED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Cache lines of zeros for the program `read`. Their number is a power of two.
#[map(name = "LINES")]
static LINES: Array<[u32; 16]> = Array::with_max_entries(1, 0);

/// Index of the last element of `LINES`.
#[unsafe(no_mangle)]
static LAST_LINE: Global<u32> = Global::new(0);

/// Number of reads by the program `read`, at most [`MOST_READS`].
#[unsafe(no_mangle)]
static READS: Global<u32> = Global::new(0);

const MOST_READS: u32 = 2;

#[map(name = "PREFIXES")]
static PREFIXES: LpmTrie<[u8; 4], u32> = LpmTrie::with_max_entries(1, 0);

/// Sends a frame to a random destination. The kernel recycles pages that the gateway has
/// changed, so all headers are written each time.
#[xdp]
fn generate(ctx: XdpContext) -> u32 {
    // SAFETY: the helper takes no arguments and touches no memory.
    let index = unsafe { bpf_get_prandom_u32() } % DESTINATIONS_COUNT;
    let (Some(template), Some(destination)) = (TEMPLATE.get(0), DESTINATIONS.get(index)) else {
        return xdp_action::XDP_ABORTED;
    };
    let start = ctx.data();
    if start + HEADERS > ctx.data_end() {
        return xdp_action::XDP_ABORTED;
    }
    let checksum = checksum(template.sum, *destination);
    // SAFETY: `start..start + HEADERS` was just checked to lie inside the frame,
    // and byte arrays have no alignment.
    unsafe {
        ptr::write(start as *mut [u8; HEADERS], template.headers);
        ptr::write((start + CHECKSUM) as *mut [u8; 2], checksum);
        ptr::write((start + DESTINATION) as *mut [u8; 4], *destination);
    }
    xdp_action::XDP_TX
}

#[inline(always)]
fn checksum(sum: u32, [a, b, c, d]: [u8; 4]) -> [u8; 2] {
    let sum = sum + u32::from(u16::from_be_bytes([a, b])) + u32::from(u16::from_be_bytes([c, d]));
    let sum = (sum & 0xffff) + (sum >> 16);
    let [_, _, high, low] = (!(sum + (sum >> 16))).to_be_bytes();
    [high, low]
}

/// Counts and drops UDP, and passes all else, such as pings.
#[xdp]
fn sink(ctx: XdpContext) -> u32 {
    if ipv4_header(ctx.data(), ctx.data_end()).is_none_or(|header| header.protocol != UDP) {
        return xdp_action::XDP_PASS;
    }
    if let Some(received) = RECEIVED.get_ptr_mut(0) {
        // SAFETY: only this CPU uses the cell, and XDP runs with bottom halves off.
        unsafe { *received += 1 };
    }
    xdp_action::XDP_DROP
}

/// The upper limit for filters that drop.
#[xdp]
fn drop_all(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

/// The upper limit for filters that pass.
#[xdp]
fn pass_all(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// The same at the egress of an interface.
#[classifier]
fn pass_all_egress(_ctx: TcContext) -> i32 {
    TC_ACT_UNSPEC
}

/// The upper limit for filters that look up the destination: [`READS`] memory reads, each
/// of which waits for the previous one.
#[xdp]
fn read(ctx: XdpContext) -> u32 {
    let Some(header) = ipv4_header(ctx.data(), ctx.data_end()) else {
        return xdp_action::XDP_PASS;
    };
    // The last bits of addresses are the most evenly distributed.
    let mut next = u32::from_be_bytes(header.destination);
    let mut found = 0;
    for at in 0..MOST_READS {
        if at == READS.load() {
            break;
        }
        let Some(line) = LINES.get(next & LAST_LINE.load()) else {
            return xdp_action::XDP_ABORTED;
        };
        found |= line[0];
        next = next.rotate_left(u32::BITS / 2) ^ found;
    }
    // Without this use of the result, the compiler would remove the last read.
    if found == 0 {
        xdp_action::XDP_PASS
    } else {
        xdp_action::XDP_DROP
    }
}

/// A filter with the kernel's LPM trie and without counters.
#[xdp]
fn lpm_xdp(ctx: XdpContext) -> u32 {
    if is_blocked(ctx.data(), ctx.data_end()) {
        xdp_action::XDP_DROP
    } else {
        xdp_action::XDP_PASS
    }
}

/// The same filter for tc.
#[classifier]
fn lpm_tc(ctx: TcContext) -> i32 {
    if is_blocked(ctx.data(), ctx.data_end()) {
        TC_ACT_SHOT
    } else {
        TC_ACT_OK
    }
}

#[inline(always)]
fn is_blocked(start: usize, end: usize) -> bool {
    ipv4_header(start, end).is_some_and(|header| {
        PREFIXES
            .get(&Key::new(u32::BITS, header.destination))
            .is_some()
    })
}

struct Header {
    protocol: u8,
    destination: [u8; 4],
}

#[inline(always)]
fn ipv4_header(start: usize, end: usize) -> Option<Header> {
    if start + HEADERS > end {
        return None;
    }
    // SAFETY: `start..start + HEADERS` was just checked to lie inside the frame,
    // and byte arrays have no alignment.
    let (ether_type, protocol, destination) = unsafe {
        (
            ptr::read((start + ETHER_TYPE) as *const [u8; 2]),
            ptr::read((start + PROTOCOL) as *const u8),
            ptr::read((start + DESTINATION) as *const [u8; 4]),
        )
    };
    (ether_type == [0x08, 0x00]).then_some(Header {
        protocol,
        destination,
    })
}
