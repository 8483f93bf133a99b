//! The layout of all types that kernel and user space share. Pinned counters outlive
//! the program that made them, so a change of the layout must not go unnoticed.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use core::mem::{align_of, offset_of, size_of};
use std::ptr;

use monitor_common::{
    ABI_HASH, ABI_VERSION, AnswerCounters, Count, DeviceCounters, DeviceKey, GenerationPolicy,
    GenerationRecord, InterfaceCounters, InterfaceRecord, MAX_COVERING_POLICIES, MAX_POLICIES,
    MatchEntry, MatchSet, Moves, NAME_BYTES, NEAR_CELLS, NEAR_PROBES, NearDevice, PastCounters,
    PolicyCounters, PolicyRecord, Reason, ScopeWord, Unanswered,
    capture::{
        CAPTURE_FRAME_BYTES, CAPTURE_HEADER_BYTES, CAPTURE_RING_BYTES, CaptureHeader, CaptureRecord,
    },
    evidence::{
        Connection, DnsLosses, EVIDENCE_HASH, EffectiveCounters, EvidenceControl, EvidenceLosses,
        FLOW_USED_WORD, FlowBucket, FlowCell, FlowCellKey, FlowEvent, FlowStart, KIND_IPV6,
        KIND_USED, SampleHeader, flow_buckets, flow_hash,
    },
    trie::Node,
};

/// Types in which every byte belongs to a field and every pattern is a value.
trait Plain: Copy {}

/// Makes a test of a type: size, alignment, and offset and type of every field. There
/// must be no gap between fields.
macro_rules! layout {
    ($test:ident, $type:ident: $size:literal aligned to $align:literal
     { $($field:ident: $field_type:ty = $offset:literal),+ $(,)? }) => {
        impl Plain for $type {}

        #[test]
        fn $test() {
            assert_eq!(size_of::<$type>(), $size, "size");
            assert_eq!(align_of::<$type>(), $align, "alignment");
            let mut end = 0;
            $(
                assert_eq!(offset_of!($type, $field), $offset, stringify!($field));
                assert_eq!(end, $offset, "padding before {}", stringify!($field));
                end += size_of::<$field_type>();
            )+
            assert_eq!(end, $size, "padding at the end");
            // Does not compile where a field is missing above or has another type.
            let every_field = |value: $type| {
                let $type { $($field),+ } = value;
                $( let _: $field_type = $field; )+
            };
            every_field(from_bytes(&pattern($size)));
        }
    };
}

layout!(node, Node: 16 aligned to 8 { bits: u64 = 0, a: u32 = 8, b: u32 = 12 });

layout!(capture_header, CaptureHeader: 24 aligned to 8 {
    time: u64 = 0,
    length: u32 = 8,
    captured: u32 = 12,
    effective: u16 = 16,
    interface: u8 = 18,
    dropped: u8 = 19,
    zero: u32 = 20,
});

#[test]
fn the_frame_of_a_capture_follows_its_header() {
    type Largest = CaptureRecord<CAPTURE_FRAME_BYTES>;
    assert_eq!(
        offset_of!(CaptureRecord<CAPTURE_HEADER_BYTES>, frame),
        size_of::<CaptureHeader>()
    );
    assert_eq!(offset_of!(Largest, frame), size_of::<CaptureHeader>());
    assert!(size_of::<Largest>() * 16 < CAPTURE_RING_BYTES as usize);
}

layout!(count, Count: 16 aligned to 8 { packets: u64 = 0, bytes: u64 = 8 });

layout!(interface_counters, InterfaceCounters: 376 aligned to 8 {
    passed_ipv4: Count = 0,
    passed_ipv6: Count = 16,
    dropped_ipv4: Count = 32,
    dropped_ipv6: Count = 48,
    unparsed_passed: [Count; 9] = 64,
    unparsed_dropped: [Count; 9] = 208,
    not_confirmed: Count = 352,
    lost_log: u64 = 368,
});

layout!(answer_counters, AnswerCounters: 48 aligned to 8 {
    resets: u64 = 0,
    errors: u64 = 8,
    unanswered: [u64; 4] = 16,
});

#[test]
fn each_reason_without_an_answer_has_its_place() {
    for (index, reason) in Unanswered::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, index);
    }
}

layout!(policy_counters, PolicyCounters: 64 aligned to 8 {
    passed: Count = 0,
    dropped: Count = 16,
    other_passed: Count = 32,
    other_dropped: Count = 48,
});

layout!(device_key, DeviceKey: 8 aligned to 2 { mac: [u8; 6] = 0, policy: u16 = 6 });

