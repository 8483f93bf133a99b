use super::*;
use crate::evidence::{absence::EncryptedView, names::dns};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn end(device: u16, destination: &str, protocol: u8, port: u16) -> FlowEnd {
    let [high, low] = device.to_be_bytes();
    FlowEnd {
        device: MacAddress([2, 0, 0, 0, high, low]),
        destination: destination.parse().unwrap(),
        protocol,
        port,
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn flows_are_recognised_by_port_and_by_address() {
    let cases = [
        (TCP, 853, "192.0.2.1", Some((EncryptedKind::Dot, None))),
        (
            UDP,
            853,
            "8.8.8.8",
            Some((EncryptedKind::Doq, Some("Google"))),
        ),
        (
            TCP,
            443,
            "1.1.1.1",
            Some((EncryptedKind::DohAddress, Some("Cloudflare"))),
        ),
        (
            UDP,
            443,
            "2620:fe::fe",
            Some((EncryptedKind::DohAddress, Some("Quad9"))),
        ),
        (TCP, 443, "192.0.2.1", None),
        (TCP, 80, "1.1.1.1", None),
        (UDP, 53, "8.8.8.8", None),
        (1, 853, "8.8.8.8", None),
    ];
    for (protocol, port, destination, expected) in cases {
        let mut seen = EncryptedSeen::default();
        let end = end(1, destination, protocol, port);
        seen.flow(&end, NOW, NOW);
        let found = seen.of(end.device);
        let found = found.first().map(|e| (e.kind, e.operator));
        assert_eq!(found, expected, "{protocol} {port} {destination}");
    }
}

#[test]
fn names_of_known_resolvers_are_recognised() {
    let mut seen = EncryptedSeen::default();
    let https = end(1, "192.0.2.1", TCP, 443);
    seen.name(&https, "dns.google", at(5), at(5));
    seen.name(&https, "dns.google", at(2), at(9));
    seen.name(&https, "www.example.com", at(5), at(5));
    let found = seen.of(https.device);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].kind, EncryptedKind::DohName);
    assert_eq!((found[0].first, found[0].last), (at(2), at(9)));
    assert_eq!(
        EncryptedView::new(&found[0]).to_string(),
        "HTTPS to a known DNS resolver by its name, 192.0.2.1 (dns.google, Google), \
         first 1970-01-01T00:00:02Z, last 1970-01-01T00:00:09Z"
    );
}

#[test]
fn a_server_name_joins_the_flow_to_the_same_server() {
    let mut seen = EncryptedSeen::default();
    let dot = end(1, "192.0.2.1", TCP, 853);
    seen.flow(&dot, at(1), at(2));
    seen.name(&dot, "resolver.example", at(3), at(3));
    seen.flow(&dot, at(4), at(4));
    let found = seen.of(dot.device);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].name.as_deref(), Some("resolver.example"));
    assert_eq!((found[0].first, found[0].last), (at(1), at(4)));
}

#[test]
fn a_question_for_encrypted_resolvers_is_noted_with_their_names() {
    let question = b"\x04_dns\x08resolver\x04arpa\0\0\x40\0\x01";
    let mut message = b"\0\x01\x81\x80\0\x01\0\0\0\0\0\0".to_vec();
    message.extend(question);
    let server: IpAddr = "192.0.2.53".parse().unwrap();
    let device = end(1, "192.0.2.1", TCP, 443).device;
    let mut seen = EncryptedSeen::default();
    seen.answer(device, server, &dns::parse(&message).unwrap(), at(7));
    let found = seen.of(device);
    assert_eq!(
        (found[0].kind, found[0].server),
        (EncryptedKind::Discovery, server)
    );
    assert_eq!(found[0].name, None);
    message[7] = 1;
    message.extend(b"\xc0\x0c\0\x40\0\x01\0\0\0\x3c\0\x0e\0\x01\x03dns\x06google\0");
    seen.answer(device, server, &dns::parse(&message).unwrap(), at(8));
    let found = seen.of(device);
    assert_eq!(found.len(), 2);
    assert_eq!(found[1].name.as_deref(), Some("dns.google"));
}

#[test]
fn a_device_loses_only_its_own_oldest_entries() {
    let mut seen = EncryptedSeen::default();
    let honest = end(1, "192.0.2.1", TCP, 853);
    seen.flow(&honest, at(0), at(0));
    for number in 0..1000_u16 {
        let [high, low] = number.to_be_bytes();
        let destination = format!("198.51.{high}.{low}");
        let second = 1 + i64::from(number);
        seen.flow(&end(2, &destination, TCP, 853), at(second), at(second));
    }
    assert_eq!(seen.of(honest.device).len(), 1);
    let flooding = seen.of(end(2, "192.0.2.1", TCP, 853).device);
    assert_eq!(flooding.len(), MAX_OF_DEVICE);
    assert!(flooding.iter().all(|entry| entry.first > at(1000 - 32)));
    assert_eq!(seen.lost(), 1000 - MAX_OF_DEVICE as u64);
}

#[test]
fn new_macs_push_out_no_device() {
    let mut seen = EncryptedSeen::default();
    for device in 0..3000 {
        seen.flow(&end(device, "192.0.2.1", TCP, 853), NOW, NOW);
    }
    assert_eq!(seen.devices.len(), MAX_DEVICES);
    let first = end(0, "192.0.2.1", TCP, 853).device;
    assert_eq!(seen.of(first).len(), 1);
    seen.forget(first);
    assert!(seen.of(first).is_empty());
    seen.expire(at(1));
    assert!(seen.devices.is_empty());
}
