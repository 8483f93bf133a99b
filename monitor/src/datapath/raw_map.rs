//! A pinned map of whatever layout, read entry by entry.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use aya_obj::generated::{bpf_cmd, bpf_map_type};

use super::sys::{self, MapInfo};

/// The most processors that Linux can be built for (`NR_CPUS` in
/// `arch/x86/Kconfig`). The kernel writes a value for each possible processor of
/// this machine, so a buffer for as many as these is never too short, whatever
/// files in `/sys` say.
const MOST_CPUS: usize = 8192;

/// A map whose sizes come from the descriptor that it is read through, so that
/// no other map can be put in its place between the question and the reading.
pub(super) struct RawMap {
    fd: OwnedFd,
    info: MapInfo,
}

/// A buffer that has room for one value of the map it was made for.
pub(super) struct Value(Vec<u8>);

impl RawMap {
    /// Asks the kernel what the descriptor stands for.
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        let info = sys::map_info(&fd)?;
        Ok(Self { fd, info })
    }

    /// What the kernel said.
    pub(super) fn info(&self) -> MapInfo {
        self.info
    }

    /// Whether each processor has a value of its own.
    pub(super) fn is_per_cpu(&self) -> bool {
        use bpf_map_type::{
            BPF_MAP_TYPE_LRU_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY,
            BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE_DEPRECATED, BPF_MAP_TYPE_PERCPU_HASH,
        };
        let kinds = [
            BPF_MAP_TYPE_PERCPU_HASH,
            BPF_MAP_TYPE_PERCPU_ARRAY,
            BPF_MAP_TYPE_LRU_PERCPU_HASH,
            BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE_DEPRECATED,
        ];
        kinds.iter().any(|kind| *kind as u32 == self.info.kind)
    }

    /// Bytes from the value of one processor to the next: the kernel rounds each
    /// up to 8 bytes.
    pub(super) fn stride(&self) -> usize {
        (self.info.value_size as usize).next_multiple_of(8)
    }

    /// A buffer for [`lookup`](Self::lookup).
    pub(super) fn value(&self) -> Value {
        Value(vec![0; self.room()])
    }

    fn room(&self) -> usize {
        let copies = if self.is_per_cpu() { MOST_CPUS } else { 1 };
        self.stride() * copies
    }

    /// Every key. One that is deleted meanwhile may be among them, also twice,
    /// and one that is added may be missing.
    pub(super) fn keys(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        loop {
            let mut next = vec![0; self.info.key_size as usize];
            let mut attr = sys::zeroed();
            // SAFETY: writing to a union field; plain integers.
            let element = unsafe { &mut attr.__bindgen_anon_2 };
            element.map_fd = sys::raw(self.fd.as_fd());
            element.key = keys.last().map_or(0, |key| key.as_ptr() as u64);
            element.__bindgen_anon_1.next_key = next.as_mut_ptr() as u64;
            // SAFETY: both keys outlive the call and have the length that the
            // kernel gave for this descriptor.
            match unsafe { sys::bpf(bpf_cmd::BPF_MAP_GET_NEXT_KEY, &mut attr) } {
                Ok(_) => keys.push(next),
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(keys),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads an entry into `value`; `None` where there is none. A key or a buffer
    /// of another map is an error.
    pub(super) fn lookup<'a>(
        &self,
        key: &[u8],
        value: &'a mut Value,
    ) -> io::Result<Option<&'a [u8]>> {
        if key.len() != self.info.key_size as usize || value.0.len() < self.room() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut attr = sys::zeroed();
        // SAFETY: writing to a union field; plain integers.
        let element = unsafe { &mut attr.__bindgen_anon_2 };
        element.map_fd = sys::raw(self.fd.as_fd());
        element.key = key.as_ptr() as u64;
        element.__bindgen_anon_1.value = value.0.as_mut_ptr() as u64;
        // SAFETY: key and value outlive the call; both lengths were compared with
        // what the kernel gave for this descriptor.
        match unsafe { sys::bpf(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attr) } {
            Ok(_) => Ok(Some(&value.0)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
