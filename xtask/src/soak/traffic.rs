//! Sends frames of every kind through a link, and counts those that arrive.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockProtocol, recv, send, setsockopt, sockopt};

use crate::netns::{Namespace, packet_socket};

/// The result of the policies for a kind of frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Dropped,
    Counted,
    Innocent,
    /// Dropped while a `block` command is in force.
    AtTimes,
}

/// A kind of frame.
pub(crate) struct FrameKind {
    pub(crate) name: &'static str,
    pub(crate) fate: Fate,
    pub(crate) family: &'static str,
    address: IpAddr,
    tag: Option<u16>,
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6(third: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, third, 0, 0, 0, 0, 7))
}

const fn kind(name: &'static str, fate: Fate, address: IpAddr, tag: Option<u16>) -> FrameKind {
    let family = match address {
        IpAddr::V4(_) => "ipv4",
        IpAddr::V6(_) => "ipv6",
    };
    FrameKind {
        name,
        fate,
        family,
        address,
        tag,
    }
}

/// Destination of the `block` command.
pub(crate) const AT_TIMES: &str = "203.0.113.77";

/// The kinds of frames. A batch has one frame of each kind.
pub(crate) const KINDS: [FrameKind; 9] = [
    kind("IPv4 dropped", Fate::Dropped, v4(198, 51, 100, 7), None),
    kind("IPv6 dropped", Fate::Dropped, v6(0xbad), None),
    kind("IPv4 counted", Fate::Counted, v4(192, 0, 2, 7), None),
    kind("IPv6 counted", Fate::Counted, v6(0x5ee), None),
    kind("IPv4 innocent", Fate::Innocent, v4(203, 0, 113, 7), None),
    kind("IPv6 innocent", Fate::Innocent, v6(1), None),
    kind(
        "802.1Q IPv4 dropped",
        Fate::Dropped,
        v4(198, 51, 100, 8),
        Some(0x8100),
    ),
    kind(
        "802.1ad IPv6 counted",
        Fate::Counted,
        v6(0x5ee),
        Some(0x88a8),
    ),
    kind(
        "IPv4 blocked at times",
        Fate::AtTimes,
        v4(203, 0, 113, 77),
        None,
    ),
];

/// Frames sent and arrived, by kind.
pub(crate) type Tally = [(u64, u64); KINDS.len()];

/// Both ends of a link.
pub(crate) struct Link {
    sender: OwnedFd,
    receiver: OwnedFd,
    frames: [Vec<u8>; KINDS.len()],
    pub(crate) tally: Tally,
}

impl Link {
    pub(crate) fn open(phone: &Namespace, gateway: &Namespace, name: &str) -> Result<Self> {
        let receiver = packet_socket(gateway, name, Some(SockProtocol::EthAll))?;
        setsockopt(&receiver, sockopt::RcvBufForce, &(16 << 20)).context("receive buffer")?;
        // Before it was bound, the socket received frames of the other link. Discard them:
        // nothing was sent on this link yet.
        discard(&receiver)?;
        let mut number = 0;
        Ok(Self {
            sender: packet_socket(phone, name, None)?,
            receiver,
            frames: KINDS.map(|kind| {
                number += 1;
                frame(&kind, number - 1)
            }),
            tally: Tally::default(),
        })
    }

    /// Sends one frame of each kind, and counts the frames that have arrived.
    pub(crate) fn batch(&mut self) -> Result<()> {
        for (frame, (sent, _)) in self.frames.iter().zip(&mut self.tally) {
            let done = send(self.sender.as_raw_fd(), frame, MsgFlags::empty()).context("send")?;
            ensure!(done == frame.len(), "a frame was cut short");
            *sent += 1;
        }
        self.take_in()
    }

    fn take_in(&mut self) -> Result<()> {
        let mut buffer = [0; 256];
        loop {
            match recv(
                self.receiver.as_raw_fd(),
                &mut buffer,
                MsgFlags::MSG_DONTWAIT,
            ) {
                Ok(length) => {
                    let number = buffer[..length].last().copied().map(usize::from);
                    let kind = number.and_then(|number| self.tally.get_mut(number));
                    kind.context("a frame that nobody sent")?.1 += 1;
                }
                Err(Errno::EAGAIN) => return Ok(()),
                Err(error) => return Err(error).context("receive"),
            }
        }
    }

    /// Waits for frames that are still under way, and counts them.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(2);
        loop {
            self.take_in()?;
            let mut kinds = KINDS.iter().zip(&self.tally);
            let missing = kinds.any(|(kind, (sent, came))| {
                came < sent && matches!(kind.fate, Fate::Counted | Fate::Innocent)
            });
            if !missing || Instant::now() > deadline {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn discard(receiver: &OwnedFd) -> Result<()> {
    loop {
        match recv(receiver.as_raw_fd(), &mut [0; 256], MsgFlags::MSG_DONTWAIT) {
            Ok(_) => {}
            Err(Errno::EAGAIN) => return Ok(()),
            Err(error) => return Err(error).context("receive"),
        }
    }
}

/// A UDP frame to the discard port. Its last byte is the kind.
fn frame(kind: &FrameKind, number: u8) -> Vec<u8> {
    const LENGTH: u16 = 12;
    let payload = [0xa5, 0xa5, 0xa5, number];
    let mut udp = Vec::from(&[0x30, 0x39, 0, 9][..]);
    udp.extend(LENGTH.to_be_bytes());
    // No checksum: only the filter reads the frame.
    udp.extend([0, 0]);
    udp.extend(payload);
    let mut frame = vec![2, 0, 0, 0, 0, 1, 0x64, 0xcc, 0x2e, 0, 0x26, 0x62];
    if let Some(tag) = kind.tag {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 5]);
    }
    match kind.address {
        IpAddr::V4(address) => {
            frame.extend([8, 0, 0x45, 0]);
            frame.extend((20 + LENGTH).to_be_bytes());
            frame.extend([0, 0, 0, 0, 64, 17, 0, 0, 192, 168, 50, 10]);
            frame.extend(address.octets());
        }
        IpAddr::V6(address) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(LENGTH.to_be_bytes());
            frame.extend([17, 64]);
            frame.extend(Ipv6Addr::new(0x2001, 0xdb8, 0x50, 0, 0, 0, 0, 10).octets());
            frame.extend(address.octets());
        }
    }
    frame.extend(udp);
    frame
}
