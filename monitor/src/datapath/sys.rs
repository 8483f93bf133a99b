//! Calls of `bpf(2)` and `membarrier(2)` that aya does not offer: links that name
//! the program they expect, pins, freezing. `shared_array` maps arrays into memory.
//!
//! Every function passes memory that outlives the call, and borrowed file
//! descriptors. The kernel checks all other arguments.

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
    BPF_F_BEFORE, BPF_F_REPLACE,
    bpf_attach_type::{BPF_TCX_EGRESS, BPF_TCX_INGRESS, BPF_XDP},
    bpf_attr, bpf_cmd, bpf_link_info, bpf_map_info, bpf_prog_info,
};

/// Index of `lo` in every network namespace (`LOOPBACK_IFINDEX`).
const LOOPBACK: u32 = 1;

/// Information of the kernel about a link to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkInfo {
    /// Id of the program that the link runs.
    pub(super) program: u32,
    /// Interface index; 0 if the interface was deleted.
    pub(super) ifindex: u32,
}

/// Attaches an XDP program by a link (Linux 5.9, commit aa8d3a716b59). Unlike aya's
/// `attach`, never falls back to netlink, because such an attachment cannot be
/// pinned.
pub(super) fn link_create(program: impl AsFd, ifindex: u32, flags: u32) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    // SAFETY: writing to a union field; plain integers.
    let create = unsafe { &mut attr.link_create };
    create.__bindgen_anon_1.prog_fd = raw(program.as_fd());
    create.__bindgen_anon_2.target_ifindex = ifindex;
    create.attach_type = BPF_XDP as u32;
    create.flags = flags;
    // SAFETY: `attr` holds only descriptors and integers.
    unsafe { bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr) }
}

/// Attaches a classifier to the egress of an interface by a link (Linux 6.6, commit
/// e420bed02507), before the classifiers that are there: one of them could end the search.
pub(super) fn tcx_create(program: impl AsFd, ifindex: u32) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    // SAFETY: writing to a union field; plain integers.
    let create = unsafe { &mut attr.link_create };
    create.__bindgen_anon_1.prog_fd = raw(program.as_fd());
    create.__bindgen_anon_2.target_ifindex = ifindex;
    create.attach_type = BPF_TCX_EGRESS as u32;
    create.flags = BPF_F_BEFORE;
    // SAFETY: `attr` holds only descriptors and integers.
    unsafe { bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr) }
}

/// Replaces the program `old` of a link by `new` in one step. Fails with `EPERM` if
/// the link runs another program than `old`.
pub(super) fn link_update(link: impl AsFd, new: impl AsFd, old: impl AsFd) -> io::Result<()> {
    let mut attr = zeroed();
    // SAFETY: writing to a union field; plain integers.
    let update = unsafe { &mut attr.link_update };
    update.link_fd = raw(link.as_fd());
    update.__bindgen_anon_1.new_prog_fd = raw(new.as_fd());
    update.__bindgen_anon_2.old_prog_fd = raw(old.as_fd());
    update.flags = BPF_F_REPLACE;
    // SAFETY: `attr` holds only descriptors and integers.
    unsafe { bpf(bpf_cmd::BPF_LINK_UPDATE, &mut attr) }.map(drop)
}

/// Detaches a link permanently (Linux 5.9, commit 73b11c2ab072). Its pins and
/// descriptors stay, but have no effect.
pub(super) fn link_detach(link: impl AsFd) -> io::Result<()> {
    let mut attr = zeroed();
    attr.link_detach.link_fd = raw(link.as_fd());
    // SAFETY: `attr` holds only descriptors and integers.
    unsafe { bpf(bpf_cmd::BPF_LINK_DETACH, &mut attr) }.map(drop)
}

/// Reads a link's program and interface.
pub(super) fn link_info(link: impl AsFd) -> io::Result<LinkInfo> {
    // SAFETY: the kernel fills this structure for a link; integers only.
    let info: bpf_link_info = unsafe { info(link)? };
    // SAFETY: integers, all of them initialised. `xdp` is the member for XDP links, and the
    // member for TCX links begins with the same field.
    let ifindex = unsafe { info.__bindgen_anon_1.xdp.ifindex };
    Ok(LinkInfo {
        program: info.prog_id,
        ifindex,
    })
}

/// Id of a program.
pub(super) fn program_id(program: impl AsFd) -> io::Result<u32> {
    // SAFETY: the kernel fills this structure for a program; integers only.
    let info: bpf_prog_info = unsafe { info(program)? };
    Ok(info.id)
}

