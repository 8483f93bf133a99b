//! Programs, hardware, stations, IPv6 and tunnels.

use super::*;
use crate::doctor::facts::{Flowtable, Ingress, Ipsec, Isolation, Wireless, WirelessKind};

#[test]
fn a_port_in_hairpin_mode_turns_frames_round() {
    let with = |is_hairpin, is_isolated| {
        let found = found(CheckName::Station, |facts| {
            wlan0(facts).kind = LinkKind::Bridge;
            let port = port(2, link(4, "lan1"));
            add(
                facts,
                [Link {
                    is_isolated,
                    is_hairpin,
                    ..port
                }],
            );
        });
        found.first().map(|(status, _)| *status)
    };
    assert_eq!(with(true, false), Some(Blind));
    assert_eq!(with(true, true), None);
    assert_eq!(with(false, false), None);
}

#[test]
fn ipsec_without_interfaces_is_blind_unless_it_leads_to_the_internet() {
    let with = |sources: &[(&str, bool)]| {
        let each = sources.iter().map(|(source, is_everything)| Ipsec {
            source: (*source).to_owned(),
            is_everything: *is_everything,
        });
        let policies = each.collect();
        found(CheckName::Tunnel, |facts| facts.ipsec = Ok(policies))
    };
    assert!(with(&[]).is_empty());
    assert!(with(&[("0.0.0.0/0", true)]).is_empty());
    let site = with(&[("10.9.0.0/24", false), ("10.8.0.0/24", false)]);
    assert_eq!(site[0].0, Blind);
    assert!(
        site[0]
            .1
            .ends_with("from 10.8.0.0/24, and from 1 more networks"),
        "{site:?}"
    );
    let denied = |facts: &mut Facts| facts.ipsec = Err("denied".to_owned());
    assert_eq!(found(CheckName::Tunnel, denied)[0].0, Unknown);
}

#[test]
fn the_mode_says_what_it_costs() {
    let generic = |facts: &mut Facts| wlan0(facts).mode = Some(Mode::Generic);
    let [(status, what)] = &found(CheckName::Mode, generic)[..] else {
        panic!("one finding");
    };
    assert_eq!((*status, &**what), (Degraded, "wlan0 has the generic mode"));
    // WiFi has no other mode.
    let wifi = |facts: &mut Facts| {
        generic(facts);
        facts.wireless = Ok(vec![access_point(Isolation::On("f".to_owned()))]);
    };
    assert!(found(CheckName::Mode, wifi).is_empty());
    let mode = |mode: Option<Mode>| {
        let mut said = said(CheckName::Mode, |facts| wlan0(facts).mode = mode);
        assert_eq!(said.len(), 1, "{said:?}");
        said.remove(0)
    };
    let hardware = "wlan0 has the mode of its hardware".to_owned();
    assert_eq!(mode(None), (Fine, hardware));
    let native = "wlan0 has the native mode".to_owned();
    assert_eq!(mode(Some(Mode::Native)), (Fine, native));
}

#[test]
fn programs_of_others_count_before_the_filter_and_after_it() {
    let with = |index: u32, ingress: Ingress| {
        found(CheckName::Program, |facts| {
            let links = facts.links.as_mut().unwrap();
            links[0].kind = LinkKind::Bridge;
            links.push(port(2, link(4, "lan1")));
            facts.ingress.insert(index, Ok(ingress));
        })
    };
    let filters = || Ingress {
        filters: vec!["u32".to_owned()],
        ..Ingress::default()
    };
    let linked = Ingress {
        linked: 2,
        ..filters()
    };
    assert_eq!(
        with(2, linked),
        [(
            Degraded,
            "wlan0 has tc filters (u32) and 2 tc programs after the filter".to_owned()
        )]
    );
    assert_eq!(
        with(4, filters()),
        [(
            Blind,
            "lan1 has tc filters (u32) before the filter".to_owned()
        )]
    );
    // On the far side they are no matter.
    assert!(with(3, filters()).is_empty());
    assert!(with(4, Ingress::default()).is_empty());
    let other_xdp = |facts: &mut Facts| {
        let vlan = Link {
            lower: Some(3),
            program: Some(7),
            ..kind("vlan", link(2, "wlan0"))
        };
        let links = facts.links.as_mut().unwrap();
        links[0] = vlan;
        links[1].program = Some(99);
    };
    assert_eq!(
        found(CheckName::Program, other_xdp),
        [(
            Blind,
            "eth0 has the XDP program 99 before the filter".to_owned()
        )]
    );
    let denied = |facts: &mut Facts| {
        facts.ingress.insert(2, Err("permission denied".to_owned()));
    };
    assert_eq!(found(CheckName::Program, denied)[0].0, Unknown);
}

