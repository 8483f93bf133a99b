//! Fuzzing of all code that reads untrusted bytes.
//!
//! Each function of [`targets`] takes arbitrary bytes and panics if a reader violates a
//! property. libFuzzer calls these functions (`fuzz_targets/`). An ordinary test calls them
//! too, with a bounded number of mutations ([`mutate`]) of the same seeds.

pub mod mutate;
pub mod seeds;
pub mod server;
pub mod targets;

/// A function to fuzz.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Name of the target, of its file in `fuzz_targets/` and of its folder in `corpus/`.
    pub name: &'static str,
    /// Panics if a property is violated.
    pub run: fn(&[u8]),
    /// Files and folders of the source tree with further seeds.
    pub seeds: &'static [&'static str],
}

/// All targets, sorted by name.
pub const TARGETS: &[Target] = &[
    Target {
        name: "archive",
        run: targets::archive,
        seeds: &[],
    },
    Target {
        name: "capture",
        run: targets::capture,
        seeds: &[],
    },
    Target {
        name: "config",
        run: targets::config,
        seeds: &[],
    },
    Target {
        name: "control",
        run: targets::control,
        seeds: &[],
    },
    Target {
        name: "database",
        run: targets::database,
        seeds: &["monitor/tests/policies/tables"],
    },
    Target {
        name: "devices",
        run: targets::devices,
        seeds: &[],
    },
    Target {
        name: "feed",
        run: targets::feed,
        seeds: &["monitor/tests/policies/bad/lists"],
    },
    Target {
        name: "kernel",
        run: targets::kernel,
        seeds: &[],
    },
    Target {
        name: "list",
        run: targets::list,
        seeds: &[
            "monitor/tests/policies/bad/formats",
            "monitor/tests/policies/bad/lists",
            "monitor/tests/policies/tables",
        ],
    },
    Target {
        name: "names",
        run: targets::names,
        seeds: &[],
    },
    Target {
        name: "policy",
        run: targets::policy,
        seeds: &["monitor/tests/policies/bad", "policies"],
    },
    Target {
        name: "report",
        run: targets::report,
        seeds: &[],
    },
    Target {
        name: "server",
        run: server::server,
        seeds: &[],
    },
    Target {
        name: "stamp",
        run: targets::stamp,
        seeds: &[],
    },
    Target {
        name: "state",
        run: targets::state,
        seeds: &[],
    },
];
