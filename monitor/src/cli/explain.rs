//! `monitor explain`: what the policies decide about an address, and why.

use std::{io, net::IpAddr};

use anyhow::bail;
use clap::Args;
use jiff::{Timestamp, Zoned};
use monitor::{
    clock::now,
    config::Settings,
    data::{carried, rdap},
    datapath,
    explain::explain,
    feeds::{DiskAndFeeds, Own},
    guard::Gateway,
    pipeline::judge_files,
    policy::{
        DeviceNames, Direction, InvalidService, Loaded, Moment, Packet, RuntimeOverlay, Service,
    },
    printable,
    state_dir::{StateDirError, read_runtime},
};

use super::{Common, Outcome, data, eprint_diagnostics, print, print_json, tell};

/// Explain what happens to packets to an address: every matching policy, with file and line.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// Destination address. If an IPv6 address carries an IPv4 address (NAT64, 6to4,
    /// IPv4-mapped), IPv4 destinations are shown too
    #[arg(value_parser = address)]
    address: IpAddr,
    /// Device that sends the packets: its MAC, address or name (repeatable)
    #[arg(long, value_name = "MAC|IP|NAME")]
    device: Vec<String>,
    /// Service that the packets are sent to: tcp/443, udp/53, icmp
    #[arg(long, value_parser = service)]
    service: Option<Service>,
    /// Interface on which the packets arrive
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// Direction of the packets: `out` to the address, or `in` from it, as they arrive at an
    /// interface with the role `wan`, where the device is not known
    #[arg(long, value_name = "out|in", value_parser = direction, default_value = "out", hide_default_value = true)]
    direction: Direction,
    /// Also ask an RDAP server about the address: its operator learns which address is of
    /// interest. By default, it is the server of the registry in a copy of
    /// IANA's table of 2019
    #[arg(long)]
    rdap: bool,
    /// Base URL of the RDAP server to ask
    #[arg(long, value_name = "URL", requires = "rdap")]
    rdap_server: Option<rdap::Server>,
    /// Time at which the packets arrive, such as 2026-12-24T22:30:00+01:00 [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Moment>,
}

fn moment(text: &str) -> Result<Moment, String> {
    let zoned = text.parse::<Zoned>().map(|zoned| zoned.timestamp());
    let at = zoned.or_else(|_| text.parse::<Timestamp>());
    at.map(Moment::given).map_err(|error| {
        format!("{error}; write an offset or a time zone: 2026-12-24T22:30:00Z, or 2026-12-24T22:30[Europe/Madrid]")
    })
}

impl Explain {
    pub(crate) fn run(self, common: &Common) -> anyhow::Result<Outcome> {
        let settings = common.settings()?;
        let gateway = settings.gateway()?;
        let loaded = self.policies(&settings, &gateway)?;
        let packet = self.packet(&loaded.devices)?;
        let mut explanation = explain(&loaded.policies, &gateway.derivation, self.address, &packet);
        let stated = data::read(&settings).about(self.address, &gateway.derivation);
        explanation.holder.extend(stated);
        let asked = self.rdap.then(|| self.ask(&settings, &gateway));
        if let Some(Ok(answer)) = &asked {
            explanation.holder.extend(answer.statements.clone());
            explanation.rdap = Some(answer.clone());
        }
        if common.json {
            print_json(&explanation)?;
        } else {
            print(&explanation.to_string())?;
        }
        match asked {
            Some(Err(error)) => Err(error.context("the answer above is without RDAP")),
            Some(Ok(_)) | None => Ok(Outcome::Fine),
        }
    }

    /// The policies as they are at the time of the question.
    fn policies(&self, settings: &Settings, gateway: &Gateway) -> anyhow::Result<Loaded> {
        let now = now();
        let mut loaded = judge_files(
            &settings.policies,
            &DiskAndFeeds::new(&settings.state_dir),
            &runtime_overlay(settings)?,
            &now,
            gateway,
        );
        if loaded.diagnostics.has_errors() {
            eprint_diagnostics(&loaded.diagnostics);
            bail!("the policies cannot be used: fix the errors above");
        }
        // If nothing matches, a feed without a download may be the reason.
        let diagnostics = std::mem::take(&mut loaded.diagnostics);
        eprint_diagnostics(&diagnostics.without_notes());
        let moment = self.at.unwrap_or(now);
        for policy in &mut loaded.policies {
            policy.set_now(&moment);
        }
        Ok(loaded)
    }

    /// Asks an RDAP server about the address, or about the IPv4 address that it carries. The
    /// local data is asked about the same one.
    fn ask(&self, settings: &Settings, gateway: &Gateway) -> anyhow::Result<rdap::Answer> {
        let own = Own {
            addresses: datapath::own_addresses()?,
            networks: gateway.networks.clone(),
        };
        let client = rdap::Client::new(settings.feeds.ca_file.as_deref(), own)?;
        let address = carried(self.address, &gateway.derivation);
        Ok(client.ask(address, self.rdap_server.as_ref(), Timestamp::now())?)
    }

    fn packet(&self, names: &DeviceNames) -> anyhow::Result<Packet> {
        let mut packet = Packet {
            service: self.service,
            interface: self.interface.clone(),
            direction: self.direction,
            ..Packet::default()
        };
        if self.direction == Direction::In && !self.device.is_empty() {
            bail!("--direction in has no --device: behind NAT the device is not known");
        }
        for text in &self.device {
            let of_name = names.macs().find(|(name, _)| name == text);
            let mac = of_name.map(|(_, mac)| mac).or_else(|| text.parse().ok());
            if mac.is_some() {
                packet.mac = mac;
            } else if let Ok(address) = text.parse() {
                packet.address = Some(address);
            } else {
                bail!(
                    "--device {text}: write a MAC such as 64:cc:2e:11:22:33, an address, or a name that `devices:` gives to one MAC"
                );
            }
        }
        Ok(packet)
    }
}

/// The changes that commands made to the daemon's filter.
fn runtime_overlay(settings: &Settings) -> anyhow::Result<RuntimeOverlay> {
    match read_runtime(&settings.state_dir) {
        Err(StateDirError::Io { source, .. })
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            tell(&format!(
                "note: the answer ignores changes by `pause`, `block` and `allow`: only root and the user that runs the daemon can read {}",
                printable::path(&settings.state_dir)
            ));
            Ok(RuntimeOverlay::default())
        }
        read => Ok(read?),
    }
}

/// Parses a direction.
pub(super) fn direction(word: &str) -> Result<Direction, String> {
    let mut all = Direction::ALL.into_iter();
    let found = all.find(|direction| direction.word() == word);
    found.ok_or_else(|| format!("unknown direction {word:?}; write `out` or `in`"))
}

/// Parses a service with one port, because a packet has one.
fn service(text: &str) -> Result<Service, String> {
    let service: Service = text
        .parse()
        .map_err(|error: InvalidService| format!("{error}; write tcp/443, udp/53 or icmp"))?;
    match service {
        Service::Tcp(ports) | Service::Udp(ports) if ports.first() != ports.last() => {
            Err("a packet has one destination port; write one such as tcp/443".to_owned())
        }
        Service::Tcp(_) | Service::Udp(_) | Service::Icmp => Ok(service),
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    let help = "write one IPv4 or IPv6 address such as 42.62.48.181";
    text.parse().map_err(|error| format!("{error}; {help}"))
}
