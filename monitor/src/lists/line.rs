//! The content of one line of a list.

pub(super) use super::invalid::InvalidLine;
use crate::address::Destination;

/// Maximum length of a line in bytes. The longest lines of published lists have fewer
/// than 1000.
pub const MAX_LINE: usize = 8 * 1024;

/// The content of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The line is blank, a comment, or describes the list itself.
    Nothing,
    /// The line has addresses, but the selection does not include it.
    LeftOut,
    /// The line has these addresses.
    Destination(Destination),
    /// The line has these addresses, and options that mean nothing to this filter, such
    /// as a timeout.
    WithOptions(Destination),
}

impl Line {
    /// Returns `destination` if it is `wanted`, otherwise [`Line::LeftOut`].
    pub(super) fn new(destination: Destination, wanted: bool) -> Self {
        if wanted {
            Self::Destination(destination)
        } else {
            Self::LeftOut
        }
    }

    /// Returns `destination`, and whether it has options that mean nothing to this filter.
    pub(super) fn with_options(destination: Destination, has_options: bool) -> Self {
        if has_options {
            Self::WithOptions(destination)
        } else {
            Self::Destination(destination)
        }
    }
}

/// Returns a line without white space around it, and an empty text if the whole line is
/// a comment. For formats whose names may contain `#` and `;`.
pub(super) fn whole(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with('#') { "" } else { line }
}
