//! Interfaces: which carry packets, and which hooks have the filter.

use super::*;

#[test]
fn interfaces_that_carry_packets_without_a_filter_are_named() {
    assert_eq!(names(|facts| add(facts, [link(4, "eth1")])), ["eth1"]);
    let none = Families::default();
    let vlan_on = |lower: u32, link: Link| Link {
        lower: Some(lower),
        ..kind("vlan", link)
    };
    let down = Link {
        is_up: false,
        ..link(4, "down")
    };
    let host = Link {
        forwards: none,
        ..link(4, "host")
    };
    let bare = Link {
        addresses: none,
        ..link(4, "bare")
    };
    let harmless = [
        down,
        host,
        bare,
        kind("dummy", link(4, "dummy0")),
        // Tunnels have a check of their own.
        kind("wireguard", link(4, "wg0")),
        // Its packets enter through wlan0.
        vlan_on(2, link(4, "wlan0.7")),
    ];
    for link in harmless {
        let name = link.name.clone();
        assert!(names(|facts| add(facts, [link])).is_empty(), "{name}");
    }
    let far_side = names(|facts| {
        add(facts, [link(4, "eth1")]);
        facts.far_sides.push(4);
    });
    assert!(far_side.is_empty());
    // A VLAN on an interface without a filter.
    assert_eq!(
        names(|facts| add(facts, [vlan_on(3, link(4, "eth0.7"))])),
        ["eth0.7"]
    );
    assert_eq!(names(|facts| facts.filters = Ok(Vec::new())), ["no"]);
    let waiting = names(|facts| facts.daemon = answers(Some("x"), &["wlan1"]));
    assert_eq!(waiting, ["wlan1"]);
    // Another program took its place, or it is in another namespace.
    let taken = names(|facts| facts.filters.as_mut().unwrap()[0].program = 8);
    assert_eq!(taken[0], "wlan0");
}

#[test]
fn of_a_bridge_each_port_without_a_filter_is_named_or_the_bridge() {
    let bridge = || kind("bridge", link(9, "br-lan"));
    // wlan0 runs the filter and is a port: other ports are open.
    let on_a_port = |facts: &mut Facts, names: &[&str]| {
        wlan0(facts).controller = Some(9);
        add(facts, [bridge()]);
        for (index, name) in (10..).zip(names) {
            add(facts, [port(9, link(index, name))]);
        }
    };
    assert_eq!(
        names(|facts| on_a_port(facts, &["lan1", "lan2"])),
        ["lan1", "lan2"]
    );
    // A transparent bridge: its only other port leads to the internet.
    let transparent = |others: &[&str]| {
        names(|facts| {
            on_a_port(facts, others);
            facts.far_sides = vec![9, 3];
        })
    };
    assert!(transparent(&["wan"]).is_empty());
    assert_eq!(transparent(&["wan", "lan1"]), ["wan", "lan1"]);
    // No part is filtered: only the bridge is named.
    let none = names(|facts| add(facts, [bridge(), port(9, link(4, "lan1"))]));
    assert_eq!(none, ["br-lan"]);
    // The bridge runs the filter: its ports are covered.
    let whole = names(|facts| {
        wlan0(facts).kind = LinkKind::Bridge;
        add(facts, [port(2, link(4, "lan1"))]);
    });
    assert!(whole.is_empty());
}

/// First word of each finding of the check `interface`, which are all blind.
fn names(change: impl FnOnce(&mut Facts)) -> Vec<String> {
    let found = found(CheckName::Interface, change).into_iter();
    let names = found.map(|(status, what)| {
        assert_eq!(status, Blind, "{what}");
        what.split(' ').next().unwrap().to_owned()
    });
    names.collect()
}

#[test]
fn a_bridge_without_an_address_is_a_path_and_one_of_containers_is_degraded() {
    let none = Families::default();
    let bridge = |ports: [bool; 2], addresses: Families| {
        found(CheckName::Interface, |facts| {
            let bridge = Link {
                addresses,
                ..link(9, "br9")
            };
            add(facts, [kind("bridge", bridge)]);
            for (index, leads_elsewhere) in (10..).zip(ports) {
                let port = port(9, link(index, &format!("p{index}")));
                add(
                    facts,
                    [Link {
                        leads_elsewhere,
                        ..port
                    }],
                );
            }
        })
    };
    let [(status, what)] = &bridge([false, false], none)[..] else {
        panic!("one finding");
    };
    assert_eq!((*status, &**what), (Blind, "br9 has no filter"));
    assert_eq!(bridge([true, false], BOTH)[0].0, Blind);
    assert_eq!(bridge([true, true], BOTH)[0].0, Degraded);
    // With one port, it connects nothing.
    let alone = found(CheckName::Interface, |facts| {
        let bridge = Link {
            addresses: none,
            ..link(9, "br9")
        };
        add(facts, [kind("bridge", bridge), port(9, link(10, "p10"))]);
    });
    assert!(alone.is_empty(), "{alone:?}");
}

