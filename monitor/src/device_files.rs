//! Reads the files that describe devices: leases, vendors and names.
//!
//! A file that is missing or broken is no error: the daemon tells the operator once, and
//! goes on with the other files. If a file cannot be read for a moment, what was read before
//! stays.

mod leases;
mod places;
mod reading;
mod told;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use self::{
    leases::{LeaseFiles, MAX_LEASE_FILES},
    reading::{Reading, Stamp, read},
    told::{Kind, Problem, Told},
};
use crate::{
    config::{DeviceFileSettings, VendorsOption},
    devices::{
        leases::Lease,
        names::{self, NamesFile, NamesFormat},
        oui::Vendors,
    },
};

/// File of names that is read if the operator names none (`ethers(5)`).
const ETHERS: &str = "etc/ethers";

const VENDORS: &str = "file of vendors";

const NAMES: &str = "file of names";

/// The files that describe devices, and the content of each file at its last reading.
#[derive(Debug, Default)]
pub struct DeviceFiles {
    settings: DeviceFileSettings,
    leases: LeaseFiles,
    names: PathBuf,
    /// The version of each file of vendors or names that was read. `None`: there was none.
    stamps: BTreeMap<PathBuf, Option<Stamp>>,
    /// True if vendors were read before.
    has_vendors: bool,
    told: Told,
}

impl DeviceFiles {
    /// The files of the settings, or the well-known places. `interfaces` are those on which
    /// systemd-networkd may give leases. Reads nothing.
    #[must_use]
    pub fn new(settings: &DeviceFileSettings, interfaces: &[String]) -> Self {
        Self::below(Path::new("/"), settings, interfaces)
    }

    fn below(root: &Path, settings: &DeviceFileSettings, interfaces: &[String]) -> Self {
        let are_named = settings.leases.is_some();
        let mut leases = match &settings.leases {
            Some(leases) => leases.clone(),
            None => places::well_known(root, interfaces),
        };
        let mut told = Told::default();
        if leases.len() > MAX_LEASE_FILES {
            leases.truncate(MAX_LEASE_FILES);
            let which = if are_named {
                "`devices.leases` has"
            } else {
                "leases may be in"
            };
            told.add(format!(
                "{which} more than {MAX_LEASE_FILES} files; only the first {MAX_LEASE_FILES} are read; write the files that you need into `devices.leases`"
            ));
        }
        let names = settings.names.clone();
        Self {
            settings: settings.clone(),
            leases: LeaseFiles::new(leases, are_named),
            names: names.unwrap_or_else(|| root.join(ETHERS)),
            told,
            ..Self::default()
        }
    }

    /// Reads the vendors, if a file changed since the last call. Returns `None` also if a
    /// file cannot be read now; the next call tries again.
    pub fn vendors(&mut self) -> Option<Vendors> {
        let files = self.settings.vendors.clone();
        let is_same = |file: &VendorsOption| self.is_same(&file.path);
        if self.has_vendors && files.iter().all(is_same) {
            return None;
        }
        let readings = files.iter().map(|file| read(&file.path, false));
        let readings: Vec<_> = readings.collect();
        let mut vendors = Vendors::default();
        let mut is_whole = true;
        for (file, reading) in files.iter().zip(&readings) {
            let problems = match reading {
                Reading::Content(..) => continue,
                Reading::Ends { .. } | Reading::Changing => Vec::new(),
                Reading::Absent(error) | Reading::Failed(error) => {
                    vec![(Kind::Read, format!(": {error}"))]
                }
            };
            is_whole &= matches!(reading, Reading::Absent(_));
            self.told.reading(VENDORS, &file.path, &problems);
        }
        if self.has_vendors && !is_whole {
            return None;
        }
        for (file, reading) in files.iter().zip(readings) {
            let stamp = match reading {
                Reading::Content(bytes, stamp) => {
                    let problems = add_vendors(&mut vendors, file, &bytes);
                    self.told.reading(VENDORS, &file.path, &problems);
                    Some(stamp)
                }
                Reading::Absent(_) => None,
                Reading::Ends { .. } | Reading::Changing | Reading::Failed(_) => continue,
            };
            self.stamps.insert(file.path.clone(), stamp);
        }
        self.has_vendors = true;
        Some(vendors)
    }

    /// Reads the names, if the file changed since the last call. Returns `None` also if the
    /// file cannot be read now; the next call tries again. The file is in the format of
    /// `/etc/ethers` if it is called `ethers`.
    pub fn names(&mut self) -> Option<NamesFile> {
        let path = self.names.clone();
        if self.is_same(&path) {
            return None;
        }
        let format = match path.file_name() {
            Some(name) if name == "ethers" => NamesFormat::Ethers,
            _ => NamesFormat::Names,
        };
        let (file, stamp, problem) = match read(&path, false) {
            Reading::Content(bytes, stamp) => {
                let file = names::parse(&bytes, format);
                let problem = told::skipped(&file.skipped);
                (file, Some(stamp), problem)
            }
            Reading::Absent(error) => {
                let is_named = self.settings.names.is_some();
                let problem = is_named.then(|| (Kind::Read, format!(": {error}")));
                (NamesFile::default(), None, problem)
            }
            Reading::Ends { .. } | Reading::Changing => return None,
            Reading::Failed(error) => {
                let problem = (Kind::Read, format!(": {error}"));
                self.told.reading(NAMES, &path, &[problem]);
                self.stamps.remove(&path);
                return None;
            }
        };
        self.stamps.insert(path.clone(), stamp);
        self.told.reading(NAMES, &path, problem.as_slice());
        Some(file)
    }

    /// Begins a round over all lease files.
    pub fn begin_leases(&mut self) {
        self.leases.begin();
    }

    /// Reads the next lease file that changed. Returns false if the round is at its end.
    pub fn read_next_leases(&mut self, now: Timestamp) -> bool {
        self.leases.read_next(now, &mut self.told)
    }

    /// The leases of each file, as they were read last.
    pub fn leases(&self) -> impl Iterator<Item = &[Lease]> {
        self.leases.leases()
    }

    /// Number of leases that found no room.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.leases.lost()
    }

    /// Takes away the messages for the operator since the last call.
    pub fn take_warnings(&mut self) -> Vec<String> {
        self.told.take()
    }

    /// Returns true if the file is the version that was read last.
    fn is_same(&self, path: &Path) -> bool {
        self.stamps.get(path) == Some(&Stamp::of(path))
    }
}

fn add_vendors(vendors: &mut Vendors, file: &VendorsOption, bytes: &[u8]) -> Vec<Problem> {
    let as_of = match file.as_of.map_or_else(|| changed_on(&file.path), Ok) {
        Ok(as_of) => as_of,
        Err(error) => return vec![(Kind::Read, format!(": {error}"))],
    };
    let report = match vendors.add(bytes, as_of) {
        Ok(report) => report,
        Err(error) => return vec![(Kind::Format, format!(": {error}"))],
    };
    let skipped = told::skipped(&report.skipped);
    let room = (report.not_kept > 0).then(|| {
        let text = format!(": {} prefixes found no room", report.not_kept);
        (Kind::Room, text)
    });
    skipped.into_iter().chain(room).collect()
}

/// The day on which a file was written last, in UTC.
fn changed_on(path: &Path) -> io::Result<Date> {
    let modified = fs::metadata(path)?.modified()?;
    let modified = Timestamp::try_from(modified).map_err(io::Error::other)?;
    Ok(modified.to_zoned(TimeZone::UTC).date())
}

#[cfg(test)]
mod tests;
