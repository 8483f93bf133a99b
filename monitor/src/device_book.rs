//! What is known about devices at this moment: from frames, neighbour table and leases, in
//! memory, and from the operator's files.

use crate::{
    config::DeviceFileSettings,
    device_files::DeviceFiles,
    devices::{
        names::{Name, NamesFile},
        oui::Vendors,
    },
    evidence::{
        DeviceHead, POLICIES,
        identity::{Identities, Stated},
    },
    policy::MacAddress,
};

/// What is known about devices.
#[derive(Debug, Default)]
pub struct DeviceBook {
    /// Addresses, host names and models in memory.
    pub identities: Identities,
    vendors: Vendors,
    names: NamesFile,
    stated: Stated,
}

impl DeviceBook {
    /// A book with the operator's statements, and nothing else.
    #[must_use]
    pub fn new(settings: &DeviceFileSettings) -> Self {
        Self {
            stated: settings.same.clone(),
            ..Self::default()
        }
    }

    /// A book with the operator's statements, vendors and names, for a verb without a
    /// daemon. Returns it with the messages for the operator.
    #[must_use]
    pub fn read(settings: &DeviceFileSettings) -> (Self, Vec<String>) {
        let mut files = DeviceFiles::new(settings, &[]);
        let mut book = Self::new(settings);
        book.update(files.vendors(), files.names());
        (book, files.take_warnings())
    }

    /// Replaces vendors and names that were read anew.
    pub fn update(&mut self, vendors: Option<Vendors>, names: Option<NamesFile>) {
        if let Some(vendors) = vendors {
            self.vendors = vendors;
        }
        if let Some(names) = names {
            self.names = names;
        }
    }

    /// Returns the name that the operator's file gives to a MAC.
    #[must_use]
    pub fn name(&self, mac: MacAddress) -> Option<&Name> {
        self.names.names.get(&mac)
    }

    /// Returns the MACs to which the operator's file gives this name, sorted.
    #[must_use]
    pub fn macs(&self, name: &str) -> Vec<MacAddress> {
        let known = self.names.names.iter();
        let same = known.filter(|(_, known)| known.text == name);
        same.map(|(mac, _)| *mac).collect()
    }

    /// Returns name and vendor of a device. `policy_name` is its name in the policies,
    /// `host_name` its latest host name, with its source. The operator's names come first.
    #[must_use]
    pub fn head(
        &self,
        mac: MacAddress,
        policy_name: Option<&str>,
        host_name: Option<(&str, &'static str)>,
    ) -> DeviceHead {
        let file_name = self.name(mac);
        let file_name = file_name.map(|name| (name.text.as_str(), name.source.word()));
        let policy_name = policy_name.map(|name| (name, POLICIES));
        let name = policy_name.or(file_name).or(host_name);
        DeviceHead::new(mac, self.vendors.owner(mac), name, &self.stated.others(mac))
    }
}
