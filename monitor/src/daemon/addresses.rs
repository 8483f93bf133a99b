//! Waits for changes of addresses and interfaces, which the kernel reports over
//! netlink.

use std::{io, time::Duration};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::sleep,
};

/// How long the watch waits for further changes after one. Changes come in groups: a new
/// address of one family, then of the other.
const SETTLE: Duration = Duration::from_millis(300);

/// `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR` and `RTMGRP_IPV6_IFADDR` of rtnetlink(7). Changes
/// of links matter because a bridge's addresses are reached through its ports.
const GROUPS: u32 = 0x1 | 0x10 | 0x100;

/// Watches the addresses and interfaces of this network namespace.
pub(super) struct AddressWatch {
    socket: AsyncFd<Socket>,
    /// True if there was a change that [`AddressWatch::changed`] has not reported yet.
    pending: bool,
}

impl AddressWatch {
    /// Starts to watch. No later change is missed. The first call of
    /// [`AddressWatch::changed`] returns even without a change. Needs a running tokio.
    pub(super) fn new() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        socket.bind(&SocketAddr::new(0, GROUPS))?;
        // SAFETY: the socket owns its descriptor, so the descriptor stays open and
        // unchanged as long as it is registered.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE)? };
        Ok(Self {
            socket,
            pending: true,
        })
    }

    /// Waits for a change, and then for the changes that come with it. If this future is
    /// dropped early, the next call continues.
    pub(super) async fn changed(&mut self) -> io::Result<()> {
        while !self.pending {
            let mut ready = self.socket.readable().await?;
            self.pending = match ready.try_io(|socket| read(socket.get_ref())) {
                Ok(read) => read.map(|()| true)?,
                Err(_nothing_there) => false,
            };
        }
        sleep(SETTLE).await;
        // Discards all messages: after this call, the caller reads all addresses again.
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

/// Receives one message and ignores its content.
fn read(socket: &Socket) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(1 << 15);
    match socket.recv(&mut buffer, 0) {
        // ENOBUFS: there were more changes than the socket's buffer holds.
        Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(()),
        result => result.map(drop),
    }
}
