//! A phone and a gateway in two network namespaces that a veth pair connects.
//! The real daemon runs on the gateway's end.

mod daemon;
mod namespace;
pub(crate) mod observe;
mod tools;

use std::{
    fs::{self, File},
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) use self::{daemon::*, namespace::*, tools::*};
use super::user::User;

/// MAC address of the phone.
pub(crate) const PHONE_MAC: &str = "64:cc:2e:11:22:33";
/// Addresses behind the gateway that the test policy does not cover.
pub(crate) const OPEN: [&str; 2] = ["192.0.2.10", "2001:db8:1::10"];
/// Addresses behind the gateway that the test policy drops.
pub(crate) const BLOCKED: [&str; 2] = ["198.51.100.10", "2001:db8:bad::10"];

/// The policies with which a lab starts.
pub(crate) const POLICIES: &str = "version: 1
policies:
  - name: blocked
    action: drop
    destinations: [198.51.100.0/24, 2001:db8:bad::/48]
  - name: seen
    action: count
    destinations: [192.0.2.0/24, 198.51.100.0/25]
";

static LABS: AtomicU32 = AtomicU32::new(0);

/// The phone, the gateway, and directories for files and pins.
pub(crate) struct Lab {
    pub(crate) phone: Namespace,
    pub(crate) gateway: Namespace,
    pub(crate) directory: TempDir,
    pub(crate) pin_dir: PathBuf,
    name: String,
    /// User that runs the daemons; `None`: root.
    user: Option<User>,
}