/// Id of a link that runs this program; `None` if there is none. Requires
/// `CAP_SYS_ADMIN` (Linux 5.8, commit a3b80e107894).
pub(super) fn link_of_program(program: u32) -> io::Result<Option<u32>> {
    let mut id = 0;
    loop {
        let mut attr = zeroed();
        attr.__bindgen_anon_6.__bindgen_anon_1.start_id = id;
        // SAFETY: `attr` holds only integers.
        match unsafe { bpf(bpf_cmd::BPF_LINK_GET_NEXT_ID, &mut attr) } {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
            Err(error) => return Err(error),
        }
        // SAFETY: the kernel has written it; a plain integer.
        id = unsafe { attr.__bindgen_anon_6.next_id };
        let mut attr = zeroed();
        attr.__bindgen_anon_6.__bindgen_anon_1.link_id = id;
        // The link may be gone meanwhile. Then the search goes on.
        // SAFETY: `attr` holds only integers, and the command returns a new
        // descriptor.
        let link = unsafe { bpf_fd(bpf_cmd::BPF_LINK_GET_FD_BY_ID, &mut attr) };
        if link.is_ok_and(|link| link_info(link).is_ok_and(|info| info.program == program)) {
            return Ok(Some(id));
        }
    }
}

/// Number of classifiers that links attach to the ingress of an interface (TCX). 0 on a
/// kernel without such links (before Linux 6.6, commit e420bed02507). Requires
/// `CAP_NET_ADMIN`.
pub(super) fn ingress_links(ifindex: u32) -> io::Result<u32> {
    Ok(linked_to_ingress(ifindex)?.unwrap_or(0))
}

/// True if the kernel has links for classifiers (TCX). Requires `CAP_NET_ADMIN`.
pub(super) fn has_tcx() -> io::Result<bool> {
    Ok(linked_to_ingress(LOOPBACK)?.is_some())
}

/// Number of classifiers that links attach to the ingress of an interface; `None` if the kernel
/// has no such links.
fn linked_to_ingress(ifindex: u32) -> io::Result<Option<u32>> {
    let mut attr = zeroed();
    attr.query.__bindgen_anon_1.target_ifindex = ifindex;
    attr.query.attach_type = BPF_TCX_INGRESS as u32;
    // SAFETY: `attr` holds only integers. It has no address to which the kernel writes ids.
    match unsafe { bpf(bpf_cmd::BPF_PROG_QUERY, &mut attr) } {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(None),
        answer => answer?,
    };
    // SAFETY: the kernel has written it; a plain integer.
    Ok(Some(unsafe { attr.query.__bindgen_anon_2.prog_cnt }))
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

/// Makes a map permanently read-only for user space (Linux 5.2, commit
/// 87df15de441b).
pub(super) fn map_freeze(map: impl AsFd) -> io::Result<()> {
    let mut attr = zeroed();
    attr.__bindgen_anon_2.map_fd = raw(map.as_fd());
    // SAFETY: `attr` holds only descriptors and integers.
    unsafe { bpf(bpf_cmd::BPF_MAP_FREEZE, &mut attr) }.map(drop)
}

/// Waits until every program run that began before this call has ended.
///
/// `MEMBARRIER_CMD_GLOBAL` (Linux 4.3) is `synchronize_rcu`. Since Linux 4.20
/// (commit 45975c7d21a1), it also waits for code that runs with soft interrupts
/// disabled, as XDP programs do in native and in generic mode. On a machine with
/// one processor, the call returns at once. No wait is needed there, because no
/// process interrupts such code (except on kernels with `PREEMPT_RT`).
pub(super) fn grace_period() -> io::Result<()> {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: takes integers only.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Information of the kernel about a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MapInfo {
    /// A `bpf_map_type`.
    pub(super) kind: u32,
    /// Size of a key in bytes.
    pub(super) key_size: u32,
    /// Size of a value in bytes. If each CPU has its own value, the size of one of
    /// them.
    pub(super) value_size: u32,
    /// Maximum number of entries.
    pub(super) max_entries: u32,
    /// Flags that the map was created with.
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

/// Reads the information of the kernel about an object, at most as many bytes as
/// `T` has.
///
/// # Safety
///
/// Every byte pattern must be a valid `T`.
unsafe fn info<T>(object: impl AsFd) -> io::Result<T> {
    let mut info = MaybeUninit::<T>::zeroed();
    let mut attr = zeroed();
    attr.info.bpf_fd = raw(object.as_fd());
    attr.info.info_len = attr_size::<T>();
    attr.info.info = info.as_mut_ptr() as u64;
    // SAFETY: `info` outlives the call and has the length that is given.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)? };
    // SAFETY: the memory was zeroed before, so it is initialised however much the
    // kernel wrote.
    Ok(unsafe { info.assume_init() })
}

/// Runs a `bpf(2)` command that returns a new descriptor.
///
/// # Safety
///
/// As for [`bpf`]. The command must return a new descriptor.
unsafe fn bpf_fd(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: the caller keeps the conditions of [`bpf`].
    let fd = unsafe { bpf(command, attr)? };
    // SAFETY: the command returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Calls `bpf(2)` and returns its result.
///
/// # Safety
///
/// Every address in `attr` must be valid for what the command reads or writes
/// there, until the call returns.
pub(super) unsafe fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i32> {
    let attr: *mut bpf_attr = attr;
    // SAFETY: `attr` is valid for reads and writes of its size. The caller
    // guarantees that the addresses in it are valid.
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

/// Attributes of a command, all zero. The kernel refuses other bytes behind the
/// fields of a command.
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
