//! Which families an interface forwards.

use crate::{doctor::facts::Families, regular_file};

/// Families that the interface of this name forwards. A family that the kernel does not have
/// is not forwarded.
pub(super) fn forwards(name: &str) -> Families {
    let is_on = |family: &str| {
        let path = format!("/proc/sys/net/{family}/conf/{name}/forwarding");
        regular_file::read_kernel_text(path).is_ok_and(|text| text.trim() != "0")
    };
    Families {
        ipv4: is_on("ipv4"),
        ipv6: is_on("ipv6"),
    }
}
