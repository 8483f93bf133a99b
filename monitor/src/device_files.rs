//! Reads the files that describe devices: leases, vendors and names.
//!
//! A file that is missing or broken is no error: the daemon tells the operator once, and
//! goes on with the other files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::{
    config::{DeviceFileSettings, LeasesOption, VendorsOption},
    devices::{
        leases::{self, Lease, LeaseFormat},
        lines::Skipped,
        names::{self, NamesFile, NamesFormat},
        oui::Vendors,
    },
    printable,
    regular_file::{self, Purpose},
};

/// The most files with leases.
const MAX_LEASE_FILES: usize = 16;

/// The most messages that are remembered, so that each is told once.
const MAX_TOLD: usize = 256;

/// File of names that is read if the operator names none (`ethers(5)`).
const ETHERS: &str = "etc/ethers";

/// Places of the lease files of dnsmasq, Kea, the ISC server and odhcpd, below the root.
const LEASES: [&str; 7] = [
    "var/lib/misc/dnsmasq.leases",
    "var/lib/dnsmasq/dnsmasq.leases",
    "var/lib/kea/kea-leases4.csv",
    "var/lib/kea/kea-leases6.csv",
    "var/lib/dhcp/dhcpd.leases",
    "var/lib/dhcp/dhcpd6.leases",
    "var/lib/odhcpd/dhcp.leases",
];

/// Places on OpenWrt. On another system, every user can write into `/tmp`.
const LEASES_OPENWRT: [&str; 3] = ["tmp/dhcp.leases", "tmp/hosts/odhcpd", "tmp/odhcpd.leases"];

/// Exists on OpenWrt only.
const OPENWRT: &str = "etc/openwrt_release";

/// Folder of the lease files of systemd-networkd: one for each interface.
const NETWORKD: &str = "var/lib/systemd/network/dhcp-server-lease";

/// The files that describe devices, and what was read from them last.
#[derive(Debug, Default)]
pub struct DeviceFiles {
    settings: DeviceFileSettings,
    leases: Vec<LeasesOption>,
    /// True if the operator named the lease files. Then a missing one is told.
    are_named: bool,
    names: PathBuf,
    stamps: BTreeMap<PathBuf, Option<Stamp>>,
    told: BTreeSet<String>,
    warnings: Vec<String>,
}

/// What changes if a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    changed: (i64, i64),
}

impl DeviceFiles {
    /// The files of the settings, or the well-known places. `interfaces` are those on which
    /// systemd-networkd may give leases. Reads nothing.
    #[must_use]
    pub fn new(settings: &DeviceFileSettings, interfaces: &[String]) -> Self {
        Self::below(Path::new("/"), settings, interfaces)
    }

    fn below(root: &Path, settings: &DeviceFileSettings, interfaces: &[String]) -> Self {
        let mut leases = match &settings.leases {
            Some(leases) => leases.clone(),
            None => well_known(root, interfaces),
        };
        let mut warnings = Vec::new();
        if leases.len() > MAX_LEASE_FILES {
            leases.truncate(MAX_LEASE_FILES);
            warnings.push(format!(
                "`devices.leases` has more than {MAX_LEASE_FILES} files; only the first {MAX_LEASE_FILES} are read"
            ));
        }
        let names = settings.names.clone();
        Self {
            settings: settings.clone(),
            leases,
            are_named: settings.leases.is_some(),
            names: names.unwrap_or_else(|| root.join(ETHERS)),
            stamps: BTreeMap::new(),
            told: BTreeSet::new(),
            warnings,
        }
    }

    /// Reads the vendors, if a file changed since the last call.
    pub fn vendors(&mut self) -> Option<Vendors> {
        let files = self.settings.vendors.clone();
        let paths: Vec<_> = files.iter().map(|file| file.path.clone()).collect();
        if !self.have_changed(&paths) {
            return None;
        }
        let mut vendors = Vendors::default();
        for file in files {
            if let Err(error) = self.add_vendors(&mut vendors, &file) {
                self.warn(&format!("file of vendors {}: {error}", shown(&file.path)));
            }
        }
        Some(vendors)
    }

    fn add_vendors(&mut self, vendors: &mut Vendors, file: &VendorsOption) -> Result<(), String> {
        let bytes = read(&file.path)?;
        let as_of = match file.as_of {
            Some(as_of) => as_of,
            None => changed_on(&file.path).map_err(|error| error.to_string())?,
        };
        let report = vendors.add(&bytes, as_of);
        let report = report.map_err(|error| error.to_string())?;
        self.warn_of("file of vendors", &file.path, &report.skipped);
        if report.not_kept > 0 {
            return Err(format!("{} prefixes found no room", report.not_kept));
        }
        Ok(())
    }

