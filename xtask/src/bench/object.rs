//! The kernel programs of the benchmarks: `cargo xtask bench` compiles and loads them.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::{Array, Map};
use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, Pod};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::sets::DESTINATIONS;
use crate::system::{Tree, cargo_command};

/// Settings of one run; `Run` in `bench-ebpf/src/destinations.rs` has the same layout.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// Index of the first destination.
    pub(crate) first: u32,
    /// 1 if the next destination depends on the result of the previous one, else 0.
    pub(crate) chained: u32,
}

// SAFETY: integers without gaps, `repr(C)`.
unsafe impl Pod for Run {}

const TARGET: &str = "bpfel-unknown-none";

/// A measurement takes at least this time, unless that needs more than [`MOST_RUNS`] runs.
const LEAST: Duration = Duration::from_millis(20);
const MOST_RUNS: u128 = 50;
/// Return value of a program that processed all destinations.
const XDP_PASS: u32 = 2;

/// Compiles the programs as the build script of `monitor` compiles the filter. Does
/// nothing if cargo did not start this process: then this is the second process, started
/// by sudo, and the first one has compiled them.
pub(crate) fn build(tree: &Tree) -> Result<()> {
    let Some(cargo) = std::env::var_os("CARGO") else {
        return Ok(());
    };
    let arch = std::env::consts::ARCH;
    let flags = format!(
        "target.{TARGET}.rustflags = ['--cfg', 'bpf_target_arch=\"{arch}\"', '-Clink-arg=--btf', '-Cdebuginfo=2']"
    );
    let built = cargo_command(cargo)
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

/// Path of a compiled object.
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

/// Nanoseconds per destination of a program that loops over all destinations. The first
/// run warms the caches and is not counted.
pub(crate) fn time(program: &Xdp, frame: &[u8]) -> Result<f64> {
    let run = |repeat| -> Result<Duration> {
        let done = program.test_run(TestRunOptions {
            data_in: Some(frame),
            repeat,
            ..TestRunOptions::new()
        })?;
        ensure!(
            done.return_value == XDP_PASS,
            "a run did not process all destinations"
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

/// Writes the first elements of a mappable array map at once. The size of an element must
/// be a multiple of eight bytes.
pub(crate) fn fill_mapped<T: Pod>(ebpf: &Ebpf, name: &str, values: &[T]) -> Result<()> {
    let map = ebpf.map(name).with_context(|| format!("no map {name}"))?;
    let Map::Array(data) = map else {
        bail!("{name} is no array");
    };
    let Some(length) = NonZeroUsize::new(size_of_val(values)) else {
        return Ok(());
    };
    let rights = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: the mapping is new, and the map has as many elements.
    let memory = unsafe { mmap(None, length, rights, MapFlags::MAP_SHARED, data.fd(), 0) }
        .with_context(|| format!("map {name}"))?;
    // SAFETY: both regions have `length` bytes, and no other code uses the mapping.
    unsafe {
        memory
            .cast::<T>()
            .copy_from_nonoverlapping(NonNull::from(values).cast(), values.len());
        munmap(memory, length.get())?;
    }
    Ok(())
}
