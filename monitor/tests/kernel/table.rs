//! A table of packets, each with the expected result.

use monitor::datapath::{FrameOutcome, Sandbox};
use monitor_common::Reason;

use crate::{
    parsed,
    support::{
        kernel::compiled,
        packets::{ARP, Builder, Fragment, GATEWAY, PPPOE_SESSION, Transport, ethernet, to},
    },
    unparsed,
};

/// The ruleset of the table.
pub(crate) const RULESET: &str = "version: 1
policies:
  - name: allow
    action: allow
    destinations: [10.1.1.0/24, 2001:db8:1:1::/64]
  - name: drop
    action: drop
    destinations: [10.0.0.0/8, 192.0.2.7, 2001:db8::/32, '2001:db8:ffff::7']
  - name: count
    action: count
    destinations: [0.0.0.0/0, '::/0']
";
const ALLOW: u16 = 0;
const COUNT: u16 = 1;
const DROP: u16 = 2;

/// The expected result for a frame.
pub(crate) enum Expect {
    /// These policies match (indices in the order of names), and the frame
    /// passes.
    Passed(&'static [u16]),
    /// These policies match, and the frame is dropped.
    Dropped(&'static [u16]),
    /// The frame cannot be parsed, and passes.
    Unparsed(Reason),
    /// The frame cannot be parsed. It is dropped, because the ruleset has a
    /// `drop` and the kernel could still deliver the frame.
    DroppedUnparsed(Reason),
}
impl Expect {
    pub(crate) fn outcome(&self) -> FrameOutcome {
        match self {
            Passed(matched) => parsed(matched, false),
            Dropped(matched) => parsed(matched, true),
            Unparsed(reason) => unparsed(*reason, false),
            DroppedUnparsed(reason) => unparsed(*reason, true),
        }
    }
}
use Expect::{Dropped, DroppedUnparsed, Passed, Unparsed};

pub(crate) fn cases() -> impl Iterator<Item = (&'static str, Vec<u8>, Expect)> {
    [destinations(), layers(), sessions(), truncated(), damaged()]
        .into_iter()
        .flatten()
}

#[test]
fn table() {
    let mut sandbox = Sandbox::new(&compiled(RULESET), "wlan0").expect("load the program as root");
    for (description, frame, expect) in cases() {
        let outcome = sandbox.run(&frame).unwrap();
        assert_eq!(outcome, expect.outcome(), "{description}");
    }
}

/// With a ruleset without a `drop`, all these frames pass.
#[test]
fn a_ruleset_without_a_drop_stays_open() {
    let counts = RULESET.replace("action: drop", "action: count");
    let mut sandbox = Sandbox::new(&compiled(&counts), "wlan0").expect("load the program as root");
    for (description, frame, expect) in cases() {
        let outcome = sandbox.run(&frame).unwrap();
        let expected = match expect {
            Unparsed(reason) | DroppedUnparsed(reason) => unparsed(reason, false),
            Passed(matched) | Dropped(matched) => parsed(matched, false),
        };
        assert_eq!(outcome, expected, "{description}");
    }
}

fn destinations() -> Vec<(&'static str, Vec<u8>, Expect)> {
    destinations_in(|plain| plain)
}

/// Packets to all kinds of destinations, each behind the layers that `wrap` adds.
pub(crate) fn destinations_in(
    wrap: fn(Builder) -> Builder,
) -> Vec<(&'static str, Vec<u8>, Expect)> {
    let frame = |destination| wrap(to(destination)).build();
    vec![
        ("v4, /0 only", frame("203.0.113.1"), Passed(&[COUNT])),
        (
            "v4, below the range",
            frame("9.255.255.255"),
            Passed(&[COUNT]),
        ),
        (
            "v4, first of the range",
            frame("10.0.0.0"),
            Dropped(&[COUNT, DROP]),
        ),
        (
            "v4, last of the range",
            frame("10.255.255.255"),
            Dropped(&[COUNT, DROP]),
        ),
        ("v4, above the range", frame("11.0.0.0"), Passed(&[COUNT])),
        (
            "v4, allow inside drop",
            frame("10.1.1.255"),
            Passed(&[ALLOW, COUNT, DROP]),
        ),
        (
            "v4, beside the allow",
            frame("10.1.2.0"),
            Dropped(&[COUNT, DROP]),
        ),
        (
            "v4, full length",
            frame("192.0.2.7"),
            Dropped(&[COUNT, DROP]),
        ),
        (
            "v4, beside full length",
            frame("192.0.2.6"),
            Passed(&[COUNT]),
        ),
        ("v4, lowest", frame("0.0.0.0"), Passed(&[COUNT])),
        ("v4, highest", frame("255.255.255.255"), Passed(&[COUNT])),
        ("v6, /0 only", frame("2001:db7:ffff::1"), Passed(&[COUNT])),
        (
            "v6, first of the range",
            frame("2001:db8::"),
            Dropped(&[COUNT, DROP]),
        ),
        (
            "v6, last of the range",
            frame("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
            Dropped(&[COUNT, DROP]),
        ),
        (
            "v6, allow inside drop",
            frame("2001:db8:1:1::9"),
            Passed(&[ALLOW, COUNT, DROP]),
        ),
        (
            "v6, full length",
            frame("2001:db8:ffff::7"),
            Dropped(&[COUNT, DROP]),
        ),
        ("v6, lowest", frame("::"), Passed(&[COUNT])),
    ]
}

fn sessions() -> Vec<(&'static str, Vec<u8>, Expect)> {
    let v4 = || to("10.2.3.4");
    let v6 = || to("2001:db8:2::4");
    let dropped = || Dropped(&[COUNT, DROP]);
    vec![
        ("PPPoE, v4", v4().pppoe().build(), dropped()),
        ("PPPoE, v6", v6().pppoe().build(), dropped()),
        (
            "PPPoE in four tags",
            v6().tags(&[0x8100; 4]).pppoe().build(),
            dropped(),
        ),
        (
            "PPPoE, another version",
            v4().pppoe_with(0x21, 0).build(),
            dropped(),
        ),
        (
            "PPPoE, another code",
            v4().pppoe_with(0x11, 9).build(),
            dropped(),
        ),
        (
            "PPPoE, protocol of one byte, v4",
            short_protocol(v4(), 0x21),
            dropped(),
        ),
        (
            "PPPoE, protocol of one byte, v6",
            short_protocol(v6(), 0x57),
            dropped(),
        ),
        (
            "PPPoE in a tag, protocol of one byte",
            short_protocol(v6().tags(&[0x8100]), 0x57),
            dropped(),
        ),
    ]
}

fn layers() -> Vec<(&'static str, Vec<u8>, Expect)> {
    let v4 = || to("10.2.3.4");
    let v6 = || to("2001:db8:2::4");
    let dropped = || Dropped(&[COUNT, DROP]);
    let arp = ethernet(GATEWAY, ARP, &[0; 28]);
    vec![
        ("one tag", v4().tags(&[0x8100]).build(), dropped()),
        ("QinQ", v6().tags(&[0x88a8, 0x8100]).build(), dropped()),
        (
            "three tags",
            v4().tags(&[0x9100, 0x9200, 0x8100]).build(),
            dropped(),
        ),
        ("four tags", v6().tags(&[0x8100; 4]).build(), dropped()),
        ("five tags", v4().tags(&[0x8100; 5]).build(), dropped()),
        (
            "28 tags, the most that are skipped",
            v6().tags(&[0x88a8; 28]).build(),
            dropped(),
        ),
        (
            "29 tags",
            v4().tags(&[0x8100; 29]).build(),
            DroppedUnparsed(Reason::VlanDepth),
        ),
        (
            "as many tags as a frame has room for",
            v6().tags(&[0x88a8; 360]).build(),
            DroppedUnparsed(Reason::VlanDepth),
        ),
        ("IPv4 with options", v4().options(10).build(), dropped()),
        (
            "IPv4, first fragment",
            v4().fragment(Fragment::First).build(),
            dropped(),
        ),
        (
            "IPv4, later fragment",
            v4().fragment(Fragment::Later(100)).build(),
            dropped(),
        ),
        (
            "IPv6, later fragment",
            v6().fragment(Fragment::Later(100)).build(),
            dropped(),
        ),
        (
            "IPv6, extension headers",
            v6().extensions(&[0, 43, 60]).build(),
            dropped(),
        ),
        (
            "TCP",
            v4().transport(Transport::Tcp(443)).build(),
            dropped(),
        ),
        (
            "no next header",
            v6().transport(Transport::Other(59)).build(),
            dropped(),
        ),
        ("a long frame", v4().payload(&[0; 5000]).build(), dropped()),
        ("ARP", arp, Unparsed(Reason::NonIp)),
        (
            "802.3 length",
            ethernet(GATEWAY, 38, &[0x42; 38]),
            Unparsed(Reason::NonIp),
        ),
        (
            "empty Ethernet",
            ethernet(GATEWAY, ARP, &[]),
            Unparsed(Reason::NonIp),
        ),
    ]
}

/// A PPPoE frame whose PPP protocol is one byte instead of two.
fn short_protocol(builder: Builder, protocol: u8) -> Vec<u8> {
    let mut frame = builder.pppoe().build();
    let at = frame.windows(2).position(|two| two == [0, protocol]);
    frame.remove(at.expect("the protocol is there"));
    frame
}

fn truncated() -> Vec<(&'static str, Vec<u8>, Expect)> {
    let v4 = |length| to("10.2.3.4").truncated(length);
    let v6 = |length| to("2001:db8:2::4").truncated(length);
    let tagged = |length| to("10.2.3.4").tags(&[0x8100, 0x8100]).truncated(length);
    let pppoe = |length| to("10.2.3.4").pppoe().truncated(length);
    vec![
        ("nothing", v4(0), Unparsed(Reason::TruncatedEthernet)),
        ("13 bytes", v4(13), Unparsed(Reason::TruncatedEthernet)),
        ("no IPv4 header", v4(14), Unparsed(Reason::TruncatedIpv4)),
        ("19 bytes of IPv4", v4(33), Unparsed(Reason::TruncatedIpv4)),
        ("20 bytes of IPv4", v4(34), Dropped(&[COUNT, DROP])),
        ("39 bytes of IPv6", v6(53), Unparsed(Reason::TruncatedIpv6)),
        ("40 bytes of IPv6", v6(54), Dropped(&[COUNT, DROP])),
        ("no first tag", tagged(14), Unparsed(Reason::TruncatedVlan)),
        (
            "half a second tag",
            tagged(21),
            Unparsed(Reason::TruncatedVlan),
        ),
        ("tags alone", tagged(22), Unparsed(Reason::TruncatedIpv4)),
        ("half a PPPoE header", pppoe(19), bad_pppoe()),
        ("no PPP protocol", pppoe(20), bad_pppoe()),
        ("half a PPP protocol", pppoe(21), bad_pppoe()),
        (
            "PPPoE and no packet",
            pppoe(22),
            Unparsed(Reason::TruncatedIpv4),
        ),
    ]
}

fn damaged() -> Vec<(&'static str, Vec<u8>, Expect)> {
    let with = |builder: Builder, offset: usize, byte| {
        let mut frame = builder.build();
        frame[offset] = byte;
        frame
    };
    let session = |protocol: [u8; 2]| {
        let header = [0x11, 0, 0, 1, 0, 4];
        ethernet(
            GATEWAY,
            PPPOE_SESSION,
            &[&header[..], &protocol, &[1, 1]].concat(),
        )
    };
    vec![
        (
            "IPv4, version 5",
            with(to("10.2.3.4"), 14, 0x55),
            Unparsed(Reason::BadIpv4),
        ),
        (
            "IPv4, 4 header words",
            with(to("10.2.3.4"), 14, 0x44),
            Unparsed(Reason::BadIpv4),
        ),
        (
            "IPv4, wrong total length",
            with(to("10.2.3.4"), 16, 0xff),
            Dropped(&[COUNT, DROP]),
        ),
        (
            "IPv6, version 4",
            with(to("2001:db8::4"), 14, 0x40),
            Unparsed(Reason::BadIpv6),
        ),
        (
            "IPv6, traffic class",
            with(to("2001:db8::4"), 14, 0x6f),
            Dropped(&[COUNT, DROP]),
        ),
        (
            "LCP in PPPoE",
            session([0xc0, 0x21]),
            Unparsed(Reason::NonIp),
        ),
        ("PPP multilink", session([0x00, 0x3d]), bad_pppoe()),
        (
            "PPP multilink, one byte",
            session([0x3d, 0x21]),
            bad_pppoe(),
        ),
        ("PPP, compressed", session([0x00, 0xfd]), bad_pppoe()),
        (
            "PPP, compressed in the link",
            session([0xfb, 0x00]),
            bad_pppoe(),
        ),
        ("PPP, VJ", session([0x00, 0x2d]), bad_pppoe()),
        ("PPP, VJ, uncompressed", session([0x2f, 0x45]), bad_pppoe()),
    ]
}

fn bad_pppoe() -> Expect {
    DroppedUnparsed(Reason::BadPppoe)
}
