//! State of the policies in force. A call builds a new value, then replaces the old
//! one by it.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use jiff::Timestamp;

use crate::{
    compile::{self, Ruleset},
    datapath::Deadline,
    pipeline,
    policy::{DeviceNames, Feed, KnownLists, Policy, RuntimeOverlay},
    snapshot::ReloadSnapshot,
    state_dir::{NotConfirmed, UnsavedLastGood},
};

/// Everything that a reload, a command, a schedule or a roll-back changes. A
/// clone is cheap, because the large parts are shared.
#[derive(Clone)]
pub(super) struct State {
    /// The policies in force, and whether they stay.
    pub(super) stage: Stage,
    /// Changes by commands, on top of the files.
    pub(super) runtime: Arc<RuntimeOverlay>,
    /// The result of the last load of the policy files.
    pub(super) last_load: ReloadSnapshot,
    /// Every file that the policies were read from, or should have been.
    pub(super) files: Arc<BTreeSet<PathBuf>>,
}

/// The policies in force, and whether they stay in force.
#[derive(Clone)]
pub(super) enum Stage {
    /// The policies stay in force until they change.
    Settled {
        policies: PoliciesInForce,
        /// The files that the policies were read from, until the state directory
        /// has them.
        unsaved: Option<Arc<UnsavedLastGood>>,
    },
    /// The kernel goes back to the generation before at the deadline, unless an
    /// operator confirms.
    Unconfirmed {
        policies: PoliciesInForce,
        deadline: Deadline,
        /// Policies that come back; `None` if the daemon does not know them, or if
        /// there were none.
        before: Option<PoliciesInForce>,
        /// Saved once the policies are confirmed.
        unsaved: Option<Arc<UnsavedLastGood>>,
    },
    /// The policy files were not confirmed in time. A changed file alone does
    /// not load them.
    RolledBack {
        /// The policies before them, which are in force again; `None` if the daemon
        /// does not know them, or if there were none.
        policies: Option<PoliciesInForce>,
        kept: NotConfirmed,
    },
}

/// Policies, and the ruleset that the kernel has of them. A clone is cheap.
#[derive(Clone)]
pub(super) struct PoliciesInForce {
    /// Policies of the files and commands, as they are at `as_of`.
    pub(super) policies: Arc<[Policy]>,
    /// Names of devices, from the last files without errors.
    pub(super) devices: Arc<DeviceNames>,
    /// The lists to fetch for the policies.
    pub(super) feeds: Arc<[Feed]>,
    /// Time for which the daemon determined what each policy does.
    pub(super) as_of: Timestamp,
    pub(super) ruleset: Arc<Ruleset>,
    /// The lists of the last files without errors, which a reload takes over where their
    /// files did not change.
    pub(super) known: Arc<KnownLists>,
    /// True if the kernel may have another ruleset than these policies need: an
    /// earlier attempt failed, or the policies came back after a roll-back.
    pub(super) kernel_is_behind: bool,
}

impl PoliciesInForce {
    /// What the next compilation takes what did not change from.
    pub(super) fn for_a_compilation(&self) -> compile::Earlier<'_> {
        compile::Earlier {
            policies: &self.policies,
            ruleset: &self.ruleset,
        }
    }

    /// What a reload takes what did not change from.
    pub(super) fn for_a_reload(&self) -> pipeline::Earlier<'_> {
        pipeline::Earlier {
            known: &self.known,
            compiled: self.for_a_compilation(),
        }
    }
}

impl Stage {
    /// The policies in force; `None` if the daemon does not know them.
    pub(super) fn policies(&self) -> Option<&PoliciesInForce> {
        match self {
            Self::Settled { policies, .. } | Self::Unconfirmed { policies, .. } => Some(policies),
            Self::RolledBack { policies, .. } => policies.as_ref(),
        }
    }

    /// Time by which the policies can be confirmed; `None` if they need no
    /// confirmation.
    pub(super) fn deadline(&self) -> Option<Deadline> {
        match self {
            Self::Unconfirmed { deadline, .. } => Some(*deadline),
            Self::Settled { .. } | Self::RolledBack { .. } => None,
        }
    }

    /// Record of files that were not confirmed in time; `None` in other stages.
    pub(super) fn rolled_back(&self) -> Option<&NotConfirmed> {
        match self {
            Self::RolledBack { kept, .. } => Some(kept),
            Self::Settled { .. } | Self::Unconfirmed { .. } => None,
        }
    }

    /// Archive that the state directory lacks, and must hold before other policies
    /// come into force on trial.
    pub(super) fn to_save(&self) -> Option<&Arc<UnsavedLastGood>> {
        match self {
            Self::Settled { unsaved, .. } => unsaved.as_ref(),
            Self::Unconfirmed { .. } | Self::RolledBack { .. } => None,
        }
    }

    /// Records that the state directory holds `saved` now.
    pub(super) fn has_saved(&mut self, saved: &Arc<UnsavedLastGood>) {
        if let Self::Settled { unsaved, .. } = self
            && unsaved.as_ref().is_some_and(|own| Arc::ptr_eq(own, saved))
        {
            *unsaved = None;
        }
    }

    /// Replaces the policies, because time passed or a command changed them. The
    /// stage stays the same.
    pub(super) fn set_policies(&mut self, new: PoliciesInForce) {
        match self {
            Self::Settled { policies, .. } | Self::Unconfirmed { policies, .. } => *policies = new,
            Self::RolledBack { policies, .. } => *policies = Some(new),
        }
    }

    /// Stage after the policy files were loaded without a deadline. If an earlier
    /// load waits for its confirmation, the new policies wait for it too.
    pub(super) fn loaded(self, policies: PoliciesInForce, read: UnsavedLastGood) -> Self {
        let unsaved = Some(Arc::new(read));
        match self {
            Self::Unconfirmed {
                deadline, before, ..
            } => Self::Unconfirmed {
                policies,
                deadline,
                before,
                unsaved,
            },
            Self::Settled { .. } | Self::RolledBack { .. } => Self::Settled { policies, unsaved },
        }
    }

    /// Stage after the policy files were loaded with a `deadline`. If other
    /// policies already wait for a confirmation, the policies before those come
    /// back.
    pub(super) fn loaded_until(
        self,
        deadline: Deadline,
        policies: PoliciesInForce,
        read: UnsavedLastGood,
    ) -> Self {
        let before = match self {
            Self::Unconfirmed { before, .. } => before,
            Self::Settled { policies, .. } => Some(policies),
            Self::RolledBack { policies, .. } => policies,
        };
        Self::Unconfirmed {
            policies,
            deadline,
            before,
            unsaved: Some(Arc::new(read)),
        }
    }

    /// Stage after the operator confirmed.
    pub(super) fn confirmed(self) -> Self {
        match self {
            Self::Unconfirmed {
                policies, unsaved, ..
            } => Self::Settled { policies, unsaved },
            Self::Settled { .. } | Self::RolledBack { .. } => self,
        }
    }

    /// Stage after the deadline passed. The restored policies may need another
    /// ruleset than when they were last in force.
    pub(super) fn not_confirmed(self, kept: NotConfirmed) -> Self {
        let policies = match self {
            Self::Unconfirmed { before, .. } => before,
            Self::Settled { policies, .. } => Some(policies),
            Self::RolledBack { policies, .. } => policies,
        };
        let policies = policies.map(|policies| PoliciesInForce {
            kernel_is_behind: true,
            ..policies
        });
        Self::RolledBack { policies, kept }
    }
}
