//! The sentences of a report, written again from its figures.

use super::{Report, limits_text, sentences};

/// The sentences that follow from the figures of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentences {
    /// The sentences that answer first.
    pub answer: Vec<String>,
    /// What the data show.
    pub shows: Vec<String>,
    /// What the data do not show.
    pub does_not_show: Vec<String>,
}

impl Report {
    /// Writes the sentences again, as [`super::build`] does.
    #[must_use]
    pub fn restated(&self) -> Sentences {
        Sentences {
            answer: sentences::answer(self),
            shows: sentences::shows(self),
            does_not_show: limits_text::does_not_show(self),
        }
    }
}
