//! The keys that say where a CSV or a JSON document holds the addresses.

use std::collections::BTreeMap;

use serde_yaml::Value;

use super::reader::{Reader, Spanned, get};
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
        let mut fault = |span, message: &str, help: &str| {
            self.error(span, message, help);
            *valid = false;
        };
        let (first, last) = match (column, first, last) {
            (Some(column), None, None) => (Some(column), None),
            (None, Some(first), Some(last)) => (Some(first), Some(last)),
            (None, None, None) => (None, None),
            (Some(_), Some(end), _) | (Some(_), None, Some(end)) => {
                let help = "write `column` for one column, or `first` and `last` for two";
                fault(end.span, "this list has both `column` and the ends of ranges", help);
                (None, None)
            }
            (None, Some(end), None) | (None, None, Some(end)) => {
                let help = "write `first:` and `last:`, or `column:` for one column";
                fault(end.span, "a range needs both `first` and `last`", help);
                (None, None)
            }
        };
        if let (Some(conditions), None) = (&conditions, &first) {
            let help = "add `column:` with the column that holds the addresses";
            fault(conditions.span.clone(), "`where` needs a `column`", help);
        }
        if let (Some(_), Some(path)) = (&first, &path) {
            let help = "write `column` for a CSV, or `path` for JSON";
            fault(path.span.clone(), "this list has both a column and a `path`", help);
        }
        let needed = first.as_ref().map(|first| (first.span.clone(), Format::Csv));
        let needed = needed.or_else(|| path.as_ref().map(|path| (path.span.clone(), Format::Json)));
        if let (Some((span, needed)), Some(format)) = (needed, format)
            && format.value != needed
        {
            let message = format!("this key belongs to the format `{needed}`, and `format` is `{}`", format.value);
            let help = format!("remove this key, or write `format: {needed}`");
            fault(span, &message, &help);
        }
        let columns = first.map(|first| ColumnSelection {
            first: first.value,
            last: last.map(|last| last.value),
            conditions: conditions.map(|conditions| conditions.value).unwrap_or_default(),
        });
        Position {
            columns,
            path: path.map(|path| path.value),
        }
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
