//! Two packet sockets: `Sender` sends frames, and `Tap` sees on which interfaces frames arrive.

use std::{
    io,
    mem::size_of,
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike as _,
        recvfrom, sendto, socket,
    },
};

use super::frame::{ETH_P_IP, ETH_P_IPV6, Family, Frame, Target};

/// The most bytes of a frame that are looked at.
const MOST: usize = 256;

/// The most arrivals of one look.
const MOST_ARRIVALS: usize = 1024;

// Instructions of classic BPF, from the kernel's uapi header bpf_common.h.
const LOAD_HALF: u16 = 0x28;
const LOAD_WORD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// Sends frames through one interface.
#[derive(Debug)]
pub(super) struct Sender {
    socket: OwnedFd,
    to: LinkAddr,
}

impl Sender {
    /// A socket of the namespace of this thread, for the interface with this index.
    pub(super) fn open(index: u32) -> io::Result<Self> {
        let socket = packet_socket(SockFlag::SOCK_CLOEXEC, None)?;
        let to = link_address(index).ok_or(Errno::EINVAL)?;
        Ok(Self { socket, to })
    }

    /// Sends one frame unchanged.
    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        let descriptor = self.socket.as_raw_fd();
        sendto(descriptor, frame, &self.to, MsgFlags::MSG_DONTWAIT)?;
        Ok(())
    }
}

/// A frame that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Index of the interface. A frame arrives at a port, and then at its bridge.
    pub(super) index: u32,
    pub(super) family: Family,
}

/// Sees the canary's frames on every interface of a namespace.
#[derive(Debug)]
pub(super) struct Tap {
    socket: OwnedFd,
    target: Target,
}

impl Tap {
    /// A socket of the namespace of this thread.
    pub(super) fn open(target: &Target) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = packet_socket(flags, Some(SockProtocol::EthAll))?;
        let tap = Self {
            socket,
            target: *target,
        };
        tap.leave_out_others()?;
        Ok(tap)
    }

    /// The frames that arrived since the last call, of the path with this number or of any.
    pub(super) fn arrivals(&self, number: Option<u16>) -> io::Result<Vec<Arrival>> {
        let mut found = Vec::new();
        let mut buffer = [0; MOST];
        while found.len() < MOST_ARRIVALS {
            let received = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut buffer);
            let (length, from) = match received {
                Ok(received) => received,
                Err(Errno::EAGAIN) => break,
                // An interface went down.
                Err(Errno::ENETDOWN | Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let Some(from) = from.filter(|from| from.pkttype() != libc::PACKET_OUTGOING) else {
                continue;
            };
            let frame = buffer.get(..length.min(MOST)).unwrap_or_default();
            if let Some((family, own)) = Frame::read(frame, &self.target)
                && (number.is_none() || own == number)
            {
                let index = u32::try_from(from.ifindex()).unwrap_or_default();
                found.push(Arrival { index, family });
            }
        }
        Ok(found)
    }

    /// Lets the kernel leave out all other frames. [`Frame::read`] checks the rest, as frames may
    /// have come before.
    fn leave_out_others(&self) -> io::Result<()> {
        let ipv4 = u32::from(self.target.ipv4);
        let [.., a, b, c, d] = self.target.ipv6.octets();
        let ipv6 = u32::from_be_bytes([a, b, c, d]);
        let step = |code, k| libc::sock_filter {
            code,
            jt: 0,
            jf: 0,
            k,
        };
        let branch = |k, jt, jf| libc::sock_filter {
            code: JUMP_EQUAL,
            jt,
            jf,
            k,
        };
        let mut program = [
            step(LOAD_HALF, 12),
            branch(u32::from(ETH_P_IP), 0, 2),
            step(LOAD_WORD, 14 + 16),
            branch(ipv4, 3, 4),
            branch(u32::from(ETH_P_IPV6), 0, 3),
            step(LOAD_WORD, 14 + 24 + 12),
            branch(ipv6, 0, 1),
            step(RETURN, u32::MAX),
            step(RETURN, 0),
        ];
        let filter = libc::sock_fprog {
            len: u16::try_from(program.len()).unwrap_or_default(),
            filter: program.as_mut_ptr(),
        };
        let size = libc::socklen_t::try_from(size_of::<libc::sock_fprog>()).unwrap_or_default();
        // SAFETY: `filter` points to `len` instructions that live until the call returns, and the
        // kernel copies them.
        let done = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_FILTER,
                (&raw const filter).cast(),
                size,
            )
        };
        Errno::result(done)?;
        Ok(())
    }
}

fn packet_socket(flags: SockFlag, protocol: Option<SockProtocol>) -> io::Result<OwnedFd> {
    Ok(socket(
        AddressFamily::Packet,
        SockType::Raw,
        flags,
        protocol,
    )?)
}

/// The address that stands for an interface.
fn link_address(index: u32) -> Option<LinkAddr> {
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).ok()?,
        sll_protocol: 0,
        sll_ifindex: i32::try_from(index).ok()?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let size = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).ok()?;
    // SAFETY: the pointer is to a whole `sockaddr_ll`, whose family is set.
    unsafe { LinkAddr::from_raw((&raw const address).cast(), Some(size)) }
}
