//! The options as they are typed, in the config file or on the command line.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    data::DataOptions,
    devices::DevicesOptions,
    doctor::DoctorOptions,
    interface::InterfaceOption,
    lan::{DeriveOption, LanOptions},
    listen::Listen,
    memory::{DnsOptions, StoreOptions},
    notify::NotifyOptions,
    one_or_many::OneOrMany,
    page::PageOptions,
};
use crate::{
    policy::{EvidenceLevel, Excess, yaml_limits},
    quoted::message,
    regular_file::{self, Purpose},
};

/// Settings as written in the config file or on the command line.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Interfaces to attach to.
    #[serde(alias = "interfaces")]
    pub interface: OneOrMany<InterfaceOption>,
    /// XDP hook to use.
    pub mode: Option<ModeOption>,
    /// Frames in several buffers.
    pub frags: Option<FragsOption>,
    /// How classifiers are attached.
    pub egress: Option<EgressOption>,
    /// All places at which the daemon serves metrics and the page.
    pub listen: OneOrMany<Listen>,
    /// File with the token that TCP clients must show.
    pub listen_token_file: Option<PathBuf>,
    /// State directory, for what must survive a reboot.
    pub state_dir: Option<PathBuf>,
    /// Pin directory, for what must survive the daemon.
    pub pin_dir: Option<PathBuf>,
    /// Control socket, on which other verbs reach the daemon.
    pub socket: Option<PathBuf>,
    /// Policy files, or directories of them.
    pub policies: OneOrMany,
    /// True to write matched packets to the log.
    pub log_packets: Option<bool>,
    /// True to load changed policy files at once.
    pub watch: Option<bool>,
    /// The most that is recorded about matched packets.
    pub evidence: Option<EvidenceLevel>,
    /// How long evidence is kept on disk, and how much of it.
    pub store: StoreOptions,
    /// How long DNS answers are kept in memory, and how many.
    pub dns: DnsOptions,
    /// How metrics name devices.
    pub metrics: MetricsOptions,
    /// How long the filter remembers devices, and files that describe them.
    pub devices: DevicesOptions,
    /// The network of the devices: resolvers, DHCP servers, NAT64 prefixes.
    pub lan: LanOptions,
    /// Setting for IPv6 prefixes that are derived from IPv4 destinations.
    pub derive: Option<DeriveOption>,
    /// Settings for downloads of lists.
    pub feeds: FeedsOptions,
    /// Data about ranges: files and feeds.
    pub data: DataOptions,
    /// Findings of `monitor doctor` that the operator accepts.
    pub doctor: DoctorOptions,
    /// Rules and targets of alerts.
    pub notify: NotifyOptions,
    /// Login and TLS of the page, and who may read contacts there.
    pub page: PageOptions,
}

/// The `feeds` section of the config file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeedsOptions {
    /// Certificates to trust (PEM), in place of the system's.
    pub ca_file: Option<PathBuf>,
}

/// The `metrics` section of the config file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsOptions {
    /// Label of a device.
    pub device: Option<DeviceOption>,
    /// Number of devices with a label of their own; the others share `other`.
    pub max_devices: Option<usize>,
}

/// `metrics.device`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceOption {
    /// A keyed hash of the MAC, stable on this gateway.
    #[default]
    Pseudonym,
    /// The MAC itself.
    Mac,
}

/// `mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ModeOption {
    /// The driver's hook if there is one, otherwise the generic hook.
    #[default]
    Auto,
    /// The driver's hook; an error if there is none.
    Native,
    /// The hook of the network stack; WiFi has only this one.
    Generic,
}

/// `frags`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum FragsOption {
    /// Where the driver refuses native mode without it.
    #[default]
    Auto,
    /// On every interface.
    Always,
    /// On no interface.
    Never,
}

/// `egress`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum EgressOption {
    /// By a link (TCX) if the kernel has it, otherwise by `clsact`.
    #[default]
    Auto,
    /// As a filter of the queueing discipline `clsact`, which `tc filter show` lists.
    Clsact,
}

