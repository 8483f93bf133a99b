//! The near cells of all CPUs, read without a call for each.

use aya::maps::{Array, Map, MapData, MapError};
use monitor_common::{DeviceCounters, DeviceKey, NEAR_CELLS, NearDevice};

use super::{Error, object::state, sys};

/// An array that can be mapped, with [`NEAR_CELLS`] for each possible CPU.
pub(super) struct NearDevices(MapData);

impl TryFrom<Map> for NearDevices {
    type Error = MapError;

    fn try_from(map: Map) -> Result<Self, MapError> {
        // Which kind of map it is, and of what.
        Array::<&MapData, NearDevice>::try_from(&map)?;
        match map {
            Map::Array(data) => Ok(Self(data)),
            other => unreachable!("{other:?} was an array"),
        }
    }
}

impl NearDevices {
    /// Every cell that somebody has, those of a CPU after those of another.
    pub(super) fn counters(
        &self,
    ) -> Result<impl Iterator<Item = (DeviceKey, DeviceCounters)>, Error> {
        let failed = |source| Error::system(format!("read map {}", state::NEAR_DEVICES), source);
        let taken = |cell: &NearDevice| cell.key != 0;
        let cells = sys::array_read(self.0.fd(), cells()? as usize, taken).map_err(failed)?;
        let each = |cell: NearDevice| Some((DeviceKey::from_bits(cell.key)?, cell.counters));
        Ok(cells.into_iter().filter_map(each))
    }
}

/// Elements of the array. A CPU whose number is beyond them, where numbers are
/// left out, counts in the device table.
pub(super) fn cells() -> Result<u32, Error> {
    let cpus = aya::util::nr_cpus();
    let cpus = cpus.map_err(|(path, source)| Error::system(format!("read {path}"), source))?;
    Ok(cpus.get() * NEAR_CELLS)
}
