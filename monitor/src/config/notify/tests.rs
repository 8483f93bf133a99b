//! Targets and rules as they are written, and their errors.

use super::*;

fn parse(text: &str) -> Result<AlertSettings, String> {
    let options: Result<NotifyOptions, _> = serde_yaml::from_str(text);
    options
        .map(NotifyOptions::settle)
        .map_err(|error| error.to_string())
}

#[test]
fn every_kind_of_target_and_its_defaults() {
    let text = "
targets:
  home: {webhook: 'http://192.168.1.5:8123/api/webhook/x', secret_file: s}
  hidden: {webhook_file: /etc/monitor/url, local: true}
  script: {command: [/bin/alert, --now]}
  post: {mail: [a@example.net, b@example.net], from: c@example.net}
  broker: {mqtt: '[fd00::5]:1884', user: monitor, password_file: p, discovery: false}
rules:
  - {on: [first-contact], policies: range, to: home, include: [mac, destination]}
  - {on: blind}
quiet: {from: '22:00', to: '07:00', timezone: Europe/Madrid, except: blind}
";
    let mut options: NotifyOptions = serde_yaml::from_str(text).unwrap();
    options.resolve_paths(Path::new("/etc/monitor"));
    let settings = options.settle();
    let Target::Webhook(home) = &settings.targets["home"] else {
        panic!("{settings:?}");
    };
    assert_eq!(
        home.secret_file.as_deref(),
        Some(Path::new("/etc/monitor/s"))
    );
    let Target::Mqtt(broker) = &settings.targets["broker"] else {
        panic!("{settings:?}");
    };
    assert_eq!((broker.host.as_str(), broker.port), ("fd00::5", 1_884));
    assert_eq!(broker.discovery, None);
    assert_eq!(settings.rules[1].to.len(), 5, "no `to` means all");
    assert_eq!(settings.most_per_hour, MOST_PER_HOUR);
    assert_eq!(settings.repeat_after, REPEAT_AFTER);
    assert!(parse("{}").unwrap().targets.is_empty());
}

#[test]
fn errors_name_the_place_and_the_fix() {
    for (text, parts) in [
        ("target: {}", ["unknown field `target`", "targets"]),
        ("targets: {a: {}}", ["targets.a", "exactly one of"]),
        (
            "targets: {a: {command: alert}}",
            ["targets.a", "whole path"],
        ),
        (
            "targets: {a: {command: [/bin/alert], topic: x}}",
            ["targets.a", "`command`"],
        ),
        (
            "targets: {'a b': {command: [/bin/alert]}}",
            ["targets.a b", "letters"],
        ),
        (
            "targets: {a: {webhook: 'ftp://secret/x'}}",
            ["targets.a", "`https`"],
        ),
        (
            "targets: {a: {mail: 'a@b', from: '-x@y'}}",
            ["targets.a", "plain mail"],
        ),
        (
            "targets: {a: {mail: \"a@b\\nBcc: c@d\", from: 'x@y'}}",
            ["targets.a", "plain mail"],
        ),
        (
            "targets: {a: {mqtt: h, user: x}}",
            ["targets.a", "`password_file`"],
        ),
        (
            "targets: {a: {mqtt: h, topic: 'x/#'}}",
            ["targets.a", "topic"],
        ),
        (
            "rules: [{on: [blind], to: b}]",
            ["no target `b`", "targets"],
        ),
        ("rules: [{on: [test]}]", ["unknown variant `test`", "blind"]),
        (
            "quiet: {from: '22', to: '07:00', timezone: UTC}",
            ["quiet", "22:00"],
        ),
        (
            "quiet: {from: '22:00', to: '07:00', timezone: Nowhere}",
            ["quiet", "Europe"],
        ),
        ("most_per_hour: 0", ["most_per_hour", "from 1"]),
    ] {
        let error = parse(text).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(!error.contains("secret"), "{error}");
    }
}
