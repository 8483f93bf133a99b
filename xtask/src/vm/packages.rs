//! Debian packages, fetched by apt with separate sources and package lists, and unpacked
//! below target. Nothing is installed, and no service is started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::system::output;

const MIRROR: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A Debian suite.
pub(crate) struct Suite {
    name: &'static str,
    directory: PathBuf,
}

impl Suite {
    /// Fetches the package lists, unless that was done before.
    pub(crate) fn open(name: &'static str, directory: PathBuf) -> Result<Self> {
        ensure!(
            Path::new(KEYRING).exists(),
            "{KEYRING} is not there: this needs Debian's keys (package debian-archive-keyring)"
        );
        let suite = Self { name, directory };
        for part in ["lists/partial", "archives/partial"] {
            let part = suite.apt_directory().join(part);
            fs::create_dir_all(&part).with_context(|| part.display().to_string())?;
        }
        let lists = suite.apt_directory().join("updated");
        if !lists.exists() {
            println!("Debian {name}: fetching its list of packages");
            let source = format!("deb [signed-by={KEYRING}] {MIRROR} {name} main\n");
            suite.write("sources.list", &source)?;
            // An empty status file: apt then lists all dependencies.
            suite.write("status", "")?;
            output(suite.apt("apt-get").args(["--error-on=any", "update"]))
                .with_context(|| format!("Debian {name} cannot be reached at {MIRROR}"))?;
            suite.write("updated", "")?;
        }
        Ok(suite)
    }

    /// Names of the packages that the package `name` needs.
    pub(crate) fn depends(&self, name: &str) -> Result<Vec<String>> {
        let listed = output(self.apt("apt-cache").args(["--important", "depends", name]))
            .with_context(|| format!("Debian {}: no package {name}", self.name))?;
        let needed = listed
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "));
        Ok(needed.map(str::to_owned).collect())
    }

    /// Unpacks these packages without their dependencies into `folder` below this suite's
    /// directory.
    pub(crate) fn unpack_alone(&self, names: &[String], folder: &str) -> Result<PathBuf> {
        self.unpack(folder, |archives| {
            let mut command = self.apt("apt-get");
            command.arg("download").args(names).current_dir(archives);
            output(&mut command).map(drop)
        })
    }

    /// Unpacks packages and their dependencies.
    pub(crate) fn unpack_whole(&self, names: &[&str], folder: &str) -> Result<PathBuf> {
        self.unpack(folder, |archives| {
            let mut command = self.apt("apt-get");
            command
                .arg("-o")
                .arg(format!("Dir::Cache::archives={}", archives.display()))
                .args(["--no-install-recommends", "--download-only", "--yes"])
                .arg("install")
                .args(names);
            output(&mut command).map(drop)
        })
    }

    /// Makes a folder in one step: it is complete or missing.
    fn unpack(&self, folder: &str, fetch: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let whole = self.directory.join(folder);
        if whole.exists() {
            return Ok(whole);
        }
        println!("Debian {}: fetching {folder}", self.name);
        let [new, archives] = ["new", "archives"].map(|kind| self.directory.join(kind));
        for directory in [&new, &archives] {
            let _absent = fs::remove_dir_all(directory);
            fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        }
        fs::create_dir(archives.join("partial")).context("a place for archives")?;
        fetch(&archives).with_context(|| format!("Debian {}: fetch {folder}", self.name))?;
        for archive in files(&archives, "deb")? {
            output(Command::new("dpkg-deb").arg("-x").arg(archive).arg(&new))?;
        }
        fs::remove_dir_all(&archives).context("remove the archives")?;
        fs::rename(&new, &whole).with_context(|| whole.display().to_string())?;
        Ok(whole)
    }

    /// An apt command that does not touch the machine's own package lists.
    fn apt(&self, program: &str) -> Command {
        let apt = self.apt_directory();
        let mut command = Command::new(program);
        for (option, value) in [
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::State::status", "status"),
            ("Dir::State", ""),
            ("Dir::Cache", ""),
        ] {
            command
                .arg("-o")
                .arg(format!("{option}={}", apt.join(value).display()));
        }
        for option in [
            "Dir::Etc::sourceparts=/dev/null",
            "Dir::Etc::preferencesparts=/dev/null",
            "APT::Sandbox::User=",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
        ] {
            command.args(["-o", option]);
        }
        command
    }

    fn apt_directory(&self) -> PathBuf {
        self.directory.join("apt")
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let file = self.apt_directory().join(name);
        fs::write(&file, text).with_context(|| file.display().to_string())
    }
}

/// Files of a folder with this extension, sorted.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|found| found == extension));
    files.sort();
    Ok(files)
}
