//! Reads the header of a table: the names of its columns, and from them their
//! contents.

use super::verdict;
use crate::address::Destination;

/// The columns that a header names, counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Columns {
    /// The column with a network.
    pub(crate) network: Option<usize>,
    /// The columns with the first and the last address of a range.
    pub(crate) range: Option<(usize, usize)>,
    /// The column with the AS number.
    pub(crate) asn: Option<usize>,
    /// The column with the country code.
    pub(crate) country: Option<usize>,
    /// The column with the name of the autonomous system or of its organisation.
    pub(crate) organisation: Option<usize>,
    /// The column with the holder of the range.
    pub(crate) holder: Option<usize>,
    /// The column with the name of the network. It may be a label and not an organisation.
    pub(crate) netname: Option<usize>,
    /// The column with the number of the country, which a second file explains.
    pub(crate) geoname: Option<usize>,
    /// True if a column has the netmasks or the lengths of networks.
    pub(crate) has_mask: bool,
    /// True if a column may say which rows are allowed or blocked: its name says so, or it
    /// stands beside the network and has an unknown name.
    pub(crate) has_verdict: bool,
    /// True if a column has the name of addresses.
    pub(crate) names_addresses: bool,
}

const NETWORKS: [&str; 8] = [
    "network", "prefix", "cidr", "subnet", "net", "route", "range", "ip_range",
];
const FIRSTS: [&str; 11] = [
    "start",
    "start_ip",
    "ip_start",
    "range_start",
    "first",
    "first_ip",
    "ip_first",
    "from",
    "ip_from",
    "begin",
    "startip",
];
const LASTS: [&str; 11] = [
    "end",
    "end_ip",
    "ip_end",
    "range_end",
    "last",
    "last_ip",
    "ip_last",
    "to",
    "ip_to",
    "stop",
    "endip",
];
const ASNS: [&str; 7] = [
    "asn",
    "as",
    "as_number",
    "autonomous_system_number",
    "origin",
    "origin_as",
    "number",
];
/// Names for the column of the country code. `country` comes last, because in a table
/// with both columns it may hold the country's name.
const COUNTRIES: [&str; 5] = [
    "country_code",
    "country_iso_code",
    "iso_code",
    "cc",
    "country",
];

const ORGANISATIONS: [&str; 9] = [
    "autonomous_system_organization",
    "as_organization",
    "as_name",
    "asn_name",
    "as_description",
    "as_org",
    "organization",
    "organisation",
    "org",
];
/// Names for the column of the netmask or of the length.
const MASKS: [&str; 14] = [
    "netmask",
    "mask",
    "subnet_mask",
    "wildcard",
    "length",
    "len",
    "prefixlen",
    "prefix_len",
    "prefix_length",
    "prefixlength",
    "masklen",
    "mask_length",
    "bits",
    "cidr_length",
];

/// Parts of the names of columns with addresses.
const ADDRESS_PARTS: [&str; 10] = [
    "ip",
    "addr",
    "address",
    "src",
    "dst",
    "source",
    "destination",
    "network",
    "prefix",
    "host",
];

/// Returns true if a column of this name has netmasks or the lengths of networks.
pub(super) fn is_mask(name: &str) -> bool {
    let name = normal(name);
    MASKS.contains(&name.as_str())
}

/// Returns true if a column of this name has the first or the last addresses of ranges.
pub(super) fn is_end(name: &str) -> bool {
    let name = normal(name);
    FIRSTS.contains(&name.as_str()) || LASTS.contains(&name.as_str())
}

/// Returns true for the name of a column that says something about a network, but not
/// whether it is allowed or blocked.
fn is_known(name: &str) -> bool {
    const PARTS: [&str; 17] = [
        "geoname",
        "registered",
        "org",
        "name",
        "descr",
        "description",
        "note",
        "notes",
        "comment",
        "source",
        "city",
        "region",
        "continent",
        "holder",
        "count",
        "date",
        "asn",
    ];
    let lists = [
        NETWORKS.as_slice(),
        &FIRSTS,
        &LASTS,
        &ASNS,
        &COUNTRIES,
        &ORGANISATIONS,
        &MASKS,
    ];
    let is_listed = lists.iter().any(|names| names.contains(&name));
    is_listed || name.split('_').any(|part| PARTS.contains(&part))
}

