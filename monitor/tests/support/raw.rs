//! Sends and receives raw frames through packet sockets.

use std::{
    os::fd::{AsRawFd as _, OwnedFd},
    time::Duration,
};

use nix::sys::{
    socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike as _, bind, recv,
        send, setsockopt, socket, sockopt,
    },
    time::TimeVal,
};

use super::lab::Namespace;

/// Size of the receive buffer, in bytes: it holds all frames that a test sends.
const RECEIVE_BUFFER: usize = 64 << 20;

/// Longest time to wait for a frame that must arrive.
const PATIENCE: Duration = Duration::from_secs(5);

/// A packet socket on one interface.
pub(crate) struct RawSocket(OwnedFd);

impl RawSocket {
    /// A socket that only sends.
    pub(crate) fn sender(namespace: &Namespace, interface: &str) -> Self {
        Self::open(namespace, interface, None)
    }

    /// A socket that also receives every frame that the kernel passes on.
    pub(crate) fn receiver(namespace: &Namespace, interface: &str) -> Self {
        let socket = Self::open(namespace, interface, Some(SockProtocol::EthAll));
        setsockopt(&socket.0, sockopt::RcvBufForce, &RECEIVE_BUFFER).unwrap();
        let patience = TimeVal::new(i64::try_from(PATIENCE.as_secs()).unwrap(), 0);
        setsockopt(&socket.0, sockopt::ReceiveTimeout, &patience).unwrap();
        socket
    }

    fn open(namespace: &Namespace, interface: &str, protocol: Option<SockProtocol>) -> Self {
        namespace.run(|| {
            let socket = socket(
                AddressFamily::Packet,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC,
                protocol,
            )
            .expect("open a packet socket");
            // The address that the kernel lists for the interface has no
            // protocol, so the socket keeps its own.
            let address = nix::ifaddrs::getifaddrs()
                .expect("list interfaces")
                .filter(|found| found.interface_name == interface)
                .find_map(|found| found.address?.as_link_addr().copied())
                .unwrap_or_else(|| panic!("no interface {interface}"));
            assert_eq!(address.family(), Some(AddressFamily::Packet));
            bind(socket.as_raw_fd(), &address).expect("bind a packet socket");
            Self(socket)
        })
    }

    /// Sends one frame unchanged, without padding.
    pub(crate) fn send(&self, frame: &[u8]) {
        let sent = send(self.0.as_raw_fd(), frame, MsgFlags::empty()).unwrap_or_else(|error| {
            panic!(
                "send {} bytes, {}: {error}",
                frame.len(),
                hex::encode(frame)
            )
        });
        assert_eq!(sent, frame.len());
    }

    /// The next frame that has already arrived, in the form of
    /// [`receive`](Self::receive).
    pub(crate) fn receive_now(&self) -> Option<Vec<u8>> {
        let mut buffer = [0; 4096];
        match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(length) => Some(buffer[..length].to_vec()),
            Err(nix::Error::EAGAIN) => None,
            Err(error) => panic!("receive a frame: {error}"),
        }
    }

    /// The next frame. An outermost tag of 802.1Q or 802.1ad is missing,
    /// because the kernel removes it before packet sockets get the frame.
    pub(crate) fn receive(&self) -> Vec<u8> {
        let mut buffer = [0; 4096];
        let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty())
            .expect("a frame that must come");
        buffer[..length].to_vec()
    }
}
