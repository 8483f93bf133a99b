//! Programs of others that check what `monitor` writes. `xtask/setup.sh` installs them.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The validator of CASE in the directory of tools beside the build. Without it, a test is
/// skipped, except in continuous integration.
pub(crate) fn case_validate() -> Option<PathBuf> {
    found(beside_the_build("case-utils/bin/case_validate"))
}

/// A program of the packages of Prometheus, as [`case_validate`].
pub(crate) fn of_prometheus(program: &str) -> Option<PathBuf> {
    found(beside_the_build("prometheus/usr/bin").join(program))
}

fn beside_the_build(tool: &str) -> PathBuf {
    let mut directories = Path::new(env!("CARGO_BIN_EXE_monitor")).ancestors();
    let target = directories.nth(2).unwrap();
    target.join("tools").join(tool)
}

/// The checker of HTML, as [`case_validate`].
pub(crate) fn tidy() -> Option<PathBuf> {
    found(PathBuf::from("/usr/bin/tidy"))
}

fn found(program: PathBuf) -> Option<PathBuf> {
    if program.is_file() {
        return Some(program);
    }
    let program = program.display();
    assert!(
        env::var("CI").as_deref() != Ok("true"),
        "{program} is missing: run xtask/setup.sh"
    );
    eprintln!("skipped: {program} is missing, run xtask/setup.sh");
    None
}

/// Runs a checker. As root it has no network, so that it can fetch nothing.
pub(crate) fn check(program: &Path, arguments: &[&str]) -> Output {
    let mut command = if nix::unistd::geteuid().is_root() {
        let mut command = Command::new("unshare");
        command.arg("--net").arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args(arguments).output().unwrap()
}

/// What [`tidy`] says of a page; `None` if all is right.
pub(crate) fn complaint_about_html(checker: &Path, html: &str) -> Option<String> {
    // The checker does not know that a <div> may hold a <dt> and its <dd> (HTML 5.2).
    let html = html
        .replace("<div><dt>", "<dt>")
        .replace("</dd></div>", "</dd>");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), html).unwrap();
    let path = file.path().to_str().unwrap();
    let output = check(checker, &["-quiet", "-errors", "-utf8", path]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (!output.status.success()).then_some(said)
}

/// References of a page to anything outside of it.
pub(crate) fn outside_references(html: &str) -> Vec<&str> {
    let lower = html.to_ascii_lowercase();
    let attributes = [
        "href",
        "src",
        "srcset",
        "action",
        "poster",
        "data",
        "xlink:href",
    ];
    let attributes = attributes.map(|name| format!(" {name}=\""));
    let others = [
        "url(",
        "@import",
        "http-equiv=\"refresh\" content=\"0",
        "<base",
        "<object",
        "<script",
    ];
    let begins = attributes.iter().map(String::as_str).chain(others);
    let found = begins.flat_map(|begin| {
        lower
            .match_indices(begin)
            .map(move |(at, _)| at + begin.len())
    });
    let found = found.map(|at| html.get(at..html.len().min(at + 60)).unwrap_or("?"));
    found
        .filter(|reference| !reference.starts_with(['#']) && !reference.starts_with("data:"))
        .collect()
}
