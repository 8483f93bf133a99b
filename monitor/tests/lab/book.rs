//! The pages for people: each command that they show works, in the order of the page.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use support::lab::{BLOCKED, Lab, binary, text};

/// Where the pages keep policies and settings.
const POLICIES: &str = "/etc/monitor/policies.d";
const SETTINGS: &str = "/etc/monitor/monitor.yaml";

/// A block of code of a page.
struct Block<'a> {
    /// The word behind the fence.
    language: &'a str,
    /// Line of the fence in the page.
    line: usize,
    text: String,
}

#[test]
fn every_command_of_the_recipes_works() {
    let page = include_str!("../../../docs/recipes.md");
    let (files, commands) = read_and_run("book-recipes", page);
    assert!(files >= 4 && commands >= 12, "{files} {commands}");
}

#[test]
fn every_command_for_people_who_come_from_another_filter_works() {
    let page = include_str!("../../../docs/coming-from.md");
    let (files, commands) = read_and_run("book-from", page);
    assert!(files >= 1 && commands >= 4, "{files} {commands}");
}

#[test]
fn every_command_of_the_troubleshooting_works() {
    let page = include_str!("../../../docs/troubleshooting.md");
    let (_, commands) = read_and_run("book-trouble", page);
    assert!(commands >= 8, "{commands}");
}

/// Writes the files and runs the commands of a page on a gateway, from top to bottom. Returns
/// the number of files and the number of blocks of commands.
fn read_and_run(test: &str, page: &str) -> (usize, usize) {
    let lab = Lab::new(test);
    let _daemon = lab.start(&["--mode", "generic"]);
    lab.send_udp(BLOCKED[0], 3);
    let here = lab.directory.path().join("here");
    fs::create_dir(&here).unwrap();
    let path = program(&lab);
    let (mut files, mut commands) = (0, 0);
    for block in blocks(page) {
        let code = on_gateway(&lab, &block.text);
        match block.language {
            "yaml" => {
                let name = file_name(&block);
                fs::write(lab.policies().join(name), code).unwrap();
                files += 1;
            }
            "sh" => {
                let mut shell = lab.gateway.command("sh");
                shell.args(["-e", "-c", &code]).env("PATH", &path);
                let output = shell.current_dir(&here).output().unwrap();
                assert!(
                    output.status.success(),
                    "line {}: {code}\n{}\n{}",
                    block.line,
                    text(&output.stdout),
                    text(&output.stderr)
                );
                commands += 1;
            }
            other => panic!("line {}: no test runs a block of `{other}`", block.line),
        }
    }
    (files, commands)
}

/// The blocks of code of a page.
fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut is_inside = false;
    for (index, line) in page.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if is_inside => is_inside = false,
            Some(language) => {
                is_inside = true;
                blocks.push(Block {
                    language,
                    line: index + 1,
                    text: String::new(),
                });
            }
            None if is_inside => {
                let block = blocks.last_mut().unwrap();
                block.text.push_str(line);
                block.text.push('\n');
            }
            None => {}
        }
    }
    assert!(!is_inside, "a fence is not closed");
    blocks
}

/// The name of the policy file that a block shows.
fn file_name<'a>(block: &'a Block<'_>) -> &'a str {
    let first = block.text.lines().next().unwrap_or_default();
    first
        .strip_prefix("# ")
        .and_then(|path| path.strip_prefix(POLICIES))
        .and_then(|path| path.strip_prefix('/'))
        .unwrap_or_else(|| panic!("line {}: the first line names no file", block.line))
}

/// The code with the lab's directories.
fn on_gateway(lab: &Lab, code: &str) -> String {
    let policies = lab.policies().display().to_string();
    let settings = settings(lab).display().to_string();
    code.replace(SETTINGS, &settings)
        .replace(POLICIES, &policies)
}

fn settings(lab: &Lab) -> PathBuf {
    lab.directory.path().join("monitor.yaml")
}

/// Makes a program `monitor` that finds this lab's daemon by its settings. Returns a PATH that
/// begins with it.
fn program(lab: &Lab) -> String {
    let place = |path: PathBuf| path.display().to_string();
    let text = format!(
        "policies: {}\nsocket: {}\npin_dir: {}\nstate_dir: {}\n",
        place(lab.policies()),
        place(lab.socket()),
        place(lab.pin_dir.clone()),
        place(lab.directory.path().join("state")),
    );
    fs::write(settings(lab), text).unwrap();
    let directory = lab.directory.path().join("bin");
    fs::create_dir(&directory).unwrap();
    let program = directory.join("monitor");
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in\n*' --config '*) exec {binary} \"$@\" ;;\n*) exec {binary} \"$@\" --config {settings} ;;\nesac\n",
        binary = binary().display(),
        settings = settings(lab).display(),
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", directory.display(), std::env::var("PATH").unwrap())
}
