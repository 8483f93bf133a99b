//! The constants of the program, which the loader writes before the verifier runs.

use aya::EbpfLoader;
use monitor_common::global;

use super::{hook::Instance, table_size::TableSize};

/// Constants of one trie, as described in `compile::Trie`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Root {
    pub(super) common_bits: u32,
    pub(super) common: u64,
    pub(super) outside: u32,
    pub(super) first_bits: u32,
    pub(super) first_kind: u32,
    pub(super) low: bool,
}

/// Constants of the program of one interface. They are set before the verifier
/// runs, so it can skip branches that are never taken.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a constant of its own in the program"
)]
pub(super) struct Constants {
    pub(super) interface_slot: u32,
    pub(super) examines: Instance,
    pub(super) has_ipv4: bool,
    pub(super) has_ipv6: bool,
    pub(super) has_drops: bool,
    /// True if the ruleset has a `reject`. Only programs on the devices' side answer.
    pub(super) has_rejects: bool,
    /// Ticks of one second, for the limits of answers; 0 if answers have no limit.
    pub(super) answer_ticks: u32,
    pub(super) ipv4: Root,
    pub(super) ipv6: Root,
    pub(super) longest_set: u32,
    pub(super) needs: u32,
    pub(super) class_words: u32,
    pub(super) interface_class: u32,
    pub(super) no_service_class: u32,
    /// Time by which the generation must be confirmed, in nanoseconds since boot; 0
    /// if it needs no confirmation.
    pub(super) deadline: u64,
    pub(super) log_packets: bool,
    /// Number of the generation.
    pub(super) generation: u64,
    /// Size of the tables of flows; `None` if no flow is recorded.
    pub(super) flows: Option<TableSize>,
    /// True if payload of matched packets is sampled. Needs `flows`.
    pub(super) samples: bool,
    /// True if the program reads frames in several buffers.
    pub(super) frags: bool,
    /// True if the caller states time and length of each packet.
    pub(super) replay: bool,
    /// One of the constants `CAPTURE_*`.
    pub(super) capture: u32,
    /// Policy slot of the capture.
    pub(super) capture_slot: u32,
}

/// The constants as the numbers that the object holds.
pub(super) struct Numbers {
    constants: Constants,
    role: u32,
    direction: u32,
    has_ipv4: u32,
    has_ipv6: u32,
    has_drops: u32,
    has_rejects: u32,
    low_ipv6: u32,
    generation: u32,
    flow_buckets: u32,
    samples: u32,
    replay: u32,
    frags: u32,
    log_packets: u32,
}

impl Numbers {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the generation is modulo 2^32, as the ABI says"
    )]
    pub(super) fn new(constants: Constants) -> Self {
        Self {
            role: constants.examines.role_number(),
            direction: constants.examines.direction_number(),
            has_ipv4: constants.has_ipv4.into(),
            has_ipv6: constants.has_ipv6.into(),
            has_drops: constants.has_drops.into(),
            has_rejects: (constants.has_rejects && constants.examines == Instance::LAN).into(),
            low_ipv6: constants.ipv6.low.into(),
            generation: constants.generation as u32,
            flow_buckets: constants.flows.map_or(0, |flows| flows.buckets),
            samples: constants.samples.into(),
            replay: constants.replay.into(),
            frags: constants.frags.into(),
            log_packets: constants.log_packets.into(),
            constants,
        }
    }

    pub(super) fn set<'a>(&'a self, loader: &mut EbpfLoader<'a>) {
        let Constants { ipv4, ipv6, .. } = &self.constants;
        loader
            .override_global(global::INTERFACE_SLOT, &self.constants.interface_slot, true)
            .override_global(global::ROLE, &self.role, true)
            .override_global(global::DIRECTION, &self.direction, true)
            .override_global(global::HAS_IPV4, &self.has_ipv4, true)
            .override_global(global::HAS_IPV6, &self.has_ipv6, true)
            .override_global(global::HAS_DROPS, &self.has_drops, true)
            .override_global(global::HAS_REJECTS, &self.has_rejects, true)
            .override_global(global::ANSWER_TICKS, &self.constants.answer_ticks, true)
            .override_global(global::COMMON_BITS_V4, &ipv4.common_bits, true)
            .override_global(global::COMMON_V4, &ipv4.common, true)
            .override_global(global::OUTSIDE_V4, &ipv4.outside, true)
            .override_global(global::FIRST_BITS_V4, &ipv4.first_bits, true)
            .override_global(global::FIRST_KIND_V4, &ipv4.first_kind, true)
            .override_global(global::COMMON_BITS_V6, &ipv6.common_bits, true)
            .override_global(global::COMMON_V6, &ipv6.common, true)
            .override_global(global::OUTSIDE_V6, &ipv6.outside, true)
            .override_global(global::FIRST_BITS_V6, &ipv6.first_bits, true)
            .override_global(global::FIRST_KIND_V6, &ipv6.first_kind, true)
            .override_global(global::LOW_V6, &self.low_ipv6, true)
            .override_global(global::LONGEST_SET, &self.constants.longest_set, true)
            .override_global(global::NEEDS, &self.constants.needs, true)
            .override_global(global::CLASS_WORDS, &self.constants.class_words, true)
            .override_global(
                global::INTERFACE_CLASS,
                &self.constants.interface_class,
                true,
            )
            .override_global(
                global::NO_SERVICE_CLASS,
                &self.constants.no_service_class,
                true,
            )
            .override_global(global::DEADLINE, &self.constants.deadline, true)
            .override_global(global::GENERATION, &self.generation, true)
            .override_global(global::FLOW_BUCKETS, &self.flow_buckets, true)
            .override_global(global::SAMPLES, &self.samples, true)
            .override_global(global::FRAGS, &self.frags, true)
            .override_global(global::REPLAY, &self.replay, true)
            .override_global(global::CAPTURE, &self.constants.capture, true)
            .override_global(global::CAPTURE_SLOT, &self.constants.capture_slot, true)
            .override_global(global::LOG_PACKETS, &self.log_packets, true);
    }
}
