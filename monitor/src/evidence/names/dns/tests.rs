use std::iter;

use proptest::prelude::*;

use super::*;

mod services;

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const SVCB: u16 = 64;
const HTTPS: u16 = 65;

/// Returns a name in wire format, from text with dots.
fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').filter(|label| !label.is_empty());
    let mut wire: Vec<u8> = labels
        .flat_map(|label| {
            let length = u8::try_from(label.len()).unwrap();
            iter::once(length).chain(label.bytes())
        })
        .collect();
    wire.push(0);
    wire
}

fn record(owner: &[u8], rtype: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    let mut record = owner.to_vec();
    record.extend(rtype.to_be_bytes());
    record.extend([0, 1, 0, 0, 0, 60]);
    record.extend(length.to_be_bytes());
    record.extend(data);
    record
}

/// Returns an answer to a question for `asked`.
fn message(asked: &[u8], rtype: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let count = u16::try_from(records.len()).unwrap().to_be_bytes();
    let mut message = vec![7, 7, 0x81, 0x80, 0, 1, count[0], count[1], 0, 0, 0, 0];
    message.extend(asked);
    message.extend(rtype.to_be_bytes());
    message.extend([0, 1]);
    message.extend(records.concat());
    message
}

fn addresses(answer: &Answer) -> Vec<(String, usize)> {
    let addresses = answer.addresses.iter();
    addresses
        .map(|found| (found.address.to_string(), found.owner))
        .collect()
}

#[test]
fn addresses_belong_to_their_owner_in_the_chain_in_any_order() {
    let mut records = [
        record(&name("www.Example.com"), CNAME, &name("edge.example.net")),
        record(&name("EDGE.example.net"), CNAME, &name("a.cdn.example")),
        record(&name("a.cdn.example"), A, &[192, 0, 2, 1]),
        record(&name("a.cdn.example"), A, &[192, 0, 2, 2]),
    ];
    for _ in 0..records.len() {
        let answer = parse(&message(&name("WWW.example.COM"), A, &records)).unwrap();
        let chain = ["www.example.com", "edge.example.net", "a.cdn.example"];
        assert_eq!(answer.chain, chain);
        let mut found = addresses(&answer);
        found.sort();
        let expected = [("192.0.2.1".to_owned(), 2), ("192.0.2.2".to_owned(), 2)];
        assert_eq!(found, expected);
        assert_eq!(answer.asked, Asked::Address);
        assert_eq!(answer.defects, Defects::default());
        records.rotate_left(1);
    }
}

#[test]
fn a_record_that_does_not_answer_the_question_counts_as_unrelated() {
    let asked = name("www.example.com");
    let records = [
        record(&name("bank.example"), A, &[192, 0, 2, 1]),
        record(&asked, AAAA, &[0x20; 16]),
        record(&name("bank.example"), CNAME, &asked),
        record(&name("example.com"), A, &[192, 0, 2, 2]),
    ];
    let answer = parse(&message(&asked, A, &records)).unwrap();
    assert_eq!(answer.addresses, []);
    assert_eq!(answer.chain, ["www.example.com"]);
    assert_eq!(answer.defects.unrelated, 3);
    let mut other_class = message(&asked, A, &[record(&asked, A, &[192, 0, 2, 1])]);
    let class = other_class.len() - 14 + 3;
    other_class[class] = 3;
    assert_eq!(parse(&other_class).unwrap().addresses, []);
}

#[test]
fn additional_and_authority_records_do_not_count() {
    let asked = name("www.example.com");
    let address = record(&asked, A, &[192, 0, 2, 1]);
    let mut message = message(&asked, A, &[address.clone(), address.clone(), address]);
    message[7] = 1;
    message[9] = 1;
    message[11] = 1;
    assert_eq!(parse(&message).unwrap().addresses.len(), 1);
}