#[test]
fn a_vlan_on_a_vlan_is_covered_by_the_interface_below_both() {
    let vlan = |index: u32, lower: u32| Link {
        lower: Some(lower),
        ..kind("vlan", link(index, "vlan"))
    };
    assert!(names(|facts| add(facts, [vlan(4, 2), vlan(5, 4)])).is_empty());
    assert_eq!(names(|facts| add(facts, [vlan(4, 3), vlan(5, 4)])).len(), 2);
    // The kernel builds no such circle; the search ends all the same.
    assert_eq!(names(|facts| add(facts, [vlan(4, 5), vlan(5, 4)])).len(), 2);
    let only_stacked = |facts: &mut Facts| {
        facts.policies.as_mut().unwrap().with_ipv6 = 0;
        wlan0(facts).forwards.ipv6 = false;
        add(facts, [vlan(4, 2)]);
    };
    assert_eq!(found(CheckName::Ipv6, only_stacked)[0].0, Blind);
}

/// The texts of the check `interface` that are `ok`.
fn fine(change: impl FnOnce(&mut Facts)) -> Vec<String> {
    let mut said = said(CheckName::Interface, change);
    said.retain(|(status, _)| *status == Fine);
    said.into_iter().map(|(_, what)| what).collect()
}

/// Gives eth0 the role `wan`.
fn filter_wan(facts: &mut Facts, egress: Result<Egress, String>) {
    facts.links.as_mut().unwrap()[1].program = Some(8);
    facts.filters.as_mut().unwrap().push(FilterAt {
        name: "eth0".to_owned(),
        index: 3,
        program: 8,
        role: Role::Wan,
        egress,
    });
}

#[test]
fn the_egress_of_a_wan_must_have_the_filter() {
    for (mode, word) in [(Mode::Tcx, "TCX"), (Mode::Clsact, "clsact")] {
        let attached = |facts: &mut Facts| filter_wan(facts, Ok(Egress::Attached(mode)));
        assert!(found(CheckName::Interface, attached).is_empty(), "{word}");
        let both = [
            "wlan0 is filtered".to_owned(),
            "eth0 is filtered".to_owned(),
            format!("eth0 is filtered at its egress too ({word})"),
        ];
        assert_eq!(fine(attached), both);
    }
    let removed = [
        (
            Egress::Removed(Mode::Tcx),
            "detached the link of the filter (TCX)",
        ),
        (
            Egress::Removed(Mode::Clsact),
            "removed the filter of clsact",
        ),
        (
            Egress::Nothing,
            "neither a link (TCX) nor a filter of clsact",
        ),
    ];
    for (egress, why) in removed {
        let mut facts = gateway();
        filter_wan(&mut facts, Ok(egress));
        let remarks = function(CheckName::Interface)(&facts);
        let bad: Vec<_> = remarks.iter().filter(|one| one.status != Fine).collect();
        assert_eq!(bad.len(), 1, "{remarks:#?}");
        assert_eq!(bad[0].status, Blind);
        assert_eq!(bad[0].what, "eth0 has no filter at its egress");
        assert!(bad[0].why.contains(why), "{bad:?}");
        assert!(diagnose(&facts).by_check()["interface"]);
    }
    let denied = |facts: &mut Facts| filter_wan(facts, Err("permission denied".to_owned()));
    let unknown = "the filter at the egress of eth0 cannot be read".to_owned();
    assert_eq!(found(CheckName::Interface, denied), [(Unknown, unknown)]);
    // In another network namespace, the egress cannot be seen.
    let elsewhere = |facts: &mut Facts| {
        filter_wan(facts, Err("another network namespace".to_owned()));
        facts.links.as_mut().unwrap().remove(1);
    };
    assert_eq!(names(elsewhere), ["eth0"]);
}

#[test]
fn a_lan_needs_its_egress_only_for_the_flows_of_devices() {
    let with = |egress| {
        found(CheckName::Interface, |facts| {
            facts.filters.as_mut().unwrap()[0].egress = Ok(egress);
        })
    };
    for egress in [Egress::Nothing, Egress::Attached(Mode::Tcx)] {
        assert!(with(egress).is_empty(), "{egress:?}");
    }
    let what = "wlan0 has no filter at its egress".to_owned();
    assert_eq!(with(Egress::Removed(Mode::Clsact)), [(Degraded, what)]);
}