impl Options {
    /// Reads a config file (YAML); paths in it are relative to its directory.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            regular_file::read_text(path, Purpose::Config).map_err(|source| ConfigError::Read {
                path: path.to_owned(),
                source,
            })?;
        yaml_limits::check(&text).map_err(|(excess, span)| ConfigError::Shape {
            path: path.to_owned(),
            place: line_and_column(&text, span.start),
            excess,
        })?;
        let mut options = Self::parse(&text).map_err(|source| ConfigError::Parse {
            path: path.to_owned(),
            source,
        })?;
        options.resolve_paths(path.parent().unwrap_or(Path::new("")));
        Ok(options)
    }

    /// Parses the text of a config file; an empty one sets nothing.
    pub fn parse(text: &str) -> Result<Self, serde_yaml::Error> {
        let options: Option<Self> = serde_yaml::from_str(text)?;
        Ok(options.unwrap_or_default())
    }

    fn resolve_paths(&mut self, base: &Path) {
        self.devices.resolve_paths(base);
        let ca_file = &mut self.feeds.ca_file;
        for path in [
            &mut self.state_dir,
            &mut self.pin_dir,
            &mut self.socket,
            &mut self.listen_token_file,
            ca_file,
        ] {
            *path = path.take().map(|path| base.join(path));
        }
        self.data.resolve_paths(base);
        self.notify.resolve_paths(base);
        self.page.resolve_paths(base);
        for listen in &mut self.listen.0 {
            if let Listen::Unix(path) = listen {
                *path = base.join(&path);
            }
        }
        for path in &mut self.policies.0 {
            *path = base.join(&path).to_string_lossy().into_owned();
        }
    }

    /// Merges two sets of options: a value here wins over one in `below`.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            interface: self.interface.or(below.interface),
            mode: self.mode.or(below.mode),
            frags: self.frags.or(below.frags),
            egress: self.egress.or(below.egress),
            listen: self.listen.or(below.listen),
            listen_token_file: self.listen_token_file.or(below.listen_token_file),
            state_dir: self.state_dir.or(below.state_dir),
            pin_dir: self.pin_dir.or(below.pin_dir),
            socket: self.socket.or(below.socket),
            policies: self.policies.or(below.policies),
            log_packets: self.log_packets.or(below.log_packets),
            watch: self.watch.or(below.watch),
            evidence: self.evidence.or(below.evidence),
            store: self.store.over(below.store),
            dns: self.dns.over(below.dns),
            metrics: MetricsOptions {
                device: self.metrics.device.or(below.metrics.device),
                max_devices: self.metrics.max_devices.or(below.metrics.max_devices),
            },
            devices: self.devices.over(below.devices),
            lan: self.lan.or(below.lan),
            derive: self.derive.or(below.derive),
            feeds: FeedsOptions {
                ca_file: self.feeds.ca_file.or(below.feeds.ca_file),
            },
            data: self.data.over(below.data),
            doctor: self.doctor.or(below.doctor),
            notify: self.notify.over(below.notify),
            page: self.page.over(below.page),
        }
    }
}

/// A config file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read config file {}: {source}", crate::printable::path(path))]
    Read {
        /// As given.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file has an unknown key or an invalid value.
    #[error(
        "config file {}{}: {}",
        crate::printable::path(path),
        position(source),
        message(source.to_string())
    )]
    Parse {
        /// As given.
        path: PathBuf,
        /// The parser's answer.
        source: serde_yaml::Error,
    },
    /// The file is nested too deeply, or too large with its aliases.
    #[error("config file {}:{}:{}: {excess}; {}", crate::printable::path(path), place.0, place.1, excess.help())]
    Shape {
        /// As given.
        path: PathBuf,
        /// Line and column, both from 1.
        place: (usize, usize),
        /// The limit that the file exceeds.
        excess: Excess,
    },
}

/// Line and column, both from 1, of the character with this number.
fn line_and_column(text: &str, character: usize) -> (usize, usize) {
    let before = text.chars().take(character);
    before.fold((1, 1), |(line, column), c| match c {
        '\n' => (line + 1, 1),
        _ => (line, column + 1),
    })
}

fn position(error: &serde_yaml::Error) -> String {
    error
        .location()
        .map_or_else(String::new, |at| format!(":{}:{}", at.line(), at.column()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_an_error_with_its_place() {
        let error = Options::parse("listen: 127.0.0.1:1\nmetrics:\n  devices: mac\n").unwrap_err();
        assert!(error.to_string().contains("devices"), "{error}");
        assert_eq!(error.location().map(|at| at.line()), Some(3));
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let mut options = Options::parse("policies: p\nstate_dir: /s\n").unwrap();
        options.resolve_paths(Path::new("/etc/monitor"));
        let settings = options.settle();
        assert_eq!(settings.policies, [Path::new("/etc/monitor/p")]);
        assert_eq!(settings.state_dir, Path::new("/s"));
    }

    #[test]
    fn an_empty_file_sets_nothing() {
        assert_eq!(Options::parse("# nothing\n").unwrap(), Options::default());
    }
}
