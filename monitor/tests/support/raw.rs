//! Frames sent and received as they are, through packet sockets.

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

/// Room for everything that a test sends, so that the socket loses nothing.
const RECEIVE_BUFFER: usize = 64 << 20;

/// How long a frame may take that must come.
const PATIENCE: Duration = Duration::from_secs(5);

/// A packet socket on one interface.
pub(crate) struct RawSocket(OwnedFd);

impl RawSocket {
    /// One that only sends.
    pub(crate) fn sender(namespace: &Namespace, interface: &str) -> Self {
        Self::open(namespace, interface, None)
    }

    /// One that also sees every frame which the kernel hands on.
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
            // The address that the kernel lists for it names no protocol, so that
            // the socket keeps its own.
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

    /// Sends one frame as it is, without padding.
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

    /// The next frame that has come already, as [`receive`](Self::receive) shows it.
    pub(crate) fn receive_now(&self) -> Option<Vec<u8>> {
        let mut buffer = [0; 4096];
        match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(length) => Some(buffer[..length].to_vec()),
            Err(nix::Error::EAGAIN) => None,
            Err(error) => panic!("receive a frame: {error}"),
        }
    }

    /// The next frame, without an outermost tag of 802.1Q or 802.1ad: the kernel
    /// takes that one off before packet sockets see a frame.
    pub(crate) fn receive(&self) -> Vec<u8> {
        let mut buffer = [0; 4096];
        let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty())
            .expect("a frame that must come");
        buffer[..length].to_vec()
    }
}
