//! Copies of the packets that one policy matches: asks a generation for them, and reads them.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    path::Path,
    sync::Arc,
    time::Duration,
};

use aya::maps::{Array, MapData, PerCpuArray, RingBuf};
use jiff::{SignedDuration, Timestamp};
use monitor_common::capture::{
    CAPTURE_FRAMES, CAPTURE_HEADERS, CAPTURE_LEASE_SECONDS, CaptureHeader,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{
    Error, Filter,
    in_force::in_force,
    link::Link,
    maps::{self, read, write},
    object::{self, capture},
    pins,
    state::{InterfaceMaps, PolicyMaps},
};
use crate::{
    clock,
    policy::{Direction, PolicyName},
};

/// Size of the header of a record, in bytes.
const HEADER: usize = size_of::<CaptureHeader>();

/// How long programs may copy while the daemon makes a generation, and so renews no lease.
const LONG_LEASE: Duration = Duration::from_secs(60);

/// The capture that a generation serves.
#[derive(Clone, Debug)]
pub struct CaptureRequest {
    /// The policy whose packets are copied.
    pub policy: PolicyName,
    /// True to copy whole frames, false to copy headers only.
    pub payload: bool,
    /// `None`: the generation creates the maps. Then [`Filter::open_capture`] sets them, so that
    /// the next generations use the same ones.
    maps: Option<Arc<CaptureMaps>>,
}

#[derive(Debug)]
struct CaptureMaps {
    ring: OwnedFd,
    lost: OwnedFd,
    lease: OwnedFd,
}

impl CaptureRequest {
    /// A capture that begins with the next generation.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel does not let a program copy whole frames.
    pub fn new(policy: PolicyName, payload: bool) -> Result<Self, Error> {
        if payload {
            object::require_copies()?;
        }
        Ok(Self {
            policy,
            payload,
            maps: None,
        })
    }

    /// One of the constants `CAPTURE_*`.
    pub(super) fn kind(&self) -> u32 {
        if self.payload {
            CAPTURE_FRAMES
        } else {
            CAPTURE_HEADERS
        }
    }

    /// Pins the maps in the directory of a generation, whose load opens them there. So they are
    /// removed together with the generation.
    pub(super) fn pin(&self, generation: &Path) -> Result<(), Error> {
        let Some(maps) = &self.maps else {
            return Ok(());
        };
        pins::pin(&maps.ring, &generation.join(capture::RING))?;
        pins::pin(&maps.lost, &generation.join(capture::LOST))?;
        pins::pin(&maps.lease, &generation.join(capture::LEASE))
    }

    /// Lets programs copy from the first packet on, if this generation created the maps.
    pub(super) fn let_copy(&self, generation: &Path) -> Result<(), Error> {
        if self.maps.is_some() {
            return Ok(());
        }
        set_lease(&mut maps::open(generation, capture::LEASE)?, LONG_LEASE)
    }
}

/// A copied packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapturedPacket<'a> {
    /// Time of the packet.
    pub at: Timestamp,
    /// Interface slot.
    pub interface: u32,
    /// Slot of the effective policy.
    pub effective: u16,
    /// True if the packet was dropped.
    pub dropped: bool,
    /// Length of the frame, bytes.
    pub length: u32,
    /// The first bytes of the frame.
    pub data: &'a [u8],
}

/// The reading side of a capture. A capture has one.
pub struct CaptureReader {
    ring: RingBuf<MapData>,
    lost: PerCpuArray<MapData, u64>,
    lease: Array<MapData, u64>,
}

/// The names of the slots in copied packets.
pub struct CaptureNames {
    policies: PolicyMaps,
    interfaces: InterfaceMaps,
    policy_names: BTreeMap<u16, String>,
    interface_names: BTreeMap<u32, (String, Direction)>,
}

impl Filter {
    /// Opens the maps of a capture that began with this generation, and sets them in `request`.
    ///
    /// # Errors
    ///
    /// Returns an error if the maps cannot be opened.
    pub fn open_capture(
        &self,
        generation: u64,
        request: &mut CaptureRequest,
    ) -> Result<(CaptureReader, CaptureNames), Error> {
        let directory = self.pins.generation(generation);
        let state = self.pins.state();
        request.maps = Some(Arc::new(CaptureMaps {
            ring: pins::open(&directory.join(capture::RING))?,
            lost: pins::open(&directory.join(capture::LOST))?,
            lease: pins::open(&directory.join(capture::LEASE))?,
        }));
        let reader = CaptureReader {
            ring: maps::open(&directory, capture::RING)?,
            lost: maps::open(&directory, capture::LOST)?,
            lease: maps::open(&directory, capture::LEASE)?,
        };
        let names = CaptureNames {
            policies: PolicyMaps::new(&mut state.as_path())?,
            interfaces: InterfaceMaps::new(&mut state.as_path())?,
            policy_names: BTreeMap::new(),
            interface_names: BTreeMap::new(),
        };
        Ok((reader, names))
    }

    /// True if at least one interface is filtered.
    ///
    /// # Errors
    ///
    /// Returns an error if the links cannot be listed.
    pub fn is_attached(&self) -> Result<bool, Error> {
        Ok(!self.pins.linked_interfaces()?.is_empty())
    }

