//! The clock is set across edges of a schedule and the end of a command, while a daemon
//! runs and gets no requests.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::time::ClockId;

use super::gateway::Gateway;
use super::phone::{ALL, Arrived, FILTERED};
use super::time::{AT_NIGHT, DAY, NIGHT, NOON, Testbed, changes, resting, seconds, set_clock};
use super::{Guest, must_be, seen, wait_for};

const UNTIL_MIDNIGHT: &str = "version: 1
policies:
  - name: until-midnight
    action: drop
    destinations: [198.51.100.0/24]
    expires: 2027-01-16T00:00:00Z
";
const NOTHING: &str = "version: 1
policies:
  - {name: nothing, action: count, destinations: [198.51.100.0/24]}
";

pub(super) fn play(guest: &Guest) -> Result<()> {
    let testbed = Testbed::make(guest, "lan8", 18)?;
    set_clock(NOON)?;
    let mut gateway = Gateway::new(guest, "clock", AT_NIGHT)?;
    gateway.start("lan8", &[])?;
    let clock = Clock {
        gateway: &gateway,
        testbed: &testbed,
    };
    clock.steps("the schedule", NIGHT + 1, FILTERED)?;
    clock.steps("the schedule, 30 days on", NIGHT + 30 * DAY, FILTERED)?;
    clock.double_steps()?;
    clock.change_policies(UNTIL_MIDNIGHT, "until-midnight", FILTERED)?;
    clock.steps("the end", NOON + DAY, ALL)?;
    clock.change_policies(NOTHING, "nothing", ALL)?;
    clock.command_stands()?;
    for step in [DAY, -DAY] {
        clock.command_ends_in_time(step)?;
    }
    gateway.must_have_no_errors()?;
    gateway.detach("lan8")
}

/// A running daemon, and the steps of the clock.
struct Clock<'a> {
    gateway: &'a Gateway<'a>,
    testbed: &'a Testbed,
}

impl Clock<'_> {
    /// Sets the clock from noon to `there` and back. Each step makes a generation.
    fn steps(&self, what: &str, there: i64, then: Arrived) -> Result<()> {
        let noon = self.testbed.round()?;
        for (at, expected) in [(there, then), (NOON, noon)] {
            let before = self.gateway.generation("lan8")?;
            set_clock(at)?;
            let took = wait_for("the generation that the new time asks for", || {
                Ok(self.gateway.generation("lan8")? != before)
            })
            .with_context(|| format!("{what}: the clock was set to {at}"))?;
            let generation = self.gateway.generation("lan8")?;
            must_be("generation", &generation, &(before + 1))?;
            must_be(what, &self.testbed.round()?, &expected)?;
            let way = if at == NOON { "back" } else { "forward" };
            seen(format!(
                "{what}: clock set {way}, generation {generation} by itself after {} ms",
                took.as_millis()
            ));
        }
        Ok(())
    }

    /// Sets the clock into the night and back, faster and slower than a generation is made.
    fn double_steps(&self) -> Result<()> {
        let pauses = (0..=300).step_by(30);
        for pause in pauses.clone() {
            set_clock(NIGHT + 1)?;
            thread::sleep(Duration::from_millis(pause));
            set_clock(NOON)?;
            wait_for("noon is in force", || Ok(self.testbed.round()? == ALL))
                .with_context(|| format!("back after {pause} ms"))?;
            wait_for("the daemon knows that it is noon", || {
                Ok(resting(self.gateway)? == 1)
            })?;
        }
        seen(format!(
            "clock set forward and back within 0 to 300 ms, {} times: what is in force is right each time",
            pauses.count()
        ));
        Ok(())
    }

    /// A command with a duration ends after that time, whatever the clock says.
    fn command_stands(&self) -> Result<()> {
        self.gateway
            .ask("block", &["198.51.100.10", "--for", "10m"])?;
        for step in [DAY, -2 * DAY, DAY] {
            let now = seconds(ClockId::CLOCK_REALTIME)?;
            set_clock_and_wait(self.gateway, now + step)?;
            must_be("a block for 10 minutes", &self.testbed.round()?, &FILTERED)?;
        }
        self.gateway.ask("block", &["198.51.100.10", "--undo"])?;
        must_be("undone", &self.testbed.round()?, &ALL)?;
        seen(
            "`block --for 10m` stood while the clock was set a day forward, two back, one forward",
        );
        Ok(())
    }

    fn command_ends_in_time(&self, step: i64) -> Result<()> {
        const LENGTH: i64 = 12;
        let began = seconds(ClockId::CLOCK_BOOTTIME)?;
        self.gateway
            .ask("block", &["198.51.100.10", "--for", &format!("{LENGTH}s")])?;
        set_clock_and_wait(self.gateway, seconds(ClockId::CLOCK_REALTIME)? + step)?;
        let stood = changes(self.gateway)?;
        ensure!(
            stood == 1,
            "{stood} changes are in force after the clock was set"
        );
        wait_for("the block has ended", || Ok(changes(self.gateway)? == 0))?;
        let took = seconds(ClockId::CLOCK_BOOTTIME)? - began;
        ensure!(
            took >= LENGTH,
            "a block for {LENGTH} s ended after {took} s"
        );
        wait_for("the generation without it", || {
            Ok(self.testbed.round()? == ALL)
        })?;
        let way = if step > 0 { "forward" } else { "back" };
        seen(format!(
            "`block --for {LENGTH}s` with the clock set a day {way} meanwhile: ended after {took} s"
        ));
        Ok(())
    }

    /// Waits for the policy, not for the generation: another generation may be under way.
    fn change_policies(&self, text: &str, name: &str, then: Arrived) -> Result<()> {
        self.gateway.write_policies(text)?;
        wait_for("the changed file is in force", || {
            Ok(self.gateway.is_in_force(name)? && self.testbed.round()? == then)
        })
        .map(drop)
    }
}

/// Waits until the daemon has noticed.
fn set_clock_and_wait(gateway: &Gateway<'_>, at: i64) -> Result<()> {
    let noticed = || anyhow::Ok(gateway.said()?.matches("the clock was set").count());
    let before = noticed()?;
    set_clock(at)?;
    wait_for("the daemon notices that the clock was set", || {
        Ok(noticed()? > before)
    })
    .map(drop)
}
