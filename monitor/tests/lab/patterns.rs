//! Interfaces by wildcard: which are taken, which are left out, and what is counted on
//! several of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::fs;

use aya::maps::{Array, Map, MapData};
use monitor_common::InterfaceRecord;
use serde_json::Value;
use support::{
    lab::{Lab, PHONE_MAC, poll, text},
    packets::to,
    raw::RawSocket,
};

const TARGET: &str = "198.51.100.10";
const POLICY: &str = "version: 1
policies: [{name: blocked, action: drop, destinations: [198.51.100.0/24]}]
";

/// Names and reasons in a list of the daemon's status.
fn listed(lab: &Lab, list: &str) -> Vec<(String, String)> {
    let status = lab.status();
    let each = status["daemon"][list].as_array().cloned();
    let word = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
    let each = each.unwrap_or_default().into_iter();
    each.map(|entry| (word(&entry, "interface"), word(&entry, "why")))
        .collect()
}

/// Packets and bytes of all IPv4 verdicts of an interface.
fn seen_on(lab: &Lab, name: &str) -> (u64, u64) {
    let status = lab.status();
    let interfaces = status["interfaces"].as_array().unwrap();
    let Some(found) = interfaces.iter().find(|other| other["name"] == name) else {
        return (0, 0);
    };
    let sum = |key: &str| {
        let verdicts = ["passed", "dropped"].iter();
        let each = verdicts.map(|verdict| found["ipv4"][verdict][key].as_u64().unwrap());
        each.sum()
    };
    (sum("packets"), sum("bytes"))
}

/// Turns off all other traffic of both ends of a pair.
fn silence(lab: &Lab, phone: &str, gateway: &str) {
    for (namespace, interface) in [(&lab.phone, phone), (&lab.gateway, gateway)] {
        namespace.run(|| {
            fs::write(
                format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"),
                "1",
            )
            .unwrap();
        });
        namespace.ip(&format!("link set {interface} arp off"));
    }
}

fn attached(lab: &Lab) -> Vec<String> {
    let status = lab.status();
    let interfaces = status["interfaces"].as_array().unwrap().iter();
    let filtered = interfaces.filter(|interface| !interface["generation"].is_null());
    filtered
        .map(|interface| interface["name"].as_str().unwrap().to_owned())
        .collect()
}

fn frame(mac_end: u8) -> Vec<u8> {
    let mut frame = to(TARGET).payload(&[7; 100]).build();
    frame[11] = mac_end;
    frame
}