#[test]
fn an_interface_that_lost_its_filter_is_named_also_as_the_far_side() {
    let lost = |name: &str, change: fn(&mut Facts)| {
        let name = name.to_owned();
        found(CheckName::Interface, |facts| {
            facts.detached.push(name);
            change(facts);
        })
    };
    let said = |name: &str| vec![(Blind, format!("{name} has lost its filter"))];
    assert_eq!(lost("eth0", |_| {}), said("eth0"));
    assert!(lost("gone0", |_| {}).is_empty());
    let is_new = |facts: &mut Facts| add(facts, [link(4, "eth1")]);
    assert_eq!(lost("eth1", is_new), said("eth1"));
    let is_covered = |facts: &mut Facts| {
        wlan0(facts).kind = LinkKind::Bridge;
        add(facts, [port(2, link(4, "lan1"))]);
    };
    assert!(lost("lan1", is_covered).is_empty());
    // The daemon knows more.
    let waits = |facts: &mut Facts| facts.daemon = answers(Some("x"), &["eth0"]);
    let what = "eth0 is not filtered, but should be".to_owned();
    assert_eq!(lost("eth0", waits), [(Blind, what)]);
}

#[test]
fn the_far_side_says_what_is_not_seen_there_and_how_to_see_it() {
    let far_side = |change: fn(&mut Facts)| {
        let mut said = fine(change);
        said.retain(|what| what.contains("is the far side"));
        said
    };
    let ethernet = far_side(|facts| facts.links.as_mut().unwrap()[1].mac = Some([2; 6]));
    assert_eq!(
        ethernet,
        [
            "eth0 is the far side: a default route leads there, or led there. Answers, and packets of the gateway itself, are not seen there; `--interface eth0:wan` shows them"
        ]
    );
    let raw = far_side(|_| {});
    assert!(
        raw[0].contains("eth0") && raw[0].ends_with("no Ethernet frames"),
        "{raw:?}"
    );
    assert!(far_side(|facts| filter_wan(facts, Ok(Egress::Attached(Mode::Tcx)))).is_empty());
    assert!(far_side(|facts| facts.links.as_mut().unwrap()[1].is_up = false).is_empty());
}

#[test]
fn a_renamed_interface_is_filtered_under_its_old_name() {
    assert_eq!(fine(|_| {})[0], "wlan0 is filtered");
    let renamed = fine(|facts| wlan0(facts).name = "lan0".to_owned());
    assert_eq!(renamed[0], "lan0 is filtered, under its old name wlan0");
}

#[test]
fn parts_of_a_bond_or_team_are_covered_by_it_or_named() {
    for word in ["bond", "team"] {
        // The filter is on the bond.
        let above = |facts: &mut Facts| {
            let bond = kind(word, wlan0(facts).clone());
            *wlan0(facts) = bond;
            add(facts, [port(2, link(4, "lan1")), port(2, link(5, "lan2"))]);
        };
        assert!(names(above).is_empty(), "{word}");
        // The filter is on one part of two.
        let below = |is_up: bool| {
            names(|facts| {
                wlan0(facts).controller = Some(9);
                let other = port(9, link(4, "lan1"));
                add(
                    facts,
                    [kind(word, link(9, "bond0")), Link { is_up, ..other }],
                );
            })
        };
        assert_eq!(below(true), ["lan1"], "{word}");
        assert!(below(false).is_empty(), "{word}");
        let none = |facts: &mut Facts| {
            add(
                facts,
                [kind(word, link(9, "bond0")), port(9, link(4, "lan1"))],
            );
        };
        assert_eq!(names(none), ["bond0"], "{word}");
    }
    // The kernel takes the tag off after a bond, and before a bridge.
    let vlan_on_a_part = |word: &str| {
        names(|facts| {
            let above = kind(word, wlan0(facts).clone());
            *wlan0(facts) = above;
            let vlan = Link {
                lower: Some(4),
                ..kind("vlan", link(5, "lan1.7"))
            };
            add(facts, [port(2, link(4, "lan1")), vlan]);
        })
    };
    assert!(vlan_on_a_part("bond").is_empty());
    assert_eq!(vlan_on_a_part("bridge"), ["lan1.7"]);
}

#[test]
fn an_interface_on_a_filtered_one_is_covered() {
    for word in ["macvlan", "macvtap", "ipvlan", "ipvtap"] {
        let on = |lower: u32| {
            names(|facts| {
                let link = Link {
                    lower: Some(lower),
                    ..kind(word, link(4, "mv0"))
                };
                add(facts, [link]);
            })
        };
        assert!(on(2).is_empty(), "{word}");
        assert_eq!(on(3), ["mv0"], "{word}");
    }
}
