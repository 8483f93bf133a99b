//! The devices of real captures, and the vendors of published prefixes.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{fs, net::IpAddr};

use jiff::{Timestamp, civil::date};
use monitor::{
    devices::oui::{Owner, Vendors},
    evidence::identity::{Device, Fact, FactSource, Identities, Several},
    policy::MacAddress,
};

/// Reads a capture of Ethernet frames with times in microseconds. Returns each frame with
/// its time. Returns `None` if the captures are missing.
fn frames(name: &str) -> Option<Vec<(Timestamp, Vec<u8>)>> {
    let bytes = fs::read(support::data::folder()?.join("captures").join(name)).unwrap();
    let (mut rest, _) = pcap_parser::parse_pcap_header(&bytes).unwrap();
    let mut frames = Vec::new();
    while let Ok((after, packet)) = pcap_parser::parse_pcap_frame(rest) {
        let micros = i64::from(packet.ts_sec) * 1_000_000 + i64::from(packet.ts_usec);
        let at = Timestamp::from_microsecond(micros).unwrap();
        frames.push((at, packet.data.to_vec()));
        rest = after;
    }
    Some(frames)
}

/// Returns the source address of an IP packet in an untagged Ethernet frame.
fn source(frame: &[u8]) -> Option<IpAddr> {
    match frame.get(12..14)? {
        [0x08, 0x00] => Some(<[u8; 4]>::try_from(frame.get(26..30)?).ok()?.into()),
        [0x86, 0xdd] => Some(<[u8; 16]>::try_from(frame.get(22..38)?).ok()?.into()),
        _ => None,
    }
}

fn mac(frame: &[u8]) -> Option<MacAddress> {
    Some(MacAddress(frame.get(6..12)?.try_into().ok()?))
}

/// Feeds the frames of a capture, and the models whose names occur in them.
fn identities(name: &str, models: &[&str]) -> Option<Identities> {
    let mut identities = Identities::default();
    for (at, frame) in frames(name)? {
        let (Some(mac), Some(source)) = (mac(&frame), source(&frame)) else {
            continue;
        };
        identities.frame(mac, source, at);
        for model in models {
            if frame
                .windows(model.len())
                .any(|part| part == model.as_bytes())
            {
                let fact = Fact::Model((*model).to_owned());
                identities.fact(mac, fact, FactSource::MiPush, at);
            }
        }
    }
    Some(identities)
}

/// Returns each device as a line: MAC, owner, number of addresses, kinds of reasons.
fn lines(name: &str) -> Option<Vec<String>> {
    let vendors = Vendors::default();
    let identities = identities(name, &["Redmi Note 9 Pro", "Redmi Note 8T"])?;
    let line = |(mac, device): (MacAddress, &Device)| {
        let owner = match vendors.owner(mac) {
            Owner::Vendor(vendor) => vendor.name.to_owned(),
            other => format!("{other:?}"),
        };
        let kind = |reason: &Several| match reason {
            Several::HostNames(names) => format!(" names {}", names.join("/")),
            Several::Models(models) => format!(" models {}", models.join("/")),
            Several::Ipv4 { most, .. } => format!(" IPv4 {most}"),
            Several::Ipv6 { most, .. } => format!(" IPv6 {most}"),
        };
        let reasons: String = device.several().iter().map(kind).collect();
        format!("{mac} {owner} {}{reasons}", device.addresses().len())
    };
    Some(identities.iter().map(line).collect())
}

