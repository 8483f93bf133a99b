//! One function for each kind of bytes. They return where the bytes are
//! refused, and panic where what was read cannot be true.

#![expect(
    clippy::missing_panics_doc,
    reason = "a broken promise is what they look for"
)]

use std::{
    hint::black_box,
    io::{self, Cursor, Read},
    net::IpAddr,
    ops::Range,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use jiff::Timestamp;
use monitor::{
    address::{Address, Derivation, Embedding, Interval, Network},
    capture::{Capture, Frame},
    compile::{Compiled, Prefix, Ruleset, compile_files},
    config::Options,
    control::{Answer, Request},
    datapath::decode,
    error_text::error_text,
    explain::explain,
    feeds::{Entry, difference, judge},
    guard::{Gateway, LanInterface},
    lists::{
        FeedReading, FeedUrl, Format, Key, List, OwnNetwork, Reserved, Selection, is_database,
        list_text, read, read_database, recognise, unpack,
    },
    policy::{
        Diagnostics, Feed, Files, Moment, Packet, Policy, ReservedRule, RuntimeOverlay, Share,
    },
    printable::acts,
    regular_file::Purpose,
    state_dir::{ArchiveWriter, Edges, archived_files, parse_runtime, runtime_text},
};
use monitor_common::{InterfaceRecord, PolicyRecord};
use netlink_packet_route::RouteNetlinkMessage;

/// When everything is tried: 2026-07-01, a Wednesday.
const NOW: Timestamp = Timestamp::constant(1_782_907_200, 0);

/// Looked up in each ruleset; the others would only take longer.
const PREFIXES: usize = 64;

/// A policy file; behind a zero byte perhaps an overlay, behind another what
/// every list holds.
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
    assert!(!errors || !shown.is_empty(), "an error without a word");
    let acting = |c: char| acts(c) && c != '\n' && c != '\t';
    assert!(!shown.contains(acting), "a control: {shown:?}");
    if let Some(ruleset) = &compiled.ruleset {
        agrees_with_explain(ruleset, &compiled);
    }
}

/// What the compiler made of the policies and what `explain` reads in them.
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

fn addresses<A: Address>(prefixes: &[Prefix<A>]) -> impl Iterator<Item = A> {
    let sorted = prefixes.is_sorted_by_key(|prefix| (prefix.address, prefix.length));
    assert!(sorted, "the prefixes are not sorted");
    prefixes.iter().take(PREFIXES).map(|prefix| prefix.address)
}

pub(crate) static GATEWAY: LazyLock<Gateway> = LazyLock::new(|| {
    let address = IpAddr::from([192, 168, 50, 1]);
    Gateway {
        interfaces: vec![LanInterface {
            name: "wlan0".to_owned(),
            addresses: vec![address],
        }],
        resolvers: vec![IpAddr::from([192, 0, 2, 53])],
        dhcp: Vec::new(),
        networks: vec![OwnNetwork {
            address,
            length: 24,
        }],
        derivation: Derivation::with(own_nat64()),
    }
});

/// Prefixes that overlap: what derives from them is compiled in another way.
fn own_nat64() -> impl Iterator<Item = Embedding> {
    [("2001:db8::", 32), ("2001:db8:64::", 96)]
        .into_iter()
        .filter_map(|(text, length)| {
            let prefix = Network::new(text.parse().ok()?, length)?;
            Embedding::nat64(prefix).ok()
        })
}

/// What is told of a policy whose feed holds `list`.
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

/// Files in memory.
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

/// A list in text, read by every reader.
pub fn list(bytes: &[u8]) {
    let Ok(bytes) = unpack(bytes.to_vec()) else {
        return;
    };
    let Ok(text) = list_text(bytes) else {
        return;
    };
    let text = text.as_str();
    if let Err(refused) = recognise(text) {
        assert!(refused.line >= 1 && !refused.why.help().is_empty());
    }
    for format in Format::ALL {
        for selection in selections() {
            check_list(&read(text, format, &selection), text.lines().count());
        }
    }
}

