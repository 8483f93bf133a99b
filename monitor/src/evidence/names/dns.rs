//! Parses DNS answers (RFC 1035) into what they teach about addresses.
//!
//! A record counts only if it answers the question: it has the type that was asked for,
//! and its owner is the asked name or follows from it by the CNAME records of the same
//! message. Additional and authority records do not count.

use std::net::IpAddr;

use domain::{
    base::{
        Message, ParsedName, ParsedRecord, Question,
        iana::{Class, Opcode, Rcode, Rtype},
        name::Label,
    },
    rdata::{A, Aaaa, Cname, Https, Svcb},
};

use super::{domain_text, ech_config::EchConfiguration};

mod service;

use service::Services;

/// Maximum number of records that are read from one answer.
pub const MAX_RECORDS: usize = 256;

/// Maximum number of names in a CNAME chain, with the asked name.
pub const MAX_CHAIN: usize = 17;

/// What one DNS answer teaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The names from the asked name to the last name of the CNAME chain. It has at least
    /// one name. The texts are those of [`domain_text::from_labels`].
    pub chain: Vec<String>,
    /// What was asked for.
    pub asked: Asked,
    /// Addresses of A and AAAA records.
    pub addresses: Vec<AnswerAddress>,
    /// Address hints of HTTPS and SVCB records (RFC 9460, section 7.3).
    pub hints: Vec<AnswerAddress>,
    /// Encrypted Client Hello configurations of HTTPS and SVCB records.
    pub configurations: Vec<EchConfiguration>,
    /// Target names of HTTPS and SVCB records, other than their owner.
    pub targets: Vec<String>,
    /// True if the answer is complete and says which HTTPS records the asked name has, or
    /// that it has none. It is false for a record in alias mode, because the
    /// configurations are then in the records of another name.
    pub https_known: bool,
    /// What is missing or was left out.
    pub defects: Defects,
}

/// What a question asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The encrypted DNS servers that belong to the resolver (Discovery of Designated
    /// Resolvers, RFC 9462). The asked name is `_dns.resolver.arpa` or ends with it.
    DesignatedResolvers,
    /// HTTPS records.
    Https,
    /// Addresses, SVCB records, or records of any type.
    Address,
    /// Records that teach nothing about addresses.
    Other,
}

/// An address in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerAddress {
    /// The address. An IPv4-mapped IPv6 address is given as IPv4, because hosts send IPv4
    /// packets to it.
    pub address: IpAddr,
    /// Place of the record's owner in [`Answer::chain`].
    pub owner: usize,
    /// Target name of the record with the hint, if it differs from the owner.
    pub target: Option<String>,
}

/// What is missing from an answer, or was left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defects {
    /// The answer ends before its last record, or that record is malformed. The records
    /// before count.
    pub incomplete: bool,
    /// Number of records that do not answer the question.
    pub unrelated: usize,
    /// Number of records with malformed content.
    pub malformed: usize,
    /// There are records beyond [`MAX_RECORDS`]. They were not read.
    pub beyond: bool,
}

/// The reason why a message teaches nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The message has fewer than 12 bytes.
    #[error("the message is shorter than a DNS header")]
    Short,
    /// The message is a query.
    #[error("the message is a query")]
    Query,
    /// The message is an answer to an operation other than a query.
    #[error("the message does not answer a standard query")]
    OtherOperation,
    /// The message does not have exactly one question.
    #[error("the message does not have exactly one question")]
    NotOneQuestion,
    /// The question ends early, or its name is malformed.
    #[error("the question is malformed")]
    MalformedQuestion,
    /// The question is for a class other than Internet.
    #[error("the question is not for the class Internet")]
    OtherClass,
}

type Name<'a> = ParsedName<&'a [u8]>;

/// Parses a DNS message. If the message is cut, the whole records before the cut count.
///
/// # Errors
///
/// Fails if the message is not an answer to one question. A bad name in a record is not
/// an error: the answer says so in its defects.
pub fn parse(message: &[u8]) -> Result<Answer, NoAnswer> {
    let message = Message::from_slice(message).map_err(|_| NoAnswer::Short)?;
    let question = question_of(message)?;
    let (records, defects) = records_of(message);
    let chain = Chain::follow(*question.qname(), &records);
    let mut answer = Answer {
        chain: chain.texts(),
        asked: asked(&question),
        addresses: Vec::new(),
        hints: Vec::new(),
        configurations: Vec::new(),
        targets: Vec::new(),
        https_known: false,
        defects,
    };
    let mut services = Services::default();
    for record in &records {
        let rtype = record.parsed.rtype();
        let owner = chain.place(&record.owner);
        let Some(owner) = owner.filter(|_| is_asked(question.qtype(), rtype)) else {
            answer.defects.unrelated += usize::from(!accompanies(rtype));
            continue;
        };
        if add(&mut answer, &mut services, &record.parsed, owner).is_none() {
            answer.defects.malformed += 1;
        }
    }
    answer.https_known = https_known(message, &answer, &services);
    Ok(answer)
}

fn https_known(message: &Message<[u8]>, answer: &Answer, services: &Services) -> bool {
    let header = message.header();
    let answered = matches!(header.rcode(), Rcode::NOERROR | Rcode::NXDOMAIN);
    let defects = answer.defects;
    let whole = !header.tc() && !defects.incomplete && !defects.beyond && defects.malformed == 0;
    let followed = answer.chain.len() < MAX_CHAIN;
    answer.asked == Asked::Https
        && answered
        && whole
        && followed
        && (services.service || !services.alias)
}

