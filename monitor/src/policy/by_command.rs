//! Changes that commands made to one policy, on top of its files.

use jiff::Timestamp;

use super::{device::Device, scope::Scope};

/// Changes that commands made to one policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ByCommand {
    /// The command that created the policy; `None` if a file defines the
    /// policy.
    pub(super) made_by: Option<String>,
    /// True if the end of the policy can be trusted: the clock is synchronised,
    /// the end is measured from the start of the machine, or there is no end.
    pub(super) end_is_measured: bool,
    pub(super) pauses: Vec<Pause>,
}

/// A time during which a policy has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Devices that the pause applies to, sorted; empty: every device.
    pub devices: Vec<Device>,
    /// The devices as the operator typed them.
    pub device: Option<String>,
    /// End of the pause.
    pub until: Timestamp,
    /// The operator's reason.
    pub reason: Option<String>,
    /// `file:line` of the entry in the runtime overlay file.
    pub source: String,
}

impl ByCommand {
    /// The latest end of all pauses that apply to every device; `None` if there
    /// is none at `at`.
    pub(super) fn paused_until(&self, at: Timestamp) -> Option<Timestamp> {
        let whole = self.pauses.iter().filter(|pause| pause.devices.is_empty());
        whole.map(|pause| pause.until).filter(|end| *end > at).max()
    }

    /// `scope` with the paused devices as exceptions; `None` if no device is
    /// paused at `at`.
    pub(super) fn narrowed(&self, scope: &Scope, at: Timestamp) -> Option<Scope> {
        let standing = self.pauses.iter().filter(|pause| pause.until > at);
        let mut excepted: Vec<Device> = standing.flat_map(|pause| pause.devices.clone()).collect();
        if excepted.is_empty() {
            return None;
        }
        excepted.extend(scope.except_devices.iter().cloned());
        excepted.sort_unstable();
        excepted.dedup();
        Some(Scope {
            except_devices: excepted,
            ..scope.clone()
        })
    }
}
