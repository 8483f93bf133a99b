//! Writes an error and its causes as one text, for the terminal, the log and `status`.

use std::{error::Error, iter};

/// Returns the text of `error`, followed by each of its causes. Leaves out a cause whose
/// text is already there.
#[must_use]
pub fn error_text(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in iter::successors(error.source(), |cause| (**cause).source()) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Sample {
        #[error("open the door: {source}")]
        Tells { source: io::Error },
        #[error("enter the house")]
        Silent { source: Box<Sample> },
    }

    #[test]
    fn every_cause_appears_once() {
        let inner = Sample::Tells {
            source: io::Error::other("no key"),
        };
        assert_eq!(error_text(&inner), "open the door: no key");
        let outer = Sample::Silent {
            source: Box::new(inner),
        };
        assert_eq!(error_text(&outer), "enter the house: open the door: no key");
    }
}
