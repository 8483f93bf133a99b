//! What reads bytes of others, tried on bytes that nobody meant it to read.
//!
//! Each function of [`targets`] takes any bytes and panics where a reader broke
//! a promise. libFuzzer calls them (`fuzz_targets/`), and so does an ordinary
//! test, with a bounded number of mutations ([`mutate`]) of the same seeds.

pub mod mutate;
pub mod seeds;
pub mod server;
pub mod targets;

/// A function to try, by name.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Also the name of its fuzz target and of its folder in `corpus/`.
    pub name: &'static str,
    /// Panics where a promise is broken.
    pub run: fn(&[u8]),
    /// Files and folders of the source tree that hold seeds, beside `corpus/`.
    pub seeds: &'static [&'static str],
}

/// All of them, sorted by name.
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
        name: "policy",
        run: targets::policy,
        seeds: &["monitor/tests/policies/bad", "policies"],
    },
    Target {
        name: "server",
        run: server::server,
        seeds: &[],
    },
    Target {
        name: "state",
        run: targets::state,
        seeds: &[],
    },
];
