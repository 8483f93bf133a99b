//! Answers of a `reject`: each frame that goes back, byte by byte, and each packet that must get no
//! answer. The expected answers are built by another library from the RFCs.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod frames;

use etherparse::{Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpNumber, TcpHeader};
use etherparse::{icmpv4, icmpv6};
use jiff::{SignedDuration, Timestamp};
use monitor::{
    datapath::{Examines, FrameOutcome, Sandbox},
    snapshot::Answers,
};
use monitor_common::Unanswered;

use self::frames::{Around, DEVICE, Ip, SERVER, V4, V6};
use crate::support::{kernel::compiled, release::kernel_is_at_least};

const RULESET: &str = "version: 1
policies:
  - name: everything
    action: reject
    destinations: [0.0.0.0/0, '::/0']
    accept_risk: [lan, private, short-prefix]
    reason: a test
";

fn sandbox(yaml: &str) -> Sandbox {
    Sandbox::new(&compiled(yaml), "wlan0").expect("load the program as root")
}

/// A segment with these control bits, 3 words of options, and data.
fn segment(set: impl Fn(&mut TcpHeader), data: &[u8]) -> (TcpHeader, Vec<u8>) {
    let mut header = TcpHeader::new(40_000, 443, 0xffff_fffe, 64_240);
    header.acknowledgment_number = 0x1234_5678;
    header.set_options_raw(&[1; 12]).unwrap();
    set(&mut header);
    (header, data.to_vec())
}

/// The reset to a segment: RFC 9293, section 3.10.7.1.
fn reset(ip: Ip, (segment, data): &(TcpHeader, Vec<u8>)) -> Vec<u8> {
    let mut header = TcpHeader::new(segment.destination_port, segment.source_port, 0, 0);
    header.rst = true;
    if segment.ack {
        header.sequence_number = segment.acknowledgment_number;
    } else {
        let length = data.len() + usize::from(segment.syn) + usize::from(segment.fin);
        let length = u32::try_from(length).unwrap();
        header.ack = true;
        header.acknowledgment_number = segment.sequence_number.wrapping_add(length);
    }
    let answer = ip.answer();
    let bytes = answer.with_tcp(header, &[]);
    answer.packet(IpNumber::TCP, 0, &bytes)
}

/// The error to a packet: RFC 1812, section 5.2.7.1; RFC 4443, section 3.1.
fn error(ip: Ip, packet: &[u8]) -> Vec<u8> {
    let answer = ip.answer();
    if ip.is_v4() {
        let quote = &packet[..packet.len().min(576 - 28)];
        let code = icmpv4::DestUnreachableHeader::FilterProhibited;
        let kind = Icmpv4Type::DestinationUnreachable(code);
        let header = Icmpv4Header::with_checksum(kind, quote).to_bytes().to_vec();
        // Its service, with the precedence of internetwork control (RFC 1812, section 4.3.2.5).
        let service = packet[1] & 0x1e | 0xc0;
        return answer.packet(IpNumber::ICMP, service, &[&header[..], quote].concat());
    }
    let quote = &packet[..packet.len().min(1280 - 48)];
    let kind = Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Prohibited);
    let (source, destination) = answer.addresses_v6();
    let header = Icmpv6Header::with_checksum(kind, source, destination, quote).unwrap();
    answer.packet(
        IpNumber::IPV6_ICMP,
        0,
        &[&header.to_bytes()[..], quote].concat(),
    )
}

