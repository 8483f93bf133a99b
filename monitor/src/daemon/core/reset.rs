//! Counters of another version: saved for the operator to read, then removed.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::LoadError;
use crate::{
    clock::to_the_second,
    config::Settings,
    datapath::{Filter, OtherVersionCounters},
    error_text::error_text,
    policy::Moment,
    state_dir::{save, saved_path},
};

/// Paths of the saved counters of other versions, and the time of saving.
pub(super) struct SavedCounters {
    paths: Vec<PathBuf>,
    moment: Moment,
}

/// Content of a saved file.
#[derive(Serialize)]
struct Content<'a> {
    saved_at: String,
    pin_dir: &'a Path,
    #[serde(flatten)]
    counters: &'a OtherVersionCounters,
}

impl SavedCounters {
    /// Saves the counters of other versions before anything is changed.
    pub(super) fn new(
        filter: &Filter,
        settings: &Settings,
        moment: &Moment,
    ) -> Result<Self, LoadError> {
        let time = moment.at.strftime("%Y%m%dT%H%M%SZ");
        let others = filter.other_versions_counters()?;
        let paths = others
            .iter()
            .map(|other| saved_path(&settings.state_dir, &format!("{}-{time}", other.version)));
        let saved = Self {
            paths: paths.collect(),
            moment: *moment,
        };
        saved.write(filter, &others)?;
        Ok(saved)
    }

    fn write(&self, filter: &Filter, others: &[OtherVersionCounters]) -> Result<(), LoadError> {
        for (path, counters) in self.paths.iter().zip(others) {
            let content = Content {
                saved_at: to_the_second(self.moment.at),
                pin_dir: filter.pin_dir(),
                counters,
            };
            save(path, &content)?;
        }
        Ok(())
    }

    /// Saves the counters again, because the old filter counted until it was
    /// replaced. Then removes the state of the other versions. Returns messages for
    /// the operator.
    pub(super) fn finish(&self, filter: &mut Filter) -> Vec<String> {
        if self.paths.is_empty() {
            return Vec::new();
        }
        let paths: Vec<_> = self
            .paths
            .iter()
            .map(|path| crate::printable::path(path).to_string())
            .collect();
        let paths = paths.join(", ");
        match self.save_and_discard(filter) {
            Ok(not_saved) => vec![format!(
                "the counters of another version are saved in {paths}, and all counters start at zero; its filter is replaced{not_saved}"
            )],
            Err(error) => vec![format!(
                "the filter of another version is replaced, but its counters could not be saved once more, so they stay for the next `run --reset-state`; the counters from before the replacement are in {paths}: {}",
                error_text(&error)
            )],
        }
    }

    /// Returns which counters are lost, as the end of a sentence.
    fn save_and_discard(&self, filter: &mut Filter) -> Result<String, LoadError> {
        let others = filter.other_versions_counters()?;
        self.write(filter, &others)?;
        filter.discard_others()?;
        let reasons = others.iter().flat_map(|other| &other.not_saved);
        let lost = reasons.map(|(part, why)| {
            format!(
                "; the counters of its {part} are NOT saved, because their layout is unknown: {why}"
            )
        });
        Ok(lost.collect())
    }
}
