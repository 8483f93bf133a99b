//! The `data` section of the config file.
//!
//! ```yaml
//! data:
//!   files: [delegated-apnic-latest, /usr/share/GeoIP/GeoLite2-ASN.mmdb]
//!   feeds: [https://ftp.apnic.net/stats/apnic/delegated-apnic-latest]
//! ```

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::one_or_many::OneOrMany;
use crate::{
    data::DataSources,
    lists::{FeedUrl, InvalidFeedUrl},
    quoted::quoted,
};

/// The data about ranges that the operator has. The kind of each file is recognised by its
/// content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataOptions {
    /// Delegated files, MMDB databases and tables, in the order in which their statements
    /// are shown.
    pub files: OneOrMany<DataPath>,
    /// URLs of such files, which the daemon fetches. Their statements come after those of
    /// the files.
    pub feeds: OneOrMany<DataUrl>,
}

/// An entry of `data.files`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct DataPath(pub PathBuf);

/// An entry of `data.feeds`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct DataUrl(pub FeedUrl);

impl DataOptions {
    /// Makes relative paths relative to `base`, the directory of the config file.
    pub(super) fn resolve_paths(&mut self, base: &Path) {
        for DataPath(path) in &mut self.files.0 {
            *path = base.join(&path);
        }
    }

    /// Merges two sets of options: a value here wins over one in `below`.
    #[must_use]
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            files: self.files.or(below.files),
            feeds: self.feeds.or(below.feeds),
        }
    }

    /// The sources, with absolute paths.
    pub(super) fn settle(self) -> DataSources {
        let files = self.files.0.into_iter().map(|DataPath(path)| {
            // Only an empty path has no absolute form, and no option has one.
            std::path::absolute(&path).unwrap_or(path)
        });
        let feeds = self.feeds.0.into_iter().map(|DataUrl(url)| url);
        DataSources {
            files: files.collect(),
            feeds: feeds.collect(),
        }
    }
}

impl TryFrom<String> for DataPath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if FeedUrl::is_meant_by(&text) {
            return Err(format!(
                "`data.files`: `{}` is a URL; write it under `data.feeds`",
                quoted(&text)
            ));
        }
        if text.is_empty() {
            return Err("`data.files`: a path is empty; write the path of a file".to_owned());
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for DataUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if !FeedUrl::is_meant_by(&text) {
            return Err(format!(
                "`data.feeds`: `{}` is not a URL; write a path under `data.files`",
                quoted(&text)
            ));
        }
        let url = text.parse().map_err(|error: InvalidFeedUrl| {
            let fix = match error {
                InvalidFeedUrl::Unreadable => {
                    "write it as in `https://ftp.apnic.net/stats/apnic/delegated-apnic-latest`"
                }
                InvalidFeedUrl::Scheme => {
                    "fetch it into a file with another program, and name that file under `data.files`"
                }
                InvalidFeedUrl::Credentials => {
                    "remove the part before the `@`, or fetch it with another program and name that file under `data.files`"
                }
            };
            format!("`data.feeds`: {error}; {fix}")
        })?;
        Ok(Self(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_or_several_and_feeds() {
        let text = "files: a.mmdb\nfeeds: [https://example.net/d, http://example.net/e]\n";
        let mut options: DataOptions = serde_yaml::from_str(text).unwrap();
        options.resolve_paths(Path::new("/etc/monitor"));
        assert_eq!(options.files.0, [DataPath("/etc/monitor/a.mmdb".into())]);
        assert_eq!(options.feeds.0.len(), 2);
        let below: DataOptions = serde_yaml::from_str("files: [/b, /c]").unwrap();
        let merged = DataOptions::default().over(below.clone());
        assert_eq!(merged, below);
        assert_eq!(options.clone().over(below), options);
        let sources = options.settle();
        assert_eq!(sources.files, [Path::new("/etc/monitor/a.mmdb")]);
        assert_eq!(sources.feeds.len(), 2);
    }

    #[test]
    fn errors_name_the_key_the_place_and_the_fix() {
        for (text, line, parts) in [
            ("file: x\n", 1, ["unknown field `file`", "`files`"]),
            (
                "files: https://example.net/x\n",
                1,
                ["`data.files`", "`data.feeds`"],
            ),
            (
                "files:\n  - a\n  - ''\n",
                2,
                ["`data.files`", "write the path"],
            ),
            (
                "files: []\nfeeds: [x.csv]\n",
                2,
                ["`data.feeds`", "`data.files`"],
            ),
            (
                "feeds: ftp://example.net/x\n",
                1,
                ["`data.feeds`", "`https`"],
            ),
            (
                "feeds: https://me:secret@example.net/x\n",
                1,
                ["`data.feeds`", "remove the part"],
            ),
        ] {
            let error = serde_yaml::from_str::<DataOptions>(text).unwrap_err();
            let message = error.to_string();
            for part in parts {
                assert!(message.contains(part), "{text}: {message}");
            }
            assert!(!message.contains("secret"), "{message}");
            assert_eq!(error.location().map(|at| at.line()), Some(line), "{text}");
        }
    }
}
