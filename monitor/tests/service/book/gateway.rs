//! A gateway on which the pages are followed.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command as Process, Output, Stdio},
    sync::Mutex,
};

use super::{
    super::{
        has_systemd,
        machine::{Machine, here},
        server::Server,
        support::lab::{BLOCKED, poll, sh, text},
    },
    blocks::{Block, Command, Step, blocks, difference},
};

/// Where the commands of a page run, and their home.
const HERE: &str = "/srv";

/// A gateway with the real systemd, a phone, and a name server. Dropping this value ends all.
pub(super) struct Gateway {
    machine: Machine,
    servers: Mutex<Vec<Child>>,
}

impl Gateway {
    /// Boots the gateway, without the daemon. `None` on a system without systemd.
    pub(super) fn boot(test: &str) -> Option<Self> {
        has_systemd().then(|| Self {
            machine: Machine::boot(&format!("book-{test}")),
            servers: Mutex::default(),
        })
    }

    /// The same with the daemon, which saw a few packets.
    pub(super) fn running(test: &str) -> Option<Self> {
        let gateway = Self::boot(test)?;
        gateway.sh("systemctl start monitor");
        gateway.machine.lab.send_udp(BLOCKED[0], 3);
        Some(gateway)
    }

    /// Adds an access point of guests.
    pub(super) fn has_guests(&self) {
        let lab = &self.machine.lab;
        lab.add_interface("wlan1");
        lab.gateway.ip("address add 192.168.9.1/24 dev wlan1");
    }

    /// Adds the provider's side, a DHCP and name server for the devices, and a web server that has
    /// a name.
    pub(super) fn has_an_internet(&self) {
        let lab = &self.machine.lab;
        lab.add_interface("enp1s0");
        let gateway = &lab.gateway;
        gateway.ip("address add 203.0.113.2/24 dev enp1s0");
        gateway.ip("route add default via 203.0.113.1");
        sh(&format!(
            "nsenter --net=/run/netns/{} sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
            gateway.name
        ));
        let mut names = gateway.command("dnsmasq");
        names
            .args([
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--user=root",
            ])
            .args([
                "--interface=wlan0",
                "--bind-interfaces",
                "--pid-file=",
                "--no-resolv",
            ])
            .args(["--dhcp-range=10.77.0.50,10.77.0.60,1h", "--no-hosts"])
            .args([format!("--address=/push.example/{}", BLOCKED[0])])
            .arg(format!(
                "--dhcp-leasefile={}",
                self.outside("leases").display()
            ));
        let names = names.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.servers.lock().unwrap().push(names.unwrap());
        fs::write(self.outside("resolv.conf"), "nameserver 10.77.0.1\n").unwrap();
        poll("the name server answers", || {
            self.device("getent hosts push.example").status.success()
        });
        let web = gateway.run(|| TcpListener::bind((BLOCKED[0], 80)).unwrap());
        Server::on(web, None).gives("hello\n");
    }

    /// The state after the package was installed: the shipped policies, and no config file.
    pub(super) fn is_fresh(&self) {
        self.sh("rm /etc/monitor/monitor.yaml /etc/monitor/policies.d/*");
        let (shipped, here) = (here().join("../policies"), self.machine.lab.policies());
        let (shipped, here) = (shipped.display(), here.display());
        sh(&format!("cp -r {shipped}/*.yaml {shipped}/lists {here}/"));
    }

    /// A web server that only the gateway reaches.
    pub(super) fn web_server(&self) -> Server {
        Server::on(self.machine.lab.listen_tcp("127.0.0.1"), None)
    }

    /// A file of the test that the gateway does not see.
    fn outside(&self, name: &str) -> PathBuf {
        self.machine.lab.directory.path().join(name)
    }

    /// Runs commands on the gateway, which must succeed.
    pub(super) fn sh(&self, code: &str) -> String {
        let output = self.run(code);
        assert!(output.status.success(), "{code}\n{}", said(&output));
        text(&output.stdout)
    }

