//! Sends frames of every shape over a veth pair through the real daemon.
//! Compares its counters with the reference model cell by cell, and the frames
//! that a packet socket behind the filter receives with those that must pass.
//!
//! In generic mode, the kernel runs the program before it removes a tag
//! (`__netif_receive_skb_core`). So in-band tags look the same in both modes.
//! If a driver removes the outermost tag, generic mode sees the frame without
//! it, four bytes shorter. The filter then matches the content in the same way.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::collections::BTreeMap;

use monitor::{
    policy::Action,
    snapshot::{Count, InterfaceSnapshot, PolicySnapshot, Snapshot, Verdicts},
};
use monitor_common::Reason;
use support::{
    generate::to_yaml,
    lab::{Lab, poll},
    packets::{
        self, ARP, ETHERNET_HEADER, EXTENSIONS, Fragment, GATEWAY, PHONE, TPIDS, Transport,
        ethernet, to,
    },
    raw::RawSocket,
    reference::{Cells, Family, Model, Policy, Total, Verdict},
};

/// Counted, dropped and counted, dropped, allowed, not matched.
const IPV4: [&str; 5] = [
    "192.0.2.10",
    "198.51.100.10",
    "198.51.100.130",
    "198.51.100.200",
    "203.0.113.9",
];
/// Counted, dropped, allowed, not matched.
const IPV6: [&str; 4] = [
    "2001:db8:1::10",
    "2001:db8:bad::10",
    "2001:db8:bad:a::1",
    "2001:db8:77::1",
];

fn policies() -> Vec<Policy> {
    let drop = ["198.51.100.0/24", "2001:db8:bad::/48"];
    let count = ["192.0.2.0/24", "198.51.100.0/25", "2001:db8:1::/48"];
    let allow = ["198.51.100.192/26", "2001:db8:bad:a::/64"];
    vec![
        Policy::new("blocked", Action::Drop, &drop),
        Policy::new("saved", Action::Allow, &allow),
        Policy::new("seen", Action::Count, &count),
    ]
}

#[test]
fn native_mode_counts_and_drops_as_the_model_does() {
    agrees_with_the_model("native");
}

#[test]
fn generic_mode_counts_and_drops_as_the_model_does() {
    agrees_with_the_model("generic");
}

fn agrees_with_the_model(mode: &str) {
    let lab = Lab::new(&format!("tagged-{mode}"));
    silence(&lab);
    lab.write_policies(&to_yaml(&policies()));
    let _daemon = lab.start(&["--mode", mode]);
    assert_eq!(lab.status()["interfaces"][0]["mode"], mode);
    assert_eq!(cells(&lab), Cells::default(), "the lab is not quiet");

    let phone = RawSocket::sender(&lab.phone, "eth0");
    let behind = RawSocket::receiver(&lab.gateway, "wlan0");
    let mut model = Model::new(policies());
    let mut expected = Vec::new();
    for batch in numbered(frames()).chunks(BATCH) {
        for frame in batch {
            phone.send(frame);
            let verdict = model.receive("wlan0", frame, frame.len() as u64);
            expected.extend(handed_on(frame).filter(|_| verdict == Verdict::Passed));
        }
        poll("the batch is counted", || {
            total(&cells(&lab)) >= total(&model.cells)
        });
    }
    let found = cells(&lab);
    assert_eq!(found.interfaces, model.cells.interfaces);
    assert_eq!(found.policies, model.cells.policies);
    assert_eq!(found.devices, model.cells.devices);
    covers_every_cell(&found);
    assert_eq!(received(&phone, &behind), expected);
}

/// Frames sent at once: fewer than a veth pair queues.
const BATCH: usize = 100;

/// Turns off all other traffic (neighbour discovery, multicast reports,
/// replies), so that only the packet sockets send.
fn silence(lab: &Lab) {
    let gateway = hex::encode(GATEWAY);
    let pairs: Vec<&str> = (0..gateway.len())
        .step_by(2)
        .map(|at| &gateway[at..at + 2])
        .collect();
    lab.gateway
        .ip(&format!("link set wlan0 address {}", pairs.join(":")));
    for (namespace, interface) in [(&lab.phone, "eth0"), (&lab.gateway, "wlan0")] {
        let switch = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
        namespace.run(|| std::fs::write(switch, "1").unwrap());
        namespace.ip(&format!("link set {interface} arp off"));
    }
}

