//! Packet sockets in network namespaces.

use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, bind, socket};

pub(crate) use monitor::demo::namespace::Namespace;

/// A packet socket on an interface of the namespace. Without a protocol it only sends.
pub(crate) fn packet_socket(
    namespace: &Namespace,
    interface: &str,
    protocol: Option<SockProtocol>,
) -> Result<OwnedFd> {
    namespace.enter(|| {
        let kind = (SockType::Raw, SockFlag::SOCK_CLOEXEC);
        let socket =
            socket(AddressFamily::Packet, kind.0, kind.1, protocol).context("a packet socket")?;
        let address = getifaddrs()
            .context("interfaces")?
            .filter(|found| found.interface_name == interface)
            .find_map(|found| found.address?.as_link_addr().copied())
            .with_context(|| format!("no interface {interface}"))?;
        bind(socket.as_raw_fd(), &address).context("bind a packet socket")?;
        Ok(socket)
    })
}
