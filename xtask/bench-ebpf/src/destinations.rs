//! For the benchmarks alone: goes through many destinations in one run of a
//! program, one after the other, which neither the compiler nor the verifier knows.

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

/// IPv6 destinations as their halves, host order.
#[map(name = "DESTINATIONS_V6")]
pub(crate) static DESTINATIONS_V6: Array<[u64; 2]> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// 1: the destinations are those of IPv6.
#[unsafe(no_mangle)]
pub(crate) static IPV6: Global<u32> = Global::new(0);

/// What one run does. The verifier knows nothing of it, and so does not follow
/// every single round of the loop.
#[repr(C)]
#[derive(Clone, Copy)]
struct Run {
    /// The first destination.
    first: u32,
    /// 1: which destination is next depends on what became of the last.
    chained: u32,
}

#[map(name = "RUN")]
static RUN: Array<Run> = Array::with_max_entries(1, 0);

/// What became of all destinations, so that none is left out.
#[map(name = "SUM")]
static SUM: Array<u64> = Array::with_max_entries(1, 0);

/// Zero, which nobody knows who compiles this.
#[unsafe(no_mangle)]
static NO_BITS: Global<u32> = Global::new(0);

/// Destinations of one run, a power of two.
#[unsafe(no_mangle)]
static COUNT: Global<u32> = Global::new(0);

/// Where a run is.
pub(crate) struct Place {
    run: Run,
    next: u32,
    sum: u64,
}

impl Place {
    #[inline(always)]
    pub(crate) fn begin() -> Option<Self> {
        let run = *RUN.get(0)?;
        Some(Self {
            run,
            next: run.first,
            sum: 0,
        })
    }

    /// The destination that is next.
    #[inline(always)]
    pub(crate) fn index(&self) -> u32 {
        self.run.first + (self.next & (COUNT.load() - 1))
    }

    /// Goes on, after what became of this one.
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

    /// Writes the sum; a run that did not go through all destinations is aborted.
    #[inline(always)]
    pub(crate) fn end(&self) -> u32 {
        if self.next != self.run.first + COUNT.load() {
            return xdp_action::XDP_ABORTED;
        }
        if let Some(sum) = SUM.get_ptr_mut(0) {
            // SAFETY: one run at a time.
            unsafe { *sum = self.sum };
        }
        xdp_action::XDP_PASS
    }
}

/// Calls `one` with `state` for each destination, until it returns 1.
#[inline(always)]
pub(crate) fn each<T>(one: extern "C" fn(u32, *mut c_void) -> i64, state: &mut T) {
    // SAFETY: the callback has the signature that the helper wants (Linux 5.17),
    // and the state lives longer than the call.
    unsafe {
        bpf_loop(
            COUNT.load(),
            one as *mut c_void,
            (&raw mut *state).cast(),
            0,
        );
    }
}
