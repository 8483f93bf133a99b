//! Finds out which configured interfaces exist, and under which name.

use super::{
    Error, Filter,
    attach::{AttachedProgram, find_interfaces},
    hook::{Hook, HookPoint},
    interfaces::{self, Interface},
    link::Link,
    patterns::is_pattern,
};

/// Main name of the interface that has this alternative name now; `None` if no
/// interface has it.
pub fn name_of_alternative(name: &str) -> Result<Option<String>, Error> {
    let all =
        interfaces::list().map_err(|source| Error::system("list network interfaces", source))?;
    Ok(with_alternative(&all, name).map(|interface| interface.name.clone()))
}

/// The interface that has this alternative name.
pub(super) fn with_alternative<'a>(all: &'a [Interface], name: &str) -> Option<&'a Interface> {
    let has_it = |interface: &&Interface| interface.alternatives.iter().any(|other| other == name);
    all.iter().find(has_it)
}

/// State of a configured interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceState {
    /// The interface runs the program of this filter.
    Filtered,
    /// The interface exists, but does not run the program of this filter.
    Unfiltered,
    /// No interface has this name. Holds a message for the operator.
    Absent(String),
}

impl Filter {
    /// Returns the interfaces to filter, and messages for the operator about absent
    /// names. An interface that was renamed while it had a pinned link is returned
    /// under its old name. The link keeps the old name, so the ruleset must use it
    /// too.
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

    /// Finds the interface that the pinned link of this name is attached to, even
    /// if it was renamed.
    fn renamed(&self, name: &str, all: &[Interface]) -> Result<Option<Interface>, Error> {
        if !self
            .pins
            .linked_interfaces()?
            .iter()
            .any(|linked| linked == name)
        {
            return Ok(None);
        }
        let at = HookPoint::new(name, Hook::Ingress);
        let info = Link::open(&self.pins, &at)?.info(&at)?;
        let ours = |interface: &&Interface| {
            interface.index == info.ifindex && interface.program == Some(info.program)
        };
        Ok(all.iter().find(ours).cloned())
    }

    /// Returns the state of each interface in `names`, in the same order.
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

    /// True if the interface runs the programs of the pinned links of this name.
    fn runs_on(&self, name: &str, interface: &Interface) -> Result<bool, Error> {
        for at in self.pins.linked()? {
            if at.interface == name
                && Link::open(&self.pins, &at)?.info(&at)?.ifindex != interface.index
            {
                return Ok(false);
            }
        }
        let all = std::slice::from_ref(interface);
        Ok(self.renamed(name, all)?.is_some())
    }
}

/// Message for the operator about a name without an interface.
fn absent(name: &str, all: &[Interface]) -> String {
    let names: Vec<&str> = all.iter().map(|other| other.name.as_str()).collect();
    let what = if is_pattern(name) {
        "no interface matches, or all that match are left out; one is filtered"
    } else {
        "there is no such interface; it is filtered"
    };
    format!(
        "{name}: {what} when it appears (there are: {})",
        names.join(", ")
    )
}
