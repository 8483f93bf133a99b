//! Runs `monitor capture` in a lab, and reads what it wrote.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use monitor::capture::Capture;
use pcap_parser::{
    Block, PcapBlockOwned, PcapNGReader, traits::PcapNGPacketBlock as _, traits::PcapReaderIterator,
};
use serde_json::Value;

use super::{
    lab::{BLOCKED, Lab, binary, poll, poll_long, text},
    packets::to,
    raw::RawSocket,
};

/// A packet of a capture file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Captured {
    pub(crate) interface: String,
    pub(crate) data: Vec<u8>,
    pub(crate) length: u32,
    pub(crate) comment: String,
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub(crate) at: u64,
}

/// Everything in a capture file.
#[derive(Debug, Default)]
pub(crate) struct CaptureContent {
    pub(crate) application: String,
    pub(crate) packets: Vec<Captured>,
    /// Packets that the counts of the interfaces call lost.
    pub(crate) lost: u64,
    /// Packets that they call delivered.
    pub(crate) delivered: u64,
    /// Number of blocks with counts.
    pub(crate) counts: usize,
}

/// A capture that runs.
pub(crate) struct Capturing {
    pub(crate) child: Child,
    pub(crate) file: PathBuf,
}

impl Lab {
    /// Starts `monitor capture POLICY`, and waits until it runs.
    pub(crate) fn capture(&self, policy: &str, arguments: &[&str]) -> Capturing {
        let file = self.directory.path().join(format!("{policy}.pcapng"));
        let _ = fs::remove_file(&file);
        let child = self
            .capture_command(policy, &file, arguments)
            .spawn()
            .expect("start a capture");
        poll("the capture runs", || self.running_capture().is_some());
        Capturing { child, file }
    }

    /// `monitor capture`, not started.
    pub(crate) fn capture_command(&self, policy: &str, file: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(["capture", policy, "--json", "--socket"])
            .arg(self.socket())
            .arg("--pin-dir")
            .arg(&self.pin_dir)
            .arg("--output")
            .arg(file)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The capture that `status` shows.
    pub(crate) fn running_capture(&self) -> Option<Value> {
        let status = self.status();
        status["daemon"].get("capture").cloned()
    }

    /// True if a generation that copies packets is in force.
    pub(crate) fn copies_packets(&self) -> bool {
        let generation = self.generation("wlan0").expect("a generation");
        let versions = fs::read_dir(&self.pin_dir).unwrap();
        let mut versions = versions.map(|version| version.unwrap().path());
        versions.any(|version| {
            let pin = format!("gen-{generation}/CAPTURE_RING");
            version.join(pin).exists()
        })
    }
}

impl Capturing {
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
    }

    /// Ends the capture as Ctrl-C does. Returns what it printed and wrote.
    pub(crate) fn stop(self) -> (Value, CaptureContent) {
        self.signal(nix::sys::signal::SIGINT);
        self.end()
    }

    /// Waits for the end of the capture. Returns what it printed and wrote.
    pub(crate) fn end(self) -> (Value, CaptureContent) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.child.wait_with_output().unwrap();
        assert!(status.success(), "{}", text(&stderr));
        let printed = serde_json::from_slice(&stdout).expect("it prints JSON");
        (printed, read_capture(&fs::read(&self.file).unwrap()))
    }
}

/// Reads a whole file, which must be valid. The reader of `monitor replay` must agree.
pub(crate) fn read_capture(file: &[u8]) -> CaptureContent {
    let mut content = CaptureContent::default();
    let mut interfaces = Vec::new();
    let mut reader = PcapNGReader::new(1 << 20, file).expect("a section header");
    loop {
        let (length, block) = match reader.next() {
            Ok(found) => found,
            Err(pcap_parser::PcapError::Eof) => break,
            Err(pcap_parser::PcapError::Incomplete(_)) => {
                reader.refill().unwrap();
                continue;
            }
            Err(error) => panic!("{error:?}"),
        };
        match block {
            PcapBlockOwned::NG(Block::SectionHeader(section)) => {
                content.application = section.shb_userappl().unwrap().unwrap().into();
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                interfaces.push(interface.if_name().unwrap().unwrap().to_owned());
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let comment = packet.options.iter().find(|option| option.code.0 == 1);
                content.packets.push(Captured {
                    interface: interfaces[packet.if_id as usize].clone(),
                    data: packet.packet_data().to_vec(),
                    length: packet.origlen,
                    comment: comment.unwrap().as_str().unwrap().to_owned(),
                    at: u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low),
                });
            }
            PcapBlockOwned::NG(Block::InterfaceStatistics(counts)) => {
                content.counts += 1;
                let count = |count: Option<Result<u64, _>>| count.unwrap().unwrap();
                let lost = count(counts.isb_osdrop());
                let delivered = count(counts.isb_usrdeliv());
                assert_eq!(count(counts.isb_filteraccept()), delivered + lost);
                assert!(counts.isb_ifdrop().is_none(), "drops are counted twice");
                let comment = counts.options.iter().find(|option| option.code.0 == 1);
                assert_eq!(comment.is_some(), lost > 0);
                content.lost += lost;
                content.delivered += delivered;
            }
            PcapBlockOwned::NG(other) => panic!("an unexpected block: {other:?}"),
            PcapBlockOwned::Legacy(_) | PcapBlockOwned::LegacyHeader(_) => panic!("not pcapng"),
        }
        reader.consume(length);
    }
    if content.counts > 0 {
        assert_eq!(content.delivered, content.packets.len() as u64);
    }
    let file = std::io::Cursor::new(file.to_vec());
    let replayed = Capture::new("file", Box::new(file)).unwrap();
    let replayed: Vec<_> = replayed.map(|frame| frame.unwrap().data).collect();
    let own = content.packets.iter().map(|packet| &packet.data);
    assert!(replayed.iter().eq(own), "the two readers disagree");
    content
}

/// Packets that a policy matched.
pub(crate) fn matched(lab: &Lab, policy: &str) -> u64 {
    let (passed, dropped) = lab.policy(policy);
    passed + dropped
}

/// Events whose word begins with `capture`.
pub(crate) fn capture_events(lab: &Lab) -> Vec<Value> {
    let state = lab.directory.path().join("state");
    let output = lab.monitor(&["events", "--json", "--state-dir", state.to_str().unwrap()]);
    let events: Value = serde_json::from_slice(&output.stdout).unwrap();
    let events = events["events"].as_array().unwrap().iter();
    events
        .filter(|event| event["event"].as_str().unwrap().starts_with("capture"))
        .cloned()
        .collect()
}

/// Sends long frames to a dropped address until told to stop.
pub(crate) fn flood(lab: &Lab, stop: &AtomicBool) {
    let phone = RawSocket::sender(&lab.phone, "eth0");
    let frame = to(BLOCKED[0]).payload(&[0x5a; 1300]).build();
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..20 {
            phone.send(&frame);
        }
        // Other processes need the CPU too.
        thread::sleep(Duration::from_micros(200));
    }
}

/// Sends frames to a dropped address until the capture that runs has lost over 1,000 of them.
pub(crate) fn flood_until_lost(lab: &Lab) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| flood(lab, &stop));
        poll_long("packets are lost", || {
            lab.running_capture()
                .is_some_and(|capture| capture["lost"].as_u64() > Some(1000))
        });
        stop.store(true, Ordering::Relaxed);
    });
}
