//! Rights of this process, room on the disk, and features of the kernel.

use std::{io, path::Path};

use crate::{
    doctor::facts::{Disk, KernelFacts},
    free_space::free_bytes,
    regular_file,
    store::FILE,
};

/// The rights that a daemon needs, by the number of their bit (capabilities(7)).
const NEEDED: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (38, "CAP_PERFMON"), (39, "CAP_BPF")];

/// The bit of `CAP_SYS_ADMIN`, which includes `CAP_BPF` and `CAP_PERFMON`.
const SYS_ADMIN: u32 = 21;

/// The needed rights that this process lacks.
pub(super) fn missing_rights() -> io::Result<Vec<&'static str>> {
    let status = regular_file::read_kernel_text("/proc/self/status")?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    let effective = effective.ok_or_else(|| io::Error::other("/proc/self/status has no CapEff"))?;
    Ok(missing(effective))
}

fn missing(effective: u64) -> Vec<&'static str> {
    let has = |bit: u32| effective & 1 << bit != 0;
    let lacks = |(bit, _): &(u32, &str)| !(has(*bit) || *bit > 32 && has(SYS_ADMIN));
    NEEDED
        .into_iter()
        .filter(lacks)
        .map(|(_, name)| name)
        .collect()
}

/// Room of the state directory, whose store may have `most` bytes.
pub(super) fn disk(state_dir: &Path, most: u64) -> io::Result<Disk> {
    let log = format!("{FILE}-wal");
    let size = |name: &str| match std::fs::metadata(state_dir.join(name)) {
        Ok(found) => Ok(found.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    };
    Ok(Disk {
        free: free_bytes(state_dir)?,
        store: size(FILE)? + size(&log)?,
        most,
    })
}

/// What this kernel can do.
pub(super) fn kernel() -> KernelFacts {
    let features = crate::datapath::kernel_features();
    let setting = regular_file::read_kernel_text("/proc/sys/net/core/bpf_jit_enable");
    KernelFacts {
        version: features.version,
        copies: features.copies,
        has_tcx: features.has_tcx,
        // Without the setting, or without the right to read it, nothing is known.
        compiles: setting.is_err() || setting.is_ok_and(|text| text.trim() != "0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rights_that_are_missing_are_named() {
        assert!(missing(u64::MAX).is_empty());
        assert!(missing(1 << 12 | 1 << 38 | 1 << 39).is_empty());
        assert!(missing(1 << 12 | 1 << SYS_ADMIN).is_empty());
        assert_eq!(missing(1 << 12 | 1 << 39), ["CAP_PERFMON"]);
        assert_eq!(missing(1 << SYS_ADMIN), ["CAP_NET_ADMIN"]);
        assert_eq!(missing(0).len(), 3);
    }
}
