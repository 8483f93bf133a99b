//! The verifier accepts the program, and the filter works on a veth pair, in both modes,
//! with a ruleset that uses every feature.

use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::capture::capture;
use super::gateway::{Gateway, POLICIES, rounds};
use super::phone::{ALL, BLOCKED, EACH, FILTERED, MAC, OPEN, Servers, WiredPhone};
use super::{Guest, PATIENCE, fact, jumbo, kernel_version, must_be, seen, wait_for, write};
use crate::system::output;

/// Policies with every kind of condition, so that the verifier removes no code.
const EVERYTHING: &str = "version: 1
policies:
  - name: blocked
    action: drop
    allow_handshake: true
    destinations: [198.51.100.0/24, 2001:db8:bad::/48]
    devices: [\"64:cc:2e:00:00:00/24\", 10.77.0.0/16, 2001:db8:77::/48]
    services: [https, tcp/80, udp/8000-9000, icmp]
    interfaces: [lan0]
  - name: looked-at
    action: count
    destinations: [192.0.2.0/24, 2001:db8:1::/48]
    except_devices: [\"02:00:00:00:00:01\"]
    services: [udp/443]
  - name: spared
    action: allow
    destinations: [198.51.100.99]
    schedule: {from: \"00:00\", to: \"24:00\", timezone: UTC}
";

pub(super) fn play(guest: &Guest) -> Result<()> {
    // Before Linux 6.6, DNS answers are copied by a classifier of `clsact`.
    guest.load_modules(&["veth", "sch_ingress", "cls_bpf"])?;
    let phone = WiredPhone::connect("lan0", 1)?;
    let servers = Servers::start()?;
    must_be("without a filter", &servers.round(&phone.namespace)?, &ALL)?;
    for mode in ["generic", "native"] {
        filter(guest, mode, &phone, &servers).with_context(|| format!("{mode} mode"))?;
        capture(guest, mode, &phone, &servers).with_context(|| format!("capture, {mode} mode"))?;
    }
    jumbo::play(guest).context("large frames")?;
    replay(guest).context("replay")
}

/// One life of a filter, from loading to detaching.
fn filter(guest: &Guest, mode: &str, phone: &WiredPhone, servers: &Servers) -> Result<()> {
    let mut gateway = Gateway::new(guest, &format!("load-{mode}"), EVERYTHING)?;
    gateway.start("lan0", &["--mode", mode, "--log-packets"])?;
    gateway.must_be_in_mode("lan0", mode)?;
    must_be("filtered", &servers.round(&phone.namespace)?, &FILTERED)?;
    gateway.must_have_counted_a_round("lan0", MAC)?;
    seen(format!(
        "{mode}: the verifier took a ruleset with every condition; 10 of 10 to {BLOCKED} dropped and counted for {MAC}, 10 of 10 to {OPEN} passed"
    ));
    wait_for("the log names the blocked address", || {
        Ok(gateway.said()?.contains(&BLOCKED.to_string()))
    })?;
    must_have_flows(&gateway)?;
    fact("ring", "yes");
    name_of_dns(&gateway, phone).with_context(|| gateway.said().unwrap_or_default())?;
    let hook = dns_hook()?;
    fact("dns", hook);
    seen(format!(
        "{mode}: `flows` has a flow to each address, and the name from a DNS answer, copied by {hook}"
    ));

    let generation = gateway.generation("lan0")?;
    gateway.write_policies(POLICIES)?;
    wait_for("the changed file is in force", || {
        Ok(gateway.generation("lan0")? > generation)
    })?;
    must_be(
        "after a reload",
        &servers.round(&phone.namespace)?,
        &FILTERED,
    )?;
    must_be("counters go on", &gateway.dropped("lan0")?, &rounds(2))?;
    gateway.stop()?;
    must_be(
        "without a daemon",
        &servers.round(&phone.namespace)?,
        &FILTERED,
    )?;
    must_be("and counted", &gateway.dropped("lan0")?, &rounds(3))?;
    seen(format!(
        "{mode}: generation {generation} was replaced when the file changed, the counters went on, and filter and `status` worked without a daemon"
    ));

    gateway.start("lan0", &["--mode", mode])?;
    must_be("a new daemon", &gateway.dropped("lan0")?, &rounds(3))?;
    // In one mode only: the program is the same in both, and this test waits.
    if mode == "generic" {
        goes_back(&mut gateway, phone, servers).context("what nobody confirms")?;
    }
    gateway.detach("lan0")?;
    fact(mode, "yes");
    must_be("detached", &servers.round(&phone.namespace)?, &ALL)?;
    seen(format!(
        "{mode}: a new daemon took over, and `detach` left no program and no pins"
    ));
    Ok(())
}

/// Checks that `flows` has one flow to each address, and that the flow counts all packets of
/// one round.
fn must_have_flows(gateway: &Gateway<'_>) -> Result<()> {
    let answer = gateway.ask("flows", &[])?;
    let flows = answer["flows"].as_array().context("no flows")?;
    for (address, dropped) in [(BLOCKED, EACH), (OPEN, 0)] {
        let found = flows.iter().find(|flow| {
            flow["destination"] == address.to_string()
                && flow["device"] == MAC
                && flow["packets"] == EACH
                && flow["dropped"] == dropped
        });
        ensure!(found.is_some(), "no such flow to {address}: {answer}");
    }
    Ok(())
}

/// The gateway answers a question of the phone. Then a flow to the address has the name.
fn name_of_dns(gateway: &Gateway<'_>, phone: &WiredPhone) -> Result<()> {
    wait_for("DNS answers are copied", || {
        let status = gateway.ask("status", &[])?;
        Ok(status["evidence"]["dns_copied"][0] == "lan0")
    })?;
    let server = UdpSocket::bind("10.77.1.1:53").context("a DNS server")?;
    server.set_read_timeout(Some(PATIENCE))?;
    phone.namespace.enter(|| {
        let client = UdpSocket::bind("10.77.1.2:0")?;
        client.send_to(&dns_question(), "10.77.1.1:53")?;
        let mut question = [0; 512];
        let (length, from) = server.recv_from(&mut question)?;
        server.send_to(&dns_answer(&question[..length]), from)?;
        client.set_read_timeout(Some(PATIENCE))?;
        client.recv(&mut question).context("the DNS answer")?;
        client.send_to(b"hello", (OPEN, 443))?;
        Ok(())
    })?;
    wait_for("the flow has its name", || {
        let answer = gateway.ask("flows", &["--destination", &OPEN.to_string()])?;
        let names = answer["flows"][0]["names"].as_array();
        Ok(names.is_some_and(|names| {
            names
                .iter()
                .any(|name| name["how"] == "dns" && name["name"] == "open.example")
        }))
    })?;
    Ok(())
}

/// The hook that copies DNS answers. It must be TCX where the kernel has it (commit
/// e420bed02507).
fn dns_hook() -> Result<&'static str> {
    let qdiscs = output(Command::new("tc").args(["qdisc", "show", "dev", "lan0"]))?;
    let hook = if qdiscs.contains("clsact") {
        "clsact"
    } else {
        "TCX"
    };
    let expected = if kernel_version()? < (6, 6) {
        "clsact"
    } else {
        "TCX"
    };
    must_be("hook of the DNS answers", &hook, &expected)?;
    Ok(hook)
}

/// Asks for the IPv4 address of `open.example` (RFC 1035).
fn dns_question() -> Vec<u8> {
    let mut question = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    question.extend_from_slice(b"\x04open\x07example\0\0\x01\0\x01");
    question
}

/// The answer to this question: the open address, for five minutes.
fn dns_answer(question: &[u8]) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[2..4].copy_from_slice(&[0x81, 0x80]);
    answer[7] = 1;
    answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0x2c, 0, 4]);
    answer.extend_from_slice(&OPEN.octets());
    answer
}

