//! HTTPS and SVCB records (RFC 9460).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use domain::{
    base::iana::SvcParamKey,
    rdata::svcb::{SvcbRdata, UnknownSvcParam},
};

use super::{Answer, AnswerAddress, Name, text_of};
use crate::evidence::names::ech_config;

/// Kinds of HTTPS and SVCB records that an answer holds.
#[derive(Default)]
pub(super) struct Services {
    /// There is a record in alias mode (RFC 9460, section 2.4.2).
    pub(super) alias: bool,
    /// There is a record in service mode (RFC 9460, section 2.4.3).
    pub(super) service: bool,
}

/// Adds the target and the parameters of a record. A hint with a wrong length counts as
/// absent.
pub(super) fn add<Variant>(
    answer: &mut Answer,
    services: &mut Services,
    owner: usize,
    record: &SvcbRdata<Variant, &[u8], Name<'_>>,
) {
    services.alias |= record.is_alias();
    services.service |= record.is_service();
    let target = (!record.target().is_root()).then(|| text_of(record.target()));
    let target = target.filter(|target| answer.chain.get(owner) != Some(target));
    answer.targets.extend(target.clone());
    let hint = |address: IpAddr| AnswerAddress {
        address: address.to_canonical(),
        owner,
        target: target.clone(),
    };
    for parameter in record.params().iter::<UnknownSvcParam<&[u8]>>().flatten() {
        let value = parameter.value();
        match parameter.key() {
            SvcParamKey::IPV4HINT => {
                let addresses = whole_chunks::<4>(value).map(|b| Ipv4Addr::from(*b).into());
                answer.hints.extend(addresses.map(hint));
            }
            SvcParamKey::IPV6HINT => {
                let addresses = whole_chunks::<16>(value).map(|b| Ipv6Addr::from(*b).into());
                answer.hints.extend(addresses.map(hint));
            }
            SvcParamKey::ECH => answer.configurations.extend(ech_config::parse(value)),
            _ => {}
        }
    }
}

/// Returns the chunks of `N` bytes, or none if bytes are left over.
fn whole_chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = &[u8; N]> {
    let (chunks, rest) = bytes.as_chunks();
    chunks.iter().filter(|_| rest.is_empty())
}
