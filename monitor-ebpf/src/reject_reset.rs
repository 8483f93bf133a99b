//! Turns a TCP segment into the reset that answers it (RFC 9293, section 3.10.7).

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};

use crate::{
    checksum::{checksum, halves},
    flow::IS_IPV6,
    frame::Frame,
    maps::HAS_REJECTS,
    reject_frame::{IPV4_HEADER, cut, network, turn_layer_2, word, write_ipv4, write_ipv6},
    service::{IPV6_HEADER, Service, TCP},
};

/// Length of a TCP header without options (RFC 9293).
pub(crate) const TCP_HEADER: usize = 20;

// Control bits of a TCP header (RFC 9293, section 3.1).
const FIN: u8 = 1;
const SYN: u8 = 1 << 1;
const RST: u8 = 1 << 2;
const ACK: u8 = 1 << 4;

/// Turns a TCP segment into the reset that answers it. `packet` is `flow::packet_bits`, `service`
/// `Service::to_bits`. Returns 1, or 0 if that is not possible. Each family has a function of its
/// own, because the stack of a program has 512 bytes.
#[inline(always)]
pub(crate) fn make_reset(ctx: *mut xdp_md, packet: u64, service: u64) -> u32 {
    if packet & IS_IPV6 == 0 {
        make_reset_v4(ctx, packet, service)
    } else {
        make_reset_v6(ctx, packet, service)
    }
}

/// [`make_reset`] for IPv4. A global function for the verifier, as `decide::read_service`.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn make_reset_v4(ctx: *mut xdp_md, packet: u64, service: u64) -> u32 {
    turned(ctx, packet, service, reset_v4)
}

/// [`make_reset`] for IPv6. A global function for the verifier, as `decide::read_service`.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn make_reset_v6(ctx: *mut xdp_md, packet: u64, service: u64) -> u32 {
    turned(ctx, packet, service, reset_v6)
}

#[inline(always)]
fn turned(
    ctx: *mut xdp_md,
    packet: u64,
    service: u64,
    reset: fn(&mut Frame, usize, usize) -> Option<usize>,
) -> u32 {
    if HAS_REJECTS.load() == 0 {
        return 0;
    }
    let xdp = XdpContext::new(ctx);
    let mut frame = Frame::new(xdp.data(), xdp.data_end());
    let network = network(packet);
    let offset = Service::from_bits(service).header_offset();
    let Some(length) = reset(&mut frame, network, offset) else {
        return 0;
    };
    if turn_layer_2(&mut frame, network, length).is_none() {
        return 0;
    }
    u32::from(cut(ctx, &frame, network + length))
}

/// Header fields of the segment that is answered: the reset is computed from them. All numbers
/// are in host order.
struct Segment {
    /// Source port, destination port.
    ports: u32,
    sequence: u32,
    acknowledged: u32,
    /// The word with the length of the header and the control bits.
    fields: u32,
}

impl Segment {
    /// Length of the header, in bytes.
    #[inline(always)]
    const fn header(&self) -> u32 {
        (self.fields >> 28) * 4
    }

    #[inline(always)]
    const fn controls(&self) -> u8 {
        self.fields.to_be_bytes()[1]
    }
}

/// Writes the reset to a segment; returns the length of the packet.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the length of a header")]
fn reset_v4(frame: &mut Frame, network: usize, offset: usize) -> Option<usize> {
    const LENGTH: usize = IPV4_HEADER + TCP_HEADER;
    let [_, _, high, low] = frame.bytes(network)?;
    let end = network + usize::from(u16::from_be_bytes([high, low]));
    let segment = segment(frame, offset)?;
    let source = word(frame, network + 12)?;
    let destination = word(frame, network + 16)?;
    let addresses = write_ipv4(frame, network, [0, TCP], LENGTH, [destination, source])?;
    let pseudo_header = addresses + u32::from(TCP) + TCP_HEADER as u32;
    let length = end.wrapping_sub(offset);
    write_reset(
        frame,
        network + IPV4_HEADER,
        &segment,
        length,
        pseudo_header,
    )?;
    Some(LENGTH)
}

/// As [`reset_v4`], for IPv6.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the length of a header")]
fn reset_v6(frame: &mut Frame, network: usize, offset: usize) -> Option<usize> {
    let [high, low] = frame.bytes(network + 4)?;
    let end = network + IPV6_HEADER + usize::from(u16::from_be_bytes([high, low]));
    let segment = segment(frame, offset)?;
    let addresses = write_ipv6(frame, network, network, TCP, TCP_HEADER)?;
    let pseudo_header = addresses + u32::from(TCP) + TCP_HEADER as u32;
    let length = end.wrapping_sub(offset);
    write_reset(
        frame,
        network + IPV6_HEADER,
        &segment,
        length,
        pseudo_header,
    )?;
    Some(IPV6_HEADER + TCP_HEADER)
}

/// The segment whose header begins at `offset`.
#[inline(always)]
fn segment(frame: &Frame, offset: usize) -> Option<Segment> {
    Some(Segment {
        ports: word(frame, offset)?,
        sequence: word(frame, offset + 4)?,
        acknowledged: word(frame, offset + 8)?,
        fields: word(frame, offset + 12)?,
    })
}

/// Writes the header of the reset to a segment of `length` bytes, header included (RFC 9293,
/// sections 3.5.2 and 3.10.7.1).
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the length of a header")]
fn write_reset(
    frame: &mut Frame,
    at: usize,
    segment: &Segment,
    length: usize,
    pseudo_header: u32,
) -> Option<()> {
    let ports = segment.ports.rotate_left(16);
    let (sequence, acknowledged, controls) = if segment.controls() & ACK == 0 {
        let data = (length as u32).wrapping_sub(segment.header());
        // SYN and FIN have a sequence number each.
        let controls =
            u32::from(segment.controls() & SYN != 0) + u32::from(segment.controls() & FIN != 0);
        let next = segment.sequence.wrapping_add(data).wrapping_add(controls);
        (0, next, RST | ACK)
    } else {
        (segment.acknowledged, 0, RST)
    };
    let fields = u32::from_be_bytes([(TCP_HEADER as u8 / 4) << 4, controls, 0, 0]);
    let mut total = pseudo_header;
    for (index, word) in [ports, sequence, acknowledged, fields]
        .into_iter()
        .enumerate()
    {
        frame.write(at + index * 4, word.to_be_bytes())?;
        total += halves(word);
    }
    let [high, low] = checksum(total);
    frame.write(at + 16, [high, low, 0, 0])
}
