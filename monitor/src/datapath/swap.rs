//! Puts a new generation in force: builds it completely, then swaps it in on one
//! interface after another. On an error, every interface runs again what it ran
//! before.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, OwnedFd},
};

use super::{
    Error, Filter,
    attach::{Attachment, FragsChoice, ModeChoice, Program, attach, find_interfaces},
    capture::CaptureRequest,
    deadline::Deadline,
    generation::{self, Generation, Plan},
    interfaces::{self, Interface},
    link::link_info,
    pins, sys,
};
use crate::{compile::Ruleset, policy::EvidenceLevel};

/// Request to put a ruleset in force.
#[derive(Debug)]
pub struct Request<'a> {
    /// Interface names, without duplicates.
    pub interfaces: &'a [String],
    /// Mode for every interface.
    pub mode: ModeChoice,
    /// Frames in several buffers, for every interface.
    pub frags: FragsChoice,
    /// The ruleset.
    pub ruleset: &'a Ruleset,
    /// True if the kernel program writes every matched packet to the log.
    pub log_packets: bool,
    /// The most that is recorded about matched packets.
    pub evidence: EvidenceLevel,
    /// Time by which the generation must be confirmed; after it, the generation
    /// before decides again. `None` if it needs no confirmation.
    pub deadline: Option<Deadline>,
    /// The capture that runs, if one runs.
    pub capture: Option<&'a CaptureRequest>,
}

/// Result of a swap.
pub struct Applied {
    /// Number of the new generation.
    pub generation: u64,
    /// Messages for the operator, in order.
    pub notes: Vec<String>,
    /// True if the generation must be confirmed and at least one interface ran a
    /// program before.
    pub has_previous: bool,
    /// Loaded objects whose programs write to the log; empty if packets are not
    /// logged.
    pub loggers: Vec<aya::Ebpf>,
}

/// A step that restores what an interface ran before.
enum Undo {
    /// Remove a new link.
    Detach { interface: String, link: OwnedFd },
    /// Attach the old program again, whose link was removed to change the mode.
    Reattach {
        interface: Interface,
        attachment: Attachment,
        old: OwnedFd,
    },
    /// Set the link back to the program `old`.
    Restore {
        interface: String,
        link: OwnedFd,
        old: OwnedFd,
        new: OwnedFd,
    },
}

impl Filter {
    /// Builds a new generation and swaps it in on every interface. On an error, the
    /// filter that was in force before is in force again.
    pub fn apply(&mut self, request: &Request<'_>) -> Result<Applied, Error> {
        let result = self.build_and_swap(request);
        self.fresh &= result.is_err();
        result
    }

    fn build_and_swap(&mut self, request: &Request<'_>) -> Result<Applied, Error> {
        let found = find_interfaces(request.interfaces)?;
        let (interfaces, mut notes) = self.with_renamed(found)?;
        let number = self.pins.generations()?.last().map_or(1, |last| last + 1);
        let mut built = self.build(number, request, &interfaces)?;
        if let Err(error) = self.swap(&interfaces, request.mode, &built, &mut notes) {
            // Report the first error, and ignore errors of the removal.
            let _ = self.pins.remove_generation(number);
            return Err(error);
        }
        for error in self.retire(request.interfaces, request.deadline, &mut notes) {
            // The new generation is in force despite the error. The next swap
            // removes the rest.
            notes.push(error.to_string());
        }
        Ok(Applied {
            generation: number,
            notes,
            has_previous: built.has_previous,
            loggers: std::mem::take(&mut built.loggers),
        })
    }

    fn build(
        &mut self,
        number: u64,
        request: &Request<'_>,
        interfaces: &[Interface],
    ) -> Result<Generation, Error> {
        let names = request.ruleset.policies.iter().map(|policy| &policy.name);
        let policy_slots = self.state.policies.assign(names)?;
        let interfaces = interfaces
            .iter()
            .map(|interface| self.planned(request, interface))
            .collect::<Result<Vec<_>, Error>>()?;
        let previous = match request.deadline {
            Some(_) => self.previous_programs(interfaces.iter().map(|planned| &planned.name))?,
            None => BTreeMap::new(),
        };
        let plan = Plan {
            number,
            ruleset: request.ruleset,
            policy_slots: &policy_slots,
            interfaces: &interfaces,
            log_packets: request.log_packets,
            evidence: request.evidence,
            deadline: request.deadline,
            previous: &previous,
            capture: request.capture,
        };
        generation::build(&self.pins, &plan)
    }

