//! The daemon's settings: built-in defaults, then the config file, then the
//! command line.

mod data;
mod devices;
mod dhcp_servers;
mod doctor;
mod interface;
mod lan;
mod length;
mod listen;
mod memory;
mod notify;
mod one_or_many;
mod options;
mod page;
mod places;
mod resolv_conf;
mod shown;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

pub use self::{
    data::{DataOptions, DataPath, DataUrl},
    devices::{DeviceFileSettings, DevicesOptions, LeasesOption, VendorsOption},
    doctor::{AcceptedOption, DoctorOptions},
    interface::{InterfaceOption, TwoRoles},
    lan::{DeriveOption, LanOptions},
    length::Length,
    listen::{Listen, ListenError},
    memory::{DnsOptions, StoreOptions},
    notify::NotifyOptions,
    one_or_many::OneOrMany,
    options::{
        ConfigError, DeviceOption, EgressOption, FeedsOptions, FragsOption, MetricsOptions,
        ModeOption, Options,
    },
    page::{NoLogin, PageContacts, PageOptions, PageSettings},
    shown::{Origin, Shown, shown, shown_as_text},
};
use crate::{
    address::Derivation,
    alerts::AlertSettings,
    data::DataSources,
    datapath::{self, Filtered, FragsChoice, ModeChoice, Resolved},
    doctor::Accepted,
    evidence::answers::AnswerSettings,
    guard::{Gateway, WanSide},
    metrics::{DeviceLabel, DeviceLabels},
    policy::{EvidenceLevel, MacAddress, Role},
    snapshot::Mode,
    store::StoreSettings,
};

/// The config file of every command without `--config`, if it exists.
pub const DEFAULT_CONFIG: &str = "/etc/monitor/monitor.yaml";
/// Default of `--policies`.
pub const DEFAULT_POLICIES: &str = "/etc/monitor/policies.d";
/// Default of `--state-dir`.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/monitor";
/// Default of `--socket`.
pub const DEFAULT_SOCKET: &str = "/run/monitor/monitor.sock";
/// Default of `--listen`.
pub const DEFAULT_LISTEN: Listen =
    Listen::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9641));

/// Default of `devices.forget_after`.
pub const DEFAULT_FORGET_AFTER: Duration = Duration::from_hours(7 * 24);

/// The options that are in force: each has a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Without repetition, in the order given; may be empty.
    pub interfaces: Vec<String>,
    /// Those of them that lead to the internet. The others are on the devices' side.
    pub wan: Vec<String>,
    /// XDP hook for every interface.
    pub mode: ModeChoice,
    /// Frames in several buffers, for every interface.
    pub frags: FragsChoice,
    /// How classifiers are attached to the egress of interfaces.
    pub egress: ModeChoice,
    /// Addresses of metrics and page, without repetition; at least one.
    pub listen: Vec<Listen>,
    /// File with the token that TCP clients must show.
    pub listen_token_file: Option<PathBuf>,
    /// State directory.
    pub state_dir: PathBuf,
    /// Pin directory, on a BPF file system.
    pub pin_dir: PathBuf,
    /// Control socket.
    pub socket: PathBuf,
    /// Policy files, or directories of them.
    pub policies: Vec<PathBuf>,
    /// True to write matched packets to the log.
    pub log_packets: bool,
    /// True to load changed policy files at once.
    pub watch: bool,
    /// The most that is recorded about matched packets.
    pub evidence: EvidenceLevel,
    /// How long evidence is kept on disk, and how much of it.
    pub store: StoreSettings,
    /// How long DNS answers are kept in memory, and how many.
    pub dns: AnswerSettings,
    /// Label of a device in metrics.
    pub device: DeviceOption,
    /// Number of devices with a label of their own.
    pub max_devices: usize,
    /// How long a device without a name keeps its own counts after its last
    /// packet that a policy matched.
    pub forget_after: Duration,
    /// Files that describe devices.
    pub device_files: DeviceFileSettings,
    /// The network of the devices: resolvers, DHCP servers, NAT64 prefixes.
    pub lan: LanOptions,
    /// Mechanisms by which IPv6 addresses carry IPv4 addresses.
    pub derivation: Derivation,
    /// Settings for downloads of lists.
    pub feeds: FeedsOptions,
    /// Data about ranges: registries, holders, origin AS, countries.
    pub data: DataSources,
    /// Findings of `monitor doctor` that the operator accepts.
    pub accepted: Vec<Accepted>,
    /// Rules and targets of alerts.
    pub alerts: AlertSettings,
    /// Login and TLS of the page, and who may read contacts there.
    pub page: PageSettings,
}

