//! Events in EVE JSON, the format of Suricata that `EveBox`, Arkime and others read.
//!
//! Source: Suricata's documentation, "Eve JSON Format". There is no `src_ip`: a flow here is
//! that of a MAC, which may have many addresses.

use std::hash::{Hash as _, Hasher as _};

use fnv::FnvHasher;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Contact, EventView, Happening, Named};

impl EventView {
    /// The event as an object of EVE JSON.
    #[must_use]
    pub fn to_eve(&self) -> Value {
        let mut eve = Map::new();
        let mut put = |key: &str, value: Value| drop(eve.insert(key.to_owned(), value));
        put("timestamp", timestamp(&self.at).into());
        if let Some(device) = self.device {
            put("ether", json!({"src_mac": device.to_string()}));
        }
        match &self.what {
            Happening::FirstContact(contact) => {
                put("event_type", "alert".into());
                put("in_iface", contact.interface.clone().into());
                put("alert", alert(contact));
            }
            Happening::Name(named) => {
                let (event_type, value) = name(named);
                put("event_type", event_type.into());
                put(event_type, value);
            }
            Happening::Loss { reason, packets } => {
                put("event_type", "stats".into());
                let lost = Map::from_iter([(reason.clone(), (*packets).into())]);
                put("stats", json!({"monitor": {"lost": lost}}));
            }
            other @ (Happening::Generation { .. }
            | Happening::Removed { .. }
            | Happening::Mark(_)
            | Happening::CaptureBegin(_)
            | Happening::Capture(_)
            | Happening::CaptureNotFinished(_)
            | Happening::Published(_)
            | Happening::Doctor(_)
            | Happening::Page(_)
            | Happening::Attached { .. }) => {
                put("event_type", "monitor".into());
                put("monitor", serde_json::to_value(other).unwrap_or_default());
            }
        }
        if let Some((protocol, port)) = self.what.service() {
            if let Some(destination) = self.what.destination() {
                put("dest_ip", destination.to_string().into());
            }
            if let Some(port) = port {
                put("dest_port", port.into());
            }
            put("proto", eve_protocol(protocol).into());
            put("direction", "to_server".into());
            put("flow_id", self.flow_id().into());
        }
        Value::Object(eve)
    }

    /// The same number for all events of a device, destination, protocol and port. The number
    /// is below 2^53, because many JSON readers round larger numbers.
    fn flow_id(&self) -> u64 {
        let mut hash = FnvHasher::default();
        self.device.hash(&mut hash);
        self.what.destination().hash(&mut hash);
        self.what.service().hash(&mut hash);
        hash.finish() >> 11
    }
}

impl Happening {
    /// Protocol and port of the destination.
    fn service(&self) -> Option<(&str, Option<u16>)> {
        match self {
            Self::FirstContact(contact) => Some((&contact.protocol, contact.port)),
            Self::Name(named) => Some((&named.protocol, Some(named.port))),
            Self::Loss { .. }
            | Self::Generation { .. }
            | Self::Removed { .. }
            | Self::Mark(_)
            | Self::CaptureBegin(_)
            | Self::Capture(_)
            | Self::CaptureNotFinished(_)
            | Self::Published(_)
            | Self::Doctor(_)
            | Self::Page(_)
            | Self::Attached { .. } => None,
        }
    }
}

fn alert(contact: &Contact) -> Value {
    let policy = contact.policies.first().map(ToString::to_string);
    let policy = policy.unwrap_or_default();
    let mut hash = FnvHasher::default();
    hash.write(policy.as_bytes());
    json!({
        "action": if contact.dropped > 0 { "blocked" } else { "allowed" },
        "gid": 1,
        "signature_id": hash.finish() >> 40,
        "rev": 1,
        "signature": format!("first contact, policy {policy}"),
        "category": "monitor",
        "severity": 3,
    })
}

/// The type of event that has such a name, and its object.
fn name(named: &Named) -> (&'static str, Value) {
    let name = &named.name;
    match named.how.as_str() {
        "sni" | "sni-outer" => ("tls", json!({"sni": name})),
        "quic" => ("quic", json!({"sni": name})),
        "http-host" => ("http", json!({"hostname": name})),
        "dns" | "dns-other" | "dns-hint" => {
            let kind = if named.destination.is_ipv4() {
                "A"
            } else {
                "AAAA"
            };
            let addresses = json!({kind: [named.destination.to_string()]});
            (
                "dns",
                json!({"type": "answer", "rrname": name, "grouped": addresses}),
            )
        }
        how => ("monitor", json!({"how": how, "name": name})),
    }
}

/// Suricata writes protocols in capitals, and unknown ones as numbers.
fn eve_protocol(protocol: &str) -> String {
    match protocol {
        "icmpv6" => "IPv6-ICMP".to_owned(),
        other => other.to_uppercase(),
    }
}

/// The time as Suricata writes it: microseconds, and an offset without a colon.
fn timestamp(at: &str) -> String {
    let time: Option<Timestamp> = at.parse().ok();
    let time = time.map(|time| time.strftime("%Y-%m-%dT%H:%M:%S%.6f%z").to_string());
    time.unwrap_or_else(|| at.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: &str) -> EventView {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_first_contact_is_an_alert() {
        let eve = event(
            r#"{"id":7,"at":"2026-11-29T12:00:00Z","device":"64:cc:2e:11:22:33",
            "event":"first-contact","interface":"wlan0","direction":"out",
            "destination":"42.62.48.9","protocol":"tcp","port":443,"policies":["suspect"],
            "packets":3,"dropped":3}"#,
        )
        .to_eve();
        assert_eq!(eve["timestamp"], "2026-11-29T12:00:00.000000+0000");
        assert_eq!(eve["event_type"], "alert");
        assert_eq!(eve["alert"]["action"], "blocked");
        assert_eq!(eve["alert"]["signature"], "first contact, policy suspect");
        assert_eq!(eve["dest_ip"], "42.62.48.9");
        assert_eq!(
            (&eve["proto"], &eve["dest_port"]),
            (&"TCP".into(), &443.into())
        );
        assert_eq!(eve["ether"]["src_mac"], "64:cc:2e:11:22:33");
        assert!(eve["flow_id"].as_u64().unwrap() < 1 << 53);
    }

    #[test]
    fn a_name_has_the_type_of_its_source() {
        for (how, event_type, path) in [
            ("sni", "tls", "/tls/sni"),
            ("quic", "quic", "/quic/sni"),
            ("http-host", "http", "/http/hostname"),
            ("dns", "dns", "/dns/rrname"),
            ("asked", "monitor", "/monitor/name"),
        ] {
            let eve = event(&format!(
                r#"{{"id":1,"at":"2026-11-29T12:00:00Z","device":"64:cc:2e:11:22:33",
                "event":"name","destination":"2001:db8::1","protocol":"udp","port":443,
                "name":"a.example","how":"{how}"}}"#
            ));
            assert_eq!(eve.to_eve()["event_type"], event_type);
            assert_eq!(eve.to_eve().pointer(path).unwrap(), "a.example");
        }
    }
}
