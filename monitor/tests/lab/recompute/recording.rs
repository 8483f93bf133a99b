//! A lab whose packets are captured while the filter counts them.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use jiff::Timestamp;
use monitor::{address::Derivation, recompute::Inputs};

use super::statements::verify;
use crate::support::{
    captured::Capturing,
    lab::{Daemon, Lab, text},
    packets::{Fragment, PHONE, Transport, to},
    raw::RawSocket,
};

pub(super) const POLICIES: &str = "version: 1
policies:
  - name: blocked
    action: drop
    destinations: [198.51.100.0/25, 2001:db8:bad::/48]
  - name: seen
    action: count
    destinations:
      - 192.0.2.0/24
      - {cidr: 198.51.100.0/24, except: [198.51.100.192/26]}
      - 2001:db8::/32
  - name: web
    action: count
    destinations: [203.0.113.0/24]
    services: [tcp/443]
";

pub(super) const OTHER: [u8; 6] = [0x64, 0xcc, 0x2e, 0x44, 0x55, 0x66];

/// A lab with a capture of a policy, and the begin of the period.
pub(super) struct Recording {
    pub(super) daemon: Daemon,
    pub(super) lab: Lab,
    pub(super) capturing: Capturing,
    pub(super) since: Timestamp,
}

/// Files of a recording that ended.
pub(super) struct Recorded {
    _daemon: Daemon,
    pub(super) lab: Lab,
    pub(super) capture: PathBuf,
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
}

/// Waits for the next second of the clock, far from its begin. Reports have whole seconds, and
/// the kernel's ticks differ a little from the clock.
pub(super) fn a_second_begins() {
    let apart = Duration::from_millis(100);
    thread::sleep(apart);
    let second = Timestamp::now().as_second();
    while Timestamp::now().as_second() == second {
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(apart);
}

impl Recording {
    pub(super) fn begin(name: &str, policy: &str, options: &[&str]) -> Self {
        let lab = Lab::new(name);
        lab.write_policies(POLICIES);
        let daemon = lab.start(&["--mode", "generic"]);
        let since = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        let capturing = lab.capture(policy, options);
        a_second_begins();
        Self {
            daemon,
            lab,
            capturing,
            since,
        }
    }

    pub(super) fn end(self) -> Recorded {
        a_second_begins();
        let capture = self.capturing.file.clone();
        let (printed, _) = self.capturing.stop();
        assert_eq!(printed["lost"], 0, "{printed}");
        // The report need not have packets of the second in which it is made.
        a_second_begins();
        Recorded {
            _daemon: self.daemon,
            lab: self.lab,
            capture,
            since: self.since,
            until: Timestamp::from_second(Timestamp::now().as_second() + 3).unwrap(),
        }
    }
}

/// Frames of two devices to addresses of every policy.
pub(super) fn send_frames(lab: &Lab) {
    let phone = RawSocket::sender(&lab.phone, "eth0");
    let kinds = [
        Transport::Tcp(443),
        Transport::Udp(53),
        Transport::EchoRequest,
        Transport::Other(50),
    ];
    for (source, repeat) in [(PHONE, 3), (OTHER, 2)] {
        for address in ["192.0.2.10", "198.51.100.10", "2001:db8:bad::10"] {
            for kind in kinds {
                for length in 0..repeat {
                    let payload = vec![0x5a; 40 * length];
                    let frame = to(address).source(source).transport(kind);
                    phone.send(&frame.payload(&payload).build());
                }
            }
            let later = to(address).source(source).fragment(Fragment::Later(64));
            phone.send(&later.build());
        }
    }
    // Of no policy of the capture.
    phone.send(&to("198.51.100.200").build());
    phone.send(&to("203.0.113.5").transport(Transport::Tcp(443)).build());
}

impl Recorded {
    pub(super) fn report(&self, name: &str, arguments: &[&str]) -> PathBuf {
        let file = self.lab.directory.path().join(name);
        let state = self.lab.directory.path().join("state");
        let (since, until) = (self.since.to_string(), self.until.to_string());
        let fixed = ["report", "--format", "json", "--since", &since];
        let mut all = [&fixed[..], &["--until", &until], arguments].concat();
        all.extend(["--output", file.to_str().unwrap()]);
        all.extend(["--state-dir", state.to_str().unwrap()]);
        let output = self.lab.monitor(&all);
        assert!(output.status.success(), "{}", text(&output.stderr));
        file
    }

    pub(super) fn verify(&self, report: &Path, arguments: &[&str]) -> (i32, Vec<(String, String)>) {
        verify(report, &self.capture, arguments)
    }

    pub(super) fn inputs<'a>(capture: &'a Path, derivation: &'a Derivation) -> Inputs<'a> {
        Inputs {
            capture,
            derivation,
            given: None,
        }
    }
}
