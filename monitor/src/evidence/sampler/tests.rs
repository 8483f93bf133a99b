use proptest::prelude::*;

use super::*;
use crate::evidence::names::{
    quic::tests::{Plain, crypto},
    tls::tests::{ech, hello, in_records, post_quantum_share, sni},
};

mod bounds;
mod browser;

const DEVICE: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);

fn at(second: i64) -> Timestamp {
    Timestamp::new(1_700_000_000 + second, 0).unwrap()
}

/// A TCP segment to port 443.
fn segment(sequence: u32, payload: &[u8]) -> Sample<'_> {
    Sample {
        at: at(0),
        device: DEVICE,
        source: [192, 168, 1, 2].into(),
        source_port: 40_000,
        destination: [203, 0, 113, 1].into(),
        port: 443,
        protocol: TCP,
        sequence,
        flags: 0x18,
        payload,
        whole_length: u16::try_from(payload.len()).unwrap(),
    }
}

fn datagram(payload: &[u8]) -> Sample<'_> {
    Sample {
        protocol: UDP,
        flags: 0,
        ..segment(0, payload)
    }
}

/// Takes a sample. Every ECH extension is of unknown kind.
fn take(sampler: &mut Sampler, sample: &Sample<'_>) -> Vec<Fact> {
    sampler.take(sample, &|_| Ech::Unknown)
}

/// Returns source and text of the names that the samples tell, in order.
fn names(samples: &[Sample<'_>]) -> Vec<(NameSource, String)> {
    let mut taker = Sampler::new();
    let facts = samples.iter().flat_map(|sample| take(&mut taker, sample));
    facts
        .filter_map(|fact| match fact {
            Fact::Name { claim, .. } => Some((claim.source, claim.name)),
            Fact::Model { .. } => None,
        })
        .collect()
}

fn one(source: NameSource, name: &str) -> Vec<(NameSource, String)> {
    vec![(source, name.to_owned())]
}

#[test]
fn a_fact_holds_the_end_of_its_flow_and_its_time() {
    let record = in_records(&hello(&[sni(b"WWW.example.com")]), 9000);
    let facts = take(&mut Sampler::new(), &segment(7, &record));
    let end = FlowEnd {
        device: DEVICE,
        destination: [203, 0, 113, 1].into(),
        protocol: TCP,
        port: 443,
    };
    let claim = Claim {
        name: "www.example.com".to_owned(),
        source: NameSource::Sni,
        server: None,
        chain: Vec::new(),
        ech: None,
        first: at(0),
        last: at(0),
    };
    assert_eq!(facts, [Fact::Name { end, claim }]);
}

#[test]
fn a_post_quantum_hello_in_two_segments_is_read_in_both_orders() {
    for extensions in [
        [sni(b"www.example.com"), post_quantum_share()],
        [post_quantum_share(), sni(b"www.example.com")],
    ] {
        let record = in_records(&hello(&extensions), 9000);
        assert!(record.len() > 1216);
        for cut in [1, 5, 60, 700, record.len() - 1] {
            let (a, b) = record.split_at(cut);
            let first = segment(u32::MAX - 2, a);
            let second = segment((u32::MAX - 2).wrapping_add(u32::try_from(cut).unwrap()), b);
            for samples in [
                &[first, second][..],
                &[second, first],
                &[second, second, first],
                &[first, first, second],
            ] {
                assert_eq!(
                    names(samples),
                    one(NameSource::Sni, "www.example.com"),
                    "{cut}"
                );
            }
        }
    }
}

#[test]
fn a_retransmission_cannot_change_a_name() {
    let good = in_records(&hello(&[sni(b"good.example")]), 9000);
    let evil = in_records(&hello(&[sni(b"evil.example")]), 9000);
    let (a, b) = good.split_at(100);
    let samples = [segment(100, b), segment(0, &evil), segment(0, a)];
    let expected = names(&[segment(0, &[&evil[..100], b].concat())]);
    assert_eq!(names(&samples), expected);
    let samples = [segment(0, a), segment(0, &evil), segment(100, b)];
    let with_end_of_evil = [a, &evil[100..]].concat();
    assert_eq!(names(&samples), names(&[segment(0, &with_end_of_evil)]));
}

#[test]
fn a_quic_hello_in_two_datagrams_is_read_in_both_orders() {
    let message = hello(&[post_quantum_share(), sni(b"www.example.com")]);
    let a = Plain::new(&crypto(&message, 0..1000)).encrypt();
    let b = Plain::new(&crypto(&message, 1000..message.len())).encrypt();
    for samples in [[datagram(&a), datagram(&b)], [datagram(&b), datagram(&a)]] {
        assert_eq!(names(&samples), one(NameSource::Quic, "www.example.com"));
    }
    let other = Sample {
        source_port: 40_001,
        ..datagram(&b)
    };
    assert_eq!(names(&[datagram(&a), other]), []);
}

#[test]
fn the_judge_tells_ech_from_grease() {
    let message = hello(&[ech(0x2a), sni(b"Public.example")]);
    let record = in_records(&message, 9000);
    let packet = Plain::new(&crypto(&message, 0..message.len())).encrypt();
    for (sample, otherwise) in [
        (segment(0, &record), NameSource::Sni),
        (datagram(&packet), NameSource::Quic),
    ] {
        for (ech, source) in [
            (Ech::Real, NameSource::SniOuter),
            (Ech::Grease, otherwise),
            (Ech::Unknown, otherwise),
        ] {
            let judge = |outer: &OuterHello<'_>| {
                assert_eq!((outer.device, outer.at), (DEVICE, at(0)));
                assert_eq!(
                    (outer.server_name, outer.config_id),
                    ("public.example", 0x2a)
                );
                ech
            };
            let facts = Sampler::new().take(&sample, &judge);
            let [Fact::Name { claim, .. }] = &facts[..] else {
                panic!("{facts:?}");
            };
            assert_eq!((claim.source, claim.ech), (source, Some(ech)));
        }
    }
}

