//! Every map. Those of the state are pinned and shared by all generations; those
//! of the ruleset belong to one generation and are sized to it at load.

use aya_ebpf::{
    Global,
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap, LpmTrie, PerCpuArray, PerCpuHashMap, ProgramArray},
};
use monitor_common::{
    DeviceCounters, DeviceKey, GenerationPolicy, GenerationRecord, InterfaceCounters,
    InterfaceRecord, MAX_DEVICE_CELLS, MAX_INTERFACES, MAX_KNOWN, MAX_LEAVING, MAX_NAMED_CELLS,
    MAX_NEIGHBOUR_CELLS, MAX_POLICIES, MatchSet, Moves, NEAR_CELLS, NearDevice, PastCounters,
    PolicyCounters, PolicyRecord, SERVICE_KEY_BYTES, ScopeWord, trie::Line, trie::Node,
};

// State.

#[map(name = "INTERFACES")]
pub(crate) static INTERFACES: PerCpuArray<InterfaceCounters> =
    PerCpuArray::with_max_entries(MAX_INTERFACES, 0);

#[map(name = "POLICIES")]
pub(crate) static POLICIES: PerCpuArray<PolicyCounters> =
    PerCpuArray::with_max_entries(MAX_POLICIES, 0);

// The device tables are preallocated, so an insert that fails is a full table:
// the kernel takes a free entry from another CPU's list where its own is empty
// (`pcpu_freelist_pop`). Every device may use the first table; each of the others
// is kept for devices of one kind in KNOWN. User space deletes entries as
// `monitor_common::Moves` says.

#[map(name = "DEVICES")]
pub(crate) static DEVICES: PerCpuHashMap<DeviceKey, DeviceCounters> =
    PerCpuHashMap::with_max_entries(MAX_DEVICE_CELLS, 0);

#[map(name = "NAMED_DEVICES")]
pub(crate) static NAMED_DEVICES: PerCpuHashMap<DeviceKey, DeviceCounters> =
    PerCpuHashMap::with_max_entries(MAX_NAMED_CELLS, 0);

#[map(name = "NEIGHBOURS")]
pub(crate) static NEIGHBOURS: PerCpuHashMap<DeviceKey, DeviceCounters> =
    PerCpuHashMap::with_max_entries(MAX_NEIGHBOUR_CELLS, 0);

// Only user space writes the next three.

#[map(name = "KNOWN")]
pub(crate) static KNOWN: HashMap<[u8; 6], u32> = HashMap::with_max_entries(MAX_KNOWN, 0);

#[map(name = "LEAVING")]
pub(crate) static LEAVING: HashMap<DeviceKey, u32> = HashMap::with_max_entries(MAX_LEAVING, 0);

#[map(name = "MOVES")]
pub(crate) static MOVES: Array<Moves> = Array::with_max_entries(1, BPF_F_MMAPABLE);

// The near cells of one CPU after those of another; an array that can be mapped
// is read without a call for each cell.
#[map(name = "NEAR_DEVICES")]
pub(crate) static NEAR_DEVICES: Array<NearDevice> =
    Array::with_max_entries(NEAR_CELLS, BPF_F_MMAPABLE);

// Only user space reads and writes these three; they are declared here because
// they live and die with the counters above.

#[map(name = "PAST")]
static PAST: Array<PastCounters> = Array::with_max_entries(MAX_POLICIES, BPF_F_MMAPABLE);

#[map(name = "POLICY_NAMES")]
static POLICY_NAMES: Array<PolicyRecord> = Array::with_max_entries(MAX_POLICIES, 0);

#[map(name = "IFACE_NAMES")]
static IFACE_NAMES: Array<InterfaceRecord> = Array::with_max_entries(MAX_INTERFACES, 0);

// Ruleset of one generation.

// The trie of each family; only arrays that can be mapped begin on a page, so
// that a line of theirs is a cache line, and four nodes are one.

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

// Classes of what a packet comes from and is for; the keys of services are a
// zero byte, the protocol and the port.

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

// Where the generation has a deadline: whether it is confirmed, and by slot of
// the interface the program that decides where it is not.

#[map(name = "CONFIRMED")]
pub(crate) static CONFIRMED: Array<u32> = Array::with_max_entries(1, 0);

#[map(name = "PREVIOUS")]
pub(crate) static PREVIOUS: ProgramArray = ProgramArray::with_max_entries(1, 0);

// Only user space reads and writes these two: they tell a later daemon what the
// generation is that it finds in force.

#[map(name = "GENERATION")]
static GENERATION: Array<GenerationRecord> = Array::with_max_entries(1, 0);

#[map(name = "GEN_POLICIES")]
static GEN_POLICIES: Array<GenerationPolicy> = Array::with_max_entries(1, 0);

// How much of the log each CPU has used; every loaded object has one of its own.

#[map(name = "LOG_BUDGET")]
pub(crate) static LOG_BUDGET: PerCpuArray<LogBudget> = PerCpuArray::with_max_entries(1, 0);

/// What one CPU wrote to the log in the current period.
#[repr(C)]
pub(crate) struct LogBudget {
    /// Number of the period since boot.
    pub(crate) period: u64,
    /// Lines written in it.
    pub(crate) lines: u64,
}

// Constants of one program instance. The loader writes them before the verifier
// runs, so that what they switch off is not even translated.

#[unsafe(no_mangle)]
pub(crate) static INTERFACE_SLOT: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static HAS_IPV4: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static HAS_IPV6: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static HAS_DROPS: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static SKIP_V4: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static COMMON_V4: Global<u64> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static OUTSIDE_V4: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static DIRECT_V4: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static FIRST_V4: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static SKIP_V6: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static COMMON_V6: Global<u64> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static OUTSIDE_V6: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static DIRECT_V6: Global<u32> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static FIRST_V6: Global<u32> = Global::new(0);

/// 1: bits after the first 64 make a difference.
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
pub(crate) static LOG_PACKETS: Global<u32> = Global::new(0);
