//! From nothing to policies in force.

use std::{sync::Mutex, time::Duration};

use tokio::sync::Notify;

use super::{
    Core, Current, LoadError,
    confirm::{Before, Found, Trial, not_confirmed, rolled_back},
    feeds,
    load::{FELL_BACK, Loaded, confirmed, kept_changes, last_good, load},
    lock, now, request,
    reset::Saved,
};
use crate::{
    clock,
    config::Settings,
    datapath::{Deadline, Filter, OtherVersions, Reader},
    feeds::DiskAndFeeds,
    policy::{Moment, RuntimeOverlay},
    snapshot::ReloadSnapshot,
    state_dir::NotConfirmed,
};

/// What a start is asked for beside the settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// How long what it puts in force waits to be confirmed; `None`: it need
    /// not be.
    pub confirm: Option<Duration>,
    /// Save what another version counted, and take its filter over.
    pub reset_state: bool,
}

/// What to put in force.
struct Begin {
    /// Can be used.
    loaded: Loaded,
    /// Why these are not the files as they are now.
    error: Option<String>,
    wait: Option<Wait>,
    not_confirmed: Option<NotConfirmed>,
}

/// Until when it is to be confirmed.
#[derive(Clone, Copy)]
enum Wait {
    /// So long from the time at which it is in force.
    For(Duration),
    /// As long as what an earlier daemon put in force.
    Until(Deadline),
}

impl Core {
    /// Reads the policies and puts them in force. Where it fails, what was in
    /// force before is in force after.
    pub fn start(mut settings: Settings, how: Start) -> Result<(Self, Vec<String>), LoadError> {
        let started = now();
        let mut notes = Vec::new();
        let moment = clock::now();
        let mut runtime = kept_changes(&settings, &mut notes);
        let ended = runtime.remove_ended(&moment);
        notes.extend(ended.iter().map(|change| format!("`{change}` has ended")));
        let begin = begin(&settings, how, &runtime, &moment)?;
        notes.splice(0..0, begin.error.clone());
        let Begin {
            loaded,
            error,
            wait,
            not_confirmed,
        } = begin;
        let usable = loaded.result?;
        let others = if how.reset_state {
            OtherVersions::TakeOver
        } else {
            OtherVersions::Refuse
        };
        let mut filter = Filter::open(&settings.pin_dir, others)?;
        filter.pin_dir().clone_into(&mut settings.pin_dir);
        let deadline = wait.map(Wait::deadline);
        let before = deadline
            .map(|_| confirmed(&settings, &runtime, &moment))
            .transpose()?
            .flatten();
        let saved = keep_deadline(&settings, deadline)
            .and_then(|()| Saved::new(&filter, &settings, &moment))
            .inspect_err(|_| filter.give_up())?;
        let applied = filter.apply(&request(&settings, &usable.ruleset, deadline));
        if applied.is_err() && matches!(wait, Some(Wait::For(_))) {
            NotConfirmed::remove(&settings.state_dir)?;
        }
        let applied = applied?;
        notes.extend(Some(loaded.warnings).filter(|warnings| !warnings.is_empty()));
        notes.extend(applied.notes);
        notes.extend(saved.finish(&mut filter));
        let mut current = Current {
            runtime,
            trial: deadline.map(|deadline| Trial {
                deadline,
                before: before
                    .filter(|_| applied.has_previous)
                    .and_then(Before::loaded),
            }),
            not_confirmed,
            feeds: loaded.feeds.clone(),
            reload: Some(ReloadSnapshot {
                success: error.is_none(),
                timestamp: now(),
                error,
            }),
            files: loaded.files,
            ..Current::default()
        };
        current.take(usable, &moment);
        if current
            .reload
            .as_ref()
            .is_some_and(|reload| !reload.success)
        {
            // They are kept already.
            current.to_keep = None;
        }
        let core = Self {
            reader: Reader::open(&settings.pin_dir)?,
            filter: Mutex::new(Some(filter)),
            current: Mutex::new(current),
            loggers: Mutex::new(applied.loggers),
            reloaded: Notify::new(),
            feeds: feeds::Feeds::default(),
            settings,
            started,
        };
        core.note_feeds(&loaded.feeds);
        core.keep_edges(&lock(&core.current), &moment);
        if let Some(filter) = &*lock(&core.filter) {
            let waiting = core.waiting(filter, None)?;
            lock(&core.current).waiting = waiting;
        }
        Ok((core, notes))
    }
}

impl Wait {
    fn deadline(self) -> Deadline {
        match self {
            Self::For(within) => Deadline::after(within),
            Self::Until(deadline) => deadline,
        }
    }
}

/// Reads what can be put in force: the files, and where those cannot be used or
/// were not confirmed, what was in force for good.
fn begin(
    settings: &Settings,
    how: Start,
    runtime: &RuntimeOverlay,
    moment: &Moment,
) -> Result<Begin, LoadError> {
    let found = Found::look(settings)?;
    let wait = match (how.confirm, found) {
        (Some(within), _) => Some(Wait::For(within)),
        (None, Found::Waiting(deadline)) => Some(Wait::Until(deadline)),
        (None, Found::InVain(kept)) => return begin_without_files(settings, kept, runtime, moment),
        (None, Found::Nothing) => None,
    };
    let files = DiskAndFeeds::new(&settings.state_dir);
    let mut loaded = load(settings, &files, runtime, moment);
    let Err(LoadError::Policies(errors)) = loaded.result else {
        return Ok(Begin {
            loaded,
            error: None,
            wait,
            not_confirmed: None,
        });
    };
    loaded.result = Ok(last_good(&errors, settings, runtime, moment)?);
    Ok(Begin {
        loaded,
        error: Some(format!("{FELL_BACK}\n{errors}")),
        wait: None,
        not_confirmed: found.not_confirmed(),
    })
}

/// The files were not confirmed: what was before them.
fn begin_without_files(
    settings: &Settings,
    kept: NotConfirmed,
    runtime: &RuntimeOverlay,
    moment: &Moment,
) -> Result<Begin, LoadError> {
    let never = || LoadError::NeverConfirmed {
        path: NotConfirmed::path(&settings.state_dir),
    };
    let loaded = confirmed(settings, runtime, moment)?.ok_or_else(never)?;
    Ok(Begin {
        loaded,
        error: Some(rolled_back(&kept)),
        wait: None,
        not_confirmed: Some(kept),
    })
}

/// Before the kernel is told: whoever is interrupted has not taken the files
/// for good.
fn keep_deadline(settings: &Settings, deadline: Option<Deadline>) -> Result<(), LoadError> {
    if let Some(deadline) = deadline {
        not_confirmed(deadline).write(&settings.state_dir)?;
    }
    Ok(())
}
