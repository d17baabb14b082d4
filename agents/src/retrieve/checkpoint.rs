//! How far the agent is: which documents are delivered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A document that was delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Delivered {
    /// In lower-case hex.
    pub(super) sha256: String,
    /// In bytes.
    pub(super) size: u64,
}

/// The documents that were delivered, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    delivered: BTreeMap<String, Delivered>,
}

impl Checkpoint {
    /// What an earlier run saved; nothing where it cannot be read.
    pub(super) fn read(data: Value) -> Option<Self> {
        serde_json::from_value(data).ok()
    }

    /// As it is saved.
    pub(super) fn data(&self) -> Value {
        json!({"delivered": self.delivered})
    }

    pub(super) fn add(&mut self, name: &str, delivered: Delivered) {
        self.delivered.insert(name.to_owned(), delivered);
    }

    /// Forgets what `wanted` does not want.
    pub(super) fn keep(&mut self, wanted: impl Fn(&str, &Delivered) -> bool) {
        self.delivered.retain(|name, delivered| wanted(name, delivered));
    }

    pub(super) fn delivered(&self) -> &BTreeMap<String, Delivered> {
        &self.delivered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_what_is_read() {
        let mut checkpoint = Checkpoint::default();
        checkpoint.add("a.pdf", Delivered { sha256: "00".repeat(32), size: 3 });
        assert_eq!(Checkpoint::read(checkpoint.data()), Some(checkpoint));
        assert_eq!(Checkpoint::read(json!("rubbish")), None);
    }
}
