//! Reports errors in a list, and in the options with which a policy uses it.

use std::ops::Range;

use super::{
    content::{ListRequest, Readable, Reading},
    known::ReadList,
};
use crate::{
    lists::{Format, InvalidLine, Key, Kind, List},
    policy::{
        diagnostic::{Capped, Diagnostic, Diagnostics, SourceFile, SourcePlace},
        source::Spanned,
    },
};

/// Largest number of skipped lines that are shown one by one.
const SKIPPED_SHOWN: usize = 3;

impl ListRequest<'_> {
    /// True if the options of the policy are valid for a list of `kind`;
    /// reports those that are not.
    pub(super) fn fits(&self, kind: Kind, out: &mut Diagnostics) -> bool {
        let mut refusals = Vec::new();
        match kind {
            Kind::Database => refusals.extend(self.refuse_database()),
            Kind::Lines(format) => {
                refusals.extend(self.refuse_score(format));
                refusals.extend(self.refuse_keys(format));
                refusals.extend(self.refuse_set(format));
            }
        }
        let fits = refusals.is_empty();
        for (span, message, help) in refusals {
            out.push(Diagnostic::error(self.file.place(span), message, help));
        }
        fits
    }

    fn refuse_database(&self) -> Option<Refusal> {
        if self.typed.is_table {
            return None;
        }
        let path = crate::printable::path(&self.typed.path.value);
        Some((
            self.typed.path.span.clone(),
            "this is an MMDB database, and a `list` uses every entry; select networks with `asn` or `country`"
                .to_owned(),
            format!(
                "write `{{asn: [24406], table: {path}}}` or `{{country: [CN], table: {path}}}`"
            ),
        ))
    }

    fn refuse_score(&self, format: Format) -> Option<Refusal> {
        let score = self.typed.min_score.as_ref()?;
        let refused = !format.has_scores();
        refused.then(|| {
            (
                score.span.clone(),
                format!("`min_score` belongs to a score list, and this list is `{format}`"),
                "remove `min_score`, or name a list with a destination and a score per line"
                    .to_owned(),
            )
        })
    }

    fn refuse_set(&self, format: Format) -> Option<Refusal> {
        let sets = self.typed.sets.as_ref()?;
        let message = format!("`set` belongs to a list of named sets, and this list is `{format}`");
        let help = "remove `set`, or name a list of ipset, nftables or a router".to_owned();
        (!format.has_sets()).then(|| (sets.span.clone(), message, help))
    }

    fn refuse_keys(&self, format: Format) -> Option<Refusal> {
        let typed = self.typed;
        let Some(first) = typed.keys.first() else {
            let path = crate::printable::path(&typed.path.value);
            return (format == Format::Rir).then(|| {
                (
                    typed.path.span.clone(),
                    "this delegated file covers every country; select one with `country`"
                        .to_owned(),
                    format!("write `{{list: {path}, country: CC}}`, as in `country: CN`"),
                )
            });
        };
        let (message, help) = match first.value {
            Key::Asn(_) if !format.has_asns() => (
                format!(
                    "`asn` belongs to a table that names autonomous systems, and this is `{format}`"
                ),
                "name a CSV of first, last and number, prefixes with a number each, or an MMDB database",
            ),
            Key::Country(_) if !format.has_countries() => (
                format!(
                    "`country` belongs to a list that names countries, and this list is `{format}`"
                ),
                "remove `country`, or name a registry's delegated file or a CSV with a country in its third column",
            ),
            Key::Asn(_) | Key::Country(_) => return None,
        };
        Some((first.span.clone(), message, help.to_owned()))
    }
}

/// Place, reason and fix of an invalid option.
type Refusal = (Range<usize>, String, String);

/// Reports the errors and warnings of a list that was read for `asked`. The destinations are
/// in `read`, and the rest is in `list`.
pub(super) fn report(
    (read, list): (&ReadList, &List),
    readable: &Readable<'_>,
    reading: &Reading,
    asked: &ListRequest<'_>,
    out: &mut Diagnostics,
) {
    let is_empty = read.destinations == 0;
    if let Readable::Lines(source, format) = readable {
        let lines = Lines {
            list,
            source,
            format: *format,
        };
        if reading.skip_bad_lines {
            lines.report_skipped(out);
        } else {
            lines.report_bad(asked.typed.is_table, out);
        }
        if list.bad.exclusions() > 0 || (list.bad.count() > 0 && !reading.skip_bad_lines) {
            return;
        }
        if is_empty && list.left_out == 0 {
            out.push(lines.empty());
            return;
        }
    }
    if list.several_countries {
        out.push(Diagnostic::warning(
            asked.named_at.clone(),
            "this list names several countries, and all of them are taken",
            "write `country: CC` to take one of them",
        ));
    }
    for key in &asked.typed.keys {
        if list.missing.contains(&key.value) {
            out.push(asked.nothing_of(key, list, reading));
        }
    }
    if is_empty && list.missing.is_empty() {
        out.push(asked.nothing_selected(list));
    }
}

