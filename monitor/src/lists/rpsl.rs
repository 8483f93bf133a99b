//! Reads objects of the Routing Policy Specification Language (RFC 2622, RFC 4012), as
//! whois servers and routing registries publish them. Objects of the classes `route`,
//! `route6`, `inetnum` and `inet6num` have addresses.

use super::{InvalidLine, Key, Line, List, header::asn, lines::each_line, selection::Chooser};
use crate::quoted::quoted;

const PATTERN: &str = "attribute: value";

pub(super) fn read(text: &str, chooser: &mut Chooser<'_>, list: &mut List) {
    let mut object = None;
    each_line(text, list, |line, number, list| {
        let content = line.split('#').next().unwrap_or_default().trim_end();
        if line.trim().is_empty() {
            finish(&mut object, chooser, list);
            return;
        }
        // The value of an attribute continues in lines that begin with white space or `+`.
        let continues = line.starts_with([' ', '\t', '+']) && object.is_some();
        if content.is_empty() || content.starts_with('%') || continues {
            return;
        }
        let Some((name, value)) = attribute(content) else {
            list.add(Err(InvalidLine::Pattern { pattern: PATTERN }), number);
            return;
        };
        if is_class(name) {
            finish(&mut object, chooser, list);
        }
        let object = object.get_or_insert(Object {
            addresses: None,
            origin: None,
            line: number,
        });
        if is_class(name) {
            object.addresses = Some(value);
        } else if name.eq_ignore_ascii_case("origin") {
            object.origin = Some(value);
        }
    });
    finish(&mut object, chooser, list);
}

/// The needed parts of the current object.
struct Object<'a> {
    /// The addresses; `None` for a class without any, such as `person`.
    addresses: Option<&'a str>,
    origin: Option<&'a str>,
    /// Line number of the first attribute.
    line: u32,
}

impl Object<'_> {
    fn line(&self, addresses: &str, chooser: &mut Chooser<'_>) -> Result<Line, InvalidLine> {
        let destination = addresses.parse()?;
        let key = match (self.origin, chooser.selection.asn()) {
            (Some(origin), Some(wanted)) => {
                let origin = asn(origin).ok_or_else(|| InvalidLine::Asn {
                    text: quoted(origin),
                    asn: wanted,
                })?;
                Some(Key::Asn(origin))
            }
            (None, _) | (_, None) => None,
        };
        Ok(Line::new(destination, chooser.takes(key)))
    }
}

/// Adds the current object to the list.
fn finish(object: &mut Option<Object<'_>>, chooser: &mut Chooser<'_>, list: &mut List) {
    if let Some(object) = object.take()
        && let Some(addresses) = object.addresses
    {
        list.add(object.line(addresses, chooser), object.line);
    }
}

/// Returns true for the class of an object that has addresses.
pub(super) fn is_class(name: &str) -> bool {
    ["route", "route6", "inetnum", "inet6num"]
        .iter()
        .any(|class| name.eq_ignore_ascii_case(class))
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
}
