//! Learns names of destinations from payload samples and DNS answers.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    Claim, Ech, Flow, FlowEnd, NameSource,
    absence::Absence,
    answers::{AnswerSettings, Answers},
    encrypted::EncryptedSeen,
    names::{
        dns::{self, Answer},
        dns_tcp::{DnsStreams, Segment, StreamKey},
    },
    sampler::{Fact, ModelSource, OuterHello, Sample, Sampler},
};
use crate::policy::MacAddress;

const TCP: u8 = 6;
const DNS_PORT: u16 = 53;

/// The most claims of one flow end and one source. Further ones are counted.
const MAX_CLAIMS: usize = 16;

/// The most flow ends with claims that wait to be taken.
const MAX_ENDS: usize = 10_000;

/// How long encrypted DNS of a device is kept.
const ENCRYPTED_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// A model that a device stated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatedModel {
    /// Source MAC of the packet.
    pub device: MacAddress,
    /// The model.
    pub model: String,
    /// The message that states it.
    pub source: ModelSource,
    /// Time of the packet.
    pub at: Timestamp,
}

/// Learns names. The caller takes the claims from time to time.
pub struct Learner {
    sampler: Sampler,
    answers: Answers,
    streams: DnsStreams,
    encrypted: EncryptedSeen,
    claims: BTreeMap<FlowEnd, Vec<Claim>>,
    models: Vec<StatedModel>,
    lost: u64,
}

impl Learner {
    /// A learner that knows nothing, from the time `started` on.
    #[must_use]
    pub fn new(settings: AnswerSettings, started: Timestamp) -> Self {
        Self {
            sampler: Sampler::new(),
            answers: Answers::new(settings, started),
            streams: DnsStreams::default(),
            encrypted: EncryptedSeen::default(),
            claims: BTreeMap::new(),
            models: Vec::new(),
            lost: 0,
        }
    }

    /// Takes a payload sample of what a device sent.
    pub fn sample(&mut self, sample: &Sample<'_>) {
        let answers = &self.answers;
        let judge = |hello: &OuterHello<'_>| ech(answers, hello.server_name, hello.config_id);
        for fact in self.sampler.take(sample, &judge) {
            match fact {
                Fact::Name { end, claim } => {
                    self.note_encrypted(&end, &claim);
                    self.add(end, claim);
                }
                Fact::Model {
                    device,
                    model,
                    source,
                    at,
                } => self.add_model(StatedModel {
                    device,
                    model,
                    source,
                    at,
                }),
            }
        }
    }

    /// Takes a copy of a packet that a DNS server, or a server of encrypted DNS, sent to a
    /// device.
    pub fn copy(&mut self, copy: &Sample<'_>) {
        if copy.source_port != DNS_PORT {
            let end = FlowEnd {
                device: copy.device,
                destination: copy.source,
                protocol: copy.protocol,
                port: copy.source_port,
            };
            self.encrypted.flow(&end, copy.at, copy.at);
            return;
        }
        let cut = usize::from(copy.whole_length) > copy.payload.len();
        if copy.protocol != TCP {
            self.message(copy, copy.payload, cut);
            return;
        }
        let key = StreamKey {
            device: copy.device,
            server: copy.source,
            client_port: copy.port,
            server_port: copy.source_port,
        };
        let segment = Segment {
            sequence: copy.sequence,
            payload: copy.payload,
            cut,
        };
        for message in self.streams.take(key, segment, copy.at) {
            self.message(copy, &message.bytes, message.cut);
        }
    }

    fn message(&mut self, copy: &Sample<'_>, message: &[u8], cut: bool) {
        match dns::parse(message) {
            Ok(answer) => self.answer(copy, &answer),
            Err(_) if cut => self.answers.missed(copy.at),
            Err(_) => {}
        }
    }

