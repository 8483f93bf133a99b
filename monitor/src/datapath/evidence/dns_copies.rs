//! The classifier that copies DNS answers on their way to the devices.
//!
//! It belongs to the daemon: its link is not pinned, so without a daemon no packet runs it.

use std::net::IpAddr;

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, MapData, PerCpuArray, RingBuf},
    programs::{ProgramError, SchedClassifier, TestRun as _, TestRunOptions, tc},
    util::KernelVersion,
};
use jiff::Timestamp;
use monitor_common::evidence::{DnsLosses, MAX_RESOLVERS};

use super::{Ticks, samples};
use crate::{
    datapath::{
        Error,
        maps::{Maps as _, borrow, read, write},
        test_run::{LONGEST, SHORTEST},
    },
    evidence::Sample,
};

/// Compiled object of the classifier, written by the build script.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/egress"));

/// SHA-256 of the compiled classifier, hexadecimal.
#[must_use]
pub fn classifier_sha256() -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(OBJECT))
}

/// Name of the classifier, also in the kernel's list of filters.
const PROGRAM: &str = "monitor_dns";

const RING: &str = "DNS_RING";
const LOSSES: &str = "DNS_LOSSES";
const RESOLVERS: &str = "RESOLVERS";
const REPLAY_TIME: &str = "REPLAY_TIME";

/// Copies of the DNS answers that leave through one interface.
pub struct DnsCopies {
    object: Ebpf,
    ring: RingBuf<MapData>,
    losses: PerCpuArray<MapData, DnsLosses>,
    ticks: Option<Ticks>,
    /// Name and index of the interface; `None` in a replay.
    interface: Option<(String, u32)>,
}

impl DnsCopies {
    /// Copies the answers that leave through an interface, from now until the value is
    /// dropped. `resolvers` are the addresses of servers that offer DNS over HTTPS.
    pub fn attach(interface: &str, resolvers: impl Iterator<Item = IpAddr>) -> Result<Self, Error> {
        let mut copies = Self::load(None)?;
        copies.set_resolvers(resolvers)?;
        copies.interface = Some((interface.to_owned(), index(interface)));
        let failed = |error: &dyn std::fmt::Display| Error::DnsCopies {
            interface: interface.to_owned(),
            why: error.to_string(),
        };
        let name = std::ffi::CString::new(interface).map_err(|error| failed(&error))?;
        if !has_tcx() {
            // A daemon that was killed left its filter.
            let _ =
                tc::qdisc_detach_program(name.as_c_str(), tc::TcAttachType::Egress.into(), PROGRAM);
            match tc::qdisc_add_clsact(name.as_c_str()) {
                // Another program, or an earlier daemon, made it.
                Err(tc::TcError::NetlinkError(error))
                    if error.raw_os_error() == Some(libc::EEXIST) => {}
                Ok(()) => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        let attached =
            program(&mut copies.object).attach(name.as_c_str(), tc::TcAttachType::Egress);
        attached.map_err(|error| failed(&error))?;
        Ok(copies)
    }

    /// The same classifier, for packets of a capture.
    pub fn replay() -> Result<Self, Error> {
        Self::load(Some(Ticks::MICROSECONDS))
    }

    fn load(ticks: Option<Ticks>) -> Result<Self, Error> {
        let replay = u32::from(ticks.is_some());
        let mut object = EbpfLoader::new()
            .override_global("REPLAY", &replay, true)
            .load(OBJECT)
            .map_err(Error::load)?;
        let loaded = program(&mut object).load();
        loaded.map_err(|source| Error::program("load the DNS classifier", source))?;
        let mut maps = &mut object;
        Ok(Self {
            ring: maps.map(RING)?,
            losses: maps.map(LOSSES)?,
            object,
            ticks,
            interface: None,
        })
    }

    /// True if the interface still is the one to which the classifier was attached.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        let interface = self.interface.as_ref();
        interface.is_none_or(|(name, attached)| index(name) == *attached)
    }

    fn set_resolvers(&mut self, resolvers: impl Iterator<Item = IpAddr>) -> Result<(), Error> {
        let mut map: HashMap<&mut MapData, [u8; 16], u32> = borrow(&mut self.object, RESOLVERS)?;
        for resolver in resolvers.take(MAX_RESOLVERS as usize) {
            let key = match resolver {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            };
            map.insert(&key, &1, 0).map_err(write(RESOLVERS))?;
        }
        Ok(())
    }

    /// Runs the classifier on a packet of a capture. A packet whose IP header is cut short is
    /// skipped, because the kernel hands no such packet to a classifier.
    pub fn run_at(&mut self, frame: &[u8], at: Timestamp) -> Result<(), Error> {
        if frame.len() < SHORTEST {
            return Ok(());
        }
        let microseconds = u64::try_from(at.as_microsecond()).unwrap_or(0);
        let mut time: Array<&mut MapData, u64> = borrow(&mut self.object, REPLAY_TIME)?;
        time.set(0, &microseconds, 0).map_err(write(REPLAY_TIME))?;
        let mut options = TestRunOptions::new();
        options.data_in = Some(&frame[..frame.len().min(LONGEST)]);
        match program(&mut self.object).test_run(options) {
            Err(ProgramError::SyscallError(error))
                if error.io_error.raw_os_error() == Some(libc::EINVAL) =>
            {
                Ok(())
            }
            Err(source) => Err(Error::program("run the DNS classifier on a frame", source)),
            Ok(_) => Ok(()),
        }
    }

    /// Reads the copies since the last call. The device of a copy got the answer.
    pub fn read(&mut self, each: impl FnMut(Sample<'_>)) {
        let ticks = self.ticks.unwrap_or_else(Ticks::now);
        samples::read(&mut self.ring, ticks, each);
    }

    /// What was not copied, over all CPUs.
    pub fn losses(&self) -> Result<DnsLosses, Error> {
        let values = self.losses.get(&0, 0).map_err(read(LOSSES))?;
        let mut sum = DnsLosses::default();
        for cpu in values.iter() {
            sum.full += cpu.full;
            sum.rate += cpu.rate;
            sum.cut += cpu.cut;
        }
        Ok(sum)
    }
}

/// Index of an interface; 0 if there is none of this name.
fn index(interface: &str) -> u32 {
    nix::net::if_::if_nametoindex(interface).unwrap_or(0)
}

/// True if classifiers are attached by links, which end with their process (Linux 6.6, commit
/// e420bed02507).
fn has_tcx() -> bool {
    KernelVersion::current().is_ok_and(|found| found >= KernelVersion::new(6, 6, 0))
}

fn program(object: &mut Ebpf) -> &mut SchedClassifier {
    object
        .program_mut(PROGRAM)
        .and_then(|program| program.try_into().ok())
        .expect("the embedded object holds one classifier of this name")
}