/// A database of autonomous systems or countries.
pub fn database(bytes: &[u8]) {
    black_box(is_database(bytes));
    for selection in selections() {
        match read_database(bytes, &selection) {
            Ok(list) => check_list(&list, 0),
            Err(error) => assert!(!error.to_string().is_empty() && !error.help().is_empty()),
        }
    }
}

fn selections() -> [Selection; 3] {
    let keys = |key| [key].into_iter().collect();
    [
        Selection {
            min_score: Some(2),
            ..Selection::default()
        },
        Selection {
            keys: keys(Key::Asn(24406)),
            ..Selection::default()
        },
        Selection {
            keys: keys(Key::Country("CN".parse().expect("a country code"))),
            ..Selection::default()
        },
    ]
}

/// A line names one destination, or is left out, or not understood.
fn check_list(list: &List, lines: usize) {
    fn check<A: Address>(intervals: &[(Interval<A>, u32)], lines: usize) {
        for (interval, line) in intervals {
            assert!(interval.first() <= interval.last());
            assert!(*line as usize <= lines, "line {line} of {lines}");
        }
    }
    check(&list.ipv4, lines);
    check(&list.ipv6, lines);
    assert!(lines == 0 || list.lines() + list.left_out + list.bad.count() <= lines);
    assert!(list.bad.first().len() <= list.bad.count());
}

/// An update of a feed; before a zero byte what is in force.
pub fn feed(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let first = parts.next().unwrap_or_default();
    let (before, update) = match parts.next() {
        Some(update) => (Some(first), update),
        None => (None, first),
    };
    // Both rules and both readings of every list would only take longer.
    let choice = update.len() % 4;
    let feed = asked_for(
        [ReservedRule::Strip, ReservedRule::Refuse][choice % 2],
        [None, Some(Format::Plain)][choice / 2],
    );
    let own = Reserved::new(&GATEWAY.networks);
    if let Err(refusal) = judge(update, before, &feed, &own) {
        assert!(!refusal.to_string().is_empty() && !refusal.help().is_empty());
        return;
    }
    // What is taken can be shown, and changes nothing when it comes again.
    difference(update, before, &feed, &own).expect("what is taken can be read");
    judge(update, Some(update), &feed, &own).expect("what is in force is taken");
}

pub(crate) fn asked_for(reserved: ReservedRule, format: Option<Format>) -> Feed {
    let reading = FeedReading {
        format,
        skip_bad_lines: true,
        ..FeedReading::default()
    };
    Feed {
        url: "https://lists.example.net/a".parse().expect("a URL"),
        policies: ["p".parse().expect("a name")].into_iter().collect(),
        refresh: std::time::Duration::from_hours(24),
        sha256: None,
        max_change: Share::DEFAULT_CHANGE,
        reserved,
        readings: [reading].into_iter().collect(),
        in_force: None,
    }
}

/// A pcap or pcapng file: the same frames whether it comes at once or byte by byte.
pub fn capture(bytes: &[u8]) {
    let (frames, ended) = frames(Cursor::new(bytes.to_vec()));
    let held: usize = frames.iter().map(|frame| frame.data.len()).sum();
    assert!(held <= bytes.len(), "{held} bytes of {}", bytes.len());
    let slowly = self::frames(OneByte(Cursor::new(bytes.to_vec())));
    assert_eq!(slowly, (frames, ended));
}

fn frames(reader: impl Read + Send + 'static) -> (Vec<Frame>, Option<String>) {
    let mut frames = Vec::new();
    let capture = match Capture::new("made", Box::new(reader)) {
        Ok(capture) => capture,
        Err(error) => return (frames, Some(error_text(&error))),
    };
    for frame in capture {
        match frame {
            Ok(frame) => frames.push(frame),
            Err(error) => return (frames, Some(error_text(&error))),
        }
    }
    (frames, None)
}

/// As a pipe may.
struct OneByte<R>(R);

impl<R: Read> Read for OneByte<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
}

