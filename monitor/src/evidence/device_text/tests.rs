use super::*;
use crate::evidence::device_view::ReasonView;

fn fact(value: &str, source: &str, last: Option<&str>) -> FactView {
    FactView {
        value: value.to_owned(),
        source: source.to_owned(),
        first: last.map(str::to_owned),
        last: last.map(str::to_owned),
    }
}

fn phone() -> DeviceView {
    let day = Some("2026-11-29T14:31:00Z");
    let older = Some("2026-11-28T10:00:00Z");
    DeviceView {
        head: DeviceHead {
            device: "64:cc:2e:11:22:33".parse().ok(),
            name: Some("Redmi-Note-8T".to_owned()),
            name_source: Some("dnsmasq".to_owned()),
            vendor: Some("Xiaomi Communications Co Ltd".to_owned()),
            vendor_source: Some("built-in".to_owned()),
            vendor_as_of: Some("2026-10-17".to_owned()),
            randomised: false,
            stated_same: vec![StatedView {
                device: "64:cc:2e:00:00:01".parse().unwrap(),
                since: "2026-11-01".to_owned(),
                had: "before".to_owned(),
                how: "stated".to_owned(),
            }],
        },
        first: older.map(str::to_owned),
        last: day.map(str::to_owned),
        packets: 17,
        bytes: 1666,
        dropped: 5,
        policies: vec!["suspect".parse().unwrap()],
        addresses: vec![
            fact("10.0.0.9", "frame", older),
            fact("10.0.0.10", "frame", day),
            fact("10.0.0.10", "dnsmasq", older),
        ],
        host_names: vec![fact("Redmi-Note-8T", "dnsmasq", day)],
        possibly_several: vec![ReasonView {
            reason: "models".to_owned(),
            text: "Two models.\nforged".to_owned(),
        }],
        left_out: 3,
        ..DeviceView::default()
    }
}

#[test]
fn each_value_is_one_line_with_its_sources_and_the_latest_comes_first() {
    let expected = "\
64:cc:2e:11:22:33  calls itself \"Redmi-Note-8T\"
  vendor    Xiaomi Communications Co Ltd (built-in list of 2026-10-17)
  seen      2026-11-28T10:00:00Z to 2026-11-29T14:31:00Z
  packets   12 passed, 5 dropped, 1666 bytes; matched by suspect
  addresses 10.0.0.10  frame, dnsmasq  2026-11-29T14:31:00Z
            10.0.0.9   frame           2026-11-28T10:00:00Z
  name      \"Redmi-Note-8T\"  dnsmasq  2026-11-29T14:31:00Z
            and 3 older ones
  same as   64:cc:2e:00:00:01 before 2026-11-01 (stated, not seen)
  possibly several devices:
            Two models.\\u{a}forged
";
    assert_eq!(phone().to_string(), expected);
}

#[test]
fn what_is_not_known_is_said() {
    let head = DeviceHead {
        device: "02:00:00:00:00:01".parse().ok(),
        randomised: true,
        ..DeviceHead::default()
    };
    let device = DeviceView {
        head,
        ..DeviceView::default()
    };
    let expected = "\
02:00:00:00:00:01
  vendor    none: the MAC is locally administered, often chosen at random by the device
  seen      not yet; a lease or another statement names it
  packets   none that a policy matched
";
    assert_eq!(device.to_string(), expected);
    assert_eq!(beside(&device.head), "");
    assert_eq!(
        beside(&phone().head),
        "calls itself \"Redmi-Note-8T\", Xiaomi Communications Co Ltd; same device as 64:cc:2e:00:00:01 before 2026-11-01 (stated, not seen)"
    );
}

#[test]
fn many_values_are_shortened() {
    let addresses = (0..20).map(|n| fact(&format!("10.0.0.{n}"), "frame", None));
    let device = DeviceView {
        addresses: addresses.collect(),
        ..phone()
    };
    let text = device.to_string();
    assert!(text.contains("and 12 more; --json shows all"), "{text}");
    assert_eq!(text.matches("10.0.0.").count(), MAX_VALUES);
}

/// A device writes what the program itself could say.
#[test]
fn a_name_that_a_device_chose_cannot_pass_for_words_of_the_program() {
    for (name, shown) in [
        (
            "TV; same device as 64:cc:2e:00:00:01 before 2026-01-01 (stated, not seen)",
            r#""TV; same device as 64:cc:2e:00:00:01 before 2026-01-01 (stated, not seen)""#,
        ),
        ("Anna's phone", r#""Anna's phone""#),
        ("TV  64:cc:2e:11:22:33", r#""TV  64:cc:2e:11:22:33""#),
        ("x  names  2026-11-29", r#""x  names  2026-11-29""#),
        (r#"x", Apple, Inc."#, r#""x\", Apple, Inc.""#),
        ("a` and `b", r#""a\` and \`b""#),
    ] {
        let mut device = phone();
        device.head.name = Some(name.to_owned());
        device.host_names = vec![fact(name, "kea", None), fact("Anna's phone", "names", None)];
        device.models = vec![fact(name, "user-agent", None)];
        let text = device.to_string();
        let heading = format!("64:cc:2e:11:22:33  calls itself {shown}\n");
        assert!(text.starts_with(&heading), "{text}");
        // Heading, names and models: nowhere without quotes.
        assert_eq!(text.matches(shown).count(), 3, "{text}");
        let rest = text.replace(shown, "");
        let is_own = name == "Anna's phone";
        assert_eq!(rest.contains(name), is_own, "{text}");
        assert!(
            rest.contains("            Anna's phone ") || rest.contains("     Anna's phone "),
            "{text}"
        );
        assert!(beside(&device.head).starts_with(&format!("calls itself {shown}, Xiaomi")));
        device.head.name_source = Some("names".to_owned());
        let heading = format!("64:cc:2e:11:22:33  {name}\n");
        assert!(device.to_string().starts_with(&heading), "{text}");
    }
}