/// Packets that are answered, each with its answer.
fn answered() -> Vec<(String, Ip, Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    for ip in [V4, V6] {
        let segments = [
            ("SYN", segment(|tcp| tcp.syn = true, b"")),
            ("SYN with data", segment(|tcp| tcp.syn = true, b"fast open")),
            ("ACK", segment(|tcp| tcp.ack = true, b"")),
            (
                "data, odd",
                segment(|tcp| (tcp.ack, tcp.psh) = (true, true), b"GET"),
            ),
            (
                "FIN and data",
                segment(|tcp| (tcp.ack, tcp.fin) = (true, true), b"bye"),
            ),
            ("FIN without ACK", segment(|tcp| tcp.fin = true, b"bye!!")),
            ("no flags", segment(|_| (), &[7; 1400])),
            ("long", segment(|tcp| tcp.ack = true, &[7; 3000])),
        ];
        for (name, whole) in segments {
            for headers in [0, 1, 2, 3] {
                let ip = ip.with_headers(headers);
                let tcp = ip.with_tcp(whole.0.clone(), &whole.1);
                let packet = ip.packet(IpNumber::TCP, 0x55, &tcp);
                let name = format!("{name}, {headers} headers");
                all.push((name, ip, packet, reset(ip, &whole)));
            }
        }
        let (protocol, echo) = if ip.is_v4() {
            (IpNumber::ICMP, 8)
        } else {
            (IpNumber::IPV6_ICMP, 128)
        };
        let mut others = vec![
            ("UDP", IpNumber::UDP, ip.with_udp(&[1; 4])),
            ("UDP, odd", IpNumber::UDP, ip.with_udp(&[2; 5])),
            ("UDP, empty", IpNumber::UDP, ip.with_udp(&[])),
            ("a longest UDP", IpNumber::UDP, ip.with_udp(&[3; 3300])),
            ("echo request", protocol, vec![echo, 0, 0, 0, 0, 1, 0, 1]),
            ("ESP", IpNumber(50), vec![9; 24]),
            ("an unknown protocol", IpNumber(253), vec![]),
        ];
        // Around the length at which the quote is cut.
        let limit = if ip.is_v4() {
            576 - 28 - 20
        } else {
            1280 - 48 - 40
        };
        for length in limit - 9..=limit - 7 {
            others.push((
                "UDP at the limit",
                IpNumber::UDP,
                ip.with_udp(&vec![4; length]),
            ));
        }
        for (name, protocol, body) in others {
            for headers in [0, 3] {
                let ip = ip.with_headers(headers);
                let packet = ip.packet(protocol, 0x2e, &body);
                let answer = error(ip, &packet);
                all.push((format!("{name}, {headers} headers"), ip, packet, answer));
            }
        }
        let first = ip.with_fragment(true, 0);
        let packet = first.packet(IpNumber::UDP, 0, &ip.with_udp(&[5; 64]));
        let answer = error(first, &packet);
        all.push(("a first fragment".to_owned(), first, packet, answer));
        // The length of the segment is not known.
        let packet = first.packet(IpNumber::TCP, 0, &ip.with_tcp(segment(|_| (), b"").0, &[]));
        let answer = error(first, &packet);
        all.push(("a segment in fragments".to_owned(), first, packet, answer));
    }
    all
}

#[test]
fn each_answer_is_right_to_the_byte() {
    let mut sandbox = sandbox(RULESET);
    let (mut resets, mut errors) = (0, 0);
    for (name, ip, packet, answer) in answered() {
        for around in Around::ALL {
            let request = around.frame(DEVICE, SERVER, ip, &packet);
            let expected = around.frame(SERVER, DEVICE, ip, &answer);
            // Longer frames are cut before the program sees them.
            if request.len() > 3520 {
                continue;
            }
            let found = sandbox.answer(&request).unwrap().expect(&name);
            assert_eq!(
                hex::encode(&found),
                hex::encode(&expected),
                "{name}, {ip:?}, {around:?}"
            );
            assert!(found.len() <= request.len() + 48, "{name}");
            let protocol = if ip.is_v4() { answer[9] } else { answer[6] };
            resets += u64::from(protocol == 6);
            errors += u64::from(protocol != 6);
        }
    }
    let answers = sandbox.answers().unwrap();
    assert_eq!((answers.resets, answers.errors), (resets, errors));
    assert_eq!(answers.packets(), resets + errors);
    assert!(resets > 500 && errors > 200, "{resets} {errors}");
}

