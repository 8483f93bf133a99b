//! Public DNS resolvers that answer DNS over HTTPS.

use std::{collections::BTreeMap, net::IpAddr, sync::LazyLock};

/// Where the table comes from, with the date on which it was read.
pub const SOURCES: &str = "Chromium net/dns/public/doh_provider_entry.cc at 0297de7cbfef and \
    AdGuard KnowledgeBaseDNS docs/general/dns-providers.md at 00650221d0d3, read 2026-11-29";

struct Resolver {
    operator: &'static str,
    addresses: &'static [&'static str],
    /// Server names. Names below them belong to the resolver too.
    names: &'static [&'static str],
}

/// Returns the operator of the resolver with this address.
#[must_use]
pub fn resolver_of_address(address: IpAddr) -> Option<&'static str> {
    BY_ADDRESS.get(&address.to_canonical()).copied()
}

/// Returns the operator of the resolver with this server name. The name is in lower case.
#[must_use]
pub fn resolver_of_name(name: &str) -> Option<&'static str> {
    let mut rest = name;
    loop {
        if let Some(operator) = BY_NAME.get(rest) {
            return Some(operator);
        }
        (_, rest) = rest.split_once('.')?;
    }
}

/// Returns the addresses of the table, sorted. There are at most 256.
pub fn resolver_addresses() -> impl Iterator<Item = IpAddr> {
    BY_ADDRESS.keys().copied()
}

static BY_ADDRESS: LazyLock<BTreeMap<IpAddr, &str>> = LazyLock::new(|| {
    let addresses = RESOLVERS.iter().flat_map(|resolver| {
        let addresses = resolver.addresses.iter();
        addresses.map(|address| (address.parse(), resolver.operator))
    });
    addresses
        .filter_map(|(address, operator)| Some((address.ok()?, operator)))
        .collect()
});

static BY_NAME: LazyLock<BTreeMap<&str, &str>> = LazyLock::new(|| {
    let names = RESOLVERS.iter().flat_map(|resolver| {
        let names = resolver.names.iter();
        names.map(|name| (*name, resolver.operator))
    });
    names.collect()
});