/// A text list that was read.
struct Lines<'a> {
    list: &'a List,
    source: &'a SourceFile,
    format: Format,
}

impl Lines<'_> {
    fn report_bad(&self, is_table: bool, out: &mut Diagnostics) {
        let mut wrong = Capped::new();
        for (line, error) in self.list.bad.first() {
            wrong.push(out, || {
                let place = self.source.place_of_line(*line, self.format.comments());
                let help = match error {
                    // This help already says what to write.
                    InvalidLine::Destination(error) => error.help(),
                    other if is_table || other.is_exclusion() => other.help(),
                    other => format!("{}, or `on_bad_line: skip`", other.help()),
                };
                Diagnostic::error(place, error.to_string(), help)
            });
        }
        let hidden = self.list.bad.count() - self.list.bad.first().len();
        wrong.hide(hidden);
        wrong.finish(out, |hidden| {
            let skip = if is_table {
                ""
            } else {
                ", or write `on_bad_line: skip` if it is of use without them"
            };
            Diagnostic::error(
                SourcePlace::file_only(self.source.path()),
                format!("and {hidden} more lines of this list are wrong"),
                format!(
                    "the list is read as `{}`; fix these lines{skip}",
                    self.format
                ),
            )
        });
    }

    /// Reports the skipped lines as warnings, and the lines that cannot be skipped as
    /// errors.
    fn report_skipped(&self, out: &mut Diagnostics) {
        let bad = &self.list.bad;
        let (exclusions, skipped): (Vec<_>, Vec<_>) = bad
            .first()
            .iter()
            .partition(|(_, error)| error.is_exclusion());
        for (line, error) in &exclusions {
            let place = self.source.place_of_line(*line, self.format.comments());
            let message = format!("{error}; `on_bad_line: skip` does not skip it");
            out.push(Diagnostic::error(place, message, error.help()));
        }
        let shown = skipped.iter().take(SKIPPED_SHOWN);
        for (line, error) in shown.clone() {
            let place = self.source.place_of_line(*line, self.format.comments());
            let message = format!("this line is skipped: {error}");
            out.push(Diagnostic::warning(place, message, error.help()));
        }
        let count = bad.count() - bad.exclusions();
        let hidden = count - shown.len();
        if hidden > 0 {
            let message =
                format!("and {hidden} more lines of this list are skipped, {count} of them in all");
            let help = format!(
                "the list is read as `{}`; check that this format is right",
                self.format
            );
            let place = SourcePlace::file_only(self.source.path());
            out.push(Diagnostic::warning(place, message, help).standing_for(hidden));
        }
    }

    fn empty(&self) -> Diagnostic {
        let help = if self.format == Format::Plain {
            "write one CIDR, address or range per line, or remove the `list:` that names this file"
        } else {
            "fix the list, or remove the `list:` that names this file"
        };
        Diagnostic::error(
            self.source.place(0..0),
            "the list holds no destination, so that it would protect nothing",
            help,
        )
    }
}

impl ListRequest<'_> {
    fn nothing_of(&self, key: &Spanned<Key>, list: &List, reading: &Reading) -> Diagnostic {
        let (what, entry) = match list.kind {
            Kind::Lines(_) if self.typed.is_table => ("table", "line"),
            Kind::Lines(_) => ("list", "line"),
            Kind::Database => ("database", "network"),
        };
        let key_name = match key.value {
            Key::Asn(_) => "AS number",
            Key::Country(_) => "country",
        };
        Diagnostic::error(
            self.file.place(key.span.clone()),
            format!(
                "no {entry} of the {what} {} has the {key_name} `{}`; the policy would match nothing ({entry}s left out: {})",
                crate::printable::path(&reading.path),
                key.value,
                list.left_out
            ),
            format!(
                "select a key that the {what} contains, or remove `{}`",
                key.value
            ),
        )
    }

    fn nothing_selected(&self, list: &List) -> Diagnostic {
        let wanted = match &self.typed.min_score {
            Some(score) => format!("a score of {} or more", score.value),
            None => "what the policy selects".to_owned(),
        };
        Diagnostic::error(
            self.named_at.clone(),
            format!(
                "no line of the list has {wanted}; the policy would match nothing (lines left out: {})",
                list.left_out
            ),
            "change the selection, or remove the `list:`",
        )
    }
}
