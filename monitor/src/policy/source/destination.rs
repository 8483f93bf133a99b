//! One destination as it is typed.

use std::path::Path;

use super::{
    list::SourceList,
    reader::{Reader, Spanned, get},
};
use crate::address::Destination;
use crate::policy::{
    keys::{self, DestinationKind},
    yaml::Node,
};

/// A destination as it is typed.
#[derive(Debug)]
pub(in crate::policy) enum SourceDestination {
    Plain(Spanned<Destination>),
    Except {
        cidr: Spanned<Destination>,
        except: Vec<Spanned<Destination>>,
    },
    List(SourceList),
    /// A table with the lines to select from it.
    Table(SourceList),
}

impl Reader<'_> {
    pub(super) fn destination(&mut self, node: &Node<'_>) -> Option<SourceDestination> {
        if node.elements().is_some() {
            let text = &self.file.text()[node.span.clone()];
            let name = text.starts_with('*').then_some(text);
            let message = "this is a sequence within `destinations`; YAML does not merge a sequence into another";
            let help = match name {
                Some(name) => format!("copy the entries of `{name}` here"),
                None => "write its entries here, without brackets".to_owned(),
            };
            self.error(node.span.clone(), message, help);
            return None;
        }
        if node.entries().is_none() {
            return self.address(node).map(SourceDestination::Plain);
        }
        if self.split_by_yaml(node) {
            return None;
        }
        keys::DESTINATION.check(node, self.file, self.out);
        self.optional_text(node, "comment");
        if let Some(table) = get(node, "table") {
            for key in DestinationKind::Table.foreign_keys() {
                if let Some(value) = get(node, key) {
                    let message = format!("`{key}` does not belong to a `table`");
                    self.error(value.span, message, format!("remove `{key}`"));
                    return None;
                }
            }
            return self.table(node, &table).map(SourceDestination::Table);
        }
        if let Some(asn) = get(node, "asn") {
            let help = "write `{asn: [24406], table: tables/NAME.csv}`: the filter knows no routes of its own";
            self.error(asn.span, "an `asn` needs a `table` to look it up in", help);
            return None;
        }
        match (get(node, "cidr"), get(node, "list")) {
            (Some(cidr), None) => self.except(node, &cidr),
            (None, Some(list)) => self.list(node, &list).map(SourceDestination::List),
            (Some(_), Some(list)) => {
                self.error(
                    list.span,
                    "this destination has both `cidr` and `list`",
                    "write two destinations",
                );
                None
            }
            (None, None) => {
                self.neither(node);
                None
            }
        }
    }

    /// Reports a destination with neither `cidr` nor `list`. An unknown key was
    /// reported before, so nothing is added then.
    fn neither(&mut self, node: &Node<'_>) {
        let entries = node.entries().unwrap_or_default();
        let known = |(key, _): &(Node<'_>, Node<'_>)| {
            let key = key.value.as_str().unwrap_or_default();
            keys::DESTINATION.known.contains(&key)
        };
        if !entries.iter().all(known) {
            return;
        }
        let help = if get(node, "country").is_some() {
            "name a list that tells countries: `{list: lists/NAME.txt, country: CC}`"
        } else {
            "write `{cidr: 192.0.2.0/24, except: […]}` or `{list: lists/NAME.txt}`"
        };
        self.error(
            node.span.clone(),
            "this destination has neither `cidr` nor `list`",
            help,
        );
    }

    /// Reports an IPv6 address that ends with a colon, such as `- fe80::`: YAML
    /// reads it as a key without a value.
    fn split_by_yaml(&mut self, node: &Node<'_>) -> bool {
        let entries = node.entries().unwrap_or_default();
        let [(key, value)] = entries.as_slice() else {
            return false;
        };
        let text = key.value.as_str().unwrap_or_default();
        let address = format!("{text}:");
        if !value.value.is_null() || address.parse::<std::net::Ipv6Addr>().is_err() {
            return false;
        }
        self.error(
            key.span.clone(),
            format!("YAML reads `{address}` as a key, because it ends with a colon"),
            format!("put it in quotes: `\"{address}\"`"),
        );
        true
    }

    fn except(&mut self, node: &Node<'_>, cidr: &Node<'_>) -> Option<SourceDestination> {
        let outer = self.address(cidr);
        for key in DestinationKind::Cidr.foreign_keys() {
            if let Some(value) = get(node, key) {
                let message = format!("`{key}` belongs to a `list`, not to a `cidr`");
                self.error(value.span, message, format!("remove `{key}`"));
            }
        }
        let help = "write `except: [192.0.2.64/26]`";
        let mut except = Vec::new();
        if let Some(holes) = get(node, "except") {
            let Some(elements) = holes.elements() else {
                self.wrong_type(&holes, "`except`", "a sequence", help);
                return None;
            };
            for element in &elements {
                except.push(self.address(element));
            }
        }
        let cidr = outer?;
        if !cidr.value.is_one_network() {
            self.error(
                cidr.span,
                "`cidr` holds a range",
                "write the range as a destination of its own, or as CIDRs",
            );
            return None;
        }
        let except = except.into_iter().collect::<Option<Vec<_>>>()?;
        Some(SourceDestination::Except { cidr, except })
    }

    pub(super) fn address(&mut self, node: &Node<'_>) -> Option<Spanned<Destination>> {
        let help = "write a CIDR, an address or a range, or a mapping with `cidr` or `list`";
        let text = self.text(node, "a destination", help)?;
        match text.parse() {
            Ok(value) => Some(Spanned {
                value,
                span: node.span.clone(),
            }),
            Err(_)
                if Path::new(&text)
                    .extension()
                    .is_some_and(|extension| extension == "txt") =>
            {
                let help = format!("write `{{list: {text}}}`");
                self.error(
                    node.span.clone(),
                    format!("`{text}` looks like a list file"),
                    help,
                );
                None
            }
            Err(error) => {
                self.error(node.span.clone(), error.to_string(), error.help());
                None
            }
        }
    }
}