/// A driver pads short frames; the padding is no part of the packet.
#[test]
fn padding_is_neither_quoted_nor_counted_as_data() {
    let mut sandbox = sandbox(RULESET);
    let syn = segment(|tcp| tcp.syn = true, b"");
    let bare = (TcpHeader::new(1, 2, 3, 4), Vec::new());
    let udp = V4.packet(IpNumber::UDP, 0, &V4.with_udp(b"x"));
    for (packet, answer) in [
        (
            V4.packet(IpNumber::TCP, 0, &V4.with_tcp(syn.0.clone(), b"")),
            reset(V4, &syn),
        ),
        (
            V4.packet(IpNumber::TCP, 0, &V4.with_tcp(bare.0.clone(), b"")),
            reset(V4, &bare),
        ),
        (udp.clone(), error(V4, &udp)),
    ] {
        let mut request = Around::Nothing.frame(DEVICE, SERVER, V4, &packet);
        request.resize(request.len().max(60) + 3, 0xee);
        let expected = Around::Nothing.frame(SERVER, DEVICE, V4, &answer);
        assert_eq!(sandbox.answer(&request).unwrap(), Some(expected));
    }
}

/// Frames that are dropped and must get no answer.
fn never() -> Vec<(&'static str, Vec<u8>)> {
    let udp = |ip: Ip| ip.packet(IpNumber::UDP, 0, &ip.with_udp(&[1; 8]));
    let plain = |ip, packet: &[u8]| Around::Nothing.frame(DEVICE, SERVER, ip, packet);
    let mut all = Vec::new();
    for ip in [V4, V6] {
        for group in [
            [0xff; 6],
            [0x01, 0, 0x5e, 0, 0, 1],
            [0x33, 0x33, 0, 0, 0, 1],
        ] {
            let to = Around::Nothing.frame(DEVICE, group, ip, &udp(ip));
            let from = Around::Nothing.frame(group, SERVER, ip, &udp(ip));
            all.extend([("to a group of stations", to), ("from a group", from)]);
        }
        let reset = segment(|tcp| tcp.rst = true, b"");
        let packet = ip.packet(IpNumber::TCP, 0, &ip.with_tcp(reset.0.clone(), b""));
        all.push(("a reset", plain(ip, &packet)));
        let reset = segment(|tcp| (tcp.rst, tcp.ack) = (true, true), b"why");
        let packet = ip.packet(IpNumber::TCP, 0, &ip.with_tcp(reset.0, b"why"));
        all.push(("a reset with ACK and data", plain(ip, &packet)));
        let later = ip.with_fragment(false, 8);
        let middle = ip.with_fragment(true, 8);
        for ip in [later, middle] {
            let packet = ip.packet(IpNumber::UDP, 0, &[1; 64]);
            all.push(("a later fragment", plain(ip, &packet)));
        }
        let same = ip.between_same();
        all.push(("from its own destination", plain(same, &udp(same))));
        let errors: &[u8] = if ip.is_v4() {
            // Also types that Linux does not know.
            &[3, 4, 5, 11, 12, 1, 42, 255]
        } else {
            &[0, 1, 2, 3, 4, 100, 127, 137]
        };
        let protocol = if ip.is_v4() {
            IpNumber::ICMP
        } else {
            IpNumber::IPV6_ICMP
        };
        for kind in errors {
            let packet = ip.packet(
                protocol,
                0,
                &[&[*kind, 0, 0, 0, 0, 0, 0, 0], &udp(ip)[..]].concat(),
            );
            all.push(("an ICMP error", plain(ip, &packet)));
        }
        let packet = ip.packet(protocol, 0, &[]);
        all.push(("ICMP without a type", plain(ip, &packet)));
        let tcp = ip.with_tcp(segment(|tcp| tcp.syn = true, b"").0, b"");
        for length in [3, 12, 19, 31] {
            let packet = ip.packet(IpNumber::TCP, 0, &tcp[..length]);
            all.push(("a segment that is cut short", plain(ip, &packet)));
        }
        let mut packet = ip.packet(IpNumber::TCP, 0, &tcp);
        packet.pop();
        all.push(("a packet that is cut short", plain(ip, &packet)));
        for ip in ip.with_addresses_of_no_host() {
            all.push(("an address of no host", plain(ip, &udp(ip))));
        }
    }
    let mut packet = udp(V4);
    packet[10] ^= 1;
    all.push(("a wrong checksum of the header", plain(V4, &packet)));
    let options = V4.with_headers(1);
    let mut packet = udp(options);
    packet[20] ^= 4;
    all.push(("a wrong option", plain(options, &packet)));
    let mut packet = udp(V4);
    packet[2..4].copy_from_slice(&[0, 19]);
    all.push(("a packet shorter than its header", plain(V4, &packet)));
    let extensions = V6.with_headers(17);
    all.push((
        "too many extension headers",
        plain(extensions, &udp(extensions)),
    ));
    let mut jumbo = V6.with_headers(1).packet(IpNumber::UDP, 0, &[1; 8]);
    (jumbo[4], jumbo[5], jumbo[6]) = (0, 0, 0);
    all.push(("a jumbogram", plain(V6, &jumbo)));
    all
}

