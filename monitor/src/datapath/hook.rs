//! Which programs an interface runs: one for each of its hooks.

use monitor_common::{DIRECTION_IN, DIRECTION_OUT, ROLE_LAN, ROLE_WAN};

use super::{attach::Attachment, interfaces::Interface, link::Link};
use crate::{
    policy::{Direction, Role},
    snapshot::Mode,
};

/// A place in the kernel where an interface runs a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Hook {
    /// XDP: packets that arrive.
    Ingress,
    /// A classifier: packets that leave.
    Egress,
}

/// A hook of an interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct HookPoint {
    /// Name of the interface.
    pub(super) interface: String,
    pub(super) hook: Hook,
}

/// An interface to filter, and its role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filtered {
    /// The kernel's name for it.
    pub name: String,
    /// Its role.
    pub role: Role,
}

/// What a program examines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instance {
    pub(super) role: Role,
    pub(super) direction: Direction,
}

impl Hook {
    pub(super) const ALL: [Self; 2] = [Self::Ingress, Self::Egress];
}

impl HookPoint {
    pub(super) fn new(interface: &str, hook: Hook) -> Self {
        Self {
            interface: interface.to_owned(),
            hook,
        }
    }

    /// What the program at this hook of an interface with this role examines.
    pub(super) const fn instance(&self, role: Role) -> Instance {
        let direction = match (role, self.hook) {
            (Role::Lan, Hook::Ingress) | (Role::Wan, Hook::Egress) => Direction::Out,
            (Role::Lan, Hook::Egress) | (Role::Wan, Hook::Ingress) => Direction::In,
        };
        Instance { role, direction }
    }
}

impl Instance {
    /// An interface on the devices' side, whose packets go to the internet.
    pub(super) const LAN: Self = Self {
        role: Role::Lan,
        direction: Direction::Out,
    };

    /// An interface towards the internet, on which packets arrive.
    pub(super) const WAN: Self = Self {
        role: Role::Wan,
        direction: Direction::In,
    };

    /// An interface towards the internet, through which the gateway sends packets.
    pub(super) const OWN: Self = Self {
        role: Role::Wan,
        direction: Direction::Out,
    };

    /// True if the frame shows the device. At the ingress of the WAN, NAT is not undone yet.
    pub(super) fn shows_device(self) -> bool {
        self != Self::WAN
    }

    pub(super) const fn role_number(self) -> u32 {
        match self.role {
            Role::Lan => ROLE_LAN,
            Role::Wan => ROLE_WAN,
        }
    }

    pub(super) const fn direction_number(self) -> u32 {
        direction_number(self.direction)
    }
}

/// A direction as the kernel program knows it.
pub(super) const fn direction_number(direction: Direction) -> u32 {
    match direction {
        Direction::Out => DIRECTION_OUT,
        Direction::In => DIRECTION_IN,
    }
}

/// The hooks that run a program on an interface with this role. `answers` is true if
/// answers to devices are recorded where they leave to the devices.
pub(super) const fn hooks(role: Role, answers: bool) -> &'static [Hook] {
    match (role, answers) {
        (Role::Wan, _) | (Role::Lan, true) => &Hook::ALL,
        (Role::Lan, false) => &[Hook::Ingress],
    }
}

/// All attachments of these interfaces, those of one interface together. Answers are
/// recorded only if `flows` are and an interface has the role `wan`: without one, only
/// packets `out` are examined.
pub(super) fn attachments(interfaces: &[Filtered], flows: bool) -> Vec<(HookPoint, Role)> {
    let answers = flows && interfaces.iter().any(|other| other.role == Role::Wan);
    let each = interfaces.iter().flat_map(|interface| {
        let hooks = hooks(interface.role, answers).iter();
        hooks.map(|hook| (HookPoint::new(&interface.name, *hook), interface.role))
    });
    each.collect()
}

/// An interface that exists, at one of its hooks.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) at: HookPoint,
    pub(super) interface: Interface,
    pub(super) role: Role,
}

impl Place {
    pub(super) const fn instance(&self) -> Instance {
        self.at.instance(self.role)
    }

    /// Direction of the slot whose counters the program uses. The program that records
    /// answers counts no packet, and uses the number of its interface's slot.
    pub(super) const fn slot_direction(&self) -> Direction {
        match self.role {
            Role::Lan => Direction::Out,
            Role::Wan => self.instance().direction,
        }
    }

    /// How the program of this link is attached, as far as link and interface show it. `frags`
    /// is what the program to attach needs.
    pub(super) fn found(&self, link: &Link, frags: bool) -> Option<Attachment> {
        let mode = match (self.at.hook, link) {
            (Hook::Ingress, _) => self.interface.mode?,
            (Hook::Egress, Link::Bpf(_)) => Mode::Tcx,
            (Hook::Egress, Link::Clsact(_)) => Mode::Clsact,
        };
        Some(Attachment { mode, frags })
    }

    /// True if the program counts packets of the interface.
    pub(super) const fn counts(&self) -> bool {
        matches!(
            (self.role, self.at.hook),
            (Role::Wan, _) | (_, Hook::Ingress)
        )
    }
}
