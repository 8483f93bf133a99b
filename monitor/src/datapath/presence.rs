//! Which of the interfaces that were asked for are there, and under which name.

use std::path::Path;

use super::{
    Error, Filter,
    attach::{AttachedProgram, find_interfaces},
    interfaces::{self, Interface},
    link::link_info,
    pins::{self, Pins},
};

/// The names by which the kernel knows these interfaces, each once: an
/// alternative name becomes the name. A name without an interface stays, and so
/// does one under which a filter is pinned at `pin_dir`.
pub fn real_names(pin_dir: &Path, names: &[String]) -> Result<Vec<String>, Error> {
    let all =
        interfaces::list().map_err(|source| Error::system("list network interfaces", source))?;
    let linked = Pins::new(pin_dir).linked_interfaces().unwrap_or_default();
    let mut real = Vec::new();
    for name in names {
        let known = if linked.contains(name) {
            None
        } else {
            with_alternative(&all, name)
        };
        let name = known.map_or(name, |interface| &interface.name);
        if !real.contains(name) {
            real.push(name.clone());
        }
    }
    Ok(real)
}

/// The name of the interface that has this alternative name now.
pub fn name_of_alternative(name: &str) -> Result<Option<String>, Error> {
    let all =
        interfaces::list().map_err(|source| Error::system("list network interfaces", source))?;
    Ok(with_alternative(&all, name).map(|interface| interface.name.clone()))
}

fn with_alternative<'a>(all: &'a [Interface], name: &str) -> Option<&'a Interface> {
    let has_it = |interface: &&Interface| interface.alternatives.iter().any(|other| other == name);
    all.iter().find(has_it)
}

/// An interface that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceState {
    /// It runs our program.
    Filtered,
    /// It is there, and does not.
    Unfiltered,
    /// There is none of this name; in words.
    Absent(String),
}

impl Filter {
    /// Those that are there by their name, and those that were renamed under a
    /// link of ours: it stays on them, and so must the ruleset. What an operator
    /// should know of the others.
    pub(super) fn with_renamed(
        &self,
        found: AttachedProgram,
    ) -> Result<(Vec<Interface>, Vec<String>), Error> {
        let mut interfaces = found.present;
        let mut notes = Vec::new();
        for name in found.absent {
            if let Some(interface) = self.renamed(&name, &found.all)? {
                notes.push(format!(
                    "{name}: is called {} now; the filter stays on it, under the old name",
                    interface.name
                ));
                interfaces.push(Interface { name, ..interface });
            } else {
                notes.push(absent(&name, &found.all));
            }
        }
        Ok((interfaces, notes))
    }

    /// The interface that our link of this name runs on, whatever its name is now.
    fn renamed(&self, name: &str, all: &[Interface]) -> Result<Option<Interface>, Error> {
        if !self
            .pins
            .linked_interfaces()?
            .iter()
            .any(|linked| linked == name)
        {
            return Ok(None);
        }
        let info = link_info(name, &pins::open(&self.pins.link(name))?)?;
        let ours = |interface: &&Interface| {
            interface.index == info.ifindex && interface.program == Some(info.program)
        };
        Ok(all.iter().find(ours).cloned())
    }

    /// Which of `names` are filtered, and which are not, and why.
    pub fn states(&self, names: &[String]) -> Result<Vec<InterfaceState>, Error> {
        let found = find_interfaces(names)?;
        let each = names.iter().map(|name| {
            let mut present = found.present.iter();
            let interface = match present.find(|interface| interface.name == *name) {
                Some(interface) => Some(interface.clone()),
                None => self.renamed(name, &found.all)?,
            };
            let Some(interface) = interface else {
                return Ok(InterfaceState::Absent(absent(name, &found.all)));
            };
            Ok(if self.runs_on(name, &interface)? {
                InterfaceState::Filtered
            } else {
                InterfaceState::Unfiltered
            })
        });
        each.collect()
    }

    /// Whether our link of this name is what runs on the interface.
    fn runs_on(&self, name: &str, interface: &Interface) -> Result<bool, Error> {
        let all = std::slice::from_ref(interface);
        Ok(self.renamed(name, all)?.is_some())
    }
}

/// What an operator is told of a name without an interface.
fn absent(name: &str, all: &[Interface]) -> String {
    let names: Vec<&str> = all.iter().map(|other| other.name.as_str()).collect();
    format!(
        "{name}: there is no such interface; it is filtered when it appears (there are: {})",
        names.join(", ")
    )
}
