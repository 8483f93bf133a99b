//! A phone and a gateway in network namespaces of their own, joined by a veth
//! pair, and the real daemon on the gateway's side of it.

use std::{
    fs::{self, File},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use nix::sched::{CloneFlags, setns};
use serde_json::Value;
use tempfile::TempDir;

use super::user::User;

/// MAC of the phone.
pub(crate) const PHONE_MAC: &str = "64:cc:2e:11:22:33";
/// Addresses behind the gateway that the test policy leaves alone.
pub(crate) const OPEN: [&str; 2] = ["192.0.2.10", "2001:db8:1::10"];
/// Addresses behind the gateway that the test policy drops.
pub(crate) const BLOCKED: [&str; 2] = ["198.51.100.10", "2001:db8:bad::10"];

/// The policies that a lab starts with.
pub(crate) const POLICIES: &str = "version: 1
policies:
  - name: blocked
    action: drop
    destinations: [198.51.100.0/24, 2001:db8:bad::/48]
  - name: seen
    action: count
    destinations: [192.0.2.0/24, 198.51.100.0/25]
";

/// How often something that takes its time is looked at: 100 × 100 ms.
const POLLS: u32 = 100;
const POLL: Duration = Duration::from_millis(100);

static LABS: AtomicU32 = AtomicU32::new(0);

/// A network namespace that is deleted with this value.
pub(crate) struct Namespace {
    pub(crate) name: String,
    file: OwnedFd,
}

impl Namespace {
    /// Makes it, with its loopback interface up.
    pub(crate) fn new(name: String) -> Self {
        sh(&format!("ip netns add {name}"));
        let file = File::open(Path::new("/run/netns").join(&name)).expect("open the namespace");
        sh(&format!("ip -n {name} link set lo up"));
        Self {
            name,
            file: file.into(),
        }
    }

    /// Runs `work` on a thread inside the namespace.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET).expect("enter the namespace");
                work()
            });
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A command that runs inside the namespace and sees the machine's file systems.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", self.name))
            .arg(program.as_ref());
        command
    }

    /// `ip -n NAMESPACE …`
    pub(crate) fn ip(&self, arguments: &str) {
        sh(&format!("ip -n {} {arguments}", self.name));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Reported, not raised: the test may be failing already.
        let deleted = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
        if !deleted
            .as_ref()
            .is_ok_and(std::process::ExitStatus::success)
        {
            eprintln!("could not delete namespace {}: {deleted:?}", self.name);
        }
    }
}

/// Phone, gateway, and a place for files and pins.
pub(crate) struct Lab {
    pub(crate) phone: Namespace,
    pub(crate) gateway: Namespace,
    pub(crate) directory: TempDir,
    pub(crate) pin_dir: PathBuf,
    name: String,
    /// Who its daemons run as, where that is not root.
    user: Option<User>,
}

