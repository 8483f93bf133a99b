//! Direction of the packets that a program instance examines.
//!
//! `out`: the packet goes to the policy's destination. `in`: the packet comes from it. So
//! the address that is looked up is the destination of packets `out`, and the source of
//! packets `in`. In the same way, the port of a service is the port of that end.

use aya_ebpf::Global;
use monitor_common::DIRECTION_IN;

/// `monitor_common::global::DIRECTION`. The verifier knows its value, and removes the code
/// for the other direction.
#[unsafe(no_mangle)]
static DIRECTION: Global<u32> = Global::new(0);

/// True if the instance examines packets `in`.
#[inline(always)]
pub(crate) fn is_in() -> bool {
    DIRECTION.load() == DIRECTION_IN
}
