//! How statements are written as JSON, and read again from the answer of a daemon.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

/// A list that is `null` if it is empty.
pub(super) mod null_if_empty {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::data) fn serialize<T: Serialize, S: Serializer>(
        list: &[T],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if list.is_empty() {
            serializer.serialize_none()
        } else {
            list.serialize(serializer)
        }
    }

    pub(in crate::data) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        Ok(Option::deserialize(deserializer)?.unwrap_or_default())
    }
}

/// A value that is text in JSON.
pub(super) mod as_text {
    use super::{Deserialize, Deserializer, FromStr, Serializer, fmt, parse};

    pub(in crate::data) fn serialize<T: fmt::Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in crate::data) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: fmt::Display>,
        D: Deserializer<'de>,
    {
        parse::<T, D>(&String::deserialize(deserializer)?)
    }
}

/// A value that is text or `null` in JSON.
pub(super) mod as_optional_text {
    use super::{Deserialize, Deserializer, FromStr, Serializer, fmt, parse};

    #[expect(clippy::ref_option, reason = "serde calls it with this type")]
    pub(in crate::data) fn serialize<T: fmt::Display, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::data) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: fmt::Display>,
        D: Deserializer<'de>,
    {
        let text: Option<String> = Option::deserialize(deserializer)?;
        text.map(|text| parse::<T, D>(&text)).transpose()
    }
}

fn parse<'de, T, D>(text: &str) -> Result<T, D::Error>
where
    T: FromStr<Err: fmt::Display>,
    D: Deserializer<'de>,
{
    text.parse().map_err(D::Error::custom)
}
