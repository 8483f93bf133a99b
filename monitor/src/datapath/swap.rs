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
    hook::{Filtered, Hook, HookPoint, Place, attachments},
    interfaces::{self, Interface},
    link::Link,
};
use crate::{
    compile::Ruleset,
    policy::{EvidenceLevel, Role},
};

/// Request to put a ruleset in force.
#[derive(Debug)]
pub struct Request<'a> {
    /// Interfaces and their roles, without duplicates.
    pub interfaces: &'a [Filtered],
    /// Mode for every interface.
    pub mode: ModeChoice,
    /// Frames in several buffers, for every interface.
    pub frags: FragsChoice,
    /// How classifiers are attached to the egress of interfaces.
    pub egress: ModeChoice,
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
    Detach { at: HookPoint, link: Link },
    /// Attach the old program again, whose link was removed to change the mode.
    Reattach {
        place: Place,
        attachment: Attachment,
        old: OwnedFd,
    },
    /// Set the link back to the program `old`.
    Restore {
        at: HookPoint,
        link: Link,
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
        let names: Vec<_> = request
            .interfaces
            .iter()
            .map(|one| one.name.clone())
            .collect();
        let found = find_interfaces(&names)?;
        let (interfaces, mut notes) = self.with_renamed(found)?;
        let wanted = attachments(request.interfaces, request.records_flows());
        let places = places(&wanted, &interfaces);
        let number = self.pins.generations()?.last().map_or(1, |last| last + 1);
        let mut built = self.build(number, request, &places)?;
        if let Err(error) = self.swap(&places, request, &built, &mut notes) {
            // Report the first error, and ignore errors of the removal.
            let _ = self.pins.remove_generation(number);
            return Err(error);
        }
        let wanted: Vec<_> = wanted.into_iter().map(|(at, _)| at).collect();
        for error in self.retire(&wanted, request.deadline, &mut notes) {
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
        places: &[Place],
    ) -> Result<Generation, Error> {
        let names = request.ruleset.policies.iter().map(|policy| &policy.name);
        let policy_slots = self.state.policies.assign(names)?;
        let instances = places
            .iter()
            .map(|place| self.planned(request, place))
            .collect::<Result<Vec<_>, Error>>()?;
        let previous = match request.deadline {
            Some(_) => self.previous_programs(places.iter().map(|place| &place.at))?,
            None => BTreeMap::new(),
        };
        let plan = Plan {
            number,
            ruleset: request.ruleset,
            policy_slots: &policy_slots,
            instances: &instances,
            log_packets: request.log_packets,
            evidence: request.evidence,
            deadline: request.deadline,
            previous: &previous,
            capture: request.capture,
            expected: self.shape,
        };
        let built = generation::build(&self.pins, &plan)?;
        self.shape = Some(built.shape);
        Ok(built)
    }

    /// Swaps one hook after another. On an error, undoes all steps in reverse order. Begins
    /// with the hooks that have no link yet: where another program is attached, the swap
    /// fails before it changes the other hooks.
    fn swap(
        &mut self,
        places: &[Place],
        request: &Request<'_>,
        built: &Generation,
        notes: &mut Vec<String>,
    ) -> Result<(), Error> {
        let linked = self.pins.linked()?;
        let (linked, new): (Vec<_>, Vec<_>) =
            places.iter().partition(|place| linked.contains(&place.at));
        let mut undo = Vec::new();
        for place in new.into_iter().chain(linked) {
            if let Err(error) =
                self.swap_one(place, request.mode_at(place), built, notes, &mut undo)
            {
                // A device may be able to make interfaces come and go. That must not stop
                // the change of the others.
                if is_gone(&place.interface) {
                    notes.push(format!(
                        "{}: disappeared meanwhile; it is filtered when it appears",
                        place.at.interface
                    ));
                    continue;
                }
                return Err(self.undo_all(undo, error));
            }
        }
        self.links = undo.into_iter().filter_map(Undo::into_fd).collect();
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
        place: &Place,
        mode: ModeChoice,
        built: &Generation,
        notes: &mut Vec<String>,
        undo: &mut Vec<Undo>,
    ) -> Result<(), Error> {
        let at = &place.at;
        let program = &built.programs[at];
        if let Some(link) = self.live_link(place, mode, program.frags, notes, undo)? {
            let old = self.program_of(at, &link)?;
            let replaced = Undo::Restore {
                at: at.clone(),
                link: link.try_clone()?,
                old: clone(&old)?,
                new: clone(&program.fd)?,
            };
            link.update(&program.fd, &old)
                .map_err(|source| Error::Replace {
                    interface: at.interface.clone(),
                    source,
                })?;
            undo.push(replaced);
            return self.record_attachment(place, &link, program.frags);
        }
        let (link, attachment) = self.attach_new(place, mode, program)?;
        undo.push(Undo::Detach {
            at: at.clone(),
            link,
        });
        if attachment.frags && !program.frags {
            built.keep_with_frags(&self.pins, at)?;
        }
        Ok(())
    }

    /// Records how a link is attached whose slot has no record: another version created it, or
    /// the interface had another role.
    fn record_attachment(&mut self, place: &Place, link: &Link, frags: bool) -> Result<(), Error> {
        let recorded = self.recorded(&place.at)?;
        let attachment = recorded.or_else(|| place.found(link, frags));
        self.record(place, attachment)
    }

    fn record(&mut self, place: &Place, attachment: Option<Attachment>) -> Result<(), Error> {
        if !place.counts() {
            return Ok(());
        }
        let (name, direction) = (&place.at.interface, place.slot_direction());
        let interfaces = &mut self.state.interfaces;
        let slot = interfaces.assign(name, direction)?;
        interfaces.forget_attachment(&place.at)?;
        interfaces.record(slot, name, direction, attachment)
    }

    /// Attaches a program, records how, and pins the link. After an error, the
    /// link is not pinned, so closing it detaches the program.
    fn attach_new(
        &mut self,
        place: &Place,
        mode: ModeChoice,
        program: &Program,
    ) -> Result<(Link, Attachment), Error> {
        let Place { at, interface, .. } = place;
        let (link, attachment) = match at.hook {
            Hook::Ingress => {
                let (link, attachment) = attach(interface, mode, program)?;
                (Link::Bpf(link), attachment)
            }
            Hook::Egress => {
                let (link, mode) =
                    Link::create_at_egress(&self.pins, at, interface, program, mode)?;
                (link, Attachment { mode, frags: false })
            }
        };
        let kept = self.record(place, Some(attachment));
        if let Err(error) = kept.and_then(|()| link.keep(&self.pins, at)) {
            // Report the first error. A filter of `clsact` does not end with this process.
            let _ = link.remove(&self.pins, at);
            return Err(error);
        }
        Ok((link, attachment))
    }

    /// Returns the pinned link of an interface if it can be kept. Removes a link
    /// whose interface was deleted, or whose mode or `frags` is not the requested one.
    fn live_link(
        &mut self,
        place: &Place,
        mode: ModeChoice,
        frags: bool,
        notes: &mut Vec<String>,
        undo: &mut Vec<Undo>,
    ) -> Result<Option<Link>, Error> {
        let Place { at, interface, .. } = place;
        let name = &at.interface;
        if !self.pins.linked()?.contains(at) {
            return Ok(None);
        }
        let link = Link::open(&self.pins, at)?;
        let info = link.info(at)?;
        if info.ifindex == 0 {
            let what = match link {
                Link::Bpf(_) => "the interface was deleted and created again",
                Link::Clsact(_) => "the filter at its egress was removed",
            };
            notes.push(format!("{name}: {what}; the filter is attached again"));
            self.remove_link(at, &link)?;
            return Ok(None);
        }
        // An index is unique only in its network namespace. A program id is unique
        // on the machine. Links at egress are beside a link at ingress, which is checked.
        let is_elsewhere = at.hook == Hook::Ingress && interface.program != Some(info.program);
        if info.ifindex != interface.index || is_elsewhere {
            return Err(Error::AttachedElsewhere {
                interface: name.clone(),
                path: self.pins.root().to_owned(),
            });
        }
        let found = match at.hook {
            Hook::Ingress => self.recorded(at)?.or_else(|| place.found(&link, frags)),
            Hook::Egress => place.found(&link, frags),
        };
        let Some(attached) = found else {
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
            place: place.clone(),
            attachment: attached,
            old: self.program_of(at, &link)?,
        });
        self.remove_link(at, &link)?;
        Ok(None)
    }

    /// How the program at a hook is attached, by the records of the interface's slots.
    pub(super) fn recorded(&self, at: &HookPoint) -> Result<Option<Attachment>, Error> {
        let mut slots = self.state.interfaces.slots()?.into_iter();
        let slot = slots.find(|slot| slot.name == at.interface && slot.is_at(at.hook));
        Ok(slot.and_then(|slot| slot.attachment))
    }

    fn undo(&mut self, step: Undo) -> Result<(), Error> {
        match step {
            Undo::Detach { at, link } => self.remove_link(&at, &link),
            Undo::Reattach {
                place,
                attachment: Attachment { mode, frags },
                old,
            } => {
                let program = Program {
                    fd: old,
                    frags,
                    with_frags: None,
                };
                self.attach_new(&place, ModeChoice::Only(mode), &program)
                    .map(drop)
            }
            Undo::Restore { at, link, old, new } => match link.update(&old, &new) {
                // `ENOLINK`: the interface was deleted meanwhile.
                Err(source) if source.raw_os_error() != Some(libc::ENOLINK) => {
                    Err(Error::Replace {
                        interface: at.interface,
                        source,
                    })
                }
                _ => Ok(()),
            },
        }
    }
}

