//! `monitor setup` on the interfaces that systemd-networkd, `NetworkManager` and OpenWrt make: real
//! bridges and cards with their names, and the real DHCP servers.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Output},
};

use serde_json::Value;
use support::lab::{Namespace, binary, poll, sh, text};
use tempfile::TempDir;

/// A machine with several cards. The other end of each card is in another namespace.
struct Machine {
    gateway: Namespace,
    others: Namespace,
    directory: TempDir,
}

impl Machine {
    fn new(test: &str) -> Self {
        let name = format!("monitor-{test}-{}", std::process::id());
        let machine = Self {
            gateway: Namespace::new(format!("{name}-g")),
            others: Namespace::new(format!("{name}-o")),
            directory: TempDir::new().unwrap(),
        };
        machine.run("sysctl -qw net.ipv4.ip_forward=1");
        machine
    }

    fn card(&self, name: &str) {
        let (gateway, others) = (&self.gateway.name, &self.others.name);
        sh(&format!(
            "ip link add {name} netns {gateway} type veth peer name {name} netns {others}"
        ));
        self.others.ip(&format!("link set {name} up"));
        self.gateway.ip(&format!("link set {name} up"));
    }

    fn bridge(&self, name: &str, ports: &[&str]) {
        self.gateway.ip(&format!("link add {name} type bridge"));
        for port in ports {
            self.gateway.ip(&format!("link set {port} master {name}"));
        }
        self.gateway.ip(&format!("link set {name} up"));
    }

    /// A command in the namespace, with mounts of its own.
    fn command(&self, script: &str) -> Command {
        let mut command = self.gateway.command("unshare");
        command.args(["--mount", "sh", "-ec", script]);
        command
    }

    fn run(&self, script: &str) -> Output {
        let output = self.command(script).output().unwrap();
        let error = text(&output.stderr);
        assert!(output.status.success(), "{script}: {error}");
        output
    }

    /// The answer of `monitor setup --json` in the mounts that the script makes, and the notes on
    /// standard error.
    fn judged(&self, before: &str) -> Judged {
        let config = self.directory.path().join("monitor.yaml");
        let _ = fs::remove_file(&config);
        let output = self.run(&format!(
            "{before}\n{} setup --yes --json --config {}",
            binary().display(),
            config.display()
        ));
        Judged(serde_json::from_slice(&output.stdout).unwrap())
    }

    /// What `monitor setup` says and does where OpenWrt is installed, and its exit code.
    fn on_openwrt(&self, options: &str) -> (String, Option<i32>) {
        let etc = self.directory.path().join("etc");
        fs::create_dir_all(&etc).unwrap();
        fs::write(etc.join("openwrt_release"), "").unwrap();
        let script = format!(
            "mount --bind {} /etc; {} setup {options} 2>&1",
            etc.display(),
            binary().display()
        );
        let output = self.command(&script).output().unwrap();
        (text(&output.stdout), output.status.code())
    }
}

/// An answer of `monitor setup --json`.
struct Judged(Value);

impl Judged {
    fn proposed(&self) -> Vec<&str> {
        let names = self.0["interfaces"].as_array().unwrap().iter();
        names.map(|name| name.as_str().unwrap()).collect()
    }

    fn why(&self, name: &str) -> String {
        let mut judged = self.0["judged"].as_array().unwrap().iter();
        let found = judged.find(|judged| judged["name"] == name);
        let found = found.unwrap_or_else(|| panic!("no {name}: {}", self.0));
        found["reasons"].to_string()
    }

    fn notes(&self) -> usize {
        self.0["notes"].as_array().unwrap().len()
    }
}

