//! What was measured on.

use std::fs;
use std::thread::available_parallelism;

use serde_json::{Value, json};

/// Processor, memory and kernel; what cannot be read is null.
pub(crate) fn describe() -> Value {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        let (_, value) = line.split_once(':')?;
        Some(value.trim().to_owned())
    };
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
    json!({
        "processor": field("/proc/cpuinfo", "model name"),
        "processors": available_parallelism().map(usize::from).ok(),
        "memory": field("/proc/meminfo", "MemTotal"),
        "kernel": release.map(|text| text.trim().to_owned()),
    })
}
