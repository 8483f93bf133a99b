//! Reads the objects of threat reports: STIX bundles and events of MISP. Their formats say
//! which objects are indicators, and which of those are no longer valid.

use jiff::Timestamp;

use super::{
    select::{Chosen, Paths},
    walk::{Kind, Visit},
};
use crate::{
    lists::{InvalidLine, Line, plain},
    quoted::quoted,
};

/// A format of threat reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// STIX 2. If the bundle has indicators, its other objects are context.
    Stix { has_indicators: bool },
    /// MISP.
    Misp,
}

/// The members of an object that matter.
#[derive(Debug, Default)]
struct Item {
    kind: String,
    value: Option<(String, u32)>,
    pattern: Option<(String, u32)>,
    pattern_type: String,
    /// True if the object is revoked, deleted, or an indicator of something harmless.
    is_void: bool,
    valid_until: String,
    line: u32,
}

/// Reads every object at one of `paths`.
pub(super) struct Reports<'p, 'a, 's> {
    paths: Paths<'p>,
    report: Report,
    now: Timestamp,
    chosen: &'p mut Chosen<'a, 's>,
    /// The object that is open, and the names of the open members within it.
    item: Option<Item>,
    names: Vec<Option<String>>,
}

impl<'p, 'a, 's> Reports<'p, 'a, 's> {
    pub(super) fn new(paths: Paths<'p>, report: Report, chosen: &'p mut Chosen<'a, 's>) -> Self {
        Self {
            paths,
            report,
            now: Timestamp::now(),
            chosen,
            item: None,
            names: Vec::new(),
        }
    }

    fn enter(&mut self, name: Option<&str>) {
        if self.item.is_some() {
            self.names.push(name.map(str::to_owned));
        } else {
            self.paths.enter(name);
        }
    }

    /// Returns the item and the name of its member if a value of the member begins.
    fn member(&mut self) -> Option<(&mut Item, &str)> {
        let item = self.item.as_mut()?;
        // The elements of an array belong to its member.
        match self.names.as_slice() {
            [Some(name)] | [Some(name), None] => Some((item, name)),
            _ => None,
        }
    }
}

impl Visit for Reports<'_, '_, '_> {
    fn name(&mut self, name: &str) {
        self.enter(Some(name));
    }

    fn index(&mut self, _: usize) {
        self.enter(None);
    }

    fn leave(&mut self) {
        if self.item.is_some() && self.names.pop().is_some() {
            return;
        }
        if let Some(item) = self.item.take() {
            let number = item.value.as_ref().or(item.pattern.as_ref());
            let line = number.map_or(item.line, |(_, line)| *line);
            let read = match self.report {
                Report::Stix { has_indicators } => item.stix(has_indicators, self.now, self.chosen),
                Report::Misp => item.misp(self.chosen),
            };
            self.chosen.list.add(read, line);
        }
        self.paths.leave();
    }

    fn text(&mut self, text: &str, line: u32) {
        let Some((item, name)) = self.member() else {
            return;
        };
        match name {
            "type" => text.clone_into(&mut item.kind),
            "value" => item.value = Some((text.to_owned(), line)),
            "pattern" => item.pattern = Some((text.to_owned(), line)),
            "pattern_type" => text.clone_into(&mut item.pattern_type),
            "valid_until" => text.clone_into(&mut item.valid_until),
            "indicator_types" | "labels" => item.is_void |= text == "benign",
            _ => {}
        }
    }

    fn other(&mut self, kind: Kind, line: u32) {
        if self.item.is_none() && kind == Kind::Object && self.paths.is_selected() {
            self.item = Some(Item {
                line,
                ..Item::default()
            });
            return;
        }
        let Some((item, name)) = self.member() else {
            return;
        };
        match (name, kind) {
            ("revoked" | "deleted", Kind::Bool(true)) | ("to_ids", Kind::Bool(false)) => {
                item.is_void = true;
            }
            _ => {}
        }
    }
}

impl Item {
    fn stix(
        &self,
        has_indicators: bool,
        now: Timestamp,
        chosen: &Chosen<'_, '_>,
    ) -> Result<Line, InvalidLine> {
        let until: Option<Timestamp> = self.valid_until.parse().ok();
        if self.is_void || until.is_some_and(|until| until <= now) {
            return Ok(Line::LeftOut);
        }
        match self.kind.as_str() {
            "indicator" if matches!(self.pattern_type.as_str(), "" | "stix") => {
                let pattern = self.pattern.as_ref().map_or("", |(text, _)| text);
                match address_of(pattern)? {
                    Some(address) => plain::entry(address, chosen.chooser),
                    None => Ok(Line::LeftOut),
                }
            }
            "ipv4-addr" | "ipv6-addr" if !has_indicators => match &self.value {
                Some((value, _)) => plain::entry(value.trim(), chosen.chooser),
                None => Ok(Line::LeftOut),
            },
            _ => Ok(Line::LeftOut),
        }
    }

    fn misp(&self, chosen: &Chosen<'_, '_>) -> Result<Line, InvalidLine> {
        let value = self.value.as_ref().map_or("", |(text, _)| text).trim();
        if self.is_void {
            return Ok(Line::LeftOut);
        }
        let parts = value.split_once('|');
        match (self.kind.as_str(), parts) {
            ("ip-src" | "ip-dst", _) => plain::entry(value, chosen.chooser),
            ("domain|ip", Some((_, address))) => plain::entry(address, chosen.chooser),
            ("ip-src|port" | "ip-dst|port", Some((address, port))) => {
                let text = if address.contains(':') {
                    format!("[{address}]:{port}")
                } else {
                    format!("{address}:{port}")
                };
                plain::entry(&text, chosen.chooser)
            }
            ("domain|ip" | "ip-src|port" | "ip-dst|port", None) => {
                plain::entry(value, chosen.chooser)
            }
            _ => Ok(Line::LeftOut),
        }
    }
}

