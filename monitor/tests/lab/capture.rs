//! `monitor capture`: which packets and which bytes it writes.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use aya::programs::ProgramInfo;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use support::{
    captured::{CaptureContent, Captured, read_capture},
    lab::{Daemon, Lab, PHONE_MAC, binary, poll, text},
    packets::{Builder, ETHERNET_HEADER, EXTENSIONS, Fragment, TPIDS, Transport, to},
    raw::RawSocket,
};

const POLICIES: &str = "version: 1
policies:
  - name: blocked
    action: drop
    destinations: [198.51.100.0/24, 2001:db8:bad::/48]
  - name: seen
    action: count
    destinations: [192.0.2.0/24, 198.51.100.0/24, 2001:db8::/32]
  - name: saved
    action: allow
    destinations: [198.51.100.200, 2001:db8:bad:a::/64]
  - name: web
    action: count
    destinations: [192.0.2.0/24]
    services: [tcp/443]
";

/// Payload that must not be in a file without `--payload`.
const MARKER: &[u8] = b"SECRET-PAYLOAD-0123456789-0123456789";

const IPV4: [&str; 3] = ["192.0.2.10", "198.51.100.10", "198.51.100.200"];
const IPV6: [&str; 3] = ["2001:db8:1::10", "2001:db8:bad::10", "2001:db8:bad:a::1"];

/// A frame, and the length of its headers.
struct Sent {
    frame: Vec<u8>,
    headers: usize,
}

/// A frame with the marker as payload. Everything before the marker is headers.
fn sent(builder: Builder) -> Sent {
    let frame = builder.payload(MARKER).build();
    let headers = frame.len() - MARKER.len();
    Sent { frame, headers }
}

/// Frames of every kind to every destination. Each is unlike all others.
fn frames() -> Vec<Sent> {
    let mut frames = Vec::new();
    let transports = [
        Transport::Tcp(443),
        Transport::Tcp(80),
        Transport::Udp(53),
        Transport::EchoRequest,
        Transport::Other(47),
        Transport::Other(50),
    ];
    for destination in IPV4.into_iter().chain(IPV6) {
        for transport in transports {
            let plain = to(destination).transport(transport);
            frames.push(sent(plain.clone()));
            frames.push(sent(plain.clone().tags(&TPIDS[..1])));
            frames.push(sent(plain.clone().tags(&TPIDS)));
            frames.push(sent(plain.clone().pppoe()));
            frames.push(sent(plain.clone().fragment(Fragment::First)));
            frames.push(sent(plain.fragment(Fragment::Later(64))));
        }
    }
    for destination in IPV4 {
        frames.push(sent(
            to(destination).options(10).transport(Transport::Tcp(443)),
        ));
    }
    for destination in IPV6 {
        let tcp = to(destination).transport(Transport::Tcp(443));
        frames.push(sent(tcp.clone().extensions(&EXTENSIONS[..2])));
        frames.push(sent(tcp.extensions(&[0, 60, 60, 60])));
    }
    frames
}

fn lab(name: &str) -> (Lab, Daemon) {
    let lab = Lab::new(name);
    lab.write_policies(POLICIES);
    let daemon = lab.start(&["--mode", "generic"]);
    (lab, daemon)
}

/// Sends the frames, and waits until the policy has counted `matched` packets more.
fn send(lab: &Lab, frames: &[Sent], policy: &str, matched: u64) {
    let before = total(lab, policy);
    let phone = RawSocket::sender(&lab.phone, "eth0");
    for frame in frames {
        phone.send(&frame.frame);
    }
    poll("the packets are counted", || {
        total(lab, policy) == before + matched
    });
}

fn total(lab: &Lab, policy: &str) -> u64 {
    let (passed, dropped) = lab.policy(policy);
    passed + dropped
}

