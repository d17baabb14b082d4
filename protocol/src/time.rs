//! A moment in UTC, to the millisecond, written as RFC 3339.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// A moment in UTC with millisecond precision; on the wire an RFC 3339 string
/// such as `2026-01-31T12:00:00.000Z`, always with three digits of a second, so
/// that moments sort as their texts do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// The moment that lies `millis` milliseconds after the Unix epoch; times
    /// outside the years -9999 to 9999 are clamped to the epoch.
    pub fn from_millis(millis: i64) -> Self {
        Self(jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
    }

    /// Milliseconds since the Unix epoch.
    pub fn as_millis(self) -> i64 {
        self.0.as_millisecond()
    }

    /// This moment plus `millis` milliseconds.
    pub fn plus_millis(self, millis: i64) -> Self {
        Self::from_millis(self.as_millis().saturating_add(millis))
    }

    /// Now, by the system clock.
    pub fn now() -> Self {
        Self::from_millis(jiff::Timestamp::now().as_millisecond())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_sort_as_their_texts_do() {
        let texts = [0, 1, 150, 1_000, 1_050, 999_999].map(|millis| Timestamp::from_millis(millis).to_string());
        assert_eq!(texts[2], "1970-01-01T00:00:00.150Z");
        assert_eq!(texts[3], "1970-01-01T00:00:01.000Z");
        assert!(texts.is_sorted());
        for text in texts {
            let json = serde_json::to_string(&text).unwrap();
            let read: Timestamp = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), json);
        }
    }
}