layout!(device_counters, DeviceCounters: 32 aligned to 8 {
    passed: Count = 0,
    dropped: Count = 16,
});

layout!(near_device, NearDevice: 40 aligned to 8 { key: u64 = 0, counters: DeviceCounters = 8 });

layout!(past_counters, PastCounters: 64 aligned to 8 {
    even: DeviceCounters = 0,
    odd: DeviceCounters = 32,
});

layout!(moves, Moves: 16 aligned to 8 { sequence: u64 = 0, leaving: u64 = 8 });

layout!(policy_record, PolicyRecord: 64 aligned to 1 { name: [u8; NAME_BYTES] = 0 });

layout!(interface_record, InterfaceRecord: 24 aligned to 4 {
    name: [u8; 16] = 0,
    mode: u32 = 16,
    direction: u32 = 20,
});

layout!(match_entry, MatchEntry: 4 aligned to 2 { policy: u16 = 0, scope: u16 = 2 });

layout!(match_set, MatchSet: 164 aligned to 4 {
    len: u32 = 0,
    needs: u32 = 4,
    unscoped: u32 = 8,
    allows: u32 = 12,
    drops: u32 = 16,
    rejects: u32 = 20,
    flows: u32 = 24,
    names: u32 = 28,
    handshakes: u32 = 32,
    entries: [MatchEntry; MAX_COVERING_POLICIES] = 36,
});

layout!(scope_word, ScopeWord: 8 aligned to 4 { within: u32 = 0, except: u32 = 4 });

layout!(generation_record, GenerationRecord: 32 aligned to 8 {
    ruleset_hash: u64 = 0,
    policies: u64 = 8,
    deadline: u64 = 16,
    within: u64 = 24,
});

layout!(generation_policy, GenerationPolicy: 16 aligned to 4 {
    slot: u32 = 0,
    action: u32 = 4,
    prefixes_v4: u32 = 8,
    prefixes_v6: u32 = 12,
});

/// Bytes become the right fields, and the fields become the same bytes.
#[test]
fn bytes_become_fields_and_bytes_again() {
    let counters: InterfaceCounters = round_trip();
    assert_eq!(counters.passed_ipv4.packets, u64_at(0));
    assert_eq!(counters.dropped_ipv6.bytes, u64_at(56));
    let passed = counters.unparsed_passed.iter();
    for (index, count) in passed.chain(&counters.unparsed_dropped).enumerate() {
        assert_eq!(count.packets, u64_at(64 + 16 * index));
        assert_eq!(count.bytes, u64_at(72 + 16 * index));
    }
    assert_eq!(counters.not_confirmed.packets, u64_at(352));
    assert_eq!(counters.lost_log, u64_at(368));
    let policy: PolicyCounters = round_trip();
    assert_eq!(policy.dropped.packets, u64_at(16));
    assert_eq!(policy.other_passed.packets, u64_at(32));
    assert_eq!(policy.other_dropped.bytes, u64_at(56));
    let key: DeviceKey = round_trip();
    assert_eq!(key.mac, [0, 1, 2, 3, 4, 5]);
    assert_eq!(key.policy, u16::from_ne_bytes([6, 7]));
    assert_eq!(round_trip::<DeviceCounters>().dropped.packets, u64_at(16));
    assert_eq!(round_trip::<PolicyRecord>().name[..], pattern(64));
    let interface: InterfaceRecord = round_trip();
    assert_eq!(interface.name[..], pattern(16));
    assert_eq!(interface.mode, u32_at(16));
    assert_eq!(interface.direction, u32_at(20));
}

#[test]
fn bytes_become_a_ruleset_and_bytes_again() {
    let set: MatchSet = round_trip();
    assert_eq!((set.len, set.needs), (u32_at(0), u32_at(4)));
    assert_eq!(set.unscoped, u32_at(8));
    assert_eq!((set.allows, set.drops), (u32_at(12), u32_at(16)));
    assert_eq!((set.rejects, set.flows), (u32_at(20), u32_at(24)));
    assert_eq!((set.names, set.handshakes), (u32_at(28), u32_at(32)));
    let last = set.entries[MAX_COVERING_POLICIES - 1];
    assert_eq!(last.policy, u16::from_ne_bytes([160, 161]));
    assert_eq!(last.scope, u16::from_ne_bytes([162, 163]));
    let word: ScopeWord = round_trip();
    assert_eq!((word.within, word.except), (u32_at(0), u32_at(4)));
    let record: GenerationRecord = round_trip();
    assert_eq!(
        (record.ruleset_hash, record.policies),
        (u64_at(0), u64_at(8))
    );
    assert_eq!((record.deadline, record.within), (u64_at(16), u64_at(24)));
    let policy: GenerationPolicy = round_trip();
    assert_eq!((policy.slot, policy.action), (u32_at(0), u32_at(4)));
    assert_eq!(policy.prefixes_v6, u32_at(12));
    let entry: MatchEntry = round_trip();
    assert_eq!(entry.policy, u16::from_ne_bytes([0, 1]));
}

