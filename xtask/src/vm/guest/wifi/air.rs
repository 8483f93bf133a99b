//! Three simulated radios: one has the access point, two have a station each.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::super::{Guest, ip, wait_for, write};
use crate::netns::Namespace;
use crate::system::output;
use crate::vm::wifi::{Seat, Security};

/// File of the access point, where OpenWrt has it too.
pub(super) const SETTINGS: &str = "/run/hostapd-wlan0.conf";
const LOG: &str = "/run/hostapd.log";
/// Address of the gateway for the stations.
pub(super) const GATEWAY: &str = "10.77.9.1";
const PASSWORD: &str = "only-in-this-machine";
/// Modules that others load by name, so they are no listed dependencies.
const CIPHERS: [&str; 4] = ["ccm", "ctr", "cmac", "gcm"];

/// A station must not log out where the host is busy, and the machine sends no beacons for
/// a second.
const PATIENT: [&str; 2] = ["beacon_loss_count=200", "probe_wait_ms=10000"];

/// A station in a network namespace of its own.
pub(super) struct Station {
    pub(super) namespace: Namespace,
    pub(super) interface: &'static str,
    pub(super) mac: String,
    program: Child,
}

impl Station {
    /// Texts in the log of `wpa_supplicant`, which say that the station logged in.
    fn connections(&self) -> Result<usize> {
        Ok(read(&log_of(self.interface))?
            .matches("CTRL-EVENT-CONNECTED")
            .count())
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        end(&mut self.program);
        if let Err(error) = self.namespace.delete() {
            eprintln!("{error:#}");
        }
    }
}

/// The simulated radios, and the bridge of the access point. Dropping the value ends the
/// radios in all namespaces, so that the next run finds the same names.
struct Radios<'a> {
    guest: &'a Guest,
    seat: Seat,
}

impl<'a> Radios<'a> {
    fn make(guest: &'a Guest, seat: Seat) -> Result<Self> {
        guest.load_modules(&CIPHERS)?;
        // A module of its own before Linux 7.
        let _missing = guest.load_modules(&["aes_generic"]);
        guest.modprobe(&[&["mac80211"], &PATIENT[..]].concat())?;
        guest.modprobe(&["mac80211_hwsim", "radios=3"])?;
        let radios = Self { guest, seat };
        if seat == Seat::Bridge {
            ip("link add br-lan type bridge")?;
            ip("link set br-lan up")?;
        }
        ip(&format!(
            "address add {GATEWAY}/24 dev {}",
            seat.interface()
        ))?;
        Ok(radios)
    }
}

impl Drop for Radios<'_> {
    fn drop(&mut self) {
        let gone = self.guest.modprobe(&["--remove", "mac80211_hwsim"]);
        let bridge = match self.seat {
            Seat::AccessPoint => Ok(()),
            Seat::Bridge => ip("link del br-lan"),
        };
        for error in [gone, bridge].into_iter().filter_map(Result::err) {
            eprintln!("{error:#}");
        }
    }
}

/// The access point and its stations. The fields are dropped in this order.
pub(super) struct Air<'a> {
    guest: &'a Guest,
    security: Security,
    seat: Seat,
    access_point: Option<Child>,
    pub(super) dropped: Station,
    pub(super) other: Station,
    _radios: Radios<'a>,
}

impl<'a> Air<'a> {
    pub(super) fn make(guest: &'a Guest, security: Security, seat: Seat) -> Result<Self> {
        let radios = Radios::make(guest, seat)?;
        let mut air = Self {
            guest,
            security,
            seat,
            access_point: None,
            dropped: station(guest, security, "wlan1")?,
            other: station(guest, security, "wlan2")?,
            _radios: radios,
        };
        air.start(false)?;
        Ok(air)
    }

    pub(super) fn stations(&self) -> [&Station; 2] {
        [&self.dropped, &self.other]
    }

    /// What the access point and the station whose packets are dropped said last, and what
    /// their interfaces counted.
    pub(super) fn state(&self) -> String {
        let station = &self.dropped;
        let mut links = station.namespace.command("ip");
        let mut link = self.iw();
        let mut inside = station.namespace.command(link.get_program());
        inside.args(link.get_args());
        let said = [
            read(LOG).map(|text| last_lines(&text)),
            read(&log_of(station.interface)).map(|text| last_lines(&text)),
            output(inside.args(["dev", station.interface, "link"])),
            output(links.args(["-s", "link", "show", station.interface])),
            output(link.args(["dev", "wlan0", "station", "dump"])),
            output(Command::new("ip").args(["-s", "link", "show"])),
        ];
        let said = said.map(|text| text.unwrap_or_else(|error| format!("{error:#}")));
        said.join("\n")
    }

    /// Starts hostapd, and waits until both stations have logged in.
    pub(super) fn start(&mut self, isolate: bool) -> Result<()> {
        let before = self.stations().map(Station::connections);
        write(SETTINGS.as_ref(), &self.settings(isolate))?;
        let mut command = self.guest.tools.command("sbin/hostapd");
        command.arg(SETTINGS);
        self.access_point = Some(start(command, LOG, "AP-ENABLED")?);
        for (station, before) in self.stations().into_iter().zip(before) {
            let before = before?;
            wait_for("a station logs in", || Ok(station.connections()? > before))
                .with_context(|| read(&log_of(station.interface)).unwrap_or_default())?;
        }
        Ok(())
    }

