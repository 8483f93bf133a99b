//! Fuzzing for a chosen time: libFuzzer on every reader of untrusted bytes, and the kernel
//! program on damaged frames and on frames that try to evade it.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::SystemTime,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::system::cargo_command;

/// A target that is a test of `monitor`. It needs root and a kernel.
struct KernelTarget {
    name: &'static str,
    /// File in `monitor/tests`.
    file: &'static str,
    /// First part of the names of its tests.
    tests: &'static str,
}

/// The targets that run without libFuzzer.
const KERNEL_TARGETS: [KernelTarget; 2] = [
    KernelTarget {
        name: "evasion",
        file: "evasion",
        tests: "nothing_gets_past_the_filter",
    },
    KernelTarget {
        name: "xdp",
        file: "offline",
        tests: "hostile_frames::damaged_real_frames",
    },
];

/// Bytes at the start of a file of real data that become a seed.
const CUT: usize = 4096;

/// The options of `cargo xtask fuzz`.
#[derive(Args)]
pub(crate) struct FuzzArguments {
    /// Target: a folder of fuzz/corpus, `database`, `evasion` or `xdp` (default: all targets, one after another).
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Seconds for each target.
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
}

/// Result of a target.
struct TargetResult {
    target: String,
    executions: u64,
    /// Files with the inputs that failed.
    findings: Vec<PathBuf>,
}

pub(crate) fn run(root: &Path, arguments: &FuzzArguments) -> Result<()> {
    let all = targets(root)?;
    let wanted = match &arguments.target {
        Some(name) if all.contains(name) => vec![name.clone()],
        Some(name) => bail!("no target {name}: the targets are {}", all.join(", ")),
        None => all,
    };
    if wanted.iter().any(|name| kernel_target(name).is_none()) {
        build(root)?;
    }
    let mut failed = false;
    let mut rows = Vec::new();
    for name in wanted {
        let ran = match kernel_target(&name) {
            Some(target) => run_kernel_target(root, target, arguments.seconds),
            None => run_target(root, &name, arguments.seconds),
        }?;
        failed |= !ran.findings.is_empty();
        rows.push(ran);
    }
    print_rows(&rows, arguments.seconds);
    ensure!(!failed, "a target failed: see the files above");
    Ok(())
}

/// Names of all targets: the files of `fuzz/fuzz_targets`.
fn targets(root: &Path) -> Result<Vec<String>> {
    let directory = root.join("fuzz/fuzz_targets");
    let files = fs::read_dir(&directory).with_context(|| directory.display().to_string())?;
    let mut names: Vec<String> = KERNEL_TARGETS
        .iter()
        .map(|target| target.name.to_owned())
        .collect();
    for file in files {
        let path = file?.path();
        names.extend(path.file_stem().and_then(OsStr::to_str).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// Directory in which cargo builds, found as `xtask/setup.sh` finds it.
pub(crate) fn target_directory(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

fn directory(root: &Path) -> PathBuf {
    target_directory(root).join("fuzz")
}

/// Builds all fuzzers with the pinned toolchain. `RUSTC_BOOTSTRAP` allows the sanitizer,
/// an unstable feature.
fn build(root: &Path) -> Result<()> {
    perform(Command::new(root.join("xtask/setup.sh")).arg("--fuzz"))?;
    let mut command = Command::new(target_directory(root).join("tools/bin/cargo-fuzz"));
    command
        .args(["fuzz", "build", "--debug-assertions", "--no-cfg-fuzzing"])
        .args(["--features", "libfuzzer", "--target-dir"])
        .arg(directory(root))
        .env("RUSTC_BOOTSTRAP", "1")
        .current_dir(root);
    perform(&mut command)
}

fn run_target(root: &Path, name: &str, seconds: u64) -> Result<TargetResult> {
    let directory = directory(root);
    let corpus = directory.join("corpus").join(name);
    let artifacts = directory.join("artifacts").join(name);
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&artifacts)?;
    let mut command = Command::new(binary(&directory, name)?);
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        // Limits for a few kilobytes of input: a second, and the small memory of a gateway.
        .args(["-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"])
        .arg("-max_len=8192")
        .arg(corpus)
        .args(seeds(root, name)?);
    let lines = lines_of(&mut command)?;
    let executions = lines.iter().rev().find_map(|line| {
        let count = line.strip_prefix("stat::number_of_executed_units:")?;
        count.trim().parse().ok()
    });
    Ok(TargetResult {
        target: name.to_owned(),
        executions: executions.unwrap_or_default(),
        findings: findings(&artifacts)?,
    })
}

fn binary(directory: &Path, name: &str) -> Result<PathBuf> {
    let triple = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let binary = directory.join(triple).join("release").join(name);
    ensure!(binary.exists(), "{} was not built", binary.display());
    Ok(binary)
}

/// Makes the seeds: the committed corpus, and the start of each file of real data, if
/// there is any.
fn seeds(root: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let target = monitor_fuzz::TARGETS
        .iter()
        .find(|target| target.name == name);
    let target = target.with_context(|| format!("monitor-fuzz has no target {name}"))?;
    let mut places: Vec<PathBuf> = monitor_fuzz::seeds::places(target)
        .into_iter()
        .filter(|place| place.is_dir())
        .collect();
    let data = env::var_os("MONITOR_TEST_DATA");
    let data = data.map_or_else(|| root.join("../shared/data"), PathBuf::from);
    let from = match name {
        "capture" => data.join("captures"),
        "list" | "feed" => data.join("ranges"),
        _ => return Ok(places),
    };
    if from.is_dir() {
        let cut = directory(root).join("real").join(name);
        cut_all(&from, &cut)?;
        places.push(cut);
    }
    Ok(places)
}

fn cut_all(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for file in fs::read_dir(from)? {
        let path = file?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            let mut bytes = fs::read(&path)?;
            bytes.truncate(CUT);
            fs::write(to.join(name), bytes)?;
        }
    }
    Ok(())
}

fn findings(directory: &Path) -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(directory)?.map(|file| Ok(file?.path()));
    let mut found = files.collect::<Result<Vec<_>>>()?;
    found.sort();
    Ok(found)
}

fn kernel_target(name: &str) -> Option<&'static KernelTarget> {
    KERNEL_TARGETS.iter().find(|target| target.name == name)
}