/// Returns the address of `[ipv4-addr:value = '192.0.2.1']`, or `None` for a pattern that
/// compares no address.
fn address_of(text: &str) -> Result<Option<&str>, InvalidLine> {
    let is_about = ["ipv4-addr:", "ipv6-addr:", "network-traffic:"];
    if !is_about.iter().any(|part| text.contains(part)) {
        return Ok(None);
    }
    if text.matches(['=', '<', '>']).count() + text.matches("ISSUBSET").count() > 1 {
        return Err(InvalidLine::StixPattern);
    }
    let more = || InvalidLine::MoreThanAddress { text: quoted(text) };
    simple(text).map(Some).ok_or_else(more)
}

fn simple(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?.trim();
    let object = ["ipv4-addr:value", "ipv6-addr:value"];
    let rest = object
        .iter()
        .find_map(|object| inner.strip_prefix(object))?
        .trim_start();
    let value = ["=", "ISSUBSET"]
        .iter()
        .find_map(|operator| rest.strip_prefix(operator))?;
    let value = value.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    (!value.contains('\'')).then_some(value)
}

#[cfg(test)]
mod tests {
    use crate::lists::{Format, List, Selection, read};

    fn parse(text: &str) -> List {
        read(text, Format::Json, &Selection::default())
    }

    fn stix(objects: &str) -> List {
        parse(&format!("{{\"type\":\"bundle\",\"objects\":[{objects}]}}"))
    }

    #[test]
    fn objects_of_stix_that_are_no_valid_indicators_are_left_out() {
        let pattern = r#""type":"indicator","pattern":"[ipv4-addr:value = '45.1.2.3']""#;
        for more in [
            r#""revoked":true"#,
            r#""indicator_types":["benign"]"#,
            r#""valid_until":"2020-01-01T00:00:00Z""#,
            r#""pattern_type":"snort""#,
        ] {
            let list = stix(&format!("{{{pattern},{more}}},{{{pattern}}}"));
            assert_eq!(
                (list.ipv4.len(), list.left_out, list.bad.count()),
                (1, 1, 0),
                "{more}"
            );
        }
        let valid = stix(&format!(
            "{{{pattern},\"valid_until\":\"2999-01-01T00:00:00Z\",\"revoked\":false}}"
        ));
        assert_eq!(valid.ipv4.len(), 1);
        let context =
            r#"{"type":"ipv4-addr","value":"9.9.9.9"},{"type":"x-thing","value":"9.9.9.8"}"#;
        let list = stix(&format!("{{{pattern}}},{context}"));
        assert_eq!((list.ipv4.len(), list.left_out), (1, 2));
        let list = stix(context);
        assert_eq!((list.ipv4.len(), list.left_out), (1, 1));
        let list = stix(r#"{"type":"ipv4-addr","value":"9.9.9.999"}"#);
        assert_eq!((list.bad.count(), list.left_out), (1, 0));
    }

    #[test]
    fn patterns_that_compare_more_are_bad_and_others_are_left_out() {
        for (pattern, bad, left_out) in [
            ("[ipv4-addr:value = '45.1.2.3']", 0, 0),
            ("[ipv4-addr:value ISSUBSET '45.1.0.0/16']", 0, 0),
            (
                "[ipv4-addr:value = '45.1.2.3' OR ipv4-addr:value = '45.1.2.4']",
                1,
                0,
            ),
            ("[network-traffic:dst_ref.value = '45.1.2.3']", 1, 0),
            ("[ipv4-addr:value != '45.1.2.3']", 1, 0),
            ("[file:name = 'x']", 0, 1),
        ] {
            let list = stix(&format!(r#"{{"type":"indicator","pattern":"{pattern}"}}"#));
            assert_eq!(
                (list.bad.count(), list.left_out),
                (bad, left_out),
                "{pattern}"
            );
            assert_eq!(list.ipv4.len(), 1 - bad - left_out, "{pattern}");
        }
    }

    #[test]
    fn attributes_of_misp_are_selected_by_type_and_state() {
        for (attribute, ipv4, left_out, bad) in [
            (
                r#""type":"ip-dst","value":"45.1.2.3","to_ids":true"#,
                1,
                0,
                0,
            ),
            (
                r#""type":"domain|ip","value":"a.example|45.1.2.3""#,
                1,
                0,
                0,
            ),
            (r#""type":"ip-dst|port","value":"45.1.2.3|443""#, 0, 0, 1),
            (
                r#""type":"ip-dst","value":"45.1.2.3","to_ids":false"#,
                0,
                1,
                0,
            ),
            (
                r#""type":"ip-dst","value":"45.1.2.3","deleted":true"#,
                0,
                1,
                0,
            ),
            (r#""type":"text","value":"45.1.2.3""#, 0, 1, 0),
            (r#""type":"ip-dst","value":"9.9.9.999""#, 0, 0, 1),
        ] {
            let list = parse(&format!(
                r#"{{"Event":{{"Attribute":[{{{attribute}}}],"Object":[{{"Attribute":[{{"type":"md5","value":"x"}}]}}]}}}}"#
            ));
            let found = (list.ipv4.len(), list.left_out - 1, list.bad.count());
            assert_eq!(found, (ipv4, left_out, bad), "{attribute}");
        }
    }
}
