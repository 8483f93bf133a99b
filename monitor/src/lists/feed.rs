//! Reads the content of a feed. The content is used as a whole or not at all.

use super::{
    Format, Kind, List, NotText, Refused, Selection, UnpackError, Why, list_text, read, recognise,
    unpack_up_to,
};

/// The options with which a policy reads a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedReading {
    /// The format. `None` means that it is recognised by the content.
    pub format: Option<Format>,
    /// The lines to use.
    pub selection: Selection,
    /// True if lines that cannot be read are skipped. Otherwise they are an error.
    pub skip_bad_lines: bool,
}

/// The reason why the content of a feed cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FeedProblem {
    /// The content is empty or only white space.
    #[error("it is empty")]
    Empty,
    /// The content is compressed and cannot be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The content has more lines than the limit.
    #[error("it has more than {limit} lines")]
    TooManyLines {
        /// Maximum number of lines.
        limit: usize,
    },
    /// The content has more destinations than the limit.
    #[error("it has more than {limit} destinations")]
    TooManyDestinations {
        /// Maximum number of destinations.
        limit: usize,
    },
    /// The content is binary or in another encoding.
    #[error("it is {0}")]
    NotText(#[from] NotText),
    /// The content is not a list of addresses.
    #[error("{} (line {})", .0.why, .0.line)]
    Refused(Refused),
    /// The policy has a key that does not apply to this format.
    #[error("`{key}` does not apply to a list in the format `{format}`")]
    Option {
        /// Name of the key.
        key: &'static str,
        /// Format of the list.
        format: Format,
    },
    /// The content is a registry's delegated file, and the policy names no country.
    #[error(
        "it is a registry's delegated file with every country, but the policy names no `country`"
    )]
    NoCountry,
    /// Some lines cannot be read.
    #[error("lines that cannot be read: {count}; line {line}: {first}")]
    BadLines {
        /// Number of such lines.
        count: usize,
        /// Line number of the first, counted from 1.
        line: u32,
        /// The error of the first.
        first: String,
        /// The fix of a line that cannot be skipped.
        help: Option<String>,
    },
    /// The content has only comments and blank lines.
    #[error("it contains no destination")]
    NoDestination,
    /// The selection includes none of the lines.
    #[error("the policy selects none of its lines (lines left out: {left_out})")]
    NothingSelected {
        /// Number of lines that the selection leaves out.
        left_out: usize,
    },
}

impl FeedProblem {
    /// Returns a text that says what the operator can do.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Empty
            | Self::Unpack(_)
            | Self::TooManyLines { .. }
            | Self::TooManyDestinations { .. }
            | Self::NotText(_)
            | Self::NoDestination => {
                "check the content of the URL; if it stays like this, use another URL".to_owned()
            }
            Self::Refused(refused) => match &refused.why {
                Why::Hosts
                | Why::Domains
                | Why::AdBlock
                | Why::Json(_)
                | Why::Csv(_)
                | Why::Other { .. }
                | Why::Names
                | Why::Lengths
                | Why::Ambiguous { .. } => refused.why.help_for("URL"),
                Why::Commands | Why::DamagedJson { .. } | Why::Markup => {
                    "check the content of the URL; if it stays like this, use another URL"
                        .to_owned()
                }
            },
            Self::Option { key, .. } => format!("remove `{key}`, or name another list"),
            Self::NoCountry => "write a country code, as in `country: CN`".to_owned(),
            Self::BadLines {
                help: Some(help), ..
            } => help.clone(),
            Self::BadLines { .. } => {
                "write `on_bad_line: skip` if the list is useful without them".to_owned()
            }
            Self::NothingSelected { .. } => {
                "change the selection to lines that the list contains".to_owned()
            }
        }
    }
}

/// Maximum number of lines of a feed.
pub const MAX_FEED_LINES: usize = 1_000_000;

/// Maximum size of a feed in bytes, both packed and unpacked.
pub const MAX_FEED_BYTES: u64 = 64 * 1024 * 1024;

/// Unpacks the content of a feed, checks it against the limits, and returns its text.
pub fn feed_text(bytes: Vec<u8>) -> Result<String, FeedProblem> {
    let bytes = unpack_up_to(bytes, MAX_FEED_BYTES)?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(FeedProblem::Empty);
    }
    let text = list_text(bytes)?;
    if text.split('\n').nth(MAX_FEED_LINES + 1).is_some() {
        return Err(FeedProblem::TooManyLines {
            limit: MAX_FEED_LINES,
        });
    }
    Ok(text)
}

/// Reads `text` with the options of `reading`. Fails if the list cannot be used as a
/// whole.
pub fn read_feed(text: &str, reading: &FeedReading) -> Result<List, FeedProblem> {
    let format = match reading.format.or_else(|| reading.selection.format()) {
        // A server may send an error page. That is not a list, even if the policy names a
        // format.
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
    // An exclusion is never skipped: without it, the feed would cover too much.
    let bad = if reading.skip_bad_lines {
        list.bad.exclusion()
    } else {
        list.bad.first().first()
    };
    if let Some((line, first)) = bad {
        return Err(FeedProblem::BadLines {
            count: if reading.skip_bad_lines {
                list.bad.exclusions()
            } else {
                list.bad.count()
            },
            line: *line,
            first: first.to_string(),
            help: first.is_exclusion().then(|| first.help()),
        });
    }
    // A document may have many destinations on each line.
    if list.ipv4.len() + list.ipv6.len() > MAX_FEED_LINES {
        return Err(FeedProblem::TooManyDestinations {
            limit: MAX_FEED_LINES,
        });
    }
    match (list.is_empty(), list.left_out) {
        (false, _) => Ok(list),
        (true, 0) => Err(FeedProblem::NoDestination),
        (true, left_out) => Err(FeedProblem::NothingSelected { left_out }),
    }
}

fn options_fit(reading: &FeedReading, format: Format) -> Result<(), FeedProblem> {
    let selection = &reading.selection;
    if let Some(key) = selection.foreign_key(Kind::Lines(format)) {
        return Err(FeedProblem::Option { key, format });
    }
    if selection.country().is_none() && format == Format::Rir {
        return Err(FeedProblem::NoCountry);
    }
    Ok(())
}
