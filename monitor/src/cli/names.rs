//! The names of devices, for a verb without a daemon.

use std::{collections::BTreeMap, sync::Arc};

use monitor::{
    config::Settings,
    device_book::DeviceBook,
    device_names::{NoDevice, macs_of},
    feeds::DiskAndFeeds,
    policy::{DeviceNames, MacAddress, Policies, load_for},
};

/// What the files of the operator say about devices.
pub(super) struct Names {
    pub(super) policies: Policies,
    pub(super) book: DeviceBook,
    /// Messages about the files.
    pub(super) warnings: Vec<String>,
}

impl Names {
    /// Reads the policies and the files about devices.
    pub(super) fn read(settings: &Settings) -> Self {
        let files = DiskAndFeeds::new(&settings.state_dir);
        let policies = load_for(&settings.policies, &files, &[]).policies;
        let (book, warnings) = DeviceBook::read(&settings.device_files);
        Self {
            policies,
            book,
            warnings,
        }
    }

    /// The MACs that a text means.
    pub(super) fn macs_of(&self, text: &str) -> Result<Vec<MacAddress>, NoDevice> {
        let names: &Arc<DeviceNames> = &self.policies.devices;
        macs_of(text, names, &self.book)
    }

    /// The names of the policies.
    pub(super) fn by_mac(&self) -> BTreeMap<MacAddress, String> {
        self.policies.devices.by_mac()
    }
}
