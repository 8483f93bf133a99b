//! Frames of 9,000 bytes. In native mode, a driver takes them only from a program that reads
//! fragments (`frags`). On an older kernel, `--mode auto` must choose generic mode.

use std::net::UdpSocket;

use anyhow::{Context as _, Result};

use super::gateway::{Gateway, POLICIES, bytes};
use super::phone::{BLOCKED, OPEN, WiredPhone};
use super::{Guest, PATIENCE, fact, ip, kernel_version, must_be, seen, wait_for};

/// The first kernel whose veth takes programs that read fragments (commit 7cda76d858a4).
const FRAGS: (u32, u32) = (5, 18);
const PAYLOAD: usize = 8_000;
/// Bytes of its frame: Ethernet, IPv4 and UDP headers, and the payload.
const FRAME: u64 = 14 + 20 + 8 + PAYLOAD as u64;

pub(super) fn play(guest: &Guest) -> Result<()> {
    let phone = WiredPhone::connect("jumbo0", 6)?;
    ip("link set jumbo0 mtu 9000")?;
    phone.namespace.ip("link set eth0 mtu 9000")?;
    let mut gateway = Gateway::new(guest, "jumbo", POLICIES)?;
    gateway.start("jumbo0", &["--mode", "auto"])?;
    let mode = gateway.interface("jumbo0")?["mode"].clone();
    let mode = mode.as_str().context("no mode")?;
    let expected = if kernel_version()? < FRAGS {
        "generic"
    } else {
        "native"
    };
    must_be("mode", &mode, &expected)?;

    let server = UdpSocket::bind((OPEN, 9)).context("a server")?;
    server.set_read_timeout(Some(PATIENCE))?;
    phone.namespace.enter(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        for address in [BLOCKED, OPEN] {
            socket.send_to(&[0; PAYLOAD], (address, 9))?;
        }
        Ok(())
    })?;
    let received = server.recv(&mut [0; PAYLOAD]).context("a large datagram")?;
    must_be("bytes that arrived", &received, &PAYLOAD)?;
    wait_for("the large datagram is counted as dropped", || {
        Ok(gateway.dropped("jumbo0")? == 1)
    })?;
    let dropped = bytes(&gateway.interface("jumbo0")?["ipv4"]["dropped"])?;
    must_be("bytes dropped", &dropped, &FRAME)?;
    fact("large", mode);
    seen(format!(
        "MTU 9000: auto chose {mode}; one datagram of {FRAME} bytes was dropped and counted, one passed"
    ));
    gateway.detach("jumbo0")
}
