//! Errors that occur while a ruleset is put in force or its counters are read.

use std::{io, path::PathBuf};

use aya::{EbpfError, maps::MapError, programs::ProgramError, util::KernelVersion};

use crate::{compile::TooLarge, policy::Role, trusted::UntrustedError};

/// A failed operation on the kernel, with its object and the fix.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process may not load programs or attach them.
    #[error(
        "{operation}: permission denied; run as root, or with the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
    )]
    Permission {
        /// Operation that failed.
        operation: String,
    },

    /// The kernel lacks a feature.
    #[error("{feature} needs Linux {needs} or later, and this is {found}; upgrade the kernel")]
    KernelTooOld {
        /// Missing feature.
        feature: &'static str,
        /// First Linux version with the feature.
        needs: &'static str,
        /// Linux version that runs.
        found: String,
    },

    /// A bridge and one of its ports are both filtered, so the same packets would
    /// be seen twice.
    #[error(
        "interface {port} is a port of the bridge {bridge}, and both were given: packets would be counted twice; give one of them"
    )]
    BridgeAndPort {
        /// The port.
        port: String,
        /// Its bridge.
        bridge: String,
    },

    /// The interface has no Ethernet frames, so the filter cannot read its packets.
    #[error("{advice}")]
    NotEthernet {
        /// The interface, the reason and the fix.
        advice: String,
    },

    /// Another XDP program runs on the interface. The daemon does not replace it.
    #[error("attach XDP to {interface}: {holder} holds it; {fix}")]
    Occupied {
        /// Interface.
        interface: String,
        /// Program and process that hold it.
        holder: String,
        /// What the operator can do.
        fix: String,
    },

    /// DNS answers cannot be copied on their way to the devices.
    #[error("copy the DNS answers that leave through {interface}: {why}")]
    DnsCopies {
        /// Interface.
        interface: String,
        /// The reason.
        why: String,
    },

    /// The driver does not support XDP in native mode.
    #[error(
        "attach XDP to {interface} in native mode: its driver cannot ({source}); use --mode generic or --mode auto"
    )]
    NoNativeMode {
        /// Interface.
        interface: String,
        /// Error from the kernel.
        source: io::Error,
    },

    /// The driver does not support XDP in native mode for frames of this size.
    #[error(
        "attach XDP to {interface} in native mode with an MTU of {mtu}: its driver refuses it ({source}); use frags: auto and Linux 5.18 or later, a smaller MTU, or --mode generic"
    )]
    LargeMtu {
        /// Interface.
        interface: String,
        /// Its MTU in bytes.
        mtu: u32,
        /// Error from the kernel.
        source: io::Error,
    },

    /// A trial cannot change `frags`, because its program hands over to the previous one.
    #[error(
        "{interface}: `frags` cannot change in a trial; change it without --confirm, or keep it"
    )]
    FragsInTrial {
        /// Interface.
        interface: String,
    },

    /// One interface is configured with both roles.
    #[error(
        "{interface} has two roles: {name} makes it `{role}`, and another entry makes it `{other}`; name it once"
    )]
    TwoRoles {
        /// The kernel's name of the interface.
        interface: String,
        /// The name in the configuration.
        name: String,
        /// Role by this name.
        role: Role,
        /// Role by the other entry.
        other: Role,
    },

    /// The kernel refused to create a link.
    #[error("attach the filter to {interface} in {mode} mode: {source}")]
    Attach {
        /// Interface.
        interface: String,
        /// `native`, `generic` or `tcx`.
        mode: &'static str,
        /// Error from the kernel.
        source: io::Error,
    },

    /// The kernel refused to replace the program of a link.
    #[error("replace the program on {interface}: {source}")]
    Replace {
        /// Interface.
        interface: String,
        /// Error from the kernel.
        source: io::Error,
    },

    /// Another process holds the lock of the pin directory.
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

    /// The pinned link of this interface is attached to another interface. The
    /// other interface has another name or is in another network namespace.
    #[error(
        "the filter pinned for {interface} under {} is attached to another interface: {interface} was renamed, or is in another network namespace; give this daemon another --pin-dir, or remove that filter with `monitor detach --pin-dir {}`",
        crate::printable::path(path),
        crate::printable::path(path)
    )]
    AttachedElsewhere {
        /// Interface name of the link.
        interface: String,
        /// Pin directory.
        path: PathBuf,
    },

    /// A filter of `clsact` can be seen in its own network namespace only.
    #[error(
        "the filter at the egress of {interface} is in another network namespace; run this command there, for example by `ip netns exec`; if that namespace is gone, remove {}",
        crate::printable::path(path)
    )]
    OtherNamespace {
        /// Interface name.
        interface: String,
        /// The mark of the filter.
        path: PathBuf,
    },

    /// The program in force has no pin. Finding it by its id requires
    /// `CAP_SYS_ADMIN`.
    #[error(
        "the program in force is not pinned any more, and only root may find it: start once as root, or remove it with `monitor detach`"
    )]
    OnlyRootFinds,

    /// A swap failed, and the filter that was in force before could not be restored.
    #[error("{first}; and the filter that was in force before could NOT be restored: {undo}")]
    NotUndone {
        /// Error of the swap.
        first: Box<Error>,
        /// Error of the restoration.
        undo: Box<Error>,
    },

    /// The pin directory is not on a BPF file system, so no BPF object can be
    /// pinned there.
    #[error(
        "{} is not on a BPF file system; mount one with `mount -t bpf -o mode=0700 bpf /sys/fs/bpf`, or give another --pin-dir",
        crate::printable::path(path)
    )]
    NotBpffs {
        /// Pin directory.
        path: PathBuf,
    },

    /// Another user could replace pins.
    #[error(transparent)]
    Untrusted(#[from] UntrustedError),

    /// All links were detached, but an interface still runs a program of this
    /// filter.
    #[error(
        "{interface} STILL RUNS a program of this filter (program id {program}): its link is not pinned under {} any more, so another process holds it or it was moved. {way} Counters and pins were left as they are; run `monitor detach` once more after that",
        crate::printable::path(path)
    )]
    StillRuns {
        /// Interface of this network namespace.
        interface: String,
        /// Id of the program.
        program: u32,
        /// Directory that should hold the pin of the link.
        path: PathBuf,
        /// How to detach the program.
        way: String,
    },

    /// Nothing is pinned here, but an interface runs a filter.
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
        /// How to detach the program without its pin.
        way: String,
    },

    /// The pins are those of another version with another layout.
    #[error(
        "{} holds the filter and the counters of another version of monitor; `monitor run --reset-state` saves the counters as a file and takes the filter over without a gap, `monitor detach --pin-dir {}` removes both",
        crate::printable::path(path),
        crate::printable::path(path)
    )]
    OtherVersion {
        /// Pin directory.
        path: PathBuf,
    },

    /// The ruleset has too many prefixes.
    #[error("{0}; {fix}", fix = TooLarge::FIX)]
    TooLarge(#[from] TooLarge),

    /// All slots are in use. A slot stays in use after its policy or interface is
    /// removed.
    #[error(
        "all {capacity} {kind} slots are in use, also by those no longer in force; `monitor detach` frees them, and forgets their counters"
    )]
    NoSlot {
        /// `policy` or `interface`.
        kind: &'static str,
        /// Number of slots.
        capacity: u32,
    },

    /// The generation in force needs no confirmation.
    #[error("nothing waits to be confirmed: the generation in force is permanent")]
    NothingToConfirm,

    /// The deadline has passed, and the kernel has gone back to the generation
    /// before.
    #[error(
        "generation {generation} was not confirmed within {within} s, so the kernel went back to what was in force before; put it in force once more with `monitor reload --confirm 60s`"
    )]
    NotConfirmedInTime {
        /// Number of the generation that was not confirmed.
        generation: u64,
        /// Time that it had, in seconds.
        within: u64,
    },

    /// No filter is pinned in the pin directory.
    #[error("no filter is in force under {}", crate::printable::path(path))]
    NotAttached {
        /// Pin directory.
        path: PathBuf,
    },

    /// The kernel's verifier refused the program.
    #[error("the kernel refused the program: {0}")]
    Verifier(String),

    /// An operation on a pin failed.
    #[error("{operation} {}: {source}", crate::printable::path(path))]
    Pin {
        /// Operation that failed.
        operation: &'static str,
        /// Path of the pin.
        path: PathBuf,
        /// Error from the kernel.
        source: io::Error,
    },

    /// An operation on a map failed.
    #[error("{operation} map {map}: {source}")]
    Map {
        /// Operation that failed.
        operation: &'static str,
        /// Name of the map.
        map: &'static str,
        /// Error from aya.
        source: MapError,
    },

    /// A system call that does not go through aya failed.
    #[error("{operation}: {source}")]
    System {
        /// Operation that failed.
        operation: String,
        /// Error from the kernel.
        source: io::Error,
    },

    /// The object cannot be loaded.
    #[error("load the program: {0}")]
    Load(#[source] EbpfError),

    /// The program cannot be loaded, pinned or run.
    #[error("{operation}: {source}")]
    Program {
        /// Operation that failed.
        operation: &'static str,
        /// Error from aya.
        source: ProgramError,
    },

    /// Two or more errors of a tear-down.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several(Vec<Error>),
}

impl Error {
    /// Combines the errors of a tear-down; `Ok` if there are none.
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
