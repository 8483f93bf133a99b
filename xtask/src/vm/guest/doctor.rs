//! What `monitor doctor` says about paths that this kernel has and the tests' kernel may not:
//! a flowtable in software, a tunnel, a clock.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::gateway::Gateway;
use super::phone::WiredPhone;
use super::{Guest, PATIENCE, ip, must_be, seen, write};
use crate::system::output;

/// Address of the server, in the range of the policy.
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 4, 2);
const PORT: u16 = 443;
/// Number of datagrams that the phone sends. The server answers each of them.
const DATAGRAMS: u64 = 40;
const POLICIES: &str = "version: 1
policies: [{name: seen, action: count, destinations: [10.77.4.0/24]}]
";
/// Connections move into the flowtable. The counter is behind it, in the usual way.
const RULES: &str = "table inet f {
  counter forwarded {}
  flowtable ft { hook ingress priority 0; devices = { lan0, wan0 }; }
  chain forward {
    type filter hook forward priority 0;
    meta l4proto udp counter name forwarded
    meta l4proto udp flow add @ft
  }
}
";

pub(super) fn play(guest: &Guest) -> Result<()> {
    guest.load_modules(&[
        "veth",
        "wireguard",
        "nft_ct",
        "nf_flow_table_inet",
        "nft_flow_offload",
    ])?;
    // Modules of older kernels. Newer ones have both within nf_tables.
    for name in ["nft_counter", "nft_objref"] {
        let _ = guest.load_modules(&[name]);
    }
    let phone = WiredPhone::connect("lan0", 3)?;
    let server = WiredPhone::connect("wan0", 4)?;
    write("/proc/sys/net/ipv4/ip_forward".as_ref(), "1")?;
    ip(&format!("route replace default via {SERVER}"))?;
    let rules = "/run/flowtable.nft".as_ref();
    write(rules, RULES)?;
    output(guest.tools.command("sbin/nft").arg("-f").arg(rules))?;

    for mode in ["native", "generic"] {
        sees_what_the_flowtable_forwards(guest, mode, &phone, &server).context(mode)?;
    }
    let mut gateway = Gateway::new(guest, "doctor", POLICIES)?;
    gateway.start("lan0", &["--mode", "auto"])?;
    gateway.must_find("offload", "ok", "the flowtable ft is in software")?;

    ip("link add wg0 type wireguard")?;
    ip("address add 10.77.5.1/24 dev wg0")?;
    ip("link set wg0 up")?;
    gateway.must_find("tunnel", "blind", "wg0 (wireguard) forwards packets")?;
    ip("link del wg0")?;
    gateway.must_find("tunnel", "ok", "no tunnel")?;
    gateway.must_find("interface", "ok", "wan0 is the far side")?;
    gateway.must_find("clock", "degraded", "not synchronised")?;
    seen("doctor names the flowtable, a tunnel while it is there, the far side and the clock");
    gateway.detach("lan0")
}

/// The packets of a connection in the flowtable do not take the usual way, but pass the filter.
fn sees_what_the_flowtable_forwards(
    guest: &Guest,
    mode: &str,
    phone: &WiredPhone,
    server: &WiredPhone,
) -> Result<()> {
    let mut gateway = Gateway::new(guest, &format!("flowtable-{mode}"), POLICIES)?;
    gateway.start("lan0", &["--mode", mode])?;
    let before = forwarded(guest)?;
    exchange(phone, server)?;
    let usual = forwarded(guest)? - before;
    ensure!(
        usual < DATAGRAMS / 2,
        "{usual} datagrams took the usual way"
    );
    let status = gateway.interface("lan0")?;
    let passed = &status["ipv4"]["passed"]["packets"];
    must_be("seen by the filter", &passed.as_u64(), &Some(DATAGRAMS))?;
    seen(format!(
        "a flowtable in software, {mode} mode: {usual} datagrams took the usual way, and the filter saw all {DATAGRAMS}"
    ));
    gateway.detach("lan0")
}

/// The phone sends, and waits for each answer: so the connection is established early.
fn exchange(phone: &WiredPhone, server: &WiredPhone) -> Result<()> {
    let bind = |namespace: &WiredPhone, port| {
        let socket = namespace.namespace.enter(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            Ok(socket)
        });
        socket.context("a socket")
    };
    let (at_server, at_phone) = (bind(server, PORT)?, bind(phone, 0)?);
    for number in 0..DATAGRAMS {
        at_phone.send_to(b"x", (SERVER, PORT)).context("send")?;
        let (_, from) = at_server.recv_from(&mut [0; 8]).context("at the server")?;
        at_server.send_to(b"y", from).context("answer")?;
        at_phone
            .recv(&mut [0; 8])
            .with_context(|| format!("answer {number}"))?;
        // A connection moves into the flowtable by work in the background.
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Datagrams of both directions that took the usual way.
fn forwarded(guest: &Guest) -> Result<u64> {
    let mut nft = guest.tools.command("sbin/nft");
    let text = output(nft.args(["list", "counter", "inet", "f", "forwarded"]))?;
    let number = text
        .split_whitespace()
        .skip_while(|word| *word != "packets")
        .nth(1);
    number
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("no number: {text}"))
}
