//! Real data that is stored beside the project, and the results of two other
//! readers for its captures.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use monitor::policy::{Action, MacAddress};
use serde::Deserialize;

use super::reference::{Change, Entry, Policy};
use super::scope::Scope;

/// The directory of the data: `MONITOR_TEST_DATA`, or a directory beside the
/// workspace. Without the data, tests are skipped, except in continuous
/// integration.
pub(crate) fn folder() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = env::var_os("MONITOR_TEST_DATA").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    let folder = folder.display();
    assert!(
        env::var("CI").as_deref() != Ok("true"),
        "no test data in {folder}: set MONITOR_TEST_DATA"
    );
    eprintln!("skipped: no test data in {folder}, set MONITOR_TEST_DATA");
    None
}

/// The content of `captures/expected.json`.
#[derive(Debug, Deserialize)]
struct Expectations {
    files: Vec<Expected>,
}

/// The expected results for one capture.
#[derive(Debug, Deserialize)]
pub(crate) struct Expected {
    /// File name in `captures/`.
    pub(crate) file: String,
    /// Link type of each interface.
    #[serde(rename = "linktype")]
    pub(crate) link_types: Vec<u16>,
    pub(crate) packets: u64,
    /// Number of packets of which only the beginning was captured.
    pub(crate) snap_truncated: u64,
    pub(crate) outer_v4: u64,
    pub(crate) outer_v6: u64,
    pub(crate) other: u64,
    /// Number of packets whose destination is in the lists of [`cn_policy`].
    pub(crate) cn_dst_pkts: u64,
    /// Number of bytes of these packets on the wire.
    pub(crate) cn_dst_bytes: u64,
    /// Source MACs that sent IP packets.
    pub(crate) devices: BTreeMap<MacAddress, ExpectedDevice>,
    pub(crate) n_src_macs: usize,
}

/// The expected results for one source MAC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct ExpectedDevice {
    pub(crate) ip_pkts: u64,
    pub(crate) cn_pkts: u64,
    pub(crate) cn_bytes: u64,
}

impl Expected {
    pub(crate) fn path(&self, folder: &Path) -> PathBuf {
        folder.join("captures").join(&self.file)
    }

    pub(crate) fn is_ethernet(&self) -> bool {
        self.link_types == [1]
    }
}

/// The expected results for all captures, in the order of `expected.json`.
pub(crate) fn expectations(folder: &Path) -> Vec<Expected> {
    let text = read(&folder.join("captures/expected.json"));
    let expectations: Expectations = serde_json::from_str(&text).unwrap();
    assert!(!expectations.files.is_empty());
    expectations.files
}

/// The lists from which `expected.json` was computed.
pub(crate) const CN_LISTS: [&str; 2] = ["ranges/cn-v4.rir-ip.txt", "ranges/cn-v6.rir-ip.txt"];

/// A policy with both lists.
pub(crate) fn cn_policy(folder: &Path, action: Action) -> Policy {
    let entries = CN_LISTS.iter().flat_map(|list| {
        let text = read(&folder.join(list));
        let lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let entry = |line: &str| Entry {
            block: line.parse().unwrap(),
            except: Vec::new(),
        };
        lines.map(entry).collect::<Vec<_>>()
    });
    Policy {
        derive: Some(&[]),
        allow_handshake: false,
        name: "cn".to_owned(),
        action,
        entries: entries.collect(),
        scope: Scope::default(),
        change: Change::default(),
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
