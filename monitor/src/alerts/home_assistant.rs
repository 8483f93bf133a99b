//! MQTT publications: alerts, the state of the gateway, and Home Assistant's discovery.
//!
//! | topic | payload | retained |
//! |---|---|---|
//! | `TOPIC/alert` | the message, with `event_type` for Home Assistant's event entity | no |
//! | `TOPIC/problem` | `ON` while a condition lasts, else `OFF` | yes |
//! | `DISCOVERY/…/config` | what Home Assistant needs to know the two | yes |

use serde_json::{Value, json};

use super::{AlertKind, Message};

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The topic.
    pub topic: String,
    /// The payload.
    pub payload: String,
    /// True if the broker keeps it for clients that come later.
    pub retained: bool,
}

/// The publications of a message. `problems` is the number of conditions that last.
#[must_use]
pub fn publications(topic: &str, id: &str, message: &Message, problems: u64) -> [Publication; 2] {
    let mut alert = message.data.clone();
    alert["event_type"] = json!(message.kind);
    alert["id"] = json!(id);
    alert["at"] = json!(message.at);
    let problem = if problems > 0 { "ON" } else { "OFF" };
    [
        Publication {
            topic: format!("{topic}/alert"),
            payload: alert.to_string(),
            retained: false,
        },
        Publication {
            topic: format!("{topic}/problem"),
            payload: problem.to_owned(),
            retained: true,
        },
    ]
}

/// What Home Assistant needs to know: an event entity and a binary sensor of one device.
#[must_use]
pub fn discovery(prefix: &str, topic: &str) -> [Publication; 2] {
    let id: String = topic
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    let device = json!({
        "identifiers": [id],
        "name": "monitor",
        "model": "packet filter",
        "sw_version": env!("CARGO_PKG_VERSION"),
    });
    let kinds = AlertKind::ALL.into_iter().map(AlertKind::word);
    let kinds: Vec<_> = kinds.chain(["suppressed", "test"]).collect();
    let config = |component: &str, object: &str, own: Value| {
        let mut config = json!({
            "unique_id": format!("{id}_{object}"),
            "state_topic": format!("{topic}/{object}"),
            "device": device,
        });
        if let (Some(config), Some(own)) = (config.as_object_mut(), own.as_object()) {
            config.extend(own.clone());
        }
        Publication {
            topic: format!("{prefix}/{component}/{id}/{object}/config"),
            payload: config.to_string(),
            retained: true,
        }
    };
    [
        config(
            "event",
            "alert",
            json!({"name": "Alert", "event_types": kinds}),
        ),
        config(
            "binary_sensor",
            "problem",
            json!({"name": "Problem", "device_class": "problem"}),
        ),
    ]
}
