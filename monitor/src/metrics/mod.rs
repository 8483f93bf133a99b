//! Writes a snapshot as OpenMetrics, or in the older text format of Prometheus.
//! Nothing here reads a kernel map or a clock.

mod device_key;
mod device_labels;
mod families;
mod family;
mod plain;

use prometheus_client::{encoding::text, registry::Registry};

pub use device_key::{DeviceKey, DeviceKeyError};
pub use device_labels::{DeviceCounts, DeviceLabel, DeviceLabels, OTHER_DEVICES, PAST_DEVICES};

use crate::snapshot::Snapshot;

/// The media type of the text that [`encode`] returns (OpenMetrics 1.0, section
/// "Overall Structure").
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A text format of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The older text format of Prometheus, version 0.0.4.
    Prometheus,
}

impl Format {
    /// Returns the media type for the header `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => CONTENT_TYPE,
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The encoder failed to write the text.
#[derive(Debug, thiserror::Error)]
#[error("encode the snapshot as metrics")]
pub struct EncodeError(#[from] std::fmt::Error);

/// Writes every metric of `snapshot` in a fixed order, `# EOF` included.
///
/// First call [`DeviceLabels::admit`] with `snapshot`. Devices that were not
/// admitted are counted under [`OTHER_DEVICES`].
pub fn encode(snapshot: &Snapshot, labels: &DeviceLabels) -> Result<String, EncodeError> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(families::of(snapshot, labels)));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

/// Writes the same metrics in `format`.
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
