//! The programs that the emulated machine needs, run from where they were
//! unpacked, with the libraries that came with them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::vm::packages::Suite;

const PACKAGES: [&str; 6] = [
    "qemu-system-x86",
    "busybox-static",
    "kmod",
    "iw",
    "hostapd",
    "wpasupplicant",
];

/// Unpacked packages and all that they need.
pub(crate) struct Tools {
    root: PathBuf,
}

impl Tools {
    /// Fetches and unpacks them, where they are not there yet.
    pub(crate) fn fetch(suite: &Suite) -> Result<Self> {
        let root = suite.unpack_whole(&PACKAGES, "tools")?;
        Ok(Self { root })
    }

    /// Those that were unpacked here.
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// The folder that they were unpacked into.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A program, such as `sbin/hostapd`.
    pub(crate) fn command(&self, program: &str) -> Command {
        let program = self.root.join("usr").join(program);
        let libraries = self.libraries();
        let mut command = Command::new(self.root.join("usr/lib64/ld-linux-x86-64.so.2"));
        command
            // kmod is known by the name that it is called by.
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

    /// Where qemu finds the machine's firmware.
    pub(crate) fn firmware(&self) -> [PathBuf; 2] {
        ["qemu", "seabios"].map(|folder| self.root.join("usr/share").join(folder))
    }

    fn libraries(&self) -> PathBuf {
        self.root.join("usr/lib/x86_64-linux-gnu")
    }
}