    /// Swaps one interface after another. On an error, undoes all steps in reverse
    /// order. Begins with the interfaces that have no link yet: where another program is
    /// attached, the swap fails before it changes the other interfaces.
    fn swap(
        &mut self,
        interfaces: &[Interface],
        mode: ModeChoice,
        built: &Generation,
        notes: &mut Vec<String>,
    ) -> Result<(), Error> {
        let linked = self.pins.linked_interfaces()?;
        let (linked, new): (Vec<_>, Vec<_>) = interfaces
            .iter()
            .partition(|interface| linked.contains(&interface.name));
        let mut undo = Vec::new();
        for interface in new.into_iter().chain(linked) {
            if let Err(error) = self.swap_one(interface, mode, built, notes, &mut undo) {
                // A device may be able to make interfaces come and go. That must not stop
                // the change of the others.
                if is_gone(interface) {
                    notes.push(format!(
                        "{}: disappeared meanwhile; it is filtered when it appears",
                        interface.name
                    ));
                    continue;
                }
                return Err(self.undo_all(undo, error));
            }
        }
        self.links = undo.into_iter().filter_map(Undo::into_link).collect();
        Ok(())
    }

    /// Undoes steps in reverse order. Returns `first`, together with the errors of
    /// the undoing.
    fn undo_all(&mut self, steps: Vec<Undo>, first: Error) -> Error {
        let failed: Vec<_> = steps
            .into_iter()
            .rev()
            .filter_map(|step| self.undo(step).err())
            .collect();
        match Error::collect(failed) {
            Ok(()) => first,
            Err(undo) => Error::NotUndone {
                first: Box::new(first),
                undo: Box::new(undo),
            },
        }
    }

    fn swap_one(
        &mut self,
        interface: &Interface,
        mode: ModeChoice,
        built: &Generation,
        notes: &mut Vec<String>,
        undo: &mut Vec<Undo>,
    ) -> Result<(), Error> {
        let name = &interface.name;
        let program = &built.programs[name];
        if let Some(link) = self.live_link(interface, mode, program.frags, notes, undo)? {
            let old = self.program_of(name, &link)?;
            let replaced = Undo::Restore {
                interface: name.clone(),
                link: clone(&link)?,
                old: clone(&old)?,
                new: clone(&program.fd)?,
            };
            sys::link_update(&link, &program.fd, &old).map_err(|source| Error::Replace {
                interface: name.clone(),
                source,
            })?;
            undo.push(replaced);
            return self.record_attachment(interface, program.frags);
        }
        let (link, attachment) = self.attach_new(interface, mode, program)?;
        undo.push(Undo::Detach {
            interface: name.clone(),
            link,
        });
        if attachment.frags && !program.frags {
            built.keep_with_frags(&self.pins, name)?;
        }
        Ok(())
    }

    /// Records how a link is attached that another version created, because this
    /// version cannot read the records of that version.
    fn record_attachment(&mut self, interface: &Interface, frags: bool) -> Result<(), Error> {
        let name = &interface.name;
        if self.recorded(name)?.is_some() {
            return Ok(());
        }
        let slot = self.state.interfaces.assign(name)?;
        let attachment = interface.mode.map(|mode| Attachment { mode, frags });
        self.state.interfaces.record(slot, name, attachment)
    }

    /// Attaches a program, records how, and pins the link. After an error, the
    /// link is not pinned, so closing it detaches the program.
    fn attach_new(
        &mut self,
        interface: &Interface,
        mode: ModeChoice,
        program: &Program,
    ) -> Result<(OwnedFd, Attachment), Error> {
        let name = &interface.name;
        let slot = self.state.interfaces.assign(name)?;
        let (link, attachment) = attach(interface, mode, program)?;
        self.state.interfaces.record(slot, name, Some(attachment))?;
        pins::pin(&link, &self.pins.link(name))?;
        Ok((link, attachment))
    }

