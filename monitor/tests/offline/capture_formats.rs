//! Reads generated captures at the edges of the formats: every byte order and
//! block, truncated files and damaged files.

use crate::support;

use std::error::Error;

use monitor::capture::{CaptureError, Frame, Problem};
use rand::RngExt as _;
use support::{
    captures::{
        ETHERNET, LINUX_SLL, MICROSECONDS, MODIFIED, NANOSECONDS, Order, block, cut,
        enhanced_packet, interface, pcap, plain_pcap, read, read_slowly, read_with_times,
        section_header, simple_packet, whole,
    },
    generate::generator,
    packets::{self, to},
};

/// The text of the problem, without the name of the capture.
fn problem(error: &CaptureError) -> String {
    error.problem.to_string()
}

/// Frames of different lengths, so that errors in padding and order are found.
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

/// The unit of a time depends on the magic number in pcap, and on an option of the interface
/// in pcapng, whose default is a microsecond.
#[test]
fn each_frame_has_the_time_of_the_capture() {
    let frame = [whole(&to("42.62.48.7").build())];
    let time = |file: &[u8]| {
        let (frames, error) = read_with_times(file);
        assert!(error.is_none(), "{error:?}");
        frames[0].at.map(|at| at.to_string())
    };
    for order in [Order::Little, Order::Big] {
        for (magic, expected) in [
            (MICROSECONDS, "2014-07-30T00:00:00.999999Z"),
            (NANOSECONDS, "2014-07-30T00:00:00.000999999Z"),
        ] {
            let file = pcap(order, magic, ETHERNET.into(), &frame);
            assert_eq!(
                time(&file).as_deref(),
                Some(expected),
                "{order:?} {magic:x}"
            );
        }
        let in_section = |packet: Vec<u8>| {
            let file = [section_header(order), interface(order, ETHERNET, 0), packet];
            time(&file.concat())
        };
        let enhanced = in_section(enhanced_packet(order, 0, &frame[0]));
        // 0x4ff50_12345678 microseconds.
        assert_eq!(enhanced.as_deref(), Some("2014-07-29T07:34:34.72908Z"));
        assert_eq!(in_section(simple_packet(order, &frame[0])), None);
    }
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
                assert_eq!(offset, (start.len() + packet.len()) as u64);
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

/// Reading ends for any bytes, and returns no more data than the file has.
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
