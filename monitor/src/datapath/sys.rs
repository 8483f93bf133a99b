//! The calls of `bpf(2)`, `mmap(2)` and `membarrier(2)` that aya does not offer:
//! links that name the program they expect, freezing, filling and reading an
//! array in bulk.
//!
//! Every function passes memory that lives as long as the call, and file
//! descriptors that it borrows; the kernel checks the rest.

use std::{
    ffi::CString,
    io,
    marker::PhantomData,
    mem::{MaybeUninit, size_of},
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
    ptr,
};

use aya::Pod;
use aya_obj::generated::{
    BPF_F_REPLACE, bpf_attach_type::BPF_XDP, bpf_attr, bpf_cmd, bpf_link_info,
};

/// What the kernel says about a link to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkInfo {
    /// Program that it runs.
    pub(super) program: u32,
    /// Interface index; 0 where the interface was deleted.
    pub(super) ifindex: u32,
}

/// Attaches an XDP program by a link (Linux 5.9, commit aa8d3a716b59). Unlike
/// aya's `attach`, never by netlink, whose attachments cannot be pinned.
pub(super) fn link_create(program: impl AsFd, ifindex: u32, flags: u32) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    // SAFETY: writing to a union field; plain integers.
    let create = unsafe { &mut attr.link_create };
    create.__bindgen_anon_1.prog_fd = raw(program.as_fd());
    create.__bindgen_anon_2.target_ifindex = ifindex;
    create.attach_type = BPF_XDP as u32;
    create.flags = flags;
    bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr)
}

/// Puts `new` in the place of `old` in one step, and fails with `EPERM` where
/// the link runs something else than `old`.
pub(super) fn link_update(link: impl AsFd, new: impl AsFd, old: impl AsFd) -> io::Result<()> {
    let mut attr = zeroed();
    // SAFETY: writing to a union field; plain integers.
    let update = unsafe { &mut attr.link_update };
    update.link_fd = raw(link.as_fd());
    update.__bindgen_anon_1.new_prog_fd = raw(new.as_fd());
    update.__bindgen_anon_2.old_prog_fd = raw(old.as_fd());
    update.flags = BPF_F_REPLACE;
    bpf(bpf_cmd::BPF_LINK_UPDATE, &mut attr).map(drop)
}

/// Detaches a link for good (Linux 5.9, commit 73b11c2ab072): its pins and
/// descriptors stay, and do nothing.
pub(super) fn link_detach(link: impl AsFd) -> io::Result<()> {
    let mut attr = zeroed();
    attr.link_detach.link_fd = raw(link.as_fd());
    bpf(bpf_cmd::BPF_LINK_DETACH, &mut attr).map(drop)
}

/// Reads a link's program and interface.
pub(super) fn link_info(link: impl AsFd) -> io::Result<LinkInfo> {
    let mut info = MaybeUninit::<bpf_link_info>::zeroed();
    let mut attr = zeroed();
    attr.info.bpf_fd = raw(link.as_fd());
    attr.info.info_len = attr_size::<bpf_link_info>();
    attr.info.info = info.as_mut_ptr() as u64;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    // SAFETY: zeroed before, so initialised whatever part the kernel wrote;
    // integers only, and `xdp` is the member for links of this type.
    let (info, ifindex) = unsafe {
        let info = info.assume_init();
        (info, info.__bindgen_anon_1.xdp.ifindex)
    };
    Ok(LinkInfo {
        program: info.prog_id,
        ifindex,
    })
}

/// Id of a link that runs this program; `None` where there is none. Takes
/// `CAP_SYS_ADMIN` (Linux 5.8, commit a3b80e107894).
pub(super) fn link_of_program(program: u32) -> io::Result<Option<u32>> {
    let mut id = 0;
    loop {
        let mut attr = zeroed();
        attr.__bindgen_anon_6.__bindgen_anon_1.start_id = id;
        match bpf(bpf_cmd::BPF_LINK_GET_NEXT_ID, &mut attr) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
            Err(error) => return Err(error),
        }
        // SAFETY: the kernel has written it; a plain integer.
        id = unsafe { attr.__bindgen_anon_6.next_id };
        let mut attr = zeroed();
        attr.__bindgen_anon_6.__bindgen_anon_1.link_id = id;
        // It may be gone meanwhile.
        let link = bpf_fd(bpf_cmd::BPF_LINK_GET_FD_BY_ID, &mut attr);
        if link.is_ok_and(|link| link_info(link).is_ok_and(|info| info.program == program)) {
            return Ok(Some(id));
        }
    }
}

/// Opens what is pinned at `path`.
pub(super) fn object_get(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let mut attr = zeroed();
    attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    bpf_fd(bpf_cmd::BPF_OBJ_GET, &mut attr)
}

/// Pins a program, map or link at `path`.
pub(super) fn object_pin(object: impl AsFd, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let mut attr = zeroed();
    attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    attr.__bindgen_anon_4.bpf_fd = raw(object.as_fd());
    bpf(bpf_cmd::BPF_OBJ_PIN, &mut attr).map(drop)
}

