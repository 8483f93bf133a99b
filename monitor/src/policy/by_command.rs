//! What commands ask of one policy, on top of its files.

use jiff::Timestamp;

use super::{device::Device, scope::Scope};

/// What commands ask of one policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ByCommand {
    /// The command that wrote the policy, where no file did.
    pub(super) made_by: Option<String>,
    /// Its end does not hang on the clock being right.
    pub(super) end_is_measured: bool,
    pub(super) pauses: Vec<Pause>,
}

/// A policy does nothing for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// For these, sorted; empty: for every device.
    pub devices: Vec<Device>,
    /// How the operator named them.
    pub device: Option<String>,
    /// Until then.
    pub until: Timestamp,
    /// Why, in the operator's words.
    pub reason: Option<String>,
    /// `file:line` where it is kept.
    pub source: String,
}

impl ByCommand {
    /// When the last of the pauses for every device ends.
    pub(super) fn paused_until(&self, at: Timestamp) -> Option<Timestamp> {
        let whole = self.pauses.iter().filter(|pause| pause.devices.is_empty());
        whole.map(|pause| pause.until).filter(|end| *end > at).max()
    }

    /// `scope` without the devices that it is paused for, where there are any.
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
