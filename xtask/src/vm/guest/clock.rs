//! Time that jumps: the clock is set over edges of a schedule and over an end,
//! and the machine sleeps through them, while a daemon runs that nobody asks.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};

use super::gateway::Gateway;
use super::phone::{ALL, Arrived, FILTERED, Servers, WiredPhone};
use super::{Guest, must_be, seen, wait_for};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// 2027-01-15T12:00:00Z, in seconds since 1970.
const NOON: i64 = 1_800_014_400;
/// The schedule's edge on that day.
const NIGHT: i64 = NOON + 10 * HOUR;

const AT_NIGHT: &str = "version: 1
policies:
  - name: at-night
    action: drop
    destinations: [198.51.100.0/24]
    schedule: {from: \"22:00\", to: \"06:00\", timezone: UTC}
";
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
    guest.load_modules(&["veth"])?;
    let bench = Bench {
        phone: WiredPhone::connect("lan0", 1)?,
        servers: Servers::start()?,
    };
    set_clock(NOON)?;
    let mut gateway = Gateway::new(guest, "clock", AT_NIGHT)?;
    gateway.start("lan0", &[])?;
    bench.steps(&gateway, "the schedule", NIGHT + 1, FILTERED)?;
    bench.steps(
        &gateway,
        "the schedule, 30 days on",
        NIGHT + 30 * DAY,
        FILTERED,
    )?;
    bench.double_steps(&gateway)?;
    bench.sleep_into_night(&gateway)?;

    set_clock(NOON)?;
    bench.change_policies(&gateway, UNTIL_MIDNIGHT, FILTERED)?;
    bench.steps(&gateway, "the end", NOON + DAY, ALL)?;

    bench.change_policies(&gateway, NOTHING, ALL)?;
    bench.commands(&gateway)?;
    bench.sleep_over_the_end(&gateway)?;

    let said = gateway.said()?;
    let errors: Vec<&str> = said.lines().filter(|line| line.contains("ERROR")).collect();
    ensure!(errors.is_empty(), "the daemon said: {}", errors.join("\n"));
    gateway.detach("lan0")
}

/// What the filter is tried with.
struct Bench {
    phone: WiredPhone,
    servers: Servers,
}

impl Bench {
    /// Steps the clock from noon to `there` and back; each makes a generation.
    fn steps(&self, gateway: &Gateway<'_>, what: &str, there: i64, then: Arrived) -> Result<()> {
        let noon = self.round()?;
        for (at, expected) in [(there, then), (NOON, noon)] {
            let before = gateway.generation("lan0")?;
            set_clock(at)?;
            let took = wait_for("the generation that the new time asks for", || {
                Ok(gateway.generation("lan0")? != before)
            })
            .with_context(|| format!("{what}: the clock was set to {at}"))?;
            let generation = gateway.generation("lan0")?;
            must_be("generation", &generation, &(before + 1))?;
            must_be(what, &self.round()?, &expected)?;
            let way = if at == NOON { "back" } else { "forward" };
            seen(format!(
                "{what}: clock set {way}, generation {generation} by itself after {} ms",
                took.as_millis()
            ));
        }
        Ok(())
    }

    /// Into the night and back, faster than a generation is made and slower.
    fn double_steps(&self, gateway: &Gateway<'_>) -> Result<()> {
        let pauses = (0..=300).step_by(30);
        for pause in pauses.clone() {
            set_clock(NIGHT + 1)?;
            thread::sleep(Duration::from_millis(pause));
            set_clock(NOON)?;
            wait_for("noon is in force", || Ok(self.round()? == ALL))
                .with_context(|| format!("back after {pause} ms"))?;
            wait_for("the daemon knows that it is noon", || {
                Ok(!resting(gateway)?.is_empty())
            })?;
        }
        seen(format!(
            "clock set forward and back within 0 to 300 ms, {} times: what is in force is right each time",
            pauses.count()
        ));
        Ok(())
    }

    /// Sleeps from just before the edge until after it.
    fn sleep_into_night(&self, gateway: &Gateway<'_>) -> Result<()> {
        const BEFORE: i64 = 3;
        set_clock(NIGHT - BEFORE)?;
        wait_for("the evening is known", || Ok(!resting(gateway)?.is_empty()))?;
        let before = gateway.generation("lan0")?;
        let asleep = sleep_for(8)?;
        let woke = Instant::now();
        let now = seconds(ClockId::CLOCK_REALTIME)?;
        ensure!(
            now >= NIGHT,
            "the clock says {now} after sleeping: before the edge"
        );
        wait_for("the edge's generation", || {
            Ok(gateway.generation("lan0")? != before)
        })?;
        let took = woke.elapsed();
        must_be("after waking", &self.round()?, &FILTERED)?;
        seen(format!(
            "slept {asleep} s across the edge: the night's generation was in force {} ms after waking",
            took.as_millis()
        ));
        set_clock(NOON)?;
        wait_for("noon again", || Ok(self.round()? == ALL)).map(drop)
    }

