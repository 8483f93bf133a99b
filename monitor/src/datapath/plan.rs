//! Decides which program an interface gets in a new generation.

use super::{
    Error, Filter,
    attach::{FragsChoice, ModeChoice},
    generation::PlannedInstance,
    hook::{Hook, Place},
    swap::Request,
};
use crate::snapshot::Mode;

/// MTU of Ethernet. Frames of it fit into one buffer of every driver.
const ETHERNET_MTU: u32 = 1500;

impl Filter {
    /// Decides which program a hook of an interface gets. A link keeps its `frags`, unless the
    /// operator asks for another.
    pub(super) fn planned(
        &mut self,
        request: &Request<'_>,
        place: &Place,
    ) -> Result<PlannedInstance, Error> {
        let Place { at, interface, .. } = place;
        let slot = self
            .state
            .interfaces
            .assign(&at.interface, place.slot_direction())?;
        let mut planned = PlannedInstance {
            at: at.clone(),
            slot,
            examines: place.instance(),
            frags: false,
            may_need_frags: false,
        };
        if at.hook == Hook::Egress {
            // A classifier sees the whole packet.
            return Ok(planned);
        }
        let is_linked = self.pins.linked()?.contains(at);
        let held = if is_linked && interface.program.is_some() {
            self.recorded(at)?
        } else {
            None
        };
        planned.frags = match request.frags {
            FragsChoice::Only(frags) => frags,
            FragsChoice::Auto => held.is_some_and(|held| held.frags),
        };
        if request.deadline.is_some() && held.is_some_and(|held| held.frags != planned.frags) {
            return Err(Error::FragsInTrial {
                interface: at.interface.clone(),
            });
        }
        let is_new = request.frags == FragsChoice::Auto && held.is_none();
        let may_be_native = request.mode != ModeChoice::Only(Mode::Generic);
        planned.may_need_frags = is_new && may_be_native && interface.mtu > ETHERNET_MTU;
        Ok(planned)
    }
}
