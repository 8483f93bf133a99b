//! The forms of a report, and where each form carries its proof.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Report, case, csv, eve, html, markdown};
use crate::{merkle::Proven, printable};

/// Begin of the comment with the proof at the end of HTML and Markdown.
const BEGIN: &str = "<!-- monitor-proof\n";

/// End of that comment.
const END: &str = "\n-->\n";

/// Form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// One HTML file, for a browser and for paper.
    Html,
    /// Markdown.
    Md,
    /// The listed flows as a table for a spreadsheet.
    Csv,
    /// Everything as JSON.
    Json,
    /// The listed flows as EVE JSON.
    Eve,
    /// Everything as JSON-LD of CASE.
    Case,
}

/// A report is not rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The table cannot be written.
    #[error(transparent)]
    Csv(#[from] super::CsvError),
    /// A number is not finite.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// A file is not a report with a proof.
#[derive(Debug, thiserror::Error)]
pub enum NoProof {
    /// The file has none.
    #[error(
        "the file carries no proof: only html, md and json do; a report as csv, eve or case has its proof in a file of its own, which --proof names"
    )]
    Missing,
    /// The proof cannot be read.
    #[error("the proof cannot be read: {0}")]
    Damaged(serde_json::Error),
    /// The file is JSON, but no report.
    #[error("the file is not a report as JSON: {0}")]
    NotAReport(serde_json::Error),
}

impl Form {
    /// The word that names the form.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Md => "md",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Eve => "eve",
            Self::Case => "case",
        }
    }

    /// True if a file of this form carries its proof. The proof of other forms is a file of its
    /// own.
    #[must_use]
    pub const fn carries_proof(self) -> bool {
        matches!(self, Self::Html | Self::Md | Self::Json)
    }

    /// The report without its proof.
    ///
    /// # Errors
    ///
    /// Returns an error if the report cannot be written in this form.
    pub fn render(self, report: &Report) -> Result<String, RenderError> {
        Ok(match self {
            Self::Html => html(report),
            Self::Md => markdown(report),
            Self::Csv => csv(report)?,
            Self::Json => without_proof(report).to_json()?,
            Self::Eve => eve(report),
            Self::Case => case(report)?,
        })
    }

    /// The report with its proof, if this form carries one.
    ///
    /// # Errors
    ///
    /// As for [`Self::render`].
    pub fn with_proof(self, report: &Report, proven: &Proven) -> Result<String, RenderError> {
        if self == Self::Json {
            let report = Report {
                head: Some(proven.head.clone()),
                proofs: proven.proofs.clone(),
                ..report.clone()
            };
            return Ok(report.to_json()?);
        }
        let body = self.render(report)?;
        if self.carries_proof() {
            Ok(format!("{body}{BEGIN}{}{END}", comment(proven)?))
        } else {
            Ok(body)
        }
    }
}

/// SHA-256 of a file without its proof, hexadecimal.
#[must_use]
pub fn digest(body: &str) -> String {
    hex::encode(Sha256::digest(body))
}

/// The proof as a file of its own.
///
/// # Errors
///
/// Returns an error if the proof cannot be written as JSON.
pub fn proof_file(proven: &Proven) -> serde_json::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(proven)?))
}

/// JSON without characters that could end a comment or begin markup.
fn comment(proven: &Proven) -> serde_json::Result<String> {
    let text = serde_json::to_string(proven)?;
    let mut escaped = String::with_capacity(text.len());
    for character in printable::json(&text).chars() {
        match character {
            '-' | '<' | '>' | '&' => {
                escaped.push_str("\\u00");
                escaped.push_str(&hex::encode([u8::try_from(character).unwrap_or(b'?')]));
            }
            other => escaped.push(other),
        }
    }
    Ok(escaped)
}

fn without_proof(report: &Report) -> Report {
    Report {
        head: None,
        proofs: Vec::new(),
        ..report.clone()
    }
}

/// A file and its proof.
pub(super) struct Parts<'a> {
    /// The file without its proof.
    pub(super) body: Cow<'a, str>,
    pub(super) proven: Proven,
    /// The report, if the file is JSON.
    pub(super) report: Option<Report>,
    /// True if the file has, byte for byte, the form in which this program writes it.
    pub(super) is_exact: bool,
}

/// Parts a file and its proof. `proof` is the content of the file with the proof, if it is one
/// of its own.
pub(super) fn parts<'a>(text: &'a str, proof: Option<&str>) -> Result<Parts<'a>, NoProof> {
    if let Some(proof) = proof {
        let proven: Proven = serde_json::from_str(proof).map_err(NoProof::Damaged)?;
        let is_exact = proof_file(&proven).is_ok_and(|own| own == proof);
        return Ok(Parts {
            body: text.into(),
            proven,
            report: None,
            is_exact,
        });
    }
    if text.starts_with('{') {
        return json_parts(text);
    }
    let (body, rest) = text.rsplit_once(BEGIN).ok_or(NoProof::Missing)?;
    let own = rest.strip_suffix(END).ok_or(NoProof::Missing)?;
    let proven: Proven = serde_json::from_str(own).map_err(NoProof::Damaged)?;
    Ok(Parts {
        body: body.into(),
        is_exact: comment(&proven).is_ok_and(|written| written == own),
        proven,
        report: None,
    })
}

fn json_parts(text: &str) -> Result<Parts<'_>, NoProof> {
    let report: Report = serde_json::from_str(text).map_err(NoProof::NotAReport)?;
    let proven = Proven {
        head: report.head.clone().ok_or(NoProof::Missing)?,
        proofs: report.proofs.clone(),
    };
    let written = Form::Json.with_proof(&report, &proven);
    let body = Form::Json.render(&report);
    Ok(Parts {
        is_exact: written.is_ok_and(|written| written == text),
        body: body.unwrap_or_default().into(),
        proven,
        report: Some(report),
    })
}
