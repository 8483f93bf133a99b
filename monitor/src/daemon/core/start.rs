//! From nothing to policies in force.

use std::{collections::BTreeSet, path::PathBuf, sync::Mutex, time::Duration};

use tokio::sync::Notify;

use super::{
    Core, Current, Liveness, LoadError,
    confirm::{Before, Found, Trial, kept_while, rolled_back},
    feeds,
    load::{FELL_BACK, Loaded, Usable, confirmed, kept_changes, last_good, load},
    lock, now, request,
    reset::Saved,
};
use crate::{
    clock,
    config::Settings,
    daemon::endpoints::Endpoints,
    datapath::{self, Applied, Deadline, Filter, OtherVersions, Reader, Request},
    error_text::error_text,
    feeds::DiskAndFeeds,
    policy::{Feed, Moment, RuntimeOverlay},
    snapshot::ReloadSnapshot,
    state_dir::NotConfirmed,
};

/// What a start is asked for beside the settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// How long what it puts in force waits to be confirmed; `None`: it need
    /// not be.
    pub confirm: Option<Duration>,
    /// Save what another version counted, and take its filter over.
    pub reset_state: bool,
}

/// What to put in force.
struct Begin {
    usable: Usable,
    feeds: Vec<Feed>,
    files: BTreeSet<PathBuf>,
    warnings: String,
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

/// What a start is about.
struct Start<'a> {
    settings: &'a Settings,
    runtime: &'a RuntimeOverlay,
    moment: &'a Moment,
}

impl Core {
    /// Reads the policies and puts them in force. Where it fails, what was in
    /// force before is in force after.
    pub fn start(mut settings: Settings, how: How) -> Result<(Self, Vec<String>), LoadError> {
        let started = now();
        // Nothing is read from there before.
        datapath::check_directory(&settings.pin_dir)?;
        let mut notes = Vec::new();
        let moment = clock::now();
        let runtime = standing_changes(&settings, &moment, &mut notes);
        let start = Start {
            settings: &settings,
            runtime: &runtime,
            moment: &moment,
        };
        let begin = start.begin(how.confirm)?;
        notes.splice(0..0, begin.error.clone());
        let mut filter = Filter::open(&settings.pin_dir, how.others())?;
        // Whatever may fail comes before the swap.
        let reader = Reader::open(filter.pin_dir())?;
        let (applied, trial) = start.put_in_force(&begin, &mut filter)?;
        notes.extend(
            Some(&begin.warnings)
                .filter(|text| !text.is_empty())
                .cloned(),
        );
        notes.extend(applied.notes);
        notes.extend(alternative_names(&settings)?);
        filter.pin_dir().clone_into(&mut settings.pin_dir);
        let core = Self {
            reader,
            filter: Mutex::new(Some(filter)),
            current: Mutex::new(begin.into_current(runtime, trial, &moment)),
            loggers: Mutex::new(applied.loggers),
            reloaded: Notify::new(),
            feeds: feeds::Feeds::default(),
            endpoints: Endpoints::new(&settings),
            liveness: Liveness::default(),
            devices: Mutex::default(),
            names_changed: Notify::new(),
            settings,
            started,
        };
        notes.extend(core.look_around(&moment));
        Ok((core, notes))
    }

    /// What belongs to policies that are in force; returns what went wrong: they
    /// are in force all the same.
    fn look_around(&self, moment: &Moment) -> Option<String> {
        let feeds = lock(&self.current).feeds.clone();
        self.note_feeds(&feeds);
        self.keep_edges(&lock(&self.current), moment);
        let waiting = self.waiting(lock(&self.filter).as_ref()?, None);
        match waiting {
            Ok(waiting) => {
                lock(&self.current).waiting = waiting;
                None
            }
            Err(error) => Some(error_text(&error)),
        }
    }
}

impl How {
    const fn others(self) -> OtherVersions {
        if self.reset_state {
            OtherVersions::TakeOver
        } else {
            OtherVersions::Refuse
        }
    }
}

/// A line for each interface that was asked for by an alternative name.
fn alternative_names(settings: &Settings) -> Result<Vec<String>, datapath::Error> {
    let mut notes = Vec::new();
    let real = settings.real_interfaces()?;
    for name in settings
        .interfaces
        .iter()
        .filter(|name| !real.contains(name))
    {
        let interface = datapath::name_of_alternative(name)?.unwrap_or_default();
        notes.push(format!(
            "{name} is an alternative name of {interface}: counters and metrics name {interface}"
        ));
    }
    Ok(notes)
}

