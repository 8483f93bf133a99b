//! Reads real captures and compares the results with those of two other
//! readers. Also tests the sources of captures: files and standard input.

use crate::support;

use std::{
    collections::BTreeMap,
    env,
    io::{self, Write as _},
    process::{Command, Stdio},
};

use monitor::{
    capture::{Capture, Frame, Problem},
    policy::Action,
};
use support::{
    captures::{collect, plain_pcap, whole},
    data::{self, Expected, ExpectedDevice},
    packets::{self, to},
    reference::{Outcome, Policy, judge},
};

#[test]
fn real_captures_hold_what_other_readers_found() {
    let Some(folder) = data::folder() else { return };
    let policies = [data::cn_policy(&folder, Action::Count)];
    for expected in data::expectations(&folder)
        .iter()
        .filter(|expected| expected.is_ethernet())
    {
        let (frames, error) = collect(Capture::open(&expected.path(&folder)));
        assert!(error.is_none(), "{}: {error:?}", expected.file);
        assert_frames(expected, &frames);
        assert_destinations(expected, &frames, &policies);
    }
}

fn assert_frames(expected: &Expected, frames: &[Frame]) {
    assert_eq!(frames.len() as u64, expected.packets, "{}", expected.file);
    let truncated = frames
        .iter()
        .filter(|frame| frame.data.len() < frame.wire_length as usize);
    assert_eq!(
        truncated.count() as u64,
        expected.snap_truncated,
        "{}",
        expected.file
    );
}

fn assert_destinations(expected: &Expected, frames: &[Frame], policies: &[Policy]) {
    let [mut ipv4, mut ipv6, mut other] = [0; 3];
    let mut in_lists = (0, 0);
    let mut devices: BTreeMap<_, ExpectedDevice> = BTreeMap::new();
    for frame in frames {
        let (packet, matched) = match judge(policies, "", &frame.data) {
            Outcome::Unparsed(..) => {
                other += 1;
                continue;
            }
            Outcome::Parsed {
                packet, matched, ..
            } => (packet, !matched.is_empty()),
        };
        let family = if packet.destination.is_ipv4() {
            &mut ipv4
        } else {
            &mut ipv6
        };
        *family += 1;
        assert_eq!(frame.source_mac(), Some(packet.source), "{}", expected.file);
        let device = devices.entry(packet.source).or_default();
        device.ip_pkts += 1;
        if matched {
            let bytes = u64::from(frame.wire_length);
            device.cn_pkts += 1;
            device.cn_bytes += bytes;
            in_lists = (in_lists.0 + 1, in_lists.1 + bytes);
        }
    }
    let families = [expected.outer_v4, expected.outer_v6, expected.other];
    assert_eq!([ipv4, ipv6, other], families, "{}", expected.file);
    assert_eq!(
        in_lists,
        (expected.cn_dst_pkts, expected.cn_dst_bytes),
        "{}",
        expected.file
    );
    assert_eq!(devices, expected.devices, "{}", expected.file);
    assert_eq!(devices.len(), expected.n_src_macs, "{}", expected.file);
}

#[test]
fn real_captures_of_other_link_types_are_refused_by_name() {
    let Some(folder) = data::folder() else { return };
    let expectations = data::expectations(&folder);
    let names: BTreeMap<&str, &str> = expectations
        .iter()
        .filter(|expected| !expected.is_ethernet())
        .map(|expected| {
            let (frames, error) = collect(Capture::open(&expected.path(&folder)));
            let error = error.unwrap_or_else(|| panic!("{} was read", expected.file));
            assert!(
                frames.is_empty() && error.to_string().contains(&expected.file),
                "{error}"
            );
            let name = match error.problem {
                Problem::LinkType { link_type } | Problem::InterfaceLinkType { link_type, .. } => {
                    assert_eq!(expected.link_types, [link_type.0]);
                    link_type.name().unwrap()
                }
                problem => panic!("{}: {problem}", expected.file),
            };
            (expected.file.as_str(), name)
        })
        .collect();
    let expected = [
        ("ndpi__quic-v2.pcapng", "LINUX_SLL"),
        ("zeek__radiotap.pcap", "IEEE802_11_RADIOTAP"),
    ];
    assert_eq!(names, BTreeMap::from(expected));
}

#[test]
fn a_missing_file_and_a_folder_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.pcap");
    let error = Capture::open(&missing).err().unwrap();
    assert!(error.to_string().contains("missing.pcap"), "{error}");
    assert!(
        matches!(error.problem, Problem::Open(ref source) if source.kind() == io::ErrorKind::NotFound)
    );

    let error = Capture::open(folder.path()).err().unwrap();
    assert!(
        matches!(error.problem, Problem::Open(ref source) if source.to_string().contains("it is a folder")),
        "{error:?}"
    );
}

#[test]
fn source_mac_needs_twelve_bytes() {
    let mac = Some(monitor::policy::MacAddress(packets::PHONE));
    let frame = to("42.62.48.7").build();
    assert_eq!(whole(&frame[..12]).source_mac(), mac);
    assert_eq!(whole(&frame[..11]).source_mac(), None);
    assert_eq!(whole(&[]).source_mac(), None);
}

/// Runs the test binary again, because a process has only one standard input.
#[test]
fn standard_input_is_a_dash() {
    const CHILD: &str = "MONITOR_TEST_READ_STANDARD_INPUT";
    if env::var_os(CHILD).is_some() {
        let (frames, error) = collect(Capture::open("-".as_ref()));
        assert!(error.is_none(), "{error:?}");
        println!("read {} frames", frames.len());
        return;
    }
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "capture::standard_input_is_a_dash",
            "--nocapture",
        ])
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&plain_pcap(&[whole(&to("42.62.48.7").build()), whole(&[])]))
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("read 2 frames"),
        "{text}"
    );
}
