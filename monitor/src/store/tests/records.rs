//! Devices, generations, attachments, losses, states of the clock and events.

use jiff::SignedDuration;

use super::{INSTANCE, Opened, ago, days, flow, mac, noon, policy};
use crate::store::{
    Attachment, DeviceFact, EncryptedDns, Event, Loss, StoreLimits, StoreSettings, StoredGeneration,
};

fn fact(value: &str, at: jiff::Timestamp) -> DeviceFact {
    DeviceFact {
        kind: "host-name".to_owned(),
        value: value.to_owned(),
        source: "dnsmasq".to_owned(),
        first: at,
        last: at,
    }
}

fn loss(reason: &str, policy: Option<crate::policy::PolicyName>) -> Loss {
    Loss {
        reason: reason.to_owned(),
        policy,
        packets: 2,
        bytes: 200,
    }
}

#[test]
fn facts_belong_to_devices_with_flows() {
    let limits = StoreLimits {
        facts_of_device: 3,
        ..StoreLimits::default()
    };
    let mut opened = Opened::with(StoreSettings {
        limits,
        ..StoreSettings::default()
    });
    let before = ago(days(1));
    opened.drain(&[flow(2, 1, 5, before), flow(1, 1, 5, noon())], noon());
    let store = &mut opened.store;
    assert_eq!(
        store
            .write_device_facts(mac(9), &[fact("x", noon())], noon())
            .unwrap(),
        0
    );
    let long = fact(&"x".repeat(256), noon());
    assert_eq!(
        store.write_device_facts(mac(1), &[long], noon()).unwrap(),
        0
    );
    let minute = SignedDuration::from_mins(1);
    for n in 0..5 {
        let at = before + minute * n;
        store
            .write_device_facts(mac(1), &[fact(&format!("phone-{n}"), at)], noon())
            .unwrap();
    }
    store
        .write_device_facts(mac(1), &[fact("phone-2", noon())], noon())
        .unwrap();
    let mut reader = opened.reader();
    let view = reader.view().unwrap();
    let devices = view.devices(None, 10).unwrap();
    assert_eq!(devices.len(), 2);
    let facts: Vec<_> = devices[0]
        .facts
        .iter()
        .map(|fact| (fact.value.as_str(), fact.first, fact.last))
        .collect();
    let at = |n| before + minute * n;
    assert_eq!(
        facts,
        [
            ("phone-2", at(2), noon()),
            ("phone-3", at(3), at(3)),
            ("phone-4", at(4), at(4))
        ]
    );
    assert_eq!(
        (devices[1].mac, devices[1].first, devices[1].last),
        (mac(2), before, before)
    );
    assert_eq!(view.devices(Some(mac(1)), 10).unwrap(), devices[1..]);
    assert_eq!(view.devices(None, 1).unwrap(), devices[..1]);
}

#[test]
fn encrypted_dns_is_kept_per_device() {
    let mut opened = Opened::new();
    opened.drain(&[flow(1, 1, 5, noon())], noon());
    let dot = |n: u8, at| EncryptedDns {
        device: mac(1),
        kind: "dot".to_owned(),
        address: (n > 0).then(|| [192, 0, 2, n].into()),
        port: 853,
        name: if n > 0 {
            String::new()
        } else {
            "dns.example".to_owned()
        },
        first: at,
        last: at,
    };
    let found: Vec<_> = (0..70)
        .map(|n| dot(n, ago(SignedDuration::from_mins(n.into()))))
        .collect();
    assert_eq!(opened.store.write_encrypted(&found, noon()).unwrap(), 70);
    let later = noon() + SignedDuration::from_mins(1);
    opened
        .store
        .write_encrypted(&[dot(0, later)], later)
        .unwrap();
    let mut reader = opened.reader();
    let view = reader.view().unwrap();
    let mut kept = view.encrypted(Some(mac(1)), 100).unwrap();
    kept.sort_by_key(|dns| std::cmp::Reverse(dns.last));
    let mut expected = found[..64].to_vec();
    expected[0].last = later;
    assert_eq!(kept, expected);
    assert_eq!(view.encrypted(Some(mac(2)), 100).unwrap(), []);
}

