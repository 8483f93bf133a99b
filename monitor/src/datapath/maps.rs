//! Reading and writing of maps: opened by name, filled, frozen, summed over all
//! CPUs.
//!
//! Programs count while user space reads. Each 64-bit counter is read whole:
//!
//! - Maps with a value for each CPU are read by `bpf(2)`. The kernel copies such a
//!   value long by long (`copy_map_value_long`, `bpf_long_memcpy` in
//!   `include/linux/bpf.h`). On a 64-bit machine each counter is one load.
//! - Arrays with one value are copied by `memcpy`, which promises nothing of the
//!   kind. So counters in them are read through [`SharedArray`] alone.
//!
//! Two counters, such as the packets and the bytes of one cell, may be of
//! different moments.
//!
//! [`SharedArray`]: super::shared_array::SharedArray

use std::{io, os::fd::AsFd as _, os::fd::BorrowedFd, path::Path};

use aya::{
    Ebpf, Pod,
    maps::{Map, MapData, MapError, PerCpuValues},
};

use super::{Error, shared_array, sys};

/// Where typed maps come from.
pub(super) trait Maps {
    /// Opens or takes the map of this name.
    fn map<T>(&mut self, name: &'static str) -> Result<T, Error>
    where
        T: TryFrom<Map, Error = MapError>;
}

/// Maps of a loaded object, each taken once.
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

/// Maps that are pinned in a directory.
impl Maps for &Path {
    fn map<T>(&mut self, name: &'static str) -> Result<T, Error>
    where
        T: TryFrom<Map, Error = MapError>,
    {
        open(self, name)
    }
}

/// A map that is pinned in `directory`, in the type that reads and writes it.
pub(super) fn open<T>(directory: &Path, name: &'static str) -> Result<T, Error>
where
    T: TryFrom<Map, Error = MapError>,
{
    let data = MapData::from_pin(directory.join(name)).map_err(failed("open", name))?;
    let map = Map::from_map_data(data).map_err(failed("open", name))?;
    T::try_from(map).map_err(failed("use", name))
}

/// A map of a loaded object, in the type that writes it, borrowed.
pub(super) fn borrow<'a, T>(object: &'a mut Ebpf, name: &'static str) -> Result<T, Error>
where
    T: TryFrom<&'a mut Map, Error = MapError>,
{
    let map = object
        .map_mut(name)
        .expect("the embedded object holds every map named here");
    T::try_from(map).map_err(failed("use", name))
}

/// Writes all of an array of a loaded object at once, and freezes it.
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

/// The sum of a value over all CPUs.
pub(super) fn sum<T: Pod + Default>(values: &PerCpuValues<T>, add: impl Fn(&mut T, &T)) -> T {
    let mut total = T::default();
    for value in values.iter() {
        add(&mut total, value);
    }
    total
}

/// The error of reading a map.
pub(super) fn read(map: &'static str) -> impl Fn(MapError) -> Error {
    failed("read", map)
}

/// The error of writing a map.
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

/// The error of a map that is used without aya.
pub(super) fn not_mapped(
    operation: &'static str,
    map: &'static str,
) -> impl Fn(io::Error) -> Error {
    move |source| Error::system(format!("{operation} map {map}"), source)
}
