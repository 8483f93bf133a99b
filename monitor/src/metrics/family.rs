//! Metric families as data, and their encoding by `prometheus_client`.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

/// Label names and values, in the order in which they are written.
pub(super) type Labels = Vec<(&'static str, String)>;

/// The type of a family. It decides the suffix of the samples' names.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A total that only grows. Suffix: `_total`.
    Counter,
    /// A value that can rise and fall. No suffix.
    Gauge,
    /// Texts in labels, with the value 1. Suffix: `_info`.
    Info,
}

/// One metric family.
#[derive(Debug)]
pub(super) struct Family {
    /// The name, without the unit and without the suffix of the kind.
    pub(super) name: &'static str,
    /// The help text: one line, because the encoder does not escape it.
    pub(super) help: &'static str,
    /// The unit, which becomes part of the name.
    pub(super) unit: Option<Unit>,
    pub(super) kind: Kind,
    /// The samples, each with its own set of labels.
    pub(super) samples: Vec<(Labels, u64)>,
}

/// All families, in the order in which they are written. Families without samples
/// are not written, as `prometheus_client` does with its own.
#[derive(Debug)]
pub(super) struct Families(pub(super) Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        self.0
            .iter()
            .filter(|family| !family.samples.is_empty())
            .try_for_each(|family| family.encode(&mut encoder))
    }
}

impl Family {
    fn encode(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(
            self.name,
            self.help,
            self.unit.as_ref(),
            self.kind.metric_type(),
        )?;
        for (labels, value) in &self.samples {
            self.kind.encode(labels, *value, &mut metric)?;
        }
        Ok(())
    }
}

impl Kind {
    const fn metric_type(self) -> MetricType {
        match self {
            Self::Counter => MetricType::Counter,
            Self::Gauge => MetricType::Gauge,
            Self::Info => MetricType::Info,
        }
    }

    fn encode(self, labels: &Labels, value: u64, metric: &mut MetricEncoder) -> fmt::Result {
        match self {
            Self::Info => metric.encode_info(labels),
            Self::Counter => metric
                .encode_family(labels)?
                .encode_counter::<NoLabelSet, _, u64>(&value, None),
            // `encode_family` would write `{}` for an empty set of labels.
            Self::Gauge if labels.is_empty() => metric.encode_gauge(&value),
            Self::Gauge => metric.encode_family(labels)?.encode_gauge(&value),
        }
    }
}
