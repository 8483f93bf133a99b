//! What the page shows: contacts, devices, policies and findings. The store, the book of devices
//! and the policies in force answer.

mod change;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use jiff::{Timestamp, tz::TimeZone};

pub use change::{DiffLine, LastChange, last_change};

use crate::{
    control::StandingChange,
    doctor::Diagnosis,
    evidence::{Claim, DeviceHead, DeviceView, NameSource, absence::AbsenceView},
    explain::Explanation,
    policy::{Action, MacAddress},
    report::StatedPolicy,
    store::{ContactList, DeviceTimes, EncryptedDns, Hit, ListedContact, TimeSlots, Verdict},
};

/// The most slots of a time chart.
pub const SLOTS: u32 = 100;

/// The most slots of the small chart of a device in a list.
pub const SMALL_SLOTS: u32 = 30;

/// The most names in the answer for one policy.
pub const MOST_NAMES: usize = 14;

/// Answers the questions of the page. Every call may block.
pub trait PageFacts: Send + Sync {
    /// The time, and the time zone of the gateway.
    fn moment(&self) -> (Timestamp, TimeZone);

    /// The contacts that a question selects, with a time chart.
    ///
    /// # Errors
    ///
    /// Returns why there is no answer, as text.
    fn contacts(&self, asked: &AskedContacts) -> Result<Contacts, String>;

    /// The devices that a question selects, the latest first.
    ///
    /// # Errors
    ///
    /// Returns why there is no answer, as text.
    fn devices(&self, asked: &AskedDevices) -> Result<Devices, String>;

    /// What is known about a device.
    ///
    /// # Errors
    ///
    /// Returns why there is no answer, as text.
    fn device(&self, mac: MacAddress) -> Result<DeviceFacts, String>;

    /// The contacts of a device with a destination since a time, and why the filter decides
    /// as it does.
    ///
    /// # Errors
    ///
    /// Returns why there is no answer, as text.
    fn contact(
        &self,
        mac: MacAddress,
        to: IpAddr,
        since: Timestamp,
    ) -> Result<ContactFacts, String>;

    /// The policies in force, sorted by name. Empty if the daemon does not know them.
    fn policies(&self) -> Vec<PolicyFacts>;

    /// What the policies that only count would have dropped since a time, as it was counted a
    /// short time ago. `None`: it is being counted for the first time.
    ///
    /// # Errors
    ///
    /// Returns why there is no answer, as text.
    fn hits(&self, since: Timestamp) -> Result<Option<Arc<Hits>>, String>;

    /// A number that changes when something is ready for which a page did not wait: new
    /// [`PageFacts::hits`], or packets in the store.
    fn late(&self) -> u64;

    /// True if pages did not wait until the latest packets were in the store.
    fn is_behind(&self) -> bool;

    /// What the last change of the policies changed; `None` if the store knows no change.
    ///
    /// # Errors
    ///
    /// Returns why there is no answer, as text.
    fn last_change(&self) -> Result<Option<LastChange>, String>;

    /// The last findings of the daemon's checks; `None` before the first look.
    fn diagnosis(&self) -> Option<Diagnosis>;

    /// The changes by commands that are in force.
    fn standing(&self) -> Vec<StandingChange>;
}

/// Which contacts to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedContacts {
    /// Begin and end of the time chart.
    pub chart: (Timestamp, Timestamp),
    /// False if no time chart is needed.
    pub has_chart: bool,
    /// Begin and end of the list; `None`: those of the chart.
    pub list: Option<(Timestamp, Timestamp)>,
    /// A MAC or a name of a device.
    pub device: Option<String>,
    /// Name of a policy.
    pub policy: Option<String>,
    /// An address, a network, a range, or part of a name.
    pub to: Option<String>,
    /// Only contacts with packets of this verdict.
    pub verdict: Option<Verdict>,
    /// Number of contacts to leave out at the begin.
    pub skip: usize,
    /// The most contacts.
    pub limit: usize,
}

