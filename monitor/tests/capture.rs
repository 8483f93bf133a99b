//! Reading captures: real ones against what two other readers found in them, and
//! made ones at the edges of the formats.

#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    io::{self, Write as _},
    process::{Command, Stdio},
};

use monitor::{
    capture::{Capture, CaptureError, Frame, Problem},
    policy::Action,
};
use rand::RngExt as _;
use support::{
    captures::{
        ETHERNET, LINUX_SLL, MICROSECONDS, MODIFIED, NANOSECONDS, Order, block, collect, cut,
        enhanced_packet, interface, pcap, plain_pcap, read, read_slowly, section_header,
        simple_packet, whole,
    },
    data::{self, Expected, ExpectedDevice},
    generate::generator,
    packets::{self, to},
    reference::{Outcome, Policy, judge},
};

/// The problem's own words, without the name of the capture.
fn problem(error: &CaptureError) -> String {
    error.problem.to_string()
}

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
        let (packet, matched) = match judge(policies, &frame.data) {
            Outcome::Unparsed(_) => {
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

/// Frames of unequal length, so that padding and order show.
fn frames() -> Vec<Frame> {
    vec![
        whole(&to("42.62.48.7").build()),
        whole(&[]),
        whole(&[0xff]),
        cut(&to("2001:db8::1").truncated(54), 1514),
        whole(&to("192.0.2.1").payload(&[7; 1403]).build()),
    ]
}

#[test]
fn pcap_in_both_byte_orders_and_all_magics() {
    for order in [Order::Little, Order::Big] {
        for magic in [MICROSECONDS, NANOSECONDS] {
            let (read, error) = read(&pcap(order, magic, ETHERNET.into(), &frames()));
            assert!(error.is_none(), "{order:?} {magic:x}: {error:?}");
            assert_eq!(read, frames(), "{order:?} {magic:x}");
        }
    }
    let modified = pcap(Order::Little, MODIFIED, ETHERNET.into(), &frames());
    assert_eq!(read(&modified).0, frames());
}

#[test]
fn pcap_link_type_is_the_lower_half_of_its_word() {
    let with_check_sequence = 0x2400_0001;
    let (frames, error) = read(&pcap(
        Order::Big,
        MICROSECONDS,
        with_check_sequence,
        &frames(),
    ));
    assert!(error.is_none(), "{error:?}");
    assert_eq!(frames.len(), 5);
}

#[test]
fn pcapng_in_both_byte_orders_with_both_packet_blocks() {
    let mut file = Vec::new();
    for order in [Order::Little, Order::Big] {
        file.extend(section_header(order));
        file.extend(interface(order, ETHERNET, 0));
        file.extend(block(order, 5, &[0; 12])); // interface statistics
        file.extend(block(order, 0x0bad_cafe, &[0; 100])); // unknown
        for frame in frames() {
            file.extend(enhanced_packet(order, 0, &frame));
        }
        file.extend(simple_packet(order, &frames()[4]));
        file.extend(simple_packet(order, &frames()[2]));
    }
    let one_section = [&frames()[..], &[frames()[4].clone(), frames()[2].clone()]].concat();
    let (read, error) = read(&file);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(read, [one_section.clone(), one_section].concat());
}

#[test]
fn simple_packet_block_is_cut_at_the_snap_length() {
    let order = Order::Big;
    let kept = to("42.62.48.7").payload(&[1; 80]).truncated(62);
    let file = [
        section_header(order),
        interface(order, ETHERNET, 62),
        simple_packet(order, &cut(&kept, 1000)),
    ];
    let (read, error) = read(&file.concat());
    assert!(error.is_none(), "{error:?}");
    assert_eq!(read, [cut(&kept, 1000)]);
}

#[test]
fn pcapng_interface_of_another_link_type_is_refused_at_its_first_packet() {
    let order = Order::Little;
    let frame = whole(&to("42.62.48.7").build());
    let described = [
        section_header(order),
        interface(order, ETHERNET, 0),
        interface(order, LINUX_SLL, 0),
        enhanced_packet(order, 0, &frame),
    ]
    .concat();
    let (frames, error) = read(&described);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(frames.len(), 1);

    let (frames, error) = read(&[described, enhanced_packet(order, 1, &frame)].concat());
    assert_eq!(frames.len(), 1);
    let words = problem(&error.unwrap());
    assert!(
        words.contains("interface 1, on which packet 2 was captured, is LINUX_SLL (113)"),
        "{words}"
    );
}

#[test]
fn interfaces_belong_to_their_section() {
    let order = Order::Little;
    let frame = whole(&to("42.62.48.7").build());
    let first = [
        section_header(order),
        interface(order, ETHERNET, 0),
        enhanced_packet(order, 0, &frame),
    ]
    .concat();
    let second = [section_header(order), enhanced_packet(order, 0, &frame)].concat();
    let offset = (first.len() + section_header(order).len()) as u64;
    let (frames, error) = read(&[first, second].concat());
    assert_eq!(frames.len(), 1);
    match error.unwrap().problem {
        Problem::UnknownInterface {
            interface,
            packet,
            offset: at,
        } => assert_eq!((interface, packet, at), (0, 2, offset)),
        problem => panic!("{problem}"),
    }
}

#[test]
fn frames_longer_than_any_packet_are_read() {
    let long = whole(&packets::ethernet(
        packets::PHONE,
        packets::IPV4,
        &vec![0x45; 200_000],
    ));
    let (read_pcap, error) = read(&plain_pcap(&[long.clone(), frames()[0].clone()]));
    assert!(error.is_none(), "{error:?}");
    assert_eq!(read_pcap, [long.clone(), frames()[0].clone()]);

    let order = Order::Little;
    let file = [
        section_header(order),
        interface(order, ETHERNET, 0),
        enhanced_packet(order, 0, &long),
    ];
    let (read_pcapng, error) = read(&file.concat());
    assert!(error.is_none(), "{error:?}");
    assert_eq!(read_pcapng, [long]);
}

#[test]
fn a_damaged_length_is_refused_before_it_takes_memory() {
    let mut file = plain_pcap(&frames()[..1]);
    let offset = file.len() as u64;
    file.extend([[0, 0, 0, 0], [0; 4], [0xff; 4], [0xff; 4]].concat());
    let (frames, error) = read(&file);
    assert_eq!(frames.len(), 1);
    match error.unwrap().problem {
        Problem::TooLong {
            offset: at,
            packet,
            length,
            ..
        } => {
            assert_eq!((at, packet, length), (offset, 1, 16 + u64::from(u32::MAX)));
        }
        problem => panic!("{problem}"),
    }
}

/// Both formats, with the offsets at which records begin and the file ends.
fn files_and_boundaries() -> [(Vec<u8>, Vec<usize>); 2] {
    let order = Order::Little;
    let header = plain_pcap(&[]).len();
    let records: Vec<usize> = (0..=frames().len())
        .map(|count| plain_pcap(&frames()[..count]).len())
        .collect();
    assert_eq!(records[0], header);
    let mut blocks = vec![section_header(order), interface(order, ETHERNET, 0)];
    blocks.extend(
        frames()
            .iter()
            .map(|frame| enhanced_packet(order, 0, frame)),
    );
    let ends = (1..=blocks.len()).map(|count| blocks[..count].concat().len());
    [
        (plain_pcap(&frames()), records),
        (blocks.concat(), ends.collect()),
    ]
}

#[test]
fn a_file_cut_short_anywhere_gives_its_whole_packets_and_the_place() {
    for (file, boundaries) in files_and_boundaries() {
        for length in 1..file.len() {
            let (read, error) = read(&file[..length]);
            assert_eq!(read, frames()[..read.len()], "cut at {length}");
            if boundaries.contains(&length) {
                assert!(error.is_none(), "cut at {length}: {error:?}");
                continue;
            }
            let begun = boundaries.iter().rev().find(|&&boundary| boundary < length);
            let problem = error
                .unwrap_or_else(|| panic!("cut at {length} went unseen"))
                .problem;
            match (problem, length) {
                (Problem::NotACapture { .. }, 1..4) => {}
                (Problem::CutShort { offset, packet }, 4..) => {
                    assert_eq!(
                        offset,
                        begun.copied().unwrap_or(0) as u64,
                        "cut at {length}"
                    );
                    assert_eq!(packet, read.len() as u64, "cut at {length}");
                }
                (problem, _) => panic!("cut at {length}: {problem}"),
            }
        }
    }
}

#[test]
fn a_slow_pipe_gives_the_same() {
    for (file, _) in files_and_boundaries() {
        let (frames, error) = read_slowly(&file);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(frames, self::frames());
    }
}

#[test]
fn contradictions_inside_a_block_are_malformed() {
    let order = Order::Little;
    let start = [section_header(order), interface(order, ETHERNET, 0)].concat();
    let packet = enhanced_packet(order, 0, &frames()[0]);
    let mut captured_more_than_the_block = packet.clone();
    captured_more_than_the_block[20..24].copy_from_slice(&order_bytes(5000));
    let mut shorter_than_a_block = packet.clone();
    shorter_than_a_block[4..8].copy_from_slice(&order_bytes(8));
    let mut second_length = packet.clone();
    let end = second_length.len();
    second_length[end - 4..].copy_from_slice(&order_bytes(4));
    let unknown_without_length = [order_bytes(0x0bad_cafe), order_bytes(0), [0; 4]].concat();
    let bad_byte_order = [&section_header(order)[..8], &[0; 20]].concat();
    for bad in [
        captured_more_than_the_block,
        shorter_than_a_block,
        second_length,
        unknown_without_length,
        bad_byte_order,
    ] {
        let file = [&start[..], &packet, &bad, &packet, &packet].concat();
        let (frames, error) = read(&file);
        assert_eq!(frames.len(), 1);
        match error.unwrap().problem {
            Problem::Malformed { offset, packet: 1 } => {
                assert_eq!(offset, (start.len() + packet.len()) as u64)
            }
            problem => panic!("{problem}"),
        }
    }
}

fn order_bytes(number: u32) -> [u8; 4] {
    number.to_le_bytes()
}

#[test]
fn an_obsolete_packet_block_is_not_passed_over_in_silence() {
    let order = Order::Little;
    let file = [
        section_header(order),
        interface(order, ETHERNET, 0),
        block(order, 2, &[0; 40]),
    ];
    let words = problem(&read(&file.concat()).1.unwrap());
    assert!(
        words.contains("packet 1") && words.contains("editcap"),
        "{words}"
    );
}

#[test]
fn other_files_are_refused_with_the_mend() {
    let cases: [(&[u8], &str); 6] = [
        (b"", "empty"),
        (
            b"version: 1\npolicies: []\n",
            "neither a pcap nor a pcapng file: it begins with 76 65 72",
        ),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "gunzip <FILE"),
        (b"\x28\xb5\x2f\xfd\x04\0", "unzstd <FILE"),
        (b"\xfd7zXZ\0\0\x04", "unxz <FILE"),
        (b"BZh91AY&SY", "bunzip2 <FILE"),
    ];
    for (file, expected) in cases {
        let (frames, error) = read(file);
        let error = error.unwrap();
        assert!(frames.is_empty());
        assert_eq!(error.to_string(), "read capture made");
        let words = error.source().unwrap().to_string();
        assert!(words.contains(expected), "{words}");
    }
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
        matches!(error.problem, Problem::Read { packet: 0, .. }),
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

/// Runs itself again, because standard input is one to a process.
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
        .args(["--exact", "standard_input_is_a_dash", "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&plain_pcap(&frames()))
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("read 5 frames"),
        "{text}"
    );
}

/// Whatever the bytes are, reading ends, and with no more data than there was.
#[test]
fn damaged_files_end_in_frames_or_an_error() {
    let mut random = generator();
    let mut refused = 0;
    for round in 0..20_000 {
        let (mut file, _) = files_and_boundaries()[round % 2].clone();
        for _ in 0..random.random_range(1..=8) {
            let at = random.random_range(0..file.len());
            file[at] = random.random();
        }
        let (frames, error) = read(&file);
        let data: usize = frames.iter().map(|frame| frame.data.len()).sum();
        assert!(data < file.len());
        refused += usize::from(error.is_some());
    }
    assert!((100..20_000).contains(&refused), "{refused}");
}
