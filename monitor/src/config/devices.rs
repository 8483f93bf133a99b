//! The `devices` section of the config file.

use std::{
    fmt,
    marker::PhantomData,
    path::{Path, PathBuf},
};

use jiff::civil::Date;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{length::Length, one_or_many::OneOrMany};
use crate::{devices::leases::LeaseFormat, evidence::identity::Stated};

/// The `devices` section of the config file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DevicesOptions {
    /// How long a device without a name keeps its own counts after its last
    /// packet that a policy matched.
    pub forget_after: Option<Length>,
    /// Files with leases. An empty list reads none; `None` tries the well-known places.
    #[serde(default, deserialize_with = "one_or_many")]
    pub leases: Option<Vec<LeasesOption>>,
    /// Files with vendors, in front of the built-in table.
    #[serde(default, deserialize_with = "one_or_many")]
    pub vendors: Option<Vec<VendorsOption>>,
    /// File with names of devices. `None` tries `/etc/ethers`.
    pub names: Option<PathBuf>,
    /// Statements that two MACs are one device.
    pub same: Option<Stated>,
}

/// Reads one path, or a list of files.
fn one_or_many<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    OneOrMany::deserialize(deserializer).map(|OneOrMany(files)| Some(files))
}

/// A file with leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasesOption {
    /// Path of the file.
    pub path: PathBuf,
    /// Format of the file. `None`: the content decides.
    pub format: Option<LeaseFormat>,
}

/// A file with vendors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorsOption {
    /// Path of the file.
    pub path: PathBuf,
    /// Date of the content. `None`: the day on which the file was changed last, in UTC.
    pub as_of: Option<Date>,
}

/// Settings for the files about devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceFileSettings {
    /// Files with leases. `None`: the well-known places.
    pub leases: Option<Vec<LeasesOption>>,
    /// Files with vendors.
    pub vendors: Vec<VendorsOption>,
    /// File with names. `None`: `/etc/ethers`.
    pub names: Option<PathBuf>,
    /// Statements that two MACs are one device.
    pub same: Stated,
}

impl DevicesOptions {
    /// Makes the paths relative to `base`.
    pub(super) fn resolve_paths(&mut self, base: &Path) {
        let leases = self.leases.iter_mut().flatten();
        let vendors = self.vendors.iter_mut().flatten();
        let paths = leases.map(|file| &mut file.path);
        let paths = paths.chain(vendors.map(|file| &mut file.path));
        for path in paths.chain(&mut self.names) {
            *path = base.join(&path);
        }
    }

    /// Merges two sections: a value here wins over one in `below`.
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            forget_after: self.forget_after.or(below.forget_after),
            leases: self.leases.or(below.leases),
            vendors: self.vendors.or(below.vendors),
            names: self.names.or(below.names),
            same: self.same.or(below.same),
        }
    }

    /// Fills in the defaults of the files.
    pub(super) fn files(self) -> DeviceFileSettings {
        DeviceFileSettings {
            leases: self.leases,
            vendors: self.vendors.unwrap_or_default(),
            names: self.names,
            same: self.same.unwrap_or_default(),
        }
    }
}

impl<'de> Deserialize<'de> for LeasesOption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Keys {
            path: PathBuf,
            format: Option<LeaseFormat>,
        }
        match deserializer.deserialize_any(PathOr(PhantomData))? {
            Given::Path(path) => Ok(Self { path, format: None }),
            Given::Keys(Keys { path, format }) => Ok(Self { path, format }),
        }
    }
}

impl<'de> Deserialize<'de> for VendorsOption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Keys {
            path: PathBuf,
            #[serde(default, deserialize_with = "day")]
            as_of: Option<Date>,
        }
        match deserializer.deserialize_any(PathOr(PhantomData))? {
            Given::Path(path) => Ok(Self { path, as_of: None }),
            Given::Keys(Keys { path, as_of }) => Ok(Self { path, as_of }),
        }
    }
}

fn day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Date>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || D::Error::custom(format!("`{text}` is no day; write one such as 2026-11-01"));
    text.parse().map(Some).map_err(|_| wrong())
}

