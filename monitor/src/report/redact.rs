//! Replaces private data of a household by pseudonyms.
//!
//! A pseudonym is a word and the first hexadecimal digits of HMAC-SHA256 of the original, under
//! a key of the caller. Reports under the same key have the same pseudonyms.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::{
    claims,
    compare::Comparison,
    model::{Device, Flow, Mark, Report},
    policies::StatedPolicy,
    sentences,
};
use crate::{data::SourceKind, evidence::FactView, policy::MacAddress};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Hexadecimal digits of a pseudonym. More are taken if two originals would share one.
const DIGITS: usize = 4;

/// A key has another length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pseudonym key has at least {KEY_BYTES} bytes")]
pub struct InvalidKey;

/// Replaces originals by pseudonyms under one key.
pub struct Redactor {
    key: Vec<u8>,
    /// The original of each pseudonym, so that two originals never share one.
    given: BTreeMap<String, String>,
    own: Own,
}

/// Addresses of the household.
#[derive(Debug, Default)]
struct Own {
    addresses: BTreeSet<IpAddr>,
    /// The first 64 bits of its IPv6 addresses.
    networks: BTreeSet<[u8; 8]>,
    /// Interface identifiers that hold a MAC (RFC 4291, appendix A).
    identifiers: BTreeSet<[u8; 8]>,
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
            given: BTreeMap::new(),
            own: Own::default(),
        })
    }

    /// Returns the report with pseudonyms for MACs, names of devices and of the gateway, host
    /// names, the household's addresses, comments, and texts of marks. Addresses and names of
    /// the far side stay.
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

    fn pseudonym(&mut self, word: &str, original: &str) -> String {
        let mut hash = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes any key");
        hash.update(word.as_bytes());
        hash.update(&[0]);
        hash.update(original.to_lowercase().as_bytes());
        let digits = hex::encode(hash.finalize().into_bytes());
        let original = original.to_lowercase();
        (DIGITS..=digits.len())
            .map(|length| format!("{word}-{}", &digits[..length]))
            .find(|text| {
                let known = self.given.entry(text.clone());
                *known.or_insert_with(|| original.clone()) == original
            })
            .unwrap_or_else(|| format!("{word}-{digits}"))
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

    /// True for an address of the gateway or of the local network, also with a prefix length.
    fn is_private(&self, text: &str) -> bool {
        let (address, _) = text.split_once('/').unwrap_or((text, ""));
        let address: Option<IpAddr> = address.parse().ok();
        address.is_some_and(|address| self.own.has(address) || is_local(address))
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
        for reason in &mut device.possibly_several {
            // The text quotes names and addresses.
            reason.text.clone_from(&reason.reason);
        }
        for server in device
            .encrypted_dns
            .iter_mut()
            .filter_map(|one| one.server.as_mut())
        {
            self.address(server);
        }
        for policy in &mut device.policies {
            for other in &mut policy.others {
                self.label(&mut other.device, "device");
            }
        }
    }

    fn mark(&mut self, mark: &mut Mark) {
        self.label(&mut mark.device, "device");
        mark.text = self.pseudonym("text", &mark.text);
        let private = mark
            .stated
            .iter_mut()
            .filter(|(key, _)| key == "accounts" || key == "sim");
        for (key, value) in private {
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
    }

    fn flow(&mut self, flow: &mut Flow) {
        self.label(&mut flow.device, "device");
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
            if is_private || self.is_private(&name.name) {
                name.name = self.pseudonym("name", &name.name);
                name.chain.clear();
            }
        }
        if let Some(holder) = &mut flow.holder {
            let sources = holder
                .registry
                .iter_mut()
                .map(|one| &mut one.source)
                .chain(holder.holder.iter_mut().map(|one| &mut one.source))
                .chain(holder.origin_as.iter_mut().map(|one| &mut one.source))
                .chain(holder.country.iter_mut().map(|one| &mut one.source))
                .chain(holder.list_author.iter_mut().map(|one| &mut one.source));
            for source in sources.filter(|source| source.kind != SourceKind::Rdap) {
                source.name = claims::short(&source.name).into();
            }
        }
    }

    /// Comments are free text of the operator, so they go.
    fn policy(&mut self, policy: &mut StatedPolicy) {
        self.label(&mut policy.description, "comment");
        for device in policy.devices.iter_mut().chain(&mut policy.except_devices) {
            *device = self.pseudonym("device", device);
        }
        for network in policy.destinations.iter_mut().chain(&mut policy.except) {
            self.address(network);
        }
        if let Some(command) = policy.source.strip_prefix("command: ") {
            policy.source = format!("command: {}", self.pseudonym("comment", command));
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
        let networks = addresses.iter().filter_map(|address| halves(*address));
        let others = report.devices.iter().flat_map(|device| &device.policies);
        let others = others.flat_map(|policy| policy.others.iter().map(|other| &other.device));
        let devices = report.devices.iter().map(|device| &device.device);
        let flows = report.flows.iter().map(|flow| &flow.device);
        let macs = devices.chain(others).chain(flows).flatten();
        let macs: BTreeSet<MacAddress> = macs.filter_map(|text| text.parse().ok()).collect();
        Self {
            networks: networks.map(|(network, _)| network).collect(),
            identifiers: macs.into_iter().map(interface_identifier).collect(),
            addresses,
        }
    }

    fn has(&self, address: IpAddr) -> bool {
        let of_network = halves(address).is_some_and(|(network, identifier)| {
            self.networks.contains(&network) || self.identifiers.contains(&identifier)
        });
        of_network || self.addresses.contains(&address)
    }
}

/// Network and interface identifier of an IPv6 address.
fn halves(address: IpAddr) -> Option<([u8; 8], [u8; 8])> {
    let IpAddr::V6(address) = address else {
        return None;
    };
    let octets = address.octets();
    let (network, identifier) = octets.split_first_chunk()?;
    Some((*network, identifier.try_into().ok()?))
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