/// A line on the control socket, from a client or to one.
pub fn control(bytes: &[u8]) {
    let Ok(line) = str::from_utf8(bytes) else {
        return;
    };
    if let Ok(request) = Request::from_line(line) {
        let again = serde_json::to_string(&request).expect("a request can be written");
        assert_eq!(Request::from_line(&(again + "\n")), Ok(request));
        assert!(
            line.trim_start().starts_with('{'),
            "a request of another form"
        );
    }
    if let Ok(answer) = serde_json::from_str::<Answer>(line) {
        let again = serde_json::to_string(&answer).expect("an answer can be written");
        assert_eq!(serde_json::from_str::<Answer>(&again).ok(), Some(answer));
    }
}

/// Files of the state directory: the runtime overlay, edges, what is known of a feed.
pub fn state(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    if let Ok(overlay) = parse_runtime("runtime.jsonl".into(), text) {
        check_runtime(overlay);
    }
    if let Ok(edges) = serde_json::from_str::<Edges>(text) {
        assert!(edges.missed(NOW).count() <= edges.edges.len());
    }
    if let Ok(entry) = serde_json::from_str::<Entry>(text) {
        let again = serde_json::to_string(&entry).expect("an entry can be written");
        assert_eq!(serde_json::from_str::<Entry>(&again).ok(), Some(entry));
    }
}

fn check_runtime(mut overlay: RuntimeOverlay) {
    let text = runtime_text(&overlay).expect("changes can be written");
    let again = parse_runtime(overlay.file.clone(), &text).expect("what was written is read");
    assert_eq!(again, overlay);
    let moment = Moment::given(NOW);
    for change in &overlay.changes {
        black_box((change.effect.command(), change.policy()));
        black_box(change.has_ended(&moment));
    }
    let mut policies: Vec<Policy> = Vec::new();
    black_box(overlay.put_on(&mut policies, &moment).render(false));
    overlay.remove_ended(&moment);
}

/// The archive of the files that were in force last.
pub fn archive(bytes: &[u8]) {
    let Ok(found) = archived_files(Cursor::new(bytes)) else {
        return;
    };
    let content = |range: &Range<u64>, archive: &[u8]| {
        let offset = |at| usize::try_from(at).expect("an archive in memory");
        archive[offset(range.start)..offset(range.end)].to_vec()
    };
    let mut writer = ArchiveWriter::new(Vec::new());
    let packed = found
        .iter()
        .try_for_each(|(path, range)| writer.add(path, &content(range, bytes)));
    if packed.is_ok()
        && let Ok(packed) = writer.finish()
    {
        let again = archived_files(Cursor::new(&packed)).expect("what was packed is found");
        assert!(found.keys().eq(again.keys()));
        for (before, after) in found.values().zip(again.values()) {
            assert_eq!(content(before, bytes), content(after, &packed));
        }
    }
}

/// The configuration file.
pub fn config(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    if let Ok(options) = Options::parse(text) {
        black_box(options.settle());
    }
}

/// Names of pins, records of maps, replies of netlink.
pub fn kernel(bytes: &[u8]) {
    if let Ok(name) = str::from_utf8(bytes) {
        black_box((decode::is_state(name), decode::generation_number(name)));
        if let Some(interface) = decode::linked_interface(name) {
            assert!(interface.len() < 16, "{interface:?}");
        }
    }
    if let Some(name) = bytes.first_chunk() {
        let name = decode::padded_name(&PolicyRecord { name: *name }.name);
        assert!(!name.contains('\0'));
    }
    if let Some((name, rest)) = bytes.split_first_chunk()
        && let Some(mode) = rest.first_chunk()
    {
        let mode = u32::from_ne_bytes(*mode);
        let record = InterfaceRecord { name: *name, mode };
        assert_eq!(
            decode::attach_mode(&record).is_some(),
            matches!(mode, 1 | 2)
        );
    }
    // An error is what the kernel says.
    let _ = decode::netlink_reply(bytes, |message| match message {
        RouteNetlinkMessage::NewLink(link) => drop(decode::interface(link)),
        RouteNetlinkMessage::NewAddress(address) => drop(decode::own_address(&address)),
        RouteNetlinkMessage::NewNeighbour(neighbour) => drop(decode::neighbour(&neighbour)),
        _ => {}
    });
}
