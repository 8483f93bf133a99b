//! Sends the evasion frames from a station, over 802.11, and looks which reach the internet.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockProtocol, recv, send, setsockopt, sockopt};
use nix::sys::time::TimeVal;

use super::super::{must_be, seen};
use super::air::Air;
use super::frames::{self, HIDDEN, OPEN, Sender, Target};
use super::{Trial, frames::Way};
use crate::netns::packet_socket;

/// Markers of datagrams behind the frames begin here.
const SENTINELS: u16 = 0x8000;
/// Time to wait for such a datagram, and number of attempts.
const WAIT: Duration = Duration::from_secs(10);
const ATTEMPTS: usize = 6;

impl Trial<'_> {
    /// Nothing to the hidden address arrives. To the open address, the frames arrive that
    /// Linux delivers.
    pub(super) fn nothing_evades(&mut self) -> Result<()> {
        let mut range = Range::new(self)?;
        let (hidden, open) = (range.shoot(HIDDEN)?, range.shoot(OPEN)?);
        ensure!(hidden.is_empty(), "got past the filter: {hidden:?}");
        let missing: Vec<_> = range.must_arrive.difference(&open).collect();
        ensure!(
            missing.is_empty(),
            "to an open address, these must arrive: {missing:?}"
        );
        seen(format!(
            "{} ways to hide a packet, sent over 802.11: none reached the dropped address, {} reached the other",
            range.ways,
            open.len()
        ));
        drop(range);
        self.delivered = open;
        Ok(())
    }

    /// Without a filter, the same frames reach both addresses. Returns their number.
    pub(super) fn without_a_filter_they_arrive(&self) -> Result<usize> {
        let mut range = Range::new(self)?;
        let (hidden, open) = (range.shoot(HIDDEN)?, range.shoot(OPEN)?);
        must_be("to both addresses", &hidden, &open)?;
        let differs = open.symmetric_difference(&self.delivered);
        let differs: Vec<_> = differs.filter(|way| !frames::is_too_deep(way)).collect();
        ensure!(
            differs.is_empty(),
            "to the open address, these arrive only with or only without the filter: {differs:?}"
        );
        Ok(open.len())
    }
}

/// Sockets at both ends.
struct Range<'a> {
    air: &'a Air<'a>,
    station: OwnedFd,
    internet: OwnedFd,
    sender: Sender,
    sentinels: u16,
    ways: usize,
    must_arrive: BTreeSet<String>,
}

impl<'a> Range<'a> {
    fn new(trial: &'a Trial<'_>) -> Result<Self> {
        let station = &trial.air.dropped;
        let internet = &trial.network.internet.namespace;
        let to = std::fs::read_to_string(format!("/sys/class/net/{}/address", trial.interface()));
        let sender = Sender {
            to: bytes(to.context("MAC of the gateway")?.trim())?,
            from: bytes(&station.mac)?,
            marker: 0,
        };
        let every = Some(SockProtocol::EthAll);
        let internet = packet_socket(internet, "eth0", every)?;
        let sending = packet_socket(&station.namespace, station.interface, None)?;
        let wait = TimeVal::new(1, 0);
        setsockopt(&internet, sockopt::ReceiveTimeout, &wait).context("a time limit")?;
        // Without an access point, the queue of the radio does not move.
        setsockopt(&sending, sockopt::SendTimeout, &wait).context("a time limit")?;
        let ways = frames::all(sender, OPEN);
        let must_arrive = ways.iter().filter(|way| way.must_arrive);
        Ok(Self {
            air: &trial.air,
            station: sending,
            internet,
            sender,
            sentinels: SENTINELS,
            ways: ways.len(),
            must_arrive: must_arrive.map(|way| way.name.clone()).collect(),
        })
    }

    /// Sends every way to the destination. Returns the names of those that arrived.
    fn shoot(&mut self, target: Target) -> Result<BTreeSet<String>> {
        let mut arrived = BTreeSet::new();
        for index in 0..self.ways {
            let marker = u16::try_from(index + 1)?;
            let sender = Sender {
                marker,
                ..self.sender
            };
            let mut ways = frames::all(sender, target);
            let Way { name, frames, .. } = ways.swap_remove(index);
            for found in self
                .send_until_it_is_behind(&frames)
                .context(name.clone())?
            {
                if target.is(found.1) {
                    ensure!(found.0 == marker, "{name}: a late packet: {found:?}");
                    arrived.insert(name.clone());
                }
            }
        }
        Ok(arrived)
    }

    /// Sends the frames, and then datagrams to the open address, the second one when the
    /// first one has arrived. Returns what arrives before them. If a datagram is lost, the
    /// frames may be lost too, and are sent again.
    fn send_until_it_is_behind(&mut self, frames: &[Vec<u8>]) -> Result<Vec<(u16, IpAddr)>> {
        let mut before = Vec::new();
        for attempt in 1..=ATTEMPTS {
            for frame in frames {
                self.send(frame)?;
            }
            if self.is_behind(&mut before)? && self.is_behind(&mut before)? {
                return Ok(before);
            }
            println!("attempt {attempt} of {ATTEMPTS}: {}", self.air.state());
        }
        bail!("the datagram behind it did not arrive, {ATTEMPTS} times")
    }

    /// Sends a plain datagram to the open address. Returns false if it does not arrive.
    fn is_behind(&mut self, before: &mut Vec<(u16, IpAddr)>) -> Result<bool> {
        self.sentinels = self.sentinels.checked_add(1).unwrap_or(SENTINELS);
        let sender = Sender {
            marker: self.sentinels,
            ..self.sender
        };
        self.send(&frames::plain(sender, OPEN))?;
        let began = Instant::now();
        while began.elapsed() < WAIT {
            let mut buffer = [0; 4096];
            let length = match recv(self.internet.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(length) => length,
                Err(Errno::EAGAIN) => continue,
                Err(error) => return Err(error).context("receive"),
            };
            match packet(&buffer[..length]) {
                Some((marker, _)) if marker == self.sentinels => return Ok(true),
                Some((marker, _)) if marker >= SENTINELS => {}
                Some(other) => before.push(other),
                None => {}
            }
        }
        Ok(false)
    }

    fn send(&self, frame: &[u8]) -> Result<()> {
        let sent = send(self.station.as_raw_fd(), frame, MsgFlags::empty()).context("send")?;
        must_be("bytes sent", &sent, &frame.len())
    }
}

/// The marker and the destination of an IP packet. Linux wrote its Ethernet header.
fn packet(frame: &[u8]) -> Option<(u16, IpAddr)> {
    let number = |at: usize| Some(u16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?));
    match number(12)? {
        0x0800 => {
            let to: [u8; 4] = frame.get(30..34)?.try_into().ok()?;
            Some((number(18)?, to.into()))
        }
        0x86dd => {
            let to: [u8; 16] = frame.get(38..54)?.try_into().ok()?;
            Some((number(16)?, Ipv6Addr::from(to).into()))
        }
        _ => None,
    }
}

fn bytes(mac: &str) -> Result<[u8; 6]> {
    let bytes = mac.split(':').map(|byte| u8::from_str_radix(byte, 16));
    let bytes: Vec<u8> = bytes.collect::<Result<_, _>>().context("MAC")?;
    bytes.try_into().ok().context("a MAC has six bytes")
}
