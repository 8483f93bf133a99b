//! pcap and pcapng files, written byte by byte from their specifications
//! (draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng).

use std::io::{self, Read};

use monitor::capture::{Capture, CaptureError, Frame};

pub(crate) const ETHERNET: u16 = 1;
pub(crate) const LINUX_SLL: u16 = 113;

pub(crate) const MICROSECONDS: u32 = 0xa1b2_c3d4;
pub(crate) const NANOSECONDS: u32 = 0xa1b2_3c4d;
/// The format of patched libpcap versions on old systems: records have 24
/// bytes.
pub(crate) const MODIFIED: u32 = 0xa1b2_cd34;

/// Byte order of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, number: u16) -> [u8; 2] {
        match self {
            Self::Little => number.to_le_bytes(),
            Self::Big => number.to_be_bytes(),
        }
    }

    fn u32(self, number: u32) -> [u8; 4] {
        match self {
            Self::Little => number.to_le_bytes(),
            Self::Big => number.to_be_bytes(),
        }
    }
}

/// A frame that was captured completely.
pub(crate) fn whole(data: &[u8]) -> Frame {
    Frame {
        at: None,
        data: data.to_vec(),
        wire_length: length(data),
        interface: 0,
        comment: None,
    }
}

/// A frame of which only the beginning was captured.
pub(crate) fn cut(data: &[u8], wire_length: u32) -> Frame {
    Frame {
        at: None,
        data: data.to_vec(),
        wire_length,
        interface: 0,
        comment: None,
    }
}

/// A pcap file. `network` is the whole header word: link type and upper half.
pub(crate) fn pcap(order: Order, magic: u32, network: u32, frames: &[Frame]) -> Vec<u8> {
    let mut file = order.u32(magic).to_vec();
    file.extend(order.u16(2));
    file.extend(order.u16(4));
    for word in [0, 0, 262_144, network] {
        file.extend(order.u32(word));
    }
    for frame in frames {
        for word in [
            1_406_678_400,
            999_999,
            length(&frame.data),
            frame.wire_length,
        ] {
            file.extend(order.u32(word));
        }
        if magic == MODIFIED {
            file.extend([0; 8]);
        }
        file.extend(&frame.data);
    }
    file
}

/// An Ethernet pcap file as tcpdump writes it.
pub(crate) fn plain_pcap(frames: &[Frame]) -> Vec<u8> {
    pcap(Order::Little, MICROSECONDS, ETHERNET.into(), frames)
}

/// A pcapng block with the content `body`, padded to a multiple of four bytes.
pub(crate) fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let mut padded = body.to_vec();
    padded.resize(body.len().next_multiple_of(4), 0);
    let total = order.u32(length(&padded) + 12);
    [&order.u32(kind), &total, &padded[..], &total].concat()
}

pub(crate) fn section_header(order: Order) -> Vec<u8> {
    let mut body = order.u32(0x1a2b_3c4d).to_vec();
    body.extend(order.u16(1));
    body.extend(order.u16(0));
    body.extend([0xff; 8]);
    block(order, 0x0a0d_0d0a, &body)
}

pub(crate) fn interface(order: Order, link_type: u16, snap_length: u32) -> Vec<u8> {
    let mut body = order.u16(link_type).to_vec();
    body.extend(order.u16(0));
    body.extend(order.u32(snap_length));
    block(order, 1, &body)
}

pub(crate) fn enhanced_packet(order: Order, interface: u32, frame: &Frame) -> Vec<u8> {
    let mut body = Vec::new();
    for word in [
        interface,
        0x0004_ff50,
        0x1234_5678,
        length(&frame.data),
        frame.wire_length,
    ] {
        body.extend(order.u32(word));
    }
    body.extend(&frame.data);
    block(order, 6, &body)
}

pub(crate) fn simple_packet(order: Order, frame: &Frame) -> Vec<u8> {
    let body = [&order.u32(frame.wire_length), &frame.data[..]].concat();
    block(order, 3, &body)
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap()
}

/// Reads a capture from memory; its name in messages is `made`.
pub(crate) fn read(file: &[u8]) -> (Vec<Frame>, Option<CaptureError>) {
    let (mut frames, error) = read_with_times(file);
    for frame in &mut frames {
        frame.at = None;
    }
    (frames, error)
}

/// Like [`read`], and each frame has its time.
pub(crate) fn read_with_times(file: &[u8]) -> (Vec<Frame>, Option<CaptureError>) {
    collect(Capture::new(
        "made",
        Box::new(io::Cursor::new(file.to_vec())),
    ))
}

/// Reads a capture from a reader that returns one byte at a time.
pub(crate) fn read_slowly(file: &[u8]) -> (Vec<Frame>, Option<CaptureError>) {
    let slow = OneByte(io::Cursor::new(file.to_vec()));
    let (mut frames, error) = collect(Capture::new("made", Box::new(slow)));
    for frame in &mut frames {
        frame.at = None;
    }
    (frames, error)
}

/// Reads all frames, and the error that ended the capture early, if any.
pub(crate) fn collect(
    capture: Result<Capture, CaptureError>,
) -> (Vec<Frame>, Option<CaptureError>) {
    let mut frames = Vec::new();
    let capture = match capture {
        Ok(capture) => capture,
        Err(error) => return (frames, Some(error)),
    };
    for frame in capture {
        match frame {
            Ok(frame) => frames.push(frame),
            Err(error) => return (frames, Some(error)),
        }
    }
    (frames, None)
}

struct OneByte<R>(R);

impl<R: Read> Read for OneByte<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
}
