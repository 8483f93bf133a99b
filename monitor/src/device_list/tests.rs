use super::*;

const PHONE: MacAddress = MacAddress([0x64, 0xcc, 0x2e, 0x11, 0x22, 0x33]);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_796_000_000 + second).unwrap()
}

fn address(number: u8) -> Fact {
    Fact::Address([192, 168, 50, number].into())
}

/// The store and the memory have the same addresses, in another order and from several
/// sources.
#[test]
fn each_address_beyond_the_limit_is_left_out_once_and_the_latest_stay() {
    let mut book = DeviceBook::default();
    let mut found = FoundDevices::default();
    found.filter.limit = 10;
    let addresses = u8::try_from(SHOWN.addresses).unwrap() + 5;
    for number in (1..=addresses).rev() {
        let period = Period::at(at(number.into()));
        for source in [FactSource::Frame, FactSource::Neighbour] {
            let facts = found.facts.entry(PHONE).or_default();
            facts.push((address(number), source, period));
            book.identities
                .restore(PHONE, address(number), source, period);
        }
    }
    let view = found.view(&book, &BTreeMap::new());
    let [device] = &view.devices[..] else {
        panic!("{view:?}");
    };
    assert_eq!(device.left_out, 5);
    let mut values: Vec<_> = device.addresses.iter().map(|fact| &fact.value).collect();
    values.dedup();
    assert_eq!(values.len(), SHOWN.addresses);
    assert!(!values.contains(&&"192.168.50.5".to_owned()));
    assert!(values.contains(&&"192.168.50.6".to_owned()));
}
