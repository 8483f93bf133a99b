//! Replaces private data of a household by pseudonyms.
//!
//! A pseudonym is a word and the first hexadecimal digits of HMAC-SHA256 of the original, under
//! a key of the caller. Reports under the same key have the same pseudonyms.

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::{
    compare::Comparison,
    model::{Device, Flow, Mark, Other, Report},
    policies::StatedPolicy,
    sentences,
};
use crate::{data::SourceKind, evidence::FactView, policy::MacAddress};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Hexadecimal digits of a pseudonym. Two of a million originals share one with a probability
/// of 1 in 500.
const DIGITS: usize = 12;

/// Ends of names that have a meaning only within a household.
const LOCAL_NAMES: [&str; 8] = [
    "lan",
    "local",
    "home.arpa",
    "fritz.box",
    "internal",
    "home",
    "localdomain",
    "localhost",
];

/// A key has another length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pseudonym key has at least {KEY_BYTES} bytes")]
pub struct InvalidKey;

/// Replaces originals by pseudonyms under one key.
pub struct Redactor {
    key: Vec<u8>,
    own: Own,
}

/// Addresses and names of the household.
#[derive(Debug, Default)]
struct Own {
    addresses: BTreeSet<IpAddr>,
    /// The first 48 bits of its IPv6 addresses: the part of the household's line.
    networks: BTreeSet<[u8; 6]>,
    /// Interface identifiers that hold a MAC (RFC 4291, appendix A).
    identifiers: BTreeSet<[u8; 8]>,
    /// Host names of the gateway and of the devices, in lower case.
    hosts: BTreeSet<String>,
}

impl Redactor {
    /// Creates a redactor. The key must be secret and random.
    ///
    /// # Errors
    ///
    /// Returns an error if the key is too short.
    pub fn new(key: &[u8]) -> Result<Self, InvalidKey> {
        if key.len() < KEY_BYTES {
            return Err(InvalidKey);
        }
        Ok(Self {
            key: key.to_vec(),
            own: Own::default(),
        })
    }

    /// Returns the report with pseudonyms for MACs, names of devices and of the gateway, host
    /// names, models, the household's addresses, comments, file names, and texts of marks.
    /// Addresses and names of the far side stay.
    #[must_use]
    pub fn redact(mut self, report: &Report) -> Report {
        let mut report = report.clone();
        self.own = Own::new(&report);
        report.redacted = true;
        self.label(&mut report.period.device, "device");
        self.label(&mut report.gateway.host, "gateway");
        for address in &mut report.gateway.addresses {
            *address = self.pseudonym("address", address);
        }
        for coverage in &mut report.coverage {
            self.interface(&mut coverage.interface);
        }
        for finding in &mut report.findings {
            // The text may name interfaces, files and networks of the household.
            finding.what = format!("a finding of the check {}", finding.check);
            finding.accepted = finding
                .accepted
                .as_ref()
                .map(|_| "reason left out".to_owned());
        }
        for source in &mut report.failed_sources {
            *source = self.pseudonym("file", source);
        }
        for policy in report.policy_texts.values_mut().flatten() {
            self.policy(policy);
        }
        for device in &mut report.devices {
            self.device(device);
        }
        for mark in &mut report.marks {
            self.mark(mark);
        }
        for flow in &mut report.flows {
            self.flow(flow);
        }
        report
            .devices
            .sort_by(|a, b| (!a.is_subject, &a.device).cmp(&(!b.is_subject, &b.device)));
        report.flows.sort_by(|a, b| {
            (&a.device, &a.first, &a.destination).cmp(&(&b.device, &b.first, &b.destination))
        });
        // Sentences name devices, so they are made anew.
        report.answer = sentences::answer(&report);
        report.shows = sentences::shows(&report);
        report.does_not_show = super::limits_text::does_not_show(&report);
        report
    }

    fn pseudonym(&self, word: &str, original: &str) -> String {
        let mut hash = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes any key");
        hash.update(word.as_bytes());
        hash.update(&[0]);
        hash.update(original.to_lowercase().as_bytes());
        let digits = hex::encode(hash.finalize().into_bytes());
        format!("{word}-{}", &digits[..DIGITS])
    }

    fn label(&mut self, text: &mut Option<String>, word: &str) {
        if let Some(original) = text {
            *original = self.pseudonym(word, original);
        }
    }

    /// Replaces an address of the household. Others stay.
    fn address(&mut self, text: &mut String) {
        if self.is_private(text) {
            *text = self.pseudonym("address", text);
        }
    }

    /// True for an address of the gateway or of the local network, and for a network that
    /// overlaps them.
    fn is_private(&self, text: &str) -> bool {
        let (address, length) = text.split_once('/').unwrap_or((text, ""));
        let address: Option<IpAddr> = address.parse().ok();
        address.is_some_and(|address| {
            let length = length.parse().ok();
            let overlaps = length.is_some_and(|length| self.own.overlaps(address, length));
            overlaps || self.own.has(address) || is_local(address)
        })
    }

