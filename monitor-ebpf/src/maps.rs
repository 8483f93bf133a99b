//! All maps and constants. State maps are pinned, and all generations share them.
//! Ruleset maps belong to one generation. The loader sets their sizes.

use aya_ebpf::{
    Global,
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{
        Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, PerCpuHashMap, ProgramArray, RingBuf,
    },
};
use monitor_common::{
    ANSWER_DEVICES as MAX_ANSWER_DEVICES, AnswerCounters, DeviceCounters, DeviceKey,
    GenerationPolicy, GenerationRecord, InterfaceCounters, InterfaceRecord, MAX_DEVICE_CELLS,
    MAX_INTERFACES, MAX_KNOWN, MAX_LEAVING, MAX_NAMED_CELLS, MAX_NEIGHBOUR_CELLS, MAX_POLICIES,
    MatchSet, Moves, NEAR_CELLS, NearDevice, POLICY_CELLS, PastCounters, PolicyCounters,
    PolicyRecord, SERVICE_KEY_BYTES, ScopeWord,
    capture::CAPTURE_RING_BYTES,
    evidence::{
        ConnectionLine, EffectiveCounters, EvidenceControl, EvidenceLosses, FLOW_EVENT_BYTES,
        FlowBucket, SAMPLE_RING_BYTES, SampleRecord,
    },
    trie::Line,
    trie::Node,
};

// State maps.

#[map(name = "INTERFACES")]
pub(crate) static INTERFACES: PerCpuArray<InterfaceCounters> =
    PerCpuArray::with_max_entries(MAX_INTERFACES, 0);

#[map(name = "ANSWERS")]
pub(crate) static ANSWERS: PerCpuArray<AnswerCounters> =
    PerCpuArray::with_max_entries(MAX_INTERFACES, 0);

// The cells of packets `out`, then those of packets `in` (`monitor_common::POLICY_CELLS`).
#[map(name = "POLICIES")]
pub(crate) static POLICIES: PerCpuArray<PolicyCounters> =
    PerCpuArray::with_max_entries(POLICY_CELLS, 0);

// The device tables are preallocated. The kernel takes free entries from the lists of
// other CPUs too (`pcpu_freelist_pop`), so an insert fails only if the table is full.
// Every device may use DEVICES. The other two are reserved for the two kinds of devices
// in KNOWN. `monitor_common::Moves` describes how user space deletes entries.

#[map(name = "DEVICES")]
pub(crate) static DEVICES: PerCpuHashMap<DeviceKey, DeviceCounters> =
    PerCpuHashMap::with_max_entries(MAX_DEVICE_CELLS, 0);

#[map(name = "NAMED_DEVICES")]
pub(crate) static NAMED_DEVICES: PerCpuHashMap<DeviceKey, DeviceCounters> =
    PerCpuHashMap::with_max_entries(MAX_NAMED_CELLS, 0);

#[map(name = "NEIGHBOURS")]
pub(crate) static NEIGHBOURS: PerCpuHashMap<DeviceKey, DeviceCounters> =
    PerCpuHashMap::with_max_entries(MAX_NEIGHBOUR_CELLS, 0);

// Only user space writes the next three maps.

#[map(name = "KNOWN")]
pub(crate) static KNOWN: HashMap<[u8; 6], u32> = HashMap::with_max_entries(MAX_KNOWN, 0);

#[map(name = "LEAVING")]
pub(crate) static LEAVING: HashMap<DeviceKey, u32> = HashMap::with_max_entries(MAX_LEAVING, 0);

#[map(name = "MOVES")]
pub(crate) static MOVES: Array<Moves> = Array::with_max_entries(1, BPF_F_MMAPABLE);

// The near cells of CPU 0, then those of CPU 1, and so on. User space maps the array
// into its memory and so reads all cells without a system call for each.
#[map(name = "NEAR_DEVICES")]
pub(crate) static NEAR_DEVICES: Array<NearDevice> =
    Array::with_max_entries(NEAR_CELLS, BPF_F_MMAPABLE);

// Only user space reads and writes these three maps. They are declared here because
// they are created and removed with the counters above.

#[map(name = "PAST")]
static PAST: Array<PastCounters> = Array::with_max_entries(MAX_POLICIES, BPF_F_MMAPABLE);

