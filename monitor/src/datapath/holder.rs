//! Who holds an interface that we cannot have.

use std::fs;

use aya::programs::loaded_programs;

use super::{Error, interfaces::Interface, object};
use crate::{file_lock, regular_file};

/// The error for an interface whose XDP hook is taken: names the program and,
/// where it can be found, the process.
pub(super) fn occupied(interface: &Interface) -> Error {
    let name = &interface.name;
    let Some(id) = interface.program else {
        return Error::Occupied {
            interface: name.clone(),
            holder: "another XDP program".to_owned(),
            mend: format!("see `ip link show dev {name}`"),
        };
    };
    let program = program_name(id);
    let mut holder = match &program {
        Some(program) => format!("XDP program {program:?} (id {id})"),
        None => format!("XDP program with id {id}, whose name root may see,"),
    };
    if let Some(process) = process_with_program(id) {
        holder = format!("{holder} of {process}");
    }
    let mend = if program.as_deref() == Some(object::PROGRAM) {
        "it is a filter of monitor under another --pin-dir: stop that daemon and run `monitor detach` for its pins first".to_owned()
    } else {
        format!("remove it first, for example with `ip link set dev {name} xdp off`")
    };
    Error::Occupied {
        interface: name.clone(),
        holder,
        mend,
    }
}

/// `None` also without `CAP_SYS_ADMIN`, which listing programs takes.
pub(super) fn program_name(id: u32) -> Option<String> {
    loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(str::to_owned))
}

/// Looks for a descriptor of the program, or of a link that runs it
/// (`prog_id` in `/proc/PID/fdinfo`, proc(5)).
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
