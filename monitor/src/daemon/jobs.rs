//! Jobs of the main loop, one for each event. Clients and feeds reload with them too.

use std::{convert::Infallible, io, sync::Arc};

use tracing::{error, info, warn};

use super::{
    blocking::blocking,
    core::{Core, ReloadOutcome, Trigger},
    events::{Event, RETRY},
    manager,
};
use crate::clock;

pub(super) async fn work_on(core: Arc<Core>, event: Event) {
    let core = &core;
    match event {
        Event::Asked => drop(reload(core, Trigger::Request).await),
        Event::Unsaved(saving) => saving.save(core).await,
        // The end of this empty job is enough: the files of the new policies are watched then.
        Event::Reloaded => {}
        Event::Edge => pass_edge(core).await,
        Event::Deadline => roll_back(core).await,
        Event::Addresses(waited) => look_at_addresses(core, waited).await,
        Event::Unfiltered => attach_to_new(core).await,
        Event::Files => files_changed(core).await,
    }
}

/// Makes the kernel's roll-back at the deadline permanent.
async fn roll_back(core: &Arc<Core>) {
    match blocking(core, Core::roll_back).await {
        Ok(rolled_back) => {
            core.evidence().drain_soon();
            if let Some(told) = rolled_back.told {
                error!("{told}");
            }
            for change in rolled_back.changes {
                info!("{change}");
            }
            if let Some(error) = rolled_back.behind {
                error!("the restored policies could not be brought up to date: {error}");
            }
        }
        Err(error) => {
            error!(
                "the generation that was not confirmed no longer decides, but could not be removed: {error}"
            );
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn files_changed(core: &Arc<Core>) {
    if core.is_rolled_back() {
        info!(
            "the policy files changed; they were not confirmed, so only `monitor reload` loads them"
        );
    }
    drop(reload(core, Trigger::File).await);
}

/// Puts the changes of schedules and ends in force that are due now.
async fn pass_edge(core: &Arc<Core>) {
    match blocking(core, |core| core.pass_edge(&clock::now())).await {
        Ok(changes) => {
            for change in changes {
                info!("{change}");
            }
        }
        Err(error) => error!("a change by a schedule could not be put in force: {error}"),
    }
}

/// Attaches to interfaces that appeared, then judges the policies in force for the current
/// addresses of the gateway. Logs a new risk as a warning; the policies stay in force.
async fn look_at_addresses(core: &Arc<Core>, waited: io::Result<()>) {
    if let Err(error) = waited {
        error!("watch the addresses of this machine: {error}");
        tokio::time::sleep(RETRY).await;
    }
    attach_to_new(core).await;
    match blocking(core, Core::recheck).await {
        Ok(changes) => {
            for risk in changes.new {
                warn!(
                    "{} ({}): it stays in force, and a reload would be refused; {}",
                    risk.message, risk.source, risk.help
                );
            }
            if changes.gone > 0 {
                info!(
                    "risks that are gone since addresses changed: {}",
                    changes.gone
                );
            }
        }
        Err(error) => error!("check the changed addresses: {error}"),
    }
}

/// Attaches to interfaces that appeared.
async fn attach_to_new(core: &Arc<Core>) {
    match blocking(core, Core::look_at_interfaces).await {
        Ok(changes) => {
            for change in changes {
                warn!("{change}");
            }
        }
        Err(error) => error!("check the changed interfaces: {error}"),
    }
}

/// Reloads the policies and logs the result. Fails only if the reload panics.
pub(super) async fn reload(core: &Arc<Core>, trigger: Trigger) -> Result<ReloadOutcome, String> {
    let reload =
        move |core: &Core| Ok::<_, Infallible>(manager::reloading(core, || core.reload(trigger)));
    let outcome = blocking(core, reload).await;
    core.evidence().drain_soon();
    match &outcome {
        Ok(ReloadOutcome::Tried(reloaded)) => {
            for note in &reloaded.notes {
                warn!("{}", note.trim_end());
            }
            let in_force = reloaded.in_force();
            match &reloaded.reload.error {
                None => info!("{in_force}"),
                Some(error) => error!("the reload failed, {in_force}:\n{}", error.trim_end()),
            }
        }
        Ok(ReloadOutcome::Detached | ReloadOutcome::Unchanged) => {}
        Err(error) => error!("the reload failed, see `monitor status`: {error}"),
    }
    outcome
}
