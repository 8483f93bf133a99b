//! The version of the running kernel: tests expect what it can do.

use std::fs;

/// True if the running kernel is Linux `version` (major, minor) or later.
pub(crate) fn kernel_is_at_least(version: [u32; 2]) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release
        .split(['.', '-'])
        .map(|number| number.parse().unwrap());
    [numbers.next().unwrap(), numbers.next().unwrap()] >= version
}