fn is_to(frame: &[u8], destinations: &[&str]) -> bool {
    destinations.iter().any(|destination| {
        let bytes = match destination.parse().unwrap() {
            std::net::IpAddr::V4(address) => address.octets().to_vec(),
            std::net::IpAddr::V6(address) => address.octets().to_vec(),
        };
        frame.windows(bytes.len()).any(|window| window == bytes)
    })
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_capture_has_the_headers_of_every_kind_of_packet_and_no_payload() {
    let (lab, _daemon) = lab("capture-headers");
    let frames = frames();
    let capture = lab.capture("seen", &["--for", "10m"]);
    assert!(lab.copies_packets());
    the_verifier_has_room(&lab);
    let before = lab.policy("seen");
    send(&lab, &frames, "seen", frames.len() as u64);
    let after = lab.policy("seen");
    let file = capture.file.clone();
    let (printed, content) = capture.stop();
    let counted = after.0 - before.0 + after.1 - before.1;
    assert_eq!(printed["packets"].as_u64().unwrap(), counted);
    assert_eq!(
        (&printed["lost"], &printed["end"]),
        (&0.into(), &"asked".into())
    );
    assert_eq!(content.packets.len(), frames.len());
    for (sent, found) in frames.iter().zip(&content.packets) {
        assert_headers(sent, found);
    }
    assert_eq!((content.lost, content.counts), (0, 1));
    assert!(content.application.starts_with("monitor "));
    let bytes = fs::read(&file).unwrap();
    assert!(!holds(&bytes, &MARKER[..6]), "the payload is in the file");
    assert_eq!(printed["bytes"], bytes.len());
    assert_eq!(printed["sha256"], hex::encode(Sha256::digest(&bytes)));
    assert!(!lab.copies_packets(), "the filter still copies packets");
    assert_eq!(lab.running_capture(), None);
    others_read_it(&file, frames.len());
    an_event_tells(&lab, &printed);
    times_are_those_of_packets(&printed, &content.packets);
}

/// Begin ≤ first packet ≤ last packet ≤ end.
fn times_are_those_of_packets(printed: &Value, packets: &[Captured]) {
    let time = |key: &str| -> jiff::Timestamp { printed[key].as_str().unwrap().parse().unwrap() };
    let of_packets = packets.iter().map(|packet| packet.at.into());
    assert_eq!(
        of_packets.clone().min(),
        Some(time("first").as_nanosecond())
    );
    assert_eq!(of_packets.max(), Some(time("last").as_nanosecond()));
    let times = ["since", "first", "last", "until"].map(time);
    assert!(times.is_sorted(), "{printed}");
}

fn assert_headers(sent: &Sent, found: &Captured) {
    let shown = hex::encode(&sent.frame);
    assert_eq!(found.interface, "wlan0");
    assert_eq!(found.length as usize, sent.frame.len(), "{shown}");
    assert_eq!(
        hex::encode(&found.data),
        hex::encode(&sent.frame[..sent.headers]),
        "{shown}"
    );
    let expected = if is_to(&sent.frame, &[IPV4[2], IPV6[2]]) {
        "policy seen: passed; decided by saved"
    } else if is_to(&sent.frame, &[IPV4[1], IPV6[1]]) {
        "policy seen: dropped; decided by blocked"
    } else {
        "policy seen: passed"
    };
    assert_eq!(found.comment, expected, "{shown}");
}

/// The verifier of this kernel examines at most a million instructions.
fn the_verifier_has_room(lab: &Lab) {
    let generation = lab.generation("wlan0").unwrap();
    let version = fs::read_dir(&lab.pin_dir).unwrap().find_map(|version| {
        let program = format!("gen-{generation}/prog_{}", hex::encode("wlan0"));
        let program = version.unwrap().path().join(program);
        program.exists().then_some(program)
    });
    let program = ProgramInfo::from_pin(version.unwrap()).unwrap();
    let examined = program.verified_instruction_count().unwrap();
    println!("examined instructions: {examined}");
    assert!(examined < 150_000, "{examined}");
}

/// tcpdump and tshark read the file, where they are installed.
fn others_read_it(file: &Path, packets: usize) {
    let readers = [
        ("tcpdump", &["-n", "-e", "-r"][..]),
        ("tshark", &["-n", "-r"][..]),
    ];
    for (reader, arguments) in readers {
        let output = Command::new(reader).args(arguments).arg(file).output();
        let Ok(output) = output else {
            continue;
        };
        assert!(
            output.status.success(),
            "{reader}: {}",
            text(&output.stderr)
        );
        assert_eq!(text(&output.stdout).lines().count(), packets, "{reader}");
        let errors = text(&output.stderr);
        assert!(!errors.contains("truncated dump"), "{reader}: {errors}");
    }
}

/// The daemon stored the event with the hash that it computed, and the client confirmed.
fn an_event_tells(lab: &Lab, printed: &Value) {
    assert_eq!(
        (&printed["stored"], &printed["file"]),
        (&true.into(), &"written".into())
    );
    let output = lab.monitor(&["events", "--json"]);
    let events: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut events = events["events"].as_array().unwrap().iter();
    let event = events.find(|event| event["event"] == "capture").unwrap();
    for key in [
        "capture", "policy", "since", "until", "packets", "bytes", "lost", "payload", "first",
        "last", "end", "sha256", "file",
    ] {
        assert_eq!(event[key], printed[key], "{key}");
    }
    let events = text(&lab.monitor(&["events"]).stdout);
    let sha256 = printed["sha256"].as_str().unwrap();
    assert!(
        events.contains("capture of seen") && events.contains(sha256),
        "{events}"
    );
}

#[test]
fn a_capture_with_payload_has_whole_frames_and_replays_to_the_same_counts() {
    let (lab, daemon) = lab("capture-payload");
    let mut frames = frames();
    // Longer than the records of usual frames.
    let payload = vec![0x5a; 1400];
    frames.push(Sent {
        frame: to(IPV4[0]).payload(&payload).build(),
        headers: 0,
    });
    let before = lab.policy("seen");
    let capture = lab.capture("seen", &["--payload"]);
    assert_eq!(lab.running_capture().unwrap()["payload"], true);
    the_verifier_has_room(&lab);
    send(&lab, &frames, "seen", frames.len() as u64);
    let after = lab.policy("seen");
    let file = capture.file.clone();
    let (printed, content) = capture.stop();
    assert_eq!(printed["packets"], frames.len());
    for (sent, found) in frames.iter().zip(&content.packets) {
        assert_eq!(hex::encode(&found.data), hex::encode(&sent.frame));
    }
    let replayed = replay(&lab, &file);
    let policy = &replayed["policies"]["seen"];
    let dropped = after.1 - before.1;
    assert_eq!(policy["packets"], after.0 - before.0 + dropped);
    assert_eq!(policy["dropped"], dropped);
    let logged = daemon.log();
    assert!(
        logged.contains("a capture of seen (whole frames) until"),
        "{logged}"
    );
    assert!(
        !logged.contains(PHONE_MAC) && !logged.contains(IPV4[0]),
        "{logged}"
    );
}

fn replay(lab: &Lab, file: &Path) -> Value {
    let mut command = Command::new(binary());
    command
        .args(["replay", "--json", "--policies"])
        .arg(lab.policies());
    let output = command.arg(file).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_packets_of_a_policy_with_services_are_captured_and_no_others() {
    let (lab, _daemon) = lab("capture-service");
    let frames = frames();
    let capture = lab.capture("web", &[]);
    let is_web = |sent: &&Sent| {
        let tcp = to(IPV4[0]).transport(Transport::Tcp(443)).build();
        let ports = &tcp[ETHERNET_HEADER + 20..ETHERNET_HEADER + 24];
        is_to(&sent.frame, &IPV4[..1]) && holds(&sent.frame, ports)
    };
    let web: Vec<_> = frames.iter().filter(is_web).collect();
    assert!(web.len() > 3);
    send(&lab, &frames, "web", web.len() as u64);
    let (_, content) = capture.stop();
    assert_eq!(content.packets.len(), web.len());
    for (sent, found) in web.iter().zip(&content.packets) {
        assert_eq!(
            hex::encode(&found.data),
            hex::encode(&sent.frame[..sent.headers])
        );
        let comment = &found.comment;
        assert!(comment.starts_with("policy web: passed"), "{comment}");
    }
}

#[test]
fn standard_output_is_read_by_another_program_while_the_capture_runs() {
    let (lab, _daemon) = lab("capture-pipe");
    let mut child = lab
        .capture_command("seen", "-".as_ref(), &[])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    poll("the capture runs", || lab.running_capture().is_some());
    send(&lab, &frames()[..5], "seen", 5);
    poll("the packets are shown", || {
        lab.running_capture()
            .is_some_and(|capture| capture["packets"] == 5)
    });
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::SIGINT).unwrap();
    let mut file = Vec::new();
    std::io::Read::read_to_end(&mut child.stdout.take().unwrap(), &mut file).unwrap();
    assert!(child.wait().unwrap().success());
    let CaptureContent { packets, .. } = read_capture(&file);
    assert_eq!(packets.len(), 5);
}

#[test]
fn a_reader_of_standard_output_that_ends_ends_the_capture() {
    let (lab, _daemon) = lab("capture-closed-pipe");
    let mut child = lab
        .capture_command("seen", "-".as_ref(), &[])
        .spawn()
        .unwrap();
    poll("the capture runs", || lab.running_capture().is_some());
    drop(child.stdout.take());
    send(&lab, &frames()[..5], "seen", 5);
    poll("the capture has ended", || {
        child.try_wait().unwrap().is_some()
    });
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("the operator ended it"));
    assert!(!lab.copies_packets());
}

