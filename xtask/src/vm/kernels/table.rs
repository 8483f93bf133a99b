//! The table of kernels in docs/kernels.md, between two comments.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

const BEGIN: &str = "<!-- `make test-kernels` writes this table. -->";
const END: &str = "<!-- End of the table of kernels. -->";

/// Heading of a column, and key of the fact that it shows.
const COLUMNS: [(&str, &str); 11] = [
    ("XDP native", "native"),
    ("XDP generic", "generic"),
    ("MTU 9000", "large"),
    ("DNS answers", "dns"),
    ("new flows (ring buffer)", "ring"),
    ("`--confirm`", "confirm"),
    ("first payload, `--payload`", "payload"),
    ("WiFi", "wifi"),
    ("packet tables", "tables"),
    ("evasion", "evasion"),
    ("namespaces", "namespaces"),
];
/// A cell whose fact no scenario reported.
const NOT_TRIED: &str = "not tried";

/// Keys of the table for which there is no fact.
pub(super) fn missing(facts: &BTreeMap<String, String>) -> Vec<&'static str> {
    let keys = COLUMNS.iter().map(|(_, key)| *key);
    keys.filter(|key| !facts.contains_key(*key)).collect()
}

/// A line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Numbers of the version.
    version: Vec<u32>,
    /// Where the kernel is from.
    from: String,
    cells: Vec<String>,
}

impl Row {
    /// `release` is the output of `uname -r`.
    pub(super) fn new(release: &str, from: &str, facts: &BTreeMap<String, String>) -> Result<Self> {
        let cells = COLUMNS.iter().map(|(_, key)| {
            let fact = facts.get(*key);
            fact.map_or(NOT_TRIED, String::as_str).to_owned()
        });
        Ok(Self {
            version: version(release)?,
            from: from.to_owned(),
            cells: cells.collect(),
        })
    }

    fn read(line: &str) -> Result<Self> {
        let inside = line
            .strip_prefix("| ")
            .and_then(|line| line.strip_suffix(" |"));
        let mut cells = inside.context("no line of a table")?.split(" | ");
        let first = cells.next().context("no version")?;
        let named = first
            .split_once(" (")
            .and_then(|(version, from)| Some((version, from.strip_suffix(')')?)));
        let (release, from) = named.with_context(|| format!("no `VERSION (ORIGIN)`: {first}"))?;
        let row = Self {
            version: version(release)?,
            from: from.to_owned(),
            cells: cells.map(str::to_owned).collect(),
        };
        ensure!(
            row.cells.len() == COLUMNS.len() && row.line() == line,
            "not as `make test-kernels` writes it: {line}"
        );
        Ok(row)
    }

    fn line(&self) -> String {
        let version: Vec<String> = self.version.iter().map(u32::to_string).collect();
        let cells = self.cells.join(" | ");
        format!("| {} ({}) | {cells} |", version.join("."), self.from)
    }

    /// True if a new row replaces this one: it is of the same origin.
    fn is_replaced_by(&self, new: &Self) -> bool {
        self.from == new.from
    }
}

/// The numbers at the beginning of a release.
fn version(release: &str) -> Result<Vec<u32>> {
    let end = release.find(|sign: char| !sign.is_ascii_digit() && sign != '.');
    let numbers = release[..end.unwrap_or(release.len())].split('.');
    let numbers = numbers.map(|number| number.parse().context("a number"));
    numbers
        .collect::<Result<_>>()
        .with_context(|| format!("no version: {release}"))
}

/// The rows of the table in a page.
pub(super) fn read(page: &str) -> Result<Vec<Row>> {
    let (_, table, _) = parts(page)?;
    let mut lines = table.trim_matches('\n').lines();
    for expected in heading() {
        let found = lines.next().unwrap_or_default();
        ensure!(
            found == expected,
            "the heading is `{found}`, must be `{expected}`"
        );
    }
    lines.map(Row::read).collect()
}

