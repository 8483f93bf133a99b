//! Prefixes that are derived from IPv4 destinations, and the gateways that need them.

use monitor::{
    address::{Derivation, Destination, Embedding},
    guard::Gateway,
};

use super::{compiled, file, gateway};

/// A gateway whose network reaches IPv4 by NAT64 and has a 6to4 prefix of its own.
fn gateway_behind_nat64() -> Gateway {
    let Destination::Ipv6(prefix) = "fd64::/96".parse().unwrap() else {
        unreachable!("an IPv6 prefix");
    };
    let own = Embedding::nat64(prefix.networks()[0]).unwrap();
    let mut gateway = gateway();
    gateway.resolvers = vec!["64:ff9b::203.0.113.53".parse().unwrap()];
    let own_address = "2002:c633:6401::1".parse().unwrap();
    gateway.interfaces[0].addresses.push(own_address);
    gateway.derivation = Derivation::with([own]);
    gateway
}

#[test]
fn derived_prefixes_are_judged_where_devices_need_the_address() {
    let d = |destination: &str, rest: &str| {
        format!("  - {{name: d, action: drop, destinations: [{destination}]{rest}}}\n")
    };
    let resolver = "from the resolver 64:ff9b::cb00:7135, tcp/53 and udp/53 on br-lan and wlan0-guest (derived from 203.0.113.0/24 by NAT64 (64:ff9b::/96))";
    let own = "the gateway's own address 2002:c633:6401::1 on br-lan (derived from 198.51.100.0/24 by 6to4 (2002::/16))";
    let accept = ", accept_risk: [private], reason: none";
    for (policies, expected) in [
        (d("203.0.113.0/24", ""), &[resolver][..]),
        (d("203.0.113.0/24", ", services: [tcp/443]"), &[]),
        (d("203.0.113.0/24", ", derive: none"), &[]),
        (d("{cidr: 203.0.113.0/24, except: [203.0.113.53]}", ""), &[]),
        (
            d("203.0.113.0/24", "")
                + "  - {name: a, action: allow, destinations: [203.0.113.53]}\n",
            &[],
        ),
        (
            d("203.0.113.0/24", "")
                + "  - {name: a, action: allow, derive: none, destinations: [203.0.113.53]}\n",
            &[resolver],
        ),
        (d("198.51.100.0/24", ", interfaces: [br-lan]"), &[own]),
        // Unique local addresses are private, those behind a NAT64 prefix are not.
        (d("42.62.48.0/24", ""), &[]),
        // The derived 2002:200::/24 and fd64::200:0/104 are not short prefixes.
        (d("2.0.0.0/8", ""), &[]),
        (d("172.16.0.0/12", accept), &[]),
    ] {
        let compiled = compiled(&[("p.yaml", &file(&policies))], &gateway_behind_nat64());
        let errors = compiled.diagnostics.errors();
        let found: Vec<&str> = errors.map(monitor::policy::Diagnostic::message).collect();
        assert_eq!(found.len(), expected.len(), "{policies} {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}");
        }
    }
}

#[test]
fn the_help_for_a_derived_cut_names_ipv4_addresses() {
    let policies =
        "  - {name: d, action: drop, destinations: [198.51.100.0/24], interfaces: [br-lan]}\n";
    let compiled = compiled(&[("p.yaml", &file(policies))], &gateway_behind_nat64());
    let error = compiled.diagnostics.errors().next().unwrap();
    for part in [
        "`{cidr: 198.51.100.0/24, except: [198.51.100.1]}`",
        "`derive: none` in `d`",
    ] {
        assert!(error.help().contains(part), "{}", error.help());
    }
}