/// What commands changed, and still stands.
fn standing_changes(
    settings: &Settings,
    moment: &Moment,
    notes: &mut Vec<String>,
) -> RuntimeOverlay {
    let mut runtime = kept_changes(settings, notes);
    let ended = runtime.remove_ended(moment);
    notes.extend(ended.iter().map(|change| format!("`{change}` has ended")));
    runtime
}

impl Start<'_> {
    /// Reads what can be put in force: the files, and where those cannot be used
    /// or were not confirmed, what was in force for good.
    fn begin(&self, confirm: Option<Duration>) -> Result<Begin, LoadError> {
        let Self {
            settings,
            runtime,
            moment,
        } = self;
        let found = Found::look(settings)?;
        let wait = match (confirm, found) {
            (Some(within), _) => Some(Wait::For(within)),
            (None, Found::Waiting(deadline)) => Some(Wait::Until(deadline)),
            (None, Found::InVain(kept)) => return self.begin_without_files(kept),
            (None, Found::Nothing) => None,
        };
        let files = DiskAndFeeds::new(&settings.state_dir);
        let mut loaded = load(settings, &files, runtime, moment);
        if let Err(LoadError::Policies(errors)) = loaded.result {
            loaded.result = Ok(last_good(&errors, settings, runtime, moment)?);
            return Ok(Begin {
                error: Some(format!("{FELL_BACK}\n{errors}")),
                not_confirmed: found.not_confirmed(),
                ..Begin::new(loaded)?
            });
        }
        Ok(Begin {
            wait,
            ..Begin::new(loaded)?
        })
    }

    /// The files were not confirmed: what was before them.
    fn begin_without_files(&self, kept: NotConfirmed) -> Result<Begin, LoadError> {
        let loaded = confirmed(self.settings, self.runtime, self.moment)?;
        let loaded = loaded.ok_or_else(|| LoadError::NeverConfirmed {
            path: NotConfirmed::path(&self.settings.state_dir),
        })?;
        Ok(Begin {
            error: Some(rolled_back(&kept)),
            not_confirmed: Some(kept),
            ..Begin::new(loaded)?
        })
    }

    /// Returns also what waits to be confirmed.
    fn put_in_force(
        &self,
        begin: &Begin,
        filter: &mut Filter,
    ) -> Result<(Applied, Option<Trial>), LoadError> {
        let deadline = begin.wait.map(Wait::deadline);
        let before = match deadline {
            Some(_) => confirmed(self.settings, self.runtime, self.moment)?,
            None => None,
        };
        let names = self.settings.real_interfaces()?;
        let request = request(self.settings, &names, &begin.usable.ruleset, deadline);
        let mut replace = || self.replace(filter, &request);
        let applied = match deadline {
            Some(deadline) => kept_while(&self.settings.state_dir, deadline, replace)?,
            None => replace()?,
        };
        // Nothing comes back where nothing was, whatever was good long ago.
        let before = before.filter(|_| applied.has_previous);
        let trial = deadline.map(|deadline| Trial {
            deadline,
            before: before.and_then(Before::loaded),
        });
        Ok((applied, trial))
    }

    /// Saves what another version counted before the kernel is told: whoever is
    /// interrupted has lost no count.
    fn replace(&self, filter: &mut Filter, request: &Request<'_>) -> Result<Applied, LoadError> {
        let saved = Saved::new(filter, self.settings, self.moment)?;
        let mut applied = filter.apply(request)?;
        applied.notes.extend(saved.finish(filter));
        Ok(applied)
    }
}

impl Begin {
    /// Nothing but what was loaded.
    fn new(loaded: Loaded) -> Result<Self, LoadError> {
        Ok(Self {
            usable: loaded.result?,
            feeds: loaded.feeds,
            files: loaded.files,
            warnings: loaded.warnings,
            error: None,
            wait: None,
            not_confirmed: None,
        })
    }

    fn into_current(
        self,
        runtime: RuntimeOverlay,
        trial: Option<Trial>,
        moment: &Moment,
    ) -> Current {
        let is_from_files = self.error.is_none();
        let mut current = Current {
            runtime,
            trial,
            not_confirmed: self.not_confirmed,
            feeds: self.feeds,
            files: self.files,
            reload: Some(ReloadSnapshot {
                success: is_from_files,
                timestamp: now(),
                error: self.error,
            }),
            ..Current::default()
        };
        current.take(self.usable, moment);
        // What is not from the files is kept already.
        current.to_keep = current.to_keep.filter(|_| is_from_files);
        current
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
