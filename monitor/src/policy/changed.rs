//! What an overlay changed in a policy.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Action, Risk, destinations::Destinations, diagnostic::SourcePlace};

/// What an overlay changed in a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    pub(super) place: SourcePlace,
    /// The action in the policy's own file, if the overlay sets another one.
    pub(super) previous_action: Option<Action>,
    pub(super) enabled: Option<bool>,
    pub(super) exceptions: usize,
    /// Where the overlay sets the action.
    pub(super) action_place: Option<SourcePlace>,
    /// Risks that the overlay accepts.
    pub(super) accepted: Vec<Risk>,
    pub(super) reason: Option<String>,
    /// IPv4 destinations that the overlay's exceptions removed from the policy.
    pub(super) ipv4: Destinations<Ipv4Addr>,
    pub(super) ipv6: Destinations<Ipv6Addr>,
}

impl Override {
    /// Where the overlay names the policy.
    #[must_use]
    pub fn place(&self) -> &SourcePlace {
        &self.place
    }

    /// `file:line` of [`Self::place`].
    #[must_use]
    pub fn source(&self) -> String {
        let file = crate::printable::path(self.place.file());
        match self.place.line() {
            Some(line) => format!("{file}:{line}"),
            None => file.to_string(),
        }
    }

    /// Where the overlay sets the action, if it does.
    #[must_use]
    pub fn action_place(&self) -> Option<&SourcePlace> {
        self.action_place.as_ref()
    }

    /// The operator's reason for the change.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Describes the changes in words; `action` is the action of the policy
    /// now.
    #[must_use]
    pub fn changes(&self, action: Action) -> String {
        let mut parts = Vec::new();
        parts.extend(
            self.previous_action
                .map(|previous| format!("action {action}, was {previous}")),
        );
        parts.extend(self.enabled.map(|enabled| {
            let text = if enabled { "enabled" } else { "disabled" };
            text.to_owned()
        }));
        match self.exceptions {
            0 => {}
            1 => parts.push("1 exception".to_owned()),
            count => parts.push(format!("{count} exceptions")),
        }
        if !self.accepted.is_empty() {
            let names: Vec<&str> = self.accepted.iter().map(|risk| risk.name()).collect();
            parts.push(format!("accepts the risk {}", names.join(", ")));
        }
        if parts.is_empty() {
            return "nothing that was not so before".to_owned();
        }
        parts.join(", ")
    }
}