/// Every key of a map, each of `size` bytes. One that is deleted meanwhile may
/// be among them, and one that is added may not.
pub(super) fn map_keys(map: impl AsFd, size: usize) -> io::Result<Vec<Vec<u8>>> {
    let mut keys: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut next = vec![0; size];
        let mut attr = zeroed();
        // SAFETY: writing to a union field; plain integers. `next` has the size
        // of a key, as the caller says, and so has the key before it.
        let element = unsafe { &mut attr.__bindgen_anon_2 };
        element.map_fd = raw(map.as_fd());
        element.key = keys.last().map_or(0, |key| key.as_ptr() as u64);
        element.__bindgen_anon_1.next_key = next.as_mut_ptr() as u64;
        match bpf(bpf_cmd::BPF_MAP_GET_NEXT_KEY, &mut attr) {
            Ok(_) => keys.push(next),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(keys),
            Err(error) => return Err(error),
        }
    }
}

/// Reads an entry; `false` where there is none. `value` must have room for it,
/// on every processor where the map has one for each.
pub(super) fn map_lookup(map: impl AsFd, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    let mut attr = zeroed();
    // SAFETY: writing to a union field; plain integers.
    let element = unsafe { &mut attr.__bindgen_anon_2 };
    element.map_fd = raw(map.as_fd());
    element.key = key.as_ptr() as u64;
    element.__bindgen_anon_1.value = value.as_mut_ptr() as u64;
    match bpf(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attr) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a map read-only for user space, for good (Linux 5.2, commit 87df15de441b).
pub(super) fn map_freeze(map: impl AsFd) -> io::Result<()> {
    let mut attr = zeroed();
    attr.__bindgen_anon_2.map_fd = raw(map.as_fd());
    bpf(bpf_cmd::BPF_MAP_FREEZE, &mut attr).map(drop)
}

/// Writes `values` to the first elements of an array made with `BPF_F_MMAPABLE`
/// (Linux 5.5, commit fc9702273e2e). The map must have at least that many.
pub(super) fn array_fill<T: Pod>(array: impl AsFd, values: &[T]) -> io::Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let mapping = Mapping::<T>::new(array, values.len(), access)?;
    for (index, value) in values.iter().enumerate() {
        // SAFETY: the element lies within the mapping, which may be written and
        // which nothing else in this process knows; `T` is plain data.
        unsafe { mapping.element(index).write_unaligned(*value) };
    }
    Ok(())
}

/// Those of the first `length` elements of such an array that are to be kept.
/// The kernel may add to them meanwhile: each number is whole, all are not of
/// one moment.
pub(super) fn array_read<T: Pod>(
    array: impl AsFd,
    length: usize,
    keep: impl Fn(&T) -> bool,
) -> io::Result<Vec<T>> {
    let mapping = Mapping::<T>::new(array, length, libc::PROT_READ)?;
    let mut kept = Vec::new();
    for index in 0..length {
        // SAFETY: the element lies within the mapping, and elements and their
        // numbers are aligned to 8 bytes; `T` is plain data, whatever the kernel
        // writes to it meanwhile.
        let element = unsafe { mapping.element(index).read_volatile() };
        if keep(&element) {
            kept.push(element);
        }
    }
    Ok(kept)
}

/// The first elements of an array in this process, as long as the value lives.
struct Mapping<T> {
    start: *mut libc::c_void,
    length: usize,
    element: PhantomData<T>,
}

impl<T: Pod> Mapping<T> {
    // The kernel rounds elements of an array up to 8 bytes (kernel/bpf/arraymap.c).
    const STRIDE: usize = size_of::<T>().next_multiple_of(8);

    fn new(array: impl AsFd, elements: usize, access: libc::c_int) -> io::Result<Self> {
        let length = Self::STRIDE * elements;
        let (shared, fd) = (libc::MAP_SHARED, array.as_fd().as_raw_fd());
        // SAFETY: a new mapping of `length` bytes at an address of the kernel's
        // choice; it fails where the array is smaller, rounded up to a page.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, access, shared, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            start,
            length,
            element: PhantomData,
        })
    }

    /// Within the mapping where `index` is less than its elements.
    fn element(&self, index: usize) -> *mut T {
        self.start.wrapping_byte_add(index * Self::STRIDE).cast()
    }
}

impl<T> Drop for Mapping<T> {
    fn drop(&mut self) {
        // SAFETY: exactly what was mapped, and no reference into it is left. It
        // fails for no mapping that exists.
        unsafe { libc::munmap(self.start, self.length) };
    }
}

/// Waits until every program run that began before this call has ended
/// (`MEMBARRIER_CMD_GLOBAL` is one RCU grace period, Linux 4.3).
pub(super) fn grace_period() -> io::Result<()> {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: takes integers only.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn bpf_fd(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    let fd = bpf(command, attr)?;
    // SAFETY: the command returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i32> {
    let attr: *mut bpf_attr = attr;
    // SAFETY: `attr` is valid for reads and writes of its size, and what it
    // points to is kept alive by the caller.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_int,
            attr,
            attr_size::<bpf_attr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(io::Error::other)
}

/// All zero: the kernel refuses other bytes behind the fields of a command.
fn zeroed() -> bpf_attr {
    // SAFETY: a union of integers, for which zero is a valid value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

fn attr_size<T>() -> u32 {
    u32::try_from(size_of::<T>()).expect("a kernel structure is smaller than 4 GiB")
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    u32::try_from(fd.as_raw_fd()).expect("a file descriptor in use is not negative")
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}