impl Options {
    /// Fills in the defaults.
    #[must_use]
    pub fn settle(self) -> Settings {
        let (interfaces, wan) = interface::by_role(self.interface.0);
        let listen = self.listen.or(OneOrMany(vec![DEFAULT_LISTEN]));
        Settings {
            interfaces: without_repetition(interfaces),
            wan: without_repetition(wan),
            mode: match self.mode.unwrap_or_default() {
                ModeOption::Auto => ModeChoice::Auto,
                ModeOption::Native => ModeChoice::Only(Mode::Native),
                ModeOption::Generic => ModeChoice::Only(Mode::Generic),
            },
            frags: match self.frags.unwrap_or_default() {
                FragsOption::Auto => FragsChoice::Auto,
                FragsOption::Always => FragsChoice::Only(true),
                FragsOption::Never => FragsChoice::Only(false),
            },
            egress: match self.egress.unwrap_or_default() {
                EgressOption::Auto => ModeChoice::Auto,
                EgressOption::Clsact => ModeChoice::Only(Mode::Clsact),
            },
            listen: without_repetition(listen.0.into_iter().map(Listen::absolute)),
            listen_token_file: self
                .listen_token_file
                .map(|path| std::path::absolute(&path).unwrap_or(path)),
            state_dir: absolute(self.state_dir, DEFAULT_STATE_DIR),
            pin_dir: absolute(self.pin_dir, datapath::DEFAULT_PIN_DIR),
            socket: absolute(self.socket, DEFAULT_SOCKET),
            policies: self
                .policies
                .or(OneOrMany(vec![DEFAULT_POLICIES.to_owned()]))
                .0
                .into_iter()
                .map(PathBuf::from)
                .collect(),
            log_packets: self.log_packets.unwrap_or(false),
            watch: self.watch.unwrap_or(true),
            evidence: self.evidence.unwrap_or_default(),
            store: self.store.settle(),
            dns: self.dns.settle(),
            device: self.metrics.device.unwrap_or_default(),
            max_devices: self
                .metrics
                .max_devices
                .unwrap_or(DeviceLabels::DEFAULT_CAPACITY),
            derivation: lan::derivation(self.derive, &self.lan),
            forget_after: self
                .devices
                .forget_after
                .map_or(DEFAULT_FORGET_AFTER, Length::duration),
            device_files: self.devices.files(),
            lan: self.lan,
            feeds: self.feeds,
            data: self.data.settle(),
            accepted: self.doctor.settle(),
            alerts: self.notify.settle(),
            page: self.page.settle(),
        }
    }
}

/// The values in their order, each once.
fn without_repetition<T: PartialEq>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut once = Vec::new();
    for value in values {
        if !once.contains(&value) {
            once.push(value);
        }
    }
    once
}

/// Makes a path absolute, because the daemon and the verbs that reach it may run in
/// different directories.
fn absolute(path: Option<PathBuf>, default: &str) -> PathBuf {
    let path = path.unwrap_or_else(|| default.into());
    // Only an empty path has no absolute form; its use fails with a clear error.
    std::path::absolute(&path).unwrap_or(path)
}