#[rustfmt::skip]
const RESOLVERS: &[Resolver] = &[
    Resolver {
        operator: "AdGuard",
        addresses: &[
            "94.140.14.14", "94.140.15.15", "2a10:50c0::ad1:ff", "2a10:50c0::ad2:ff",
            "94.140.14.15", "94.140.15.16", "2a10:50c0::bad1:ff", "2a10:50c0::bad2:ff",
            "94.140.14.140", "94.140.14.141", "2a10:50c0::1:ff", "2a10:50c0::2:ff",
        ],
        names: &["dns.adguard-dns.com", "family.adguard-dns.com", "unfiltered.adguard-dns.com"],
    },
    Resolver {
        operator: "Alibaba",
        addresses: &["223.5.5.5", "223.6.6.6", "2400:3200::1", "2400:3200:baba::1"],
        names: &["dns.alidns.com"],
    },
    Resolver {
        operator: "CleanBrowsing",
        addresses: &[
            "185.228.168.10", "185.228.169.11", "2a0d:2a00:1::1", "2a0d:2a00:2::1",
            "185.228.168.168", "185.228.169.168", "2a0d:2a00:1::", "2a0d:2a00:2::",
            "185.228.168.9", "185.228.169.9", "2a0d:2a00:1::2", "2a0d:2a00:2::2",
        ],
        names: &["doh.cleanbrowsing.org", "adult-filter-dns.cleanbrowsing.org", "family-filter-dns.cleanbrowsing.org", "security-filter-dns.cleanbrowsing.org"],
    },
    Resolver {
        operator: "Cloudflare",
        addresses: &[
            "1.1.1.1", "1.0.0.1", "2606:4700:4700::1111", "2606:4700:4700::1001",
            "1.1.1.2", "1.0.0.2", "2606:4700:4700::1112", "2606:4700:4700::1002",
            "1.1.1.3", "1.0.0.3", "2606:4700:4700::1113", "2606:4700:4700::1003",
        ],
        names: &["cloudflare-dns.com", "one.one.one.one"],
    },
    Resolver {
        operator: "Comcast",
        addresses: &["75.75.75.75", "75.75.76.76", "2001:558:feed::1", "2001:558:feed::2"],
        names: &["doh.xfinity.com", "dot.xfinity.com"],
    },
    Resolver {
        operator: "Cox",
        addresses: &["68.105.28.11", "68.105.28.12", "2001:578:3f::30"],
        names: &["doh.cox.net", "dot.cox.net"],
    },
    Resolver {
        operator: "CZ.NIC",
        addresses: &["185.43.135.1", "193.17.47.1", "2001:148f:fffe::1", "2001:148f:ffff::1"],
        names: &["odvr.nic.cz"],
    },
    Resolver {
        operator: "DNS.SB",
        addresses: &["185.222.222.222", "45.11.45.11", "2a09::", "2a11::"],
        names: &["doh.dns.sb", "dns.sb", "dot.sb"],
    },
    Resolver {
        operator: "DNS4EU",
        addresses: &["86.54.11.1", "86.54.11.201", "2a13:1001::86:54:11:1", "2a13:1001::86:54:11:201"],
        names: &["joindns4.eu"],
    },
    Resolver {
        operator: "DNSPod",
        addresses: &["119.29.29.29", "2402:4e00::"],
        names: &["dns.pub", "doh.pub", "dot.pub"],
    },
    Resolver {
        operator: "Google",
        addresses: &[
            "8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844",
            "2001:4860:4860::64", "2001:4860:4860::6464",
        ],
        names: &["dns.google", "dns.google.com", "8888.google"],
    },
    Resolver {
        operator: "Hurricane Electric",
        addresses: &["74.82.42.42", "2001:470:20::2"],
        names: &["ordns.he.net"],
    },
    Resolver {
        operator: "IIJ",
        addresses: &[],
        names: &["public.dns.iij.jp"],
    },
    Resolver {
        operator: "Levonet",
        addresses: &["109.236.119.2", "109.236.120.2", "2a02:6ca3:0:1::2", "2a02:6ca3:0:2::2"],
        names: &["dns.levonet.sk"],
    },
    Resolver {
        operator: "Mullvad",
        addresses: &[],
        names: &["dns.mullvad.net"],
    },
    Resolver {
        operator: "NextDNS",
        addresses: &[],
        names: &["dns.nextdns.io"],
    },
    Resolver {
        operator: "OpenDNS",
        addresses: &[
            "208.67.222.222", "208.67.220.220", "2620:119:35::35", "2620:119:53::53",
            "208.67.222.123", "208.67.220.123", "2620:119:35::123", "2620:119:53::123",
        ],
        names: &["doh.opendns.com", "doh.familyshield.opendns.com"],
    },
    Resolver {
        operator: "Quad9",
        addresses: &[
            "9.9.9.9", "149.112.112.112", "2620:fe::fe", "2620:fe::9",
            "9.9.9.10", "149.112.112.10", "2620:fe::10", "2620:fe::fe:10",
            "9.9.9.11", "149.112.112.11", "2620:fe::11", "2620:fe::fe:11",
        ],
        names: &["dns.quad9.net", "dns9.quad9.net", "dns10.quad9.net", "dns11.quad9.net"],
    },
    Resolver {
        operator: "Quickline",
        addresses: &["212.60.61.246", "212.60.63.246", "2001:1a88:10:ffff::1", "2001:1a88:10:ffff::2"],
        names: &["doh.quickline.ch", "dot.quickline.ch"],
    },
    Resolver {
        operator: "Spectrum",
        addresses: &["209.18.47.61", "209.18.47.62", "2001:1998:f00:1::1", "2001:1998:f00:2::1"],
        names: &["doh-01.spectrum.com", "doh-02.spectrum.com"],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_the_table_is_valid_and_occurs_once() {
        let written: usize = RESOLVERS.iter().map(|r| r.addresses.len()).sum();
        assert_eq!(resolver_addresses().count(), written);
        assert!(written <= 256);
        let names: usize = RESOLVERS.iter().map(|r| r.names.len()).sum();
        assert_eq!(BY_NAME.len(), names);
    }

    #[test]
    fn a_name_belongs_to_the_resolver_above_it() {
        assert_eq!(resolver_of_name("dns.google"), Some("Google"));
        assert_eq!(
            resolver_of_name("chrome.cloudflare-dns.com"),
            Some("Cloudflare")
        );
        assert_eq!(resolver_of_name("4a8b2c.dns.nextdns.io"), Some("NextDNS"));
        for name in [
            "www.google.com",
            "notdns.google",
            "dns.google.example",
            ".",
            "",
        ] {
            assert_eq!(resolver_of_name(name), None);
        }
    }
}
