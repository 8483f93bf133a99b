//! A store with a story, written by the real writer: two phones, a range under `count` and one
//! under `drop`, names of every kind, and marks.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use jiff::{SignedDuration, Timestamp};
use monitor::{
    evidence::{
        Claim, Direction, Flow, FlowEnd, FlowKey, NameSource, Port,
        mark::{Mark, MarkKind},
    },
    policy::MacAddress,
    store::{
        Attachment, DeviceFact, Drained, EncryptedDns, Instance, Loss, Setup, Store, StoreSettings,
    },
};
use monitor_common::Count;
use tempfile::TempDir;

/// 2026-11-29T12:00:00Z.
pub(crate) const NOON: i64 = 1_795_953_600;

/// The phone of the story.
pub(crate) const PHONE: &str = "64:cc:2e:11:22:33";

/// Another phone, as control.
pub(crate) const OTHER: &str = "64:cc:2e:44:55:66";

/// The server of the story.
pub(crate) const SERVER: &str = "42.62.48.9";

const INSTANCE: Instance = Instance {
    token: 77,
    boot: Some([7; 16]),
};

/// A store, and the time of its last entry.
pub(crate) struct Story {
    pub(crate) directory: TempDir,
    store: Option<Store>,
    epoch: u64,
    pub(crate) now: Timestamp,
}

pub(crate) fn mac(text: &str) -> MacAddress {
    text.parse().unwrap()
}

/// A flow of TCP to port 443.
pub(crate) fn flow(device: &str, to: &str, policy: &str, packets: u64, at: Timestamp) -> Flow {
    let is_drop = policy == "blocked";
    let count = Count {
        packets,
        bytes: 100 * packets,
    };
    let none = Count::default();
    Flow {
        key: FlowKey {
            device: mac(device),
            interface: "wlan0".to_owned(),
            direction: Direction::Out,
            destination: to.parse().unwrap(),
            protocol: 6,
            port: Port::Number(443),
        },
        policies: vec![policy.parse().unwrap()],
        passed: if is_drop { none } else { count },
        dropped: if is_drop { count } else { none },
        first: at,
        last: at,
    }
}

