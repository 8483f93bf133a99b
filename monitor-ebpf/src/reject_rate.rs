//! Limits of answers, for each device and for all devices.
//!
//! A bucket is one number, so no reader sees a half of it: the time at which all answers so far
//! are paid off. Two CPUs that answer in the same moment may both use the same room. So a flood on
//! all CPUs can get at most as many times the limit as there are CPUs.

use monitor_common::{
    ANSWER_BURST_ALL, ANSWER_BURST_DEVICE, ANSWER_RATE_ALL, ANSWER_RATE_DEVICE, Unanswered,
};

use crate::{
    maps::{ANSWER_DEVICES, ANSWER_LIMITS, ANSWER_TICKS, HAS_REJECTS, KNOWN},
    replay,
};

/// Times in a bucket are in parts of a tick. A tick has as many parts as the limit allows answers
/// in a second, so an answer costs as many parts as a second has ticks.
struct Limit {
    /// Answers per second.
    rate: u64,
    /// Answers at once.
    burst: u64,
}

const ALL: Limit = Limit {
    rate: ANSWER_RATE_ALL,
    burst: ANSWER_BURST_ALL,
};

const DEVICE: Limit = Limit {
    rate: ANSWER_RATE_DEVICE,
    burst: ANSWER_BURST_DEVICE,
};

/// Takes one answer from the limits of a device and of all devices. `mac` is in network order,
/// followed by two zero bytes. Returns 0, or the number of the [`Unanswered`] if none is left.
///
/// The devices that the operator knows have a limit of their own, which made-up MACs cannot use
/// up.
///
/// This is a global function for the verifier, as `decide::read_service`.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn take_answer(mac: u64) -> u32 {
    if HAS_REJECTS.load() == 0 || ANSWER_TICKS.load() == 0 {
        return 0;
    }
    let [mac @ .., _, _] = mac.to_ne_bytes();
    let is_known = KNOWN.get_ptr(&mac).is_some();
    let Some(all) = ANSWER_LIMITS.get_ptr_mut(is_known.into()) else {
        return Unanswered::TotalRate as u32;
    };
    let now = replay::now();
    // Looks at the limit of all devices first: then a flood of made-up MACs ends here, and does
    // not enter the table of devices.
    let Some(all_after) = ALL.after(all, now) else {
        return Unanswered::TotalRate as u32;
    };
    let Some(device) = device_bucket(&mac) else {
        return Unanswered::DeviceRate as u32;
    };
    let Some(device_after) = DEVICE.after(device, now) else {
        return Unanswered::DeviceRate as u32;
    };
    // SAFETY: as in `after`.
    unsafe {
        device.write_volatile(device_after);
        all.write_volatile(all_after);
    }
    0
}

/// The bucket of a device, which begins empty.
#[inline(always)]
fn device_bucket(mac: &[u8; 6]) -> Option<*mut u64> {
    if let Some(bucket) = ANSWER_DEVICES.get_ptr_mut(mac) {
        return Some(bucket);
    }
    // Another CPU may insert the same key first; the look-up finds its entry.
    let _ = ANSWER_DEVICES.insert(mac, &0, 0);
    ANSWER_DEVICES.get_ptr_mut(mac)
}

impl Limit {
    /// The bucket after one more answer; `None` if the limit leaves none.
    #[inline(always)]
    fn after(&self, bucket: *mut u64, now: u64) -> Option<u64> {
        let cost = u64::from(ANSWER_TICKS.load());
        let now = now.wrapping_mul(self.rate);
        // SAFETY: the pointer comes from a map, whose elements stay valid until the program
        // returns. The number is aligned, so one load reads all of it.
        let paid_off = unsafe { bucket.read_volatile() };
        let owed = match paid_off.saturating_sub(now) {
            // More than a burst cannot be owed: a replay went back in time.
            owed if owed > self.burst * cost => 0,
            owed => owed,
        };
        let after = owed + cost;
        (after <= self.burst * cost).then_some(now.wrapping_add(after))
    }
}
