//! Rules and targets, as the daemon uses them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use super::{Alert, AlertKind, Include, Quiet};
use crate::lists::FeedUrl;

/// The `notify` section, settled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertSettings {
    /// Where alerts go, by name.
    pub targets: BTreeMap<String, Target>,
    /// Which alerts go where.
    pub rules: Vec<Rule>,
    /// The hours in which alerts wait.
    pub quiet: Option<Quiet>,
    /// Time in which the same condition is not alerted again.
    pub repeat_after: Duration,
    /// The most alerts of one target in an hour.
    pub most_per_hour: u32,
}

/// Which alerts go where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The kinds.
    pub on: BTreeSet<AlertKind>,
    /// Only contacts with these policies; empty: all.
    pub policies: BTreeSet<String>,
    /// Names of the targets.
    pub to: BTreeSet<String>,
    /// Private parts that these targets get.
    pub include: BTreeSet<Include>,
}

/// Where alerts go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A POST to a server.
    Webhook(Webhook),
    /// A program.
    Command(Command),
    /// A mail, through the program `sendmail`.
    Mail(Mail),
    /// A broker.
    Mqtt(Mqtt),
}

/// A webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The URL, or the file that has it.
    pub url: Secret<FeedUrl>,
    /// File with the secret that signs; `None`: not signed.
    pub secret_file: Option<PathBuf>,
    /// True if the name of the host may lead into the gateway's networks.
    pub local: bool,
}

/// A value, or the file that has it, because the value is a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret<T> {
    /// In the settings.
    Stated(T),
    /// In a file, which is read for each use.
    File(PathBuf),
}

/// A program with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program, an absolute path.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// A mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Who gets it.
    pub to: Vec<String>,
    /// Who sends it.
    pub from: String,
    /// The program that sends it.
    pub sendmail: PathBuf,
}

/// A broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mqtt {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User and the file with the password.
    pub user: Option<(String, PathBuf)>,
    /// Begin of the topics.
    pub topic: String,
    /// Begin of Home Assistant's topics; `None`: no discovery.
    pub discovery: Option<String>,
}

impl Target {
    /// The key that makes a target one of this kind.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Command(_) => "command",
            Self::Mail(_) => "mail",
            Self::Mqtt(_) => "mqtt",
        }
    }
}

impl AlertSettings {
    /// The targets of an alert, each with the private parts that it gets. The first rule that
    /// names a target decides.
    #[must_use]
    pub fn targets_of(&self, alert: &Alert) -> Vec<(&str, &BTreeSet<Include>)> {
        let mut found: BTreeMap<&str, &BTreeSet<Include>> = BTreeMap::new();
        for rule in self.rules.iter().filter(|rule| rule.is_about(alert)) {
            for target in &rule.to {
                found.entry(target).or_insert(&rule.include);
            }
        }
        found.into_iter().collect()
    }
}

impl Rule {
    fn is_about(&self, alert: &Alert) -> bool {
        let is_policy = alert.kind != AlertKind::FirstContact
            || self.policies.is_empty()
            || self.policies.contains(&alert.subject);
        self.on.contains(&alert.kind) && is_policy
    }
}
