//! The names of devices, for a verb without a daemon.

use std::collections::BTreeMap;

use monitor::{
    config::Settings,
    device_book::DeviceBook,
    device_names::{NoDevice, macs_of},
    feeds::DiskAndFeeds,
    policy::{DeviceNames, MacAddress, Policy, load_for},
};

/// What the files of the operator say about devices.
pub(super) struct Names {
    pub(super) policies: Vec<Policy>,
    pub(super) book: DeviceBook,
    /// Messages about the files.
    pub(super) warnings: Vec<String>,
    devices: DeviceNames,
    by_mac: BTreeMap<MacAddress, String>,
}

impl Names {
    /// Reads the policies and the files about devices.
    pub(super) fn read(settings: &Settings) -> Self {
        let files = DiskAndFeeds::new(&settings.state_dir);
        let loaded = load_for(&settings.policies, &files, &[]);
        let (book, warnings) = DeviceBook::read(&settings.device_files);
        Self {
            policies: loaded.policies,
            book,
            warnings,
            by_mac: settings.with_own_name(loaded.devices.by_mac()),
            devices: loaded.devices,
        }
    }

    /// The MACs that a text means.
    pub(super) fn macs_of(&self, text: &str) -> Result<Vec<MacAddress>, NoDevice> {
        macs_of(text, &self.devices, &self.book)
    }

    /// The names in the policies, and of the gateway itself.
    pub(super) fn by_mac(&self) -> &BTreeMap<MacAddress, String> {
        &self.by_mac
    }
}
