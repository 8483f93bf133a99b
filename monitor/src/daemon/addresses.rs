//! Changes of addresses and interfaces → a signal, over netlink.

use std::{io, time::Duration};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::sleep,
};

/// Changes come in groups: a new address of one family, then of the other.
const SETTLE: Duration = Duration::from_millis(300);

/// `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR` and `RTMGRP_IPV6_IFADDR` of rtnetlink(7).
/// Links too: a bridge's addresses are reached through its ports.
const GROUPS: u32 = 0x1 | 0x10 | 0x100;

/// Watches the addresses and interfaces of this network namespace.
pub(super) struct AddressWatch {
    socket: AsyncFd<Socket>,
    /// A change that nobody was told of yet.
    pending: bool,
}

impl AddressWatch {
    /// From here on no change is missed; what was before counts as one. Needs
    /// a running tokio.
    pub(super) fn new() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        socket.bind(&SocketAddr::new(0, GROUPS))?;
        // SAFETY: the socket owns its descriptor, so it stays open and the same
        // for as long as it is registered.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE)? };
        Ok(Self {
            socket,
            pending: true,
        })
    }

    /// Waits for a change, and for those that come with it. Where this is
    /// cancelled, the next call goes on.
    pub(super) async fn changed(&mut self) -> io::Result<()> {
        while !self.pending {
            let mut ready = self.socket.readable().await?;
            self.pending = match ready.try_io(|socket| read(socket.get_ref())) {
                Ok(read) => read.map(|()| true)?,
                Err(_nothing_there) => false,
            };
        }
        sleep(SETTLE).await;
        // What changed is looked up afresh, so that one look is for all of them.
        loop {
            match read(self.socket.get_ref()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.pending = false;
        Ok(())
    }
}

/// Takes one message, whatever it says.
fn read(socket: &Socket) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(1 << 15);
    match socket.recv(&mut buffer, 0) {
        // There were more changes than the socket holds.
        Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(()),
        result => result.map(drop),
    }
}
