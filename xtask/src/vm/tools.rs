//! Programs of the emulated machine, run from their unpacked packages with the libraries
//! from there.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::vm::packages::Suite;

const PACKAGES: [&str; 7] = [
    "qemu-system-x86",
    "busybox-static",
    "kmod",
    "iw",
    "hostapd",
    "wpasupplicant",
    "nftables",
];

/// Unpacked packages with their dependencies.
pub(crate) struct Tools {
    root: PathBuf,
}

impl Tools {
    /// Fetches and unpacks the packages, unless that was done before.
    pub(crate) fn fetch(suite: &Suite) -> Result<Self> {
        let root = suite.unpack_whole(&PACKAGES, "tools")?;
        Ok(Self { root })
    }

    /// The packages in this folder.
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// The folder of the unpacked packages.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Command to run a program such as `sbin/hostapd`.
    pub(crate) fn command(&self, program: &str) -> Command {
        let program = self.root.join("usr").join(program);
        let libraries = self.libraries();
        let mut command = Command::new(self.root.join("usr/lib64/ld-linux-x86-64.so.2"));
        command
            // kmod acts by the name under which it is called.
            .arg("--argv0")
            .arg(&program)
            .arg("--library-path")
            .arg(&libraries)
            .arg(&program)
            .env("QEMU_MODULE_DIR", libraries.join("qemu"));
        command
    }

    /// busybox, which needs no libraries.
    pub(crate) fn busybox(&self) -> PathBuf {
        self.root.join("usr/bin/busybox")
    }

    /// The folder of the machine's firmware for qemu.
    pub(crate) fn firmware(&self) -> [PathBuf; 2] {
        ["qemu", "seabios"].map(|folder| self.root.join("usr/share").join(folder))
    }

    fn libraries(&self) -> PathBuf {
        self.root.join("usr/lib/x86_64-linux-gnu")
    }
}
