//! What happens between stations, and what `doctor` says about it.

use std::net::{Ipv4Addr, UdpSocket};

use anyhow::{Context as _, Result};

use super::super::gateway::rounds;
use super::super::phone::EACH;
use super::super::{PATIENCE, must_be, seen};
use super::Trial;
use crate::vm::wifi::Seat;

const PORT: u16 = 4000;
const LAST: &[u8] = b"last";

impl Trial<'_> {
    pub(super) fn doctor_says_it(&self) -> Result<()> {
        self.gateway
            .must_find("station", "blind", "wlan0: stations reach each other")?;
        if self.seat == Seat::AccessPoint {
            self.gateway
                .must_find("mode", "ok", "the only one for WiFi")?;
        }
        seen("doctor: wlan0: stations reach each other");
        Ok(())
    }

    /// Packets from station to station arrive, and the filter does not see them. It sees only
    /// the round that follows them.
    pub(super) fn stations_reach_each_other(&self) -> Result<()> {
        let counted = || {
            let interface = self.interface();
            anyhow::Ok((
                self.gateway.passed(interface)?,
                self.gateway.dropped(interface)?,
            ))
        };
        let before = counted()?;
        must_be("from station to station", &self.between_stations()?, &EACH)?;
        let expected = (before.0 + rounds(1), before.1 + rounds(1));
        must_be("passed and dropped by the filter", &counted()?, &expected)?;
        seen(format!(
            "{EACH} of {EACH} packets from station to station arrived, the filter saw none"
        ));
        Ok(())
    }

    /// With `ap_isolate`, no packet from station to station arrives.
    pub(super) fn stations_are_apart(&self) -> Result<()> {
        must_be("from station to station", &self.between_stations()?, &0)?;
        self.gateway
            .must_find("station", "ok", "wlan0: stations are isolated")
    }

    /// Sends datagrams from one station to the other. Returns how many arrive before one of
    /// the gateway, which is sent when the access point has got all of them.
    fn between_stations(&self) -> Result<usize> {
        let other = &self.air.other;
        let to = self.network.address_of(other)?;
        let socket = other.namespace.enter(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            Ok(socket)
        })?;
        // A station that the access point isolates cannot ask for the other's MAC.
        let sender = &self.air.dropped;
        sender.namespace.ip(&format!(
            "neighbour replace {to} lladdr {} dev {} nud permanent",
            other.mac, sender.interface
        ))?;
        sender.namespace.enter(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            for _ in 0..EACH {
                socket.send_to(b"to you", (to, PORT)).context("send")?;
            }
            Ok(())
        })?;
        self.must_be_behind(&socket, to)
    }

    fn must_be_behind(&self, socket: &UdpSocket, to: Ipv4Addr) -> Result<usize> {
        self.servers.round(self.dropped())?;
        let gateway = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("a socket")?;
        gateway.send_to(LAST, (to, PORT)).context("send")?;
        let mut arrived = 0;
        loop {
            let mut buffer = [0; 16];
            let length = socket.recv(&mut buffer).context("the last datagram")?;
            if &buffer[..length] == LAST {
                return Ok(arrived);
            }
            arrived += 1;
        }
    }
}