    /// True for a name of the household, and for one of its addresses as a name, also with a
    /// port.
    fn is_private_name(&self, text: &str) -> bool {
        if let Ok(end) = text.parse::<SocketAddr>() {
            return self.is_private(&end.ip().to_string());
        }
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        if bare.parse::<IpAddr>().is_ok() {
            return self.is_private(bare);
        }
        let (name, _) = text.rsplit_once(':').unwrap_or((text, ""));
        let name = name.trim_end_matches('.').to_lowercase();
        let first = name.split('.').next().unwrap_or_default();
        let is_under = |end: &&str| {
            let below = name.strip_suffix(*end);
            below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
        };
        !name.contains('.')
            || LOCAL_NAMES.iter().any(is_under)
            || self.own.hosts.contains(first)
            || self.own.hosts.contains(&name)
    }

    /// Replaces the name of an interface that holds a MAC, such as `wlx` and twelve digits.
    fn interface(&mut self, name: &mut String) {
        let mut runs = name.split(|c: char| !c.is_ascii_hexdigit());
        if runs.any(|run| run.len() >= 12) {
            *name = self.pseudonym("interface", name);
        }
    }

    /// Keeps the last two labels of the name of a server, and replaces those before, which may
    /// name a customer.
    fn provider(&mut self, name: &mut String) {
        if self.is_private_name(name) {
            *name = self.pseudonym("name", name);
            return;
        }
        if name.parse::<IpAddr>().is_ok() {
            return;
        }
        let mut dots = name.rmatch_indices('.');
        if let Some((at, _)) = dots.nth(1) {
            *name = format!("{}{}", self.pseudonym("name", &name[..at]), &name[at..]);
        }
    }

    fn facts(&mut self, facts: &mut [FactView], word: &str) {
        for fact in facts {
            fact.value = self.pseudonym(word, &fact.value);
        }
    }

    fn device(&mut self, device: &mut Device) {
        self.label(&mut device.device, "device");
        self.label(&mut device.name, "name");
        for stated in &mut device.stated_same {
            stated.device = self.pseudonym("device", &stated.device);
        }
        // A global IPv6 address may hold the MAC, and names the household's line.
        self.facts(&mut device.addresses, "address");
        self.facts(&mut device.host_names, "name");
        self.facts(&mut device.models, "model");
        for reason in &mut device.possibly_several {
            // The text quotes names and addresses.
            reason.text.clone_from(&reason.reason);
        }
        for dns in &mut device.encrypted_dns {
            self.provider(&mut dns.name);
            if let Some(server) = &mut dns.server {
                self.address(server);
            }
        }
        for policy in &mut device.policies {
            for other in &mut policy.others {
                self.label(&mut other.device, "device");
            }
            // Without this, the order of equal sums would be that of the MACs.
            policy.others.sort_by(|a, b| {
                let key = |other: &Other| Reverse((other.shared_networks, other.sum.packets));
                (key(a), &a.device).cmp(&(key(b), &b.device))
            });
        }
    }

    fn mark(&mut self, mark: &mut Mark) {
        self.label(&mut mark.device, "device");
        mark.text = self.pseudonym("text", &mark.text);
        for (key, value) in &mut mark.stated {
            *value = self.pseudonym(key, value);
        }
        if let Some(comparison) = &mut mark.comparison {
            self.comparison(comparison);
        }
    }

    fn comparison(&mut self, comparison: &mut Comparison) {
        for compared in &mut comparison.devices {
            self.label(&mut compared.device, "device");
            for ends in [&mut compared.stayed, &mut compared.went, &mut compared.came] {
                for end in &mut ends.ends {
                    end.destination
                        .iter_mut()
                        .for_each(|address| self.address(address));
                }
            }
        }
        comparison
            .devices
            .sort_by(|a, b| (a.is_control, &a.device).cmp(&(b.is_control, &b.device)));
    }

    fn flow(&mut self, flow: &mut Flow) {
        self.label(&mut flow.device, "device");
        self.interface(&mut flow.interface);
        let is_private = flow
            .destination
            .as_deref()
            .is_some_and(|to| self.is_private(to));
        flow.destination
            .iter_mut()
            .for_each(|address| self.address(address));
        for name in &mut flow.names {
            name.from
                .iter_mut()
                .for_each(|address| self.address(address));
            // Names of the household's own servers are private. So is an address as a name.
            for text in std::iter::once(&mut name.name).chain(&mut name.chain) {
                if is_private || self.is_private_name(text) {
                    *text = self.pseudonym("name", text);
                }
            }
        }
        if let Some(holder) = &mut flow.holder {
            for author in &mut holder.list_author {
                if let Some(stated) = &mut author.value.stated_source {
                    *stated = self.pseudonym("comment", stated);
                }
            }
            let sources = holder
                .registry
                .iter_mut()
                .map(|one| &mut one.source)
                .chain(holder.holder.iter_mut().map(|one| &mut one.source))
                .chain(holder.origin_as.iter_mut().map(|one| &mut one.source))
                .chain(holder.country.iter_mut().map(|one| &mut one.source))
                .chain(holder.list_author.iter_mut().map(|one| &mut one.source));
            for source in sources.filter(|source| source.kind != SourceKind::Rdap) {
                source.name = self.pseudonym("file", &source.name).into();
            }
        }
    }