    /// Reads the names, if the file changed since the last call. The file is in the format
    /// of `/etc/ethers` if it is called `ethers`.
    pub fn names(&mut self) -> Option<NamesFile> {
        let path = self.names.clone();
        if !self.have_changed(std::slice::from_ref(&path)) {
            return None;
        }
        let is_named = self.settings.names.is_some();
        let format = match path.file_name() {
            Some(name) if name == "ethers" => NamesFormat::Ethers,
            _ => NamesFormat::Names,
        };
        match read(&path) {
            Ok(bytes) => {
                let file = names::parse(&bytes, format);
                self.warn_of("file of names", &path, &file.skipped);
                Some(file)
            }
            Err(error) => {
                if is_named || !is_absent(&path) {
                    self.warn(&format!("file of names {}: {error}", shown(&path)));
                }
                Some(NamesFile::default())
            }
        }
    }

    /// Returns true if a lease file changed since the last call.
    pub fn have_leases_changed(&mut self) -> bool {
        let paths: Vec<_> = self.leases.iter().map(|file| file.path.clone()).collect();
        self.have_changed(&paths)
    }

    /// Reads every lease file. Calls `each` with the leases of one file after another.
    pub fn leases(&mut self, mut each: impl FnMut(Vec<Lease>)) {
        for file in self.leases.clone() {
            match self.leases_of(&file) {
                Ok(leases) => each(leases),
                Err(_) if !self.are_named && is_absent(&file.path) => {}
                Err(error) => self.warn(&format!("lease file {}: {error}", shown(&file.path))),
            }
        }
    }

    fn leases_of(&mut self, file: &LeasesOption) -> Result<Vec<Lease>, String> {
        let bytes = read(&file.path)?;
        if bytes.trim_ascii().is_empty() {
            return Ok(Vec::new());
        }
        let format = file.format.or_else(|| LeaseFormat::recognise(&bytes));
        let format = format.ok_or(
            "its first lines are no lease of dnsmasq, kea, isc, networkd or odhcpd; write `format`, or give the file of such a server",
        )?;
        let found = leases::parse(&bytes, format).map_err(|error| error.to_string())?;
        self.warn_of("lease file", &file.path, &found.skipped);
        if found.not_kept > 0 {
            let most = leases::MAX_LEASES;
            self.warn(&format!(
                "lease file {}: more than {most} leases; the others are not used",
                shown(&file.path)
            ));
        }
        Ok(found.leases)
    }

    /// Takes away the messages for the operator since the last call.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    fn warn_of(&mut self, what: &str, path: &Path, skipped: &Skipped) {
        if let Some(first) = skipped.first.first() {
            let more = match skipped.count {
                1 => String::new(),
                count => format!(" ({count} lines are skipped)"),
            };
            self.warn(&format!("{what} {}, {first}{more}", shown(path)));
        }
    }

    fn warn(&mut self, message: &str) {
        if self.told.len() < MAX_TOLD && self.told.insert(message.to_owned()) {
            self.warnings.push(message.to_owned());
        }
    }

    /// Returns true if a file was written, appeared or went away since the last call, and in
    /// the first call.
    fn have_changed(&mut self, paths: &[PathBuf]) -> bool {
        let mut changed = false;
        for path in paths {
            let stamp = fs::metadata(path).ok().map(|metadata| Stamp {
                file: (metadata.dev(), metadata.ino()),
                size: metadata.size(),
                changed: (metadata.ctime(), metadata.ctime_nsec()),
            });
            changed |= self.stamps.insert(path.clone(), stamp) != Some(stamp);
        }
        changed
    }
}

/// The well-known places of the five DHCP servers.
fn well_known(root: &Path, interfaces: &[String]) -> Vec<LeasesOption> {
    let is_openwrt = root.join(OPENWRT).exists();
    let openwrt = is_openwrt.then_some(LEASES_OPENWRT);
    let fixed = LEASES.into_iter().chain(openwrt.into_iter().flatten());
    let fixed = fixed.map(|path| root.join(path));
    let networkd = interfaces
        .iter()
        .map(|interface| root.join(NETWORKD).join(interface));
    let all = fixed.chain(networkd);
    all.map(|path| LeasesOption { path, format: None })
        .take(MAX_LEASE_FILES)
        .collect()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    regular_file::read(path, Purpose::Devices).map_err(|error| error.to_string())
}

/// Returns true if there surely is no such file. A folder that is closed to the daemon may
/// hold it.
fn is_absent(path: &Path) -> bool {
    matches!(path.try_exists(), Ok(false))
}

/// The day on which a file was written last, in UTC.
fn changed_on(path: &Path) -> io::Result<Date> {
    let modified = fs::metadata(path)?.modified()?;
    let modified = Timestamp::try_from(modified).map_err(io::Error::other)?;
    Ok(modified.to_zoned(TimeZone::UTC).date())
}

fn shown(path: &Path) -> impl std::fmt::Display + '_ {
    printable::path(path)
}

#[cfg(test)]
mod tests;
