//! The keys that say where a CSV or a JSON document holds the addresses.

use std::collections::BTreeMap;

use serde_yaml::Value;

use super::reader::{Reader, Spanned};
use crate::{
    lists::{Column, ColumnSelection, Format, InvalidJsonPath, JsonPath},
    policy::yaml::Node,
};

/// Where a CSV or a JSON document holds the addresses.
#[derive(Debug, Default)]
pub(in crate::policy) struct Position {
    pub(in crate::policy) columns: Option<ColumnSelection>,
    pub(in crate::policy) path: Option<JsonPath>,
}

/// The column with the first addresses, and the one with the last if there are two.
type Ends = (Spanned<Column>, Option<Spanned<Column>>);

const COLUMN_HELP: &str = "write the name in the header, or the number counted from 1";

impl Reader<'_> {
    /// Reads `column`, `first`, `last`, `where` and `path`. `valid` becomes false on errors.
    pub(super) fn position(
        &mut self,
        node: &Node<'_>,
        format: Option<&Spanned<Format>>,
        valid: &mut bool,
    ) -> Position {
        let column = self.option(node, "column", Self::column, valid);
        let first = self.option(node, "first", Self::column, valid);
        let last = self.option(node, "last", Self::column, valid);
        let conditions = self.option(node, "where", Self::conditions, valid);
        let path = self.option(node, "path", Self::json_path, valid);
        if !*valid {
            return Position::default();
        }
        let position = self.ends(column, first, last).ok().and_then(|ends| {
            self.fits(ends.as_ref(), conditions.as_ref(), path.as_ref(), format)?;
            let columns = ends.map(|(first, last)| ColumnSelection {
                first: first.value,
                last: last.map(|last| last.value),
                conditions: conditions.map(|given| given.value).unwrap_or_default(),
            });
            let path = path.map(|path| path.value);
            Some(Position { columns, path })
        });
        *valid &= position.is_some();
        position.unwrap_or_default()
    }

    /// Returns the column with the first addresses, and that with the last ones. Fails if
    /// the keys contradict each other, which is reported.
    fn ends(
        &mut self,
        column: Option<Spanned<Column>>,
        first: Option<Spanned<Column>>,
        last: Option<Spanned<Column>>,
    ) -> Result<Option<Ends>, ()> {
        match (column, first, last) {
            (Some(column), None, None) => Ok(Some((column, None))),
            (None, Some(first), Some(last)) => Ok(Some((first, Some(last)))),
            (None, None, None) => Ok(None),
            (Some(_), Some(end), _) | (Some(_), None, Some(end)) => {
                let message = "this list has both `column` and the ends of ranges";
                let help = "write `column` for one column, or `first` and `last` for two";
                self.error(end.span, message, help);
                Err(())
            }
            (None, Some(end), None) | (None, None, Some(end)) => {
                let help = "write `first:` and `last:`, or `column:` for one column";
                self.error(end.span, "a range needs both `first` and `last`", help);
                Err(())
            }
        }
    }

    /// Reports keys that do not belong together, and returns `None` then.
    fn fits(
        &mut self,
        ends: Option<&Ends>,
        conditions: Option<&Spanned<BTreeMap<Column, String>>>,
        path: Option<&Spanned<JsonPath>>,
        format: Option<&Spanned<Format>>,
    ) -> Option<()> {
        if let (None, Some(conditions)) = (ends, conditions) {
            let help = "add `column:` with the column that holds the addresses";
            self.error(conditions.span.clone(), "`where` needs a `column`", help);
            return None;
        }
        if let (Some(_), Some(path)) = (ends, path) {
            let message = "this list has both a column and a `path`";
            let help = "write `column` for a CSV, or `path` for JSON";
            self.error(path.span.clone(), message, help);
            return None;
        }
        let csv = ends.map(|(first, _)| (first.span.clone(), Format::Csv));
        let needed = csv.or_else(|| path.map(|path| (path.span.clone(), Format::Json)));
        if let (Some((span, needed)), Some(format)) = (needed, format)
            && format.value != needed
        {
            let given = format.value;
            let message =
                format!("this key belongs to the format `{needed}`, and `format` is `{given}`");
            let help = format!("remove this key, or write `format: {needed}`");
            self.error(span, message, help);
            return None;
        }
        Some(())
    }

    fn column(&mut self, node: &Node<'_>) -> Option<Column> {
        if let Some(number) = node.value.as_u64() {
            let number = usize::try_from(number).ok().filter(|number| *number > 0);
            if number.is_none() {
                self.error(node.span.clone(), "there is no such column", COLUMN_HELP);
            }
            return number.map(Column::Number);
        }
        self.text(node, "a column", COLUMN_HELP).map(Column::Name)
    }

    fn conditions(&mut self, node: &Node<'_>) -> Option<BTreeMap<Column, String>> {
        let help = "write the values that a row must have: `where: {status: online}`";
        let Some(entries) = node.entries().filter(|entries| !entries.is_empty()) else {
            self.wrong_type(node, "`where`", "a mapping", help);
            return None;
        };
        let mut conditions = BTreeMap::new();
        for (key, value) in &entries {
            let column = self.column(key)?;
            let value = match value.value {
                Value::String(text) => text.trim().to_owned(),
                Value::Number(number) => number.to_string(),
                Value::Bool(_) => {
                    let help = "put the value in quotes, as it stands in the table: `\"true\"`";
                    self.wrong_type(value, "a value", "text", help);
                    return None;
                }
                _ => {
                    self.wrong_type(value, "a value", "text or a number", help);
                    return None;
                }
            };
            conditions.insert(column, value);
        }
        Some(conditions)
    }

    fn json_path(&mut self, node: &Node<'_>) -> Option<JsonPath> {
        let help = "write a JSONPath in quotes, such as `path: '$.prefixes[*].cidr'`";
        let text = self.text(node, "`path`", help)?;
        match text.parse() {
            Ok(path) => Some(path),
            Err(error) => {
                let error: InvalidJsonPath = error;
                self.error(node.span.clone(), error.to_string(), help);
                None
            }
        }
    }
}
