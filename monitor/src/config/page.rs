//! The `page` section of the config file: login, TLS, and who may read contacts.

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

/// Who may read devices and contacts on the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PageContacts {
    /// Everyone who can read the page.
    #[default]
    Everyone,
    /// Only sessions of `monitor page --login`.
    Login,
    /// Nobody.
    Nobody,
}

/// Contacts need a session, and the login is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`page.contacts: login` shows devices and contacts only to those who sign in, and the login is off; write `page: {{login: true, contacts: login}}`, or `contacts: nobody`"
)]
pub struct NoLogin;

/// Login, TLS and who may read contacts, as written.
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
    contacts: Option<PageContacts>,
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
    /// Who may read devices and contacts.
    pub contacts: PageContacts,
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
    /// Only who may read contacts, as the command line can say.
    #[must_use]
    pub fn of_contacts(contacts: Option<PageContacts>) -> Self {
        Self(Raw {
            contacts,
            ..Raw::default()
        })
    }

    /// True if these options say who may read contacts.
    pub(super) const fn names_contacts(&self) -> bool {
        self.0.contacts.is_some()
    }

    /// Fails if contacts need a session and the login is off. Call this on all options together.
    pub fn check(&self) -> Result<(), NoLogin> {
        let needs_login = self.0.contacts == Some(PageContacts::Login);
        if needs_login && self.0.login != Some(true) {
            return Err(NoLogin);
        }
        Ok(())
    }

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
            contacts: own.contacts.or(below.contacts),
        })
    }

    pub(super) fn settle(self) -> PageSettings {
        PageSettings {
            login: self.0.login.unwrap_or(false),
            session: self.0.session.map_or(SESSION, Length::duration),
            certificate: self.0.certificate.zip(self.0.key),
            contacts: self.0.contacts.unwrap_or_default(),
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
            ("{contacts: all}", "everyone"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn contacts_for_sessions_need_the_login() {
        let parse = |text: &str| serde_yaml::from_str::<PageOptions>(text).unwrap();
        let of = |text: &str| parse(text).settle().contacts;
        assert_eq!(of("{}"), PageContacts::Everyone);
        assert_eq!(of("{contacts: nobody}"), PageContacts::Nobody);
        for text in ["{contacts: login}", "{login: false, contacts: login}"] {
            assert_eq!(parse(text).check(), Err(NoLogin), "{text}");
        }
        let given = PageOptions::of_contacts(Some(PageContacts::Login));
        assert_eq!(given.clone().over(parse("{}")).check(), Err(NoLogin));
        let both = given.over(parse("{login: true, contacts: nobody}"));
        assert_eq!(both.check(), Ok(()));
        assert_eq!(both.settle().contacts, PageContacts::Login);
    }
}