/// Runs a target that is a test of `monitor`, for the chosen time and with a new seed.
fn run_kernel_target(root: &Path, target: &KernelTarget, seconds: u64) -> Result<TargetResult> {
    const SEED: &str = "MONITOR_TEST_SEED";
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = cargo_command(cargo);
    command
        .args(["test", "--release", "--package", "monitor"])
        .args(["--test", target.file, "--", target.tests, "--nocapture"])
        // All tests run at the same time, each for the chosen time.
        .arg("--test-threads=8")
        .env("MONITOR_FUZZ_SECONDS", seconds.to_string())
        .current_dir(root);
    if env::var_os(SEED).is_none() {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        command.env(SEED, now.as_secs().to_string());
    }
    let failed = target_directory(root)
        .join("tmp")
        .join(format!("{}-failed", target.name));
    remove_files(&failed)?;
    let lines = lines_of(&mut command)?;
    let counts = lines.iter().filter_map(|line| {
        let (_, count) = line.split_once("executions: ")?;
        count.trim().parse::<u64>().ok()
    });
    let executions = counts.sum();
    ensure!(
        executions > 0,
        "the tests did not say how many frames they ran"
    );
    let findings = if failed.is_dir() {
        findings(&failed)?
    } else {
        Vec::new()
    };
    let passed = lines.iter().any(|line| line.starts_with("test result: ok"));
    ensure!(
        passed || !findings.is_empty(),
        "{}: the tests failed",
        target.name
    );
    Ok(TargetResult {
        target: target.name.to_owned(),
        executions,
        findings,
    })
}

/// Removes the findings of earlier runs.
fn remove_files(directory: &Path) -> Result<()> {
    if directory.is_dir() {
        for file in findings(directory)? {
            fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
        }
    }
    Ok(())
}

/// Runs a command, shows both of its outputs, and returns them. A fuzzer that found a
/// failing input also fails; the input is in a file.
fn lines_of(command: &mut Command) -> Result<Vec<String>> {
    let shown = crate::system::display(command);
    println!("{shown}");
    let (reader, writer) = std::io::pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command.spawn().with_context(|| shown.clone())?;
    // The command holds copies of the pipe's writing end. Reading ends only when all are
    // closed.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut lines = Vec::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        lines.push(line);
    }
    let status = child.wait()?;
    if !status.success() {
        println!("{shown}: {status}");
    }
    Ok(lines)
}

fn perform(command: &mut Command) -> Result<()> {
    let shown = crate::system::display(command);
    let status = command.status().with_context(|| shown.clone())?;
    ensure!(status.success(), "{shown}: {status}");
    Ok(())
}

fn print_rows(rows: &[TargetResult], seconds: u64) {
    println!(
        "\n{:10} {:>12} {:>8}  ({seconds} s each)",
        "target", "executions", "findings"
    );
    for row in rows {
        let (name, found) = (&row.target, row.findings.len());
        println!("{name:10} {:>12} {found:>8}", row.executions);
        for file in &row.findings {
            println!("  {}", file.display());
        }
    }
    let sum: u64 = rows.iter().map(|row| row.executions).sum();
    println!("{:10} {sum:>12}", "sum");
}