impl Settings {
    /// The gateway with the current addresses of its interfaces.
    pub fn gateway(&self) -> Result<Gateway, datapath::Error> {
        let (lan, wan) = self.real_by_role()?;
        Ok(Gateway {
            wan: self.wan_side(&wan)?,
            next_hops: Vec::new(),
            interfaces: datapath::lan_interfaces(&lan)?,
            networks: datapath::lan_networks(&lan)?,
            resolvers: self.lan.resolvers.clone(),
            dhcp: self.lan.dhcp.clone(),
            derivation: self.derivation.clone(),
        })
    }

    /// The kernel's current names of the interfaces. They can change at any time,
    /// because an interface with an alternative name, or one that matches a pattern, may
    /// appear later.
    pub fn real_interfaces(&self) -> Result<Vec<String>, datapath::Error> {
        Ok(self.resolved_interfaces()?.names())
    }

    /// The interfaces that the configured names stand for now, and those that they leave
    /// out.
    pub fn resolved_interfaces(&self) -> Result<Resolved, datapath::Error> {
        let configured: Vec<Filtered> = self.configured().collect();
        datapath::resolve(&self.pin_dir, &configured)
    }

    /// The configured names, each with its role.
    fn configured(&self) -> impl Iterator<Item = Filtered> {
        self.interfaces.iter().map(|name| Filtered {
            name: name.clone(),
            role: self.role(name),
        })
    }

    /// The configured names, with the role behind those that lead to the internet.
    fn with_roles(&self) -> Vec<String> {
        let each = self.configured().map(|one| match one.role {
            Role::Lan => one.name,
            Role::Wan => format!("{}:{}", one.name, one.role),
        });
        each.collect()
    }

    /// True if a configured pattern matches this name.
    #[must_use]
    pub fn is_matched(&self, name: &str) -> bool {
        let mut patterns = self.interfaces.iter();
        patterns.any(|other| datapath::is_pattern(other) && datapath::matches(other, name))
    }

    /// What the gateway itself needs on these interfaces towards the internet.
    fn wan_side(&self, names: &[String]) -> Result<WanSide, datapath::Error> {
        if names.is_empty() {
            return Ok(WanSide::default());
        }
        let mut resolvers = self.lan.resolvers.clone();
        resolvers.extend(resolv_conf::resolvers());
        Ok(WanSide {
            interfaces: datapath::lan_interfaces(names)?,
            resolvers,
            dhcp: dhcp_servers::servers(names),
            next_hops: datapath::next_hops()?,
        })
    }

    /// The interfaces with the kernel's current names, and their roles.
    pub fn filtered(&self) -> Result<Vec<Filtered>, datapath::Error> {
        Ok(self.resolved_interfaces()?.filtered)
    }

    /// The kernel's current names of the interfaces on the devices' side.
    pub fn real_lan(&self) -> Result<Vec<String>, datapath::Error> {
        Ok(self.real_by_role()?.0)
    }

    /// The kernel's current names of the interfaces on the devices' side, and of those that
    /// lead to the internet.
    fn real_by_role(&self) -> Result<(Vec<String>, Vec<String>), datapath::Error> {
        let (lan, wan): (Vec<_>, Vec<_>) = self
            .filtered()?
            .into_iter()
            .partition(|interface| interface.role == Role::Lan);
        let names = |filtered: Vec<Filtered>| filtered.into_iter().map(|one| one.name).collect();
        Ok((names(lan), names(wan)))
    }

    /// As [`real_lan`](Self::real_lan). The names as they are configured, if the kernel's names
    /// cannot be read.
    #[must_use]
    pub fn lan_names(&self) -> Vec<String> {
        self.real_lan().unwrap_or_else(|_| {
            let lan = self.configured().filter(|one| one.role == Role::Lan);
            lan.map(|one| one.name).collect()
        })
    }

