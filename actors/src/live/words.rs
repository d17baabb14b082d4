//! A piece of what an agent is saying, made ready for watchers before any lock is taken.

use flightdeck_protocol::model::Author;

/// A piece of a stream. Its text is JSON's spelling of it without the quotes: pieces of that can be
/// put one behind the other, so that nothing is ever encoded again.
pub(super) struct Words {
    /// The agent's name for the stream.
    pub(super) stream: String,
    /// How an item with text of this stream begins: `{"type":"text",…,"text":"`.
    pub(super) head: String,
    /// What is said.
    pub(super) text: String,
}

/// What stands behind the text in an item.
pub(super) const TAIL: &str = "\"}";

impl Words {
    pub(super) fn new(by: &Author, stream: &str, text: &str) -> Self {
        let by = serde_json::to_string(by).unwrap_or_else(|_| "null".to_owned());
        let head = format!("{{\"type\":\"text\",\"stream\":{},\"by\":{by},\"text\":\"", spelled(stream));
        let quoted = spelled(text);
        Self { stream: stream.to_owned(), head, text: quoted[1..quoted.len() - 1].to_owned() }
    }
}

/// `text` as JSON has it, with the quotes.
pub(super) fn spelled(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The item that ends `stream`.
pub(super) fn end(stream: &str) -> String {
    format!("{{\"type\":\"text_end\",\"stream\":{}}}", spelled(stream))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flightdeck_protocol::notification::LiveItem;

    #[test]
    fn pieces_behind_each_other_read_as_one_text() {
        let by = Author::Agent { kind: "draft".to_owned(), incarnation: 2 };
        let parts = ["Dear \"", "\n\u{1}Zoë", "\\"].map(|text| Words::new(&by, "a\"b", text));
        let text: String = parts.iter().map(|words| words.text.as_str()).collect();
        let item: LiveItem = serde_json::from_str(&format!("{}{text}{TAIL}", parts[0].head)).unwrap();
        let whole = "Dear \"\n\u{1}Zoë\\".to_owned();
        assert_eq!(item, LiveItem::Text { stream: "a\"b".to_owned(), by, text: whole });
        let item: LiveItem = serde_json::from_str(&end("a\"b")).unwrap();
        assert_eq!(item, LiveItem::TextEnd { stream: "a\"b".to_owned() });
    }
}
