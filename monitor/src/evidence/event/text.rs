//! Events as lines for people.

use std::fmt;

use super::{EventView, Happening};
use crate::clock::to_the_second;

/// One line: time, device, what happened.
impl fmt::Display for EventView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  ", self.at)?;
        if let Some(device) = self.device {
            write!(f, "{device}  ")?;
        }
        self.what.fmt(f)?;
        if let Happening::Mark(mark) = &self.what
            && let Ok(at) = self.at.parse()
            && let Some(set) = mark.set_at_another_time(at)
        {
            write!(f, ", set at {}", to_the_second(set))?;
        }
        Ok(())
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstContact(contact) => {
                let policies = contact.policies.iter().map(ToString::to_string);
                let policies = policies.collect::<Vec<_>>().join(", ");
                let service = service(&contact.protocol, contact.port);
                let destination = contact.destination;
                write!(f, "first contact with {destination} {service} ({policies})")?;
                match (contact.dropped, contact.packets) {
                    (0, _) => Ok(()),
                    (dropped, all) if dropped == all => write!(f, ", dropped"),
                    (dropped, all) => write!(f, ", {dropped} of {all} packets dropped"),
                }
            }
            Self::Name(named) => {
                let service = service(&named.protocol, Some(named.port).filter(|port| *port > 0));
                let destination = named.destination;
                write!(
                    f,
                    "{} {} for {destination} {service}",
                    named.how, named.name
                )?;
                match named.from {
                    Some(server) => write!(f, " by {server}"),
                    None => Ok(()),
                }
            }
            Self::Loss { reason, packets } => match reason.as_str() {
                "killed" => f.write_str(
                    "the daemon before was killed: names of its last seconds may be missing",
                ),
                "damaged" => f.write_str("the store was damaged, and a new one begins"),
                _ => write!(f, "lost: {packets} {reason}"),
            },
            Self::Generation {
                generation,
                ruleset,
            } => write!(f, "generation {generation} is in force, ruleset {ruleset}"),
            Self::Removed {
                reason,
                rows,
                until,
            } => {
                write!(f, "the store removed its {rows} oldest rows ({reason})")?;
                match until {
                    Some(until) => write!(f, ", up to {until}"),
                    None => Ok(()),
                }
            }
            Self::Mark(mark) => mark.fmt(f),
            Self::CaptureBegin(begun) => write!(f, "{begun} begins, until {}", begun.ends),
            Self::Capture(captured) => captured.fmt(f),
            Self::Published(published) => published.fmt(f),
            Self::Doctor(noted) => noted.fmt(f),
            Self::Page(event) => write!(f, "page: {}", event.sentence()),
            Self::CaptureNotFinished(begun) => write!(
                f,
                "{begun} was not finished: the daemon was killed before its end, so its packets are not known"
            ),
            Self::Attached { interface, mode } => {
                write!(f, "the filter is attached to {interface} ({mode} mode)")
            }
        }
    }
}

fn service(protocol: &str, port: Option<u16>) -> String {
    match port {
        Some(port) => format!("{protocol}/{port}"),
        None => protocol.to_owned(),
    }
}