#[test]
fn requests_of_one_connection_are_all_read() {
    let a = b"GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\nGET /2 HTTP/1.1\r\nHost: b.example\r\n\r\n";
    let b = b"GET /d?dn=c.example HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let sequence = u32::try_from(a.len()).unwrap();
    let expected = [
        (NameSource::HttpHost, "a.example".to_owned()),
        (NameSource::HttpHost, "b.example".to_owned()),
        (NameSource::Asked, "c.example".to_owned()),
    ];
    assert_eq!(names(&[segment(0, a), segment(sequence, b)]), expected);
}

#[test]
fn a_body_is_not_read_as_a_request() {
    let head = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100\r\n\r\n";
    let body = b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    let sequence = u32::try_from(head.len()).unwrap();
    let samples = [segment(0, head), segment(sequence, body)];
    assert_eq!(names(&samples), one(NameSource::HttpHost, "a.example"));
}

#[test]
fn what_follows_connect_is_not_the_destinations_name() {
    let connect = b"CONNECT secret.example:443 HTTP/1.1\r\nHost: secret.example:443\r\n\r\n";
    let record = in_records(&hello(&[sni(b"inner.example")]), 9000);
    let sequence = u32::try_from(connect.len()).unwrap();
    let expected = [
        (NameSource::Asked, "secret.example".to_owned()),
        (NameSource::Asked, "inner.example".to_owned()),
    ];
    assert_eq!(
        names(&[segment(0, connect), segment(sequence, &record)]),
        expected
    );
}

#[test]
fn a_hello_behind_other_lines_is_read() {
    let record = in_records(&hello(&[sni(b"mail.example")]), 9000);
    let samples = [
        segment(0, b"EHLO a\r\n"),
        segment(8, b"STARTTLS\r\n"),
        segment(18, &record),
    ];
    assert_eq!(names(&samples), one(NameSource::Sni, "mail.example"));
}

#[test]
fn a_stream_seen_from_its_middle_is_read_from_both_sides() {
    let record = in_records(&hello(&[sni(b"www.example.com")]), 9000);
    let late = segment(u32::try_from(record.len()).unwrap(), b"application data");
    assert_eq!(
        names(&[late, segment(0, &record)]),
        one(NameSource::Sni, "www.example.com")
    );
    let samples = [segment(0, b"application data"), segment(16, &record)];
    assert_eq!(names(&samples), one(NameSource::Sni, "www.example.com"));
}

#[test]
fn a_new_connection_with_the_same_ports_is_read() {
    let a = in_records(&hello(&[sni(b"a.example")]), 9000);
    let b = in_records(&hello(&[sni(b"b.example")]), 9000);
    let both = [
        (NameSource::Sni, "a.example".to_owned()),
        (NameSource::Sni, "b.example".to_owned()),
    ];
    let first = segment(0, &a);
    let near = segment(5000, &b);
    assert_eq!(names(&[first, near]), both[..1]);
    for second in [
        segment(1 << 30, &b),
        Sample { flags: SYN, ..near },
        Sample { at: at(10), ..near },
        Sample {
            at: at(-10),
            ..near
        },
        Sample {
            source_port: 40_001,
            ..near
        },
        Sample {
            device: MacAddress([2; 6]),
            ..near
        },
    ] {
        assert_eq!(names(&[first, second]), both, "{second:?}");
    }
}

