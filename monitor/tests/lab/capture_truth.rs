//! `monitor capture`: what the gateway knows of a capture is true, also if the client, the disk
//! or the daemon fails.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Output,
    thread,
};

use aya::maps::{Map, MapData, PerCpuArray};
use nix::sys::signal::Signal;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use support::{
    captured::{capture_events, flood_until_lost, matched, read_capture},
    lab::{BLOCKED, Lab, OPEN, binary, poll, poll_long, text},
    packets::to,
    raw::RawSocket,
};

fn is_written(lab: &Lab, packets: u64) {
    poll("the packets are written", || {
        lab.running_capture()
            .is_some_and(|capture| capture["packets"] == packets)
    });
}

#[test]
fn the_begin_is_stored_and_after_a_kill_the_kernel_stops_and_the_next_daemon_says_so() {
    let lab = Lab::new("capture-killed-begin");
    let daemon = lab.start(&["--mode", "generic"]);
    let capture = lab.capture("blocked", &["--for", "10h"]);
    let begun = capture_events(&lab);
    assert_eq!(begun.len(), 1, "{begun:?}");
    assert_eq!(begun[0]["event"], "capture-begin");
    assert_eq!(begun[0]["policy"], "blocked");
    lab.send_udp(BLOCKED[0], 5);
    is_written(&lab, 5);
    assert_eq!(packets_not_copied(&lab), 0);
    daemon.kill();
    let output = capture.child.wait_with_output().unwrap();
    assert!(!output.status.success());
    // No process tells the kernel to stop. The filter itself goes on.
    let dropped = matched(&lab, "blocked");
    let mut sent = 0;
    poll("the kernel copies no packet any more", || {
        lab.send_udp(BLOCKED[0], 1);
        sent += 1;
        packets_not_copied(&lab) > 0
    });
    poll("the filter counts", || {
        matched(&lab, "blocked") == dropped + sent
    });
    let _daemon = lab.start(&["--mode", "generic"]);
    poll("the next daemon stores an end", || {
        capture_events(&lab).len() == 2
    });
    let ended = &capture_events(&lab)[1];
    assert_eq!(ended["event"], "capture-not-finished");
    assert_eq!(ended["capture"], begun[0]["capture"]);
    let events = text(&lab.monitor(&["events"]).stdout);
    assert!(events.contains("was not finished"), "{events}");
    lab.capture("blocked", &[]).stop();
    assert_eq!(capture_events(&lab).len(), 4);
}

/// Packets that the generation in force did not copy.
fn packets_not_copied(lab: &Lab) -> u64 {
    let generation = lab.generation("wlan0").unwrap();
    let versions = fs::read_dir(&lab.pin_dir).unwrap();
    let pins = versions.map(|version| {
        let pin = format!("gen-{generation}/CAPTURE_LOST");
        version.unwrap().path().join(pin)
    });
    let pin: PathBuf = pins.into_iter().find(|pin| pin.exists()).unwrap();
    let map = Map::PerCpuArray(MapData::from_pin(pin).unwrap());
    let lost = PerCpuArray::<MapData, u64>::try_from(map).unwrap();
    lost.iter()
        .map(|values| values.unwrap().iter().sum::<u64>())
        .sum()
}

#[test]
fn a_client_that_stands_still_and_goes_leaves_exact_counts() {
    let lab = Lab::new("capture-still-gone");
    let _daemon = lab.start(&["--mode", "generic"]);
    let mut capture = lab.capture("blocked", &["--payload"]);
    let before = matched(&lab, "blocked");
    poll("the file begins", || {
        fs::metadata(&capture.file).is_ok_and(|file| file.len() > 0)
    });
    capture.signal(Signal::SIGSTOP);
    flood_until_lost(&lab);
    let counted = matched(&lab, "blocked") - before;
    capture.child.kill().unwrap();
    capture.child.wait().unwrap();
    poll_long("the end is stored", || capture_events(&lab).len() == 2);
    let event = &capture_events(&lab)[1];
    let number = |value: &Value| value.as_u64().unwrap();
    assert_eq!(number(&event["packets"]) + number(&event["lost"]), counted);
    let by = ["ring_full", "file_full", "not_sent"].map(|key| number(&event["lost_by"][key]));
    assert_eq!(by.iter().sum::<u64>(), number(&event["lost"]), "{event}");
    assert!(by[0] > 1000 && by[1] == 0 && by[2] > 0, "{event}");
    assert_eq!(
        (&event["file"], event.get("sha256")),
        (&"unknown".into(), None)
    );
    // The client did not read everything that the system took for it.
    let content = read_capture(&fs::read(&capture.file).unwrap());
    assert!(content.packets.len() as u64 <= number(&event["packets"]));
    assert!(!lab.copies_packets());
}

