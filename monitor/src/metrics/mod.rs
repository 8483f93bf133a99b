//! Snapshot → OpenMetrics text, or the older text of Prometheus. Nothing here reads a map or a clock.

mod device_key;
mod device_labels;
mod families;
mod family;
mod plain;

use prometheus_client::{encoding::text, registry::Registry};

pub use device_key::{DeviceKey, DeviceKeyError};
pub use device_labels::{DeviceCounts, DeviceLabel, DeviceLabels, OTHER_DEVICES, PAST_DEVICES};

use crate::snapshot::Snapshot;

/// The media type of what [`encode`] returns: OpenMetrics 1.0, section "Overall Structure".
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A form in which the metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The older text format of Prometheus, version 0.0.4.
    Prometheus,
}

impl Format {
    /// The media type, as `Content-Type` names it.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => CONTENT_TYPE,
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The text could not be written.
#[derive(Debug, thiserror::Error)]
#[error("encode the snapshot as metrics")]
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

/// Writes the same metrics in the form that is asked for.
pub fn encode_as(
    format: Format,
    snapshot: &Snapshot,
    labels: &DeviceLabels,
) -> Result<String, EncodeError> {
    match format {
        Format::OpenMetrics => encode(snapshot, labels),
        Format::Prometheus => Ok(plain::encode(&families::of(snapshot, labels))?),
    }
}
