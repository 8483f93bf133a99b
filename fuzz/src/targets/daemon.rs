//! Files and messages of the daemon.

use std::{hint::black_box, io::Cursor, ops::Range};

use monitor::{
    config::Options,
    control::{Answer, Request},
    feeds::Entry,
    policy::{Moment, Policy, RuntimeOverlay},
    state_dir::{ArchiveWriter, Edges, archived_files, parse_runtime, runtime_text},
};

use super::NOW;

/// A line on the control socket, in either direction.
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

/// Files of the state directory: the runtime overlay, the edges of schedules, the state of
/// a feed.
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

/// The archive of the last good files.
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
        let again = archived_files(Cursor::new(&packed)).expect("a written archive is readable");
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
