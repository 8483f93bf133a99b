//! The access point goes and comes back under the filter.

use anyhow::Result;

use super::super::gateway::{Gateway, rounds};
use super::super::{must_be, seen, wait_for};
use super::Trial;
use crate::vm::wifi::Seat;

impl Trial<'_> {
    /// hostapd ends, the interface goes down, and a new hostapd sets it up.
    pub(super) fn restarts(&mut self) -> Result<()> {
        let before = self.gateway.dropped(self.interface())?;
        self.air.stop()?;
        self.air.start(true)?;
        self.must_be_filtered()?;
        self.stations_are_apart()?;
        // One round of this function, one of `stations_are_apart`.
        must_be(
            "dropped",
            &self.gateway.dropped(self.interface())?,
            &(before + rounds(2)),
        )?;
        seen(
            "hostapd restarted with ap_isolate: the filter was in force by itself, counters went on, and the stations were apart",
        );
        Ok(())
    }

    /// The interface is deleted and made again, as OpenWrt does. The daemon attaches the
    /// filter to the new one.
    pub(super) fn is_made_again(&mut self) -> Result<()> {
        let before = self.gateway.dropped(self.interface())?;
        self.air.stop()?;
        self.air.make_again()?;
        self.air.start(true)?;
        let took = wait_for("the filter is on the new interface", || {
            Gateway::is_filtered(self.interface())
        })?;
        self.must_be_filtered()?;
        must_be(
            "dropped",
            &self.gateway.dropped(self.interface())?,
            &(before + rounds(1)),
        )?;
        let what = match self.seat {
            Seat::AccessPoint => format!(
                "the daemon attached the filter again ({} ms)",
                took.as_millis()
            ),
            Seat::Bridge => "the filter on the bridge went on".to_owned(),
        };
        seen(format!(
            "wlan0 was deleted and made again: {what}, and the counters went on"
        ));
        Ok(())
    }
}
