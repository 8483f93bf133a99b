//! Finds the program and the process that use the XDP hook of an interface.

use std::fs;

use aya::programs::loaded_programs;

use super::{Error, interfaces::Interface, object};
use crate::{file_lock, regular_file};

/// Error for an interface whose XDP hook is in use. It names the program and, if it
/// can be found, the process.
pub(super) fn occupied(interface: &Interface) -> Error {
    let name = &interface.name;
    let Some(id) = interface.program else {
        return Error::Occupied {
            interface: name.clone(),
            holder: "another XDP program".to_owned(),
            fix: format!("see `ip link show dev {name}`"),
        };
    };
    let program = program_name(id);
    let mut holder = match &program {
        Some(program) => format!("XDP program {program:?} (id {id})"),
        None => format!("XDP program with id {id} (only root can see its name)"),
    };
    if let Some(process) = process_with_program(id) {
        holder = format!("{holder} of {process}");
    }
    let fix = if program.as_deref().is_some_and(object::is_own_name) {
        "it is a filter of monitor under another --pin-dir: stop that daemon and run `monitor detach` for its pins first".to_owned()
    } else {
        format!("remove it first, for example with `ip link set dev {name} xdp off`")
    };
    Error::Occupied {
        interface: name.clone(),
        holder,
        fix,
    }
}

/// Name of a loaded program. `None` if no program has this id, or without
/// `CAP_SYS_ADMIN`, which listing programs requires.
pub(super) fn program_name(id: u32) -> Option<String> {
    loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(str::to_owned))
}

/// Describes a process that has a descriptor of the program, or of a link that runs
/// it (`prog_id` in `/proc/PID/fdinfo`, proc(5)).
pub(super) fn process_with_program(id: u32) -> Option<String> {
    let wanted = format!("prog_id:\t{id}");
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid = process.file_name().into_string().ok()?;
        pid.parse::<u32>().ok()?;
        let descriptors = fs::read_dir(process.path().join("fdinfo")).ok()?;
        descriptors
            .flatten()
            .filter_map(|descriptor| regular_file::read_kernel_text(descriptor.path()).ok())
            .any(|info| info.lines().any(|line| line == wanted))
            .then(|| file_lock::describe_process(&pid))
    })
}