    /// Comments are free text of the operator, so they go.
    fn policy(&mut self, policy: &mut StatedPolicy) {
        self.label(&mut policy.description, "comment");
        self.label(&mut policy.about, "comment");
        for reference in &mut policy.references {
            *reference = self.pseudonym("comment", reference);
        }
        for interface in &mut policy.interfaces {
            self.interface(interface);
        }
        for device in policy.devices.iter_mut().chain(&mut policy.except_devices) {
            *device = self.pseudonym("device", device);
        }
        for network in policy.destinations.iter_mut().chain(&mut policy.except) {
            self.address(network);
        }
        if let Some(command) = policy.source.strip_prefix("command: ") {
            policy.source = format!("command: {}", self.pseudonym("comment", command));
        } else {
            let (file, line) = policy
                .source
                .rsplit_once(':')
                .unwrap_or((&policy.source, ""));
            policy.source = format!("{}:{line}", self.pseudonym("file", file));
        }
    }
}

impl Own {
    /// The addresses of the gateway and of the devices.
    fn new(report: &Report) -> Self {
        let facts = report.devices.iter().flat_map(|device| &device.addresses);
        let facts = facts.map(|fact| &fact.value);
        let all = report.gateway.addresses.iter().chain(facts);
        let addresses: BTreeSet<IpAddr> = all.filter_map(|text| text.parse().ok()).collect();
        let networks = addresses.iter().filter_map(|address| line(*address));
        let others = report.devices.iter().flat_map(|device| &device.policies);
        let others = others.flat_map(|policy| policy.others.iter().map(|other| &other.device));
        let devices = report.devices.iter().map(|device| &device.device);
        let flows = report.flows.iter().map(|flow| &flow.device);
        let macs = devices.chain(others).chain(flows).flatten();
        let macs: BTreeSet<MacAddress> = macs.filter_map(|text| text.parse().ok()).collect();
        Self {
            networks: networks.collect(),
            hosts: hosts(report),
            identifiers: macs.into_iter().map(interface_identifier).collect(),
            addresses,
        }
    }

    fn has(&self, address: IpAddr) -> bool {
        let of_line = line(address).is_some_and(|line| self.networks.contains(&line));
        let of_device = identifier(address).is_some_and(|part| self.identifiers.contains(&part));
        of_line || of_device || self.addresses.contains(&address)
    }

    /// True if a network covers an address of the household, and not also most of the rest.
    fn overlaps(&self, network: IpAddr, length: u8) -> bool {
        let mut own = self.addresses.iter();
        own.any(|address| match (network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (8..=32).contains(&length)
                    && (network.to_bits() ^ address.to_bits()).leading_zeros() >= length.into()
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (16..=128).contains(&length)
                    && (network.to_bits() ^ address.to_bits()).leading_zeros() >= length.into()
            }
            _ => false,
        })
    }
}

/// Names of the gateway and of the devices, in lower case.
fn hosts(report: &Report) -> BTreeSet<String> {
    let devices = report.devices.iter();
    let facts = devices.flat_map(|device| {
        let facts = device.host_names.iter().map(|fact| &fact.value);
        facts.chain(&device.name)
    });
    let all = facts.chain(&report.gateway.host);
    all.map(|name| name.to_lowercase()).collect()
}

/// The first 48 bits of an IPv6 address.
fn line(address: IpAddr) -> Option<[u8; 6]> {
    let IpAddr::V6(address) = address else {
        return None;
    };
    address.octets().first_chunk().copied()
}

/// The interface identifier of an IPv6 address: its last 64 bits.
fn identifier(address: IpAddr) -> Option<[u8; 8]> {
    let IpAddr::V6(address) = address else {
        return None;
    };
    address.octets().last_chunk().copied()
}

/// The interface identifier that EUI-64 makes of a MAC.
const fn interface_identifier(mac: MacAddress) -> [u8; 8] {
    let octets = mac.0;
    let [first, .., last] = octets;
    [
        first ^ 2,
        octets[1],
        octets[2],
        0xff,
        0xfe,
        octets[3],
        octets[4],
        last,
    ]
}

/// True for an address that has a meaning only within a household, or that holds a MAC of it.
fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_private() || address.is_link_local() || is_shared(address.octets())
        }
        IpAddr::V6(address) => address.is_unique_local() || address.is_unicast_link_local(),
    }
}

/// True for an address of carrier-grade NAT (RFC 6598).
const fn is_shared(octets: [u8; 4]) -> bool {
    octets[0] == 100 && octets[1] & 0xc0 == 64
}
