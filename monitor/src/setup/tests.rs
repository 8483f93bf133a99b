use super::*;
use crate::doctor::facts::{Families, Isolation, Wireless};

/// An interface with an address for which this machine routes.
fn link(index: u32, name: &str) -> Link {
    let ipv4 = Families {
        ipv4: true,
        ipv6: false,
    };
    Link {
        name: name.to_owned(),
        index,
        is_up: true,
        addresses: ipv4,
        forwards: ipv4,
        ..Link::default()
    }
}

fn access_point(index: u32, name: &str) -> Wireless {
    Wireless {
        index,
        name: name.to_owned(),
        kind: WirelessKind::AccessPoint(Isolation::Unknown(String::new())),
    }
}

fn proposed(network: &Network) -> Vec<String> {
    let judged = judge(network).into_iter();
    judged
        .filter(|judged| judged.is_proposed)
        .map(|judged| judged.name)
        .collect()
}

fn why(network: &Network, name: &str) -> String {
    let judged = judge(network)
        .into_iter()
        .find(|judged| judged.name == name);
    judged.unwrap().reasons.join("; ")
}

#[test]
fn an_access_point_is_proposed_and_the_far_side_is_not() {
    let network = Network {
        links: vec![
            link(1, "lo"),
            link(2, "eth0"),
            link(3, "wlan0"),
            link(4, "eth1"),
        ],
        far_sides: vec![2],
        wireless: vec![access_point(3, "wlan0")],
        ..Network::default()
    };
    assert_eq!(proposed(&network), ["wlan0"]);
    assert_eq!(why(&network, "wlan0"), "it is a WiFi access point");
    assert!(why(&network, "eth0").contains("a default route leads there"));
    assert!(why(&network, "eth1").contains("another interface has one"));
    assert_eq!(judge(&network).len(), 3, "not loopback");
}

#[test]
fn a_bridge_is_proposed_in_place_of_its_ports() {
    let port = |index, name: &str| Link {
        controller: Some(5),
        ..link(index, name)
    };
    let bridge = Link {
        kind: LinkKind::Bridge,
        ..link(5, "br-lan")
    };
    let mut network = Network {
        links: vec![
            link(2, "eth0"),
            port(3, "phy0-ap0"),
            port(4, "eth1"),
            bridge,
        ],
        far_sides: vec![2],
        wireless: vec![access_point(3, "phy0-ap0")],
        dhcp: [(5, "leases".to_owned())].into(),
        ..Network::default()
    };
    assert_eq!(proposed(&network), ["br-lan"]);
    assert_eq!(
        why(&network, "br-lan"),
        "its port phy0-ap0 is a WiFi access point; leases"
    );
    assert!(why(&network, "phy0-ap0").contains("a port of br-lan"));

    // An access point that only bridges: the router is elsewhere.
    network.far_sides = vec![5];
    network.dhcp.clear();
    assert_eq!(proposed(&network), ["phy0-ap0"]);
    assert!(why(&network, "phy0-ap0").contains("belongs on this port"));
    assert!(why(&network, "eth1").contains("to which a default route leads"));
}

#[test]
fn every_interface_with_a_dhcp_server_is_proposed_except_those_of_containers() {
    let vlan = Link {
        kind: LinkKind::Stacked,
        lower: Some(2),
        ..link(6, "eth0.7")
    };
    let network = Network {
        links: vec![
            link(2, "eth0"),
            link(3, "lan0"),
            link(4, "guest0"),
            link(5, "virbr0"),
            vlan,
        ],
        far_sides: vec![6],
        dhcp: [3, 4, 5].map(|index| (index, "leases".to_owned())).into(),
        ..Network::default()
    };
    assert_eq!(proposed(&network), ["lan0", "guest0"]);
    assert!(why(&network, "virbr0").contains("virtual machines"));
    assert!(why(&network, "eth0").contains("it carries eth0.7"));
}