#[test]
fn patterns_take_what_fits_and_leave_out_what_would_break() {
    let lab = Lab::new("patterns");
    lab.write_policies(POLICY);
    let gateway = &lab.gateway;
    lab.add_interface("phy0-ap0");
    lab.add_interface("phy0-sta0");
    for (uplink, subnet) in [("up0", 78), ("up2", 80), ("up3", 81)] {
        lab.add_interface(uplink);
        gateway.ip(&format!("address add 10.{subnet}.0.1/24 dev {uplink}"));
    }
    // The default route has two uplinks. A routing table for policy rules has a third uplink.
    gateway.ip("route add default nexthop via 10.78.0.2 dev up0 nexthop via 10.80.0.2 dev up2");
    gateway.ip("route add default via 10.81.0.2 dev up3 table 7");
    gateway.ip("tuntap add dev up1 mode tun");
    gateway.ip("link add up-br type bridge");
    gateway.ip("link set wlan0 master up-br");
    for (phone, near) in [("eth0", "wlan0"), ("phy0-ap0", "phy0-ap0")] {
        silence(&lab, phone, near);
    }
    let daemon = lab.start_on(
        "wlan*",
        &[
            "--mode",
            "generic",
            "--interface",
            "phy*-ap*",
            "--interface",
            "u?*",
        ],
    );
    assert_eq!(attached(&lab), ["phy0-ap0", "wlan0"]);
    let out = listed(&lab, "left_out");
    let reasons: Vec<_> = out.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(reasons, ["up-br", "up0", "up1", "up2", "up3"]);
    let route = "default route";
    let words = ["come through wlan0", route, "no Ethernet", route, route];
    for ((_, why), word) in out.iter().zip(words) {
        assert!(why.contains(word), "{out:?}");
    }
    assert!(
        daemon
            .log()
            .contains("up0: matches a pattern, and is left out")
    );
    let human = text(&lab.monitor(&["status"]).stdout);
    assert!(
        human.contains("left out   up0: matches a pattern"),
        "{human}"
    );
    let [(waits, why)] = &listed(&lab, "waiting")[..] else {
        panic!("one pattern takes nothing");
    };
    assert_eq!(waits, "u?*");
    assert!(why.contains("left out"), "{why}");

    roams(&lab);
    comes_and_goes(&lab);

    // Renamed by udev: the filter stays, under the name of its link, and only once.
    gateway.ip("link set wlan0 down");
    gateway.ip("link set wlan0 name wlan9");
    gateway.ip("link set wlan9 up");
    poll("the reload takes it", || {
        lab.monitor(&["reload"]).status.success()
    });
    assert_eq!(attached(&lab), ["phy0-ap0", "wlan0"]);
    // A default route that comes later takes no filter away.
    gateway.ip("address add 10.79.0.1/24 dev phy0-ap0");
    gateway.ip("route replace default via 10.79.0.2 dev phy0-ap0");
    assert!(lab.monitor(&["reload"]).status.success());
    // The pattern `u?*` may take what no longer leads to the Internet.
    assert_eq!(attached(&lab), ["phy0-ap0", "up0", "up2", "wlan0"]);
}