/// The page with new rows. Other rows stay.
pub(super) fn write(page: &str, new: &[Row]) -> Result<String> {
    let mut rows = read(page)?;
    rows.retain(|row| !new.iter().any(|new| row.is_replaced_by(new)));
    rows.extend_from_slice(new);
    rows.sort_by(|one, other| one.version.cmp(&other.version));
    let (before, _, after) = parts(page)?;
    let mut lines = heading().to_vec();
    lines.extend(rows.iter().map(Row::line));
    Ok(format!(
        "{before}{BEGIN}\n\n{}\n\n{END}{after}",
        lines.join("\n")
    ))
}

/// The table of a page, without its comments.
pub(super) fn shown(page: &str) -> Result<&str> {
    let (_, table, _) = parts(page)?;
    Ok(table.trim_matches('\n'))
}

fn heading() -> [String; 2] {
    let names = COLUMNS.map(|(name, _)| name).join(" | ");
    let rule = "---|".repeat(COLUMNS.len() + 1);
    [format!("| Linux | {names} |"), format!("|{rule}")]
}

/// What is before, between and behind the comments.
fn parts(page: &str) -> Result<(&str, &str, &str)> {
    let (before, rest) = page
        .split_once(BEGIN)
        .with_context(|| format!("the page has no line `{BEGIN}`"))?;
    let (table, after) = rest
        .split_once(END)
        .with_context(|| format!("the page has no line `{END}`"))?;
    Ok((before, table, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(release: &str, from: &str, dns: &str) -> Row {
        let facts = [("dns".to_owned(), dns.to_owned())].into();
        Row::new(release, from, &facts).unwrap()
    }

    fn page(rows: &[Row]) -> String {
        let empty = format!(
            "text\n\n{BEGIN}\n\n{}\n\n{END}\n\nmore\n",
            heading().join("\n")
        );
        write(&empty, rows).unwrap()
    }

    /// docs/kernels.md must have the form that the command writes.
    #[test]
    fn the_table_on_the_page_is_as_the_command_writes_it() {
        let page = include_str!("../../../../docs/kernels.md");
        let rows = read(page).unwrap();
        assert!(!rows.is_empty());
        assert_eq!(write(page, &rows).unwrap(), page);
    }

    #[test]
    fn rows_replace_those_of_the_same_origin_and_are_sorted() {
        let old = page(&[
            row("6.12.1+deb13-amd64", "Debian 13", "TCX"),
            row("5.10.0-32-amd64", "Debian 11", "clsact"),
        ]);
        let new = write(&old, &[row("6.12.117+deb13-amd64", "Debian 13", "none")]).unwrap();
        let rows = read(&new).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1].version, [6, 12, 117]);
        assert_eq!(
            (rows[0].cells[3].as_str(), rows[1].cells[3].as_str()),
            ("clsact", "none")
        );
        assert_eq!(rows[1].cells[0], NOT_TRIED);
        assert!(new.starts_with("text\n") && new.ends_with("\nmore\n"));
    }

    #[test]
    fn facts_that_are_missing_are_named() {
        let mut facts: BTreeMap<_, _> = COLUMNS
            .map(|(_, key)| (key.to_owned(), "yes".to_owned()))
            .into();
        assert!(missing(&facts).is_empty());
        facts.remove("large");
        assert_eq!(missing(&facts), ["large"]);
    }

    #[test]
    fn another_form_is_refused() {
        let good = page(&[row("5.10.0-32-amd64", "Debian 11", "clsact")]);
        for (from, to) in [
            ("XDP native", "XDP"),
            ("5.10.0 (Debian 11)", "old (Debian 11)"),
            (" | clsact", ""),
            (BEGIN, ""),
            (END, ""),
        ] {
            assert!(
                read(&good).is_ok() && read(&good.replace(from, to)).is_err(),
                "{from}"
            );
        }
    }
}