    /// Ends hostapd, which sets the interface down.
    pub(super) fn stop(&mut self) -> Result<()> {
        let mut access_point = self.access_point.take().context("no hostapd")?;
        let id = i32::try_from(access_point.id()).context("process id")?;
        kill(Pid::from_raw(id), Signal::SIGTERM).context("end hostapd")?;
        let _status = access_point.wait().context("hostapd")?;
        wait_for("wlan0 is down", || {
            let link = output(Command::new("ip").args(["-brief", "link", "show", "wlan0"]))?;
            Ok(!link.contains("LOWER_UP"))
        })
        .map(drop)
    }

    /// Deletes the interface of the access point and makes it again, as OpenWrt does. The
    /// address is that of before.
    pub(super) fn make_again(&self) -> Result<()> {
        let radio = radio_of("wlan0")?;
        output(self.iw().args(["dev", "wlan0", "del"]))?;
        output(self.iw().args([
            "phy",
            &radio,
            "interface",
            "add",
            "wlan0",
            "type",
            "managed",
        ]))?;
        if self.seat == Seat::AccessPoint {
            ip(&format!("address add {GATEWAY}/24 dev wlan0"))?;
        }
        Ok(())
    }

    fn iw(&self) -> Command {
        self.guest.tools.command("sbin/iw")
    }

    fn settings(&self, isolate: bool) -> String {
        let mut text = "interface=wlan0
driver=nl80211
ssid=monitor
hw_mode=g
channel=1
wpa=2
rsn_pairwise=CCMP
"
        .to_owned();
        let security = match self.security {
            Security::Wpa2 => format!("wpa_key_mgmt=WPA-PSK\nwpa_passphrase={PASSWORD}\n"),
            // SAE requires protected management frames.
            Security::Wpa3 => {
                format!("wpa_key_mgmt=SAE\nsae_password={PASSWORD}\nieee80211w=2\n")
            }
        };
        text.push_str(&security);
        if self.seat == Seat::Bridge {
            text += "bridge=br-lan\n";
        }
        if isolate {
            text += "ap_isolate=1\n";
        }
        text
    }
}

impl Drop for Air<'_> {
    fn drop(&mut self) {
        if let Some(access_point) = &mut self.access_point {
            end(access_point);
        }
    }
}

/// Ends a program. It may have ended by itself.
fn end(program: &mut Child) {
    let _killed = program.kill();
    let _ended = program.wait();
}

/// Moves a radio into a namespace, and starts its station.
fn station(guest: &Guest, security: Security, interface: &'static str) -> Result<Station> {
    let namespace = Namespace::new(format!("phone-{interface}"));
    namespace.add()?;
    // `iw` needs the path of a namespace that `ip netns` made.
    let file = format!("/run/netns/{}", namespace.name());
    let radio = radio_of(interface)?;
    let mut iw = guest.tools.command("sbin/iw");
    output(iw.args(["phy", &radio, "set", "netns", "name", &file]))?;
    namespace.ip("link set lo up")?;
    let settings = format!("/run/{interface}.conf");
    let key = match security {
        Security::Wpa2 => format!("psk=\"{PASSWORD}\""),
        Security::Wpa3 => format!("key_mgmt=SAE\n  sae_password=\"{PASSWORD}\"\n  ieee80211w=2"),
    };
    let text = format!("network={{\n  ssid=\"monitor\"\n  scan_freq=2412\n  {key}\n}}\n");
    write(Path::new(&settings), &text)?;
    let program = guest.tools.command("sbin/wpa_supplicant");
    let mut command = namespace.command(program.get_program());
    command
        .args(program.get_args())
        .args(["-D", "nl80211", "-i", interface, "-c", &settings]);
    let program = start(command, &log_of(interface), "Successfully initialized")?;
    let mut links = namespace.command("ip");
    let link = output(links.args(["-brief", "link", "show", interface]))?;
    let mac = link
        .split_whitespace()
        .nth(2)
        .context("ip link")?
        .to_owned();
    ensure!(mac.len() == 17, "no MAC: {link}");
    Ok(Station {
        namespace,
        interface,
        mac,
        program,
    })
}

fn radio_of(interface: &str) -> Result<String> {
    let file = format!("/sys/class/net/{interface}/phy80211/name");
    Ok(fs::read_to_string(&file).context(file)?.trim().to_owned())
}

fn log_of(interface: &str) -> String {
    format!("/run/{interface}.log")
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().rev().take(8).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

fn read(file: &str) -> Result<String> {
    fs::read_to_string(file).with_context(|| file.to_owned())
}

/// Starts a program, and waits for a text in its log.
fn start(mut command: Command, log: &str, there: &str) -> Result<Child> {
    command
        .stdin(Stdio::null())
        .stdout(fs::File::create(log).context("a log")?);
    let mut child = command.spawn().context("start")?;
    let started = wait_for(there, || {
        if let Some(status) = child.try_wait().context("the program")? {
            anyhow::bail!("it ended ({status})");
        }
        Ok(read(log)?.contains(there))
    });
    started.with_context(|| format!("{log} says: {}", read(log).unwrap_or_default()))?;
    Ok(child)
}