    /// Returns the pinned link of an interface if it can be kept. Removes a link
    /// whose interface was deleted, or whose mode or `frags` is not the requested one.
    fn live_link(
        &mut self,
        interface: &Interface,
        mode: ModeChoice,
        frags: bool,
        notes: &mut Vec<String>,
        undo: &mut Vec<Undo>,
    ) -> Result<Option<OwnedFd>, Error> {
        let name = &interface.name;
        if !self.pins.linked_interfaces()?.contains(name) {
            return Ok(None);
        }
        let link = pins::open(&self.pins.link(name))?;
        let info = link_info(name, &link)?;
        if info.ifindex == 0 {
            notes.push(format!(
                "{name}: the interface was deleted and created again; the filter is attached again"
            ));
            self.remove_link(name, &link)?;
            return Ok(None);
        }
        // An index is unique only in its network namespace. A program id is unique
        // on the machine.
        if info.ifindex != interface.index || interface.program != Some(info.program) {
            return Err(Error::AttachedElsewhere {
                interface: name.clone(),
                path: self.pins.root().to_owned(),
            });
        }
        let unrecorded = || interface.mode.map(|mode| Attachment { mode, frags });
        let Some(attached) = self.recorded(name)?.or_else(unrecorded) else {
            return Ok(Some(link));
        };
        let mut changes = Vec::new();
        if let ModeChoice::Only(wanted) = mode
            && wanted != attached.mode
        {
            let (from, to) = (attached.mode.name(), wanted.name());
            changes.push(format!("the mode changes from {from} to {to}"));
        }
        if frags != attached.frags {
            let word = if frags { "on" } else { "off" };
            changes.push(format!("frags are {word} now"));
        }
        if changes.is_empty() {
            return Ok(Some(link));
        }
        notes.push(format!(
            "{name}: {}; nothing is filtered for a moment",
            changes.join(", ")
        ));
        undo.push(Undo::Reattach {
            interface: interface.clone(),
            attachment: attached,
            old: self.program_of(name, &link)?,
        });
        self.remove_link(name, &link)?;
        Ok(None)
    }

    pub(super) fn recorded(&self, interface: &str) -> Result<Option<Attachment>, Error> {
        let slots = self.state.interfaces.slots()?;
        let slot = slots.into_iter().find(|slot| slot.name == interface);
        Ok(slot.and_then(|slot| slot.attachment))
    }

    fn undo(&mut self, step: Undo) -> Result<(), Error> {
        match step {
            Undo::Detach { interface, link } => self.remove_link(&interface, &link),
            Undo::Reattach {
                interface,
                attachment: Attachment { mode, frags },
                old,
            } => {
                let program = Program {
                    fd: old,
                    frags,
                    with_frags: None,
                };
                self.attach_new(&interface, ModeChoice::Only(mode), &program)
                    .map(drop)
            }
            Undo::Restore {
                interface,
                link,
                old,
                new,
            } => match sys::link_update(link, old, new) {
                // `ENOLINK`: the interface was deleted meanwhile.
                Err(source) if source.raw_os_error() != Some(libc::ENOLINK) => {
                    Err(Error::Replace { interface, source })
                }
                _ => Ok(()),
            },
        }
    }
}

impl Undo {
    fn into_link(self) -> Option<OwnedFd> {
        match self {
            Self::Detach { link, .. } | Self::Restore { link, .. } => Some(link),
            // The new link of this interface is undone by a step of its own.
            Self::Reattach { .. } => None,
        }
    }
}

/// True if the interface was deleted.
fn is_gone(interface: &Interface) -> bool {
    interfaces::list().is_ok_and(|all| all.iter().all(|other| other.index != interface.index))
}

fn clone(fd: &OwnedFd) -> Result<OwnedFd, Error> {
    fd.as_fd()
        .try_clone_to_owned()
        .map_err(|source| Error::system("duplicate a descriptor", source))
}
