//! Links of the documents lead to files and headings that exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The directory of the project.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The documents, by path from the root.
fn documents() -> BTreeMap<PathBuf, String> {
    let mut paths = vec![PathBuf::from("README.md")];
    paths.extend(["ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(PathBuf::from));
    for entry in fs::read_dir(root().join("docs")).expect("read docs") {
        let name = entry.expect("read docs").file_name();
        let path = Path::new("docs").join(name);
        if path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path);
        }
    }
    let read = |path: PathBuf| {
        let text = fs::read_to_string(root().join(&path)).expect("read a document");
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// The lines that are no code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The anchors that GitHub makes of the headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let headings = prose(text).filter_map(|(_, line)| line.strip_prefix('#'));
    headings
        .map(|heading| {
            let heading = heading.trim_start_matches('#').trim();
            let letters = heading.to_lowercase();
            let letters = letters.chars().filter_map(|letter| match letter {
                ' ' => Some('-'),
                letter if letter.is_alphanumeric() || "-_".contains(letter) => Some(letter),
                _ => None,
            });
            let anchor: String = letters.collect();
            let count = counts.entry(anchor.clone()).or_default();
            *count += 1;
            match *count {
                1 => anchor,
                more => format!("{anchor}-{}", more - 1),
            }
        })
        .collect()
}

/// The targets of the links of a line.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let documents = documents();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for (path, text) in &documents {
        for (index, line) in prose(text) {
            for link in links(line) {
                if link.contains("://") {
                    continue;
                }
                checked += 1;
                let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
                let target = match file {
                    "" => path.clone(),
                    file => plain(&path.parent().unwrap_or(Path::new("")).join(file)),
                };
                let is_there = match documents.get(&target) {
                    Some(text) => anchor.is_empty() || anchors(text).contains(anchor),
                    None => anchor.is_empty() && root().join(&target).exists(),
                };
                if !is_there {
                    wrong.push(format!("{}:{}: {link}", path.display(), index + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 200, "{checked}");
}

/// The path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

#[test]
fn anchors_are_those_of_github() {
    let text = "# A page\n## 3. What happens, now?\n```sh\n# no heading\n```\n## A page\n";
    let expected = ["a-page", "3-what-happens-now", "a-page-1"];
    assert_eq!(anchors(text), expected.map(String::from).into());
}
