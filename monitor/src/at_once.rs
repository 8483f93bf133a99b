//! Two computations at the same time.

use std::{panic::resume_unwind, thread};

/// Work on fewer prefixes is not worth a thread.
const MANY_PREFIXES: usize = 10_000;

/// True if work on so many prefixes is worth a thread.
#[must_use]
pub(crate) fn is_large(prefixes: usize) -> bool {
    prefixes >= MANY_PREFIXES
}

/// Runs both functions, and returns both results. If they work on many `prefixes`, a second
/// thread runs `one`, so that a machine with two processors needs less time.
pub(crate) fn at_once<A: Send, B>(
    prefixes: usize,
    one: impl Fn() -> A + Sync,
    other: impl FnOnce() -> B,
) -> (A, B) {
    if !is_large(prefixes) {
        return (one(), other());
    }
    thread::scope(|scope| {
        // The system may refuse another thread.
        let Ok(thread) = thread::Builder::new().spawn_scoped(scope, &one) else {
            return (one(), other());
        };
        let result = other();
        (
            thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            result,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_run_on_one_thread_or_on_two() {
        let caller = thread::current().id();
        for (prefixes, is_alone) in [(MANY_PREFIXES - 1, true), (MANY_PREFIXES, false)] {
            let (one, other) = at_once(prefixes, || thread::current().id(), || caller);
            assert_eq!((one == caller, other), (is_alone, caller));
        }
    }
}
