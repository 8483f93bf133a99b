//! What hostapd's files say about frames between stations. The kernel does not tell it.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::{
    doctor::facts::Isolation,
    printable,
    regular_file::{self, Purpose},
};

/// Where Debian keeps the file, if no process names another one.
const USUAL: &str = "/etc/hostapd/hostapd.conf";

/// Directory in which OpenWrt writes the files, as `hostapd-phy0.conf`.
const OPENWRT: &str = "/var/run";

/// The most files that are read.
const MOST: usize = 32;

/// A file of hostapd, with its text or the reason why it cannot be read.
pub(super) type HostapdFile = (PathBuf, Result<String, String>);

/// The files of the running processes, else those at the usual places.
pub(super) fn files() -> Vec<HostapdFile> {
    let mut paths = of_processes();
    if paths.is_empty() {
        paths.extend(entries(OPENWRT).filter(|path| is_of_hostapd(path)));
        paths.extend(Path::new(USUAL).exists().then(|| USUAL.into()));
    }
    paths.sort_unstable();
    paths.dedup();
    let read = |path: PathBuf| {
        let text = regular_file::read_text(&path, Purpose::Config);
        (path, text.map_err(|error| error.to_string()))
    };
    paths.into_iter().take(MOST).map(read).collect()
}

/// What these files say about the interface of this name.
pub(super) fn isolation(files: &[HostapdFile], interface: &str) -> Isolation {
    for (path, text) in files {
        let on = text.as_ref().ok().and_then(|text| in_text(text, interface));
        let path = printable::path(path).to_string();
        match on {
            Some(true) => return Isolation::On(path),
            Some(false) => return Isolation::Off(path),
            None => {}
        }
    }
    let unreadable = files.iter().find_map(|(path, text)| {
        let error = text.as_ref().err()?;
        Some(format!("{} cannot be read: {error}", printable::path(path)))
    });
    Isolation::Unknown(unreadable.unwrap_or_else(|| "no file of hostapd names it".to_owned()))
}

/// The setting `ap_isolate` of an interface; `None` if the text does not name the interface.
/// Each `bss=` begins the settings of another interface.
fn in_text(text: &str, interface: &str) -> Option<bool> {
    let (mut is_own, mut on) = (false, None);
    for line in text.lines().map(str::trim) {
        match line.split_once('=') {
            Some(("interface" | "bss", name)) => {
                is_own = name == interface;
                if is_own {
                    on = Some(false);
                }
            }
            Some(("ap_isolate", value)) if is_own => on = Some(value.trim() == "1"),
            _ => {}
        }
    }
    on
}

/// The files on the command lines of the processes called hostapd, as those processes see them.
fn of_processes() -> Vec<PathBuf> {
    let is_process = |path: &PathBuf| {
        // Any user can give a process this name.
        let is_of_root = fs::metadata(path).is_ok_and(|found| found.uid() == 0);
        let comm = regular_file::read_kernel_text(path.join("comm"));
        is_of_root && comm.is_ok_and(|name| name.trim() == "hostapd")
    };
    let arguments = |path: PathBuf| {
        let line = regular_file::read_kernel_text(path.join("cmdline")).unwrap_or_default();
        let words = line
            .split('\0')
            .skip(1)
            .filter(|word| has_settings(Path::new(word)));
        // Other options, such as the log, name files too.
        words.map(|word| seen_by(&path, word)).collect::<Vec<_>>()
    };
    let processes = entries("/proc").filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
    });
    processes.filter(is_process).flat_map(arguments).collect()
}

/// The path at which this process finds a file that a process names. That process may have
/// another root, such as a container's, and its own working directory.
fn seen_by(process: &Path, word: &str) -> PathBuf {
    let own_root = fs::metadata("/").map(|found| (found.dev(), found.ino()));
    let root = fs::metadata(process.join("root")).map(|found| (found.dev(), found.ino()));
    let has_own_root = own_root.is_ok() && own_root.ok() == root.ok();
    match word.strip_prefix('/') {
        Some(_) if has_own_root => PathBuf::from(word),
        Some(below) => process.join("root").join(below),
        None => process.join("cwd").join(word),
    }
}

fn is_of_hostapd(path: &Path) -> bool {
    let name = path.file_stem().and_then(|name| name.to_str());
    has_settings(path) && name.is_some_and(|name| name.starts_with("hostapd-"))
}

fn has_settings(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "conf")
}

fn entries(directory: &str) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_interface_has_its_own_setting() {
        let text = "interface=wlan0\nssid=home\nap_isolate=1\n\nbss=wlan0-guest\nssid=guests\n";
        assert_eq!(in_text(text, "wlan0"), Some(true));
        assert_eq!(in_text(text, "wlan0-guest"), Some(false));
        assert_eq!(in_text(text, "wlan1"), None);
        assert_eq!(
            in_text("interface=wlan0\nap_isolate=0\n", "wlan0"),
            Some(false)
        );
        assert_eq!(
            in_text("interface=wlan0\n#ap_isolate=1\n", "wlan0"),
            Some(false)
        );
    }

    #[test]
    fn a_file_is_looked_for_where_its_process_sees_it() {
        let own = format!("/proc/{}", std::process::id());
        let own = Path::new(&own);
        assert_eq!(seen_by(own, "/etc/x.conf"), Path::new("/etc/x.conf"));
        assert_eq!(seen_by(own, "x.conf"), own.join("cwd/x.conf"));
        // A process with another root; this one has none at all.
        let other = Path::new("/proc/0");
        assert_eq!(seen_by(other, "/etc/x.conf"), other.join("root/etc/x.conf"));
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        let path = PathBuf::from("/etc/hostapd/hostapd.conf");
        let files = [(path, Err("permission denied".to_owned()))];
        let Isolation::Unknown(why) = isolation(&files, "wlan0") else {
            panic!("it is unknown");
        };
        assert!(
            why.contains("hostapd.conf cannot be read: permission denied"),
            "{why}"
        );
    }
}
