//! The credentials of the portal: filled into forms, and kept out of everything else.

use std::fmt;

use serde_json::{Map, Value};

/// Shorter values are not looked for in what is printed: they would blot out half of every sentence.
const SHORTEST: usize = 4;
/// Nor are lower-case words shorter than this. They stand in the agent's own sentences, and a
/// blot in a sentence that everybody knows would tell the word.
const LONG_WORD: usize = 12;

/// The secret's fields by name.
pub(super) struct Secret(Map<String, Value>);

impl Secret {
    pub(super) fn new(fields: Map<String, Value>) -> Self {
        Self(fields)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `template` with each `{field}` replaced by that field, in one pass: what is filled in is not read again.
    pub(super) fn fill(&self, template: &str) -> Result<String, UnknownField> {
        let mut filled = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, behind)) = after.split_once('}') else { break };
            filled.push_str(before);
            match self.0.get(name) {
                Some(Value::String(text)) => filled.push_str(text),
                Some(value @ (Value::Number(_) | Value::Bool(_))) => filled.push_str(&value.to_string()),
                _ => return Err(UnknownField(name.to_owned())),
            }
            rest = behind;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// What is blotted out wherever it would be printed, longest first; also as it stands in addresses.
    ///
    /// The agent prints no field of the secret by itself: this is for a portal or an input that repeats one.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        for value in self.0.values() {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let plain_word = text.len() < LONG_WORD && text.bytes().all(|byte| byte.is_ascii_lowercase());
            if text.len() < SHORTEST || plain_word {
                continue;
            }
            let mut query = reqwest::Url::parse("http://x/").ok();
            if let Some(encoded) = query.as_mut().and_then(|url| {
                url.set_query(Some(&text));
                url.query()
            }) {
                words.push(encoded.to_owned());
            }
            if let Some(url) = query.as_mut() {
                url.query_pairs_mut().clear().append_key_only(&text);
                words.extend(url.query().map(ToOwned::to_owned));
            }
            words.push(text);
        }
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        words.dedup();
        words
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A form field asks for something that the secret does not have.
#[derive(Debug, thiserror::Error)]
#[error("the secret has no field {0:?}: correct login.fields, or add the field to the secret")]
pub(super) struct UnknownField(String);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret() -> Secret {
        let Value::Object(fields) = json!({"username": "ann", "password": "pa{username}ss & more"}) else {
            unreachable!("an object is written above")
        };
        Secret::new(fields)
    }

    #[test]
    fn a_value_is_filled_in_once_and_not_read_again() {
        assert_eq!(secret().fill("{username}:{password}!").unwrap(), "ann:pa{username}ss & more!");
        assert_eq!(secret().fill("an open { brace").unwrap(), "an open { brace");
    }

    #[test]
    fn a_field_that_is_not_there_is_named() {
        assert!(secret().fill("{pin}").unwrap_err().to_string().contains("\"pin\""));
    }

    #[test]
    fn debug_shows_no_value_and_a_plain_word_is_not_blotted_out() {
        assert_eq!(format!("{:?}", secret()), r#"{"password", "username"}"#);
        let words = secret().words();
        assert!(words.contains(&"pa{username}ss & more".to_owned()));
        assert!(words.iter().any(|word| word.contains("ss+%26+more")), "{words:?}");
        assert!(!words.contains(&"ann".to_owned()));
        let plain = Map::from_iter([("password".to_owned(), Value::from("wrong"))]);
        assert!(Secret::new(plain).words().is_empty());
    }
}