#[map(name = "POLICY_NAMES")]
static POLICY_NAMES: Array<PolicyRecord> = Array::with_max_entries(MAX_POLICIES, 0);

#[map(name = "IFACE_NAMES")]
static IFACE_NAMES: Array<InterfaceRecord> = Array::with_max_entries(MAX_INTERFACES, 0);

// Evidence maps. They are pinned with the state maps once a generation records flows. Other
// generations have their own, which are small. `monitor_common::evidence` describes them.

#[map(name = "EVIDENCE")]
pub(crate) static EVIDENCE: Array<EvidenceControl> = Array::with_max_entries(1, BPF_F_MMAPABLE);

// The two tables of CPU 0, then those of CPU 1, and so on.
#[map(name = "FLOWS")]
pub(crate) static FLOWS: Array<FlowBucket> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map(name = "EFFECTIVE")]
pub(crate) static EFFECTIVE: PerCpuArray<EffectiveCounters> = PerCpuArray::with_max_entries(1, 0);

#[map(name = "EV_LOSSES")]
pub(crate) static EVIDENCE_LOSSES: PerCpuArray<EvidenceLosses> =
    PerCpuArray::with_max_entries(1, 0);

#[map(name = "FLOW_EVENTS")]
pub(crate) static FLOW_EVENTS: RingBuf = RingBuf::with_byte_size(FLOW_EVENT_BYTES, 0);

// The lines of CPU 0, then those of CPU 1, and so on.
#[map(name = "CONNECTIONS")]
pub(crate) static CONNECTIONS: Array<ConnectionLine> = Array::with_max_entries(1, 0);

#[map(name = "SAMPLES_RING")]
pub(crate) static SAMPLES_RING: RingBuf = RingBuf::with_byte_size(SAMPLE_RING_BYTES, 0);

// The sample that a CPU takes. Each loaded object has its own.
#[map(name = "SAMPLE_OF_CPU")]
pub(crate) static SAMPLE_OF_CPU: PerCpuArray<SampleRecord> = PerCpuArray::with_max_entries(1, 0);

// Each CPU's use of the ring buffer. Each loaded object has its own.
#[map(name = "SAMPLE_BUDGET")]
pub(crate) static SAMPLE_BUDGET: PerCpuArray<SampleBudget> = PerCpuArray::with_max_entries(1, 0);

/// Samples that one CPU took in the current period.
#[repr(C)]
pub(crate) struct SampleBudget {
    /// Number of the current period, counted from boot.
    pub(crate) period: u64,
    /// Samples taken in this period.
    pub(crate) samples: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

// Three maps of a capture: copies of packets; the number of packets that were not copied, by
// interface slot; and the time until which programs copy, in nanoseconds since boot. During a
// capture, the generation in force has them as pins in its directory. Other generations have small
// ones of their own.

#[map(name = "CAPTURE_RING")]
pub(crate) static CAPTURE_RING: RingBuf = RingBuf::with_byte_size(CAPTURE_RING_BYTES, 0);

#[map(name = "CAPTURE_LOST")]
pub(crate) static CAPTURE_LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(MAX_INTERFACES, 0);

#[map(name = "CAPTURE_LEASE")]
pub(crate) static CAPTURE_LEASE: Array<u64> = Array::with_max_entries(1, 0);

// Ruleset maps.

// The tries of both families. BPF_F_MMAPABLE makes the arrays begin on a page, so each
// line, and each group of four nodes, is one cache line.

#[map(name = "NODES_V4")]
pub(crate) static NODES_V4: Array<Node> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map(name = "LINES_V4")]
pub(crate) static LINES_V4: Array<Line> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map(name = "NODES_V6")]
pub(crate) static NODES_V6: Array<Node> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map(name = "LINES_V6")]
pub(crate) static LINES_V6: Array<Line> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map(name = "MATCH_SETS")]
pub(crate) static MATCH_SETS: Array<MatchSet> = Array::with_max_entries(1, BPF_F_MMAPABLE);

// The class of a source MAC, a source address, a service, and the words of all classes
// (`monitor_common::ScopeWord`).