#[test]
fn without_a_sign_only_a_single_router_side_is_proposed() {
    let mut network = Network {
        links: vec![link(2, "eth0"), link(3, "eth1"), link(4, "br-0123456789ab")],
        far_sides: vec![2],
        ..Network::default()
    };
    assert_eq!(proposed(&network), ["eth1"]);
    assert!(why(&network, "eth1").contains("no other interface does"));
    network.links.push(link(7, "eth2"));
    assert_eq!(proposed(&network), Vec::<String>::new());
    assert!(why(&network, "eth2").contains("only you can tell"));
    network.links = vec![Link {
        forwards: Families::default(),
        ..link(3, "eth1")
    }];
    assert!(why(&network, "eth1").contains("does not forward its packets (sysctl"));
    assert!(notes(&network)[0].contains("this machine forwards nothing"));
}

fn on_top(index: u32, name: &str, lower: u32) -> Link {
    Link {
        kind: LinkKind::Stacked,
        lower: Some(lower),
        ..link(index, name)
    }
}

#[test]
fn what_carries_a_pppoe_session_leads_to_the_internet() {
    let session = Link {
        kind: LinkKind::Tunnel,
        mac: None,
        ..link(9, "pppoe-wan")
    };
    let with_mac = |link: Link| Link {
        mac: Some([2; 6]),
        ..link
    };
    let network = Network {
        links: vec![
            with_mac(link(2, "eth0")),
            with_mac(on_top(3, "eth0.2", 2)),
            with_mac(link(4, "eth1")),
            session,
        ],
        far_sides: vec![9],
        pppoe: vec!["eth0.2".to_owned()],
        ..Network::default()
    };
    assert_eq!(proposed(&network), ["eth1"]);
    assert!(why(&network, "eth0.2").contains("it carries pppoe-wan"));
    assert!(why(&network, "eth0").contains("it carries eth0.2"));
    assert!(notes(&network).is_empty());
}

#[test]
fn names_decide_only_where_no_fact_does() {
    let mut network = Network {
        links: vec![
            link(2, "wan"),
            link(3, "br-lan"),
            link(4, "br-guest"),
            link(5, "eth5"),
        ],
        ..Network::default()
    };
    assert_eq!(proposed(&network), ["br-lan", "br-guest"]);
    assert_eq!(why(&network, "wan"), "by its name it leads to the provider");
    assert!(why(&network, "eth5").contains("another interface has a name"));
    assert!(notes(&network)[0].contains("no default route"));

    network.dhcp_for_several = true;
    assert!(notes(&network)[1].contains("does not show for which"));

    // The route is a fact, and so is the DHCP server.
    network.far_sides = vec![3];
    network.dhcp = [(2, "a server".to_owned())].into();
    assert_eq!(proposed(&network), ["wan"]);

    // The interface of a VRF is no port of it.
    network = Network {
        links: vec![
            Link {
                controller: Some(7),
                ..link(3, "eth3")
            },
            Link {
                kind: LinkKind::Internal,
                word: "vrf".to_owned(),
                ..link(7, "blue")
            },
        ],
        ..Network::default()
    };
    assert_eq!(proposed(&network), ["eth3"]);
}

#[test]
fn of_interfaces_on_top_of_each_other_one_is_proposed() {
    let mut network = Network {
        links: vec![
            link(2, "br-lan"),
            on_top(3, "br-lan.20", 2),
            on_top(4, "br-lan.20.5", 3),
        ],
        ..Network::default()
    };
    assert_eq!(proposed(&network), ["br-lan"]);
    assert!(why(&network, "br-lan.20.5").contains("come in through br-lan"));

    // The lower interface has no address: both VLANs are proposed.
    network.links[0].addresses = Families::default();
    network.links[2] = on_top(4, "br-lan.1", 2);
    assert_eq!(proposed(&network), ["br-lan.20", "br-lan.1"]);
    assert!(why(&network, "br-lan").contains("no address of this machine"));

    // The DHCP server on top is the stronger sign.
    network.links[0] = link(2, "br-lan");
    network.dhcp = [(3, "a server".to_owned())].into();
    assert_eq!(proposed(&network), ["br-lan.20"]);
}

#[test]
fn what_could_be_an_access_point_and_is_none_is_named() {
    let wlan0 = Link {
        is_up: false,
        addresses: Families::default(),
        forwards: Families::default(),
        ..link(3, "wlan0")
    };
    let network = Network {
        links: vec![link(2, "eth0"), wlan0],
        far_sides: vec![2],
        ..Network::default()
    };
    assert_eq!(proposed(&network), Vec::<String>::new());
    assert!(why(&network, "wlan0").contains("start hostapd or the hotspot first"));
}