    /// The names, and `gateway` for the MACs of the gateway towards the internet that have none.
    /// If these cannot be read, they get no name.
    #[must_use]
    pub fn with_own_name(
        &self,
        mut names: BTreeMap<MacAddress, String>,
    ) -> BTreeMap<MacAddress, String> {
        if self.wan.is_empty() {
            return names;
        }
        let wan = self.real_by_role().map(|(_, wan)| wan).unwrap_or_default();
        for mac in datapath::macs(&wan).unwrap_or_default() {
            names.entry(mac).or_insert_with(|| "gateway".to_owned());
        }
        names
    }

    fn role(&self, name: &String) -> Role {
        if self.wan.contains(name) {
            Role::Wan
        } else {
            Role::Lan
        }
    }

    /// How metrics label devices.
    #[must_use]
    pub fn device_label(&self) -> DeviceLabel {
        match self.device {
            DeviceOption::Pseudonym => DeviceLabel::Pseudonym,
            DeviceOption::Mac => DeviceLabel::Mac,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_command_line_wins_over_the_file_and_the_file_over_the_defaults() {
        let file = Options::parse("interface: [a, b, a]\nmode: generic\nsocket: /x\n").unwrap();
        let command_line = Options {
            mode: Some(ModeOption::Native),
            ..Options::default()
        };
        let settings = command_line.over(file).settle();
        assert_eq!(settings.interfaces, ["a", "b"]);
        assert_eq!(settings.mode, ModeChoice::Only(Mode::Native));
        assert_eq!(settings.socket, Path::new("/x"));
        assert_eq!(settings.listen, [DEFAULT_LISTEN]);
    }

    #[test]
    fn one_place_to_listen_at_or_several() {
        let one = Options::parse("listen: unix:http.sock\n").unwrap().settle();
        let here = std::env::current_dir().unwrap();
        assert_eq!(one.listen, [Listen::Unix(here.join("http.sock"))]);
        let two = Options::parse("listen: ['[::1]:1', 127.0.0.1:1, '[::1]:1']\n").unwrap();
        assert_eq!(two.settle().listen.len(), 2);
        for wrong in ["mode: auto\nlisten: nowhere\n", "\nlisten: [nowhere]\n"] {
            let error = Options::parse(wrong).unwrap_err();
            assert!(error.to_string().contains("unix:/run"), "{error}");
            assert_eq!(error.location().map(|at| at.line()), Some(2));
        }
    }

    #[test]
    fn what_daemon_and_verbs_share_is_absolute() {
        let options = Options::parse("socket: s\nstate_dir: d\npin_dir: p\n").unwrap();
        let settings = options.settle();
        let here = std::env::current_dir().unwrap();
        assert_eq!(settings.socket, here.join("s"));
        assert_eq!(settings.state_dir, here.join("d"));
        assert_eq!(settings.pin_dir, here.join("p"));
    }

    #[test]
    fn what_the_gateway_hands_out() {
        let options = Options::parse("lan: {resolvers: [192.0.2.53, '::1'], dhcp: []}\n").unwrap();
        let settings = Options::default().over(options).settle();
        assert_eq!(settings.lan.resolvers.len(), 2);
        assert!(settings.lan.dhcp.is_empty());
        assert!(Options::parse("lan: {resolver: [192.0.2.53]}\n").is_err());
    }

    #[test]
    fn how_long_devices_are_remembered() {
        let settings = Options::parse("devices: {forget_after: 36h}\n")
            .unwrap()
            .settle();
        assert_eq!(settings.forget_after, Duration::from_hours(36));
        let default = Options::default().settle();
        assert_eq!(default.forget_after, DEFAULT_FORGET_AFTER);
        for bad in ["0s", "soon", "999ms"] {
            let text = format!("devices:\n  forget_after: {bad}\n");
            let error = Options::parse(&text).unwrap_err();
            assert_eq!(error.location().map(|at| at.line()), Some(2), "{error}");
            assert!(error.to_string().contains("write a time"), "{error}");
        }
    }
}
