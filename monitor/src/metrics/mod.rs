//! Snapshot → OpenMetrics text. Nothing here reads a map or a clock.

mod device_key;
mod device_labels;
mod families;
mod family;

use prometheus_client::{encoding::text, registry::Registry};

pub use device_key::{DeviceKey, DeviceKeyError};
pub use device_labels::{DeviceCounts, DeviceLabel, DeviceLabels, OTHER_DEVICES, PAST_DEVICES};

use crate::snapshot::Snapshot;

/// The media type of what [`encode`] returns: OpenMetrics 1.0, section "Overall Structure".
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The text could not be written.
#[derive(Debug, thiserror::Error)]
#[error("encode the snapshot as OpenMetrics text")]
pub struct EncodeError(#[from] std::fmt::Error);

/// Writes every metric of `snapshot` in a fixed order, `# EOF` included.
///
/// `labels` must have [admitted](DeviceLabels::admit) the devices of `snapshot`,
/// else those it does not know are counted under [`OTHER_DEVICES`].
pub fn encode(snapshot: &Snapshot, labels: &DeviceLabels) -> Result<String, EncodeError> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(families::of(snapshot, labels)));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}
