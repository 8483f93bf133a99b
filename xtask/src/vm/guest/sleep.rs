//! The machine sleeps (ACPI S3, woken by its own clock) across the edge of a
//! schedule and across the end of a command. Sleep resets the devices, so the
//! host's files cannot be read after it: this is the last scenario of a machine,
//! and what it needs is copied into memory first.

use std::fs;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::time::ClockId;

use super::gateway::Gateway;
use super::phone::{ALL, FILTERED};
use super::time::{AT_NIGHT, Bench, NIGHT, NOON, changes, resting, seconds, set_clock};
use super::{Guest, must_be, seen, wait_for};
use crate::system::output;
use crate::vm::tools::Tools;

const IN_MEMORY: &str = "/run/in-memory";
/// How long the machine sleeps, in seconds.
const ASLEEP: u32 = 8;

pub(super) fn play(guest: &Guest) -> Result<()> {
    // Taking it down needs programs that cannot be read then.
    let bench = ManuallyDrop::new(Bench::make(guest, "lan9", 19)?);
    let guest = in_memory(guest)?;
    set_clock(NOON)?;
    let mut gateway = Gateway::new(&guest, "sleep", AT_NIGHT)?;
    gateway.start("lan9", &[])?;
    into_night(&gateway, &bench)?;
    over_the_end(&gateway, &bench)?;
    before_the_end(&gateway, &bench)?;
    gateway.must_have_no_errors()?;
    gateway.stop()
}

/// Across the edge of a schedule.
fn into_night(gateway: &Gateway<'_>, bench: &Bench) -> Result<()> {
    set_clock(NIGHT - 4)?;
    wait_for("the evening is known", || Ok(resting(gateway)? == 1))?;
    must_be("in the evening", &bench.round()?, &ALL)?;
    let before = gateway.generation("lan9")?;
    let slept = sleep()?;
    let woke = Instant::now();
    let now = seconds(ClockId::CLOCK_REALTIME)?;
    ensure!(
        now >= NIGHT,
        "{now} after waking: the edge was not slept over"
    );
    wait_for("the edge's generation", || {
        Ok(gateway.generation("lan9")? != before)
    })?;
    let took = woke.elapsed().as_millis();
    must_be("after waking", &bench.round()?, &FILTERED)?;
    seen(format!(
        "slept {slept} s across the edge: the night's generation was in force {took} ms after waking"
    ));
    set_clock(NOON)?;
    wait_for("noon again", || Ok(bench.round()? == ALL)).map(drop)
}

/// Sleep counts: what ends meanwhile is gone on waking.
fn over_the_end(gateway: &Gateway<'_>, bench: &Bench) -> Result<()> {
    gateway.ask("block", &["198.51.100.10", "--for", "6s"])?;
    must_be("changes", &changes(gateway)?, &1)?;
    let slept = sleep()?;
    let woke = Instant::now();
    wait_for("the block has ended", || Ok(changes(gateway)? == 0))?;
    let took = woke.elapsed().as_millis();
    wait_for("the generation without it", || Ok(bench.round()? == ALL))?;
    seen(format!(
        "`block --for 6s`, then slept {slept} s: gone {took} ms after waking"
    ));
    Ok(())
}

fn before_the_end(gateway: &Gateway<'_>, bench: &Bench) -> Result<()> {
    gateway.ask("block", &["198.51.100.10", "--for", "10m"])?;
    let slept = sleep()?;
    must_be("changes", &changes(gateway)?, &1)?;
    must_be(
        "blocked for longer than the sleep",
        &bench.round()?,
        &FILTERED,
    )?;
    gateway.ask("block", &["198.51.100.10", "--undo"])?;
    must_be("undone", &bench.round()?, &ALL)?;
    seen(format!("`block --for 10m` stood after {slept} s of sleep"));
    Ok(())
}

/// The seconds that it slept, as the kernel counts them.
fn sleep() -> Result<i64> {
    let asleep = || {
        let all = seconds(ClockId::CLOCK_BOOTTIME)?;
        anyhow::Ok(all - seconds(ClockId::CLOCK_MONOTONIC)?)
    };
    let before = asleep()?;
    for (file, value) in [
        ("/sys/power/mem_sleep", "deep"),
        ("/sys/class/rtc/rtc0/wakealarm", "0"),
        ("/sys/class/rtc/rtc0/wakealarm", &format!("+{ASLEEP}")),
        ("/sys/power/state", "mem"),
    ] {
        fs::write(file, value).with_context(|| format!("{value} to {file}"))?;
    }
    let slept = asleep()? - before;
    ensure!(slept > 0, "the machine did not sleep");
    Ok(slept)
}

/// Copies the daemon with its libraries, and keeps this process in memory.
fn in_memory(guest: &Guest) -> Result<Guest> {
    fs::create_dir(IN_MEMORY).context(IN_MEMORY)?;
    let [monitor] = &guest.monitor[..] else {
        anyhow::bail!("it is in memory already");
    };
    let copied = |file: &Path| -> Result<String> {
        let name = file.file_name().context("a file without a name")?;
        let copy = Path::new(IN_MEMORY).join(name);
        fs::copy(file, &copy).with_context(|| file.display().to_string())?;
        Ok(copy.display().to_string())
    };
    let mut loader = None;
    let libraries = output(Command::new("ldd").arg(monitor))?;
    let files = libraries.split_whitespace();
    for library in files.filter(|word| word.starts_with('/')) {
        let copy = copied(Path::new(library))?;
        if library.contains("/ld-linux") {
            loader = Some(copy);
        }
    }
    let loader = loader.with_context(|| format!("no loader among {libraries}"))?;
    let path = ["--library-path".to_owned(), IN_MEMORY.to_owned()];
    let program = copied(Path::new(monitor))?;
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE).context("mlockall")?;
    Ok(Guest {
        monitor: [vec![loader], path.to_vec(), vec![program]].concat(),
        tools: Tools::at(guest.tools.root().to_owned()),
        kernel: guest.kernel.clone(),
    })
}
