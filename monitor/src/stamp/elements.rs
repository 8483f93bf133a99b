//! Elements of DER: a tag, and a value that may hold elements.

use der::{AnyRef, Decode, Tag, TagNumber, Tagged as _};

/// Bytes are not what RFC 3161 puts in this part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} has not the form of RFC 3161")]
pub struct Malformed(pub &'static str);

/// Tag `[number]` of an element that holds elements.
pub(super) const fn context(number: u32) -> Tag {
    Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(number),
    }
}

/// Tag `[number]` of an element that holds no elements.
pub(super) const fn primitive(number: u32) -> Tag {
    Tag::ContextSpecific {
        constructed: false,
        number: TagNumber(number),
    }
}

/// An element.
#[derive(Clone, Copy)]
pub(super) struct Element<'a> {
    any: AnyRef<'a>,
    /// Tag, length and value.
    pub(super) whole: &'a [u8],
    part: &'static str,
}

impl<'a> Element<'a> {
    /// Reads bytes that are one element. `part` names them in errors.
    pub(super) fn read(bytes: &'a [u8], part: &'static str) -> Result<Self, Malformed> {
        let mut elements = Elements { rest: bytes, part };
        let element = elements.next()?;
        elements.end()?;
        Ok(element)
    }

    /// The same element under another name of the part.
    pub(super) fn named(self, part: &'static str) -> Self {
        Self { part, ..self }
    }

    pub(super) fn tag(&self) -> Tag {
        self.any.tag()
    }

    pub(super) fn value(&self) -> &'a [u8] {
        self.any.value()
    }

    /// The elements in this one, which must have this tag.
    pub(super) fn inside(&self, tag: Tag) -> Result<Elements<'a>, Malformed> {
        if self.tag() != tag {
            return Err(Malformed(self.part));
        }
        Ok(Elements {
            rest: self.value(),
            part: self.part,
        })
    }

    /// The value of an element with this tag.
    pub(super) fn value_of(&self, tag: Tag) -> Result<&'a [u8], Malformed> {
        (self.tag() == tag)
            .then(|| self.value())
            .ok_or(Malformed(self.part))
    }

    pub(super) fn decode<T: Decode<'a>>(&self) -> Result<T, Malformed> {
        T::from_der(self.whole).map_err(|_| Malformed(self.part))
    }
}

/// Elements, one after another.
pub(super) struct Elements<'a> {
    rest: &'a [u8],
    part: &'static str,
}

impl<'a> Elements<'a> {
    pub(super) fn next(&mut self) -> Result<Element<'a>, Malformed> {
        let malformed = |_| Malformed(self.part);
        let (any, rest) = AnyRef::from_der_partial(self.rest).map_err(malformed)?;
        let (whole, _) = self.rest.split_at(self.rest.len() - rest.len());
        self.rest = rest;
        Ok(Element {
            any,
            whole,
            part: self.part,
        })
    }

    /// The next element, if it has this tag.
    pub(super) fn next_if(&mut self, tag: Tag) -> Result<Option<Element<'a>>, Malformed> {
        let mut ahead = Self {
            rest: self.rest,
            part: self.part,
        };
        if ahead.is_end() {
            return Ok(None);
        }
        let element = ahead.next()?;
        if element.tag() != tag {
            return Ok(None);
        }
        self.rest = ahead.rest;
        Ok(Some(element))
    }

    pub(super) const fn is_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Checks that no element is left.
    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.is_end() {
            Ok(())
        } else {
            Err(Malformed(self.part))
        }
    }

    /// The only element.
    pub(super) fn only(mut self) -> Result<Element<'a>, Malformed> {
        let element = self.next()?;
        self.end()?;
        Ok(element)
    }
}
