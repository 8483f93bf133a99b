//! Drains the tables of flows without losing a packet.
//!
//! | step | the caller that drains | a reader, or the next daemon after a crash |
//! |---|---|---|
//! | 0 | `cleared = E-1`: the other table is empty | counts the table of E |
//! | 1 | stores `epoch = E+1` | programs that run write table E, new ones E+1 |
//! | 2 | waits for a grace period | table E stands still |
//! | 3 | stores the flows and `drained = E` in one transaction | sees cells, or rows |
//! | 4 | clears table E | skips tables up to `drained` |
//! | 5 | stores `cleared = E` | as step 0 |
//!
//! Each step can be repeated, so a daemon that finds an unfinished drain goes on with it.

use std::{thread, time::Duration};

use super::{EvidenceMaps, RawFlows};
use crate::datapath::{Error, grace::wait_for_running_programs};

/// Time after which no program that began before still runs. It is waited where the kernel
/// refuses to wait for a grace period (`nohz_full`).
const LONG_AFTER: Duration = Duration::from_secs(1);

impl EvidenceMaps {
    /// Drains the current table. `keep` stores the flows of an epoch; it is called before
    /// the table is cleared, and again after a crash or an error.
    ///
    /// # Errors
    ///
    /// Returns the error of `keep`. Then the flows stay in their table, and the caller may
    /// call it again.
    pub(in crate::datapath) fn drain<E: From<Error>>(
        &self,
        drained: u64,
        mut keep: impl FnMut(u64, RawFlows) -> Result<(), E>,
    ) -> Result<(), E> {
        let control = &self.control;
        let epoch = control.epoch();
        let old = if control.cleared() + 1 == epoch {
            control.set_epoch(epoch + 1);
            epoch
        } else {
            // An earlier drain did not complete.
            epoch - 1
        };
        if wait_for_running_programs().is_some() {
            thread::sleep(LONG_AFTER);
        }
        if drained < old {
            keep(old, self.flows(old)?)?;
        }
        self.clear(old)?;
        control.set_cleared(old);
        Ok(())
    }
}