/// A program that the test started. Dropping this value ends it.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_bridge_of_networkd_is_proposed() {
    let machine = Machine::new("setup-networkd");
    machine.card("enp1s0");
    machine.card("enp2s0");
    let files = machine.directory.path().join("network");
    fs::create_dir(&files).unwrap();
    for (name, content) in [
        ("br0.netdev", "[NetDev]\nName=br0\nKind=bridge\n"),
        (
            "port.network",
            "[Match]\nName=enp2s0\n[Network]\nBridge=br0\n",
        ),
        (
            "br0.network",
            "[Match]\nName=br0\n[Network]\nAddress=192.168.7.1/24\nIPForward=ipv4\n\
             DHCPServer=yes\nConfigureWithoutCarrier=yes\n",
        ),
        (
            "wan.network",
            "[Match]\nName=enp1s0\n[Network]\nAddress=192.0.2.2/24\nGateway=192.0.2.1\n\
             IPForward=ipv4\n",
        ),
    ] {
        fs::write(files.join(name), content).unwrap();
    }
    // With a read-only /sys, networkd does not wait for udev.
    let script = format!(
        "mount -t sysfs -o ro sysfs /sys
         mount -t tmpfs -o mode=0755 tmpfs /run
         mkdir -p /run/systemd/network; chmod 0755 {files}; cp {files}/* /run/systemd/network/
         exec /usr/lib/systemd/systemd-networkd",
        files = files.display()
    );
    let log = fs::File::create(machine.directory.path().join("log")).unwrap();
    let mut networkd = machine.command(&script);
    networkd.stdout(log.try_clone().unwrap()).stderr(log);
    let _networkd = Server(networkd.spawn().unwrap());
    poll("the DHCP server of networkd answers on br0", || {
        let output = machine.command("ss -Hlun sport = 67").output().unwrap();
        text(&output.stdout).contains("%br0:67")
    });
    let judged = machine.judged("");
    assert_eq!(judged.proposed(), ["br0"]);
    assert!(judged.why("br0").contains("listens on it (UDP port 67)"));
    assert!(judged.why("enp1s0").contains("a default route leads there"));
    assert!(judged.why("enp2s0").contains("it is a port of br0"));
    assert_eq!(judged.notes(), 0, "{}", judged.0);
}

/// `NetworkManager` starts dnsmasq with these options for a connection that it shares.
#[test]
fn the_hotspot_of_network_manager_is_proposed_once_it_runs() {
    let machine = Machine::new("setup-nm");
    for card in ["enp1s0", "enp2s0", "wlp3s0"] {
        machine.card(card);
    }
    let gateway = &machine.gateway;
    gateway.ip("address add 192.0.2.2/24 dev enp1s0");
    gateway.ip("route add default via 192.0.2.1");
    gateway.ip("address add 192.168.8.1/24 dev enp2s0");
    gateway.ip("address add 10.42.0.1/24 dev wlp3s0");

    // The hotspot does not run yet. Two interfaces route, and no name decides.
    let options = format!(
        "{} setup --yes --config {}/none.yaml",
        binary().display(),
        machine.directory.path().display()
    );
    let output = machine.command(&options).output().unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in [
        "not     wlp3s0: this machine routes for it; by its name it is WiFi, but no access point runs on it now: start hostapd or the hotspot first; other interfaces do too",
        "not     enp2s0: this machine routes for it; other interfaces do too: only you can tell",
        "no interface looks like the devices' side; the lines above say why.",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }

    let leases = "/var/lib/NetworkManager/dnsmasq-wlp3s0.leases";
    let judged = machine.judged(&format!(
        "mount -t tmpfs tmpfs /var/lib
         mkdir /var/lib/NetworkManager
         dnsmasq --conf-file=/dev/null --no-hosts --bind-interfaces --except-interface=lo \
           --clear-on-reload --strict-order --listen-address=10.42.0.1 \
           --dhcp-range=10.42.0.10,10.42.0.254,60m --dhcp-lease-max=50 --user=root \
           --dhcp-leasefile={leases} --pid-file=/var/lib/dnsmasq.pid
         trap 'kill $(cat /var/lib/dnsmasq.pid)' EXIT"
    ));
    assert_eq!(judged.proposed(), ["wlp3s0"]);
    assert!(judged.why("wlp3s0").contains(leases));
    assert!(judged.why("enp2s0").contains("another interface has one"));
    assert!(
        judged.0["notes"]
            .to_string()
            .contains("for several interfaces")
    );
}

#[test]
fn on_openwrt_the_bridges_of_the_devices_are_proposed_and_wrong_names_are_explained() {
    let machine = Machine::new("setup-openwrt");
    for card in ["eth0", "wan", "lan1", "lan2", "lan3", "phy0-ap0"] {
        machine.card(card);
    }
    machine.bridge("br-lan", &["lan1", "lan2", "phy0-ap0"]);
    machine.bridge("br-guest", &["lan3"]);
    let gateway = &machine.gateway;
    // This kernel has no VLANs. A macvlan lies on its interface in the same way.
    gateway.ip("link add eth0.2 link eth0 type macvlan");
    gateway.ip("link add br-lan.20 link br-lan type macvlan");
    for (name, address) in [
        ("wan", "100.64.0.2/10"),
        ("br-lan", "192.168.1.1/24"),
        ("br-guest", "192.168.3.1/24"),
        ("br-lan.20", "192.168.20.1/24"),
        ("eth0.2", "192.168.100.2/24"),
    ] {
        gateway.ip(&format!("link set {name} up"));
        gateway.ip(&format!("address add {address} dev {name}"));
    }

    // The cable of the provider is not in yet.
    let judged = machine.judged("");
    assert_eq!(judged.proposed(), ["br-lan", "br-guest"]);
    assert!(
        judged
            .why("wan")
            .contains("by its name it leads to the provider")
    );
    assert!(judged.why("br-lan.20").contains("come in through br-lan"));
    assert!(judged.why("phy0-ap0").contains("it is a port of br-lan"));
    assert_eq!(judged.notes(), 1, "{}", judged.0);

    // VLAN 2 of eth0 leads to the internet.
    gateway.ip("route add default via 192.168.100.1");
    let (said, code) = machine.on_openwrt("wan nosuch --print");
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "warning: wan may be the wrong side: by its name it leads to the provider; `monitor setup` alone would propose br-lan, br-guest",
        "warning: there is no interface nosuch now",
        "not     eth0: it carries eth0.2, to which a default route leads",
        "\tlist interface 'wan'\n\tlist interface 'nosuch'",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    let (said, code) = machine.on_openwrt("--yes");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("If your devices are behind another interface"),
        "{said}"
    );
    assert!(
        said.contains("Next: `/etc/init.d/monitor restart`"),
        "{said}"
    );
    let (said, code) = machine.on_openwrt("br-lan --yes");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("it names br-lan, br-guest already"), "{said}");
    let file = machine.directory.path().join("etc/config/monitor");
    assert!(names_both(&file), "{}", fs::read_to_string(file).unwrap());

    // An access point that only bridges: the router is elsewhere, and hostapd does not run.
    gateway.ip("route replace default via 192.168.1.254");
    gateway.ip("link set br-guest down");
    gateway.ip("address del 192.168.100.2/24 dev eth0.2");
    gateway.ip("address del 192.168.20.1/24 dev br-lan.20");
    let (said, code) = machine.on_openwrt("--print");
    assert_eq!(code, Some(1), "{said}");
    for part in [
        "not     phy0-ap0: it is a port of br-lan, to which a default route leads; by its name it is WiFi",
        "not     br-guest: no access point and no DHCP server is on it, and it is down",
        "not     eth0.2: no access point and no DHCP server is on it, and it has no address",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
}

fn names_both(file: &Path) -> bool {
    let text = fs::read_to_string(file).unwrap();
    text.contains("\tlist interface 'br-lan'\n\tlist interface 'br-guest'\n")
}
