//! The autonomous system that announces a range, and its form in JSON.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The autonomous system that announces a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginAs {
    /// Its number.
    pub number: u32,
    /// Name of the system or of its organisation. That organisation announces the range,
    /// and need not hold it.
    pub name: Option<String>,
}

/// An origin AS as JSON has it.
#[derive(Serialize, Deserialize)]
struct Shape {
    value: String,
    number: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl Serialize for OriginAs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shape = Shape {
            value: format!("AS{}", self.number),
            number: self.number,
            name: self.name.clone(),
        };
        shape.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for OriginAs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Shape { number, name, .. } = Shape::deserialize(deserializer)?;
        Ok(Self { number, name })
    }
}