fn question_of(message: &Message<[u8]>) -> Result<Question<Name<'_>>, NoAnswer> {
    let header = message.header();
    if !header.qr() {
        return Err(NoAnswer::Query);
    }
    if header.opcode() != Opcode::QUERY {
        return Err(NoAnswer::OtherOperation);
    }
    if message.header_counts().qdcount() != 1 {
        return Err(NoAnswer::NotOneQuestion);
    }
    let Some(Ok(question)) = message.question().next() else {
        return Err(NoAnswer::MalformedQuestion);
    };
    if question.qclass() != Class::IN {
        return Err(NoAnswer::OtherClass);
    }
    Ok(question)
}

fn asked(question: &Question<Name<'_>>) -> Asked {
    let name = wire(question.qname());
    let discovery = name.ends_with(b"\x04_dns\x08resolver\x04arpa\0");
    match question.qtype() {
        Rtype::SVCB | Rtype::ANY if discovery => Asked::DesignatedResolvers,
        Rtype::HTTPS => Asked::Https,
        Rtype::A | Rtype::AAAA | Rtype::SVCB | Rtype::ANY => Asked::Address,
        _ => Asked::Other,
    }
}

fn is_asked(asked: Rtype, record: Rtype) -> bool {
    asked == record || asked == Rtype::ANY
}

/// Returns true for records that accompany an answer: they belong to the chain, or sign
/// the answer (RFC 6672, RFC 4034).
fn accompanies(record: Rtype) -> bool {
    matches!(record, Rtype::CNAME | Rtype::DNAME | Rtype::RRSIG)
}

/// A record of the answer section with its owner in the form of [`wire`].
struct Record<'a> {
    owner: Vec<u8>,
    parsed: ParsedRecord<'a, [u8]>,
}

/// Returns the whole records of the answer section.
fn records_of(message: &Message<[u8]>) -> (Vec<Record<'_>>, Defects) {
    let mut defects = Defects::default();
    let mut records = Vec::new();
    let Ok(section) = message.answer() else {
        defects.incomplete = true;
        return (records, defects);
    };
    for (number, record) in section.enumerate() {
        match record {
            _ if number == MAX_RECORDS => {
                defects.beyond = true;
                break;
            }
            Err(_) => defects.incomplete = true,
            Ok(parsed) if parsed.class() != Class::IN => defects.unrelated += 1,
            Ok(parsed) => records.push(Record {
                owner: wire(&parsed.owner()),
                parsed,
            }),
        }
    }
    (records, defects)
}

/// Returns the name in wire format, without compression and in lower case.
fn wire(name: &Name<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32);
    for label in name {
        // A label has at most 63 bytes.
        bytes.push(u8::try_from(label.len()).unwrap_or_default());
        bytes.extend(label.as_slice().iter().map(u8::to_ascii_lowercase));
    }
    bytes
}

fn text_of(name: &Name<'_>) -> String {
    domain_text::from_labels(name.iter().map(Label::as_slice))
}

/// The asked name and the names that follow from it by CNAME records.
struct Chain<'a> {
    names: Vec<(Vec<u8>, Name<'a>)>,
}

impl<'a> Chain<'a> {
    /// Follows the CNAME records in whatever order they are. Of several with the same
    /// owner, the first counts.
    fn follow(asked: Name<'a>, records: &[Record<'a>]) -> Self {
        let mut chain = Self {
            names: vec![(wire(&asked), asked)],
        };
        let targets: Vec<(&[u8], Name<'a>)> = records
            .iter()
            .filter_map(|record| Some((record.owner.as_slice(), cname(&record.parsed)?)))
            .collect();
        while chain.names.len() < MAX_CHAIN {
            let last = chain.names.last().map(|(wire, _)| wire.as_slice());
            let next = targets.iter().find(|(owner, _)| Some(*owner) == last);
            let Some(target) = next.map(|(_, target)| *target) else {
                break;
            };
            let name = wire(&target);
            if chain.place(&name).is_some() {
                break;
            }
            chain.names.push((name, target));
        }
        chain
    }

    fn place(&self, name: &[u8]) -> Option<usize> {
        self.names.iter().position(|(wire, _)| wire == name)
    }

    fn texts(&self) -> Vec<String> {
        self.names.iter().map(|(_, name)| text_of(name)).collect()
    }
}

fn cname<'a>(record: &ParsedRecord<'a, [u8]>) -> Option<Name<'a>> {
    let record = record.to_record::<Cname<Name<'a>>>().ok()??;
    Some(record.into_data().into_cname())
}

/// Adds what a record says. Returns `None` if its content is malformed.
fn add(
    answer: &mut Answer,
    services: &mut Services,
    record: &ParsedRecord<'_, [u8]>,
    owner: usize,
) -> Option<()> {
    let target = None;
    match record.rtype() {
        Rtype::A => {
            let address = record.to_record::<A>().ok()??.data().addr();
            answer.addresses.push(AnswerAddress {
                address: IpAddr::V4(address),
                owner,
                target,
            });
        }
        Rtype::AAAA => {
            let address = record.to_record::<Aaaa>().ok()??.data().addr();
            answer.addresses.push(AnswerAddress {
                address: IpAddr::V6(address).to_canonical(),
                owner,
                target,
            });
        }
        Rtype::HTTPS => {
            let record = record.to_record::<Https<&[u8], Name<'_>>>().ok()??;
            service::add(answer, services, owner, record.data());
        }
        Rtype::SVCB => {
            let record = record.to_record::<Svcb<&[u8], Name<'_>>>().ok()??;
            service::add(answer, services, owner, record.data());
        }
        _ => {}
    }
    Some(())
}

#[cfg(test)]
mod tests;