#[test]
fn a_loop_of_cname_records_ends() {
    let (one, two) = (name("one.example"), name("two.example"));
    let records = [
        record(&one, CNAME, &two),
        record(&two, CNAME, &one),
        record(&two, A, &[192, 0, 2, 1]),
    ];
    let answer = parse(&message(&one, A, &records)).unwrap();
    assert_eq!(answer.chain, ["one.example", "two.example"]);
    assert_eq!(addresses(&answer), [("192.0.2.1".to_owned(), 1)]);
    let records: Vec<_> = (0..100)
        .map(|number| {
            let (owner, target) = (
                format!("n{number}.example"),
                format!("n{}.example", number + 1),
            );
            record(&name(&owner), CNAME, &name(&target))
        })
        .collect();
    let answer = parse(&message(&name("n0.example"), A, &records)).unwrap();
    assert_eq!(answer.chain.len(), MAX_CHAIN);
}

#[test]
fn compression_pointers_are_followed_backwards_only() {
    let asked = name("www.example.com");
    let good = record(&[0xc0, 12], A, &[192, 0, 2, 1]);
    let answer = parse(&message(&asked, A, &[good])).unwrap();
    assert_eq!(addresses(&answer), [("192.0.2.1".to_owned(), 0)]);
    let place = u8::try_from(12 + asked.len() + 4).unwrap();
    for pointer in [place, place + 2, 0xff] {
        let bad = record(&[0xc0, pointer], A, &[192, 0, 2, 1]);
        let answer = parse(&message(&asked, A, &[bad])).unwrap();
        assert_eq!(
            (answer.addresses.len(), answer.defects.incomplete),
            (0, true)
        );
    }
    // The question's own name points to itself.
    let looped = message(&[3, b'w', b'w', b'w', 0xc0, 12], A, &[]);
    assert_eq!(parse(&looped), Err(NoAnswer::MalformedQuestion));
}

#[test]
fn a_chain_of_pointers_costs_a_bounded_number_of_steps() {
    let asked = name("www.example.com");
    let mut message = message(&asked, A, &[]);
    message[6..8].copy_from_slice(&[0xff, 0xff]);
    // A record whose data is a chain of pointers, then records that use its end.
    let begin = message.len() + 11;
    let mut pointers = vec![0xc0, 12];
    for number in 0..600 {
        let target = u16::try_from(begin + 2 * number).unwrap() | 0xc000;
        pointers.extend(target.to_be_bytes());
    }
    message.extend(record(&[0], 99, &pointers));
    let last = u16::try_from(begin + 2 * 250).unwrap() | 0xc000;
    for _ in 0..2000 {
        message.extend(record(&last.to_be_bytes(), A, &[192, 0, 2, 1]));
    }
    let answer = parse(&message).unwrap();
    assert_eq!(answer.addresses.len(), MAX_RECORDS - 1);
    assert!(answer.defects.beyond);
}

#[test]
fn names_of_255_bytes_are_read_and_longer_ones_are_not() {
    let long = [[b'a'; 63], [b'b'; 63], [b'c'; 63]].map(|label| String::from_utf8(label.into()));
    let long = long.map(Result::unwrap).join(".");
    let longest = format!("{long}.{}", "d".repeat(61));
    let asked = name(&longest);
    assert_eq!(asked.len(), 255);
    let answer = parse(&message(&asked, A, &[record(&asked, A, &[192, 0, 2, 1])])).unwrap();
    assert_eq!(answer.chain, [longest]);
    assert_eq!(answer.addresses.len(), 1);
    let longer = name(&format!("{long}.{}", "d".repeat(62)));
    assert_eq!(
        parse(&message(&longer, A, &[])),
        Err(NoAnswer::MalformedQuestion)
    );
}

#[test]
fn names_that_act_on_a_terminal_or_a_page_are_escaped() {
    let hostile = "\u{1b}[31m<script>.\u{202e}moc.com";
    let asked = name(hostile);
    let answer = parse(&message(&asked, A, &[record(&asked, A, &[192, 0, 2, 1])])).unwrap();
    assert_eq!(
        answer.chain,
        ["\\x1b[31m\\x3cscript\\x3e.\\xe2\\x80\\xaemoc.com"]
    );
    assert_eq!(answer.addresses.len(), 1);
}

#[test]
fn the_whole_records_before_a_cut_count() {
    let asked = name("www.example.com");
    let records: Vec<_> = (0..200)
        .map(|number| record(&[0xc0, 12], A, &[192, 0, 2, number]))
        .collect();
    let message = message(&asked, A, &records);
    let begin = message.len() - 200 * 16;
    for cut in begin..message.len() {
        let answer = parse(&message[..cut]).unwrap();
        assert_eq!(answer.addresses.len(), (cut - begin) / 16);
        assert!(answer.defects.incomplete);
    }
    assert!(!parse(&message).unwrap().defects.incomplete);
    for cut in 0..begin {
        let answer = parse(&message[..cut]);
        assert!(answer.is_err(), "{cut}");
    }
}

