//! `make test-wifi`: access points with real WiFi stacks, and a table of what was tried.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::system::Tree;
use crate::vm::boot::{self, Outcome, Plan};
use crate::vm::kernel::Version;
use crate::vm::{Scenario, must_have_passed};

/// The options of `cargo xtask wifi`.
#[derive(clap::Args)]
pub(crate) struct WifiArguments {
    /// Kernel version (a Debian package).
    #[arg(long, value_enum, default_value = "6.12")]
    kernel: Version,
}

/// How stations log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    /// A shared key (WPA2-PSK).
    Wpa2,
    /// A shared password, by SAE.
    Wpa3,
}

/// Where the filter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seat {
    /// On wlan0, the interface of the access point.
    AccessPoint,
    /// On the bridge that hostapd puts wlan0 into.
    Bridge,
}

impl Seat {
    /// The interface with the filter and the gateway's addresses.
    pub(crate) const fn interface(self) -> &'static str {
        match self {
            Self::AccessPoint => "wlan0",
            Self::Bridge => "br-lan",
        }
    }
}

/// A part of a WiFi scenario, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Associate,
    Drop,
    Name,
    Doctor,
    Stations,
    Restart,
    Again,
    Evasion,
    Detach,
}

impl Step {
    pub(crate) const ALL: [Self; 9] = [
        Self::Associate,
        Self::Drop,
        Self::Name,
        Self::Doctor,
        Self::Stations,
        Self::Restart,
        Self::Again,
        Self::Evasion,
        Self::Detach,
    ];

    /// Key of the fact that says how the step ended.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Associate => "associate",
            Self::Drop => "drop",
            Self::Name => "name",
            Self::Doctor => "doctor",
            Self::Stations => "stations",
            Self::Restart => "restart",
            Self::Again => "again",
            Self::Evasion => "evasion",
            Self::Detach => "detach",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Associate => "two stations log in; DHCP and DNS answer",
            Self::Drop => "one station is dropped, the other goes on",
            Self::Name => "status, flows and report name the dropped station",
            Self::Doctor => "doctor says that stations reach each other",
            Self::Stations => "they do, unseen; with ap_isolate they do not",
            Self::Restart => "hostapd restarts; the filter is in force",
            Self::Again => "wlan0 is deleted and made again; so it is",
            Self::Evasion => "no evasion frame reaches the destination",
            Self::Detach => "after detach all packets arrive",
        }
    }
}

const RUNS: [(Scenario, &str); 4] = [
    (Scenario::Wifi, "WPA2 wlan0"),
    (Scenario::WifiWpa3, "WPA3 wlan0"),
    (Scenario::WifiBridge, "WPA2 bridge"),
    (Scenario::WifiBridgeWpa3, "WPA3 bridge"),
];

/// Runs all WiFi scenarios in one machine, and prints the table. Fails if one failed.
pub(crate) fn run(tree: &Tree, arguments: &WifiArguments) -> Result<()> {
    let plan = Plan {
        scenarios: &RUNS.map(|(scenario, _)| scenario),
        programs: &[],
    };
    let outcomes = boot::run(tree, arguments.kernel, &plan)?;
    println!("\n{}", table(&outcomes.scenarios));
    println!("Linux {}, {} s", outcomes.release, outcomes.took.as_secs());
    must_have_passed(&outcomes.scenarios)
}

/// One row for each step, one column for each run.
fn table(outcomes: &[Outcome]) -> String {
    let wide = Step::ALL.map(|step| step.text().len());
    let wide = wide.into_iter().max().unwrap_or_default();
    let mut text = format!("{:wide$}", "");
    for (_, name) in RUNS {
        text.extend(["  ", name]);
    }
    for step in Step::ALL {
        let step_name = format!("\n{:wide$}", step.text());
        text.push_str(&step_name);
        for (scenario, name) in RUNS {
            let mut of_run = outcomes.iter();
            let outcome = of_run.find(|outcome| outcome.scenario == scenario);
            let result = outcome.map_or("not run", |outcome| result(&outcome.facts, step));
            let cell = format!("  {result:length$}", length = name.len());
            text.push_str(&cell);
        }
    }
    text
}

fn result(facts: &BTreeMap<String, String>, step: Step) -> &str {
    facts.get(step.key()).map_or("not run", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_passed_failed_and_did_not_run() {
        let fact = |step: Step, value: &str| (step.key().to_owned(), value.to_owned());
        let outcomes = [Outcome {
            scenario: Scenario::WifiWpa3,
            failure: Some("no".to_owned()),
            facts: [fact(Step::Associate, "passed"), fact(Step::Drop, "FAILED")].into(),
        }];
        let table = table(&outcomes);
        let results: Vec<Vec<&str>> = table
            .lines()
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty())
                    .collect()
            })
            .collect();
        assert_eq!(
            results[0],
            ["WPA2 wlan0", "WPA3 wlan0", "WPA2 bridge", "WPA3 bridge"]
        );
        assert_eq!(results[1][1..], ["not run", "passed", "not run", "not run"]);
        assert_eq!(results[2][2], "FAILED");
        assert_eq!(results[3][2], "not run");
        assert_eq!(results.len(), 1 + Step::ALL.len());
    }

    #[test]
    fn each_step_has_a_key_of_its_own() {
        let mut keys = Step::ALL.map(Step::key).to_vec();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), Step::ALL.len());
    }
}
