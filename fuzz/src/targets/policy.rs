//! Policy files and overlays.

use std::{
    hint::black_box,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use monitor::{
    address::{Address, Derivation, Embedding, Network},
    compile::{Ruleset, SortedPrefixes},
    explain::explain,
    guard::{Gateway, LanInterface},
    lists::{FeedUrl, OwnNetwork},
    pipeline::{Compiled, compile_files},
    policy::{Diagnostics, Files, Moment, Packet, RuntimeOverlay},
    printable::acts,
    regular_file::Purpose,
};

use super::NOW;

/// The number of prefixes of a ruleset that are looked up.
const PREFIXES: usize = 64;

/// A policy file. A zero byte may separate it from an overlay, and another zero byte the
/// overlay from the content of all lists.
pub fn policy(bytes: &[u8]) {
    let texts = Texts::new(bytes);
    let runtime = RuntimeOverlay::default();
    let compiled = compile_files(
        &texts.paths(),
        &texts,
        &runtime,
        &Moment::given(NOW),
        &GATEWAY,
    );
    let errors = compiled.diagnostics.has_errors();
    assert_eq!(compiled.ruleset.is_none(), errors);
    let shown = compiled.diagnostics.render(false);
    assert!(!errors || !shown.is_empty(), "an error without a message");
    let acting = |c: char| acts(c) && c != '\n' && c != '\t';
    assert!(!shown.contains(acting), "a control character: {shown:?}");
    if let Some(ruleset) = &compiled.ruleset {
        agrees_with_explain(ruleset, &compiled);
    }
}

/// Compares the matches in the compiled ruleset with those of `explain`.
fn agrees_with_explain(ruleset: &Ruleset, compiled: &Compiled) {
    black_box(ruleset.content_hash());
    let ipv4 = addresses(&ruleset.ipv4).map(IpAddr::V4);
    let ipv6 = addresses(&ruleset.ipv6).map(IpAddr::V6);
    for address in ipv4.chain(ipv6) {
        let named = |index: &u16| ruleset.policies[usize::from(*index)].name.as_str();
        let mut found: Vec<&str> = ruleset.lookup(address).iter().map(named).collect();
        let explanation = explain(
            &compiled.policies,
            &GATEWAY.derivation,
            address,
            &Packet::default(),
        );
        let matches = explanation.matches.iter();
        let mut expected: Vec<&str> = matches.map(|found| found.policy.as_str()).collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{address}");
    }
}

fn addresses<A: Address>(prefixes: &SortedPrefixes<A>) -> impl Iterator<Item = A> {
    let sorted = prefixes
        .iter()
        .is_sorted_by_key(|prefix| (prefix.address, prefix.length));
    assert!(sorted, "the prefixes are not sorted");
    prefixes.iter().take(PREFIXES).map(|prefix| prefix.address)
}

/// A gateway with one interface, a resolver, and prefixes for derived addresses.
pub(crate) static GATEWAY: LazyLock<Gateway> = LazyLock::new(|| {
    let address = IpAddr::from([192, 168, 50, 1]);
    Gateway {
        interfaces: vec![LanInterface {
            name: "wlan0".to_owned(),
            addresses: vec![address],
        }],
        resolvers: vec![IpAddr::from([192, 0, 2, 53])],
        dhcp: Vec::new(),
        next_hops: Vec::new(),
        wan: monitor::guard::WanSide::default(),
        networks: vec![OwnNetwork {
            address,
            length: 24,
        }],
        derivation: Derivation::with(own_nat64()),
    }
});

/// Overlapping prefixes, because overlapping derived prefixes are compiled in a special way.
fn own_nat64() -> impl Iterator<Item = Embedding> {
    [("2001:db8::", 32), ("2001:db8:64::", 96)]
        .into_iter()
        .filter_map(|(text, length)| {
            let prefix = Network::new(text.parse().ok()?, length)?;
            Embedding::nat64(prefix).ok()
        })
}

/// Errors and warnings of a policy whose feed has the content `list`.
pub(crate) fn diagnostics_with(list: &[u8]) -> Diagnostics {
    const POLICY: &[u8] = b"version: 1\npolicies:\n  - name: p\n    action: drop\n    destinations:\n      - {list: \"https://lists.example.net/a\"}\n      - {list: \"https://lists.example.net/b\", on_bad_line: skip}\n";
    let texts = Texts {
        policies: POLICY,
        overlay: None,
        list,
    };
    let runtime = RuntimeOverlay::default();
    let moment = Moment::given(NOW);
    compile_files(&texts.paths(), &texts, &runtime, &moment, &GATEWAY).diagnostics
}

/// Policy files in memory.
struct Texts<'a> {
    policies: &'a [u8],
    overlay: Option<&'a [u8]>,
    list: &'a [u8],
}

impl<'a> Texts<'a> {
    const POLICIES: &'static str = "policies.yaml";
    const OVERLAY: &'static str = "policies.local.yaml";
    const LIST: &'static [u8] = b"198.51.100.0/24\n2001:db8:bad::/48\n";

    fn new(bytes: &'a [u8]) -> Self {
        let mut parts = bytes.splitn(3, |byte| *byte == 0);
        Self {
            policies: parts.next().unwrap_or_default(),
            overlay: parts.next(),
            list: parts.next().unwrap_or(Self::LIST),
        }
    }

    fn paths(&self) -> Vec<PathBuf> {
        let overlay = self.overlay.map(|_| Self::OVERLAY.into());
        [Self::POLICIES.into()].into_iter().chain(overlay).collect()
    }
}

impl Files for Texts<'_> {
    fn read(&self, path: &Path, _: Purpose) -> io::Result<Vec<u8>> {
        let text = match (path.to_str(), self.overlay) {
            (Some(Self::POLICIES), _) => self.policies,
            (Some(Self::OVERLAY), Some(overlay)) => overlay,
            _ => self.list,
        };
        Ok(text.to_vec())
    }

    fn is_directory(&self, _: &Path) -> bool {
        false
    }

    fn list(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn feed(&self, _: &FeedUrl) -> io::Result<Option<Vec<u8>>> {
        Ok(Some(self.list.to_vec()))
    }
}
