//! Bytes in which the daemon looks for names: what devices send, and DNS answers.

use std::net::{IpAddr, Ipv4Addr};

use monitor::{
    evidence::{
        Claim, Ech,
        answers::AnswerSettings,
        learner::Learner,
        names::{dns, http, mi_push, tls},
        sampler::{Fact, Sample, Sampler},
    },
    policy::MacAddress,
};

use super::NOW;

const DEVICE: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
/// The longest name that a claim may hold, in bytes.
const LONGEST: usize = 255;

/// Names are printable, bounded and in bounded number, whatever the bytes are.
pub fn names(bytes: &[u8]) {
    let _ = dns::parse(bytes);
    let _ = tls::records(bytes);
    let _ = http::request(bytes);
    let _ = mi_push::connect(bytes);
    let mut sampler = Sampler::new();
    let mut learner = Learner::new(AnswerSettings::default(), NOW);
    for (protocol, part) in [(6, 7), (17, 3), (6, 1)] {
        let mut sequence = 0;
        for payload in bytes.chunks((bytes.len() / part).max(1)).take(8) {
            let sample = sample(protocol, sequence, payload);
            for fact in sampler.take(&sample, &|_| Ech::Unknown) {
                match fact {
                    Fact::Name { claim, .. } => check(&claim),
                    Fact::Model { model, .. } => assert!(is_plain(&model), "{model:?}"),
                }
            }
            learner.sample(&sample);
            learner.copy(&Sample {
                source_port: 53,
                ..sample
            });
            sequence += u32::try_from(payload.len()).unwrap_or(0);
        }
    }
    for claim in learner.take_claims().into_values().flatten() {
        check(&claim);
    }
}

fn sample(protocol: u8, sequence: u32, payload: &[u8]) -> Sample<'_> {
    Sample {
        at: NOW,
        device: DEVICE,
        source: HERE,
        source_port: 50_000,
        destination: THERE,
        port: 443,
        protocol,
        sequence,
        flags: 0,
        payload,
        whole_length: u16::try_from(payload.len()).unwrap_or(u16::MAX),
    }
}

fn check(claim: &Claim) {
    for name in claim.chain.iter().chain([&claim.name]) {
        assert!(is_plain(name) && !name.is_empty(), "{name:?}");
    }
}

fn is_plain(text: &str) -> bool {
    text.len() <= LONGEST
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ')
}
