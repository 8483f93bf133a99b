//! An access point and a station with WPA2 on simulated radios, and the filter on the
//! access point's interface.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::gateway::{Gateway, POLICIES};
use super::phone::{ALL, BLOCKED, FILTERED, OPEN, Servers};
use super::{Guest, ip, must_be, seen, wait_for, write};
use crate::netns::Namespace;
use crate::system::output;

/// File of the access point, where OpenWrt has it too.
const SETTINGS: &str = "/run/hostapd-wlan0.conf";
const ACCESS_POINT: &str = "interface=wlan0
driver=nl80211
ssid=monitor
hw_mode=g
channel=1
wpa=2
wpa_key_mgmt=WPA-PSK
rsn_pairwise=CCMP
wpa_passphrase=only-in-this-machine
";
const STATION: &str = "network={
  ssid=\"monitor\"
  psk=\"only-in-this-machine\"
}
";

pub(super) fn play(guest: &Guest) -> Result<()> {
    let air = Radios::make(guest)?;
    let phone = &air.phone;
    let servers = Servers::start()?;
    must_be("without a filter", &servers.round(phone)?, &ALL)?;
    let mac = mac(phone, "wlan1")?;
    seen(format!("{mac} is associated with the access point by WPA2"));

    let mut gateway = Gateway::new(guest, "wifi", POLICIES)?;
    gateway.start("wlan0", &["--mode", "auto"])?;
    gateway.must_be_in_mode("wlan0", "generic")?;
    must_be("filtered", &servers.round(phone)?, &FILTERED)?;
    gateway.must_have_counted_a_round("wlan0", &mac)?;
    seen(format!(
        "auto chose generic on wlan0; 10 of 10 to {BLOCKED} dropped and counted for {mac}, 10 of 10 to {OPEN} passed"
    ));

    gateway.must_find("station", "blind", "wlan0: stations reach each other")?;
    gateway.must_find("mode", "ok", "the only one for WiFi")?;
    write(SETTINGS.as_ref(), &format!("{ACCESS_POINT}ap_isolate=1\n"))?;
    gateway.must_find("station", "ok", "wlan0: stations are isolated")?;
    seen("doctor reads from the kernel what wlan0 is, and ap_isolate from the file of hostapd");

    gateway.detach("wlan0")?;
    must_be("detached", &servers.round(phone)?, &ALL)?;
    seen("after `detach` all arrive again, and the phone is still associated");
    Ok(())
}

/// Two simulated radios: one with the access point, the other with the station.
struct Radios {
    phone: Namespace,
    daemons: Vec<Child>,
}

impl Radios {
    fn make(guest: &Guest) -> Result<Self> {
        // Modules that others load by name, so they are no listed dependencies.
        let ciphers = ["aes_generic", "ccm", "ctr", "cmac", "gcm"];
        guest.load_modules(&ciphers)?;
        guest.load_modules(&["mac80211_hwsim"])?;
        let mut air = Self {
            phone: Namespace::new("phone-wifi".to_owned()),
            daemons: Vec::new(),
        };
        air.access_point(guest)?;
        air.station(guest)?;
        Ok(air)
    }

    fn access_point(&mut self, guest: &Guest) -> Result<()> {
        ip("address add 10.77.9.1/24 dev wlan0")?;
        let settings = Path::new(SETTINGS);
        write(settings, ACCESS_POINT)?;
        let mut command = guest.tools.command("sbin/hostapd");
        command.arg(settings);
        self.start(command, "/run/hostapd.log", "AP-ENABLED")
    }

    fn station(&mut self, guest: &Guest) -> Result<()> {
        self.phone.add()?;
        // `iw` needs the path of a namespace that `ip netns` made.
        let radio = fs::read_to_string("/sys/class/net/wlan1/phy80211/name").context("wlan1")?;
        let file = format!("/run/netns/{}", self.phone.name());
        let mut iw = guest.tools.command("sbin/iw");
        output(iw.args(["phy", radio.trim(), "set", "netns", "name", &file]))?;
        let settings = Path::new("/run/station.conf");
        write(settings, STATION)?;
        let program = guest.tools.command("sbin/wpa_supplicant");
        let mut command = self.phone.command(program.get_program());
        command
            .args(program.get_args())
            .args(["-D", "nl80211", "-i", "wlan1", "-c"])
            .arg(settings);
        self.start(command, "/run/station.log", "CTRL-EVENT-CONNECTED")?;
        self.phone.ip("address add 10.77.9.2/24 dev wlan1")?;
        self.phone.ip("route add default via 10.77.9.1")
    }

    /// Starts a program and waits for a text in its log.
    fn start(&mut self, mut command: Command, log: &str, there: &str) -> Result<()> {
        command
            .stdin(Stdio::null())
            .stdout(fs::File::create(log).context("a log")?);
        self.daemons.push(command.spawn().context("start")?);
        let said = || fs::read_to_string(log).context("a log");
        wait_for(there, || Ok(said()?.contains(there)))
            .with_context(|| format!("{log} says: {}", said().unwrap_or_default()))
            .map(drop)
    }
}

impl Drop for Radios {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let _killed = daemon.kill();
            let _ended = daemon.wait();
        }
    }
}

fn mac(namespace: &Namespace, interface: &str) -> Result<String> {
    let mut command: Command = namespace.command("ip");
    let link = output(command.args(["-brief", "link", "show", interface]))?;
    let mac = link.split_whitespace().nth(2).context("ip link")?;
    ensure!(mac.len() == 17, "no MAC: {link}");
    Ok(mac.to_owned())
}
