//! Opens maps by name, fills and freezes them, and sums their values over all CPUs.
//!
//! Programs count while user space reads. Even so, no 64-bit counter is read half:
//!
//! - Maps with a value for each CPU are read by `bpf(2)`. The kernel copies such a
//!   value in units of `long` (`copy_map_value_long`, `bpf_long_memcpy` in
//!   `include/linux/bpf.h`). On a 64-bit machine, it loads each counter once.
//! - Arrays with one value for all CPUs are copied by `memcpy`, which may load a
//!   counter in parts. So user space reads their counters only through
//!   [`SharedArray`].
//!
//! Two counters, such as the packets and the bytes of one cell, can be read at
//! different moments.
//!
//! [`SharedArray`]: super::shared_array::SharedArray

use std::{io, os::fd::AsFd as _, os::fd::BorrowedFd, path::Path};

use aya::{
    Ebpf, Pod,
    maps::{Map, MapData, MapError, PerCpuValues},
};

use super::{Error, shared_array, sys};

/// Source of typed maps: a loaded object or a directory of pins.
pub(super) trait Maps {
    /// Returns the map with this name as type `T`.
    fn map<T>(&mut self, name: &'static str) -> Result<T, Error>
    where
        T: TryFrom<Map, Error = MapError>;
}

/// Takes maps out of a loaded object. Each map can be taken only once.
impl Maps for &mut Ebpf {
    fn map<T>(&mut self, name: &'static str) -> Result<T, Error>
    where
        T: TryFrom<Map, Error = MapError>,
    {
        let map = self
            .take_map(name)
            .expect("the embedded object holds every map named here");
        T::try_from(map).map_err(failed("use", name))
    }
}

/// Opens maps that are pinned in a directory.
impl Maps for &Path {
    fn map<T>(&mut self, name: &'static str) -> Result<T, Error>
    where
        T: TryFrom<Map, Error = MapError>,
    {
        open(self, name)
    }
}

/// Opens the map with this name that is pinned in `directory`, as type `T`.
pub(super) fn open<T>(directory: &Path, name: &'static str) -> Result<T, Error>
where
    T: TryFrom<Map, Error = MapError>,
{
    let data = MapData::from_pin(directory.join(name)).map_err(failed("open", name))?;
    let map = Map::from_map_data(data).map_err(failed("open", name))?;
    T::try_from(map).map_err(failed("use", name))
}

/// Borrows a map of a loaded object, as type `T`.
pub(super) fn borrow<'a, T>(object: &'a mut Ebpf, name: &'static str) -> Result<T, Error>
where
    T: TryFrom<&'a mut Map, Error = MapError>,
{
    let map = object
        .map_mut(name)
        .expect("the embedded object holds every map named here");
    T::try_from(map).map_err(failed("use", name))
}

/// Writes `elements` to an array of a loaded object, then freezes the array.
pub(super) fn fill<T: Pod>(object: &Ebpf, name: &'static str, elements: &[T]) -> Result<(), Error> {
    shared_array::fill(descriptor(object, name), elements).map_err(not_mapped("fill", name))?;
    freeze(object, name)
}

/// Makes a map of a loaded object read-only for user space.
pub(super) fn freeze(object: &Ebpf, name: &'static str) -> Result<(), Error> {
    sys::map_freeze(descriptor(object, name)).map_err(not_mapped("freeze", name))
}

fn descriptor<'a>(object: &'a Ebpf, name: &'static str) -> BorrowedFd<'a> {
    match object.map(name) {
        Some(Map::Array(data) | Map::LpmTrie(data)) => data.fd().as_fd(),
        other => unreachable!("ruleset map {name} is {other:?}"),
    }
}

/// Sums a value over all CPUs.
pub(super) fn sum<T: Pod + Default>(values: &PerCpuValues<T>, add: impl Fn(&mut T, &T)) -> T {
    let mut total = T::default();
    for value in values.iter() {
        add(&mut total, value);
    }
    total
}

/// Error for a failed read of a map.
pub(super) fn read(map: &'static str) -> impl Fn(MapError) -> Error {
    failed("read", map)
}

/// Error for a failed write to a map.
pub(super) fn write(map: &'static str) -> impl Fn(MapError) -> Error {
    failed("write", map)
}

fn failed(operation: &'static str, map: &'static str) -> impl Fn(MapError) -> Error {
    move |source| Error::Map {
        operation,
        map,
        source,
    }
}

/// Error for a failed operation on a map that is used without aya.
pub(super) fn not_mapped(
    operation: &'static str,
    map: &'static str,
) -> impl Fn(io::Error) -> Error {
    move |source| Error::system(format!("{operation} map {map}"), source)
}