fn frames() -> Vec<Vec<u8>> {
    [by_destination(), truncated(), damaged(), not_ip()].concat()
}

/// Every way to wrap a packet, to every destination.
fn by_destination() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for destination in IPV4.into_iter().chain(IPV6) {
        let packet = || to(destination);
        frames.push(packet().payload(&[0x5a; 1400]).build());
        for transport in [
            Transport::Tcp(443),
            Transport::EchoRequest,
            Transport::Other(47),
        ] {
            frames.push(packet().transport(transport).build());
        }
        for fragment in [Fragment::First, Fragment::Later(100)] {
            frames.push(packet().fragment(fragment).build());
            frames.push(packet().tags(&[0x8100]).fragment(fragment).build());
        }
        for tags in stacks() {
            frames.push(packet().tags(&tags).build());
            frames.push(packet().tags(&tags).pppoe().build());
        }
        for words in [1, 10] {
            frames.push(packet().options(words).build());
        }
        for extension in EXTENSIONS {
            frames.push(packet().extensions(&[extension]).build());
        }
        frames.push(
            packet()
                .extensions(&EXTENSIONS)
                .fragment(Fragment::Later(3))
                .build(),
        );
        // A broadcast frame; an access point forwards these too.
        let mut broadcast = packet().build();
        broadcast[..6].fill(0xff);
        frames.push(broadcast);
    }
    frames
}

/// Stacks of tags: none, one to five of each kind, mixed ones, and more than
/// the parser skips.
fn stacks() -> Vec<Vec<u16>> {
    let mut stacks = vec![
        vec![],
        vec![0x88a8, 0x8100],
        vec![0x9100, 0x9200, 0x88a8, 0x8100],
        vec![0x8100; 29],
    ];
    for tpid in TPIDS {
        stacks.extend((1..=5).map(|depth| vec![tpid; depth]));
    }
    stacks
}

/// Frames truncated at every byte behind the Ethernet header. Shorter frames
/// cannot be sent.
fn truncated() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for destination in [IPV4[1], IPV6[1]] {
        for packet in [
            to(destination),
            to(destination).tags(&[0x8100]),
            to(destination).tags(&[0x9100, 0x88a8]),
            to(destination).pppoe(),
            to(destination).tags(&[0x88a8]).pppoe(),
        ] {
            let whole = packet.build();
            let lengths = ETHERNET_HEADER..whole.len();
            frames.extend(lengths.map(|length| whole[..length].to_vec()));
        }
    }
    frames
}

fn damaged() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for (destination, firsts) in [(IPV4[1], [0x65, 0x44, 0x00]), (IPV6[1], [0x45, 0x70, 0x00])] {
        for first in firsts {
            let mut frame = to(destination).build();
            frame[ETHERNET_HEADER] = first;
            frames.push(frame);
        }
        frames.push(to(destination).pppoe_with(0x21, 0).build());
        frames.push(to(destination).tags(&[0x8100]).pppoe_with(0x11, 9).build());
        // PPP multilink.
        let mut multilink = to(destination).pppoe().build();
        multilink[ETHERNET_HEADER + 7] = 0x3d;
        frames.push(multilink);
    }
    frames
}

fn not_ip() -> Vec<Vec<u8>> {
    const LENGTH: u16 = 46;
    const PPPOE_DISCOVERY: u16 = 0x8863;
    const EAPOL: u16 = 0x888e;
    let types = [ARP, LENGTH, PPPOE_DISCOVERY, EAPOL];
    let plain = types.map(|ether_type| ethernet(PHONE, ether_type, &[0; 46]));
    let tagged = TPIDS.map(|tpid| ethernet(PHONE, tpid, &[0, 7, 0x08, 0x06, 0, 1, 8, 0]));
    let link_control = ethernet(
        PHONE,
        packets::PPPOE_SESSION,
        &[0x11, 0, 0, 1, 0, 2, 0xc0, 0x21],
    );
    [&plain[..], &tagged[..], &[link_control]].concat()
}

/// The frames, each from a different MAC that identifies it.
fn numbered(mut frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    for (frame, number) in frames.iter_mut().zip(1_u16..) {
        let [high, low] = number.to_be_bytes();
        frame[6..12].copy_from_slice(&[0x02, 0, 0, 0x77, high, low]);
    }
    frames
}

