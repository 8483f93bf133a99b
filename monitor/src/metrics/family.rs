//! Metric families as data, and the only place that talks to the encoder.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

/// Label names and values, in the order in which they are written.
pub(super) type Labels = Vec<(&'static str, String)>;

/// What a family measures; decides the suffix of its samples.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A total that only grows; `_total`.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Text in labels, the value is 1; `_info`.
    Info,
}

/// One metric family.
#[derive(Debug)]
pub(super) struct Family {
    /// Without the unit and without the suffix of its kind.
    pub(super) name: &'static str,
    /// One line; the encoder does not escape it.
    pub(super) help: &'static str,
    /// Becomes part of the name.
    pub(super) unit: Option<Unit>,
    pub(super) kind: Kind,
    /// Label sets are distinct.
    pub(super) samples: Vec<(Labels, u64)>,
}

/// All families, in the order in which they are written; those without samples
/// are left out, as the encoder does with its own.
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
            // An empty family would be written as `{}`.
            Self::Gauge if labels.is_empty() => metric.encode_gauge(&value),
            Self::Gauge => metric.encode_family(labels)?.encode_gauge(&value),
        }
    }
}