/// One device on one access point, then on the other: each packet is counted on the
/// interface that it came through, and its flow names that interface.
fn roams(lab: &Lab) {
    let near = [("eth0", "wlan0", 5_u64), ("phy0-ap0", "phy0-ap0", 3)];
    let frame = to(TARGET).payload(&[7; 100]).build();
    for (phone, gateway, count) in near {
        let before = seen_on(lab, gateway);
        let sender = RawSocket::sender(&lab.phone, phone);
        (0..count).for_each(|_| sender.send(&frame));
        let expected = (before.0 + count, before.1 + count * frame.len() as u64);
        poll("they are counted on this interface", || {
            seen_on(lab, gateway) == expected
        });
    }
    assert_eq!(lab.policy("blocked"), (0, 8));
    let status = lab.status();
    let devices = status["policies"][0]["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 1, "one device: {status:#}");
    let state = lab.directory.path().join("state");
    let output = lab.monitor(&["flows", "--json", "--state-dir", state.to_str().unwrap()]);
    let flows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let flows = flows["flows"].as_array().unwrap().iter();
    let mut by_interface: Vec<_> = flows
        .map(|flow| {
            assert_eq!(flow["device"].as_str().unwrap().to_lowercase(), PHONE_MAC);
            let interface = flow["interface"].as_str().unwrap().to_owned();
            (interface, flow["packets"].as_u64().unwrap())
        })
        .collect();
    by_interface.sort();
    assert_eq!(
        by_interface,
        [("phy0-ap0".to_owned(), 3), ("wlan0".to_owned(), 5)]
    );
}

/// An interface that appears is taken in, leaves without a new generation, and goes on
/// counting when it is back.
fn comes_and_goes(lab: &Lab) {
    for round in 1..=2 {
        lab.add_interface("phy1-ap0");
        silence(lab, "phy1-ap0", "phy1-ap0");
        poll("it is filtered", || {
            attached(lab).contains(&"phy1-ap0".to_owned())
        });
        let sender = RawSocket::sender(&lab.phone, "phy1-ap0");
        (0..4).for_each(|_| sender.send(&frame(9)));
        poll("it counts", || seen_on(lab, "phy1-ap0").0 == 4 * round);
        let before = lab.generation("wlan0");
        lab.gateway.ip("link del phy1-ap0");
        poll("it leaves", || {
            let link = lab.pin_dir.join("links").join(hex::encode("phy1-ap0"));
            !link.exists()
        });
        assert_eq!(lab.generation("wlan0"), before, "no generation was made");
        let waits = listed(lab, "waiting");
        assert!(waits.iter().all(|(name, _)| name == "u?*"), "{waits:?}");
    }
}

#[test]
fn more_interfaces_than_the_counters_have_room_for_are_named_and_stop_nothing() {
    let lab = Lab::new("room");
    lab.write_policies(POLICY);
    lab.start(&["--mode", "generic"]).kill();
    use_slots_of_interfaces_that_are_gone(&lab, 29);
    for name in ["wlan1", "wlan2"] {
        lab.add_interface(name);
    }
    let daemon = lab.start_on("later", &["--mode", "generic", "--interface", "wlan*"]);
    // 30 names are used. One place is left for a match, and one for the exact name.
    assert_eq!(attached(&lab), ["wlan0", "wlan1"]);
    let without_room = || {
        let waits = listed(&lab, "waiting").into_iter();
        let names: Vec<_> = waits
            .filter(|(_, why)| why.contains("room for 32"))
            .map(|(name, _)| name)
            .collect();
        names
    };
    assert_eq!(without_room(), ["wlan2"]);
    lab.add_interface("wlan3");
    poll("the new one is named too", || {
        without_room() == ["wlan2", "wlan3"]
    });
    let reloaded = lab.monitor(&["reload"]);
    assert!(reloaded.status.success(), "{}", daemon.log());
    lab.add_interface("later");
    poll("the exact name has its place", || {
        attached(&lab).contains(&"later".to_owned())
    });
}

/// Enters names into the pinned counters, as interfaces do that came and went.
fn use_slots_of_interfaces_that_are_gone(lab: &Lab, count: u32) {
    let mut pins = fs::read_dir(&lab.pin_dir).unwrap().map(Result::unwrap);
    let is_state = |name: &str| name.starts_with('v');
    let state = pins.find(|pin| is_state(pin.file_name().to_str().unwrap()));
    let pin = state.unwrap().path().join("IFACE_NAMES");
    let map = Map::Array(MapData::from_pin(pin).unwrap());
    let mut names: Array<MapData, InterfaceRecord> = map.try_into().unwrap();
    for slot in 1..=count {
        let text = format!("gone{slot}");
        let mut record = InterfaceRecord::default();
        record.name[..text.len()].copy_from_slice(text.as_bytes());
        names.set(slot, &record, 0).unwrap();
    }
}

#[test]
fn an_interface_without_ethernet_is_refused_by_name_and_does_not_stop_the_others() {
    let lab = Lab::new("ppp");
    lab.gateway.ip("tuntap add dev ppp0 mode tun");
    let output = lab
        .daemon_command(&["--interface", "wlan0", "--interface", "ppp0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        error.contains("ppp0: is no Ethernet interface") && error.contains("reads PPPoE sessions"),
        "{error}"
    );
    // A session comes up after the daemon.
    lab.gateway.ip("link del ppp0");
    let _daemon = lab.start(&["--mode", "generic", "--interface", "ppp0"]);
    lab.gateway.ip("tuntap add dev ppp0 mode tun");
    poll("it is left out", || {
        let out = listed(&lab, "left_out");
        out.iter()
            .any(|(name, why)| name == "ppp0" && why.contains("PPPoE"))
    });
    let output = lab.monitor(&["reload"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(attached(&lab), ["wlan0"]);
}

/// A bridge in the phone's namespace hands frames on with the outermost tag beside them, as
/// network cards do. The kernel does not put the tag back before XDP. So the frame is
/// shorter by the tag, and its content decides.
#[test]
fn a_tag_that_hardware_took_off_changes_the_length_and_not_the_verdict() {
    for mode in ["native", "generic"] {
        let lab = Lab::new(&format!("untagged-{mode}"));
        lab.write_policies(POLICY);
        silence(&lab, "eth0", "wlan0");
        let phone = &lab.phone;
        // The bridge forwards no frame from the address of its own port.
        phone.ip("link set eth0 address 02:00:00:00:00:03");
        phone.ip("link add card0 type veth peer name port0");
        phone.ip("link add bridge0 type bridge mcast_snooping 0 stp_state 0 forward_delay 0");
        for interface in ["card0", "port0", "bridge0"] {
            let path = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
            phone.run(|| fs::write(path, "1").unwrap());
        }
        phone.ip("link set eth0 master bridge0");
        phone.ip("link set port0 master bridge0");
        for interface in ["card0", "port0", "bridge0"] {
            phone.ip(&format!("link set {interface} arp off up"));
        }
        let _daemon = lab.start(&["--mode", mode]);
        let sender = RawSocket::sender(phone, "card0");
        let tagged = to(TARGET).tags(&[0x8100]).payload(&[7; 100]).build();
        let twice = to(TARGET)
            .tags(&[0x88a8, 0x8100])
            .payload(&[7; 100])
            .build();
        let plain = to(TARGET).payload(&[7; 100]).build();
        for frame in [&tagged, &twice, &plain] {
            sender.send(frame);
        }
        let bytes = (tagged.len() - 4 + twice.len() - 4 + plain.len()) as u64;
        poll("each is counted without its outermost tag", || {
            seen_on(&lab, "wlan0") == (3, bytes)
        });
        assert_eq!(lab.policy("blocked"), (0, 3), "{mode}");
    }
}

/// `br-lan` with VLANs: guests on tag 20 of one port. The filter is on the bridge, then on
/// its ports by a pattern. The sums are what the senders sent.
#[test]
fn a_bridge_with_vlans_and_its_ports_count_the_same() {
    for (interface, names) in [("br-lan", &["br-lan"][..]), ("wlan*", &["wlan0", "wlan1"])] {
        let lab = Lab::new("vlans");
        lab.write_policies(POLICY);
        lab.add_interface("wlan1");
        bridge(&lab);
        let _daemon = lab.start_on(interface, &["--mode", "generic"]);
        assert_eq!(attached(&lab), names);
        let senders = ["eth0", "wlan1"].map(|name| RawSocket::sender(&lab.phone, name));
        let mut sent = (0, 0);
        for sender in &senders {
            for tags in [&[][..], &[0x8100]] {
                let mut frame = to(TARGET).tags(tags).payload(&[7; 100]).build();
                if !tags.is_empty() {
                    frame[14..16].copy_from_slice(&20_u16.to_be_bytes());
                }
                // To the bridge itself, as a packet to the Internet.
                frame[..6].copy_from_slice(&BRIDGE_MAC);
                sender.send(&frame);
                sent = (sent.0 + 1, sent.1 + frame.len() as u64);
            }
        }
        let sums = || {
            let each = names.iter().map(|name| seen_on(&lab, name));
            each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
        };
        // On the bridge itself the kernel has taken both tags off.
        let off = if interface == "br-lan" { 8 } else { 0 };
        poll("every packet is counted once", || {
            sums() == (sent.0, sent.1 - off)
        });
        assert_eq!(lab.policy("blocked"), (0, 4), "{interface}");
    }
}

const BRIDGE_MAC: [u8; 6] = [0x02, 0, 0, 0, 0xb, 0x1];

fn bridge(lab: &Lab) {
    let gateway = &lab.gateway;
    gateway.ip(
        "link add br-lan address 02:00:00:00:0b:01 type bridge mcast_snooping 0 stp_state 0 forward_delay 0",
    );
    for (phone, near) in [("eth0", "wlan0"), ("wlan1", "wlan1")] {
        silence(lab, phone, near);
        gateway.ip(&format!("address flush dev {near}"));
        gateway.ip(&format!("link set {near} master br-lan"));
    }
    gateway.run(|| fs::write("/proc/sys/net/ipv6/conf/br-lan/disable_ipv6", "1").unwrap());
    gateway.ip("link set br-lan arp off up");
}
