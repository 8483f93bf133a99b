//! `monitor doctor --canary`: frames that must raise a counter.
//!
//! ```text
//! station ──frame──► interface of the gateway ──► filter ──► counter of the canary's policy
//!                              └──► tap: on which interfaces the frame arrived
//! ```
//!
//! The frames go to addresses that only this run knows, so only they raise the counter. The tap
//! tells a filter that does not see a frame from a frame that never arrived. The frames are
//! Ethernet broadcasts: Linux forwards no IP packet of a broadcast frame, so they end here.
//!
//! At an interface towards the internet, the gateway itself sends the frames:
//!
//! ```text
//! filter ◄──frame── this command            to the interface's own MAC, so no station takes it
//!    └──► counter of the canary's policy
//! ```

mod frame;
mod judge;
mod namespace;
mod own;
mod socket;
mod station;

use std::{
    collections::BTreeSet,
    io,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

pub use self::{
    frame::Target,
    namespace::{Namespace, NamespaceError},
    station::Source,
};
use self::{
    frame::{EVERYONE, Family, Frame},
    judge::{Sighting, Trial},
    socket::{Sender, Tap},
    station::Station,
};
use super::{
    facts::{FilterAt, Link},
    finding::Remark,
    read::links::links,
};

/// Frames that are sent on each path.
pub const FRAMES: u64 = 3;

/// The most paths: interfaces of the station, times tags, times address families.
pub const MOST_PATHS: usize = 64;

/// The most packets of a device that are remembered.
const MOST_AWAITED: usize = 10_000;

/// How long a frame may take to arrive.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the counter may take after the frame arrived. The filter counts before the tap.
const SETTLES: Duration = Duration::from_millis(300);

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Why the canary could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    /// A packet socket does not work.
    #[error("{what}: {source}; run as root")]
    Socket {
        /// The operation.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The namespace cannot be entered.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// There is no such interface.
    #[error("{interface}: {why}")]
    Interface {
        /// Its name.
        interface: String,
        /// What is wrong with the interface, and how to fix that.
        why: String,
    },
    /// The counter cannot be read.
    #[error("read the counter of the canary: {0}")]
    Count(String),
    /// A signal ended the run.
    #[error("a signal ended the canary; everything that it made is removed")]
    Stopped,
}

/// A run of the canary.
pub struct Run<'a> {
    /// The namespace of the gateway.
    pub gateway: &'a Namespace,
    /// The addresses.
    pub target: Target,
    /// Tags of VLANs besides those of the gateway's interfaces.
    pub vlans: &'a [u16],
    /// The filtered interfaces.
    pub filters: &'a [FilterAt],
    /// Reads the counter of the canary's policy.
    pub count: &'a (dyn Fn() -> Result<u64, String> + Sync),
    /// True as soon as a signal came.
    pub stopped: &'a AtomicBool,
}

