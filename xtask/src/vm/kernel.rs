//! Debian's kernels, unpacked and prepared for `modprobe`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;

use crate::system::output;
use crate::vm::packages::Suite;
use crate::vm::tools::Tools;

/// A kernel version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Version {
    /// Debian 11.
    #[value(name = "5.10")]
    V5_10,
    /// Debian 12.
    #[value(name = "6.1")]
    V6_1,
    /// Debian 13.
    #[value(name = "6.12")]
    V6_12,
    /// The newest one for Debian 13.
    #[value(name = "7")]
    V7,
}

impl Version {
    /// The Debian suite with this kernel.
    pub(crate) const fn suite(self) -> &'static str {
        match self {
            Self::V5_10 => "bullseye",
            Self::V6_1 => "bookworm",
            Self::V6_12 => "trixie",
            Self::V7 => "trixie-backports",
        }
    }

    /// Where the kernel is from, for people.
    pub(crate) const fn origin(self) -> &'static str {
        match self {
            Self::V5_10 => "Debian 11",
            Self::V6_1 => "Debian 12",
            Self::V6_12 => "Debian 13",
            Self::V7 => "Debian 13 backports",
        }
    }
}

/// A kernel and its modules.
pub(crate) struct Kernel {
    /// The output of `uname -r`.
    pub(crate) release: String,
    /// The folder with the kernel and `lib/modules`.
    pub(crate) root: PathBuf,
}

impl Kernel {
    /// Fetches and unpacks the kernel, unless that was done before.
    pub(crate) fn fetch(suite: &Suite, tools: &Tools) -> Result<Self> {
        let needed = suite.depends("linux-image-amd64")?;
        let image = needed.iter().find_map(|name| {
            let release = name.strip_prefix("linux-image-")?;
            Some((name, release.to_owned()))
        });
        let (package, release) = image.context("linux-image-amd64 depends on no kernel")?;
        // Since Linux 7, kernel, modules and the list of built-in modules are packages of
        // their own.
        let mut parts = suite.depends(package)?;
        parts.retain(|part| {
            ["linux-base-", "linux-binary-", "linux-modules-"]
                .iter()
                .any(|kind| part.strip_prefix(kind) == Some(release.as_str()))
        });
        if parts.is_empty() {
            parts.push(package.clone());
        }
        let root = suite.unpack_alone(&parts, package)?;
        let kernel = Self { release, root };
        kernel.index_modules(tools)?;
        Ok(kernel)
    }

    /// Path of the compressed kernel.
    pub(crate) fn image(&self) -> PathBuf {
        let release = &self.release;
        let in_boot = self.root.join(format!("boot/vmlinuz-{release}"));
        if in_boot.exists() {
            return in_boot;
        }
        self.root.join(format!("usr/lib/modules/{release}/vmlinuz"))
    }

    /// Files of the modules and their dependencies, in loading order.
    pub(crate) fn modules(&self, names: &[&str], tools: &Tools) -> Result<Vec<PathBuf>> {
        let mut command = tools.command("sbin/modprobe");
        command
            .arg("--dirname")
            .arg(&self.root)
            .args(["--set-version", &self.release, "--show-depends", "--all"])
            .args(names);
        let listed = output(&mut command)?;
        let mut files: Vec<PathBuf> = Vec::new();
        for file in listed
            .lines()
            .filter_map(|line| line.strip_prefix("insmod "))
        {
            let file = PathBuf::from(file.trim());
            if !files.contains(&file) {
                files.push(file);
            }
        }
        ensure!(!files.is_empty(), "modprobe lists no modules:\n{listed}");
        Ok(files)
    }

    /// Runs `depmod`, as the installation of the package would.
    fn index_modules(&self, tools: &Tools) -> Result<()> {
        link_where_absent(&self.root.join("lib"), Path::new("usr/lib"))?;
        let modules = self.root.join("lib/modules").join(&self.release);
        if modules.join("modules.dep").exists() {
            return Ok(());
        }
        let mut command = tools.command("sbin/depmod");
        command.arg("--basedir").arg(&self.root).arg(&self.release);
        output(&mut command).map(drop)
    }
}

fn link_where_absent(link: &Path, target: &Path) -> Result<()> {
    if fs::symlink_metadata(link).is_ok() {
        return Ok(());
    }
    symlink(target, link).with_context(|| link.display().to_string())
}
