//! Decides which program an interface gets in a new generation.

use super::{
    Error, Filter,
    attach::{FragsChoice, ModeChoice},
    generation::PlannedInterface,
    interfaces::Interface,
    swap::Request,
};
use crate::snapshot::Mode;

/// MTU of Ethernet. Frames of it fit into one buffer of every driver.
const ETHERNET_MTU: u32 = 1500;

impl Filter {
    /// Decides which program an interface gets. A link keeps its `frags`, unless the operator
    /// asks for another.
    pub(super) fn planned(
        &mut self,
        request: &Request<'_>,
        interface: &Interface,
    ) -> Result<PlannedInterface, Error> {
        let name = &interface.name;
        let slot = self.state.interfaces.assign(name)?;
        let is_linked = self.pins.linked_interfaces()?.contains(name);
        let held = if is_linked && interface.program.is_some() {
            self.recorded(name)?
        } else {
            None
        };
        let frags = match request.frags {
            FragsChoice::Only(frags) => frags,
            FragsChoice::Auto => held.is_some_and(|held| held.frags),
        };
        if request.deadline.is_some() && held.is_some_and(|held| held.frags != frags) {
            return Err(Error::FragsInTrial {
                interface: name.clone(),
            });
        }
        let is_new = request.frags == FragsChoice::Auto && held.is_none();
        let may_be_native = request.mode != ModeChoice::Only(Mode::Generic);
        Ok(PlannedInterface {
            name: name.clone(),
            slot,
            frags,
            may_need_frags: is_new && may_be_native && interface.mtu > ETHERNET_MTU,
        })
    }
}
