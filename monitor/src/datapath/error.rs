//! What can go wrong between the ruleset and the kernel.

use std::{io, path::PathBuf};

use aya::{EbpfError, maps::MapError, programs::ProgramError, util::KernelVersion};

use crate::{compile::TooLarge, trusted::UntrustedError};

/// An operation on the kernel that failed, what it was about, and the mend.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process may not load programs or attach them.
    #[error(
        "{operation}: permission denied; run as root, or with the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
    )]
    Permission {
        /// What was tried.
        operation: String,
    },

    /// The kernel lacks a feature.
    #[error("{feature} needs Linux {needs} or later, and this is {found}; upgrade the kernel")]
    KernelTooOld {
        /// What is missing.
        feature: &'static str,
        /// Version that has it.
        needs: &'static str,
        /// Version that runs.
        found: String,
    },

    /// The same packets would be seen twice.
    #[error(
        "interface {port} is a port of the bridge {bridge}, and both were given: packets would be counted twice; give one of them"
    )]
    BridgeAndPort {
        /// The port.
        port: String,
        /// Its bridge.
        bridge: String,
    },

    /// Something else runs on the interface, and is not replaced unasked.
    #[error("attach XDP to {interface}: {holder} holds it; {mend}")]
    Occupied {
        /// Interface.
        interface: String,
        /// Program and process that hold it.
        holder: String,
        /// How to go on.
        mend: String,
    },

    /// The driver has no XDP support of its own.
    #[error(
        "attach XDP to {interface} in native mode: its driver cannot ({source}); use --mode generic or --mode auto"
    )]
    NoNativeMode {
        /// Interface.
        interface: String,
        /// The kernel's answer.
        source: io::Error,
    },

    /// A link could not be made.
    #[error("attach XDP to {interface} in {mode} mode: {source}")]
    Attach {
        /// Interface.
        interface: String,
        /// `native` or `generic`.
        mode: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },

    /// A link could not be moved to the new generation.
    #[error("replace the program on {interface}: {source}")]
    Replace {
        /// Interface.
        interface: String,
        /// The kernel's answer.
        source: io::Error,
    },

    /// Another daemon has this pin directory.
    #[error(
        "{} is in use by {holder}; stop that daemon, or give this one another --pin-dir",
        crate::printable::path(path)
    )]
    Locked {
        /// Pin directory.
        path: PathBuf,
        /// Process that holds the lock.
        holder: String,
    },

    /// The pinned link of this name runs on another interface, of another name
    /// or in another network namespace.
    #[error(
        "the filter pinned for {interface} under {} is attached to another interface: {interface} was renamed, or is in another network namespace; give this daemon another --pin-dir, or remove that filter with `monitor detach --pin-dir {}`",
        crate::printable::path(path),
        crate::printable::path(path)
    )]
    AttachedElsewhere {
        /// Name of the link.
        interface: String,
        /// Pin directory.
        path: PathBuf,
    },

    /// Without its pin a program is found by its id, which takes `CAP_SYS_ADMIN`.
    #[error(
        "the program in force is not pinned any more, and only root may find it: start once as root, or remove it with `monitor detach`"
    )]
    OnlyRootFinds,

    /// A swap failed, and so did a part of its undoing.
    #[error("{first}; and what was in force before could NOT be put back: {undo}")]
    NotUndone {
        /// Why the swap failed.
        first: Box<Error>,
        /// Why the undoing did.
        undo: Box<Error>,
    },

    /// The pin directory must outlive the process and hold BPF objects.
    #[error(
        "{} is not on a BPF file system; mount one with `mount -t bpf -o mode=0700 bpf /sys/fs/bpf`, or give another --pin-dir",
        crate::printable::path(path)
    )]
    NotBpffs {
        /// Pin directory.
        path: PathBuf,
    },

    /// Another user could exchange what is pinned.
    #[error(transparent)]
    Untrusted(#[from] UntrustedError),

    /// What was detached is not what the interface runs.
    #[error(
        "{interface} STILL RUNS a program of this filter (program id {program}): its link is not pinned under {} any more, so another process holds it or it was moved. {way} Counters and pins were left as they are; run `monitor detach` once more after that",
        crate::printable::path(path)
    )]
    StillRuns {
        /// Interface of this network namespace.
        interface: String,
        /// Id of the program.
        program: u32,
        /// Where the link should be.
        path: PathBuf,
        /// How to end it.
        way: String,
    },

    /// Nothing is pinned here, and an interface runs a filter nevertheless.
    #[error(
        "no filter is in force under {}, but {interface} runs one (program id {program}) that is pinned elsewhere; name its directory with --pin-dir. {way}",
        crate::printable::path(path)
    )]
    PinnedElsewhere {
        /// Pin directory.
        path: PathBuf,
        /// Interface of this network namespace.
        interface: String,
        /// Id of the program.
        program: u32,
        /// How to end it without its pins.
        way: String,
    },

    /// Pins that another version left, with another layout.
    #[error(
        "{} holds the filter and the counters of another version of monitor; `monitor run --reset-state` saves the counters as a file and takes the filter over without a gap, `monitor detach --pin-dir {}` removes both",
        crate::printable::path(path),
        crate::printable::path(path)
    )]
    OtherVersion {
        /// Pin directory.
        path: PathBuf,
    },

    /// The prefixes of the ruleset are too many.
    #[error("{0}; {fix}", fix = TooLarge::FIX)]
    TooLarge(#[from] TooLarge),

    /// All slots are taken by policies of the past and the present.
    #[error(
        "all {capacity} {kind} slots are in use, also by those no longer in force; `monitor detach` frees them, and forgets their counters"
    )]
    NoSlot {
        /// `policy` or `interface`.
        kind: &'static str,
        /// How many there are.
        capacity: u32,
    },

    /// What is in force does not wait for it.
    #[error("nothing waits to be confirmed: what is in force is so for good")]
    NothingToConfirm,

    /// The kernel went back already.
    #[error(
        "generation {generation} was not confirmed within {within} s, and what was in force before it decides again; put it in force once more with `monitor reload --confirm 60s`"
    )]
    NotConfirmedInTime {
        /// Its number.
        generation: u64,
        /// In seconds.
        within: u64,
    },

    /// Nothing is pinned.
    #[error("no filter is in force under {}", crate::printable::path(path))]
    NotAttached {
        /// Pin directory.
        path: PathBuf,
    },

    /// The kernel's verifier refused the program.
    #[error("the kernel refused the program: {0}")]
    Verifier(String),

    /// A file of the pin directory.
    #[error("{operation} {}: {source}", crate::printable::path(path))]
    Pin {
        /// What was tried.
        operation: &'static str,
        /// Where.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },

    /// A map.
    #[error("{operation} map {map}: {source}")]
    Map {
        /// What was tried.
        operation: &'static str,
        /// Name.
        map: &'static str,
        /// The library's answer.
        source: MapError,
    },

    /// A system call outside the library.
    #[error("{operation}: {source}")]
    System {
        /// What was tried.
        operation: String,
        /// The kernel's answer.
        source: io::Error,
    },

    /// Loading the object.
    #[error("load the program: {0}")]
    Load(#[source] EbpfError),

    /// Loading, pinning or running the program.
    #[error("{operation}: {source}")]
    Program {
        /// What was tried.
        operation: &'static str,
        /// The library's answer.
        source: ProgramError,
    },

    /// Several errors of a tear-down, all of them.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several(Vec<Error>),
}

impl Error {
    /// One error for all that a tear-down met, or `Ok` where it met none.
    pub(super) fn collect(mut errors: Vec<Self>) -> Result<(), Self> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Several(errors)),
        }
    }

    pub(super) fn system(operation: impl Into<String>, source: io::Error) -> Self {
        let operation = operation.into();
        if is_permission(&source) {
            return Self::Permission { operation };
        }
        Self::System { operation, source }
    }

    pub(super) fn find(source: ProgramError) -> Self {
        if source_is_permission(&source) {
            return Self::OnlyRootFinds;
        }
        Self::Program {
            operation: "find the program in force",
            source,
        }
    }

    pub(super) fn load(source: EbpfError) -> Self {
        if source_is_permission(&source) {
            return Self::Permission {
                operation: "create maps".to_owned(),
            };
        }
        Self::Load(source)
    }

    pub(super) fn program(operation: &'static str, source: ProgramError) -> Self {
        if let ProgramError::LoadError {
            io_error,
            verifier_log,
        } = &source
        {
            if is_permission(io_error) && verifier_log.to_string().trim().is_empty() {
                return Self::Permission {
                    operation: operation.to_owned(),
                };
            }
            let log = verifier_log.to_string();
            if log.contains("tail_calls are not allowed") {
                return Self::KernelTooOld {
                    feature: "a generation that is to be confirmed",
                    needs: "5.10 on x86-64, 6.0 on arm64",
                    found: kernel_version(),
                };
            }
            return Self::Verifier(format!("{io_error}\n{log}"));
        }
        Self::Program { operation, source }
    }
}

fn kernel_version() -> String {
    KernelVersion::current().map_or_else(|_| "unknown".to_owned(), |version| version.to_string())
}

fn is_permission(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES))
}

fn source_is_permission(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut source = Some(error);
    while let Some(error) = source {
        if error.downcast_ref().is_some_and(is_permission) {
            return true;
        }
        source = error.source();
    }
    false
}
