//! Reads objects of the Routing Policy Specification Language (RFC 2622, RFC 4012), as
//! whois servers and routing registries publish them. Objects of the classes `route`,
//! `route6`, `inetnum` and `inet6num` have addresses, and so has ARIN's `NetRange`.

use std::borrow::Cow;

use super::{InvalidLine, Key, Line, List, header::asn, lines::each_line, selection::Chooser};
use crate::quoted::quoted;

const PATTERN: &str = "attribute: value";

/// The classes of objects with addresses.
const CLASSES: [&str; 5] = ["route", "route6", "inetnum", "inet6num", "netrange"];

pub(super) fn read(text: &str, chooser: &mut Chooser<'_>, list: &mut List) {
    let mut objects = Objects {
        attribute: None,
        object: None,
        chooser,
    };
    each_line(text, 1, list, |line, number, list| {
        objects.line(line, number, list);
    });
    objects.finish(list);
}

/// An attribute of the current object, whose value may continue in the next line.
struct Attribute<'a> {
    name: &'a str,
    value: Cow<'a, str>,
    line: u32,
}

/// The needed parts of the current object.
#[derive(Default)]
struct Object<'a> {
    /// The addresses; `None` for a class without any, such as `person`.
    addresses: Option<Cow<'a, str>>,
    origin: Option<Cow<'a, str>>,
    /// True if `holes:` names addresses that the route does not have.
    has_holes: bool,
    is_deleted: bool,
    /// Line number of the first attribute.
    line: u32,
}

struct Objects<'a, 'c, 's> {
    attribute: Option<Attribute<'a>>,
    object: Option<Object<'a>>,
    chooser: &'c mut Chooser<'s>,
}

impl<'a> Objects<'a, '_, '_> {
    fn line(&mut self, line: &'a str, number: u32, list: &mut List) {
        if line.trim().is_empty() {
            self.finish(list);
            return;
        }
        let content = line.split('#').next().unwrap_or_default().trim_end();
        if content.is_empty() || content.starts_with('%') {
            return;
        }
        // The value of an attribute continues in lines that begin with white space or `+`.
        if let Some(attribute) = &mut self.attribute
            && content.starts_with([' ', '\t', '+'])
        {
            if is_needed(attribute.name) {
                let more = content[1..].trim();
                attribute.value = format!("{} {more}", attribute.value)
                    .trim()
                    .to_owned()
                    .into();
            }
            return;
        }
        self.end_attribute(list);
        match attribute(content) {
            Some((name, value)) => {
                self.attribute = Some(Attribute {
                    name,
                    value: value.into(),
                    line: number,
                });
            }
            None => list.add(Err(InvalidLine::Pattern { pattern: PATTERN }), number),
        }
    }

    /// Adds the attribute to its object. An attribute that names a class begins an object.
    fn end_attribute(&mut self, list: &mut List) {
        let Some(Attribute { name, value, line }) = self.attribute.take() else {
            return;
        };
        if has_members(name) {
            let class = name.to_ascii_lowercase();
            list.add(Err(InvalidLine::Members { class }), line);
        }
        if is_class(name) {
            self.end_object(list);
        }
        let object = self.object.get_or_insert_with(|| Object {
            line,
            ..Object::default()
        });
        if is_class(name) {
            object.addresses = Some(value);
        } else if ["origin", "originas"]
            .iter()
            .any(|key| name.eq_ignore_ascii_case(key))
        {
            object.origin = Some(value).filter(|value| !value.is_empty());
        } else if name.eq_ignore_ascii_case("holes") {
            object.has_holes = !value.is_empty();
        } else if name.eq_ignore_ascii_case("delete") {
            object.is_deleted = true;
        }
    }

    fn end_object(&mut self, list: &mut List) {
        if let Some(object) = self.object.take()
            && let Some(addresses) = &object.addresses
        {
            list.add(object.read(addresses, self.chooser), object.line);
        }
    }

    fn finish(&mut self, list: &mut List) {
        self.end_attribute(list);
        self.end_object(list);
    }
}

impl Object<'_> {
    fn read(&self, addresses: &str, chooser: &mut Chooser<'_>) -> Result<Line, InvalidLine> {
        if self.is_deleted {
            return Ok(Line::LeftOut);
        }
        let destination = addresses.parse()?;
        let key = match (self.origin.as_deref(), chooser.selection.asn()) {
            (Some(origin), Some(wanted)) => {
                let origin = asn(origin).ok_or_else(|| InvalidLine::Asn {
                    text: quoted(origin),
                    asn: wanted,
                })?;
                Some(Key::Asn(origin))
            }
            (None, _) | (_, None) => None,
        };
        let line = Line::new(destination, chooser.takes(key));
        if self.has_holes && line != Line::LeftOut {
            return Err(InvalidLine::Exception { word: "holes" });
        }
        Ok(line)
    }
}