/// Returns the name in lower case, with `_` between its words.
fn normal(name: &str) -> String {
    name.to_ascii_lowercase().replace(['-', ' '], "_")
}

const HOLDERS: [&str; 1] = ["holder"];
const NETNAMES: [&str; 1] = ["netname"];

impl Columns {
    /// Reads a header. Returns `None` if `fields` is a row with addresses.
    pub(crate) fn of(fields: &[&str]) -> Option<Self> {
        let is_word = |field: &&str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ');
            field.starts_with(|c: char| c.is_ascii_alphabetic())
                && field.chars().all(allowed)
                && field.parse::<Destination>().is_err()
                && asn(field).is_none()
        };
        let is_header = fields.len() > 1 && fields[..2].iter().all(is_word);
        is_header.then(|| Self::named(fields))
    }

    fn named(fields: &[&str]) -> Self {
        let names: Vec<String> = fields.iter().map(|field| normal(field)).collect();
        let find = |known: &[&str]| {
            let column = |name: &&str| names.iter().position(|found| found == name);
            known.iter().find_map(column)
        };
        let network = find(&NETWORKS);
        let beside = network.map(|at| names[usize::from(at == 0)].as_str());
        Self {
            network,
            range: find(&FIRSTS).zip(find(&LASTS)),
            asn: find(&ASNS),
            country: find(&COUNTRIES),
            organisation: find(&ORGANISATIONS),
            holder: find(&HOLDERS),
            netname: find(&NETNAMES),
            geoname: find(&["geoname_id"]),
            has_mask: fields.iter().any(|field| is_mask(field)),
            has_verdict: fields.iter().any(|field| verdict::is_name(field))
                || beside.is_some_and(|name| !is_known(name)),
            names_addresses: names
                .iter()
                .any(|name| name.split('_').any(|part| ADDRESS_PARTS.contains(&part))),
        }
    }
}

/// Parses an AS number: `13335` or `AS13335`.
pub(crate) fn asn(text: &str) -> Option<u32> {
    let prefixed = text
        .split_at_checked(2)
        .filter(|(prefix, _)| prefix.eq_ignore_ascii_case("AS"));
    let digits = prefixed.map_or(text, |(_, digits)| digits);
    let all = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| all)
}

/// Parses the AS numbers of a prefix that several networks announce: `13335_38803`,
/// `13335,38803` or `{13335,38803}`.
pub(super) fn origins(text: &str) -> Option<Vec<u32>> {
    let text = text.trim_start_matches('{').trim_end_matches('}');
    text.split(['_', ','])
        .map(|number| asn(number.trim()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_headers_name_their_columns() {
        let columns = |line: &str| Columns::of(&line.split(',').collect::<Vec<_>>());
        let maxmind = "network,autonomous_system_number,autonomous_system_organization";
        assert_eq!(columns(maxmind).unwrap().asn, Some(1));
        let wide = "start_ip,end_ip,country,country_code,continent,asn,as_name";
        let expected = Columns {
            network: None,
            range: Some((0, 1)),
            asn: Some(5),
            country: Some(3),
            organisation: Some(6),
            holder: None,
            netname: None,
            geoname: None,
            has_mask: false,
            has_verdict: false,
            names_addresses: true,
        };
        assert_eq!(columns(wide), Some(expected));
        assert_eq!(columns("AS Number,Prefix").unwrap().network, Some(1));
        for row in [
            "1.0.0.0/24,13335",
            "AS13335,1.0.0.0/24",
            "network",
            "a.example,b",
            "::,::1",
        ] {
            assert_eq!(columns(row), None, "{row}");
        }
    }

    #[test]
    fn an_as_number_is_read_with_and_without_the_letters_as() {
        for text in ["13335", "AS13335", "as13335"] {
            assert_eq!(asn(text), Some(13335), "{text}");
        }
        for text in ["", "AS", "+1", "AS-1", "4294967296", "ASN1", "é1"] {
            assert_eq!(asn(text), None, "{text}");
        }
    }
}
