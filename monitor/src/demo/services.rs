//! The programs that serve the demonstration beside the daemon: dnsmasq for DNS and DHCP in the gateway,
//! and OpenSSL as the TLS server in the internet.

use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::demo::contacts::{ALL, BACKUP, Way};
use crate::demo::process::{display, output};
use crate::demo::topology::{
    OTHER_ADDRESS, OTHER_MAC, PHONE_ADDRESS, PHONE_MAC, REFLASHED_ADDRESS, REFLASHED_MAC, Topology,
};

const READY_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// Running programs. Dropping the value ends them.
pub(crate) struct Services(Vec<Child>);

impl Services {
    /// Starts the programs. Waits until TLS connections are accepted.
    pub(crate) fn start(topology: &Topology) -> Result<Self> {
        let mut services = Self(Vec::new());
        services.add(&mut dnsmasq(topology))?;
        services.add(&mut tls_server(topology)?)?;
        services.wait_ready(topology)?;
        Ok(services)
    }

    fn add(&mut self, command: &mut Command) -> Result<()> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C reaches the demonstration only, which ends them.
            .process_group(0);
        let child = command.spawn().with_context(|| display(command))?;
        self.0.push(child);
        Ok(())
    }

    fn wait_ready(&mut self, topology: &Topology) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        let connect = || TcpStream::connect(BACKUP.server()).context("connect");
        while topology.internet.enter(connect).is_err() {
            for child in &mut self.0 {
                if let Some(status) = child.try_wait().context("a server of the demonstration")? {
                    bail!(
                        "dnsmasq or openssl ended ({status}): are dnsmasq-base and openssl installed?"
                    );
                }
            }
            if Instant::now() > deadline {
                bail!(
                    "openssl s_server does not listen on {} after {READY_WITHIN:?}",
                    BACKUP.server()
                );
            }
            thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // An error means that it has ended already.
            let _killed = child.kill();
            let _waited = child.wait();
        }
    }
}

/// The lease file of dnsmasq.
pub(crate) fn leases(topology: &Topology) -> PathBuf {
    topology.runtime_dir().join("leases")
}

fn dnsmasq(topology: &Topology) -> Command {
    let mut command = topology.gateway.command("dnsmasq");
    command
        .args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--user=root",
        ])
        .args(["--pid-file=", "--interface=wlan0", "--bind-interfaces"])
        .args([
            "--no-resolv",
            "--no-hosts",
            "--no-ping",
            "--dhcp-authoritative",
        ])
        .arg("--dhcp-range=192.168.50.10,192.168.50.99,1h")
        .arg(format!("--dhcp-leasefile={}", leases(topology).display()));
    for (mac, address) in [
        (PHONE_MAC, PHONE_ADDRESS),
        (REFLASHED_MAC, REFLASHED_ADDRESS),
        (OTHER_MAC, OTHER_ADDRESS),
    ] {
        command.arg(format!("--dhcp-host={mac},{address}"));
    }
    for contact in ALL.iter().filter(|contact| contact.way == Way::Dns) {
        command.arg(format!(
            "--host-record={},{}",
            contact.name, contact.address
        ));
    }
    command
}

/// Makes a certificate, and the command of the server that uses it.
fn tls_server(topology: &Topology) -> Result<Command> {
    let directory = topology.runtime_dir();
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    let mut make = Command::new("openssl");
    make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
        .args(["ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj"])
        .arg(format!("/CN={}", BACKUP.name))
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key);
    output(&mut make)?;
    let mut command = topology.internet.command("openssl");
    command
        .args(["s_server", "-www", "-quiet", "-accept"])
        .arg(BACKUP.server().to_string())
        .arg("-cert")
        .arg(certificate)
        .arg("-key")
        .arg(key);
    Ok(command)
}
