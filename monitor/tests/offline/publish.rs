//! `report publish`: stamps of an authority that openssl plays, and what `report verify` says
//! of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod authority;
mod faults;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use monitor::{
    stamp::{self, Authorities},
    store::FILE,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;

use crate::support::story::Story;
use authority::{Authority, Kind};

/// Runs a verb of `report` that needs no daemon and no store. Returns its exit status and output.
pub(crate) fn report(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_monitor"))
        .arg("report")
        .args(arguments)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

/// Runs `report publish` on the gateway of the story, or on another computer.
pub(crate) fn publish(story: &Story, arguments: &[&str]) -> (i32, String) {
    let output = story.monitor(&[&["report", "publish"], arguments].concat());
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

/// Writes a report of the story. Returns its path.
pub(crate) fn written(story: &Story, format: &str) -> PathBuf {
    let file = story.directory.path().join(format!("report.{format}"));
    story.report(&["--format", format, "--output", file.to_str().unwrap()]);
    file
}

pub(crate) fn beside(file: &Path, end: &str) -> PathBuf {
    format!("{}{end}", file.display()).into()
}

/// The head of a report in a file.
fn head(file: &Path) -> PathBuf {
    let output = Command::new(env!("CARGO_BIN_EXE_monitor"))
        .args(["report", "head"])
        .arg(file)
        .output()
        .unwrap();
    assert!(output.status.success());
    let path = file.with_file_name("head.txt");
    fs::write(&path, output.stdout).unwrap();
    path
}

#[test]
fn a_published_head_holds_here_and_for_openssl() {
    let story = Story::told();
    for (format, kind, digest) in [
        ("html", Kind::Rsa, "sha256"),
        ("json", Kind::Rsa, "sha512"),
        ("csv", Kind::P256, "sha256"),
        ("md", Kind::P384, "sha384"),
    ] {
        let authority = Arc::new(Authority::new(kind));
        authority.configure(&format!("digests = sha256\nsigner_digest = {digest}"));
        let server = authority.serve();
        let file = written(&story, format);
        let name = file.to_str().unwrap();
        let ca = authority.ca();
        let asked = [name, "--tsa", &server.url, "--tsa-ca", &ca];
        let (status, text) = publish(&story, &asked);
        assert_eq!(status, 0, "{format}: {text}");
        assert!(
            text.contains("\"Time of the test\" stamped the head of"),
            "{text}"
        );

        let stamp = beside(&file, ".tsr");
        assert!(authority.openssl_accepts(&stamp, &head(&file)), "{format}");
        assert!(!authority.openssl_accepts(&stamp, &file), "{format}");
        let (status, text) = report(&["verify", name, "--tsa-ca", &ca]);
        assert_eq!(status, 0, "{format}: {text}");
        let holds = "holds    The authority \"Time of the test\" stamped this head at ";
        assert!(text.contains(holds), "{text}");
        assert!(text.contains("(± 1.5 s): the "), "{text}");
        assert!(!text.contains("did not rewrite the log"), "{text}");
        assert!(text.contains("between an event and the stamp of"), "{text}");

        let requests = server.requests.lock().unwrap();
        let (sent, _) = &requests[0];
        assert!(sent.starts_with("post /tsr http/1.1"), "{sent}");
        assert!(
            sent.contains("content-type: application/timestamp-query"),
            "{sent}"
        );
        assert_eq!(requests.len(), 1);
    }
    // The gateway recorded each stamp, and the log has a line about each.
    let events = story.monitor(&["events"]);
    let events = String::from_utf8(events.stdout).unwrap();
    let stamps = events.matches("\"Time of the test\" stamped the head of");
    assert_eq!(stamps.count(), 4, "{events}");
    let database = rusqlite::Connection::open(story.directory.path().join(FILE)).unwrap();
    let count = "SELECT count(*) FROM log WHERE line LIKE '%published%'";
    let lines: u32 = database.query_row(count, [], |row| row.get(0)).unwrap();
    assert_eq!(lines, 4);
    drop(database);
    let file = written(&story, "json");
    let state = ["--state-dir", story.directory.path().to_str().unwrap()];
    let (status, text) = report(&[&["verify", file.to_str().unwrap()], &state[..]].concat());
    assert_eq!(status, 0, "{text}");
}

#[test]
fn only_a_named_authority_makes_a_stamp_hold() {
    let (story, authority) = (Story::told(), Arc::new(Authority::new(Kind::P256)));
    let server = authority.serve();
    let file = written(&story, "json");
    let name = file.to_str().unwrap();
    let elsewhere = Story::told();
    let (status, text) = publish(&elsewhere, &[name, "--tsa", &server.url, "--json"]);
    assert_eq!(status, 0, "{text}");
    assert!(
        text.contains("nothing shows who the authority is"),
        "{text}"
    );
    let json: Value = serde_json::from_str(text.split_once("note:").unwrap().0).unwrap();
    assert_eq!(json["authority"], "Time of the test");
    assert_eq!(json["policy"], "1.2.3.4.1");
    assert_eq!(
        (&json["trusted"], &json["recorded"]),
        (&false.into(), &false.into())
    );
    assert!(text.contains("another log than the report"), "{text}");

    // Nobody is named.
    let (status, text) = report(&["verify", name]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("unknown  The stamp "), "{text}");
    assert!(text.contains("did not rewrite the log"), "{text}");
    // Another authority with the same name is named.
    let other = Authority::new(Kind::P256);
    let (status, text) = report(&["verify", name, "--tsa-ca", &other.ca()]);
    assert_eq!(status, 3, "{text}");
    assert!(text.contains("CHANGED  The stamp"), "{text}");
    assert!(text.contains("did not rewrite the log"), "{text}");
    // The certificate of the authority itself is named.
    let own = authority.path("tsa.pem");
    let (status, text) = report(&["verify", name, "--tsa-ca", own.to_str().unwrap()]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("holds    The authority"), "{text}");

    // A stamp is not replaced, and a second one has another name.
    let ca = authority.ca();
    let stamp = fs::read(beside(&file, ".tsr")).unwrap();
    let again = [name, "--tsa", &server.url, "--tsa-ca", &ca];
    let (status, text) = publish(&story, &again);
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("an earlier stamp shows more"), "{text}");
    assert_eq!(server.requests.lock().unwrap().len(), 1);
    let second = file.with_file_name("second.tsr");
    let second = second.to_str().unwrap();
    let with_policy = ["--output", second, "--policy", "1.2.3.4.5"];
    let (status, text) = publish(&story, &[&again[..], &with_policy].concat());
    assert_eq!(status, 0, "{text}");
    assert_eq!(fs::read(beside(&file, ".tsr")).unwrap(), stamp);
    let first = beside(&file, ".tsr");
    let both = ["--stamp", first.to_str().unwrap(), "--stamp", second];
    let (status, text) = report(&[&["verify", name, "--tsa-ca", &ca], &both[..]].concat());
    assert_eq!(status, 0, "{text}");
    assert_eq!(text.matches("holds    The authority").count(), 2, "{text}");

    // The stamp of another report is of another head.
    let later = written(&story, "html");
    let name = later.to_str().unwrap();
    let (status, text) = report(&["verify", name, "--stamp", second, "--tsa-ca", &ca]);
    assert_eq!(status, 3, "{text}");
    assert!(text.contains("is of another head"), "{text}");
    fs::write(second, "no stamp").unwrap();
    let (status, text) = report(&["verify", name, "--stamp", second]);
    assert_eq!(status, 3, "{text}");
    assert!(
        text.contains("does not hold: the answer has not the form"),
        "{text}"
    );
    // A missing stamp is no stamp that holds.
    let (status, text) = report(&["verify", name, "--tsa-ca", &ca]);
    assert_eq!(status, 1, "{text}");
    assert!(
        text.contains("get one with `monitor report publish"),
        "{text}"
    );
    // A new report takes the place of the old one and of its stamp.
    written(&story, "json");
    assert!(!beside(&file, ".tsr").exists());
}

#[test]
fn a_changed_report_is_not_published() {
    let (story, authority) = (Story::told(), Arc::new(Authority::new(Kind::P256)));
    let server = authority.serve();
    let file = written(&story, "md");
    let text = fs::read_to_string(&file).unwrap();
    for changed in [
        text.replacen("packets", "Packets", 1),
        text.replacen("\\nat 20", "\\nat 19", 1),
    ] {
        assert_ne!(changed, text);
        fs::write(&file, changed).unwrap();
        let name = file.to_str().unwrap();
        let (status, text) = publish(&story, &[name, "--tsa", &server.url]);
        assert_eq!(status, 1, "{text}");
        assert!(text.contains("was changed"), "{text}");
    }
    // The second change is in the head.
    let (status, text) = report(&["head", file.to_str().unwrap()]);
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("the head of the log in"), "{text}");
    let stamp = file.with_file_name("stamp");
    fs::write(&stamp, "no stamp").unwrap();
    let stamp = ["--stamp", stamp.to_str().unwrap()];
    let (status, text) = report(&[&["verify", file.to_str().unwrap()], &stamp[..]].concat());
    assert_eq!(status, 3, "{text}");
    assert!(
        text.contains("was not checked, because the head was changed"),
        "{text}"
    );
    assert!(!beside(&file, ".tsr").exists());
    assert_eq!(server.requests.lock().unwrap().len(), 0);
}

/// A request of openssl over `data`.
fn query(authority: &Authority, data: &[u8]) -> Vec<u8> {
    let (input, query) = (authority.path("data"), authority.path("asked"));
    fs::write(&input, data).unwrap();
    let made = Command::new("openssl")
        .args(["ts", "-query", "-sha256", "-cert", "-data"])
        .arg(input)
        .arg("-out")
        .arg(&query)
        .output()
        .unwrap();
    assert!(made.status.success());
    fs::read(query).unwrap()
}

/// Two bytes of these stamps can change: the status from `granted` to `grantedWithMods`, and the
/// name of RSA from the one without a hash to the one with the hash that is signed.
#[test]
fn one_changed_byte_of_a_stamp_is_found() {
    let mut random = StdRng::seed_from_u64(31_612_001);
    for kind in [Kind::Rsa, Kind::P256] {
        let authority = Authority::new(kind);
        let data = b"the head of a log\n";
        let stamp = authority.reply(&query(&authority, data), &[]);
        let trusted = Authorities::from_pem(&fs::read(authority.path("ca.pem")).unwrap()).unwrap();
        let holds = |stamp: &[u8], data: &[u8]| {
            let opened = stamp::open(stamp, data, None);
            opened.is_ok_and(|stamp| stamp.check_authority(&trusted).is_ok())
        };
        assert!(holds(&stamp, data));
        let harmless = harmless_changes(&stamp);
        assert_eq!(harmless.len(), if kind == Kind::Rsa { 2 } else { 1 });
        for (at, byte) in &harmless {
            let mut changed = stamp.clone();
            changed[*at] = *byte;
            assert!(holds(&changed, data), "byte {at}");
        }
        for at in 0..stamp.len() {
            let flips = [1 << random.random_range(0..8), random.random_range(1..=255)];
            for flip in flips {
                let mut changed = stamp.clone();
                changed[at] ^= flip;
                let expected = harmless.contains(&(at, changed[at]));
                assert_eq!(holds(&changed, data), expected, "byte {at}, {flip:#x}");
            }
            assert!(!holds(&stamp[..at], data), "cut at {at}");
        }
        assert!(!holds(&[&stamp[..], &[0]].concat(), data));
        assert!(!holds(&stamp, b"the head of another log\n"));
    }
}

/// Places of bytes that are not signed, with the value that means the same.
fn harmless_changes(stamp: &[u8]) -> Vec<(usize, u8)> {
    // SEQUENCE, SEQUENCE, INTEGER: its value is byte 8.
    let status = 8;
    assert_eq!(stamp[status - 4..=status], [0x30, 3, 2, 1, 0]);
    // rsaEncryption 1.2.840.113549.1.1.1 and NULL; sha256WithRSAEncryption ends with 11.
    let rsa = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    // The certificate has the same name before.
    let place = stamp.windows(rsa.len()).rposition(|bytes| bytes == rsa);
    let name = place.map(|place| (place + 8, 11));
    [(status, 1)].into_iter().chain(name).collect()
}

/// The certificates that a token carries besides the signer's are not signed by it. A changed
/// one can only break the way to a trusted certificate.
#[test]
fn a_chain_of_certificates_leads_to_the_trusted_one() {
    let authority = Authority::new(Kind::P256);
    // The CA of the authority becomes one between it and the root.
    let root = Authority::of_ca(Kind::P256, "/CN=Root of the test");
    fs::copy(authority.path("ca.key"), root.path("middle.key")).unwrap();
    root.certify_middle("/CN=Test CA");
    let middle = authority.path("middle.pem");
    fs::copy(root.path("middle.pem"), &middle).unwrap();
    let data = b"data";
    let query = query(&authority, data);
    let alone = authority.reply(&query, &[]);
    let chained = authority.reply(&query, &["-chain", middle.to_str().unwrap()]);
    assert!(chained.len() > alone.len());
    let trusted = |authority: &Authority| {
        Authorities::from_pem(&fs::read(authority.path("ca.pem")).unwrap()).unwrap()
    };
    let opened = |stamp: &[u8]| stamp::open(stamp, data, None).unwrap();
    assert_eq!(opened(&chained).check_authority(&trusted(&root)), Ok(()));
    assert_eq!(
        opened(&alone).check_authority(&trusted(&root)),
        Err(stamp::Untrusted::Unknown)
    );
    let other = trusted(&Authority::new(Kind::P256));
    assert_eq!(
        opened(&chained).check_authority(&other),
        Err(stamp::Untrusted::Unknown)
    );
}
