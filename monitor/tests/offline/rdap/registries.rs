//! Objects of registries, and the objects for authorisation on the objects of others.

use serde_json::{Value, json};

use super::{answer, card, of_a_member};

/// Objects as the servers answer for ranges of the registries themselves: netname, then the
/// lines of the description and of the remarks.
#[test]
fn the_other_text_of_a_registry_is_no_holder() {
    for (name, description, remark) in [
        (
            "APNIC-SERVICES",
            vec![
                "Asia Pacific Network Information Centre",
                "Regional Internet Registry for the Asia-Pacific Region",
                "6 Cordelia Street",
            ],
            "For general info on spam complaints",
        ),
        (
            "JPNIC-NET-JP-ERX",
            vec![
                "Japan Network Information Center",
                "Kokusai-Kougyou-Kanda Bldg 6F",
            ],
            "JPNIC Allocation Block",
        ),
        (
            "NON-RIPE-NCC-MANAGED-ADDRESS-BLOCK",
            vec!["IPv4 address block not managed by the RIPE NCC"],
            "For registration information,",
        ),
        ("IANA-BLK", vec!["The whole IPv4 address space"], "Internet"),
        ("KRNIC-KR", vec!["KRNIC"], "Allocated to KRNIC Member."),
        (
            "EXAMPLE-DNS",
            vec![
                "China Internet Network Information Center",
                "No.4, South 4th Street",
            ],
            "x",
        ),
        ("RIPE-NCC", vec!["Example text"], "x"),
    ] {
        let mut object = of_a_member();
        object["name"] = json!(name);
        object["entities"] = json!([]);
        object["remarks"] = json!([
            {"title": "description", "description": description},
            {"title": "remarks", "description": [remark]},
        ]);
        let holders = answer(&object.to_string()).unwrap().statements.holder;
        assert_eq!(holders, [], "{name}");
        // Another organisation that is the registrant is the holder.
        object["entities"] = json!([{
            "handle": "ORG-EX1", "roles": ["registrant"], "vcardArray": card("Example Ltd", "org"),
        }]);
        let holders = answer(&object.to_string()).unwrap().statements.holder;
        assert_eq!(holders[0].value.name, "Example Ltd", "{name}");
    }
}

/// RIPE's server gives the role `registrant` to maintainers (`mnt-by`) too.
#[test]
fn a_maintainer_is_no_registrant() {
    let maintainer = |handle: &str| {
        json!({
            "handle": handle, "roles": ["registrant"], "vcardArray": card(handle, "individual"),
        })
    };
    let organisation = json!({
        "handle": "ORG-EX7-RIPE", "roles": ["registrant"],
        "vcardArray": card("Example Holder SAS", "org"),
    });
    let maintainers = [
        "meta-mnt",
        "RIPE-NCC-HM-MNT",
        "RIPE-NCC-END-MNT",
        "EXAMPLE-NOC",
    ];
    let mut entities: Vec<Value> = maintainers.map(maintainer).to_vec();
    let mut object = of_a_member();
    object["name"] = json!("EX-NET");
    object["port43"] = json!("whois.ripe.net");
    object["remarks"] = json!([{"title": "description", "description": ["Paris"]}]);
    object["entities"] = json!(entities);
    let names = |object: &Value| {
        let holders = answer(&object.to_string()).unwrap().statements.holder;
        let names = holders.into_iter().map(|holder| holder.value.name);
        names.collect::<Vec<String>>()
    };
    assert_eq!(names(&object), ["EX-NET", "Paris"]);
    entities.push(organisation);
    object["entities"] = json!(entities);
    assert_eq!(names(&object), ["Example Holder SAS"]);
    entities.reverse();
    object["entities"] = json!(entities);
    assert_eq!(names(&object), ["Example Holder SAS"]);
}
