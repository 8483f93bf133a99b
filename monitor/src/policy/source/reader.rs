//! Helpers for reading typed values.

use std::ops::Range;

use serde_yaml::Value;

use crate::policy::{
    diagnostic::{Diagnostic, Diagnostics, SourceFile},
    yaml::Node,
};

/// A value, and its byte range in the file.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Spanned<T> {
    pub(in crate::policy) value: T,
    pub(in crate::policy) span: Range<usize>,
}

/// Reads the values of one file, and reports errors.
pub(super) struct Reader<'a> {
    pub(super) file: &'a SourceFile,
    pub(super) out: &'a mut Diagnostics,
    /// Keys that the current mapping has under a misspelt name.
    pub(super) misspelt: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a SourceFile, out: &'a mut Diagnostics) -> Self {
        Self {
            file,
            out,
            misspelt: Vec::new(),
        }
    }

    pub(super) fn optional_text(&mut self, parent: &Node<'_>, key: &'static str) -> Option<String> {
        let node = get(parent, key)?;
        self.text(&node, &format!("`{key}`"), "put the text in quotes")
    }

    pub(super) fn text(&mut self, node: &Node<'_>, what: &str, help: &str) -> Option<String> {
        match node.value {
            Value::String(text) => Some(text.clone()),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Sequence(_)
            | Value::Mapping(_)
            | Value::Tagged(_) => {
                self.wrong_type(node, what, "text", help);
                None
            }
        }
    }

    /// Reads the value of `enabled`.
    pub(super) fn truth(&mut self, node: &Node<'_>, key: &str) -> bool {
        node.value.as_bool().unwrap_or_else(|| {
            let (what, help) = (
                format!("`{key}`"),
                format!("write `{key}: true` or `{key}: false`"),
            );
            self.wrong_type(node, &what, "`true` or `false`", &help);
            false
        })
    }

    /// The elements of a sequence, or the value itself if it is not a sequence.
    /// An empty sequence is an error.
    pub(super) fn one_or_many<'n>(&mut self, node: &Node<'n>, what: &str) -> Vec<Node<'n>> {
        let Some(elements) = node.elements() else {
            return vec![node.clone()];
        };
        if elements.is_empty() {
            let message =
                format!("{what} is an empty sequence, which could mean nothing or everything");
            let help = "write what it should match, or remove the key to match every packet";
            self.error(node.span.clone(), message, help);
        }
        elements
    }

    /// The value of `key`, or `None` if there is none. An invalid value sets
    /// `valid` to false.
    pub(super) fn option<T>(
        &mut self,
        parent: &Node<'_>,
        key: &str,
        read: fn(&mut Self, &Node<'_>) -> Option<T>,
        valid: &mut bool,
    ) -> Option<Spanned<T>> {
        let node = get(parent, key)?;
        let value = read(self, &node);
        *valid &= value.is_some();
        let span = node.span;
        value.map(|value| Spanned { value, span })
    }

    pub(super) fn wrong_type(&mut self, node: &Node<'_>, what: &str, wanted: &str, help: &str) {
        let written = self.file.text().get(node.span.clone()).unwrap_or_default();
        if node.elements().is_some() && written.starts_with('*') {
            let message = format!(
                "{what} is {wanted}, and `{written}` is a sequence; YAML does not merge a sequence into another"
            );
            self.error(
                node.span.clone(),
                message,
                format!("copy the entries of `{written}` here"),
            );
            return;
        }
        let found = match node.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a truth value",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::Sequence(_) => "a sequence",
            Value::Mapping(_) => "a mapping",
            Value::Tagged(_) => "a value with a YAML tag (`!…`)",
        };
        self.error(
            node.span.clone(),
            format!("{what} is {wanted}; here it is {found}"),
            help,
        );
    }

    /// Reports a missing key, unless it was found under a misspelt name.
    pub(super) fn missing(&mut self, key: &str, span: Range<usize>, message: &str, help: &str) {
        if !self.misspelt.contains(&key) {
            self.error(span, message, help);
        }
    }

    pub(super) fn error(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.out
            .push(Diagnostic::error(self.file.place(span), message, help));
    }

    pub(super) fn warning(&mut self, span: Range<usize>, message: &str, help: &str) {
        self.out
            .push(Diagnostic::warning(self.file.place(span), message, help));
    }
}

/// The value of a key; `None` if the mapping does not have the key.
pub(super) fn get<'a>(node: &Node<'a>, wanted: &str) -> Option<Node<'a>> {
    let entries = node.entries()?.into_iter();
    entries
        .filter(|(key, _)| key.value.as_str() == Some(wanted))
        .map(|(_, value)| value)
        .next()
}
