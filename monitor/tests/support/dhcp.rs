//! A DHCP server, and a client that asks it for an address (RFC 2131).

use std::{
    net::{Ipv4Addr, UdpSocket},
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use super::lab::{Lab, poll};

/// A running dnsmasq. Dropping this value kills it.
pub(crate) struct DhcpServer(Child);

impl DhcpServer {
    /// Starts dnsmasq on the gateway's end. It writes its leases into `leases`.
    pub(crate) fn start(lab: &Lab, leases: &Path) -> Self {
        let child = lab
            .gateway
            .command("dnsmasq")
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0"])
            .args(["--interface=wlan0", "--bind-interfaces", "--user=root"])
            .args(["--dhcp-range=10.77.0.50,10.77.0.60,1h", "--no-ping"])
            .args(["--pid-file=", "--dhcp-authoritative"])
            .arg(format!("--dhcp-leasefile={}", leases.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start dnsmasq");
        Self(child)
    }
}

impl Drop for DhcpServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;

/// Gets an address for a MAC, as a phone does when it joins. The host name is sent as it is.
pub(crate) fn get_address(lab: &Lab, mac: [u8; 6], host_name: &[u8]) -> Ipv4Addr {
    lab.phone.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:68").unwrap();
        socket.set_broadcast(true).unwrap();
        let wait = Duration::from_millis(100);
        socket.set_read_timeout(Some(wait)).unwrap();
        let mut offered = Ipv4Addr::UNSPECIFIED;
        for (kind, answer) in [(DISCOVER, OFFER), (REQUEST, ACK)] {
            let message = message(mac, kind, host_name, offered);
            let mut buffer = [0; 1500];
            poll("the DHCP server answers", || {
                let server = ("255.255.255.255", 67);
                socket.send_to(&message, server).unwrap();
                let length = socket.recv(&mut buffer).unwrap_or(0);
                let found = option(&buffer[..length], 53);
                found == Some(&[answer][..])
            });
            offered = <[u8; 4]>::try_from(&buffer[16..20]).unwrap().into();
        }
        offered
    })
}

fn message(mac: [u8; 6], kind: u8, host_name: &[u8], requested: Ipv4Addr) -> Vec<u8> {
    // Request, Ethernet, length of the MAC, hops, transaction, seconds, broadcast.
    let mut bytes = vec![1, 1, 6, 0, 7, 7, 7, 7, 0, 0, 0x80, 0];
    bytes.resize(28, 0);
    bytes.extend(mac);
    bytes.resize(236, 0);
    bytes.extend([0x63, 0x82, 0x53, 0x63, 53, 1, kind]);
    let length = u8::try_from(host_name.len()).unwrap();
    bytes.extend([12, length].iter().chain(host_name));
    if kind == REQUEST {
        let server = [54, 4, 10, 77, 0, 1];
        bytes.extend([50, 4].iter().chain(&requested.octets()).chain(&server));
    }
    bytes.push(255);
    bytes.resize(bytes.len().max(300), 0);
    bytes
}

/// Returns the value of an option.
fn option(message: &[u8], code: u8) -> Option<&[u8]> {
    let mut rest = message.get(240..)?;
    while let [found, length, after @ ..] = rest {
        let (value, next) = after.split_at_checked(usize::from(*length))?;
        if *found == code {
            return Some(value);
        }
        rest = next;
    }
    None
}
