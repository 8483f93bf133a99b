//! The settings in force, each with where it comes from, for `monitor config`.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use super::{DeviceOption, ModeOption, Options, Settings, places::lines_of_keys};
use crate::{
    address::Derivation,
    alerts::Target,
    datapath::{FragsChoice, ModeChoice},
    printable,
    snapshot::Mode,
};

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nothing sets it.
    Default,
    /// A line of the config file.
    File {
        /// Path as given.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// An argument.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", printable::path(path)),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shown {
    /// Path of the key in a config file, such as `store.keep`.
    pub key: String,
    /// The value in force.
    pub value: Value,
    /// Where it comes from.
    pub from: Origin,
}

/// Every setting. `file` is the config file with its text, if one was read; `arguments` are the
/// options of the command line alone.
#[must_use]
pub fn shown(
    settings: &Settings,
    file: Option<(PathBuf, &str)>,
    arguments: &Options,
) -> Vec<Shown> {
    let (path, text) = file.unwrap_or_default();
    let mut lines = lines_of_keys(text);
    if let Some(line) = lines.remove("interfaces") {
        lines.insert("interface".to_owned(), line);
    }
    let given = arguments.given();
    let origin = |key: &str| {
        if given.contains(&key) {
            Origin::CommandLine
        } else if let Some(line) = lines.get(key) {
            let path = path.clone();
            Origin::File { path, line: *line }
        } else {
            Origin::Default
        }
    };
    let mut all = settings.values();
    // What has no value of its own here is shown as it is written.
    for (key, value) in written(text) {
        if !all.iter().any(|(known, _)| *known == key) {
            all.push((key, value));
        }
    }
    let each = all.into_iter().map(|(key, value)| Shown {
        from: origin(&key),
        key,
        value,
    });
    each.collect()
}

/// The settings as YAML, with comments that say where each comes from.
#[must_use]
pub fn shown_as_text(shown: &[Shown]) -> String {
    let lines: Vec<_> = shown
        .iter()
        .map(|shown| {
            (
                format!("{}: {}", shown.key, word(&shown.value)),
                &shown.from,
            )
        })
        .collect();
    let width = lines
        .iter()
        .map(|(line, _)| line.chars().count())
        .max()
        .unwrap_or(0);
    let width = width.min(60);
    let lines = lines.iter();
    let each: Vec<_> = lines
        .map(|(line, from)| format!("{line:width$}  # {from}\n"))
        .collect();
    each.concat()
}

/// A value as YAML.
fn word(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::Array(values) => {
            let words: Vec<_> = values.iter().map(word).collect();
            format!("[{}]", words.join(", "))
        }
        other => other.to_string(),
    }
}

fn is_plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._-: ".contains(c))
        && !text.contains(": ")
        && !text.ends_with([' ', ':'])
}

/// Keys and values of the file, for keys with a section of their own kind.
fn written(text: &str) -> Vec<(String, Value)> {
    const SECTIONS: [&str; 3] = ["devices", "lan", "data"];
    let sections: BTreeMap<String, serde_yaml::Value> =
        serde_yaml::from_str(text).unwrap_or_default();
    let mut found = Vec::new();
    for section in SECTIONS {
        if let Some(serde_yaml::Value::Mapping(entries)) = sections.get(section) {
            for (key, value) in entries {
                if let (Some(key), Ok(value)) = (key.as_str(), serde_json::to_value(value)) {
                    found.push((format!("{section}.{key}"), value));
                }
            }
        }
    }
    found
}

impl Options {
    /// Keys of the options that the command line can set, and sets.
    fn given(&self) -> Vec<&'static str> {
        let Self {
            interface,
            mode,
            frags,
            egress,
            listen,
            listen_token_file,
            state_dir,
            pin_dir,
            socket,
            policies,
            log_packets,
            watch,
            evidence,
            page,
            ..
        } = self;
        let given = [
            ("interface", !interface.0.is_empty()),
            ("mode", mode.is_some()),
            ("frags", frags.is_some()),
            ("egress", egress.is_some()),
            ("listen", !listen.0.is_empty()),
            ("listen_token_file", listen_token_file.is_some()),
            ("state_dir", state_dir.is_some()),
            ("pin_dir", pin_dir.is_some()),
            ("socket", socket.is_some()),
            ("policies", !policies.0.is_empty()),
            ("log_packets", log_packets.is_some()),
            ("watch", watch.is_some()),
            ("evidence", evidence.is_some()),
            ("page.contacts", page.names_contacts()),
        ];
        given
            .into_iter()
            .filter(|(_, is_given)| *is_given)
            .map(|(key, _)| key)
            .collect()
    }
}

