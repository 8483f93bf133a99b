//! A device behind an interface, and servers that count what arrives from it.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{PATIENCE, ip};
use crate::netns::Namespace;
use crate::system::output;

/// MAC of the wired phone.
pub(super) const MAC: &str = "64:cc:2e:11:22:33";
/// Address in a range that the policies drop.
pub(super) const BLOCKED: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
/// Address in no such range.
pub(super) const OPEN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// Datagrams to each address in one round.
pub(super) const EACH: usize = 10;

const PORT: u16 = 443;

/// Numbers of datagrams that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) blocked: usize,
    pub(super) open: usize,
}

/// The result without a filter: all datagrams.
pub(super) const ALL: Arrived = Arrived {
    blocked: EACH,
    open: EACH,
};
/// The result with a filter.
pub(super) const FILTERED: Arrived = Arrived {
    blocked: 0,
    open: EACH,
};

/// Both addresses on the gateway, each with a server. Dropping the value removes them.
pub(super) struct Servers {
    blocked: UdpSocket,
    open: UdpSocket,
}

impl Servers {
    pub(super) fn start() -> Result<Self> {
        for address in [BLOCKED, OPEN] {
            ip(&format!("address replace {address}/32 dev lo"))?;
        }
        let bind = |address| UdpSocket::bind((address, PORT)).context("a server");
        Ok(Self {
            blocked: bind(BLOCKED)?,
            open: bind(OPEN)?,
        })
    }

    /// Sends a round from the phone. Datagrams to the open address are sent last. When they
    /// have arrived, no other datagram is under way.
    pub(super) fn round(&self, phone: &Namespace) -> Result<Arrived> {
        phone.enter(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            for address in [BLOCKED, OPEN] {
                for number in 0..EACH {
                    socket
                        .send_to(&number.to_be_bytes(), (address, PORT))
                        .with_context(|| format!("send to {address}"))?;
                }
            }
            Ok(())
        })?;
        let open = received(&self.open, PATIENCE)?;
        ensure!(open == EACH, "{open} of {EACH} datagrams to {OPEN} arrived");
        let blocked = received(&self.blocked, Duration::from_millis(200))?;
        Ok(Arrived { blocked, open })
    }
}

/// Receives up to one round of datagrams, waiting at most this time for each.
fn received(socket: &UdpSocket, patience: Duration) -> Result<usize> {
    socket.set_read_timeout(Some(patience))?;
    for number in 0..EACH {
        match socket.recv(&mut [0; 64]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(number),
            Err(error) => return Err(error).context("receive"),
        }
    }
    Ok(EACH)
}

/// A device in a network namespace, at one end of a veth pair. The gateway has the other
/// end. Dropping the value removes both.
pub(super) struct WiredPhone {
    pub(super) namespace: Namespace,
}

impl WiredPhone {
    /// Makes the pair. `interface` is the gateway's end, with the address 10.77.NUMBER.1.
    pub(super) fn connect(interface: &str, number: u8) -> Result<Self> {
        let namespace = Namespace::new(format!("phone-{interface}"));
        namespace.add()?;
        let phone = Self { namespace };
        let inside = &phone.namespace;
        ip(&format!(
            "link add {interface} type veth peer name eth0 address {MAC} netns {}",
            inside.name()
        ))?;
        // Without offloads: merged packets would count as one, and VLAN tags would not be
        // in the frame.
        let off = ["gro", "gso", "tso", "txvlan", "rxvlan"].map(|feature| [feature, "off"]);
        let mut at_phone = inside.command("ethtool");
        output(at_phone.args(["-K", "eth0"]).args(off.as_flattened()))?;
        ip(&format!("address add 10.77.{number}.1/24 dev {interface}"))?;
        ip(&format!("link set {interface} up"))?;
        inside.ip("link set lo up")?;
        inside.ip("link set eth0 up")?;
        inside.ip(&format!("address add 10.77.{number}.2/24 dev eth0"))?;
        inside.ip(&format!("route add default via 10.77.{number}.1"))?;
        Ok(phone)
    }
}

impl Drop for WiredPhone {
    fn drop(&mut self) {
        // Deleting the namespace deletes the pair.
        if let Err(error) = self.namespace.delete() {
            eprintln!("{error:#}");
        }
    }
}
