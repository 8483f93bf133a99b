//! Statements that two MACs are the same device.

use jiff::civil::date;

use super::*;

fn same(from: MacAddress, to: MacAddress, day: i8) -> Same {
    let since = date(2026, 11, day);
    Same { from, to, since }
}

#[test]
fn stated_macs_are_one_device_over_a_chain_and_say_that_they_are_stated() {
    let third = made_up(3);
    let statements = [
        same(PHONE, TV, 1),
        same(TV, third, 9),
        same(made_up(8), made_up(9), 3),
    ];
    let stated = Stated::new(&statements).unwrap();
    let others = |mac| {
        let others = stated.others(mac);
        others.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        others(PHONE),
        [
            "02:00:00:00:00:03 since 2026-11-09: stated, not seen",
            "64:cc:2e:11:22:34 since 2026-11-01: stated, not seen",
        ]
    );
    assert_eq!(
        others(TV),
        [
            "02:00:00:00:00:03 since 2026-11-09: stated, not seen",
            "64:cc:2e:11:22:33 before 2026-11-01: stated, not seen",
        ]
    );
    assert!(others(made_up(4)).is_empty());
}

#[test]
fn statements_that_are_not_valid_are_all_named() {
    let group = MacAddress([0xff; 6]);
    let statements = [
        same(PHONE, TV, 1),
        same(PHONE, PHONE, 1),
        same(PHONE, group, 1),
        same(TV, made_up(1), 2),
        same(made_up(1), PHONE, 3),
    ];
    let errors = Stated::new(&statements).unwrap_err();
    let (from, to) = (made_up(1), PHONE);
    assert_eq!(
        errors,
        [
            (1, InvalidSame::Equal(PHONE)),
            (2, InvalidSame::NotADevice(group)),
            (4, InvalidSame::Known { from, to }),
        ]
    );
    let many: Vec<_> = (0..=MAX_SAME)
        .map(|it| same(made_up(2 * it + 1), made_up(2 * it + 2), 1))
        .collect();
    assert_eq!(
        Stated::new(&many).unwrap_err(),
        [(MAX_SAME, InvalidSame::TooMany)]
    );
    assert!(Stated::new(&many[1..]).is_ok());
    let text = r#"{"from":"64:cc:2e:11:22:33","to":"64:cc:2e:11:22:34","since":"2026-11-01"}"#;
    assert_eq!(serde_json::from_str::<Same>(text).unwrap(), statements[0]);
}

#[test]
fn statements_that_contradict_each_other_are_errors() {
    let third = made_up(3);
    let twice = |mac, key| InvalidSame::Twice { mac, key };
    let order = |mac, since: i8, other: i8| {
        let (since, other) = (date(2026, 11, since), date(2026, 11, other));
        InvalidSame::Order { mac, since, other }
    };
    for (statements, expected) in [
        // One device becomes two, or two become one.
        (
            [same(PHONE, TV, 1), same(PHONE, third, 2)],
            Some(twice(PHONE, "from")),
        ),
        (
            [same(PHONE, third, 1), same(TV, third, 2)],
            Some(twice(third, "to")),
        ),
        // A later change is on an earlier day.
        (
            [same(PHONE, TV, 5), same(TV, third, 5)],
            Some(order(TV, 5, 5)),
        ),
        (
            [same(TV, third, 5), same(PHONE, TV, 6)],
            Some(order(TV, 6, 5)),
        ),
        ([same(TV, third, 5), same(PHONE, TV, 4)], None),
    ] {
        let found = Stated::new(&statements).err();
        let expected = expected.map(|expected| vec![(1, expected)]);
        assert_eq!(found, expected, "{statements:?}");
    }
}
