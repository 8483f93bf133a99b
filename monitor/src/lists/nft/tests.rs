use crate::lists::{Format, List, Selection, read, recognise};

fn parse(text: &str) -> List {
    assert_eq!(recognise(text), Ok(Format::Nft), "{text}");
    read(text, Format::Nft, &Selection::default())
}

#[test]
fn a_set_is_read_over_several_lines() {
    let list = parse(
        "#!/usr/sbin/nft -f\nflush ruleset\ntable inet filter {\n\tset bad {\n\
         \t\ttype ipv4_addr\n\t\tflags interval,timeout\n\t\tauto-merge\n\
         \t\telements = { 10.0.0.0/8, 192.0.2.1-192.0.2.9 timeout 1h expires 5m,\n\
         \t\t\t     192.0.2.77 comment \"a, } b\",\n\t\t\t     198.51.100.1 - \n198.51.100.9 }\n\
         \t}\n\n\tset bad { type ipv6_addr; elements = { 2001:db8::/32, ::1 } }\n}\n",
    );
    assert_eq!(list.bad.count(), 0, "{:?}", list.bad);
    let lines: Vec<u32> = list.ipv4.iter().map(|(_, line)| *line).collect();
    assert_eq!(lines, [8, 8, 9, 10]);
    assert_eq!((list.ipv6.len(), list.with_options), (2, 2));
}

#[test]
fn defines_and_commands_are_read() {
    for text in [
        "define X = { 10.0.0.0/8, 192.0.2.1 }\n",
        "define X = {\n  10.0.0.0/8,\n  192.0.2.1,\n}\n",
        "define X =\n{ 10.0.0.0/8, 192.0.2.1 }\n",
        "define X = { \\\n 10.0.0.0/8, \\\n 192.0.2.1 \\\n}\n",
        "define X = 10.0.0.0/8\ndefine X = 192.0.2.1\n",
        "add element inet filter bad { 10.0.0.0/8, 192.0.2.1 }\n",
        "add table inet x\nadd set inet x y { type ipv4_addr; flags interval; }\n\
         add element inet x y { 10.0.0.0/8, 192.0.2.1 }\n",
        "nft add element inet filter bad { 10.0.0.0/8, 192.0.2.1 }\n",
    ] {
        let list = parse(text);
        assert_eq!(
            (list.ipv4.len(), list.bad.count()),
            (2, 0),
            "{text} {:?}",
            list.bad
        );
    }
}

#[test]
fn what_is_not_an_address_is_refused_with_its_line() {
    let head = "table ip x {\n set y {\n  elements = {\n";
    for (element, message) in [
        ("192.0.2.1 . 80", "`192.0.2.1 . 80` also names a port"),
        ("192.0.2.1 : drop", "also names a port"),
        ("$OTHER", "`$OTHER` is a variable"),
        ("eth0", "`eth0` is"),
        ("192.0.2.1 192.0.2.2", "a comma is missing"),
        ("192.0.2.1/24", "bits set"),
    ] {
        let list = parse(&format!("{head}{element}\n}}\n}}\n}}\n"));
        let (line, error) = &list.bad.first()[0];
        assert_eq!((*line, list.bad.count()), (4, 1), "{element}");
        assert!(error.to_string().contains(message), "{element}: {error}");
    }
}

#[test]
fn rules_are_one_error_for_each_chain_and_a_missing_brace_is_one() {
    let list = parse(
        "table ip x {\n set y { elements = { 10.0.0.0/8 } }\n chain in {\n\
         ip saddr { 192.0.2.1, 192.0.2.2 } tcp dport 80 drop\n }\n}\n",
    );
    assert_eq!((list.ipv4.len(), list.bad.count()), (1, 1));
    assert_eq!(list.bad.first()[0].0, 3);
    let list = parse("define X = {\n 10.0.0.0/8,\n 192.0.2.1\n");
    assert_eq!(list.ipv4.len(), 2, "the last element counts");
    assert_eq!(list.bad.first()[0].0, 1);
    assert!(list.bad.first()[0].1.to_string().contains("never closed"));
}

#[test]
fn sets_and_defines_of_other_values_are_left_out() {
    let list = parse(
        "define WAN = eth0\ndefine PORTS = { 80, 443-445, ssh }\n\
         table inet f {\n set ports {\n type inet_service\n elements = { 80, 443 }\n }\n\
         set bad {\n type ipv4_addr\n elements = { 45.1.0.0/24 }\n }\n}\n",
    );
    assert_eq!(
        (list.ipv4.len(), list.left_out, list.bad.count()),
        (1, 6, 0)
    );
}

#[test]
fn several_sets_are_refused_until_one_is_chosen() {
    let text = "table inet f {\n set bad { type ipv4_addr; elements = { 45.1.0.0/24 }; }\n\
                set white { type ipv4_addr; elements = { 45.1.0.0/28 }; }\n}\n";
    let list = parse(text);
    assert_eq!((list.bad.first()[0].0, list.bad.exclusions()), (3, 1));
    let selection = Selection {
        sets: ["bad".to_owned()].into(),
        ..Selection::default()
    };
    let list = read(text, Format::Nft, &selection);
    assert_eq!(
        (list.ipv4.len(), list.left_out, list.bad.count()),
        (1, 1, 0)
    );
}

#[test]
fn removals_after_an_element_are_refused_and_before_it_mean_nothing() {
    let add = "add element inet f bad { 45.1.0.0/24 }\n";
    for removal in [
        "flush set inet f bad",
        "flush ruleset",
        "delete element inet f bad { 45.1.0.0/28 }",
        "destroy element inet f bad {\n45.1.0.0/28,\n45.1.0.32/28\n}",
        "nft delete element inet f bad { 45.1.0.0/28 }",
    ] {
        let list = parse(&format!("{removal}\n{add}{removal}\n"));
        assert_eq!((list.ipv4.len(), list.bad.count()), (1, 1), "{removal}");
        assert!(list.bad.first()[0].1.is_exclusion(), "{removal}");
    }
}

#[test]
fn a_set_may_be_one_long_line_and_a_word_may_not() {
    let elements: Vec<String> = (0..5000)
        .map(|n| format!("45.1.{}.{}", n / 256, n % 256))
        .collect();
    let list = parse(&format!("define X = {{ {} }}\n", elements.join(", ")));
    assert_eq!((list.ipv4.len(), list.bad.count()), (5000, 0));
    let list = parse(&format!(
        "define X = {{ 45.1.0.0/24, {} }}\n",
        "1".repeat(9000)
    ));
    assert!(list.bad.first()[0].1.to_string().contains("9000 bytes"));
    let list = parse(&format!(
        "define X = {{ {} }}\n",
        "45.1.0.0/24 ".repeat(1000)
    ));
    assert!(list.is_empty() && list.bad.count() > 0);
}