#[map(name = "MACS")]
pub(crate) static MACS: LpmTrie<[u8; 6], u32> = LpmTrie::with_max_entries(1, 0);

#[map(name = "SOURCES_V4")]
pub(crate) static SOURCES_V4: LpmTrie<[u8; 4], u32> = LpmTrie::with_max_entries(1, 0);

#[map(name = "SOURCES_V6")]
pub(crate) static SOURCES_V6: LpmTrie<[u8; 16], u32> = LpmTrie::with_max_entries(1, 0);

#[map(name = "SERVICES")]
pub(crate) static SERVICES: LpmTrie<[u8; SERVICE_KEY_BYTES], u32> = LpmTrie::with_max_entries(1, 0);

#[map(name = "CLASSES")]
pub(crate) static CLASSES: Array<ScopeWord> = Array::with_max_entries(1, BPF_F_MMAPABLE);

// For a generation with a deadline: 1 if it is confirmed, and by interface slot the
// program that runs after the deadline if it is not.

#[map(name = "CONFIRMED")]
pub(crate) static CONFIRMED: Array<u32> = Array::with_max_entries(1, 0);

#[map(name = "PREVIOUS")]
pub(crate) static PREVIOUS: ProgramArray = ProgramArray::with_max_entries(1, 0);

#[map(name = "PREVIOUS_FRAGS")]
pub(crate) static PREVIOUS_FRAGS: ProgramArray = ProgramArray::with_max_entries(1, 0);

// The same for classifiers: such a map holds programs of one type.
#[map(name = "PREVIOUS_EGRESS")]
pub(crate) static PREVIOUS_EGRESS: ProgramArray = ProgramArray::with_max_entries(1, 0);

// The limits of answers: `reject_rate::Bucket` of all devices that are not known, of all known
// devices, and of each device.

#[map(name = "ANSWER_LIMITS")]
pub(crate) static ANSWER_LIMITS: Array<u64> = Array::with_max_entries(2, 0);

#[map(name = "ANSWER_DEVICES")]
pub(crate) static ANSWER_DEVICES: LruHashMap<[u8; 6], u64> =
    LruHashMap::with_max_entries(MAX_ANSWER_DEVICES, 0);

// Only user space reads and writes these two maps. They describe the generation for a
// later daemon.

#[map(name = "GENERATION")]
static GENERATION: Array<GenerationRecord> = Array::with_max_entries(1, 0);

#[map(name = "GEN_POLICIES")]
static GEN_POLICIES: Array<GenerationPolicy> = Array::with_max_entries(1, 0);

// Each CPU's use of the log. This map is not pinned: each loaded object has its own.

#[map(name = "LOG_BUDGET")]
pub(crate) static LOG_BUDGET: PerCpuArray<LogBudget> = PerCpuArray::with_max_entries(1, 0);

/// Lines that one CPU wrote to the log in the current period.
#[repr(C)]
pub(crate) struct LogBudget {
    /// Number of the current period, counted from boot.
    pub(crate) period: u64,
    /// Lines written in this period.
    pub(crate) lines: u64,
}

// Constants of one program instance; `monitor_common::global` describes them. The
// loader writes them before the verifier runs, and the verifier removes code that they
// make unreachable.

#[unsafe(no_mangle)]
pub(crate) static INTERFACE_SLOT: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static HAS_IPV4: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static HAS_IPV6: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static HAS_DROPS: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static HAS_REJECTS: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static ANSWER_TICKS: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static COMMON_BITS_V4: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static COMMON_V4: Global<u64> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static OUTSIDE_V4: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static FIRST_BITS_V4: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static FIRST_KIND_V4: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static COMMON_BITS_V6: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static COMMON_V6: Global<u64> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static OUTSIDE_V6: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static FIRST_BITS_V6: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static FIRST_KIND_V6: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static LOW_V6: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static LONGEST_SET: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static NEEDS: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static CLASS_WORDS: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static INTERFACE_CLASS: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static NO_SERVICE_CLASS: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static DEADLINE: Global<u64> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static GENERATION_NUMBER: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static FLOW_BUCKETS: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static SAMPLES: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static FRAGS: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static REPLAY: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static CAPTURE: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static CAPTURE_SLOT: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static LOG_PACKETS: Global<u32> = Global::new(0);
