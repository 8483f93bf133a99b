//! The kernel programs of the benchmarks: compiled when they are asked for, and
//! in no other object.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::Command;
use std::ptr::NonNull;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::{Array, Map};
use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, Pod};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::sets::DESTINATIONS;
use crate::system::Tree;

/// What one run does, as the programs that loop over destinations have it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// The first destination.
    pub(crate) first: u32,
    /// 1: which destination is next depends on what became of the last.
    pub(crate) chained: u32,
}

// SAFETY: integers without gaps, `repr(C)`.
unsafe impl Pod for Run {}

const TARGET: &str = "bpfel-unknown-none";

/// A time is of no less than this, where so many runs are enough.
const LEAST: Duration = Duration::from_millis(20);
const MOST_RUNS: u128 = 50;
/// What a program returns that went through all destinations.
const XDP_PASS: u32 = 2;

/// Compiles all of them, as the build script of `monitor` does the daemon's.
/// Where this was not started by cargo, it was before sudo was asked.
pub(crate) fn build(tree: &Tree) -> Result<()> {
    let Some(cargo) = std::env::var_os("CARGO") else {
        return Ok(());
    };
    let arch = std::env::consts::ARCH;
    let flags = format!(
        "target.{TARGET}.rustflags = ['--cfg', 'bpf_target_arch=\"{arch}\"', '-Clink-arg=--btf', '-Cdebuginfo=2']"
    );
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--package", "bench-ebpf"])
        .args(["--target", TARGET])
        .args(["-Z", "build-std=core", "--config", &flags, "--target-dir"])
        .arg(target(tree))
        .env("RUSTC_BOOTSTRAP", "1")
        .current_dir(&tree.root)
        .status()
        .context("cargo build")?;
    ensure!(
        built.success(),
        "cargo build of the benchmark's programs: {built}"
    );
    Ok(())
}

/// Where an object of this name lies.
pub(crate) fn path(tree: &Tree, name: &str) -> PathBuf {
    target(tree).join(TARGET).join("release").join(name)
}

fn target(tree: &Tree) -> PathBuf {
    tree.root.join("target/bench")
}

/// Writes the first elements of an array map.
pub(crate) fn fill_array<T: Pod>(ebpf: &mut Ebpf, name: &str, values: &[T]) -> Result<()> {
    let map = ebpf
        .map_mut(name)
        .with_context(|| format!("no map {name}"))?;
    let mut array: Array<_, T> = Array::try_from(map)?;
    for (index, value) in (0..).zip(values) {
        array
            .set(index, value, 0)
            .with_context(|| format!("{name}[{index}]"))?;
    }
    Ok(())
}

/// Nanoseconds for each destination of a program that loops over all of them, in
/// several runs, after one that finds the caches cold and is not counted.
pub(crate) fn time(program: &Xdp, frame: &[u8]) -> Result<f64> {
    let run = |repeat| -> Result<Duration> {
        let done = program.test_run(TestRunOptions {
            data_in: Some(frame),
            repeat,
            ..TestRunOptions::new()
        })?;
        ensure!(
            done.return_value == XDP_PASS,
            "a run did not go through all destinations"
        );
        Ok(done.duration)
    };
    let once = run(1)?.as_nanos().max(1);
    let runs = LEAST.as_nanos().div_ceil(once).clamp(1, MOST_RUNS);
    let duration = run(u32::try_from(runs)?)?;
    #[expect(clippy::cast_precision_loss, reason = "a power of two")]
    let each = DESTINATIONS as f64;
    Ok(duration.as_secs_f64() * 1e9 / each)
}

/// Writes the first elements of an array map that can be mapped, all at once;
/// elements are of a multiple of eight bytes.
pub(crate) fn fill_mapped<T: Pod>(ebpf: &Ebpf, name: &str, values: &[T]) -> Result<()> {
    let map = ebpf.map(name).with_context(|| format!("no map {name}"))?;
    let Map::Array(data) = map else {
        bail!("{name} is no array");
    };
    let Some(length) = NonZeroUsize::new(size_of_val(values)) else {
        return Ok(());
    };
    let rights = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new mapping, of elements that the map has: it was made for these.
    let memory = unsafe { mmap(None, length, rights, MapFlags::MAP_SHARED, data.fd(), 0) }
        .with_context(|| format!("map {name}"))?;
    // SAFETY: both reach for `length` bytes, and nothing else knows of the mapping.
    unsafe {
        memory
            .cast::<T>()
            .copy_from_nonoverlapping(NonNull::from(values).cast(), values.len());
        munmap(memory, length.get())?;
    }
    Ok(())
}
