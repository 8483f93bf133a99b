use super::*;

/// Returns a device for a number.
fn device(number: u16) -> MacAddress {
    let [a, b] = number.to_be_bytes();
    MacAddress([2, 0, 0, 0, a, b])
}

/// Returns the beginning of a hello, and its rest.
fn halves() -> (Vec<u8>, Vec<u8>) {
    let mut begin = in_records(&hello(&[sni(b"www.example.com")]), 9000);
    let rest = begin.split_off(50);
    (begin, rest)
}

#[test]
fn a_flood_of_one_device_closes_only_its_own_connections() {
    let (begin, rest) = halves();
    let mut sampler = Sampler::new();
    let other = |sequence, payload| Sample {
        device: device(9),
        ..segment(sequence, payload)
    };
    assert_eq!(take(&mut sampler, &other(0, &begin)), []);
    for port in 0..20_000 {
        take(
            &mut sampler,
            &Sample {
                source_port: port,
                ..segment(0, &begin)
            },
        );
        assert!(sampler.connections() <= MAX_PER_DEVICE + 1);
    }
    let closed = 20_000 - MAX_PER_DEVICE as u64;
    let expected = Losses {
        device_full: closed,
        unfinished: closed,
        ..Losses::default()
    };
    assert_eq!(sampler.losses(), expected);
    assert_eq!(sampler.held(), 50 * (MAX_PER_DEVICE + 1));
    assert_eq!(take(&mut sampler, &other(50, &rest)).len(), 1);
    // The newest connections of the device are open, the oldest are not.
    for (port, found) in [(19_999, 1), (19_984, 1), (19_983, 0)] {
        let sample = Sample {
            source_port: port,
            ..segment(50, &rest)
        };
        assert_eq!(take(&mut sampler, &sample).len(), found, "{port}");
    }
}

#[test]
fn a_flood_of_devices_closes_connections_of_the_largest_device() {
    let (begin, rest) = halves();
    let mut sampler = Sampler::new();
    for number in 0..64 {
        for port in 0..16 {
            let sample = Sample {
                device: device(number),
                source_port: port,
                ..segment(0, &begin)
            };
            take(&mut sampler, &sample);
        }
    }
    assert_eq!(sampler.connections(), MAX_CONNECTIONS);
    assert_eq!(sampler.losses(), Losses::default());
    let new = |sequence, payload| Sample {
        device: device(1000),
        ..segment(sequence, payload)
    };
    take(&mut sampler, &new(0, &begin));
    for number in 64..80 {
        let sample = Sample {
            device: device(number),
            ..segment(0, &begin)
        };
        take(&mut sampler, &sample);
    }
    assert_eq!(sampler.connections(), MAX_CONNECTIONS);
    assert_eq!(sampler.losses().table_full, 17);
    assert!(sampler.table.is_consistent());
    assert_eq!(take(&mut sampler, &new(50, &rest)).len(), 1);
    // Each of the first 17 devices lost its oldest connection.
    for (number, port, found) in [(17, 0, 1), (0, 1, 1), (16, 0, 0), (0, 0, 0)] {
        let sample = Sample {
            device: device(number),
            source_port: port,
            ..segment(50, &rest)
        };
        assert_eq!(take(&mut sampler, &sample).len(), found, "{number} {port}");
    }
}

#[test]
fn old_connections_make_room_first() {
    let (begin, _) = halves();
    let mut sampler = Sampler::new();
    for number in 0..1024 {
        take(
            &mut sampler,
            &Sample {
                device: device(number),
                ..segment(0, &begin)
            },
        );
    }
    let late = Sample {
        device: device(2000),
        at: at(10),
        ..segment(0, &begin)
    };
    take(&mut sampler, &late);
    assert_eq!(sampler.connections(), 1);
    assert_eq!(
        (sampler.losses().table_full, sampler.losses().unfinished),
        (0, 1024)
    );
}

#[test]
fn an_old_connection_of_a_full_device_is_no_loss() {
    let (begin, _) = halves();
    let mut sampler = Sampler::new();
    for port in 0..17 {
        let second = if port == 16 { 10 } else { 0 };
        let sample = Sample {
            at: at(second),
            source_port: port,
            ..segment(0, &begin)
        };
        take(&mut sampler, &sample);
    }
    assert_eq!(sampler.connections(), MAX_PER_DEVICE);
    assert_eq!(
        (sampler.losses().device_full, sampler.losses().unfinished),
        (0, 1)
    );
}

#[test]
fn a_connection_that_is_done_is_closed_before_an_open_one() {
    let (begin, rest) = halves();
    let whole = [&begin[..], &rest].concat();
    let mut sampler = Sampler::new();
    let of_port = |port, sequence, payload| Sample {
        source_port: port,
        ..segment(sequence, payload)
    };
    take(&mut sampler, &of_port(0, 0, &begin));
    for port in 1..1000 {
        assert_eq!(take(&mut sampler, &of_port(port, 0, &whole)).len(), 1);
    }
    assert_eq!(take(&mut sampler, &of_port(0, 50, &rest)).len(), 1);
    assert_eq!(sampler.losses(), Losses::default());
}