/// The answer to [`AskedContacts`].
#[derive(Clone, Debug, Default)]
pub struct Contacts {
    /// The list.
    pub list: ContactList,
    /// Packets by time.
    pub chart: TimeSlots,
    /// Name and vendor of the devices in the list.
    pub heads: BTreeMap<MacAddress, DeviceHead>,
    /// Number of contacts in the store.
    pub stored: u64,
    /// Number of devices in the store.
    pub devices: u64,
    /// Time of the oldest packets in the store.
    pub oldest: Option<Timestamp>,
}

/// Which devices to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedDevices {
    /// Begin and end of the small time charts. Devices that were not seen since the begin
    /// are left out.
    pub period: (Timestamp, Timestamp),
    /// Only devices whose MAC, name or vendor contains the text.
    pub text: Option<String>,
    /// Number of devices to leave out at the begin.
    pub skip: usize,
    /// The most devices.
    pub limit: usize,
}

/// The answer to [`AskedDevices`].
#[derive(Clone, Debug, Default)]
pub struct Devices {
    /// The devices, the latest first.
    pub rows: Vec<DeviceRow>,
    /// Number of all devices that the question selects.
    pub all: usize,
}

/// A device in a list.
#[derive(Clone, Debug)]
pub struct DeviceRow {
    /// Name and vendor.
    pub head: DeviceHead,
    /// When it was seen.
    pub times: DeviceTimes,
    /// Its packets in the period.
    pub slots: TimeSlots,
}

/// What is known about a device.
#[derive(Clone, Debug, Default)]
pub struct DeviceFacts {
    /// Names, vendor, addresses and models.
    pub view: DeviceView,
    /// The policies that can apply to the device. Policies that name the device come first.
    pub rules: Vec<Rule>,
    /// Encrypted DNS that it uses.
    pub encrypted: Vec<EncryptedDns>,
}

/// A policy that can apply to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Name of the policy.
    pub policy: String,
    /// Its action now.
    pub action: Action,
    /// `file:line`, or the command that made it, in backquotes.
    pub source: String,
    /// True if the policy is for some devices only.
    pub is_own: bool,
    /// What it also depends on.
    pub condition: Option<String>,
    /// Why it has no effect now, and until when.
    pub rest: Option<(String, Option<Timestamp>)>,
    /// End of the policy.
    pub expires: Option<Timestamp>,
}

/// The contacts of a device with one destination.
#[derive(Clone, Debug)]
pub struct ContactFacts {
    /// The device.
    pub head: DeviceHead,
    /// One entry for each service.
    pub contacts: Vec<ListedContact>,
    /// What the policies in force decide, for each service; without a contact, for any.
    pub why: Vec<(Option<String>, Explanation)>,
    /// Why the destination has no name; `None` if it has one.
    pub absence: Option<AbsenceView>,
    /// Other devices that contacted the destination, with their packets.
    pub others: Vec<(DeviceHead, u64)>,
}

/// A policy in force.
#[derive(Clone, Debug)]
pub struct PolicyFacts {
    /// The policy as a report states it.
    pub stated: StatedPolicy,
    /// Its action now.
    pub action: Action,
    /// `file:line`, or the command that made it, in backquotes.
    pub source: String,
    /// True if its file enables it.
    pub enabled: bool,
    /// Why it has no effect now, and until when.
    pub rest: Option<(String, Option<Timestamp>)>,
}

/// What the policies that only count would have dropped.
#[derive(Clone, Debug, Default)]
pub struct Hits {
    /// When they were counted.
    pub at: Timestamp,
    /// By name of the policy. A policy that matched nothing has no entry.
    pub by_policy: BTreeMap<String, Hit>,
    /// Name and vendor of the devices.
    pub heads: BTreeMap<MacAddress, DeviceHead>,
}

/// Returns the name that says most about a destination.
#[must_use]
pub fn best_name(claims: &[Claim]) -> Option<&Claim> {
    NameSource::BEST_FIRST.into_iter().find_map(|source| {
        let own = claims.iter().filter(|claim| claim.source == source);
        own.max_by_key(|claim| claim.last)
    })
}