#[test]
fn every_reason_has_the_cell_of_its_number() {
    let cells = InterfaceCounters::default();
    assert_eq!(cells.unparsed_passed.len(), Reason::ALL.len());
    assert_eq!(cells.unparsed_dropped.len(), Reason::ALL.len());
    for (index, reason) in Reason::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, index, "{reason:?}");
    }
    let names = Reason::ALL.map(Reason::name);
    let expected = [
        "non_ip",
        "truncated_ethernet",
        "vlan_depth",
        "truncated_vlan",
        "bad_pppoe",
        "truncated_ipv4",
        "bad_ipv4",
        "truncated_ipv6",
        "bad_ipv6",
    ];
    assert_eq!(names, expected);
}

layout!(flow_cell, FlowCell: 64 aligned to 8 {
    key: [u64; 5] = 0,
    last: u64 = 40,
    count: Count = 48,
});

layout!(flow_start, FlowStart: 32 aligned to 8 {
    first: u64 = 0,
    source: [u64; 2] = 8,
    zero: u64 = 24,
});

layout!(flow_bucket, FlowBucket: 384 aligned to 8 {
    cells: [FlowCell; 4] = 0,
    starts: [FlowStart; 4] = 256,
});

layout!(evidence_control, EvidenceControl: 256 aligned to 8 {
    epoch: u64 = 0,
    cleared: u64 = 8,
    instance: u64 = 16,
    secrets: [u64; 14] = 24,
    replay_now: u64 = 136,
    replay_length: u64 = 144,
    reserved: [u64; 13] = 152,
});

layout!(effective_counters, EffectiveCounters: 96 aligned to 8 {
    passed: Count = 0,
    dropped: Count = 16,
    full_passed: Count = 32,
    full_dropped: Count = 48,
    setting_passed: Count = 64,
    setting_dropped: Count = 80,
});

layout!(evidence_losses, EvidenceLosses: 64 aligned to 8 {
    events: u64 = 0,
    samples_full: u64 = 8,
    samples_rate: u64 = 16,
    samples_cut: u64 = 24,
    answers: Count = 32,
    answers_full: Count = 48,
});

layout!(flow_event, FlowEvent: 72 aligned to 8 {
    key: [u64; 5] = 0,
    source: [u64; 2] = 40,
    time: u64 = 56,
    dropped: u64 = 64,
});

layout!(sample_header, SampleHeader: 64 aligned to 8 {
    time: u64 = 0,
    source: [u8; 16] = 8,
    destination: [u8; 16] = 24,
    mac: [u8; 6] = 40,
    source_port: u16 = 46,
    port: u16 = 48,
    protocol: u8 = 50,
    kind: u8 = 51,
    sequence: u32 = 52,
    length: u16 = 56,
    captured: u16 = 58,
    interface: u8 = 60,
    dropped: u8 = 61,
    flags: u8 = 62,
    zero: u8 = 63,
});

layout!(connection, Connection: 16 aligned to 8 {
    tag: u64 = 0,
    since: u32 = 8,
    bytes: u16 = 12,
    packets: u8 = 14,
    zero: u8 = 15,
});

layout!(dns_losses, DnsLosses: 32 aligned to 8 {
    full: u64 = 0,
    rate: u64 = 8,
    cut: u64 = 16,
    reserved: u64 = 24,
});

/// A key of every flow survives the way into a map and back, and is never free.
#[test]
fn a_flow_key_is_five_words() {
    let key = FlowCellKey {
        destination: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
        mac: [0x64, 0xcc, 0x2e, 0x11, 0x22, 0x33],
        port: 443,
        protocol: 6,
        kind: KIND_USED | KIND_IPV6,
        interface: 7,
        set: 32_767,
        source_tag: 0xbeef,
        mask: 0x8000_0001,
        generation: 0xdead_beef,
    };
    assert_eq!(FlowCellKey::from_words(key.to_words()), key);
    let empty = FlowCellKey {
        kind: KIND_USED,
        ..FlowCellKey::default()
    };
    assert_ne!(empty.to_words()[FLOW_USED_WORD], 0);
}