#[test]
fn what_a_connection_loses_is_counted() {
    let mut sampler = Sampler::new();
    let big = in_records(&hello(&vec![post_quantum_share(); 4]), 9000);
    let (begin, rest) = big.split_at(4000);
    take(&mut sampler, &segment(0, begin));
    take(&mut sampler, &segment(4000, rest));
    let cut = Sample {
        source_port: 1,
        whole_length: 9000,
        ..segment(0, b"GET")
    };
    take(&mut sampler, &cut);
    let malformed = Sample {
        source_port: 2,
        ..segment(0, &[22, 3, 1, 0, 5, 1, 0, 0, 1, 9])
    };
    take(&mut sampler, &malformed);
    let expected = Losses {
        unfinished: 1,
        bytes: big.len() as u64 - 4096,
        cut: 1,
        malformed: 1,
        ..Losses::default()
    };
    assert_eq!(sampler.losses(), expected);
}

#[test]
fn a_long_request_whose_host_was_read_is_no_loss() {
    let begin = b"GET / HTTP/1.1\r\nHost: a.example\r\nCookie: ";
    let mut sampler = Sampler::new();
    let mut facts = take(&mut sampler, &segment(0, begin));
    for part in 1..4 {
        facts.extend(take(&mut sampler, &segment(45 * part, &[b'a'; 45])));
    }
    sampler.expire(at(20));
    assert_eq!((facts.len(), sampler.losses()), (1, Losses::default()));

    take(&mut sampler, &segment(0, b"GET / HTTP/1.1\r\nHost: a.exa"));
    sampler.expire(at(20));
    assert_eq!(sampler.losses().unfinished, 1);
}

#[test]
fn a_connection_tells_at_most_32_names() {
    let request = |n| format!("GET / HTTP/1.1\r\nHost: {n}.example\r\n\r\n");
    let requests: String = (0..50).map(request).collect();
    let (a, b) = requests.as_bytes().split_at(1000);
    let mut sampler = Sampler::new();
    let facts =
        take(&mut sampler, &segment(0, a)).len() + take(&mut sampler, &segment(1000, b)).len();
    assert_eq!((facts, sampler.losses().more_names), (32, 18));
}

#[test]
fn other_packets_open_no_connection() {
    let mut sampler = Sampler::new();
    for sample in [
        segment(0, b""),
        datagram(b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01"),
        Sample {
            protocol: 1,
            ..segment(0, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        },
    ] {
        assert_eq!(take(&mut sampler, &sample), []);
    }
    assert_eq!(sampler.connections(), 0);
}

/// A payload that begins like a message of one of the protocols.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let (begin, rest) = halves();
    let packet = Plain::new(&crypto(&begin, 5..50)).encrypt();
    let begins = vec![
        Vec::new(),
        begin,
        rest,
        packet,
        b"GET /?host=a.example HTTP/1.1\r\nHost: b.example\r\n\r\n".to_vec(),
        b"CONNECT a.example:443 HTTP/1.1\r\n\r\n".to_vec(),
        b"\xc2\xfe\0\x05\0\0\0\x20\0\x02\0\x08\0\0\0\x08".to_vec(),
    ];
    let more = prop::collection::vec(any::<u8>(), 0..60);
    (prop::sample::select(begins), more).prop_map(|(begin, more)| [begin, more].concat())
}

proptest! {
    #[test]
    fn no_samples_panic_or_exceed_the_bounds(
        samples in prop::collection::vec(
            (payload(), 0u16..40, 0u16..3, prop::sample::select(vec![0u32, 50, 100, u32::MAX]), any::<bool>(), 0i64..30),
            0..120,
        ),
    ) {
        let mut sampler = Sampler::new();
        for (payload, port, number, sequence, is_tcp, second) in &samples {
            let sample = Sample {
                at: at(*second),
                device: device(*number),
                source_port: *port,
                protocol: if *is_tcp { TCP } else { UDP },
                ..segment(*sequence, payload)
            };
            for fact in take(&mut sampler, &sample) {
                if let Fact::Name { claim, .. } = fact {
                    prop_assert!(claim.name.len() <= 255);
                    prop_assert!(claim.name.bytes().all(|byte| byte.is_ascii_graphic()));
                }
            }
            prop_assert!(sampler.connections() <= 3 * MAX_PER_DEVICE);
            prop_assert!(sampler.table.is_consistent());
        }
        sampler.expire(at(15));
        prop_assert!(sampler.table.is_consistent());
        sampler.forget(device(0));
        prop_assert!(sampler.table.is_consistent());
        sampler.expire(at(100));
        prop_assert_eq!((sampler.connections(), sampler.held()), (0, 0));
    }
}