/// A path, or keys of which one is the path.
enum Given<K> {
    Path(PathBuf),
    Keys(K),
}

/// Written by hand, because the error of an untagged enum hides those of its variants.
struct PathOr<K>(PhantomData<K>);

impl<'de, K: Deserialize<'de>> Visitor<'de> for PathOr<K> {
    type Value = Given<K>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a path, or the keys of a file: {path: PATH}")
    }

    fn visit_str<E>(self, path: &str) -> Result<Given<K>, E> {
        Ok(Given::Path(path.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Given<K>, A::Error> {
        K::deserialize(MapAccessDeserializer::new(map)).map(Given::Keys)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::super::Options;
    use super::*;

    fn files(text: &str) -> DeviceFileSettings {
        let mut options = Options::parse(text).unwrap();
        options.devices.resolve_paths(Path::new("/etc/monitor"));
        options.settle().device_files
    }

    #[test]
    fn one_file_needs_no_list() {
        let found = files("devices: {leases: a.leases, vendors: oui.csv}");
        let leases = found.leases.unwrap();
        assert_eq!(leases[0].path, Path::new("/etc/monitor/a.leases"));
        assert_eq!(found.vendors[0].path, Path::new("/etc/monitor/oui.csv"));
        assert_eq!((leases.len(), found.vendors.len()), (1, 1));
    }

    #[test]
    fn files_are_paths_or_have_keys() {
        let found = files(
            "devices:
  leases: [a.leases, {path: /k.csv, format: kea}]
  vendors: [oui.csv, {path: /oui.txt, as_of: 2026-11-01}]
  names: names
  same: [{from: '64:cc:2e:00:00:01', to: '02:00:00:00:00:01', since: 2026-11-01}]
",
        );
        let leases = found.leases.unwrap();
        let leases = leases.iter().map(|file| (file.path.as_path(), file.format));
        assert_eq!(
            leases.collect::<Vec<_>>(),
            [
                (Path::new("/etc/monitor/a.leases"), None),
                (Path::new("/k.csv"), Some(LeaseFormat::Kea))
            ]
        );
        let dates = found.vendors.iter().map(|file| file.as_of);
        assert_eq!(dates.collect::<Vec<_>>(), [None, Some(date(2026, 11, 1))]);
        assert_eq!(found.names.unwrap(), Path::new("/etc/monitor/names"));
        let others = found.same.others("64:cc:2e:00:00:01".parse().unwrap());
        assert_eq!(
            others[0].to_string(),
            "02:00:00:00:00:01 since 2026-11-01: stated, not seen"
        );
    }

    #[test]
    fn no_files_differ_from_the_well_known_ones() {
        assert_eq!(files("devices: {leases: []}\n").leases, Some(Vec::new()));
        assert_eq!(files("devices: {}\n").leases, None);
    }

    #[test]
    fn a_wrong_key_is_an_error_with_its_place() {
        for (text, line, words) in [
            ("devices:\n  lease: [a]\n", 2, "unknown field `lease`"),
            (
                "devices:\n  leases:\n  - {path: a, kind: kea}\n",
                3,
                "unknown field `kind`",
            ),
            (
                "devices:\n  leases:\n  - {path: a, format: udhcpd}\n",
                3,
                "`dnsmasq`, `kea`, `isc`, `networkd`, `odhcpd`",
            ),
            ("devices:\n  leases:\n  - 1\n", 3, "a path, or the keys"),
            (
                "devices:\n  vendors:\n  - {path: a, as_of: yesterday}\n",
                3,
                "`yesterday` is no day; write one such as 2026-11-01",
            ),
            (
                "devices:\n  same: [{from: '64:cc:2e:00:00:01', to: '64:cc:2e:00:00:01', since: 2026-11-01}]\n",
                2,
                "statement 1: `from` and `to` are both 64:cc:2e:00:00:01",
            ),
        ] {
            let error = Options::parse(text).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(error.location().map(|at| at.line()), Some(line), "{error}");
        }
    }
}
