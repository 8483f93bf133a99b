//! Loops over many destinations in one run of a program. The destinations are in maps,
//! so the compiler and the verifier cannot predict them.

use core::ffi::c_void;

use aya_ebpf::{
    Global,
    bindings::{BPF_F_MMAPABLE, xdp_action},
    helpers::generated::bpf_loop,
    macros::map,
    maps::Array,
};

/// IPv4 destinations, host order.
#[map(name = "DESTINATIONS_V4")]
pub(crate) static DESTINATIONS_V4: Array<u32> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// IPv6 destinations as two halves, the upper half first, host order.
#[map(name = "DESTINATIONS_V6")]
pub(crate) static DESTINATIONS_V6: Array<[u64; 2]> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// 1 for IPv6 destinations, 0 for IPv4.
#[unsafe(no_mangle)]
pub(crate) static IPV6: Global<u32> = Global::new(0);

/// Settings of one run. They are in a map, not in constants, so the verifier does not
/// examine every round of the loop.
#[repr(C)]
#[derive(Clone, Copy)]
struct Run {
    /// Index of the first destination.
    first: u32,
    /// 1 if the next destination depends on the result of the previous one, else 0.
    chained: u32,
}

#[map(name = "RUN")]
static RUN: Array<Run> = Array::with_max_entries(1, 0);

/// Sum of all results. Because of it, the compiler cannot remove a look-up.
#[map(name = "SUM")]
static SUM: Array<u64> = Array::with_max_entries(1, 0);

/// Always zero at run time. The compiler does not know that, and keeps the dependency on
/// the previous result.
#[unsafe(no_mangle)]
static NO_BITS: Global<u32> = Global::new(0);

/// Number of destinations of one run, a power of two.
#[unsafe(no_mangle)]
static COUNT: Global<u32> = Global::new(0);

/// Position of a run in the destinations, and the sum of results so far.
pub(crate) struct Cursor {
    run: Run,
    next: u32,
    sum: u64,
}

impl Cursor {
    /// The start of the run that the map RUN describes.
    #[inline(always)]
    pub(crate) fn begin() -> Option<Self> {
        let run = *RUN.get(0)?;
        Some(Self {
            run,
            next: run.first,
            sum: 0,
        })
    }

    /// Index of the next destination.
    #[inline(always)]
    pub(crate) fn index(&self) -> u32 {
        self.run.first + (self.next & (COUNT.load() - 1))
    }

    /// Adds the result of this destination and moves on to the next.
    #[inline(always)]
    pub(crate) fn advance(&mut self, answer: u32) {
        self.sum += u64::from(answer);
        let chain = if self.run.chained == 0 {
            0
        } else {
            answer & NO_BITS.load()
        };
        self.next += 1 + chain;
    }

    /// Writes the sum. Returns `XDP_PASS`, or `XDP_ABORTED` if the run did not process all
    /// destinations.
    #[inline(always)]
    pub(crate) fn end(&self) -> u32 {
        if self.next != self.run.first + COUNT.load() {
            return xdp_action::XDP_ABORTED;
        }
        if let Some(sum) = SUM.get_ptr_mut(0) {
            // SAFETY: only one run happens at a time.
            unsafe { *sum = self.sum };
        }
        xdp_action::XDP_PASS
    }
}

/// Calls `one` with `state` for each destination. Stops early if `one` returns 1.
#[inline(always)]
pub(crate) fn each<T>(one: extern "C" fn(u32, *mut c_void) -> i64, state: &mut T) {
    // SAFETY: the callback has the signature that the helper (Linux 5.17) expects, and
    // the state outlives the call.
    unsafe {
        bpf_loop(
            COUNT.load(),
            one as *mut c_void,
            (&raw mut *state).cast(),
            0,
        );
    }
}
