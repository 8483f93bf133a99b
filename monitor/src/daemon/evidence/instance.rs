//! The identity of the kernel's tables.

use crate::{clock, datapath::FlowTables, store::Instance};

/// Returns the identity of the tables, with the boot to which they belong.
pub(super) fn instance(tables: &FlowTables) -> Instance {
    Instance {
        token: tables.instance(),
        boot: clock::now().since_boot.map(|since| since.boot),
    }
}