impl Undo {
    fn into_fd(self) -> Option<OwnedFd> {
        match self {
            Self::Detach { link, .. } | Self::Restore { link, .. } => link.into_fd(),
            // The new link of this interface is undone by a step of its own.
            Self::Reattach { .. } => None,
        }
    }
}

/// True if the interface was deleted.
fn is_gone(interface: &Interface) -> bool {
    interfaces::list().is_ok_and(|all| all.iter().all(|other| other.index != interface.index))
}

impl Request<'_> {
    /// The requested mode at a hook.
    fn mode_at(&self, place: &Place) -> ModeChoice {
        match place.at.hook {
            Hook::Ingress => self.mode,
            Hook::Egress => self.egress,
        }
    }

    /// True if flows of at least one policy are recorded.
    fn records_flows(&self) -> bool {
        let mut policies = self.ruleset.policies.iter();
        policies.any(|policy| policy.evidence.min(self.evidence) >= EvidenceLevel::Flows)
    }
}

/// The wanted hooks of the interfaces that exist.
fn places(wanted: &[(HookPoint, Role)], interfaces: &[Interface]) -> Vec<Place> {
    let each = wanted.iter().filter_map(|(at, role)| {
        let interface = interfaces.iter().find(|one| one.name == at.interface)?;
        Some(Place {
            at: at.clone(),
            interface: interface.clone(),
            role: *role,
        })
    });
    each.collect()
}

fn clone(fd: &OwnedFd) -> Result<OwnedFd, Error> {
    fd.as_fd()
        .try_clone_to_owned()
        .map_err(|source| Error::system("duplicate a descriptor", source))
}
