//! Reads `address length origins` on each line, as `RouteViews` publishes which networks
//! announce a prefix (CAIDA's pfx2as). A prefix may have several origins, separated by `_`
//! or `,`.

use std::net::IpAddr;

use super::{
    Key,
    header::origins,
    line::{InvalidLine, Line},
    plain::content,
    selection::Chooser,
};

pub(super) fn line(text: &str, chooser: &mut Chooser<'_>) -> Result<Line, InvalidLine> {
    let text = content(text);
    if text.is_empty() {
        return Ok(Line::Nothing);
    }
    let invalid = || InvalidLine::Pattern {
        pattern: "address length origin",
    };
    let mut words = text.split_whitespace();
    let (Some(address), Some(length), Some(numbers), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(invalid());
    };
    let is_length = length.len() <= 3 && length.bytes().all(|byte| byte.is_ascii_digit());
    if address.parse::<IpAddr>().is_err() || !is_length {
        return Err(invalid());
    }
    let origins = origins(numbers).ok_or_else(invalid)?;
    let destination = format!("{address}/{length}").parse()?;
    // Every key is recorded, so all origins are looked up.
    let wanted = origins
        .into_iter()
        .filter(|asn| chooser.takes(Some(Key::Asn(*asn))));
    Ok(Line::new(destination, wanted.count() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::{Format, Selection, read, recognise};

    const TABLE: &str = "1.0.0.0\t24\t13335\n1.0.4.0\t22\t38803_13335\n\
        1.0.8.0\t24\t64500,64501\n2001:db8::\t32\t13335\n";

    #[test]
    fn every_origin_of_a_prefix_selects_it() {
        assert_eq!(recognise(TABLE), Ok(Format::Pfx2as));
        for (asn, ipv4, ipv6) in [(13335, 2, 1), (38803, 1, 0), (64501, 1, 0), (64502, 0, 0)] {
            let keys = [Key::Asn(asn)].into();
            let list = read(
                TABLE,
                Format::Pfx2as,
                &Selection {
                    keys,
                    ..Selection::default()
                },
            );
            assert_eq!((list.ipv4.len(), list.ipv6.len()), (ipv4, ipv6), "{asn}");
            assert_eq!(list.bad.count(), 0);
            assert_eq!(list.missing.len(), usize::from(ipv4 + ipv6 == 0));
        }
        let all = read(TABLE, Format::Pfx2as, &Selection::default());
        assert_eq!((all.ipv4.len(), all.ipv6.len()), (3, 1));
    }

    #[test]
    fn other_lines_are_refused() {
        for text in [
            "1.0.0.1\t24\t13335",
            "1.0.0.0\t33\t1",
            "1.0.0.0\t24\tx",
            "1.0.0.0\t24",
            "1.0.0.0 24 1 2",
            "a 24 1",
        ] {
            assert!(
                line(text, &mut Chooser::new(&Selection::default())).is_err(),
                "{text}"
            );
        }
    }
}
