//! The machine's clocks, and shared parts of the scenarios about time.

use anyhow::{Context as _, Result};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};

use super::Guest;
use super::gateway::Gateway;
use super::phone::{Arrived, Servers, WiredPhone};

pub(super) const HOUR: i64 = 3600;
pub(super) const DAY: i64 = 24 * HOUR;
/// 2027-01-15T12:00:00Z, in seconds since 1970.
pub(super) const NOON: i64 = 1_800_014_400;
/// The edge of the schedule below on that day, in seconds since 1970.
pub(super) const NIGHT: i64 = NOON + 10 * HOUR;

pub(super) const AT_NIGHT: &str = "version: 1
policies:
  - name: at-night
    action: drop
    destinations: [198.51.100.0/24]
    schedule: {from: \"22:00\", to: \"06:00\", timezone: UTC}
";

/// A phone, servers and a gateway for a scenario.
pub(super) struct Testbed {
    phone: WiredPhone,
    servers: Servers,
}

impl Testbed {
    pub(super) fn make(guest: &Guest, interface: &str, number: u8) -> Result<Self> {
        guest.load_modules(&["veth"])?;
        Ok(Self {
            phone: WiredPhone::connect(interface, number)?,
            servers: Servers::start()?,
        })
    }

    pub(super) fn round(&self) -> Result<Arrived> {
        self.servers.round(&self.phone.namespace)
    }
}

/// Enabled policies outside their schedule.
pub(super) fn resting(gateway: &Gateway<'_>) -> Result<usize> {
    let status = gateway.ask("status", &[])?;
    let resting = &status["daemon"]["resting"];
    Ok(resting.as_array().context("resting")?.len())
}

/// Number of changes by command in force.
pub(super) fn changes(gateway: &Gateway<'_>) -> Result<usize> {
    let status = gateway.ask("status", &[])?;
    let changes = &status["daemon"]["changes"];
    Ok(changes.as_array().context("changes")?.len())
}

/// Sets the clock to `at`, in seconds since 1970.
pub(super) fn set_clock(at: i64) -> Result<()> {
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::new(at, 0)).context("set the clock")
}

/// The clock in whole seconds.
pub(super) fn seconds(clock: ClockId) -> Result<i64> {
    Ok(clock_gettime(clock).context("a clock")?.tv_sec())
}
