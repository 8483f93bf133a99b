//! The contacts of a device with one destination, and why the filter decides as it does.

use std::net::IpAddr;

use jiff::Timestamp;

use super::{super::Core, PageError, end, whole};
use crate::{
    evidence::{Port, absence::AbsenceView, protocol},
    explain::{Explanation, explain},
    page_facts::{ContactFacts, best_name},
    policy::{MacAddress, Packet},
    store::{ContactQuery, DestinationRange, ListedContact, To, View},
};

/// The most services of a device with one destination.
const MOST_SERVICES: usize = 50;

/// The most other devices that are shown beside a contact.
const MOST_OTHERS: usize = 20;

impl Core {
    pub(super) fn contact_facts(
        &self,
        mac: MacAddress,
        to: IpAddr,
        since: Timestamp,
    ) -> Result<ContactFacts, String> {
        let read = |view: &View<'_>| {
            let query = ContactQuery {
                devices: vec![mac],
                to: Some(To::Range(DestinationRange {
                    first: to,
                    last: to,
                })),
                limit: MOST_SERVICES,
                ..whole(since, end())
            };
            let contacts = view.contacts(&query)?.contacts;
            let everyone = ContactQuery {
                devices: Vec::new(),
                ..query
            };
            let mut others = view.devices_of(&everyone)?;
            others.retain(|(other, _)| *other != mac);
            others.truncate(MOST_OTHERS);
            let macs = others.iter().map(|(mac, _)| *mac).chain([mac]);
            let heads = self.heads(view, macs)?;
            Ok::<_, PageError>((contacts, others, heads))
        };
        let none = Default::default();
        let (contacts, others, mut heads) = self.ask_store(none, read)?;
        let nameless = contacts.iter().all(|own| best_name(&own.claims).is_none());
        let absence = (nameless && !contacts.is_empty())
            .then(|| self.evidence.absences(vec![mac]).into_iter().next())
            .flatten();
        let others = others.into_iter().map(|(mac, packets)| {
            let head = heads.remove(&mac).unwrap_or_default();
            (head, packets)
        });
        let others = others.collect();
        Ok(ContactFacts {
            head: heads.remove(&mac).unwrap_or_default(),
            why: self.why(mac, to, &contacts),
            absence: absence.map(|(device, absence)| AbsenceView::new(device, &absence)),
            contacts,
            others,
        })
    }

    /// What the policies in force decide about the packets of each service. Services with the
    /// same answer share it.
    fn why(
        &self,
        mac: MacAddress,
        to: IpAddr,
        contacts: &[ListedContact],
    ) -> Vec<(Option<String>, Explanation)> {
        let state = self.state();
        let policies = state.stage.policies();
        let policies = policies.map_or(&[][..], |policies| &policies.policies);
        let derivation = &self.settings.derivation;
        let answer = |service: Option<&str>, interface: Option<&String>| {
            let packet = Packet {
                mac: Some(mac),
                interface: interface.cloned(),
                service: service.and_then(|service| service.parse().ok()),
                ..Packet::default()
            };
            let mut explanation = explain(policies, derivation, to, &packet);
            if let Some(data) = self.range_data_now() {
                explanation.holder.extend(data.about(to, derivation));
            }
            explanation
        };
        let mut why: Vec<(Option<String>, Explanation)> = Vec::new();
        for contact in contacts {
            let service = service(contact);
            let explanation = answer(Some(&service), contact.interfaces.first());
            match why.iter_mut().find(|(_, own)| *own == explanation) {
                Some((Some(services), _)) => {
                    services.push_str(", ");
                    services.push_str(&service);
                }
                _ => why.push((Some(service), explanation)),
            }
        }
        if why.is_empty() {
            why.push((None, answer(None, None)));
        }
        why
    }
}

/// Protocol and port, as a policy writes them: `tcp/443`.
fn service(contact: &ListedContact) -> String {
    let protocol = protocol(contact.protocol);
    match contact.port {
        Port::Number(port) => format!("{protocol}/{port}"),
        _ => protocol,
    }
}
