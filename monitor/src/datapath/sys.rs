//! The calls of `bpf(2)` and `membarrier(2)` that aya does not offer: links that
//! name the program they expect, pins, freezing. Maps of any layout and arrays in
//! memory are in `raw_map` and `shared_array`.
//!
//! Every function passes memory that lives as long as the call, and file
//! descriptors that it borrows; the kernel checks the rest.

use std::{
    ffi::CString,
    io,
    mem::{MaybeUninit, size_of},
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use aya_obj::generated::{
    BPF_F_REPLACE, bpf_attach_type::BPF_XDP, bpf_attr, bpf_cmd, bpf_link_info, bpf_map_info,
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
    // SAFETY: descriptors and integers alone.
    unsafe { bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr) }
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
    // SAFETY: descriptors and integers alone.
    unsafe { bpf(bpf_cmd::BPF_LINK_UPDATE, &mut attr) }.map(drop)
}

/// Detaches a link for good (Linux 5.9, commit 73b11c2ab072): its pins and
/// descriptors stay, and do nothing.
pub(super) fn link_detach(link: impl AsFd) -> io::Result<()> {
    let mut attr = zeroed();
    attr.link_detach.link_fd = raw(link.as_fd());
    // SAFETY: descriptors and integers alone.
    unsafe { bpf(bpf_cmd::BPF_LINK_DETACH, &mut attr) }.map(drop)
}

/// Reads a link's program and interface.
pub(super) fn link_info(link: impl AsFd) -> io::Result<LinkInfo> {
    // SAFETY: the kernel fills this structure for a link; integers only.
    let info: bpf_link_info = unsafe { info(link)? };
    // SAFETY: integers, all of them initialised; `xdp` is the member for links of
    // this type.
    let ifindex = unsafe { info.__bindgen_anon_1.xdp.ifindex };
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
        // SAFETY: integers alone.
        match unsafe { bpf(bpf_cmd::BPF_LINK_GET_NEXT_ID, &mut attr) } {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
            Err(error) => return Err(error),
        }
        // SAFETY: the kernel has written it; a plain integer.
        id = unsafe { attr.__bindgen_anon_6.next_id };
        let mut attr = zeroed();
        attr.__bindgen_anon_6.__bindgen_anon_1.link_id = id;
        // It may be gone meanwhile.
        // SAFETY: integers alone; the command returns a new descriptor.
        let link = unsafe { bpf_fd(bpf_cmd::BPF_LINK_GET_FD_BY_ID, &mut attr) };
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
    // SAFETY: `path` ends with a zero byte and outlives the call.
    unsafe { bpf_fd(bpf_cmd::BPF_OBJ_GET, &mut attr) }
}

/// Pins a program, map or link at `path`.
pub(super) fn object_pin(object: impl AsFd, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let mut attr = zeroed();
    attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    attr.__bindgen_anon_4.bpf_fd = raw(object.as_fd());
    // SAFETY: `path` ends with a zero byte and outlives the call.
    unsafe { bpf(bpf_cmd::BPF_OBJ_PIN, &mut attr) }.map(drop)
}

/// Makes a map read-only for user space, for good (Linux 5.2, commit 87df15de441b).
pub(super) fn map_freeze(map: impl AsFd) -> io::Result<()> {
    let mut attr = zeroed();
    attr.__bindgen_anon_2.map_fd = raw(map.as_fd());
    // SAFETY: descriptors and integers alone.
    unsafe { bpf(bpf_cmd::BPF_MAP_FREEZE, &mut attr) }.map(drop)
}

/// Waits until every program run that began before this call has ended.
///
/// `MEMBARRIER_CMD_GLOBAL` (Linux 4.3) is `synchronize_rcu`, which since Linux
/// 4.20 (commit 45975c7d21a1) also waits for code with soft interrupts switched
/// off: that is where XDP programs run, in native and in generic mode. On one
/// processor the call waits for nothing, and needs not to: such code is never
/// interrupted by a process (except by kernels with `PREEMPT_RT`).
pub(super) fn grace_period() -> io::Result<()> {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: takes integers only.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// What the kernel says about a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MapInfo {
    /// A `bpf_map_type`.
    pub(super) kind: u32,
    /// Bytes of a key.
    pub(super) key_size: u32,
    /// Bytes of a value, on one processor where each has its own.
    pub(super) value_size: u32,
    /// Entries at most.
    pub(super) max_entries: u32,
    /// The flags that it was made with.
    pub(super) flags: u32,
}

/// Reads the kind and the sizes of a map.
pub(super) fn map_info(map: impl AsFd) -> io::Result<MapInfo> {
    // SAFETY: the kernel fills this structure for a map; integers only.
    let info: bpf_map_info = unsafe { info(map)? };
    Ok(MapInfo {
        kind: info.type_,
        key_size: info.key_size,
        value_size: info.value_size,
        max_entries: info.max_entries,
        flags: info.map_flags,
    })
}

/// Reads what the kernel says about an object: at most as many bytes as `T` has.
///
/// # Safety
///
/// Every pattern of bytes must be a `T`.
unsafe fn info<T>(object: impl AsFd) -> io::Result<T> {
    let mut info = MaybeUninit::<T>::zeroed();
    let mut attr = zeroed();
    attr.info.bpf_fd = raw(object.as_fd());
    attr.info.info_len = attr_size::<T>();
    attr.info.info = info.as_mut_ptr() as u64;
    // SAFETY: `info` outlives the call and has the length that is given.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)? };
    // SAFETY: zeroed before, so initialised whatever part the kernel wrote.
    Ok(unsafe { info.assume_init() })
}

/// A command that returns a new descriptor.
///
/// # Safety
///
/// As for [`bpf`]; the command must be one that returns a new descriptor.
unsafe fn bpf_fd(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: the caller answers for it.
    let fd = unsafe { bpf(command, attr)? };
    // SAFETY: the command returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `bpf(2)`.
///
/// # Safety
///
/// Every address in `attr` must be valid for what the command reads or writes
/// there, until the call returns.
pub(super) unsafe fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i32> {
    let attr: *mut bpf_attr = attr;
    // SAFETY: `attr` is valid for reads and writes of its size, and the caller
    // answers for what it points to.
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
pub(super) fn zeroed() -> bpf_attr {
    // SAFETY: a union of integers, for which zero is a valid value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

fn attr_size<T>() -> u32 {
    u32::try_from(size_of::<T>()).expect("a kernel structure is smaller than 4 GiB")
}

pub(super) fn raw(fd: BorrowedFd<'_>) -> u32 {
    u32::try_from(fd.as_raw_fd()).expect("a file descriptor in use is not negative")
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}