#[test]
fn a_file_that_another_process_changes_is_told_apart() {
    let lab = Lab::new("capture-changed");
    let _daemon = lab.start(&["--mode", "generic"]);
    let capture = lab.capture("blocked", &[]);
    lab.send_udp(BLOCKED[0], 3);
    let file = capture.file.clone();
    poll("the packets are in the file", || {
        fs::metadata(&file).is_ok_and(|found| found.len() > 400)
    });
    let mut other = fs::OpenOptions::new().write(true).open(&file).unwrap();
    other.seek(SeekFrom::Start(60)).unwrap();
    other.write_all(b"!").unwrap();
    capture.signal(Signal::SIGINT);
    let Output {
        status,
        stdout,
        stderr,
    } = capture.child.wait_with_output().unwrap();
    assert!(!status.success());
    let error = text(&stderr);
    assert!(error.contains("the file has another SHA-256"), "{error}");
    let printed: Value = serde_json::from_slice(&stdout).unwrap();
    let own = hex::encode(Sha256::digest(fs::read(&file).unwrap()));
    assert_ne!(printed["sha256"], own);
    let event = &capture_events(&lab)[1];
    assert_eq!(event["sha256"], printed["sha256"]);
    assert_eq!(
        (&event["file"], &printed["file"]),
        (&"differs".into(), &"differs".into())
    );
}

#[test]
fn a_full_disk_leaves_whole_packets_and_their_number() {
    let lab = Lab::new("capture-full-disk");
    let _daemon = lab.start(&["--mode", "generic"]);
    let disk = lab.directory.path().join("disk");
    let copy = lab.directory.path().join("copy.pcapng");
    fs::create_dir(&disk).unwrap();
    // The small disk is mounted in a mount namespace of this client alone.
    let file = disk.join("file");
    let capture = lab.capture_command("blocked", &file, &["--payload"]);
    let arguments = capture
        .get_args()
        .map(|argument| argument.to_str().unwrap());
    let script = format!(
        "mount -t tmpfs -o size=64k tmpfs {disk} && {monitor} {arguments}; code=$?; cp {file} {copy}; exit $code",
        disk = disk.display(),
        monitor = binary().display(),
        arguments = arguments.collect::<Vec<_>>().join(" "),
        file = file.display(),
        copy = copy.display(),
    );
    let mut client = std::process::Command::new("unshare");
    client
        .args(["--mount", "sh", "-c", &script])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let client = client.spawn().unwrap();
    poll("the capture runs", || lab.running_capture().is_some());
    let phone = RawSocket::sender(&lab.phone, "eth0");
    for length in 0..120 {
        // Frames of different lengths, so that no block ends where the disk is full.
        phone.send(&to(BLOCKED[0]).payload(&vec![0x5a; 900 + length]).build());
    }
    let output = client.wait_with_output().unwrap();
    let error = text(&output.stderr);
    assert!(!output.status.success(), "{error}");
    let content = read_capture(&fs::read(&copy).unwrap());
    let packets = content.packets.len();
    assert!(packets > 20, "{packets}");
    let said = format!("the disk is full after {packets} packets");
    assert!(error.contains(&said), "{error}");
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&printed["end"], &printed["file"]),
        (&"client-failed".into(), &"incomplete".into())
    );
    let event = &capture_events(&lab)[1];
    assert_eq!(
        (&event["end"], &event["file"]),
        (&"client-failed".into(), &"incomplete".into())
    );
    assert!(!lab.copies_packets());
}

