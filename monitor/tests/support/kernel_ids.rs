//! Ids of kernel objects, without opening the objects.
//!
//! If a process opens a program array by its id while the array's last user closes it, the kernel
//! keeps the array for ever: `prog_array_map_clear` takes a reference at each of both closings, and
//! its work, which gives one back, runs once (`kernel/bpf/arraymap.c`, kernel commit da765a2f5993;
//! 113 of 300 such arrays stayed on Linux 6.18).

/// Commands of bpf(2) that return the id behind another one.
const BPF_PROG_GET_NEXT_ID: libc::c_int = 11;
const BPF_MAP_GET_NEXT_ID: libc::c_int = 12;

/// True if the kernel has a program with this id.
pub(crate) fn program_exists(id: u32) -> bool {
    exists(BPF_PROG_GET_NEXT_ID, id)
}

/// True if the kernel has a map with this id.
pub(crate) fn map_exists(id: u32) -> bool {
    exists(BPF_MAP_GET_NEXT_ID, id)
}

fn exists(command: libc::c_int, id: u32) -> bool {
    // `start_id`, `next_id` and `open_flags` of `bpf_attr`.
    let mut attributes = [id - 1, 0, 0];
    // SAFETY: the kernel reads and writes so many bytes, which are valid.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_mut_ptr(),
            size_of_val(&attributes),
        )
    };
    result == 0 && attributes[1] == id
}