impl Run<'_> {
    /// Sends the frames, and says for each path whether they were counted.
    ///
    /// # Errors
    ///
    /// Returns an error if the frames cannot be sent, or if a signal came.
    pub fn send_from(&self, source: &Source) -> Result<Vec<Remark>, CanaryError> {
        let links = self.links()?;
        let own = self.send_out(&links)?;
        let most = MOST_PATHS.saturating_sub(own.len());
        let station = Station::of(source, self.gateway)?;
        let links = self.links().unwrap_or(links);
        let tap = self.tap()?;
        let mut trials = Vec::new();
        for interface in station.interfaces(source)? {
            let sender = station.sender(&interface)?;
            for tag in self.tags(&links) {
                for family in Family::BOTH {
                    if trials.len() < most {
                        trials.push(self.attempt(
                            &tap,
                            &sender,
                            &interface,
                            tag,
                            family,
                            trials.len(),
                        )?);
                    }
                }
            }
        }
        // The port of the station joined a bridge meanwhile.
        let links = self.links().unwrap_or(links);
        drop(station);
        let mut remarks = judge::remarks(&trials, &links, self.filters);
        remarks.extend(own);
        Ok(remarks)
    }

    /// Waits for packets that a device of the operator's choice sends to the addresses. `tell`
    /// tells the operator, once a packet cannot be missed any more.
    ///
    /// # Errors
    ///
    /// Returns an error if the counter cannot be read, or if a signal came.
    pub fn wait(&self, length: Duration, tell: impl FnOnce()) -> Result<Vec<Remark>, CanaryError> {
        let links = self.links()?;
        let own = self.send_out(&links)?;
        let before = self.counted()?;
        let tap = self.tap()?;
        tell();
        let begin = Instant::now();
        let mut arrived = Vec::new();
        loop {
            arrived.extend(tap.arrivals(None).map_err(on("receive frames"))?);
            arrived.truncate(MOST_AWAITED);
            let counted = self.counted()?.saturating_sub(before);
            let families = |family| {
                arrived
                    .iter()
                    .any(|arrival: &socket::Arrival| arrival.family == family)
            };
            let is_complete = Family::BOTH.into_iter().all(families);
            if is_complete || begin.elapsed() > length {
                let mut remarks = judge::awaited(&arrived, counted, &links, self.filters);
                remarks.extend(own);
                return Ok(remarks);
            }
            self.pause()?;
        }
    }

    fn links(&self) -> Result<Vec<Link>, CanaryError> {
        self.gateway
            .run(links)?
            .map_err(on("list the interfaces of the gateway"))
    }

    fn tap(&self) -> Result<Tap, CanaryError> {
        let target = self.target;
        self.gateway
            .run(move || Tap::open(&target))?
            .map_err(on("open a packet socket"))
    }

    /// No tag, the tags of the gateway's VLANs, and those that the operator names.
    fn tags(&self, links: &[Link]) -> Vec<Option<u16>> {
        let own = links.iter().filter_map(|link| link.vlan);
        let tags: BTreeSet<u16> = own.chain(self.vlans.iter().copied()).collect();
        std::iter::once(None)
            .chain(tags.into_iter().map(Some))
            .collect()
    }

    fn attempt(
        &self,
        tap: &Tap,
        sender: &Sender,
        interface: &Link,
        tag: Option<u16>,
        family: Family,
        number: usize,
    ) -> Result<(Trial, Sighting), CanaryError> {
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        let frame = Frame {
            destination: EVERYONE,
            source: interface.mac.unwrap_or_default(),
            tag,
            family,
            number,
        };
        let bytes = frame.bytes(&self.target);
        let before = self.counted()?;
        for _ in 0..FRAMES {
            sender.send(&bytes).map_err(on("send a frame"))?;
        }
        let trial = Trial {
            station: interface.name.clone(),
            tag,
            family,
        };
        let sighting = self.look(tap, number, before)?;
        Ok((trial, sighting))
    }

    fn look(&self, tap: &Tap, number: u16, before: u64) -> Result<Sighting, CanaryError> {
        let begin = Instant::now();
        let (mut arrived, mut since): (Vec<u32>, _) = (Vec::new(), None);
        loop {
            for arrival in tap.arrivals(Some(number)).map_err(on("receive frames"))? {
                since.get_or_insert_with(Instant::now);
                if !arrived.contains(&arrival.index) {
                    arrived.push(arrival.index);
                }
            }
            let counted = self.counted()?.saturating_sub(before);
            let is_settled = since.is_some_and(|since: Instant| since.elapsed() > SETTLES);
            let is_seen = counted >= FRAMES && since.is_some();
            if is_seen || is_settled || begin.elapsed() > PATIENCE {
                return Ok(Sighting { arrived, counted });
            }
            self.pause()?;
        }
    }

    /// Reads the counter. Filters of `clsact` can be seen in the gateway's namespace only.
    fn counted(&self) -> Result<u64, CanaryError> {
        self.gateway.run(self.count)?.map_err(CanaryError::Count)
    }

    fn pause(&self) -> Result<(), CanaryError> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(CanaryError::Stopped);
        }
        thread::sleep(LOOK);
        Ok(())
    }
}

/// Names the operation of an error of the system.
fn on(what: &str) -> impl FnOnce(io::Error) -> CanaryError {
    let what = what.to_owned();
    move |source| CanaryError::Socket { what, source }
}
