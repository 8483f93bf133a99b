//! Access point and stations on simulated radios, with the daemon on the access point's
//! interface or on a bridge with it.

mod air;
mod evasion;
mod frames;
mod network;
mod restart;
mod stations;

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};

use self::air::Air;
use self::network::Network;
use super::gateway::Gateway;
use super::phone::{ALL, BLOCKED, FILTERED, OPEN, Servers};
use super::{Guest, fact, must_be, seen, wait_for, write};
use crate::netns::Namespace;
use crate::system::output;
use crate::vm::wifi::{Seat, Security, Step};

/// Host names that the stations state in DHCP.
const DROPPED_NAME: &str = "annas-phone";
const OTHER_NAME: &str = "bens-phone";

pub(super) fn play(guest: &Guest, security: Security, seat: Seat) -> Result<()> {
    guest.load_modules(&["veth", "bridge"])?;
    let mut trial = None;
    step(Step::Associate, || {
        trial = Some(Trial::make(guest, security, seat)?);
        Ok(())
    })?;
    let mut trial = trial.context("no access point")?;
    step(Step::Drop, || trial.one_is_dropped())?;
    step(Step::Name, || trial.is_named())?;
    step(Step::Doctor, || trial.doctor_says_it())?;
    step(Step::Stations, || trial.stations_reach_each_other())?;
    step(Step::Restart, || trial.restarts())?;
    step(Step::Again, || trial.is_made_again())?;
    step(Step::Evasion, || trial.nothing_evades())?;
    step(Step::Detach, || trial.detaches())
}

/// Runs a step and reports how it ended.
fn step(step: Step, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let done = work();
    let result = if done.is_ok() { "passed" } else { "FAILED" };
    fact(step.key(), result);
    done.with_context(|| format!("{step:?}"))
}

/// Everything that a run needs. The fields are dropped in this order.
struct Trial<'a> {
    seat: Seat,
    gateway: Gateway<'a>,
    network: Network,
    servers: Servers,
    air: Air<'a>,
    /// Evasion frames that reach the open address.
    delivered: BTreeSet<String>,
}

impl<'a> Trial<'a> {
    fn make(guest: &'a Guest, security: Security, seat: Seat) -> Result<Self> {
        let air = Air::make(guest, security, seat)?;
        let servers = Servers::start()?;
        let network = Network::start(seat)?;
        for (station, name) in air.stations().into_iter().zip([DROPPED_NAME, OTHER_NAME]) {
            network.lease(guest, station, name)?;
        }
        for station in air.stations() {
            must_be(
                "without a filter",
                &servers.round(&station.namespace)?,
                &ALL,
            )?;
        }
        seen(format!(
            "{} and {} logged in by {security:?}, and have addresses by DHCP",
            air.dropped.mac, air.other.mac
        ));
        let name = format!("wifi-{security:?}-{seat:?}").to_lowercase();
        let gateway = Gateway::new(guest, &name, &policies(&air.dropped.mac))?;
        Ok(Self {
            seat,
            gateway,
            network,
            servers,
            air,
            delivered: BTreeSet::new(),
        })
    }

    fn interface(&self) -> &'static str {
        self.seat.interface()
    }

    fn dropped(&self) -> &Namespace {
        &self.air.dropped.namespace
    }

    /// Checks that the filter is in force: one station is dropped, the other is not.
    fn must_be_filtered(&self) -> Result<()> {
        must_be("the one", &self.servers.round(self.dropped())?, &FILTERED)?;
        let other = self.servers.round(&self.air.other.namespace)?;
        must_be("the other", &other, &ALL)
    }

    fn one_is_dropped(&mut self) -> Result<()> {
        let config = self.gateway.folder().join("monitor.yaml");
        let leases = self.network.leases().display();
        write(&config, &format!("devices: {{leases: {leases}}}\n"))?;
        let config = config.to_str().context("a path")?.to_owned();
        let interface = self.interface();
        self.gateway
            .start(interface, &["--mode", "auto", "--config", &config])?;
        self.gateway.must_be_in_mode(interface, "generic")?;
        self.must_be_filtered()?;
        self.gateway
            .must_have_counted_a_round(interface, &self.air.dropped.mac)?;
        seen(format!(
            "auto chose generic on {interface}; {} of 10 to {BLOCKED} dropped for {DROPPED_NAME}, all to {OPEN} and all of {OTHER_NAME} passed",
            self.gateway.dropped(interface)?
        ));
        Ok(())
    }

    /// The name from DHCP stands beside the MAC, and the name from DNS beside the address.
    fn is_named(&self) -> Result<()> {
        let mac = &self.air.dropped.mac;
        wait_for("DNS answers are copied", || {
            let status = self.gateway.ask("status", &[])?;
            Ok(status["evidence"]["dns_copied"][0] == self.interface())
        })?;
        self.network.ask_for_the_blocked_name(self.dropped())?;
        must_be("the one", &self.servers.round(self.dropped())?, &FILTERED)?;
        wait_for("the flow of the dropped station has a name", || {
            let answer = self
                .gateway
                .ask("flows", &["--destination", &BLOCKED.to_string()])?;
            let flow = &answer["flows"][0];
            let names = flow["names"].to_string();
            Ok(flow["device"] == mac.as_str() && names.contains(network::BLOCKED_NAME))
        })?;
        wait_for("the station is named by its lease", || {
            let devices = self.gateway.ask("devices", &[])?;
            let mut devices = devices["devices"].as_array().into_iter().flatten();
            let device = devices.find(|device| device["device"] == mac.as_str());
            Ok(device.is_some_and(|device| {
                let names = device["host_names"].to_string();
                names.contains(DROPPED_NAME) && !names.contains(OTHER_NAME)
            }))
        })?;
        let mut report = self.gateway.verb("report");
        let report = output(report.args(["--since", "1h", "--format", "json"]))?;
        for word in [mac, DROPPED_NAME, network::BLOCKED_NAME] {
            ensure!(
                report.contains(word),
                "the report does not say {word}: {report}"
            );
        }
        seen(format!(
            "devices, flows and report: {mac} is {DROPPED_NAME} by its lease, and asked for {}",
            network::BLOCKED_NAME
        ));
        Ok(())
    }

    fn detaches(&mut self) -> Result<()> {
        self.gateway.detach(self.seat.interface())?;
        for station in self.air.stations() {
            must_be("detached", &self.servers.round(&station.namespace)?, &ALL)?;
        }
        let delivered = self.without_a_filter_they_arrive()?;
        seen(format!(
            "after `detach` all arrive again, and of the evasion frames {delivered} to each address"
        ));
        Ok(())
    }
}

/// Drops the packets of one station to the blocked addresses, and of both to those of the
/// evasion frames.
fn policies(dropped: &str) -> String {
    format!(
        "version: 1
policies:
  - {{name: blocked, action: drop, destinations: [198.51.100.0/25], devices: [\"{dropped}\"]}}
  - {{name: looked-at, action: count, destinations: [192.0.2.0/25]}}
  - {{name: hidden, action: drop, destinations: [198.51.100.128/25, 2001:db8:bad::/48]}}
"
    )
}