/// A generation without confirmation is rolled back by the kernel, without a daemon.
fn goes_back(gateway: &mut Gateway<'_>, phone: &WiredPhone, servers: &Servers) -> Result<()> {
    gateway.ask("reload", &["--confirm", "30s"])?;
    let tried = gateway.generation("lan0")?;
    gateway.write_policies(&POLICIES.replace("action: drop", "action: count"))?;
    wait_for("the changed file is in force", || {
        Ok(gateway.generation("lan0")? > tried)
    })?;
    must_be("not confirmed yet", &servers.round(&phone.namespace)?, &ALL)?;
    gateway.stop()?;
    wait_for("nobody has confirmed it", || {
        let status = gateway.ask("status", &[])?;
        Ok(status["unconfirmed"]["rolled_back"] == true)
    })?;
    must_be("gone back", &servers.round(&phone.namespace)?, &FILTERED)?;
    must_be("counters go on", &gateway.dropped("lan0")?, &rounds(4))?;
    ensure!(
        gateway.generation("lan0")? < tried,
        "the generation in force is not the previous one"
    );
    fact("confirm", "yes");
    seen("a reload that nobody confirmed went back by itself after its time, without a daemon");
    Ok(())
}

/// `replay` runs the same program by `BPF_PROG_TEST_RUN`.
fn replay(guest: &Guest) -> Result<()> {
    let policies = Path::new("/run/replay.yaml");
    write(policies, POLICIES)?;
    let capture = Path::new("/run/replay.pcap");
    std::fs::write(capture, capture_of(&[BLOCKED, OPEN, BLOCKED])).context("a capture")?;
    let mut command = guest.monitor();
    command
        .arg("replay")
        .arg(capture)
        .arg("--policies")
        .arg(policies)
        .arg("--json");
    let report = output(&mut command)?;
    let report: serde_json::Value = serde_json::from_str(&report).context(report)?;
    let blocked = &report["policies"]["blocked"];
    ensure!(
        report["packets"] == 3
            && report["parsed"] == 3
            && blocked["dropped"] == 2
            && report["policies"]["looked-at"]["packets"] == 1,
        "{report}"
    );
    seen("replay: of 3 frames of a capture 2 would be dropped");
    Ok(())
}

/// A pcap file with one UDP datagram to each address.
fn capture_of(destinations: &[std::net::Ipv4Addr]) -> Vec<u8> {
    const ETHERNET: u32 = 1;
    let mut file = Vec::new();
    file.extend_from_slice(&0xa1b2_c3d4_u32.to_le_bytes());
    file.extend_from_slice(&[2, 0, 4, 0]);
    for field in [0, 0, 65_535, ETHERNET] {
        file.extend_from_slice(&u32::to_le_bytes(field));
    }
    for destination in destinations {
        let frame = frame_to(*destination);
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        for field in [0, 0, length, length] {
            file.extend_from_slice(&u32::to_le_bytes(field));
        }
        file.extend_from_slice(&frame);
    }
    file
}

fn frame_to(destination: std::net::Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 0x64, 0xcc, 0x2e, 0x11, 0x22, 0x33, 8, 0];
    // 20 bytes of IPv4 header and 8 of UDP. The filter does not check checksums.
    frame.extend_from_slice(&[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 77, 1, 2]);
    frame.extend_from_slice(&destination.octets());
    frame.extend_from_slice(&[0xc0, 0, 1, 0xbb, 0, 8, 0, 0]);
    frame
}
