//! Lists what pins and marks keep at the hooks of each interface. It needs no daemon and takes
//! no lock.

use std::{collections::BTreeSet, path::Path};

use super::{
    Error,
    hook::{Hook, HookPoint},
    link::Link,
    pins::Pins,
};
use crate::snapshot::Mode;

/// What is kept at the hooks of an interface.
#[derive(Debug)]
pub struct Kept {
    /// Name of its counters. A renamed interface keeps the name of before.
    pub name: String,
    /// Index of the interface, and id of the program at its ingress. `None` if no link is
    /// pinned, if the link was detached, or if its interface was deleted.
    pub ingress: Option<(u32, u32)>,
    /// The filter at its egress.
    pub egress: Result<Egress, Error>,
}

/// The filter at the egress of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Egress {
    /// Nothing is kept there.
    Nothing,
    /// The filter is attached.
    Attached(Mode),
    /// The filter was removed. Its pin or mark is left.
    Removed(Mode),
}

/// Every interface with a pin or mark, sorted by name. Empty if nothing is pinned.
pub fn kept(pin_dir: &Path) -> Result<Vec<Kept>, Error> {
    let pins = Pins::new(pin_dir);
    if !pins.exists()? {
        return Ok(Vec::new());
    }
    let linked = pins.linked()?;
    let names: BTreeSet<&str> = linked.iter().map(|at| at.interface.as_str()).collect();
    let each = names.into_iter().map(|name| {
        let [ingress, egress] = Hook::ALL.map(|hook| HookPoint::new(name, hook));
        let ingress = if linked.contains(&ingress) {
            let info = Link::open(&pins, &ingress)?.info(&ingress)?;
            (info.ifindex != 0).then_some((info.ifindex, info.program))
        } else {
            None
        };
        let egress = if linked.contains(&egress) {
            at_egress(&pins, &egress)
        } else {
            Ok(Egress::Nothing)
        };
        Ok(Kept {
            name: name.to_owned(),
            ingress,
            egress,
        })
    });
    each.collect()
}

fn at_egress(pins: &Pins, at: &HookPoint) -> Result<Egress, Error> {
    let link = Link::open(pins, at)?;
    let mode = match link {
        Link::Bpf(_) => Mode::Tcx,
        Link::Clsact(_) => Mode::Clsact,
    };
    Ok(match link.info(at)?.ifindex {
        0 => Egress::Removed(mode),
        _ => Egress::Attached(mode),
    })
}
