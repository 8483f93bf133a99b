//! Links of the kernel, as a program of somebody else may treat them.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

/// Commands of bpf(2).
const BPF_OBJ_GET: libc::c_int = 7;
const BPF_LINK_DETACH: libc::c_int = 34;

/// Detaches the link that is pinned at `path`. The pin stays.
pub(crate) fn detach_link(path: &Path) {
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    // `pathname` of `bpf_attr`.
    let link = bpf(BPF_OBJ_GET, &mut [name.as_ptr() as u64]);
    // SAFETY: the kernel made the descriptor for this process, and nothing else has it.
    let link = unsafe { OwnedFd::from_raw_fd(link) };
    // `link_fd` of `bpf_attr`.
    bpf(BPF_LINK_DETACH, &mut [link.as_raw_fd()]);
}

fn bpf<T>(command: libc::c_int, attributes: &mut [T]) -> i32 {
    let size = size_of_val(attributes);
    // SAFETY: the kernel reads so many bytes, which are valid, and a name that outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), size) };
    assert!(
        result >= 0,
        "bpf(2), command {command}: {}",
        io::Error::last_os_error()
    );
    i32::try_from(result).unwrap()
}