impl Story {
    /// A new store. The filter is attached from the begin on.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let now = Timestamp::from_second(NOON).unwrap();
        let opened = Store::open(directory.path(), StoreSettings::default(), now).unwrap();
        let mut story = Self {
            directory,
            store: Some(opened.0),
            epoch: 0,
            now,
        };
        story.begin();
        story
    }

    /// Phones that talk for some hours, with a mark in the middle.
    pub(crate) fn told() -> Self {
        let mut story = Self::told_open();
        story.end();
        story
    }

    /// The same, still open for writing.
    pub(crate) fn told_open() -> Self {
        let mut story = Self::new();
        for _ in 0..24 {
            story.pass(5);
            story.write(&[
                flow(PHONE, SERVER, "range-2014", 4, story.now),
                flow(PHONE, "42.62.48.77", "range-2014", 1, story.now),
                flow(PHONE, "198.51.100.10", "blocked", 2, story.now),
                flow(OTHER, "42.62.48.200", "range-2014", 3, story.now),
            ]);
        }
        story.names();
        story.mark("cloud backup off", MarkKind::SettingChanged, Some(PHONE));
        for _ in 0..24 {
            story.pass(5);
            story.write(&[
                flow(PHONE, "198.51.100.10", "blocked", 2, story.now),
                flow(OTHER, "42.62.48.200", "range-2014", 3, story.now),
            ]);
        }
        story.mark("reset", MarkKind::Reset, None);
        story.pass(30);
        story
    }

    pub(crate) fn store(&mut self) -> &mut Store {
        self.store.as_mut().unwrap()
    }

    fn begin(&mut self) {
        let now = self.now;
        let setup = Setup {
            version: "0.1.0".to_owned(),
            program: "ab".repeat(32),
            classifier: "cd".repeat(32),
            host: Some("gateway-of-anna".to_owned()),
            kernel: Some("6.18.0".to_owned()),
            addresses: vec!["192.168.77.1".parse().unwrap(), "fd77::1".parse().unwrap()],
        };
        let store = self.store();
        store.write_setup(&setup, now).unwrap();
        store.write_clock(true, now).unwrap();
        store
            .write_generation(INSTANCE, 1, b"00000000000000aa", now)
            .unwrap();
        store
            .write_policies("00000000000000aa", POLICIES, now)
            .unwrap();
    }

    /// Lets minutes pass.
    pub(crate) fn pass(&mut self, minutes: i64) {
        self.now += SignedDuration::from_mins(minutes);
    }

    /// Writes flows as the next drained table.
    pub(crate) fn write(&mut self, flows: &[Flow]) {
        self.epoch += 1;
        let (epoch, now) = (self.epoch, self.now);
        let drained = Drained {
            instance: INSTANCE,
            epoch,
            flows,
        };
        self.store().write_drained(&drained, now).unwrap();
    }

    /// Writes a claim about the server.
    pub(crate) fn claim(&mut self, device: &str, to: &str, source: NameSource, name: &str) {
        let end = FlowEnd {
            device: mac(device),
            destination: to.parse().unwrap(),
            protocol: 6,
            port: 443,
        };
        let now = self.now;
        let claim = Claim {
            name: name.to_owned(),
            source,
            server: (source == NameSource::Dns).then(|| "192.168.77.1".parse().unwrap()),
            chain: Vec::new(),
            ech: None,
            first: now,
            last: now,
        };
        self.store().write_claims(&[(end, claim)], now).unwrap();
    }

    pub(crate) fn fact(&mut self, device: &str, kind: &str, value: &str, source: &str) {
        let now = self.now;
        let fact = DeviceFact {
            kind: kind.to_owned(),
            value: value.to_owned(),
            source: source.to_owned(),
            first: now,
            last: now,
        };
        let facts = BTreeMap::from([(mac(device), vec![fact])]);
        self.store().write_device_facts(&facts, now).unwrap();
    }

    fn names(&mut self) {
        self.claim(PHONE, SERVER, NameSource::Dns, "api.cloud.example");
        self.claim(PHONE, SERVER, NameSource::Sni, "api.cloud.example");
        self.claim(PHONE, SERVER, NameSource::Asked, "asked.example");
        self.claim(OTHER, "42.62.48.200", NameSource::Quic, "push.example");
        self.fact(PHONE, "host-name", "annas-phone", "dnsmasq");
        self.fact(PHONE, "address", "192.168.77.23", "frame");
        self.fact(
            PHONE,
            "address",
            "2001:db8:77:1:66cc:2eff:fe11:2233",
            "frame",
        );
        self.fact(PHONE, "model", "Redmi Note", "user-agent");
        let now = self.now;
        let encrypted = EncryptedDns {
            device: mac(PHONE),
            kind: "dot".to_owned(),
            address: Some("192.0.2.53".parse::<IpAddr>().unwrap()),
            port: 853,
            name: "anna-1234.dns.example".to_owned(),
            first: now,
            last: now,
        };
        self.store().write_encrypted(&[encrypted], now).unwrap();
        let loss = Loss {
            reason: "sample".to_owned(),
            policy: None,
            packets: 3,
            bytes: 0,
        };
        self.store().write_losses(&[loss], now).unwrap();
    }

    pub(crate) fn mark(&mut self, text: &str, kind: MarkKind, device: Option<&str>) {
        let now = self.now;
        let mark = Mark {
            text: text.to_owned(),
            kind,
            model: Some("Redmi Note".to_owned()),
            firmware: None,
            accounts: Some("anna@mail.example".to_owned()),
            sim: Some("sim of anna".to_owned()),
            set: None,
        };
        let device = device.map(mac);
        self.store()
            .write_mark(&mark, device, now, now, true)
            .unwrap()
            .unwrap();
    }

    /// Notes that the filter was attached until now, and closes the store.
    pub(crate) fn end(&mut self) {
        let attachment = Attachment {
            interface: "wlan0".to_owned(),
            mode: "generic".to_owned(),
            generation: 1,
            since: Timestamp::from_second(NOON).unwrap(),
            until: self.now,
        };
        let now = self.now;
        self.store().write_attachments(&[attachment], now).unwrap();
        self.store.take().unwrap().close().unwrap();
    }

    /// Path of the file of names of the household's devices.
    pub(crate) fn config(&self) -> PathBuf {
        let directory = self.directory.path();
        let names = directory.join("names");
        std::fs::write(&names, format!("{OTHER} kitchen tablet\n")).unwrap();
        let table = "# 2026-02-01\n42.62.0.0,42.62.127.255,64500,Example Networks\n";
        std::fs::write(directory.join("asn.csv"), table).unwrap();
        let rir = "2|apnic|20210715|1|19830613|20210714|+1000\napnic|CN|ipv4|42.62.0.0|32768|20110310|allocated\n";
        std::fs::write(directory.join("delegated"), rir).unwrap();
        let policies = directory.join("policies");
        std::fs::create_dir_all(&policies).unwrap();
        std::fs::write(policies.join("p.yaml"), POLICY_FILE).unwrap();
        let config = directory.join("config.yaml");
        let text = "devices: {names: names, leases: []}\npolicies: policies\ndata: {files: [asn.csv, delegated]}\n";
        std::fs::write(&config, text).unwrap();
        config
    }

    /// Runs a verb on the store, without a daemon.
    pub(crate) fn monitor(&self, arguments: &[&str]) -> Output {
        let directory = self.directory.path();
        monitor(directory, arguments)
    }

    /// What `monitor report` prints.
    pub(crate) fn report(&self, arguments: &[&str]) -> String {
        let output = self.monitor(&[&["report"], arguments].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{error}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Runs a verb on a state directory that no daemon uses.
pub(crate) fn monitor(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_monitor"))
        .args(arguments)
        .arg("--socket")
        .arg(directory.join("socket"))
        .arg("--pin-dir")
        .arg(directory.join("pins"))
        .arg("--state-dir")
        .arg(directory)
        .output()
        .unwrap()
}

/// The policies of the ruleset in the store.
const POLICIES: &str = r#"[
{"name":"blocked","action":"drop","source":"annas-own.yaml:8","description":"what anna wrote","about":"says the neighbour","destinations":["198.51.100.0/24","2001:db8:60::/43"],"more_destinations":0,"devices":["64:cc:2e:11:22:33"],"evidence":"names","active":true},
{"name":"range-2014","action":"count","source":"p.yaml:3","destinations":["42.62.48.0/24"],"more_destinations":0,"evidence":"names","active":true},
{"name":"silent","action":"count","source":"p.yaml:12","destinations":["203.0.113.0/24"],"more_destinations":0,"evidence":"names","active":true}
]"#;

const POLICY_FILE: &str = "version: 1
policies:
  - name: range-2014
    action: count
    about: {holder: CNNIC, as_of: 2014-07, source: a newspaper}
    destinations: [42.62.48.0/24]
";