    fn run(&self, code: &str) -> Output {
        let code = format!("cd {HERE}; export HOME={HERE}\n{code}");
        self.machine.run(&["sh", "-ec", &code])
    }

    /// Runs commands on the phone.
    fn device(&self, code: &str) -> Output {
        let resolv = self.outside("resolv.conf").display().to_string();
        let code = format!("mount --bind {resolv} /etc/resolv.conf\n{code}");
        let mut command = self.machine.lab.phone.command("unshare");
        let command: &mut Process = command.args(["--mount", "sh", "-ec", &code]);
        command.output().unwrap()
    }

    /// Follows a page from top to bottom. `replace` has texts that the test replaces, such as URLs
    /// of the internet. Outputs may differ from the page. Returns how many blocks were run.
    pub(super) fn follow(&self, page: &str, replace: &[(&str, String)]) -> usize {
        self.steps(page, replace, false)
    }

    /// The same; every output must be as the page shows it.
    pub(super) fn follow_exactly(&self, page: &str, replace: &[(&str, String)]) -> usize {
        self.steps(page, replace, true)
    }

    fn steps(&self, page: &str, replace: &[(&str, String)], is_exact: bool) -> usize {
        let mut text = fs::read_to_string(here().join("..").join(page)).unwrap();
        for (from, to) in replace {
            assert!(text.contains(from), "{page} has no {from}");
            text = text.replace(from, to);
        }
        let mut done = 0;
        for block in blocks(&text) {
            if super::reason_not_to_run(page, &block).is_some() {
                continue;
            }
            let place = format!("{page}:{}", block.line);
            match block.step() {
                None => continue,
                Some(Step::File { path }) => self.write(&path, &block),
                Some(Step::Script) => {
                    let output = self.run(&block.text);
                    assert!(output.status.success(), "{place}\n{}", said(&output));
                }
                Some(Step::Commands(commands)) => {
                    for command in &commands {
                        self.command(&place, command, is_exact);
                    }
                }
            }
            done += 1;
        }
        done
    }

    /// Runs a command, and again if it only looks and the packets are not there yet.
    fn command(&self, place: &str, command: &Command, is_exact: bool) {
        let looks = ["status", "devices", "flows", "events", "feed list"];
        let only_looks = looks.iter().any(|verb| {
            let begin = format!("monitor {verb}");
            command.code.starts_with(&begin)
        });
        let once = || {
            let output = if command.is_of_device {
                self.device(&command.code)
            } else {
                self.run(&command.code)
            };
            let said = said(&output);
            let fault = if output.status.success() {
                difference(&command.shown, &said).filter(|_| is_exact)
            } else {
                Some(format!("{}", output.status))
            };
            fault.map(|fault| format!("{place}: {}: {fault}\n{said}", command.code))
        };
        let mut fault = once();
        if fault.is_some() && only_looks {
            poll(&format!("{place}: {}: {fault:?}", command.code), || {
                fault = once();
                fault.is_none()
            });
        }
        assert!(fault.is_none(), "{}", fault.unwrap_or_default());
    }

    /// Writes a file of the gateway as the page shows it.
    fn write(&self, path: &str, block: &Block) {
        let outside = self.outside("file");
        fs::write(&outside, &block.text).unwrap();
        let file = fs::File::open(&outside).unwrap();
        let init = self.machine.init().expect("the gateway runs");
        let status = Process::new("nsenter")
            .arg(format!("--target={init}"))
            .args([
                "--mount",
                "sh",
                "-ec",
                "mkdir -p \"${0%/*}\"; cat >\"$0\"",
                path,
            ])
            .stdin(file)
            .status();
        assert!(
            status.unwrap().success(),
            "write {}",
            Path::new(path).display()
        );
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        for server in self.servers.get_mut().unwrap() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

fn said(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}
