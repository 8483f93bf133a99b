//! Behind the access point: dnsmasq for the stations, and an internet in a namespace.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::super::phone::{BLOCKED, MAC, WiredPhone};
use super::super::{Guest, ip, wait_for, write};
use super::air::{GATEWAY, Station};
use super::frames::{HIDDEN, OPEN};
use crate::netns::Namespace;
use crate::system::output;
use crate::vm::wifi::Seat;

/// A name of the blocked address.
pub(super) const BLOCKED_NAME: &str = "blocked.example";
const LEASES: &str = "/run/dnsmasq.leases";
/// Called by the DHCP client.
const CONFIGURE: &str = "/run/udhcpc.sh";
const SCRIPT: &str = "#!/bin/sh
[ \"$1\" = bound ] || exit 0
ip address replace \"$ip/24\" dev \"$interface\"
ip route replace default via \"$router\"
";

/// Dropping the value ends dnsmasq and removes the internet.
pub(super) struct Network {
    dnsmasq: Child,
    /// The gateway's interface is `wan0`.
    pub(super) internet: WiredPhone,
}

#[expect(
    clippy::unused_self,
    reason = "only a network that is there has leases, names and routes"
)]
impl Network {
    pub(super) fn start(seat: Seat) -> Result<Self> {
        write(CONFIGURE.as_ref(), SCRIPT)?;
        fs::set_permissions(CONFIGURE, fs::Permissions::from_mode(0o755)).context(CONFIGURE)?;
        let _absent = fs::remove_file(LEASES);
        let mut dnsmasq = Command::new("dnsmasq");
        dnsmasq
            .args(["--keep-in-foreground", "--conf-file=/dev/null"])
            .args(["--user=root", "--pid-file=", "--bind-dynamic"])
            .args(["--no-resolv", "--no-hosts", "--no-ping"])
            .args([
                "--dhcp-authoritative",
                "--dhcp-range=10.77.9.50,10.77.9.60,1h",
            ])
            .arg(format!("--interface={}", seat.interface()))
            .arg(format!("--dhcp-leasefile={LEASES}"))
            .arg(format!("--host-record={BLOCKED_NAME},{BLOCKED}"))
            .stdin(Stdio::null());
        let network = Self {
            dnsmasq: dnsmasq.spawn().context("dnsmasq")?,
            internet: WiredPhone::connect("wan0", 4)?,
        };
        network.must_not_forward()?;
        network.route()?;
        Ok(network)
    }

    /// The lease file of dnsmasq.
    pub(super) fn leases(&self) -> &Path {
        Path::new(LEASES)
    }

    /// A station gets its address by DHCP, and states its name.
    pub(super) fn lease(&self, guest: &Guest, station: &Station, name: &str) -> Result<()> {
        let mut client = station.namespace.command(guest.tools.busybox());
        client
            .args(["udhcpc", "-i", station.interface, "-s", CONFIGURE])
            .args(["-x", &format!("hostname:{name}")])
            .args(["-n", "-q", "-f", "-t", "20", "-T", "1"]);
        output(&mut client)?;
        let leases = fs::read_to_string(self.leases()).context(LEASES)?;
        ensure!(leases.contains(name), "no lease of {name}: {leases}");
        Ok(())
    }

    /// The address that the station has by its lease.
    pub(super) fn address_of(&self, station: &Station) -> Result<Ipv4Addr> {
        let leases = fs::read_to_string(self.leases()).context(LEASES)?;
        let mut lines = leases.lines().map(|line| line.split(' '));
        let address = lines.find_map(|mut words| {
            let is_its = words.nth(1) == Some(&station.mac);
            words.next().filter(|_| is_its)
        });
        let address = address.with_context(|| format!("no lease of {}", station.mac))?;
        address.parse().with_context(|| address.to_owned())
    }

    /// A station asks the gateway's DNS server for the blocked address.
    pub(super) fn ask_for_the_blocked_name(&self, station: &Namespace) -> Result<()> {
        wait_for("an answer of DNS", || {
            let mut dig = station.command("dig");
            dig.args(["+short", "+tries=1", "+time=5"])
                .arg(format!("@{GATEWAY}"))
                .arg(BLOCKED_NAME);
            Ok(output(&mut dig).is_ok_and(|said| said.trim() == BLOCKED.to_string()))
        })
        .map(drop)
    }

    /// Keeps the internet from sending packets back. A new namespace forwards as the gateway
    /// does, and its default route leads to the gateway: packets would go round until their
    /// end, and fill the socket that waits for them.
    fn must_not_forward(&self) -> Result<()> {
        let inside = &self.internet.namespace;
        inside.enter(|| write("/proc/sys/net/ipv4/ip_forward".as_ref(), "0"))
    }

    /// Routes the destinations of the evasion frames through the gateway into the internet.
    fn route(&self) -> Result<()> {
        write("/proc/sys/net/ipv4/ip_forward".as_ref(), "1")?;
        write("/proc/sys/net/ipv6/conf/all/forwarding".as_ref(), "1")?;
        ip("-6 address add fd77:4::1/64 dev wan0 nodad")?;
        for hop in ["10.77.4.2", "fd77:4::2"] {
            ip(&format!(
                "neighbour replace {hop} lladdr {MAC} dev wan0 nud permanent"
            ))?;
        }
        for target in [HIDDEN, OPEN] {
            ip(&format!("route replace {}/32 via 10.77.4.2", target.ipv4))?;
            for address in target.all_ipv6() {
                ip(&format!("-6 route replace {address}/128 via fd77:4::2"))?;
            }
        }
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _killed = self.dnsmasq.kill();
        let _ended = self.dnsmasq.wait();
    }
}
