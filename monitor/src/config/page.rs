//! The `page` section of the config file: login and TLS.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::length::Length;

/// Default of `page.session`.
const SESSION: Duration = Duration::from_hours(12);

/// The most of `page.session`.
const LONGEST_SESSION: Duration = Duration::from_hours(30 * 24);

/// Login and TLS, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct PageOptions(Raw);

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    login: Option<bool>,
    session: Option<Length>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// The `page` section, settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageSettings {
    /// True if operators can sign in and change things.
    pub login: bool,
    /// How long a session lasts.
    pub session: Duration,
    /// Files of the certificate and its key; `None`: the daemon makes its own.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl TryFrom<Raw> for PageOptions {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        if raw.certificate.is_some() != raw.key.is_some() {
            return Err("`page`: write `certificate` and `key`, or neither".to_owned());
        }
        let session = raw.session.map(Length::duration);
        if session.is_some_and(|session| session > LONGEST_SESSION) {
            return Err("`page.session`: write a time of at most 30d".to_owned());
        }
        Ok(Self(raw))
    }
}

impl PageOptions {
    /// Makes relative paths relative to `base`, the directory of the config file.
    pub(super) fn resolve_paths(&mut self, base: &Path) {
        for path in [&mut self.0.certificate, &mut self.0.key] {
            *path = path.take().map(|path| base.join(path));
        }
    }

    /// Merges two sets of options: a value here wins over one in `below`.
    #[must_use]
    pub(super) fn over(self, below: Self) -> Self {
        let (own, below) = (self.0, below.0);
        // A certificate and its key belong together.
        let (certificate, key) = match own.certificate {
            Some(certificate) => (Some(certificate), own.key),
            None => (below.certificate, below.key),
        };
        Self(Raw {
            login: own.login.or(below.login),
            session: own.session.or(below.session),
            certificate,
            key,
        })
    }

    pub(super) fn settle(self) -> PageSettings {
        PageSettings {
            login: self.0.login.unwrap_or(false),
            session: self.0.session.map_or(SESSION, Length::duration),
            certificate: self.0.certificate.zip(self.0.key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_is_off_and_a_certificate_needs_its_key() {
        let parse = |text: &str| serde_yaml::from_str::<PageOptions>(text);
        let settled = parse("{}").unwrap().settle();
        assert!(!settled.login && settled.certificate.is_none());
        let mut given = parse("{login: true, certificate: c.pem, key: k.pem}").unwrap();
        given.resolve_paths(Path::new("/etc/monitor"));
        let settled = given.over(parse("{session: 1h}").unwrap()).settle();
        let files = settled.certificate.unwrap();
        assert_eq!(files.1, Path::new("/etc/monitor/k.pem"));
        assert_eq!(settled.session, Duration::from_hours(1));
        for (text, part) in [
            ("{key: k.pem}", "`certificate` and `key`"),
            ("{session: 31d}", "30d"),
            ("{logn: true}", "unknown field"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
