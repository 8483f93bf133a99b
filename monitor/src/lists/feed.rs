//! Reading what a feed gave: it is all of use, or none of it.

use super::{
    Format, List, Refused, Selection, UnpackError, Why, list_text, read, recognise, unpack_up_to,
};

/// One way to read a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedReading {
    /// `None`: it is recognised.
    pub format: Option<Format>,
    /// Which lines are asked for.
    pub selection: Selection,
    /// Whether lines that are not understood are left out.
    pub skip_bad_lines: bool,
}

/// Why the content of a feed is of no use.
#[derive(Debug, thiserror::Error)]
pub enum FeedProblem {
    /// Not a byte.
    #[error("it is empty")]
    Empty,
    /// Gzip.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// Larger than the limit.
    #[error("it has more than {limit} lines")]
    TooManyLines {
        /// Lines at most.
        limit: usize,
    },
    /// Another encoding, or no text.
    #[error("it is not UTF-8 text (byte {offset})")]
    NotText {
        /// Of the first byte that is none.
        offset: usize,
    },
    /// No list of addresses.
    #[error("{} (line {})", .0.why, .0.line)]
    Refused(Refused),
    /// A key of the policy that means nothing for this list.
    #[error("{key} means nothing for a list in the format `{format}`")]
    Option {
        /// As in a policy.
        key: &'static str,
        /// What the list is.
        format: Format,
    },
    /// A registry's file without a country.
    #[error("it is what a registry delegated, to every country, and the policy names no `country`")]
    NoCountry,
    /// Lines that are not understood.
    #[error("lines that are not understood: {count}; line {line}: {first}")]
    BadLines {
        /// All of them.
        count: usize,
        /// Number of the first, from 1.
        line: u32,
        /// What is wrong with the first.
        first: String,
    },
    /// Nothing but comments.
    #[error("it names no destination")]
    NoDestination,
    /// Other lines than those that are asked for.
    #[error("it holds nothing of what the policy selects (lines left out: {left_out})")]
    NothingSelected {
        /// Lines that name others.
        left_out: usize,
    },
}

impl FeedProblem {
    /// What to do.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Empty
            | Self::Unpack(_)
            | Self::TooManyLines { .. }
            | Self::NotText { .. }
            | Self::NoDestination => {
                "look at what the URL gives; where it stays so, name another one".to_owned()
            }
            Self::Refused(refused) => match refused.why {
                Why::Hosts | Why::Domains | Why::AdBlock | Why::Ambiguous { .. } => {
                    refused.why.help()
                }
                Why::Commands | Why::JsonDocument | Why::Markup => {
                    "look at what the URL gives; where it stays so, name another one".to_owned()
                }
            },
            Self::Option { key, .. } => format!("remove {key}, or name another list"),
            Self::NoCountry => "write `country: CC`, as in `country: CN`".to_owned(),
            Self::BadLines { .. } => {
                "write `on_bad_line: skip` if the list is of use without them".to_owned()
            }
            Self::NothingSelected { .. } => "ask for something that it holds".to_owned(),
        }
    }
}

/// The most lines of a feed.
pub const MAX_FEED_LINES: usize = 1_000_000;

/// The most bytes of a feed, packed or unpacked.
pub const MAX_FEED_BYTES: u64 = 64 * 1024 * 1024;

/// The text of a feed: unpacked, and within the limits.
pub fn feed_text(bytes: Vec<u8>) -> Result<String, FeedProblem> {
    let bytes = unpack_up_to(bytes, MAX_FEED_BYTES)?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(FeedProblem::Empty);
    }
    if bytes
        .split(|byte| *byte == b'\n')
        .nth(MAX_FEED_LINES + 1)
        .is_some()
    {
        return Err(FeedProblem::TooManyLines {
            limit: MAX_FEED_LINES,
        });
    }
    list_text(bytes).map_err(|offset| FeedProblem::NotText { offset })
}

/// What `text` holds, read in this way.
pub fn read_feed(text: &str, reading: &FeedReading) -> Result<List, FeedProblem> {
    let format = match reading.format {
        // A server's error page is none of the formats, whatever was asked for.
        Some(_) if text.trim_start().starts_with('<') => {
            return Err(FeedProblem::Refused(Refused {
                line: 1,
                why: Why::Markup,
            }));
        }
        Some(format) => format,
        None => recognise(text).map_err(FeedProblem::Refused)?,
    };
    options_fit(reading, format)?;
    let list = read(text, format, &reading.selection);
    if let Some((line, first)) = list.bad.first().first()
        && !reading.skip_bad_lines
    {
        return Err(FeedProblem::BadLines {
            count: list.bad.count(),
            line: *line,
            first: first.to_string(),
        });
    }
    match (list.is_empty(), list.left_out) {
        (false, _) => Ok(list),
        (true, 0) => Err(FeedProblem::NoDestination),
        (true, left_out) => Err(FeedProblem::NothingSelected { left_out }),
    }
}

fn options_fit(reading: &FeedReading, format: Format) -> Result<(), FeedProblem> {
    let Selection { min_score, .. } = reading.selection;
    let country = reading.selection.country();
    if min_score.is_some() && !format.has_scores() {
        let key = "`min_score`";
        return Err(FeedProblem::Option { key, format });
    }
    if country.is_some() && !format.has_countries() {
        let key = "`country`";
        return Err(FeedProblem::Option { key, format });
    }
    if country.is_none() && format == Format::Rir {
        return Err(FeedProblem::NoCountry);
    }
    Ok(())
}