#[test]
fn nothing_answers_what_must_not_be_answered() {
    let mut sandbox = sandbox(RULESET);
    let cases = never();
    for (number, (name, frame)) in (1..).zip(&cases) {
        assert_eq!(sandbox.answer(frame).unwrap(), None, "{name}");
        let counters = sandbox.counters().unwrap();
        let reason = Unanswered::NotAnswerable as usize;
        assert_eq!(counters.answers.unanswered[reason], number, "{name}");
        assert_eq!(counters.policies[0].dropped.packets, number, "{name}");
    }
    assert_eq!(sandbox.answers().unwrap().packets(), cases.len() as u64);
}

/// The effective policy decides about the answer: the longest prefix, then the name.
#[test]
fn only_an_effective_reject_answers() {
    let mut sandbox = sandbox(
        "version: 1
policies:
  - {name: b-drop, action: drop, destinations: [10.1.0.0/16, 10.2.3.0/24, 10.3.0.0/16, 10.4.0.0/16]}
  - {name: c-reject, action: reject, destinations: [10.1.2.0/24, 10.2.0.0/16, 10.3.0.0/16, 10.5.0.0/16]}
  - {name: a-reject, action: reject, destinations: [10.4.0.0/16]}
  - {name: count, action: count, destinations: [10.0.0.0/8]}
  - {name: allow, action: allow, destinations: [10.5.5.5]}
",
    );
    for (address, is_answered, is_dropped) in [
        ([10, 1, 2, 9], true, true),
        ([10, 1, 9, 9], false, true),
        ([10, 2, 9, 9], true, true),
        ([10, 2, 3, 9], false, true),
        ([10, 3, 9, 9], false, true),
        ([10, 4, 9, 9], true, true),
        ([10, 5, 9, 9], true, true),
        ([10, 5, 5, 5], false, false),
        ([10, 6, 9, 9], false, false),
    ] {
        let ip = V4.to_v4(address);
        let packet = ip.packet(IpNumber::UDP, 0, &ip.with_udp(b"x"));
        let frame = Around::Nothing.frame(DEVICE, SERVER, ip, &packet);
        let answer = sandbox.answer(&frame).unwrap();
        assert_eq!(answer.is_some(), is_answered, "{address:?}");
        let outcome = sandbox.run(&frame).unwrap();
        let FrameOutcome::Parsed { dropped, .. } = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(dropped, is_dropped, "{address:?}");
    }
}

