//! `make test-kernels`: the filter and tests of this project on Debian's kernels and on the
//! running one. docs/kernels.md gets a table of what each kernel has.

mod running;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum as _;

use self::table::Row;
use crate::system::Tree;
use crate::vm::boot::{self, Outcome, Outcomes, Plan};
use crate::vm::kernel::Version;
use crate::vm::{Scenario, programs};

/// The page with the table.
const PAGE: &str = "docs/kernels.md";
/// Where the running kernel is from, in the table.
const RUNNING: &str = "machine of the tests";
/// Scenarios on each of Debian's kernels.
const SCENARIOS: [Scenario; 5] = [
    Scenario::Load,
    Scenario::Vlan,
    Scenario::Wifi,
    Scenario::Doctor,
    Scenario::Tests,
];

/// The options of `cargo xtask kernels`.
#[derive(clap::Args)]
pub(crate) struct KernelsArguments {
    /// Kernel version (a Debian package; repeatable) [default: all, and the running kernel].
    #[arg(long = "kernel", value_enum, value_name = "VERSION")]
    kernels: Vec<Version>,
    /// The running kernel only, or also.
    #[arg(long)]
    running: bool,
    /// Program of tests that was built before (repeatable) [default: build all].
    #[arg(long = "program", value_name = "FILE")]
    programs: Vec<PathBuf>,
}

/// A kernel to test.
#[derive(Clone, Copy, Debug)]
enum Subject {
    Debian(Version),
    Running,
}

impl Subject {
    fn origin(self) -> &'static str {
        match self {
            Self::Debian(version) => version.origin(),
            Self::Running => RUNNING,
        }
    }
}

/// Tests each kernel, and writes the table if no test failed.
pub(crate) fn run(tree: &Tree, arguments: &KernelsArguments) -> Result<()> {
    let programs = if arguments.programs.is_empty() {
        programs::build(&tree.root)?
    } else {
        arguments.programs.clone()
    };
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for subject in subjects(arguments) {
        let began = Instant::now();
        match try_one(tree, subject, &programs) {
            Ok(row) => rows.push(row),
            Err(error) => failed.push(format!("{}: {error:#}", subject.origin())),
        }
        println!("{}: {} s", subject.origin(), began.elapsed().as_secs());
    }
    let path = tree.root.join(PAGE);
    let page = fs::read_to_string(&path).context(PAGE)?;
    let page = table::write(&page, &rows)?;
    println!("\n{}", table::shown(&page)?);
    if !failed.is_empty() {
        bail!("{PAGE} stays as it is:\n{}", failed.join("\n"));
    }
    fs::write(&path, page).context(PAGE)?;
    println!("{PAGE} has this table.");
    Ok(())
}

fn subjects(arguments: &KernelsArguments) -> Vec<Subject> {
    let all = arguments.kernels.is_empty() && !arguments.running;
    let debian = if all {
        Version::value_variants()
    } else {
        &arguments.kernels[..]
    };
    let mut subjects: Vec<_> = debian.iter().copied().map(Subject::Debian).collect();
    if all || arguments.running {
        subjects.push(Subject::Running);
    }
    subjects
}

fn try_one(tree: &Tree, subject: Subject, programs: &[PathBuf]) -> Result<Row> {
    let outcomes = match subject {
        Subject::Debian(version) => {
            let plan = Plan {
                scenarios: &SCENARIOS,
                programs,
            };
            boot::run(tree, version, &plan)?
        }
        Subject::Running => running::run(tree, programs)?,
    };
    row(subject, outcomes)
}

/// The row of a kernel on which no scenario failed.
fn row(subject: Subject, outcomes: Outcomes) -> Result<Row> {
    super::must_have_passed(&outcomes.scenarios)?;
    let mut facts: BTreeMap<String, String> = BTreeMap::new();
    for Outcome {
        scenario,
        facts: found,
        ..
    } in outcomes.scenarios
    {
        if scenario == Scenario::Wifi {
            facts.insert("wifi".to_owned(), "generic".to_owned());
        }
        facts.extend(found);
    }
    // The tests do not run WiFi on the running kernel. Any other fact must be there.
    let mut missing = table::missing(&facts);
    missing.retain(|key| !(matches!(subject, Subject::Running) && *key == "wifi"));
    ensure!(
        missing.is_empty(),
        "no scenario said this: {}",
        missing.join(", ")
    );
    Row::new(&outcomes.release, subject.origin(), &facts)
}
