//! The `lan` section of the config file: the network of the devices.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::address::{Derivation, Destination, Embedding, InvalidDestination};

/// The `lan` section of the config file: servers that policies must not cut off,
/// and the NAT64 prefixes of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LanOptions {
    /// Resolvers that the network tells devices to use.
    pub resolvers: Vec<IpAddr>,
    /// DHCP servers other than the gateway.
    pub dhcp: Vec<IpAddr>,
    /// Prefixes under which a NAT64 translator makes IPv4 addresses reachable.
    #[serde(deserialize_with = "nat64")]
    pub nat64: Vec<Embedding>,
}

/// Parses NAT64 prefixes.
fn nat64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Embedding>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    if texts.len() > Derivation::MAX_NAT64 {
        let most = Derivation::MAX_NAT64;
        let message = format!("{} NAT64 prefixes; the limit is {most}", texts.len());
        return Err(D::Error::custom(message));
    }
    let each = texts.iter().map(|text| {
        let error = |why: String| {
            let help = "write a prefix such as 2001:db8:64::/96";
            D::Error::custom(format!(
                "`{}` in lan.nat64: {why}; {help}",
                text.escape_debug()
            ))
        };
        let destination: Destination = text
            .parse()
            .map_err(|invalid: InvalidDestination| error(invalid.to_string()))?;
        let Destination::Ipv6(interval) = destination else {
            return Err(error("it is no IPv6 prefix".to_owned()));
        };
        match interval.networks()[..] {
            [prefix] => Embedding::nat64(prefix).map_err(|invalid| error(invalid.to_string())),
            _ => Err(error("it is a range, not a prefix".to_owned())),
        }
    });
    each.collect()
}

/// `derive`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeriveOption {
    /// IPv4 destinations cover no IPv6 addresses.
    None,
}

impl LanOptions {
    pub(super) fn or(self, other: Self) -> Self {
        if self == Self::default() { other } else { self }
    }
}

/// The mechanisms for which the compiler derives IPv6 prefixes.
pub(super) fn derivation(derive: Option<DeriveOption>, lan: &LanOptions) -> Derivation {
    match derive {
        Some(DeriveOption::None) => Derivation::none(),
        None => Derivation::with(lan.nat64.iter().copied()),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Options, *};

    #[test]
    fn nat64_prefixes_of_the_network() {
        let derivation = |text: &str| Options::parse(text).unwrap().settle().derivation;
        assert_eq!(derivation(""), Derivation::default());
        let own = derivation("lan: {nat64: ['2001:db8:64::/48', '64:ff9b::/96']}\n");
        let shown: Vec<_> = own.embeddings().iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "IPv4-mapped addresses (::ffff:0:0/96)",
                "NAT64 (64:ff9b::/96)",
                "NAT64 (2001:db8:64::/48)",
                "6to4 (2002::/16)",
            ]
        );
        let none = derivation("derive: none\nlan: {nat64: ['2001:db8:64::/48']}\n");
        assert_eq!(none, Derivation::none());
    }

    #[test]
    fn what_is_no_nat64_prefix_says_why() {
        for (text, why) in [
            ("'2001:db8:64::/80'", "not 80"),
            ("'2001:db8:0:0:ff00::/96'", "bits 64 to 71"),
            ("'fe80::/64'", "link-local"),
            ("'2001:db8:64::1/96'", "bits set after its first 96"),
            ("10.0.0.0/8", "no IPv6 prefix"),
            ("'2001:db8::-2001:db8::2'", "a range"),
        ] {
            let file = format!("listen: 127.0.0.1:1\nlan:\n  nat64: [{text}]\n");
            let error = Options::parse(&file).unwrap_err();
            let shown = error.to_string();
            assert!(
                shown.contains(why) && shown.contains("lan.nat64"),
                "{shown}"
            );
        }
        let many = vec!["'2001:db8:64::/96'"; 17].join(", ");
        let error = Options::parse(&format!("lan: {{nat64: [{many}]}}\n")).unwrap_err();
        assert!(error.to_string().contains("17 NAT64 prefixes"), "{error}");
        let error = Options::parse("derive: all\n").unwrap_err();
        assert!(error.to_string().contains("expected `none`"), "{error}");
    }
}