#[test]
fn a_message_that_is_not_an_answer_to_one_question_teaches_nothing() {
    let asked = name("www.example.com");
    let good = message(&asked, A, &[record(&asked, A, &[192, 0, 2, 1])]);
    let changed = |place: usize, value: u8| {
        let mut message = good.clone();
        message[place] = value;
        parse(&message).unwrap_err()
    };
    assert_eq!(changed(2, 0x01), NoAnswer::Query);
    assert_eq!(changed(2, 0xa0), NoAnswer::OtherOperation);
    assert_eq!(changed(5, 0), NoAnswer::NotOneQuestion);
    assert_eq!(changed(5, 2), NoAnswer::NotOneQuestion);
    assert_eq!(changed(12 + asked.len() + 3, 3), NoAnswer::OtherClass);
    assert_eq!(parse(&good[..11]), Err(NoAnswer::Short));
    assert_eq!(parse(&[]), Err(NoAnswer::Short));
}

#[test]
fn a_mapped_address_is_given_as_ipv4() {
    let asked = name("www.example.com");
    let mapped = [&[0; 10][..], &[0xff, 0xff, 192, 0, 2, 1]].concat();
    let records = [
        record(&asked, AAAA, &mapped),
        record(&asked, AAAA, &[0x20; 16]),
    ];
    let answer = parse(&message(&asked, AAAA, &records)).unwrap();
    let found = addresses(&answer).into_iter().map(|(address, _)| address);
    let expected = ["192.0.2.1", "2020:2020:2020:2020:2020:2020:2020:2020"];
    assert_eq!(found.collect::<Vec<_>>(), expected);
    let short = [record(&asked, AAAA, &[1; 15])];
    let answer = parse(&message(&asked, AAAA, &short)).unwrap();
    assert_eq!((answer.addresses.len(), answer.defects.malformed), (0, 1));
}

/// Random answers with names from a small set, so that chains arise.
fn answers() -> impl Strategy<Value = Vec<u8>> {
    let names = prop_oneof![
        Just(vec![0xc0, 12]),
        Just(name("a.example")),
        Just(name("b.example")),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    let data = prop_oneof![
        names.clone(),
        proptest::collection::vec(any::<u8>(), 0..40),
        Just(vec![192, 0, 2, 1]),
        Just(vec![0x20; 16]),
    ];
    let types = proptest::sample::select(vec![A, CNAME, AAAA, SVCB, HTTPS, 46, 255]);
    let record = (names.clone(), types.clone(), data).prop_map(|(o, t, d)| record(&o, t, &d));
    (names, types, proptest::collection::vec(record, 0..20))
        .prop_map(|(asked, rtype, records)| message(&asked, rtype, &records))
}

fn is_within_bounds(answer: &Answer) -> bool {
    let names = answer.chain.iter().chain(&answer.targets);
    let owners = answer.addresses.iter().chain(&answer.hints);
    (1..=MAX_CHAIN).contains(&answer.chain.len())
        && names
            .clone()
            .all(|name| name.len() <= domain_text::MAX_TEXT)
        && names
            .clone()
            .all(|name| name.bytes().all(|byte| byte.is_ascii_graphic()))
        && owners.clone().all(|found| found.owner < answer.chain.len())
        && answer.addresses.len() <= MAX_RECORDS
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(message in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(answer) = parse(&message) {
            prop_assert!(is_within_bounds(&answer));
        }
    }

    #[test]
    fn no_records_exceed_the_bounds(message in answers(), cut in any::<prop::sample::Index>()) {
        let whole = parse(&message);
        if let Ok(answer) = &whole {
            prop_assert!(is_within_bounds(answer));
        }
        let cut = cut.index(message.len() + 1);
        if let (Ok(part), Ok(whole)) = (parse(&message[..cut]), whole) {
            prop_assert!(part.addresses.len() <= whole.addresses.len());
        }
    }
}