#[test]
fn hardware_that_forwards_is_blind_and_software_is_not() {
    let table = |in_hardware| Flowtable {
        table: "fw4".to_owned(),
        name: "ft".to_owned(),
        interfaces: vec!["wlan0".to_owned(), "eth0".to_owned()],
        in_hardware,
    };
    let software = said(CheckName::Offload, |facts| {
        facts.flowtables = Ok(vec![table(false)]);
    });
    assert_eq!(
        software,
        [(
            Fine,
            "the flowtable ft is in software: its packets pass the filter first".to_owned()
        )]
    );
    let hardware = found(CheckName::Offload, |facts| {
        facts.flowtables = Ok(vec![table(true)]);
    });
    assert_eq!(
        hardware,
        [(
            Blind,
            "the flowtable ft moves connections into hardware (wlan0, eth0)".to_owned()
        )]
    );
    let one = |change: fn(&mut Facts)| found(CheckName::Offload, change)[0].0;
    assert_eq!(
        one(|facts| facts.flowtables = Err("denied".to_owned())),
        Unknown
    );
    assert_eq!(one(|facts| facts.hardware_tc = Ok(vec![3])), Degraded);
    assert_eq!(
        one(|facts| facts.hardware_tc = Err("denied".to_owned())),
        Unknown
    );
    assert_eq!(
        one(|facts| facts.accelerators = Ok(vec!["ecm".to_owned()])),
        Blind
    );
    assert_eq!(
        one(|facts| facts.accelerators = Err("denied".to_owned())),
        Unknown
    );
    let rules = Ingress {
        filters: vec!["flower".to_owned()],
        in_hardware: 3,
        linked: 0,
    };
    let found = found(CheckName::Offload, |facts| {
        facts.ingress.insert(3, Ok(rules));
    });
    assert_eq!(
        found,
        [(Blind, "eth0: hardware executes rules of tc".to_owned())]
    );
}

fn access_point(isolation: Isolation) -> Wireless {
    Wireless {
        index: 2,
        name: "wlan0".to_owned(),
        kind: WirelessKind::AccessPoint(isolation),
    }
}

#[test]
fn frames_between_stations_and_ports_are_not_seen() {
    let wifi = |wireless: Wireless| {
        let found = found(CheckName::Station, |facts| {
            facts.wireless = Ok(vec![wireless]);
        });
        found.first().map(|(status, _)| *status)
    };
    let file = || "/etc/hostapd.conf".to_owned();
    assert_eq!(wifi(access_point(Isolation::On(file()))), None);
    assert_eq!(wifi(access_point(Isolation::Off(file()))), Some(Blind));
    assert_eq!(
        wifi(access_point(Isolation::Unknown(file()))),
        Some(Unknown)
    );
    let kind = WirelessKind::Mesh;
    assert_eq!(
        wifi(Wireless {
            kind,
            ..access_point(Isolation::On(file()))
        }),
        Some(Blind)
    );
    let denied = |facts: &mut Facts| facts.wireless = Err("denied".to_owned());
    assert_eq!(found(CheckName::Station, denied)[0].0, Unknown);
    let bridge = |isolated: [bool; 2], is_bridge: bool| {
        found(CheckName::Station, |facts| {
            let links = facts.links.as_mut().unwrap();
            if is_bridge {
                links[0].kind = LinkKind::Bridge;
            }
            for (index, is_isolated) in (4..).zip(isolated) {
                let port = port(2, link(index, &format!("lan{index}")));
                links.push(Link {
                    is_isolated,
                    ..port
                });
            }
        })
    };
    assert_eq!(
        bridge([false, true], true),
        [(Blind, "wlan0 forwards frames between lan4, lan5".to_owned())]
    );
    assert!(bridge([true, true], true).is_empty());
    assert!(bridge([false, false], false).is_empty());
    let switch = |numbers: [&str; 2]| {
        found(CheckName::Station, |facts| {
            for (index, number) in (4..).zip(numbers) {
                let port = port(9, link(index, &format!("lan{index}")));
                add(
                    facts,
                    [Link {
                        switch: Some(number.to_owned()),
                        ..port
                    }],
                );
            }
        })
    };
    assert_eq!(
        switch(["01", "01"]),
        [(
            Blind,
            "a hardware switch forwards frames between lan4, lan5".to_owned()
        )]
    );
    assert!(switch(["01", "02"]).is_empty());
}