    /// What commands change for a while ends by time that passes, not by the clock.
    fn commands(&self, gateway: &Gateway<'_>) -> Result<()> {
        gateway.ask("block", &["198.51.100.10", "--for", "10m"])?;
        for step in [DAY, -2 * DAY, DAY] {
            let now = seconds(ClockId::CLOCK_REALTIME)?;
            set_clock_and_wait(gateway, now + step)?;
            must_be("a block for 10 minutes", &self.round()?, &FILTERED)?;
        }
        gateway.ask("block", &["198.51.100.10", "--undo"])?;
        must_be("undone", &self.round()?, &ALL)?;
        seen(
            "`block --for 10m` stood while the clock was set a day forward, two back, one forward",
        );
        for step in [DAY, -DAY] {
            self.command_ends_in_time(gateway, step)?;
        }
        Ok(())
    }

    fn command_ends_in_time(&self, gateway: &Gateway<'_>, step: i64) -> Result<()> {
        const LENGTH: i64 = 12;
        let began = seconds(ClockId::CLOCK_BOOTTIME)?;
        gateway.ask("block", &["198.51.100.10", "--for", &format!("{LENGTH}s")])?;
        set_clock_and_wait(gateway, seconds(ClockId::CLOCK_REALTIME)? + step)?;
        let stood = changes(gateway)?;
        ensure!(stood == 1, "{stood} changes stand after the clock was set");
        wait_for("the block has ended", || Ok(changes(gateway)? == 0))?;
        let took = seconds(ClockId::CLOCK_BOOTTIME)? - began;
        ensure!(
            took >= LENGTH,
            "a block for {LENGTH} s ended after {took} s"
        );
        wait_for("the generation without it", || Ok(self.round()? == ALL))?;
        let way = if step > 0 { "forward" } else { "back" };
        seen(format!(
            "`block --for {LENGTH}s` with the clock set a day {way} meanwhile: ended after {took} s"
        ));
        Ok(())
    }

    /// Sleep counts: a block that ends meanwhile is gone on waking.
    fn sleep_over_the_end(&self, gateway: &Gateway<'_>) -> Result<()> {
        const LENGTH: i64 = 4;
        gateway.ask("block", &["198.51.100.10", "--for", &format!("{LENGTH}s")])?;
        must_be("blocked", &changes(gateway)?, &1)?;
        let asleep = sleep_for(8)?;
        let woke = Instant::now();
        wait_for("the block has ended", || Ok(changes(gateway)? == 0))?;
        let took = woke.elapsed();
        wait_for("the generation without it", || Ok(self.round()? == ALL))?;
        seen(format!(
            "`block --for {LENGTH}s`, then slept {asleep} s: gone {} ms after waking",
            took.as_millis()
        ));
        Ok(())
    }

    fn change_policies(&self, gateway: &Gateway<'_>, text: &str, then: Arrived) -> Result<()> {
        let before = gateway.generation("lan0")?;
        gateway.write_policies(text)?;
        wait_for("the changed file is in force", || {
            Ok(gateway.generation("lan0")? != before)
        })?;
        must_be("the changed file", &self.round()?, &then)
    }

    fn round(&self) -> Result<Arrived> {
        self.servers.round(&self.phone.namespace)
    }
}

/// Enabled policies that do nothing now.
fn resting(gateway: &Gateway<'_>) -> Result<Vec<String>> {
    let status = gateway.ask("status", &[])?;
    let resting = status["daemon"]["resting"].as_array().context("resting")?;
    Ok(resting
        .iter()
        .map(|entry| entry["policy"].to_string())
        .collect())
}

/// How many changes by command stand.
fn changes(gateway: &Gateway<'_>) -> Result<usize> {
    let status = gateway.ask("status", &[])?;
    let changes = status["daemon"]["changes"].as_array().context("changes")?;
    Ok(changes.len())
}

/// Until the daemon has noticed.
fn set_clock_and_wait(gateway: &Gateway<'_>, at: i64) -> Result<()> {
    let noticed = || anyhow::Ok(gateway.said()?.matches("the clock was set").count());
    let before = noticed()?;
    set_clock(at)?;
    wait_for("the daemon notices that the clock was set", || {
        Ok(noticed()? > before)
    })
    .map(drop)
}

/// Seconds since 1970.
fn set_clock(at: i64) -> Result<()> {
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::new(at, 0)).context("set the clock")
}

fn seconds(clock: ClockId) -> Result<i64> {
    Ok(clock_gettime(clock).context("a clock")?.tv_sec())
}

/// Suspends to idle, woken by the machine's own clock; the seconds it slept.
fn sleep_for(length: u32) -> Result<i64> {
    let asleep = || {
        let [all, awake] = [ClockId::CLOCK_BOOTTIME, ClockId::CLOCK_MONOTONIC].map(seconds);
        anyhow::Ok(all? - awake?)
    };
    let before = asleep()?;
    let alarm = "/sys/class/rtc/rtc0/wakealarm";
    fs::write(alarm, "0").context(alarm)?;
    fs::write(alarm, format!("+{length}")).context(alarm)?;
    fs::write("/sys/power/state", "freeze").context("sleep")?;
    let slept = asleep()? - before;
    ensure!(slept > 0, "the machine did not sleep");
    Ok(slept)
}