/// Each capture with its devices.
const CAPTURES: [(&str, &[&str]); 8] = [
    (
        "ndpi__android.pcap",
        &[
            "4c:6a:f6:9f:f6:27 HMD Global Oy 2",
            "c6:2c:03:60:6a:64 Randomised 14 IPv4 7",
            "d8:30:62:56:00:1c Apple, Inc. 1",
        ],
    ),
    (
        "ndpi__iphone.pcap",
        &[
            "c4:61:8b:35:82:a9 Apple, Inc. 2",
            "c6:2c:03:60:6a:64 Randomised 13 IPv4 8",
            "d8:30:62:56:00:1c Apple, Inc. 1",
        ],
    ),
    (
        "ndpi__weibo.pcap",
        &[
            "78:92:9c:0f:a8:8e Intel Corporate 1",
            "90:35:6e:eb:45:10 Vodafone Omnitel N.V. 13 IPv4 8",
        ],
    ),
    (
        "ndpi__googledns_android10.pcap",
        &[
            "10:13:31:f1:39:76 Vantiva Technologies Belgium 2 IPv4 2",
            "6a:0f:da:86:9b:90 Randomised 1",
        ],
    ),
    (
        "ndpi__long_tls_certificate.pcap",
        &[
            "10:13:31:f1:39:76 Vantiva Technologies Belgium 1",
            "28:37:37:00:6d:c8 Apple, Inc. 1",
        ],
    ),
    (
        "ndpi__xiaomi.pcap",
        &[
            "00:01:00:c4:a1:03 EQUIP'TRANS 1",
            "00:03:00:3d:8e:78 Barracuda Networks, Inc. 1",
            "00:05:00:45:ad:86 Cisco Systems, Inc 2 IPv4 2",
            "00:0a:00:b5:b7:60 MediaTek Inc 1",
            "00:0d:00:60:7d:a9 Seaway Networks Inc. 1",
            "60:38:e0:c5:35:a0 Belkin International Inc. 1 models Redmi Note 8T/Redmi Note 9 Pro",
            "78:94:b4:24:04:a0 Sercomm Corporation. 3",
        ],
    ),
    (
        "zeek__ipv6-fragmented-dns.pcap",
        &[
            "c4:2c:03:3b:6c:aa Apple, Inc. 1",
            "d8:30:62:48:c5:b5 Apple, Inc. 1",
        ],
    ),
    (
        "ndpi__badpackets.pcap",
        &[
            "78:ba:f9:68:79:67 Cisco Systems, Inc 32 IPv4 28",
            "c4:34:6b:b5:ad:c8 Hewlett Packard 1",
        ],
    ),
];

#[test]
fn phones_are_one_device_and_routers_possibly_several() {
    for (name, expected) in CAPTURES {
        if let Some(found) = lines(name) {
            assert_eq!(found, expected, "{name}");
        }
    }
}

#[test]
fn the_redmi_phones_behind_a_router_are_named() {
    if let Some(identities) =
        identities("ndpi__xiaomi.pcap", &["Redmi Note 9 Pro", "Redmi Note 8T"])
    {
        let router = "60:38:e0:c5:35:a0".parse().unwrap();
        let several = identities.get(router).unwrap().several();
        assert_eq!(
            several[0].to_string(),
            "This MAC showed the models `Redmi Note 8T` and `Redmi Note 9 Pro`. One device has one model."
        );
    }
}

#[test]
fn the_built_in_table_knows_every_prefix_of_xiaomi() {
    let Some(folder) = support::data::folder() else {
        return;
    };
    let ranges = folder.join("ranges");
    let bytes = fs::read(ranges.join("oui-xiaomi.txt")).unwrap();
    let mut vendors = Vendors::default();
    let report = vendors.add(&bytes, date(2026, 1, 1)).unwrap();
    assert_eq!((report.prefixes, report.skipped.count), (338, 0));
    let built_in = Vendors::default();
    let text = String::from_utf8(bytes).unwrap();
    let prefixes = text.lines().filter(|line| !line.starts_with('#'));
    let prefixes = prefixes.map(|line| line.split('\t').next().unwrap());
    let is_xiaomi = |prefix: &&str| {
        let number = u64::from_str_radix(&format!("{prefix:0<12}"), 16).unwrap();
        let [_, _, mac @ ..] = number.to_be_bytes();
        match built_in.owner(MacAddress(mac)) {
            Owner::Vendor(vendor) => vendor.name.to_ascii_lowercase().contains("xiaomi"),
            _ => false,
        }
    };
    assert_eq!(prefixes.filter(is_xiaomi).count(), 338);
}
