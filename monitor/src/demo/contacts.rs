//! The four ways in which a phone contacts an address: a name from DNS, TLS, QUIC, or no name.
//! Everything about the servers is invented, except the range that was reported in 2014.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::demo::namespace::Namespace;
use crate::demo::topology::GATEWAY_ADDRESS;
use crate::demo::traffic;

/// The first datagram of a QUIC connection to [`STATISTICS`] (RFC 9000, section 17.2.2). It is
/// protected with keys that anyone can derive from it (RFC 9001, section 5.2).
const QUIC_INITIAL: &[u8] = include_bytes!("quic-initial.bin");

/// How a phone learns or states the name of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It asks the gateway's DNS server, and then sends no name.
    Dns,
    /// It states the name in TLS, and asks no DNS server.
    Tls,
    /// It states the name in QUIC, and asks no DNS server.
    Quic,
    /// It has the address only.
    Bare,
}

/// A server, and how a phone contacts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contact {
    pub(crate) way: Way,
    /// Name of the server. Empty for [`Way::Bare`].
    pub(crate) name: &'static str,
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u16,
}

const fn in_range(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(42, 62, 48, last)
}

/// The server of the phone's push messages.
pub(crate) const PUSH: Contact = Contact {
    way: Way::Dns,
    name: "push.cloud.example",
    address: in_range(10),
    port: 5222,
};

/// The server of the cloud backup.
pub(crate) const BACKUP: Contact = Contact {
    way: Way::Tls,
    name: "backup.cloud.example",
    address: in_range(11),
    port: 443,
};

/// The server of usage statistics.
pub(crate) const STATISTICS: Contact = Contact {
    way: Way::Quic,
    name: "stats.cloud.example",
    address: in_range(12),
    port: 443,
};

/// A server without a name.
pub(crate) const BARE: Contact = Contact {
    way: Way::Bare,
    name: "",
    address: in_range(13),
    port: 8080,
};

/// The server that the other phone contacts.
pub(crate) const NEWS: Contact = Contact {
    way: Way::Dns,
    name: "news.shop.example",
    address: in_range(20),
    port: 5222,
};

/// All servers of the story.
pub(crate) const ALL: [Contact; 5] = [PUSH, BACKUP, STATISTICS, BARE, NEWS];

impl Contact {
    pub(crate) fn server(&self) -> SocketAddr {
        SocketAddr::new(self.address.into(), self.port)
    }

    /// The word of the report for the source of the name; `None` without a name.
    pub(crate) const fn source(&self) -> Option<&'static str> {
        match self.way {
            Way::Dns => Some("dns"),
            Way::Tls => Some("sni"),
            Way::Quic => Some("quic"),
            Way::Bare => None,
        }
    }

    /// The contact in words.
    pub(crate) fn words(&self) -> String {
        match self.way {
            Way::Dns => format!("DNS name {}", self.name),
            Way::Tls => format!("TLS to {}", self.name),
            Way::Quic => format!("QUIC to {}", self.name),
            Way::Bare => "no name, bare address".to_owned(),
        }
    }

    /// Protocol and port, as reports write them.
    pub(crate) fn service(&self) -> String {
        let protocol = if self.way == Way::Quic { "udp" } else { "tcp" };
        format!("{protocol}/{}", self.port)
    }

    /// Makes the contact from a phone. Returns true if the server answered within `patience`.
    pub(crate) fn make(&self, phone: &Namespace, patience: Duration) -> Result<bool> {
        let made = match self.way {
            Way::Dns => self.resolve(phone).and_then(|found| match found {
                Some(address) => talk(phone, SocketAddr::new(address, self.port), patience),
                None => Ok(false),
            }),
            Way::Tls => self.get_page(phone, patience),
            Way::Quic => phone.enter(|| self.say_hello_by_quic(patience)),
            Way::Bare => talk(phone, self.server(), patience),
        };
        made.with_context(|| format!("{} at {}", self.words(), self.server()))
    }

    /// Asks the gateway's DNS server. Returns `None` without an answer.
    fn resolve(&self, phone: &Namespace) -> Result<Option<IpAddr>> {
        let mut dig = phone.command("dig");
        dig.arg(format!("@{GATEWAY_ADDRESS}"))
            .args([self.name, "A", "+short", "+tries=10", "+time=1"])
            .process_group(0);
        // Without an answer, dig fails and prints why.
        let said = dig.output().context("run dig")?.stdout;
        Ok(String::from_utf8_lossy(&said).trim().parse().ok())
    }

    /// Gets a page by TLS, as an app does. Without DNS, as with an answer from a cache.
    fn get_page(&self, phone: &Namespace, patience: Duration) -> Result<bool> {
        let mut curl = phone.command("curl");
        curl.args(["--silent", "--insecure", "--noproxy", "*", "--resolve"])
            .arg(format!("{}:{}:{}", self.name, self.port, self.address))
            .args(["--max-time", &patience.as_secs().to_string()])
            .arg(format!("https://{}/", self.name))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Ok(curl.status().context("run curl")?.success())
    }

    /// Sends the first datagram of a QUIC connection.
    fn say_hello_by_quic(&self, patience: Duration) -> Result<bool> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(self.server())?;
        socket.send(QUIC_INITIAL)?;
        // The server echoes a part of it, which shows that the datagram arrived.
        socket.set_read_timeout(Some(patience))?;
        match socket.recv(&mut [0; 64]) {
            Ok(_) => Ok(true),
            Err(error) if traffic::is_no_answer(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Sends bytes by TCP. Returns true if they come back.
fn talk(phone: &Namespace, server: SocketAddr, patience: Duration) -> Result<bool> {
    phone.enter(|| traffic::ask_tcp(server, patience).map_err(io::Error::into))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::names::quic::Connection;

    #[test]
    fn the_quic_datagram_states_the_name_of_the_server() {
        let taken = Connection::new().take(QUIC_INITIAL);
        assert!(!taken.malformed);
        let hello = taken.hello.unwrap();
        assert_eq!(
            hello.server_name.as_deref(),
            Some(STATISTICS.name.as_bytes())
        );
    }
}
