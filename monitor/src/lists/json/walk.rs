//! Walks through a JSON text without storing it, and tells the line of each value.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Gets the parts of a document in their order.
pub(super) trait Visit {
    /// A member of an object begins.
    fn name(&mut self, name: &str);
    /// An element of an array begins.
    fn index(&mut self, index: usize);
    /// The member or element ends.
    fn leave(&mut self);
    /// The value is text. `line` is the number of its line, counted from 1.
    fn text(&mut self, text: &str, line: u32);
    /// The value is an object, an array, a number, a truth value or null.
    fn other(&mut self, kind: Kind, line: u32);
}

/// A value that is not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    Number,
    Bool(bool),
    Null,
}

/// Walks through the one value in `text`, whose first line has the number `line`.
pub(super) fn walk(text: &str, line: u32, visit: &mut dyn Visit) -> Result<(), serde_json::Error> {
    let mut walk = Walk {
        text,
        cursor: 0,
        line,
        visit,
    };
    let mut reader = serde_json::Deserializer::from_str(text);
    Value(&mut walk).deserialize(&mut reader)?;
    reader.end()
}

struct Walk<'a, 'v> {
    text: &'a str,
    /// Offset behind the last value that was visited.
    cursor: usize,
    /// Number of the line of the cursor.
    line: u32,
    visit: &'v mut dyn Visit,
}

impl Walk<'_, '_> {
    /// Moves the cursor behind the next text, which the parser has just read. Nothing but
    /// texts has quotation marks, so the next one begins it.
    fn pass_text(&mut self) {
        self.pass_to(|byte| byte == b'"');
        let bytes = self.text.as_bytes();
        let mut at = self.cursor + 1;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => break,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        self.cursor = at + 1;
    }

    /// Passes a value that is not text, and visits it.
    fn other(&mut self, kind: Kind) {
        match kind {
            Kind::Object => self.pass_to(|byte| byte == b'{'),
            Kind::Array => self.pass_to(|byte| byte == b'['),
            Kind::Number | Kind::Bool(_) | Kind::Null => {
                self.pass_to(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
                let rest = &self.text.as_bytes()[self.cursor..];
                let ends =
                    |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b',' | b']' | b'}');
                self.cursor += rest.iter().position(ends).unwrap_or(rest.len());
                return self.visit.other(kind, self.line);
            }
        }
        self.cursor += 1;
        self.visit.other(kind, self.line);
    }

    /// Moves the cursor to the next byte for which `is_start` is true, and counts the
    /// line ends before it. Only marks and white space are between two values.
    fn pass_to(&mut self, is_start: fn(u8) -> bool) {
        let bytes = self.text.as_bytes();
        let from = self.cursor.min(bytes.len());
        let rest = &bytes[from..];
        let length = rest.iter().position(|byte| is_start(*byte));
        let start = from + length.unwrap_or(rest.len());
        let ends = bytes[from..start].iter().filter(|byte| **byte == b'\n');
        let ends = u32::try_from(ends.count()).unwrap_or(u32::MAX);
        self.line = self.line.saturating_add(ends);
        self.cursor = start;
    }
}

struct Value<'w, 'a, 'v>(&'w mut Walk<'a, 'v>);

impl<'de> DeserializeSeed<'de> for Value<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let walk = self.0;
        walk.other(Kind::Object);
        while let Some(name) = map.next_key::<Name<'de>>()? {
            walk.pass_text();
            walk.visit.name(&name.0);
            map.next_value_seed(Value(walk))?;
            walk.visit.leave();
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let walk = self.0;
        walk.other(Kind::Array);
        for index in 0.. {
            walk.visit.index(index);
            let next = sequence.next_element_seed(Value(walk))?;
            walk.visit.leave();
            if next.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.0.pass_text();
        self.0.visit.text(text, self.0.line);
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.0.other(Kind::Bool(value));
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.0.other(Kind::Number);
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.0.other(Kind::Number);
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.0.other(Kind::Number);
        Ok(())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.0.other(Kind::Null);
        Ok(())
    }
}

/// The name of a member. It borrows from the text unless it has escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Borrowed(name)))
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Owned(name.to_owned())))
    }
}