/// With `allow_handshake` the connection opens, its first data is sampled, and then it is reset.
#[test]
fn the_reset_comes_after_the_name() {
    let yaml = RULESET.replace(
        "action: reject",
        "action: reject\n    allow_handshake: true",
    );
    for ip in [V4, V6] {
        let ruleset = compiled(&yaml);
        let mut sandbox = Sandbox::recording(&ruleset, "wlan0", Examines::LanIngress, 64).unwrap();
        let frame = |(tcp, data): &(TcpHeader, Vec<u8>)| {
            let tcp = ip.with_tcp(tcp.clone(), data);
            Around::Nothing.frame(DEVICE, SERVER, ip, &ip.packet(IpNumber::TCP, 0, &tcp))
        };
        let opens = segment(|tcp| tcp.syn = true, b"");
        assert_eq!(sandbox.answer(&frame(&opens)).unwrap(), None);
        assert_eq!(sandbox.answers().unwrap().packets(), 0);
        let speaks = segment(
            |tcp| tcp.ack = true,
            b"GET / HTTP/1.1\r\nHost: x.example\r\n\r\n",
        );
        let expected = Around::Nothing.frame(SERVER, DEVICE, ip, &reset(ip, &speaks));
        assert_eq!(sandbox.answer(&frame(&speaks)).unwrap(), Some(expected));
        let mut payloads = Vec::new();
        sandbox.take_samples(|sample| payloads.push(sample.payload.to_vec()));
        // Programs may copy payload since Linux 5.18.
        let copied = kernel_is_at_least([5, 18]).then_some(speaks.1);
        assert_eq!(payloads, Vec::from_iter(copied));
    }
}

/// Packets of a device at a time, in microseconds.
fn send(sandbox: &mut Sandbox, device: [u8; 6], at: i64, packets: u64) {
    let packet = V4.packet(IpNumber::UDP, 0, &V4.with_udp(b"x"));
    let frame = Around::Nothing.frame(device, SERVER, V4, &packet);
    let at = Timestamp::UNIX_EPOCH + SignedDuration::from_micros(1_700_000_000_000_000 + at);
    for _ in 0..packets {
        sandbox.run_at(&frame, at, frame.len() as u64).unwrap();
    }
}

fn counts(answers: &Answers) -> [u64; 3] {
    [
        answers.errors,
        answers.unanswered["device_rate"],
        answers.unanswered["total_rate"],
    ]
}

#[test]
fn the_limits_hold_to_the_packet() {
    let mut sandbox =
        Sandbox::recording(&compiled(RULESET), "wlan0", Examines::LanIngress, 64).unwrap();
    let mut expect = |device, at, packets, expected| {
        send(&mut sandbox, device, at, packets);
        assert_eq!(counts(&sandbox.answers().unwrap()), expected, "at {at}");
    };
    expect(DEVICE, 0, 150, [100, 50, 0]);
    // The device gets one answer more for each 10 ms.
    expect(DEVICE, 9_999, 1, [100, 51, 0]);
    expect(DEVICE, 10_000, 2, [101, 52, 0]);
    expect(DEVICE, 1_010_000, 200, [201, 152, 0]);
    // The clock of a capture may go back.
    expect(DEVICE, 10_000, 1, [202, 152, 0]);
    // Another device has its own limit, and made-up ones share that of all.
    expect(SERVER, 3_000_000, 101, [302, 153, 0]);
    for number in 0..10_u8 {
        send(&mut sandbox, [2, 0, 0, 0, 1, number], 3_000_000, 95);
    }
    assert_eq!(counts(&sandbox.answers().unwrap()), [1202, 153, 50]);
    send(&mut sandbox, DEVICE, 3_001_000, 2);
    assert_eq!(counts(&sandbox.answers().unwrap()), [1203, 153, 51]);
    let counters = sandbox.counters().unwrap();
    let answers = Answers::from(&counters.answers);
    assert_eq!(answers.packets(), counters.policies[0].dropped.packets);
}
