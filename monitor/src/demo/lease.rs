//! A phone gets its address by DHCP (RFC 2131), and states a host name.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::demo::namespace::Namespace;
use crate::demo::topology::GATEWAY_ADDRESS;

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;

/// Begin of the options (RFC 2131, section 3).
const COOKIE: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
const OPTIONS: usize = 240;

const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Gets the lease of the phone with this MAC, and returns its address.
pub(crate) fn get(phone: &Namespace, mac: &str, host_name: &str) -> Result<Ipv4Addr> {
    let mac = bytes(mac)?;
    phone
        .enter(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 68))?;
            socket.set_broadcast(true)?;
            socket.set_read_timeout(Some(ASK_AGAIN))?;
            let offer = message(mac, DISCOVER, host_name, None)?;
            let offered = ask(&socket, &offer, OFFER)?;
            let request = message(mac, REQUEST, host_name, Some(offered))?;
            ask(&socket, &request, ACK)
        })
        .with_context(|| format!("the lease of {host_name}"))
}

/// Sends a message until an answer of this kind comes. Returns the address in it.
fn ask(socket: &UdpSocket, message: &[u8], kind: u8) -> Result<Ipv4Addr> {
    let deadline = Instant::now() + ANSWER_WITHIN;
    while Instant::now() < deadline {
        socket.send_to(message, (Ipv4Addr::BROADCAST, 67))?;
        let mut buffer = [0; 1500];
        // An error is a missing answer: the loop asks again.
        let length = socket.recv(&mut buffer).unwrap_or(0);
        let answer = &buffer[..length];
        if answer.get(OPTIONS..OPTIONS + 3) == Some(&[53, 1, kind][..])
            && let Some(&[a, b, c, d]) = answer.get(16..20)
        {
            return Ok([a, b, c, d].into());
        }
    }
    bail!("dnsmasq does not answer DHCP within {ANSWER_WITHIN:?}")
}

fn message(
    mac: [u8; 6],
    kind: u8,
    host_name: &str,
    requested: Option<Ipv4Addr>,
) -> Result<Vec<u8>> {
    // Request, Ethernet, length of the MAC, hops, transaction, seconds, broadcast.
    let mut bytes = vec![1, 1, 6, 0, 7, 7, 7, 7, 0, 0, 0x80, 0];
    bytes.resize(28, 0);
    bytes.extend(mac);
    bytes.resize(OPTIONS - COOKIE.len(), 0);
    bytes.extend(COOKIE);
    bytes.extend([53, 1, kind]);
    bytes.extend([12, u8::try_from(host_name.len()).context("host name")?]);
    bytes.extend(host_name.as_bytes());
    if let Some(address) = requested {
        bytes.extend([50, 4].iter().chain(&address.octets()));
        bytes.extend([54, 4].iter().chain(&GATEWAY_ADDRESS.octets()));
    }
    bytes.push(255);
    bytes.resize(bytes.len().max(300), 0);
    Ok(bytes)
}

fn bytes(mac: &str) -> Result<[u8; 6]> {
    let bytes = mac.split(':').map(|byte| u8::from_str_radix(byte, 16));
    let bytes: Vec<u8> = bytes.collect::<Result<_, _>>().context("MAC")?;
    bytes.try_into().ok().context("a MAC has six bytes")
}
