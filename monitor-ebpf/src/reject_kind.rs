//! Which answer a packet may get.

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use monitor_common::{
    LONGEST_ANSWER_V4, LONGEST_ANSWER_V6,
    evidence::{PORT_LATER_FRAGMENT, PORT_NONE, PORT_TOO_MANY_EXTENSIONS, PORT_TRUNCATED},
};

use crate::{
    checksum::{fold, sum},
    flow::IS_IPV6,
    frame::Frame,
    maps::HAS_REJECTS,
    reject_error::{ERROR_HEADERS_V4, ERROR_HEADERS_V6},
    reject_frame::IPV4_HEADER,
    reject_reset::TCP_HEADER,
    service::{HOP_BY_HOP, ICMP, ICMPV6, IPV6_HEADER, Service, TCP},
};

/// The packet must not be answered.
pub(crate) const NO_ANSWER: u32 = 0;
/// The answer is a TCP reset.
pub(crate) const RESET: u32 = 1;

/// Control bit of a TCP header (RFC 9293, section 3.1).
const RST: u8 = 1 << 2;

/// Length of the shortest ICMP message, bytes (RFC 792, RFC 4443).
const ICMP_HEADER: usize = 8;

/// The answer that the packet may get: [`NO_ANSWER`], [`RESET`], or an ICMP error that quotes so
/// many bytes of the packet. The arguments are those of `reject::answer_packet`.
///
/// The frame must come from one station to one station, and the packet from one host to one
/// host. A gateway cannot know the directed broadcast addresses of other networks (RFC 1812,
/// section 5.3.5.2). Those of a network on this interface come in broadcast frames.
///
/// This is a global function for the verifier, as `decide::read_service`.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn answer_kind(ctx: *mut xdp_md, packet: u64, service: u64) -> u32 {
    if HAS_REJECTS.load() == 0 {
        return NO_ANSWER;
    }
    let xdp = XdpContext::new(ctx);
    let frame = Frame::new(xdp.data(), xdp.data_end());
    #[expect(clippy::cast_possible_truncation, reason = "at most 255")]
    let network = packet as usize & 255;
    let is_ipv6 = packet & IS_IPV6 != 0;
    let (length, longest) = if is_ipv6 {
        let quote = LONGEST_ANSWER_V6 - ERROR_HEADERS_V6;
        (ipv6(&frame, network), quote)
    } else {
        let quote = LONGEST_ANSWER_V4 - ERROR_HEADERS_V4;
        (ipv4(&frame, network), quote)
    };
    let Some(length) = length.filter(|_| is_between_stations(&frame)) else {
        return NO_ANSWER;
    };
    match upper(
        &frame,
        network + length,
        Service::from_bits(service),
        is_ipv6,
    ) {
        Upper::Nothing => NO_ANSWER,
        Upper::Reset => RESET,
        #[expect(clippy::cast_possible_truncation, reason = "at most `longest`")]
        Upper::Error => length.min(longest) as u32,
    }
}

/// True if neither MAC of the frame is that of a group.
#[inline(always)]
fn is_between_stations(frame: &Frame) -> bool {
    const GROUP: u8 = 1;
    let Some(macs) = frame.bytes::<12>(0) else {
        return false;
    };
    (macs[0] | macs[6]) & GROUP == 0
}

/// Length of an IPv4 packet that may be answered (RFC 1122, section 3.2.2).
#[inline(always)]
fn ipv4(frame: &Frame, network: usize) -> Option<usize> {
    const FRAGMENT_OFFSET: u16 = 0x1fff;
    const LONGEST_HEADER_WORDS: usize = 15;
    let fixed: [u8; IPV4_HEADER] = frame.bytes(network)?;
    let header = usize::from(fixed[0] & 0x0f) * 4;
    let length = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    let fragment = u16::from_be_bytes([fixed[6], fixed[7]]);
    let is_whole = length >= header && is_in_frame(frame, network + length);
    if !is_whole || fragment & FRAGMENT_OFFSET != 0 {
        return None;
    }
    let mut header_sum = sum(&fixed);
    for word in IPV4_HEADER / 4..LONGEST_HEADER_WORDS {
        if word * 4 >= header {
            break;
        }
        header_sum += sum(&frame.bytes::<4>(network + word * 4)?);
    }
    let source = [fixed[12], fixed[13], fixed[14], fixed[15]];
    let destination = [fixed[16], fixed[17], fixed[18], fixed[19]];
    let is_sound = fold(header_sum) == u16::MAX
        && is_host(source[0])
        && is_host(destination[0])
        && source != destination;
    is_sound.then_some(length)
}