#[test]
fn ipv6_needs_a_policy_only_if_it_is_forwarded() {
    let without = |facts: &mut Facts| facts.policies.as_mut().unwrap().with_ipv6 = 0;
    assert_eq!(found(CheckName::Ipv6, without)[0].0, Blind);
    let some = |facts: &mut Facts| facts.policies.as_mut().unwrap().with_ipv6 = 1;
    assert_eq!(found(CheckName::Ipv6, some)[0].0, Degraded);
    let unknown = |facts: &mut Facts| facts.policies = Err("broken".to_owned());
    assert_eq!(found(CheckName::Ipv6, unknown)[0].0, Unknown);
    let not_forwarded = |facts: &mut Facts| {
        without(facts);
        wlan0(facts).forwards.ipv6 = false;
    };
    assert!(found(CheckName::Ipv6, not_forwarded).is_empty());
    // A bridge forwards frames whatever the setting of its port says.
    let bridged = |facts: &mut Facts| {
        not_forwarded(facts);
        wlan0(facts).controller = Some(9);
        let bridge = Link {
            forwards: Families::default(),
            ..link(9, "br-lan")
        };
        add(facts, [kind("bridge", bridge)]);
    };
    assert_eq!(found(CheckName::Ipv6, bridged)[0].0, Blind);
}

#[test]
fn of_a_point_to_point_link_nothing_is_known() {
    let session = kind("ppp", link(4, "ppp0"));
    assert_eq!(
        found(CheckName::Tunnel, |facts| add(facts, [session]))[0].0,
        Unknown
    );
}

#[test]
fn a_tunnel_that_brings_packets_is_blind_and_one_to_the_internet_is_not() {
    let tunnel = || kind("wireguard", link(4, "wg0"));
    let inward = found(CheckName::Tunnel, |facts| add(facts, [tunnel()]));
    assert_eq!(inward[0].0, Blind, "{inward:?}");
    for change in [
        |facts: &mut Facts| facts.far_sides.push(4),
        |facts: &mut Facts| facts.links.as_mut().unwrap()[2].is_up = false,
        |facts: &mut Facts| facts.links.as_mut().unwrap()[2].forwards = Families::default(),
    ] {
        let found = found(CheckName::Tunnel, |facts| {
            add(facts, [tunnel()]);
            change(facts);
        });
        assert!(found.is_empty(), "{found:?}");
    }
    let far_side = |word: &str| {
        let mut said = said(CheckName::Tunnel, |facts| {
            add(facts, [kind(word, link(4, "t0"))]);
            facts.far_sides.push(4);
        });
        assert_eq!(said.len(), 1, "{said:?}");
        said.remove(0).1
    };
    let answers = far_side("wireguard");
    assert!(
        answers.ends_with("packets of the gateway itself, are not seen"),
        "{answers}"
    );
    let session = far_side("ppp");
    assert!(
        session.ends_with("carries the session has the role `wan`"),
        "{session}"
    );
}