#[test]
fn an_interrupt_before_the_first_answer_ends_the_capture_in_the_daemon() {
    let lab = Lab::new("capture-early-interrupt");
    let _daemon = lab.start(&["--mode", "generic"]);
    let file = lab.directory.path().join("file");
    let mut client = lab.capture_command("blocked", &file, &[]).spawn().unwrap();
    let tasks = format!("/proc/{}/task", client.id());
    // Since its request, a thread of the client waits for signals.
    while client.try_wait().unwrap().is_none()
        && fs::read_dir(&tasks).is_ok_and(|tasks| tasks.count() < 2)
    {
        thread::yield_now();
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(client.id()).unwrap());
    nix::sys::signal::kill(pid, Signal::SIGINT).unwrap();
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed["end"], "asked");
    assert!(read_capture(&fs::read(&file).unwrap()).packets.is_empty());
    assert!(!lab.copies_packets());
    // One read of the daemon has the request and the wish to stop.
    let request =
        r#"{"verb":"capture","policy":"blocked","seconds":600,"max":1048576,"payload":false}"#;
    let mut stream = UnixStream::connect(lab.socket()).unwrap();
    let both = format!("{request}\n{{\"stop\":{{}}}}\n");
    stream.write_all(both.as_bytes()).unwrap();
    poll("the capture has ended", || {
        lab.running_capture().is_none() && capture_events(&lab).len() > 2 && !lab.copies_packets()
    });
    drop(stream);
    poll("its end is stored", || capture_events(&lab).len() == 4);
    assert_eq!(capture_events(&lab)[3]["end"], "asked");
    // A client that goes before the answer ends the capture too.
    let mut stream = UnixStream::connect(lab.socket()).unwrap();
    stream.write_all(format!("{request}\n").as_bytes()).unwrap();
    drop(stream);
    poll("the end of the third is stored", || {
        capture_events(&lab).len() == 6
    });
    assert_eq!(capture_events(&lab)[5]["end"], "client-gone");
    assert!(!lab.copies_packets());
}

#[test]
fn a_policy_that_rests_and_a_trial_are_told_to_the_operator() {
    let lab = Lab::new("capture-rest");
    let _daemon = lab.start(&["--mode", "generic"]);
    let command = |arguments: &[&str]| {
        let output = lab.monitor(arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    command(&["reload", "--confirm", "1h"]);
    let file = lab.directory.path().join("file");
    let refused = lab.capture_command("seen", &file, &[]).output().unwrap();
    assert!(!refused.status.success());
    let error = text(&refused.stderr);
    assert!(
        error.contains("the policies wait for a confirmation"),
        "{error}"
    );
    assert!(!file.exists());
    command(&["confirm"]);
    command(&["pause", "seen", "--for", "1h"]);
    let capture = lab.capture("seen", &[]);
    lab.send_udp(OPEN[0], 4);
    // A part of a second counts as one.
    command(&["pause", "seen", "--undo"]);
    lab.send_udp(OPEN[0], 3);
    is_written(&lab, 3);
    command(&["pause", "seen", "--for", "1h"]);
    lab.send_udp(OPEN[0], 2);
    capture.signal(Signal::SIGINT);
    let output = capture.child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let notes = text(&output.stderr);
    for note in [
        "note: seen rests now (paused by a command)",
        "note: seen is in force again",
        "note: seen rests from now on (paused by a command)",
    ] {
        assert!(notes.contains(note), "{notes}");
    }
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&printed["packets"], &printed["lost"]),
        (&3.into(), &0.into())
    );
    assert!(printed["rested_seconds"].as_u64() >= Some(1), "{printed}");
    assert_eq!(
        read_capture(&fs::read(&capture.file).unwrap())
            .packets
            .len(),
        3
    );
}
