//! The interfaces that run the filter.

use std::path::Path;

use crate::{
    datapath::{self, Kept},
    doctor::facts::FilterAt,
    error_text::error_text,
    policy::{Direction, Role},
    snapshot::Snapshot,
};

/// What is attached, and what was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// The interfaces that run the filter at their ingress.
    pub attached: Vec<FilterAt>,
    /// Names of interfaces on which a pin or mark is left, and at whose ingress no filter is
    /// attached.
    pub detached: Vec<String>,
}

/// Reads what is attached. The snapshot says which roles the interfaces have; without one, all
/// have the role `lan`.
///
/// # Errors
///
/// The reason, if the pins cannot be read.
pub fn filters(pin_dir: &Path, snapshot: Option<&Snapshot>) -> Result<Filters, String> {
    let kept = datapath::kept(pin_dir).map_err(|error| error_text(&error))?;
    let mut filters = Filters::default();
    for Kept {
        name,
        ingress,
        egress,
    } in kept
    {
        let Some((index, program)) = ingress else {
            filters.detached.push(name);
            continue;
        };
        filters.attached.push(FilterAt {
            role: role(&name, snapshot),
            name,
            index,
            program,
            egress: egress.map_err(|error| error_text(&error)),
        });
    }
    Ok(filters)
}

/// Role of an attached interface. Only a `wan` counts packets that arrive as `in`.
fn role(name: &str, snapshot: Option<&Snapshot>) -> Role {
    let counts_in = snapshot.is_some_and(|snapshot| {
        let mut interfaces = snapshot.interfaces.iter();
        interfaces
            .any(|one| one.name == name && one.direction == Direction::In && one.mode.is_some())
    });
    if counts_in { Role::Wan } else { Role::Lan }
}