#[test]
fn what_cannot_be_captured_is_refused_and_leaves_no_file() {
    let (lab, _daemon) = lab("capture-refused");
    let file = lab.directory.path().join("file");
    let refused = |policy: &str, arguments: &[&str]| {
        let output = lab
            .capture_command(policy, &file, arguments)
            .output()
            .unwrap();
        assert!(!output.status.success());
        text(&output.stderr)
    };
    let unknown = refused("sen", &[]);
    assert!(
        unknown.contains("there is no policy `sen`; did you mean `seen`?"),
        "{unknown}"
    );
    for (arguments, why) in [
        (["--for", "25h"], "write a time from 1s to 24h"),
        (["--max", "2GiB"], "write a size from 64KiB to 1GiB"),
        (["--max", "1KiB"], "write a size from 64KiB to 1GiB"),
    ] {
        let error = refused("seen", &arguments);
        assert!(error.contains(why), "{error}");
    }
    assert!(!file.exists());
    assert_eq!(lab.generation("wlan0"), Some(1), "a generation was made");
    let running = lab.capture("seen", &[]);
    let second = refused("blocked", &[]);
    assert!(
        second.contains("a capture of `seen` runs until"),
        "{second}"
    );
    assert!(!file.exists());
    running.stop();
    // A file or a link is neither written nor followed.
    let target = lab.directory.path().join("target");
    std::os::unix::fs::symlink(&target, &file).unwrap();
    let error = refused("seen", &[]);
    assert!(error.contains("name a new file"), "{error}");
    assert!(!target.exists());
    fs::File::create(&target)
        .unwrap()
        .write_all(b"mine")
        .unwrap();
    refused("seen", &[]);
    assert_eq!(fs::read(&target).unwrap(), b"mine");
    assert_eq!(lab.running_capture(), None);
}