/// Returns true for an attribute that the reader uses.
fn is_needed(name: &str) -> bool {
    let others = ["origin", "originas", "holes"];
    is_class(name) || others.iter().any(|key| name.eq_ignore_ascii_case(key))
}

/// Returns true for the class of an object that has addresses.
pub(super) fn is_class(name: &str) -> bool {
    CLASSES.iter().any(|class| name.eq_ignore_ascii_case(class))
}

/// Returns true for the class of an object whose members are other objects and addresses.
pub(super) fn has_members(name: &str) -> bool {
    let classes = ["route-set", "as-set", "rtr-set"];
    classes.iter().any(|class| name.eq_ignore_ascii_case(class))
}

/// Splits a line into the name and the value of an attribute.
pub(super) fn attribute(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(allowed);
    is_name.then(|| (name, value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::{Format, Selection, read, recognise};

    const OBJECTS: &str = "% from a registry\n\n\
        inetnum:        192.0.2.0 - 192.0.2.255\nnetname:        X\ndescr:          10.0.0.0/8\n\
        country:        NL\n\n\
        person:         A: B\naddress:        10.0.0.1\n\n\
        route:          198.51.100.0/24\ndescr:          one\n                two: 10.0.0.0/8\n\
        +               more\norigin:         AS64500 # main\n\n\
        route6:         2001:db8::/32\norigin:         as64501\nroute6:         2001:db8:1::/48\n\
        origin:         AS64500\n\ninet6num: 2001:db8:2::/48\n";

    fn parse(text: &str, asn: Option<u32>) -> List {
        assert_eq!(recognise(text), Ok(Format::Rpsl), "{text}");
        let selection = Selection {
            keys: asn.into_iter().map(Key::Asn).collect(),
            ..Selection::default()
        };
        read(text, Format::Rpsl, &selection)
    }

    #[test]
    fn objects_with_addresses_are_read_and_others_are_not() {
        let list = parse(OBJECTS, None);
        assert_eq!(list.bad.count(), 0, "{:?}", list.bad);
        let lines: Vec<u32> = list.ipv4.iter().map(|(_, line)| *line).collect();
        assert_eq!(lines, [3, 11]);
        assert_eq!(list.ipv6.len(), 3);
    }

    #[test]
    fn the_origin_selects_and_objects_without_one_are_left_out() {
        let list = parse(OBJECTS, Some(64500));
        assert_eq!((list.ipv4.len(), list.ipv6.len(), list.left_out), (1, 1, 3));
        assert!(list.missing.is_empty());
        assert_eq!(parse(OBJECTS, Some(64502)).missing, [Key::Asn(64502)]);
    }

    #[test]
    fn wrong_objects_are_refused_with_their_line() {
        for (text, message) in [
            ("route: 192.0.2.1/24\norigin: AS64500", "bits set"),
            ("inetnum: 200.0/16", "is not an IPv4"),
            (
                "route: 192.0.2.0/24\norigin: none",
                "`none` is not the number",
            ),
            ("nonsense", "this line is not `attribute: value`"),
        ] {
            let text = format!("route: 198.51.100.0/24\norigin: AS64500\n\n{text}\n");
            let list = parse(&text, Some(64500));
            let (line, error) = &list.bad.first()[0];
            assert_eq!(
                (*line, list.bad.count(), list.ipv4.len()),
                (4, 1, 1),
                "{text}"
            );
            assert!(error.to_string().contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn values_may_continue_and_the_class_may_stand_alone() {
        for text in [
            "route: 192.0.2.0/24\norigin:\n AS64500\n",
            "inetnum: 192.0.2.0 -\n+ 192.0.2.255\norigin: AS64500\n",
            "inetnum:\n  192.0.2.0 - 192.0.2.255\norigin: AS64500\n",
            "route:192.0.2.0/24\norigin:AS64500\n",
            "# c\nNetRange: 192.0.2.0 - 192.0.2.255\nCIDR: 192.0.2.0/24\nNetName: X\nOriginAS: AS64500\n",
        ] {
            let list = parse(text, Some(64500));
            assert_eq!(
                (list.ipv4.len(), list.bad.count()),
                (1, 0),
                "{text} {:?}",
                list.bad
            );
        }
    }

    #[test]
    fn holes_deleted_objects_and_members_are_not_taken() {
        let list = parse(
            "route: 45.1.0.0/16\norigin: AS1\nholes: 45.1.2.0/24\n\n\
             route: 45.2.0.0/16\norigin: AS1\ndelete: old\n\n\
             route-set: RS-X\nmembers: 45.3.0.0/16\n\nroute: 45.4.0.0/16\norigin: AS1\n",
            None,
        );
        assert_eq!((list.ipv4.len(), list.left_out), (1, 1));
        let bad: Vec<(u32, bool)> = list
            .bad
            .first()
            .iter()
            .map(|(line, error)| (*line, error.is_exclusion()))
            .collect();
        assert_eq!(bad, [(1, true), (9, false)]);
    }
}