/// The two buckets of a flow depend on the secrets, and lie in the table.
#[test]
fn a_flow_has_two_buckets_that_the_secrets_choose() {
    let words = [1, 2, 3, 4, 5];
    let first = flow_hash(&words, &[0x1234_5678_9abc_def1; 14], 0);
    let second = flow_hash(&words, &[0x8765_4321_fedc_ba97; 14], 0);
    assert_ne!(first, second);
    for buckets in [1, 4096, 65_536] {
        assert!(
            flow_buckets(first, buckets)
                .iter()
                .all(|bucket| *bucket < buckets)
        );
    }
}

/// If this fails, a new daemon does not find the flows that an old one left in the kernel.
#[test]
fn the_hash_of_the_evidence_is_known() {
    assert_eq!(
        EVIDENCE_HASH, 0x222d_dcba_a2d5_c36d,
        "{EVIDENCE_HASH:#018x}"
    );
}

/// If this fails, the new daemon cannot use the counters of the old daemon, and an update
/// leaves them behind. If that is intended, write it in CHANGELOG.md and change the value
/// here. If only the meaning of a cell changed, raise `ABI_VERSION`, which changes the
/// hash.
#[test]
fn the_hash_of_the_layout_is_known() {
    assert_eq!(ABI_VERSION, 2);
    assert_eq!(ABI_HASH, 0x8c6b_a99b_dca7_e036, "{ABI_HASH:#018x}");
}

/// The bytes 0, 1, 2 …
fn pattern(size: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().take(size).collect()
}

fn u64_at(offset: usize) -> u64 {
    u64::from_ne_bytes(pattern(offset + 8)[offset..].try_into().unwrap())
}

fn u32_at(offset: usize) -> u32 {
    u32::from_ne_bytes(pattern(offset + 4)[offset..].try_into().unwrap())
}

fn round_trip<T: Plain>() -> T {
    let bytes = pattern(size_of::<T>());
    let value: T = from_bytes(&bytes);
    assert_eq!(to_bytes(&value), bytes);
    value
}

fn from_bytes<T: Plain>(bytes: &[u8]) -> T {
    assert_eq!(bytes.len(), size_of::<T>());
    // SAFETY: as many bytes as the type has, read without regard to alignment;
    // `Plain` types are made of integers, for which all bytes are valid.
    unsafe { ptr::read_unaligned(bytes.as_ptr().cast()) }
}

fn to_bytes<T: Plain>(value: &T) -> Vec<u8> {
    let start = ptr::from_ref(value).cast::<u8>();
    // SAFETY: the bytes of one live value, none of them padding: the tests of
    // the layouts fail where there is any.
    unsafe { std::slice::from_raw_parts(start, size_of::<T>()) }.to_vec()
}

/// Home networks have devices of a few vendors with consecutive MACs, and a few policies.
/// Half as many (device, policy) pairs as near cells must all find a near cell.
#[test]
fn devices_in_a_row_find_near_cells() {
    let mut cells = vec![0; NEAR_CELLS as usize];
    let devices = (0..128_u32).flat_map(|device| (0..16_u16).map(move |policy| (device, policy)));
    for (device, policy) in devices {
        let [.., high, low] = device.to_be_bytes();
        let mac = [0x64, 0xcc, 0x2e, low % 3, high, low];
        let bits = DeviceKey { mac, policy }.to_bits();
        assert_eq!(DeviceKey::from_bits(bits), Some(DeviceKey { mac, policy }));
        let first = DeviceKey::near(bits);
        let mut near = (first..first + NEAR_PROBES).map(|cell| (cell % NEAR_CELLS) as usize);
        let free = near.find(|cell| cells[*cell] == 0);
        cells[free.unwrap_or_else(|| panic!("{device} {policy}"))] = bits;
    }
    assert_eq!(DeviceKey::from_bits(0), None);
    let nobody = DeviceKey::default();
    assert_eq!(DeviceKey::from_bits(nobody.to_bits()), Some(nobody));
}

/// No key of a packet equals a marked near cell, and the mark keeps the key readable.
#[test]
fn the_mark_of_a_leaving_device_is_in_no_key() {
    for policy in (0..MAX_POLICIES).map(|slot| u16::try_from(slot).unwrap()) {
        let key = DeviceKey {
            mac: [0xff; 6],
            policy,
        };
        let bits = key.to_bits();
        assert_eq!(bits & DeviceKey::LEAVING, 0, "{policy}");
        let marked = bits | DeviceKey::LEAVING;
        assert_eq!(DeviceKey::from_bits(marked ^ DeviceKey::LEAVING), Some(key));
    }
}
