//! Records of the ring buffers of samples and of DNS answers.

use aya::maps::{MapData, RingBuf};
use monitor_common::evidence::{KIND_IPV6, SampleHeader};

use super::{Ticks, decode::address};
use crate::{evidence::Sample, policy::MacAddress};

/// Size of the header of a record, in bytes.
const HEADER: usize = size_of::<SampleHeader>();

/// Reads all records that are in the ring buffer now.
pub(in crate::datapath) fn read(
    ring: &mut RingBuf<MapData>,
    ticks: Ticks,
    mut each: impl FnMut(Sample<'_>),
) {
    while let Some(record) = ring.next() {
        if let Some(sample) = sample(&record, ticks) {
            each(sample);
        }
    }
}

/// The sample in a record; `None` if the record is too short.
fn sample(record: &[u8], ticks: Ticks) -> Option<Sample<'_>> {
    let (header, payload) = record.split_at_checked(HEADER)?;
    // SAFETY: the slice has the size of the header, which is plain data without invalid
    // values.
    let header = unsafe { header.as_ptr().cast::<SampleHeader>().read_unaligned() };
    let is_ipv6 = header.kind & KIND_IPV6 != 0;
    Some(Sample {
        at: ticks.time(header.time),
        device: MacAddress(header.mac),
        source: address(header.source, is_ipv6),
        source_port: header.source_port,
        destination: address(header.destination, is_ipv6),
        port: header.port,
        protocol: header.protocol,
        sequence: header.sequence,
        flags: header.flags,
        payload: payload.get(..usize::from(header.captured))?,
        whole_length: header.length,
    })
}