/// The form in which a packet socket sees a frame that passed: without its
/// outermost tag. `None` if too little follows the tag; the kernel then drops
/// the frame.
fn handed_on(frame: &[u8]) -> Option<Vec<u8>> {
    let (addresses, rest) = frame.split_at(12);
    if !matches!(rest[..2], [0x81, 0x00] | [0x88, 0xa8]) {
        return Some(frame.to_vec());
    }
    let behind_tag = rest.get(4..).filter(|behind| behind.len() >= 4)?;
    Some([addresses, behind_tag].concat())
}

/// All frames from the phone, up to a last frame that this function sends.
fn received(phone: &RawSocket, behind: &RawSocket) -> Vec<Vec<u8>> {
    const LAST: [u8; 6] = [0x02, 0, 0, 0x88, 0, 0];
    phone.send(&ethernet(LAST, ARP, &[]));
    let frames = std::iter::repeat_with(|| behind.receive());
    frames.take_while(|frame| frame[6..12] != LAST).collect()
}

fn total(cells: &Cells) -> u64 {
    cells.interfaces.values().map(|total| total.packets).sum()
}

/// Asserts that the frames reach every cell, because otherwise the comparison
/// would prove little.
fn covers_every_cell(cells: &Cells) {
    let mut kinds: Vec<_> = cells
        .interfaces
        .keys()
        .map(|(_, verdict, family)| (*verdict, *family))
        .collect();
    kinds.sort_unstable();
    let mut expected = vec![
        (Verdict::Passed, Family::Ipv4),
        (Verdict::Passed, Family::Ipv6),
        (Verdict::Dropped, Family::Ipv4),
        (Verdict::Dropped, Family::Ipv6),
    ];
    // A shorter frame than that cannot be sent.
    let reasons = Reason::ALL
        .into_iter()
        .filter(|reason| *reason != Reason::TruncatedEthernet);
    expected.extend(reasons.map(|reason| {
        let dropped = [Reason::VlanDepth, Reason::BadPppoe].contains(&reason);
        let verdict = if dropped {
            Verdict::Dropped
        } else {
            Verdict::Passed
        };
        (verdict, Family::Other(reason))
    }));
    expected.sort_unstable();
    assert_eq!(kinds, expected);
}

/// The counts of `status --json` in the model's types.
fn cells(lab: &Lab) -> Cells {
    let snapshot: Snapshot = serde_json::from_value(lab.status()).expect("status is a snapshot");
    let mut cells = Cells::default();
    for interface in &snapshot.interfaces {
        add_interface(&mut cells, interface);
    }
    for policy in &snapshot.policies {
        add_policy(&mut cells, policy);
    }
    cells
}

fn add_interface(cells: &mut Cells, interface: &InterfaceSnapshot) {
    let families = [
        (Family::Ipv4, interface.ipv4),
        (Family::Ipv6, interface.ipv6),
    ];
    let of = |verdict, family| (interface.name.clone(), verdict, family);
    for (family, verdicts) in families {
        for (verdict, count) in split(verdicts) {
            insert(&mut cells.interfaces, of(verdict, family), count);
        }
    }
    assert_eq!(interface.unparsed.len(), Reason::ALL.len());
    for reason in Reason::ALL {
        let mut of_reason = interface.unparsed.iter();
        let (_, verdicts) = of_reason
            .find(|(name, _)| name == reason.name())
            .expect("every reason is listed");
        for (verdict, count) in split(*verdicts) {
            let key = of(verdict, Family::Other(reason));
            insert(&mut cells.interfaces, key, count);
        }
    }
}

fn add_policy(cells: &mut Cells, policy: &PolicySnapshot) {
    assert_eq!(
        policy.other,
        Verdicts::default(),
        "the device table has room"
    );
    for (verdict, count) in split(policy.matched) {
        insert(&mut cells.policies, (policy.name.clone(), verdict), count);
    }
    for device in &policy.devices {
        for (verdict, count) in split(device.matched) {
            let key = (device.mac, policy.name.clone(), verdict);
            insert(&mut cells.devices, key, count);
        }
    }
}

fn split(verdicts: Verdicts) -> [(Verdict, Count); 2] {
    [
        (Verdict::Passed, verdicts.passed),
        (Verdict::Dropped, verdicts.dropped),
    ]
}

fn insert<K: Ord>(cells: &mut BTreeMap<K, Total>, key: K, count: Count) {
    if count != Count::default() {
        let Count { packets, bytes } = count;
        assert_eq!(
            cells.insert(key, Total { packets, bytes }),
            None,
            "a cell stands twice"
        );
    }
}
