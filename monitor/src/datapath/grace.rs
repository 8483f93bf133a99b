//! Waits for programs that run.

use super::sys;

/// Waits until every run of a replaced program has ended. If the kernel refuses to
/// wait, returns a message for the operator.
pub(super) fn wait_for_running_programs() -> Option<String> {
    // Kernels with `nohz_full` CPUs refuse it. Then a run of an old program may
    // last a few microseconds longer.
    let source = sys::grace_period().err()?;
    Some(format!("cannot wait for running programs to end: {source}"))
}