impl Settings {
    /// Keys and values, in the order in which they are shown.
    fn values(&self) -> Vec<(String, Value)> {
        let path = |path: &PathBuf| json!(printable::path(path).to_string());
        let time = |time| json!(humantime::format_duration(time).to_string());
        let mode = match self.mode {
            ModeChoice::Auto => ModeOption::Auto,
            ModeChoice::Only(Mode::Native) => ModeOption::Native,
            ModeChoice::Only(_) => ModeOption::Generic,
        };
        let frags = match self.frags {
            FragsChoice::Auto => "auto",
            FragsChoice::Only(true) => "always",
            FragsChoice::Only(false) => "never",
        };
        let egress = match self.egress {
            ModeChoice::Auto => "auto",
            ModeChoice::Only(mode) => mode.name(),
        };
        let listen = self.listen.iter().map(super::Listen::written);
        let dns = std::time::Duration::try_from(self.dns.keep).unwrap_or_default();
        let device = match self.device {
            DeviceOption::Pseudonym => "pseudonym",
            DeviceOption::Mac => "mac",
        };
        let mut values = vec![
            ("interface", json!(self.with_roles())),
            ("mode", json!(format!("{mode:?}").to_lowercase())),
            ("frags", json!(frags)),
            ("egress", json!(egress)),
            ("policies", self.policies.iter().map(path).collect()),
            ("state_dir", path(&self.state_dir)),
            ("pin_dir", path(&self.pin_dir)),
            ("socket", path(&self.socket)),
            ("listen", listen.collect()),
            (
                "listen_token_file",
                self.listen_token_file.as_ref().map_or(Value::Null, path),
            ),
            (
                "evidence",
                json!(format!("{:?}", self.evidence).to_lowercase()),
            ),
            ("store.keep", time(self.store.keep)),
            ("store.size", json!(format!("{}MiB", self.store.size >> 20))),
            ("dns.keep", time(dns)),
            ("dns.answers", json!(self.dns.answers)),
            ("metrics.device", json!(device)),
            ("metrics.max_devices", json!(self.max_devices)),
            ("devices.forget_after", time(self.forget_after)),
            ("watch", json!(self.watch)),
            ("log_packets", json!(self.log_packets)),
        ];
        if self.derivation == Derivation::none() {
            values.push(("derive", json!("none")));
        }
        values.extend([
            ("page.login", json!(self.page.login)),
            ("page.session", time(self.page.session)),
            (
                "page.contacts",
                json!(format!("{:?}", self.page.contacts).to_lowercase()),
            ),
        ]);
        if let Some((certificate, key)) = &self.page.certificate {
            values.push(("page.certificate", path(certificate)));
            values.push(("page.key", path(key)));
        }
        if let Some(file) = &self.feeds.ca_file {
            values.push(("feeds.ca_file", path(file)));
        }
        let values = values
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value));
        values.chain(self.notify_values()).collect()
    }

    /// What `notify` sets. URLs and arguments can hold secrets and are left out.
    fn notify_values(&self) -> Vec<(String, Value)> {
        let alerts = &self.alerts;
        if alerts.targets.is_empty() {
            return Vec::new();
        }
        let target = |(name, target): (&String, &Target)| {
            (format!("notify.targets.{name}"), json!(target.word()))
        };
        let mut values: Vec<_> = alerts.targets.iter().map(target).collect();
        let repeat = humantime::format_duration(alerts.repeat_after).to_string();
        values.extend([
            ("notify.rules".to_owned(), json!(alerts.rules.len())),
            ("notify.repeat_after".to_owned(), json!(repeat)),
            (
                "notify.most_per_hour".to_owned(),
                json!(alerts.most_per_hour),
            ),
        ]);
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_says_where_it_comes_from() {
        let text = "# c\ninterfaces: [wlan0, 'eth0:wan']\nmode: generic\nstore:\n  keep: 7d\nlan: {resolvers: ['::1']}\n";
        let file = Options::parse(text).unwrap();
        let arguments = Options {
            mode: Some(ModeOption::Native),
            ..Options::default()
        };
        let settings = arguments.clone().over(file).settle();
        let all = shown(&settings, Some(("m.yaml".into(), text)), &arguments);
        let line = |key: &str| {
            let found = all.iter().find(|shown| shown.key == key).unwrap();
            format!("{} {}", word(&found.value), found.from)
        };
        assert_eq!(line("interface"), "[wlan0, eth0:wan] m.yaml:2");
        assert_eq!(line("mode"), "native command line");
        assert_eq!(line("store.keep"), "7days m.yaml:5");
        assert_eq!(line("store.size"), "200MiB default");
        assert_eq!(line("lan.resolvers"), "[\"::1\"] m.yaml:6");
        assert_eq!(line("listen"), "[127.0.0.1:9641] default");
        assert_eq!(line("listen_token_file"), "null default");
    }
}
