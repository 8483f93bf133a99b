//! Conditions on services, and packets whose port cannot be read.

use monitor::datapath::Sandbox;

use crate::{
    parsed,
    support::{
        kernel::compiled,
        packets::{Builder, Fragment, Transport, to},
    },
};

/// Policies for the same addresses. Tests name them by index, in the order of
/// their names.
const RULESET: &str = "version: 1
policies:
  - name: allow
    action: allow
    destinations: [10.1.0.0/16, 2001:db8:1::/48]
    services: [udp/443]
  - name: count
    action: count
    destinations: [10.0.0.0/8, 2001:db8::/32]
    services: [udp/443]
  - name: drop
    action: drop
    destinations: [10.0.0.0/8, 2001:db8::/32]
    services: [udp/443]
";
const ALLOW: u16 = 0;
const COUNT: u16 = 1;
const DROP: u16 = 2;

/// Offset of the transport header in an untagged IPv4 frame, in bytes.
const BEHIND_IPV4: usize = 14 + 20;
const BEHIND_IPV6: usize = 14 + 40;

/// A destination extension header of 8 bytes (RFC 8200, section 4.6).
const OPTIONS: u8 = 60;

/// A description, a frame, the policies that match, and whether it is dropped.
type Case = (&'static str, Vec<u8>, &'static [u16], bool);

const SEEN: &[u16] = &[COUNT, DROP];
const SAVED: &[u16] = &[ALLOW, COUNT, DROP];
const HIDDEN: &[u16] = &[DROP];

fn udp(destination: &str) -> Builder {
    to(destination).transport(Transport::Udp(443))
}

fn with_options(destination: &str, headers: usize) -> Builder {
    udp(destination).extensions(&vec![OPTIONS; headers])
}

/// Whole packets, and those behind extension headers; the addresses of `allow`
/// begin with 10.1 and 2001:db8:1.
fn readable_and_behind_headers() -> Vec<Case> {
    vec![
        ("udp/443", udp("10.2.0.1").build(), SEEN, true),
        ("udp/443, allowed", udp("10.1.0.1").build(), SAVED, false),
        (
            "udp/443 behind 16 headers",
            with_options("2001:db8:2::1", 16).build(),
            SEEN,
            true,
        ),
        (
            "udp/443 behind 16 headers, allowed",
            with_options("2001:db8:1::1", 16).build(),
            SAVED,
            false,
        ),
        (
            "behind 17 headers",
            with_options("2001:db8:2::1", 17).build(),
            HIDDEN,
            true,
        ),
        (
            "behind 17 headers, and an allow",
            with_options("2001:db8:1::1", 17).build(),
            HIDDEN,
            true,
        ),
        (
            "behind 150 headers",
            with_options("2001:db8:2::1", 150).build(),
            HIDDEN,
            true,
        ),
    ]
}

/// Truncated packets, fragments, and other protocols.
fn cut_short_and_other_protocols() -> Vec<Case> {
    let other = |destination, protocol| to(destination).transport(Transport::Other(protocol));
    vec![
        (
            "no port, IPv4",
            udp("10.2.0.1").truncated(BEHIND_IPV4 + 3),
            HIDDEN,
            true,
        ),
        (
            "no port, IPv4, and an allow",
            udp("10.1.0.1").truncated(BEHIND_IPV4 + 3),
            HIDDEN,
            true,
        ),
        (
            "no port, IPv6",
            udp("2001:db8:2::1").truncated(BEHIND_IPV6),
            HIDDEN,
            true,
        ),
        (
            "an extension header cut short",
            with_options("2001:db8:2::1", 2).truncated(BEHIND_IPV6 + 8 + 3),
            HIDDEN,
            true,
        ),
        (
            "a first fragment that ends before the port",
            with_options("2001:db8:2::1", 1)
                .fragment(Fragment::First)
                .truncated(BEHIND_IPV6 + 8 + 8),
            HIDDEN,
            true,
        ),
        (
            "first fragment",
            udp("10.2.0.1").fragment(Fragment::First).build(),
            SEEN,
            true,
        ),
        (
            "later fragment, IPv4",
            udp("10.2.0.1").fragment(Fragment::Later(9)).build(),
            &[],
            false,
        ),
        (
            "later fragment, IPv6",
            udp("2001:db8:2::1").fragment(Fragment::Later(9)).build(),
            &[],
            false,
        ),
        ("ESP, IPv4", other("10.2.0.1", 50).build(), HIDDEN, true),
        (
            "ESP, IPv6",
            other("2001:db8:2::1", 50).build(),
            HIDDEN,
            true,
        ),
        ("AH, IPv4", other("10.2.0.1", 51).build(), HIDDEN, true),
        ("GRE has no port", other("10.2.0.1", 47).build(), &[], false),
        (
            "SCTP is another service",
            other("2001:db8:2::1", 132).build(),
            &[],
            false,
        ),
        (
            "another port",
            to("10.2.0.1").transport(Transport::Udp(80)).build(),
            &[],
            false,
        ),
        (
            "a ping",
            to("10.2.0.1").transport(Transport::EchoRequest).build(),
            &[],
            false,
        ),
        (
            "elsewhere",
            with_options("2001:db9::1", 17).build(),
            &[],
            false,
        ),
    ]
}

#[test]
fn a_drop_by_service_stops_what_hides_its_port_and_an_allow_does_not_save_it() {
    let cases = [
        readable_and_behind_headers(),
        cut_short_and_other_protocols(),
    ];
    let mut sandbox = Sandbox::new(&compiled(RULESET), "wlan0").expect("load the program as root");
    for (description, frame, matched, dropped) in cases.into_iter().flatten() {
        let outcome = sandbox.run(&frame).expect("run the program");
        assert_eq!(outcome, parsed(matched, dropped), "{description}");
    }
}

/// The other conditions of the drop still hold.
#[test]
fn a_hidden_port_does_not_widen_a_drop_to_other_devices() {
    const OTHERS: &str = "version: 1
policies:
  - name: drop
    action: drop
    destinations: [2001:db8::/32]
    services: [udp/443]
    devices: ['02:00:00:00:00:99']
  - name: drop-but
    action: drop
    destinations: [2001:db8::/32]
    services: [tcp/443]
    except_devices: ['02:00:00:00:00:01']
";
    let frame = |source| {
        let packet = to("2001:db8:2::1").transport(Transport::Udp(443));
        packet.source(source).extensions(&[OPTIONS; 17]).build()
    };
    let mut sandbox = Sandbox::new(&compiled(OTHERS), "wlan0").expect("load the program as root");
    let mut run = |last| {
        sandbox
            .run(&frame([2, 0, 0, 0, 0, last]))
            .expect("run the program")
    };
    assert_eq!(run(0x99), parsed(&[0, 1], true));
    assert_eq!(run(0x98), parsed(&[1], true));
    assert_eq!(run(0x01), parsed(&[], false));
}
