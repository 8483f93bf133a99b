//! A fingerprint of the layout of the pinned state.

use core::mem::{offset_of, size_of};

use crate::{
    AnswerCounters, DeviceCounters, DeviceKey, InterfaceCounters, InterfaceRecord,
    MAX_DEVICE_CELLS, MAX_INTERFACES, MAX_KNOWN, MAX_LEAVING, MAX_NAMED_CELLS, MAX_NEIGHBOUR_CELLS,
    MAX_POLICIES, Moves, NEAR_CELLS, NearDevice, POLICY_CELLS, PastCounters, PolicyCounters,
    PolicyRecord,
};

/// Raised when the meaning of a cell changes while its layout stays. Such a map
/// gets another name too: `monitor run --reset-state` reads the maps of other
/// versions by name and size.
pub const ABI_VERSION: usize = 2;

/// Names the directory of the pinned state. A daemon with another layout uses another
/// directory, so it never misreads the counters of this one.
pub const ABI_HASH: u64 = fnv1a(&[
    ABI_VERSION,
    size_of::<InterfaceCounters>(),
    offset_of!(InterfaceCounters, passed_ipv6),
    offset_of!(InterfaceCounters, dropped_ipv4),
    offset_of!(InterfaceCounters, dropped_ipv6),
    offset_of!(InterfaceCounters, unparsed_passed),
    offset_of!(InterfaceCounters, unparsed_dropped),
    offset_of!(InterfaceCounters, not_confirmed),
    offset_of!(InterfaceCounters, lost_log),
    size_of::<AnswerCounters>(),
    offset_of!(AnswerCounters, errors),
    offset_of!(AnswerCounters, unanswered),
    size_of::<PolicyCounters>(),
    offset_of!(PolicyCounters, dropped),
    offset_of!(PolicyCounters, other_passed),
    offset_of!(PolicyCounters, other_dropped),
    size_of::<DeviceKey>(),
    offset_of!(DeviceKey, policy),
    size_of::<DeviceCounters>(),
    offset_of!(DeviceCounters, dropped),
    size_of::<NearDevice>(),
    offset_of!(NearDevice, counters),
    size_of::<PolicyRecord>(),
    size_of::<InterfaceRecord>(),
    offset_of!(InterfaceRecord, mode),
    MAX_POLICIES as usize,
    POLICY_CELLS as usize,
    offset_of!(InterfaceRecord, direction),
    MAX_INTERFACES as usize,
    MAX_DEVICE_CELLS as usize,
    NEAR_CELLS as usize,
    size_of::<PastCounters>(),
    offset_of!(PastCounters, odd),
    size_of::<Moves>(),
    offset_of!(Moves, leaving),
    MAX_NAMED_CELLS as usize,
    MAX_NEIGHBOUR_CELLS as usize,
    MAX_KNOWN as usize,
    MAX_LEAVING as usize,
]);

/// FNV-1a, 64 bits, over the little-endian bytes of each number.
pub(crate) const fn fnv1a(numbers: &[usize]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut i = 0;
    while i < numbers.len() {
        let bytes = (numbers[i] as u64).to_le_bytes();
        let mut j = 0;
        while j < bytes.len() {
            hash = (hash ^ bytes[j] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            j += 1;
        }
        i += 1;
    }
    hash
}