#[test]
fn events_are_followed_by_their_numbers() {
    let limits = StoreLimits {
        events: 5,
        events_of_device: 3,
        ..StoreLimits::default()
    };
    let mut opened = Opened::with(StoreSettings {
        limits,
        ..StoreSettings::default()
    });
    let event = |device: Option<u32>, n: u32| Event {
        at: noon(),
        kind: "first-contact".to_owned(),
        device: device.map(mac),
        json: format!("{{\"n\":{n}}}"),
    };
    let ids: Vec<_> = (0..5)
        .map(|n| {
            opened
                .store
                .write_event(&event(Some(1), n), noon())
                .unwrap()
        })
        .collect();
    assert_eq!(ids, [Some(1), Some(2), Some(3), None, None]);
    for n in 0..4 {
        opened.store.write_event(&event(None, n), noon()).unwrap();
    }
    let long = Event {
        json: "x".repeat(1_025),
        ..event(None, 0)
    };
    assert_eq!(opened.store.write_event(&long, noon()).unwrap(), None);
    let mut reader = opened.reader();
    let view = reader.view().unwrap();
    let events = view.events(0, 100).unwrap();
    assert_eq!(
        events.iter().map(|event| event.id).collect::<Vec<_>>(),
        [3, 4, 5, 6, 7]
    );
    assert_eq!(events[0].event, event(Some(1), 2));
    assert_eq!(view.events(5, 1).unwrap(), events[3..4]);
    assert_eq!(view.last_event().unwrap(), 7);
    let losses = view.losses(noon()).unwrap();
    assert_eq!(
        (losses[0].loss.reason.as_str(), losses[0].loss.packets),
        ("event", 3)
    );
}

#[test]
fn losses_are_summed_per_hour_reason_and_policy() {
    let limits = StoreLimits {
        losses: 3,
        ..StoreLimits::default()
    };
    let mut opened = Opened::with(StoreSettings {
        limits,
        ..StoreSettings::default()
    });
    let all = Some(policy("all"));
    let losses = [loss("full", all.clone()), loss("full", None)];
    for minutes in [0, 59, 60] {
        let at = noon() + SignedDuration::from_mins(minutes);
        opened.store.write_losses(&losses, at).unwrap();
    }
    let many: Vec<_> = (0..9)
        .map(|n| loss(&format!("reason-{n}"), all.clone()))
        .collect();
    opened.store.write_losses(&many, noon()).unwrap();
    let mut reader = opened.reader();
    let stored = reader.view().unwrap().losses(noon()).unwrap();
    let found: Vec<_> = stored
        .iter()
        .map(|stored| {
            (
                stored.hour.as_second() - noon().as_second(),
                stored.loss.reason.as_str(),
                stored.loss.policy.is_some(),
                stored.loss.packets,
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            (0, "full", false, 4),
            (0, "full", true, 4),
            (0, "other", false, 16),
            (0, "reason-0", true, 2),
            (3_600, "full", false, 2),
            (3_600, "full", true, 2),
        ]
    );
}

#[test]
fn periods_of_generations_attachments_and_the_clock_are_kept() {
    let mut opened = Opened::new();
    let later = noon() + SignedDuration::from_mins(1);
    let store = &mut opened.store;
    store
        .write_generation(INSTANCE, 1, b"hash-1", noon())
        .unwrap();
    store
        .write_generation(INSTANCE, 2, b"hash-2", later)
        .unwrap();
    let mut attachment = Attachment {
        interface: "br-lan".to_owned(),
        mode: "generic".to_owned(),
        generation: 1,
        since: noon(),
        until: noon(),
    };
    store
        .write_attachments(std::slice::from_ref(&attachment), noon())
        .unwrap();
    attachment.until = later;
    store
        .write_attachments(std::slice::from_ref(&attachment), later)
        .unwrap();
    assert_eq!(store.last_attachments().unwrap(), [attachment.clone()]);
    for (seconds, is_synchronised) in [(0, false), (1, false), (2, true), (3, true), (4, false)] {
        let at = noon() + SignedDuration::from_secs(seconds);
        store.write_clock(is_synchronised, at).unwrap();
    }
    let mut reader = opened.reader();
    let view = reader.view().unwrap();
    let generation = |number, ruleset: &[u8], since, until| StoredGeneration {
        number,
        ruleset: ruleset.to_vec(),
        since,
        until,
    };
    assert_eq!(
        view.generations(INSTANCE.token).unwrap(),
        [
            generation(1, b"hash-1", noon(), Some(later)),
            generation(2, b"hash-2", later, None),
        ]
    );
    assert_eq!(view.attachments(noon()).unwrap(), [attachment]);
    assert_eq!(view.attachments(later).unwrap(), []);
    let at = |seconds| noon() + SignedDuration::from_secs(seconds);
    assert_eq!(
        view.clock(ago(days(1))).unwrap(),
        [(at(0), false), (at(2), true), (at(4), false)]
    );
    assert_eq!(view.clock(at(3)).unwrap(), [(at(2), true), (at(4), false)]);
}