    fn answer(&mut self, copy: &Sample<'_>, answer: &Answer) {
        self.answers
            .learn(copy.device, copy.source, answer, copy.at);
        self.encrypted
            .answer(copy.device, copy.source, answer, copy.at);
    }

    /// Takes a flow. If its names are recorded, looks for DNS answers that gave its
    /// destination.
    pub fn flow(&mut self, flow: &Flow, has_names: bool) {
        if !has_names {
            return;
        }
        let end = flow.key.end();
        self.encrypted.flow(&end, flow.first, flow.last);
        for claim in self.answers.names(end.device, end.destination, flow.last) {
            // An answer that came later did not lead to this flow.
            if claim.first <= flow.last {
                self.add(end.clone(), claim);
            }
        }
    }

    /// Removes what is too old. The caller calls it at least every ten seconds.
    pub fn expire(&mut self, now: Timestamp) {
        self.sampler.expire(now);
        self.answers.expire(now);
        self.encrypted
            .expire(now.checked_sub(ENCRYPTED_KEPT).unwrap_or(now));
    }

    /// DNS answers were lost at this time.
    pub fn missed_answers(&mut self, now: Timestamp) {
        self.answers.missed(now);
    }

    /// Takes away the claims since the last call.
    pub fn take_claims(&mut self) -> BTreeMap<FlowEnd, Vec<Claim>> {
        std::mem::take(&mut self.claims)
    }

    /// Takes away the models that devices stated since the last call.
    pub fn take_models(&mut self) -> Vec<StatedModel> {
        std::mem::take(&mut self.models)
    }

    /// What it means that a device's destination has no name.
    #[must_use]
    pub fn absence(&self, device: MacAddress, now: Timestamp) -> Absence {
        Absence::new(&self.answers, &self.encrypted, device, now)
    }

    /// Removes everything that is known of a device.
    pub fn forget(&mut self, device: MacAddress) {
        self.sampler.forget(device);
        self.answers.forget(device);
        self.streams.forget(device);
        self.encrypted.forget(device);
        self.claims.retain(|end, _| end.device != device);
        self.models.retain(|model| model.device != device);
    }

    /// Claims that found no room.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn note_encrypted(&mut self, end: &FlowEnd, claim: &Claim) {
        if matches!(
            claim.source,
            NameSource::Sni | NameSource::SniOuter | NameSource::Quic
        ) {
            let name = &claim.name;
            self.encrypted.name(end, name, claim.first, claim.last);
        }
    }

    fn add(&mut self, end: FlowEnd, claim: Claim) {
        if !self.claims.contains_key(&end) && self.claims.len() >= MAX_ENDS {
            self.lost += 1;
            return;
        }
        if !join(self.claims.entry(end).or_default(), claim) {
            self.lost += 1;
        }
    }

    fn add_model(&mut self, model: StatedModel) {
        let known = self.models.iter_mut().find(|known| {
            (known.device, &known.model, known.source) == (model.device, &model.model, model.source)
        });
        if let Some(known) = known {
            known.at = known.at.min(model.at);
        } else if self.models.len() < MAX_ENDS {
            self.models.push(model);
        } else {
            self.lost += 1;
        }
    }
}

/// Adds a claim to the claims of one flow end. A claim that is known changes only its times.
/// Returns false if the claim has no room.
pub fn join(claims: &mut Vec<Claim>, claim: Claim) -> bool {
    let is_same = |known: &&mut Claim| {
        known.source == claim.source && known.name == claim.name && known.server == claim.server
    };
    if let Some(known) = claims.iter_mut().find(is_same) {
        known.first = known.first.min(claim.first);
        known.last = known.last.max(claim.last);
        return true;
    }
    let of_source = claims.iter().filter(|known| known.source == claim.source);
    if of_source.count() >= MAX_CLAIMS {
        return false;
    }
    claims.push(claim);
    true
}

fn ech(answers: &Answers, server_name: &str, config_id: u8) -> Ech {
    answers.ech(server_name, config_id, server_name)
}
