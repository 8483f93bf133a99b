//! Worked examples: policies that the guard refuses, and their fixes.

#[path = "../data/mod.rs"]
mod data;

use std::fs;

use monitor::{
    pipeline::compile_files,
    policy::{Disk, Moment, RuntimeOverlay},
};

use super::{compiled, file, gateway, refused, yaml};

/// The gateway announces a resolver whose address is in a dropped country list.
#[test]
fn a_resolver_inside_a_dropped_country_list() {
    let list = "# aggregated\n114.110.64.0/20\n114.112.0.0/14 ; three /16\n115.24.0.0/14\n";
    let drop = "  - {name: country, action: drop, destinations: [{list: lists/cn.txt}]}\n";
    let files = |policies: &str| {
        [
            ("p.yaml", file(policies)),
            ("lists/cn.txt", list.to_owned()),
        ]
    };
    let run = |policies: &str| {
        let files = files(policies);
        compiled(
            &files.each_ref().map(|(name, text)| (*name, text.as_str())),
            &gateway(),
        )
    };
    let refused = run(drop);
    assert!(refused.ruleset.is_none());
    let text = refused.diagnostics.render(false);
    assert_eq!(
        text,
        "\
error: `country` would cut every device off from the resolver 114.114.114.114, tcp/53 and udp/53 on br-lan and wlan0-guest
 --> p/lists/cn.txt:3:1
  |
3 | 114.112.0.0/14 ; three /16
  | ^^^^^^^^^^^^^^
  |
help: exempt it with a policy: `- {name: resolvers, action: allow, destinations: [114.114.114.114], services: [tcp/53, udp/53]}`; or, if you want this, write `accept_risk: [lan]` and a `reason` in `country`

"
    );
    let help = refused.diagnostics.errors().next().unwrap().help();
    let fixed = run(&format!("{drop}  {}\n", yaml(help, "- {")));
    assert_eq!(fixed.diagnostics.without_notes().render(false), "");
    assert!(fixed.ruleset.is_some());
    let blocked_doh = drop.replace("]}\n", "], services: [https]}\n");
    assert!(run(&blocked_doh).ruleset.is_some());
}

/// Guests are kept from 192.168.0.0/16 on purpose, and still
/// reach the gateway itself.
#[test]
fn guests_are_kept_from_the_private_network_on_purpose() {
    let policy = |destination: &str, rest: &str| {
        format!(
            "  - name: guests-stay-outside
    action: drop
    destinations:
      - {destination}
    interfaces: [wlan0-guest]
{rest}"
        )
    };
    let both = refused(&policy("192.168.0.0/16", ""));
    assert_eq!(
        both,
        [
            "`guests-stay-outside` would cut every device off from the gateway's own address 192.168.9.1 on wlan0-guest",
            "`guests-stay-outside` would cut every device off from private 192.168.0.0/16 (RFC 1918) on wlan0-guest",
        ]
    );
    let accepted =
        "    accept_risk: [private]\n    reason: guests have no business in our network\n";
    assert_eq!(refused(&policy("192.168.0.0/16", accepted)).len(), 1);
    let except = "{cidr: 192.168.0.0/16, except: [192.168.9.1]}";
    assert_eq!(refused(&policy(except, "")).len(), 1);
    let done = file(&policy(except, accepted));
    let done = compiled(&[("p.yaml", &done)], &gateway());
    assert!(done.ruleset.is_some());
    assert_eq!(done.diagnostics.render(false), "");
}

#[test]
fn a_resolver_inside_the_real_list_of_a_country() {
    let Some(ranges) = data::ranges() else { return };
    let directory = tempfile::tempdir().unwrap();
    let list = ranges.join("cn-v4.rir-ip.txt");
    let text = file(&format!(
        "  - {{name: cn, action: drop, destinations: [{{list: {}}}]}}\n",
        list.display()
    ));
    fs::write(directory.path().join("cn.yaml"), text).unwrap();
    let moment = Moment::given("2026-11-20T12:00:00Z".parse().unwrap());
    let paths = [directory.path().to_owned()];
    let compiled = compile_files(
        &paths,
        &Disk,
        &RuntimeOverlay::default(),
        &moment,
        &gateway(),
    );
    let errors: Vec<_> = compiled.diagnostics.errors().collect();
    assert_eq!(errors.len(), 1, "{}", compiled.diagnostics.render(false));
    assert!(
        errors[0]
            .message()
            .contains("the resolver 114.114.114.114, tcp/53 and udp/53")
    );
    assert_eq!(errors[0].place().file(), list);
    let line = errors[0].place().line().unwrap() as usize;
    let line = fs::read_to_string(&list)
        .unwrap()
        .lines()
        .nth(line - 1)
        .unwrap()
        .to_owned();
    let network: ipnetwork::Ipv4Network = line.trim().parse().unwrap();
    assert!(
        network.contains("114.114.114.114".parse().unwrap()),
        "{line}"
    );
}