impl Lab {
    /// Creates the lab. `test` becomes part of each name that the kernel sees.
    pub(crate) fn new(test: &str) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test makes network namespaces: run it as root"
        );
        mount_bpffs();
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let name = format!("monitor-{test}-{}-{number}", std::process::id());
        let directory = TempDir::new().expect("make a directory");
        let user = User::asked_for();
        let bpffs = user.as_ref().map_or("/sys/fs/bpf".into(), User::bpffs);
        let lab = Self {
            phone: Namespace::new(format!("{name}-p")),
            gateway: Namespace::new(format!("{name}-g")),
            pin_dir: bpffs.join(&name),
            directory,
            name,
            user,
        };
        lab.give(lab.directory.path());
        lab.connect();
        lab.write_policies(POLICIES);
        lab
    }

    fn connect(&self) {
        let (phone, gateway) = (&self.phone, &self.gateway);
        sh(&format!(
            "ip link add eth0 netns {} address {PHONE_MAC} type veth peer name wlan0 netns {}",
            phone.name, gateway.name
        ));
        for (namespace, interface, last) in [(phone, "eth0", 2), (gateway, "wlan0", 1)] {
            namespace.ip(&format!("address add 10.77.0.{last}/24 dev {interface}"));
            namespace.ip(&format!(
                "address add fd77::{last}/64 dev {interface} nodad"
            ));
            // Without offloads, each sent packet arrives as one packet.
            let off = format!("ethtool -K {interface} gro off gso off tso off");
            sh(&format!(
                "nsenter --net=/run/netns/{} {off}",
                namespace.name
            ));
            namespace.ip(&format!("link set {interface} up"));
        }
        phone.ip("route add default via 10.77.0.1");
        phone.ip("-6 route add default via fd77::1");
        for address in OPEN.into_iter().chain(BLOCKED) {
            let length = if address.contains(':') {
                "128 nodad"
            } else {
                "32"
            };
            gateway.ip(&format!("address add {address}/{length} dev lo"));
        }
        // After a link comes up, the first neighbour discovery may take a
        // second.
        for address in ["10.77.0.1", "fd77::1"] {
            sh(&format!(
                "nsenter --net=/run/netns/{} ping -n -c 1 -w 10 {address}",
                phone.name
            ));
        }
    }

    /// Adds a second veth pair; `name` is the gateway's end.
    pub(crate) fn add_interface(&self, name: &str) {
        let (phone, gateway) = (&self.phone.name, &self.gateway.name);
        sh(&format!(
            "ip link add {name} netns {phone} type veth peer name {name} netns {gateway}"
        ));
        self.phone.ip(&format!("link set {name} up"));
        self.gateway.ip(&format!("link set {name} up"));
    }

    /// Number of the user that runs the daemons.
    pub(crate) fn daemon_user(&self) -> u32 {
        self.user.as_ref().map_or(0, User::number)
    }

    /// Changes the owner of a file or directory to the user that runs the
    /// daemons.
    pub(crate) fn give(&self, path: &Path) {
        let owner = Some(self.daemon_user());
        std::os::unix::fs::chown(path, owner, owner).expect("give it to the daemon");
    }

    /// Changes the owner of the daemons' directories to root, for a daemon that
    /// root starts.
    pub(crate) fn belongs_to_root(&self) {
        let bpffs = self.user.as_ref().map(User::bpffs);
        let above = bpffs.as_deref().and_then(Path::parent);
        let places = [Some(self.directory.path()), bpffs.as_deref(), above];
        for place in places.into_iter().flatten() {
            std::os::unix::fs::chown(place, Some(0), Some(0)).expect("give it to root");
        }
    }

    /// Directory of the policy files.
    pub(crate) fn policies(&self) -> PathBuf {
        self.directory.path().join("policies")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("monitor.sock")
    }

    /// Replaces the policy file atomically, as editors do.
    pub(crate) fn write_policies(&self, text: &str) {
        let directory = self.policies();
        fs::create_dir_all(&directory).unwrap();
        let new = self.directory.path().join("new.yaml");
        fs::write(&new, text).unwrap();
        fs::rename(new, directory.join("policies.yaml")).unwrap();
    }

    /// Starts `monitor run --interface wlan0 …`, and waits until the daemon
    /// answers.
    pub(crate) fn start(&self, arguments: &[&str]) -> Daemon {
        self.start_on("wlan0", arguments)
    }

    /// Like [`Self::start`], on another interface of the gateway.
    pub(crate) fn start_on(&self, interface: &str, arguments: &[&str]) -> Daemon {
        let log = self.directory.path().join("daemon.log");
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = self
            .daemon_command(arguments)
            .args(["--interface", interface])
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .expect("start the daemon");
        let mut daemon = Daemon::new(child, log);
        poll("the daemon answers", || {
            assert!(daemon.is_running(), "the daemon ended:\n{}", daemon.log());
            let status = self.monitor(&["status", "--json"]);
            status.status.success()
                && serde_json::from_slice::<Value>(&status.stdout).is_ok_and(|status| {
                    status["daemon"]["pid"] == daemon.child.id() && has_tried_to_listen(&status)
                })
        });
        daemon
    }

    /// Echoes every datagram that arrives at the address, as long as the lab
    /// exists.
    pub(crate) fn serve_udp(&self, address: &str) -> SocketAddr {
        let socket = self.gateway.run(|| bind_udp(address));
        let bound = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                // The phone may no longer exist.
                let _ = socket.send_to(&buffer[..length], from);
            }
        });
        bound
    }

    /// Sends datagrams from the phone to the discard port of an address.
    pub(crate) fn send_udp(&self, address: &str, datagrams: u64) {
        self.phone.run(|| {
            let socket = UdpSocket::bind((any_like(address), 0)).unwrap();
            for _ in 0..datagrams {
                socket.send_to(b"x", (address, 9)).unwrap();
            }
        });
    }

    /// A TCP listener on the gateway.
    pub(crate) fn listen_tcp(&self, address: &str) -> TcpListener {
        let ip: IpAddr = address.parse().unwrap();
        self.gateway
            .run(|| TcpListener::bind((ip, 0)).expect("listen"))
    }
}

impl Drop for Lab {
    /// Detaches inside the gateway: filters of `clsact` are seen only there.
    fn drop(&mut self) {
        let detach = || monitor::datapath::detach(&self.pin_dir);
        if self.pin_dir.exists()
            && let Err(error) = self.gateway.run(detach)
        {
            eprintln!("lab {}: {error}", self.name);
        }
    }
}