impl Lab {
    /// Builds it. `test` becomes part of every name that the kernel sees.
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
            // One packet sent must be one packet seen.
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
        // The first neighbour discovery after a link comes up may take a second.
        for address in ["10.77.0.1", "fd77::1"] {
            sh(&format!(
                "nsenter --net=/run/netns/{} ping -n -c 1 -W 5 {address}",
                phone.name
            ));
        }
    }

    /// Adds a second veth pair; the gateway's end has this name.
    pub(crate) fn add_interface(&self, name: &str) {
        let (phone, gateway) = (&self.phone.name, &self.gateway.name);
        sh(&format!(
            "ip link add {name} netns {phone} type veth peer name {name} netns {gateway}"
        ));
        self.phone.ip(&format!("link set {name} up"));
        self.gateway.ip(&format!("link set {name} up"));
    }

    /// The number of the user that its daemons run as.
    pub(crate) fn daemon_user(&self) -> u32 {
        self.user.as_ref().map_or(0, User::number)
    }

    /// Gives a file or directory that the test made to the user of its daemons.
    pub(crate) fn give(&self, path: &Path) {
        let owner = Some(self.daemon_user());
        std::os::unix::fs::chown(path, owner, owner).expect("give it to the daemon");
    }

    /// Gives the places of its daemons to root, for one that root starts.
    pub(crate) fn belongs_to_root(&self) {
        let bpffs = self.user.as_ref().map(User::bpffs);
        let above = bpffs.as_deref().and_then(Path::parent);
        let places = [Some(self.directory.path()), bpffs.as_deref(), above];
        for place in places.into_iter().flatten() {
            std::os::unix::fs::chown(place, Some(0), Some(0)).expect("give it to root");
        }
    }

    /// A verb on this lab's pins, inside the gateway's namespace, where its
    /// interfaces are seen.
    pub(crate) fn monitor_inside(&self, arguments: &[&str]) -> Output {
        let mut command = self.gateway.command(binary());
        command.args(arguments).arg("--socket").arg(self.socket());
        let command = command.arg("--pin-dir").arg(&self.pin_dir);
        command.output().expect("run monitor")
    }

    /// Directory of the policies.
    pub(crate) fn policies(&self) -> PathBuf {
        self.directory.path().join("policies")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("monitor.sock")
    }

    /// Replaces the policy file in one step, as editors do.
    pub(crate) fn write_policies(&self, text: &str) {
        let directory = self.policies();
        fs::create_dir_all(&directory).unwrap();
        let new = self.directory.path().join("new.yaml");
        fs::write(&new, text).unwrap();
        fs::rename(new, directory.join("policies.yaml")).unwrap();
    }

    /// `monitor run` inside the gateway, not started yet. What `arguments` do not
    /// set is the lab's own.
    pub(crate) fn daemon_command(&self, arguments: &[&str]) -> Command {
        let binary = vec![binary().display().to_string()];
        let words = self.user.as_ref().map_or(binary, User::words);
        let mut command = self.gateway.command(&words[0]);
        command.args(&words[1..]);
        command.arg("run").args(arguments).stdin(Stdio::null());
        let own = [
            ("--listen", "127.0.0.1:9641".into()),
            ("--policies", self.policies()),
            ("--state-dir", self.directory.path().join("state")),
            ("--pin-dir", self.pin_dir.clone()),
            ("--socket", self.socket()),
        ];
        for (name, value) in own {
            if !arguments.contains(&name) {
                command.arg(name).arg(value);
            }
        }
        command
    }

    /// Starts `monitor run --interface wlan0 …` and waits until it answers.
    pub(crate) fn start(&self, arguments: &[&str]) -> Daemon {
        self.start_on("wlan0", arguments)
    }

    /// The same on another interface of the gateway.
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
        let mut daemon = Daemon { child, log };
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

    /// Runs another verb on this lab's daemon or pins.
    pub(crate) fn monitor(&self, arguments: &[&str]) -> Output {
        Command::new(binary())
            .args(arguments)
            .arg("--socket")
            .arg(self.socket())
            .arg("--pin-dir")
            .arg(&self.pin_dir)
            .output()
            .expect("run monitor")
    }

    /// `monitor status --json`, which must succeed.
    pub(crate) fn status(&self) -> Value {
        let output = self.monitor(&["status", "--json"]);
        assert!(
            output.status.success(),
            "status failed: {}",
            text(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("status prints JSON")
    }

    /// What the counters say about a policy: (passed, dropped) packets.
    pub(crate) fn policy(&self, name: &str) -> (u64, u64) {
        let status = self.status();
        let policies = status["policies"].as_array().expect("policies");
        let policy = policies
            .iter()
            .find(|policy| policy["name"] == name)
            .unwrap_or_else(|| panic!("no policy {name} in {status:#}"));
        let matched = &policy["matched"];
        (
            matched["passed"]["packets"].as_u64().unwrap(),
            matched["dropped"]["packets"].as_u64().unwrap(),
        )
    }

    /// The generation in force on an interface.
    pub(crate) fn generation(&self, interface: &str) -> Option<u64> {
        let status = self.status();
        let interfaces = status["interfaces"].as_array().expect("interfaces");
        let interface = interfaces
            .iter()
            .find(|candidate| candidate["name"] == interface)?;
        interface["generation"].as_u64()
    }

    /// The metrics.
    pub(crate) fn metrics(&self) -> String {
        self.get("/metrics")
    }

    /// The page for people.
    pub(crate) fn page(&self) -> String {
        self.get("/")
    }

    /// What `/healthz` answers, with its head.
    pub(crate) fn health(&self) -> String {
        self.get("/healthz")
    }

    fn get(&self, path: &str) -> String {
        let address = "127.0.0.1:9641".parse().unwrap();
        let page = self.try_get(address, path, "");
        page.expect("connect to metrics")
    }

    /// Head and body of the answer, where a server listens on the gateway.
    /// `headers` are more lines of the request, each with its end.
    pub(crate) fn try_get(
        &self,
        address: SocketAddr,
        path: &str,
        headers: &str,
    ) -> std::io::Result<String> {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        self.gateway.run(|| {
            use std::io::{Read as _, Write as _};
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(request.as_bytes())?;
            let mut page = String::new();
            stream.read_to_string(&mut page)?;
            Ok(page)
        })
    }

    /// Echoes every datagram that reaches the address, for as long as the lab lives.
    pub(crate) fn serve_udp(&self, address: &str) -> SocketAddr {
        let socket = self.gateway.run(|| bind_udp(address));
        let bound = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                // The phone may be gone.
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

    /// A listener on the gateway.
    pub(crate) fn listen_tcp(&self, address: &str) -> TcpListener {
        let ip: IpAddr = address.parse().unwrap();
        self.gateway
            .run(|| TcpListener::bind((ip, 0)).expect("listen"))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.pin_dir.exists()
            && let Err(error) = monitor::datapath::detach(&self.pin_dir)
        {
            eprintln!("lab {}: {error}", self.name);
        }
    }
}

/// A running daemon, killed with this value.
pub(crate) struct Daemon {
    pub(crate) child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Owns a process that was started elsewhere, without its log.
    pub(crate) fn from_child(child: Child) -> Self {
        Self {
            child,
            log: PathBuf::new(),
        }
    }

    /// `kill -9`, and waits for the end.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What the daemon wrote to stderr so far, of every daemon of this lab.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether metrics are served, or it is known why not, at each place.
fn has_tried_to_listen(status: &Value) -> bool {
    let endpoints = status["daemon"]["endpoints"].as_array();
    let mut endpoints = endpoints.expect("endpoints").iter();
    endpoints.all(|endpoint| endpoint["serving"] == true || !endpoint["error"].is_null())
}

/// Waits until `done`, and fails with `what` where it never is.
pub(crate) fn poll(what: &str, done: impl FnMut() -> bool) {
    poll_times(POLLS, what, done);
}

/// The same for what takes some seconds by itself.
pub(crate) fn poll_long(what: &str, done: impl FnMut() -> bool) {
    poll_times(6 * POLLS, what, done);
}

fn poll_times(times: u32, what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..times {
        if done() {
            return;
        }
        thread::sleep(POLL);
    }
    panic!("waited in vain until {what}");
}

/// A datagram socket on any port of `address`.
pub(crate) fn bind_udp(address: &str) -> UdpSocket {
    let ip: IpAddr = address.parse().unwrap();
    UdpSocket::bind((ip, 0)).expect("bind")
}

/// The unspecified address of the same family.
pub(crate) fn any_like(address: &str) -> &'static str {
    if address.contains(':') {
        "::"
    } else {
        "0.0.0.0"
    }
}

pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_monitor"))
}

/// Puts the binary into a directory that everybody may look into: it may lie
/// where others cannot. By another process: while one of this test's threads
/// has the copy open for writing, what another starts keeps it from running.
pub(crate) fn copy_binary(directory: &Path) {
    let (from, to) = (binary().display(), directory.display());
    sh(&format!("cp {from} {to}/monitor"));
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn mount_bpffs() {
    let magic = nix::sys::statfs::statfs("/sys/fs/bpf").map(|stat| stat.filesystem_type());
    if magic != Ok(nix::sys::statfs::BPF_FS_MAGIC) {
        sh("mount -t bpf -o mode=0700 bpf /sys/fs/bpf");
    }
}

pub(crate) fn sh(command: &str) {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(
        output.status.success(),
        "{command}: {}",
        text(&output.stderr)
    );
}
