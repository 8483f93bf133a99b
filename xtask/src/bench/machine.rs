//! Description of the machine that the benchmark ran on.

use std::fs;
use std::thread::available_parallelism;

use serde_json::{Value, json};

/// Processor with its caches, memory, and kernel. A value that cannot be read is null.
pub(crate) fn describe() -> Value {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        let (_, value) = line.split_once(':')?;
        Some(value.trim().to_owned())
    };
    let word = |file: &str| Some(fs::read_to_string(file).ok()?.trim().to_owned());
    let cache = |index: u32| {
        word(&format!(
            "/sys/devices/system/cpu/cpu0/cache/index{index}/size"
        ))
    };
    json!({
        "processor": field("/proc/cpuinfo", "model name"),
        "family": field("/proc/cpuinfo", "cpu family"),
        "model": field("/proc/cpuinfo", "model\t"),
        "first-level data cache": cache(0),
        "second-level cache": cache(2),
        "third-level cache": cache(3),
        "safe returns": word("/sys/devices/system/cpu/vulnerabilities/spec_rstack_overflow"),
        "processors": available_parallelism().map(usize::from).ok(),
        "memory": field("/proc/meminfo", "MemTotal"),
        "kernel": word("/proc/sys/kernel/osrelease"),
    })
}