/// True if an IPv4 address that begins with this octet can be that of a single host: neither
/// "this network", nor loopback, multicast, reserved or limited broadcast (RFC 1122, section
/// 3.2.1.3).
#[inline(always)]
fn is_host(first_octet: u8) -> bool {
    !matches!(first_octet, 0 | 127 | 224..)
}

/// Length of an IPv6 packet that may be answered (RFC 4443, section 2.4 e).
#[inline(always)]
#[expect(clippy::many_single_char_names, reason = "each is a word")]
fn ipv6(frame: &Frame, network: usize) -> Option<usize> {
    let fixed = frame.bytes::<8>(network)?;
    let payload = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    let is_jumbogram = payload == 0 && fixed[6] == HOP_BY_HOP;
    let length = IPV6_HEADER + payload;
    if is_jumbogram || !is_in_frame(frame, network + length) {
        return None;
    }
    let [a, b, c, d, e, f, g, h] = frame.words(network + 8)?;
    // Comparing arrays would call a function that the kernel does not have.
    let is_same = (a ^ e) | (b ^ f) | (c ^ g) | (d ^ h) == 0;
    let is_sound = is_unicast([a, b, c, d]) && is_unicast([e, f, g, h]) && !is_same;
    is_sound.then_some(length)
}

/// True if an IPv6 address, in network order, is neither multicast, nor unspecified, nor loopback.
#[inline(always)]
fn is_unicast([a, b, c, d]: [u32; 4]) -> bool {
    let is_multicast = a.to_ne_bytes()[0] == 0xff;
    let is_special = a | b | c == 0 && u32::from_be(d) <= 1;
    !is_multicast && !is_special
}

#[inline(always)]
fn is_in_frame(frame: &Frame, end: usize) -> bool {
    end as u64 <= frame.captured()
}

/// Answer that the header behind the IP header allows.
enum Upper {
    Nothing,
    Reset,
    Error,
}

/// The answer that the header behind the IP header allows. The packet ends at `end`, in bytes
/// from the start of the frame.
#[inline(always)]
fn upper(frame: &Frame, end: usize, service: Service, is_ipv6: bool) -> Upper {
    match (service.kind, service.protocol) {
        (PORT_LATER_FRAGMENT | PORT_TRUNCATED | PORT_TOO_MANY_EXTENSIONS, _) => Upper::Nothing,
        (_, TCP) => segment(frame, end, service),
        (PORT_NONE, ICMP) if !is_ipv6 => message(frame, end, service, is_question_v4),
        (PORT_NONE, ICMPV6) if is_ipv6 => message(frame, end, service, is_question_v6),
        _ => Upper::Error,
    }
}

/// A reset is never answered (RFC 9293, section 3.10.7.1). The length of a segment in fragments
/// is not known, so it gets an error.
#[inline(always)]
fn segment(frame: &Frame, end: usize, service: Service) -> Upper {
    let offset = service.header_offset();
    let Some(header) = frame.bytes::<TCP_HEADER>(offset) else {
        return Upper::Nothing;
    };
    let length = usize::from(header[12] >> 4) * 4;
    let is_whole = length >= TCP_HEADER && offset + length <= end;
    match (is_whole, header[13] & RST, service.is_fragmented) {
        (true, 0, false) => Upper::Reset,
        (true, 0, true) => Upper::Error,
        _ => Upper::Nothing,
    }
}

/// An ICMP message gets an error only if it is none itself.
#[inline(always)]
fn message(frame: &Frame, end: usize, service: Service, is_question: fn(u8) -> bool) -> Upper {
    let offset = service.header_offset();
    match frame.bytes::<2>(offset) {
        Some([kind, _]) if offset + ICMP_HEADER <= end && is_question(kind) => Upper::Error,
        _ => Upper::Nothing,
    }
}

/// True for the ICMP messages that are not errors. Like Linux (`__icmp_send`), takes unknown
/// messages for errors.
#[inline(always)]
fn is_question_v4(kind: u8) -> bool {
    matches!(kind, 0 | 8..=10 | 13..=18)
}

/// True for the `ICMPv6` messages that are not errors, without redirects (RFC 4443, section 2.4
/// e.2).
#[inline(always)]
fn is_question_v6(kind: u8) -> bool {
    const REDIRECT: u8 = 137;
    kind >= 128 && kind != REDIRECT
}