#[test]
fn the_data_of_a_syn_begins_behind_its_own_sequence_number() {
    let record = in_records(&hello(&[sni(b"www.example.com")]), 9000);
    let (a, b) = record.split_at(50);
    let syn = Sample {
        flags: SYN,
        ..segment(99, a)
    };
    assert_eq!(
        names(&[syn, segment(150, b)]),
        one(NameSource::Sni, "www.example.com")
    );
}

#[test]
fn hostile_names_become_printable() {
    for (name, shown) in [
        (
            &b"a\x1b]0;title\x07.example"[..],
            r"a\x1b]0;title\x07.example",
        ),
        (b"<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("\u{202e}moc.elpmaxe".as_bytes(), r"\xe2\x80\xaemoc.elpmaxe"),
        (b"a\r\nSet-Cookie: b", r"a\x0d\x0aset-cookie:\x20b"),
        (b"", ""),
    ] {
        let record = in_records(&hello(&[sni(name)]), 9000);
        let found: Vec<_> = names(&[segment(0, &record)])
            .into_iter()
            .map(|(_, name)| name)
            .collect();
        let expected: Vec<_> = (!shown.is_empty())
            .then(|| shown.to_owned())
            .into_iter()
            .collect();
        assert_eq!(found, expected);
    }
    let host = b"GET / HTTP/1.1\r\nHost: \xff<b>\"\r\n\r\n";
    assert_eq!(
        names(&[segment(0, host)]),
        one(NameSource::HttpHost, "\\xff<b>\"")
    );
}

#[test]
fn a_name_has_at_most_255_bytes() {
    for (length, expected) in [(255, 1), (256, 0), (3000, 0)] {
        let record = in_records(&hello(&[sni(&vec![b'a'; length])]), 9000);
        let mut sampler = Sampler::new();
        assert_eq!(take(&mut sampler, &segment(0, &record)).len(), expected);
        assert_eq!(sampler.losses().long_names, 1 - expected as u64);
    }
}

#[test]
fn a_model_is_told_once_with_its_source() {
    let request = b"GET / HTTP/1.1\r\nUser-Agent: Dalvik/2.1.0 (Linux; U; Android 9; Redmi Note 8T Build/PKQ1)\r\n\r\n";
    let mut sampler = Sampler::new();
    let facts: Vec<Fact> = [segment(0, request), segment(0, request)]
        .iter()
        .flat_map(|sample| take(&mut sampler, sample))
        .collect();
    let (device, at, source) = (DEVICE, at(0), ModelSource::UserAgent);
    let model = "Redmi Note 8T".to_owned();
    assert_eq!(
        facts,
        [Fact::Model {
            device,
            model,
            source,
            at
        }]
    );
}

#[test]
fn payload_is_kept_only_while_a_message_is_incomplete() {
    let record = in_records(&hello(&[sni(b"www.example.com")]), 9000);
    let (a, b) = record.split_at(50);
    let mut sampler = Sampler::new();
    assert_eq!(take(&mut sampler, &segment(0, a)), []);
    assert_eq!((sampler.held(), sampler.connections()), (50, 1));
    assert_eq!(take(&mut sampler, &segment(50, b)).len(), 1);
    assert_eq!((sampler.held(), sampler.connections()), (0, 1));
    assert_eq!(sampler.losses(), Losses::default());

    let packet = Plain::new(&crypto(&record, 5..50)).encrypt();
    take(&mut sampler, &datagram(&packet));
    assert_eq!((sampler.held(), sampler.connections()), (45, 2));
    sampler.expire(at(9));
    assert_eq!((sampler.held(), sampler.connections()), (45, 2));
    sampler.expire(at(10));
    assert_eq!((sampler.held(), sampler.connections()), (0, 0));
}

#[test]
fn a_forgotten_device_leaves_nothing() {
    let mut sampler = Sampler::new();
    take(&mut sampler, &segment(0, b"GET /secret"));
    let other = Sample {
        device: MacAddress([2; 6]),
        ..segment(0, b"GET /other")
    };
    take(&mut sampler, &other);
    sampler.forget(DEVICE);
    assert_eq!((sampler.held(), sampler.connections()), (10, 1));
}