    /// True if a generation that decides about packets now copies packets for a capture.
    ///
    /// # Errors
    ///
    /// Returns an error if the links cannot be read.
    pub fn captures(&self) -> Result<bool, Error> {
        for at in self.pins.linked()? {
            let link = Link::open(&self.pins, &at)?;
            let found = in_force(&self.pins, &at, link.info(&at)?.program)?;
            let ring = |number| self.pins.generation(number).join(capture::RING);
            if found.deciding().is_some_and(|number| ring(number).exists()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl CaptureReader {
    /// Waits until there is a packet, at most `limit`.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub fn wait(&self, limit: Duration) -> io::Result<()> {
        // SAFETY: the ring buffer owns the descriptor and lives as long as this call.
        let ring = unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) };
        let mut polled = [PollFd::new(ring.as_fd(), PollFlags::POLLIN)];
        let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        match poll(&mut polled, limit) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads at most `limit` packets that are in the ring buffer now, until `each` returns false.
    /// Returns their number.
    pub fn read(
        &mut self,
        limit: usize,
        mut each: impl FnMut(CapturedPacket<'_>) -> bool,
    ) -> usize {
        let boot = BootTime::now();
        let mut number = 0;
        while number < limit
            && let Some(record) = self.ring.next()
        {
            number += 1;
            if let Some(packet) = packet(&record, boot)
                && !each(packet)
            {
                break;
            }
        }
        number
    }

    /// Lets programs copy for [`CAPTURE_LEASE_SECONDS`] from now on.
    ///
    /// # Errors
    ///
    /// Returns an error if the map cannot be written.
    pub fn renew_lease(&mut self) -> Result<(), Error> {
        set_lease(&mut self.lease, Duration::from_secs(CAPTURE_LEASE_SECONDS))
    }

    /// Lets programs copy while a generation is made.
    ///
    /// # Errors
    ///
    /// Returns an error if the map cannot be written.
    pub fn renew_long_lease(&mut self) -> Result<(), Error> {
        set_lease(&mut self.lease, LONG_LEASE)
    }

    /// Packets that were not copied, because the ring buffer had no room or the lease was over,
    /// by interface slot. Slots without such packets are left out.
    ///
    /// # Errors
    ///
    /// Returns an error if the map cannot be read.
    pub fn lost(&self) -> Result<BTreeMap<u32, u64>, Error> {
        let mut lost = BTreeMap::new();
        for (slot, values) in (0..).zip(self.lost.iter()) {
            let values = values.map_err(read(capture::LOST))?;
            let packets: u64 = values.iter().sum();
            if packets > 0 {
                lost.insert(slot, packets);
            }
        }
        Ok(lost)
    }
}

impl CaptureNames {
    /// Name of the policy in this slot.
    ///
    /// # Errors
    ///
    /// Returns an error if the names cannot be read.
    pub fn policy_name(&mut self, slot: u16) -> Result<&str, Error> {
        if !self.policy_names.contains_key(&slot) {
            self.policy_names = self.policies.slots()?.into_iter().collect();
        }
        let name = self.policy_names.get(&slot);
        Ok(name.map_or("(unknown)", String::as_str))
    }

    /// Name of the interface in this slot, and direction of its packets.
    ///
    /// # Errors
    ///
    /// Returns an error if the names cannot be read.
    pub fn interface(&mut self, slot: u32) -> Result<(&str, Direction), Error> {
        if !self.interface_names.contains_key(&slot) {
            let slots = self.interfaces.slots()?.into_iter();
            let slots = slots.map(|slot| (slot.slot, (slot.name, slot.direction)));
            self.interface_names = slots.collect();
        }
        let found = self.interface_names.get(&slot);
        Ok(
            found.map_or(("(unknown)", Direction::Out), |(name, direction)| {
                (name, *direction)
            }),
        )
    }
}

/// Lets programs copy for so long from now on.
fn set_lease(map: &mut Array<MapData, u64>, length: Duration) -> Result<(), Error> {
    let end = (clock::boot_time() + length).as_nanos();
    let end = u64::try_from(end).unwrap_or(u64::MAX);
    map.set(0, &end, 0).map_err(write(capture::LEASE))
}

/// The packet in a record; `None` if the record is too short.
fn packet(record: &[u8], boot: BootTime) -> Option<CapturedPacket<'_>> {
    let (header, frame) = record.split_at_checked(HEADER)?;
    // SAFETY: the slice has the size of the header, which is plain data without invalid
    // values.
    let header = unsafe { header.as_ptr().cast::<CaptureHeader>().read_unaligned() };
    Some(CapturedPacket {
        at: boot.time(header.time),
        interface: header.interface.into(),
        effective: header.effective,
        dropped: header.dropped != 0,
        length: header.length,
        data: frame.get(..usize::try_from(header.captured).ok()?)?,
    })
}

/// The relation of the clock of the programs to the wall clock, at one moment.
#[derive(Clone, Copy)]
struct BootTime(Timestamp);

impl BootTime {
    fn now() -> Self {
        let since = SignedDuration::try_from(clock::boot_time()).unwrap_or_default();
        let zero = Timestamp::now().checked_sub(since);
        Self(zero.unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// The time that is this many nanoseconds after boot.
    fn time(self, nanoseconds: u64) -> Timestamp {
        let since = SignedDuration::from_nanos(i64::try_from(nanoseconds).unwrap_or(i64::MAX));
        self.0.checked_add(since).unwrap_or(self.0)
    }
}
