//! The mission's input: which portal, how to log in and search, and which documents are wanted.

use std::collections::{BTreeMap, HashSet};

use reqwest::Url;
use scraper::Selector;
use serde::Deserialize;
use serde_json::Value;

/// The longest pause between requests that is taken, in milliseconds.
const LONGEST_PACE: u64 = 60_000;
/// The longest name of a document, in bytes.
const LONGEST_NAME: usize = 200;

/// What the mission gives the agent to work with. See `agents/README.md`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The portal's address, `http` or `https`, without credentials.
    pub portal: Url,
    /// The name of the secret; the server gives its fields to the agent.
    #[serde(default)]
    pub secret: Option<String>,
    /// How to log in; left out for a portal without a login.
    #[serde(default)]
    pub login: Option<Login>,
    /// The search form to fill in, if there is one.
    #[serde(default)]
    pub search: Option<Search>,
    /// Where the documents are listed.
    #[serde(default)]
    pub list: List,
    /// The documents wanted, at least one.
    pub documents: Vec<Wanted>,
    /// Other origins that pages and documents may come from, such as `https://files.example.com`.
    #[serde(default)]
    pub allow_origins: Vec<Url>,
    /// The pause before each request in milliseconds, at most 60,000.
    #[serde(default)]
    pub pace_ms: u64,
    /// The most bytes that a document may have.
    #[serde(default = "default_max_bytes")]
    pub max_document_bytes: u64,
}

/// How to log in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The page with the login form, relative to the portal.
    #[serde(default)]
    pub page: String,
    /// A CSS selector of the form; where absent, the first form with a password input.
    #[serde(default, deserialize_with = "optional_selector")]
    pub form: Option<Selector>,
    /// What to fill in, by the names of the form's fields; `{x}` stands for the secret's field `x`.
    #[serde(default = "default_login_fields")]
    pub fields: BTreeMap<String, String>,
    /// The page to look at after the login, relative to the portal; where absent, what the login form answered.
    #[serde(default)]
    pub check: Option<String>,
    /// A CSS selector of something that this page must have.
    #[serde(default, deserialize_with = "optional_selector")]
    pub success: Option<Selector>,
}

/// The search form to fill in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// The page with the search form, relative to the portal.
    pub page: String,
    /// A CSS selector of the form; where absent, the first form that has all the fields.
    #[serde(default, deserialize_with = "optional_selector")]
    pub form: Option<Selector>,
    /// What to fill in, by the names of the form's fields.
    pub fields: BTreeMap<String, String>,
}

/// Where the documents are listed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// The first page, relative to the portal; where absent, what the search answered, or the portal's address.
    #[serde(default)]
    pub page: Option<String>,
    /// A CSS selector of the links to documents.
    #[serde(default = "default_link", deserialize_with = "selector")]
    pub link: Selector,
    /// A CSS selector of the link to the next page.
    #[serde(default = "default_next", deserialize_with = "selector")]
    pub next: Selector,
}

/// A document that is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The file name that it is delivered under.
    pub name: String,
    /// What the link's text or address has; the name where absent.
    #[serde(default, rename = "match")]
    pub pattern: Option<String>,
    /// The media type that it must have.
    #[serde(default)]
    pub media_type: Option<String>,
    /// The size that it must have, in bytes.
    #[serde(default)]
    pub size: Option<u64>,
    /// The SHA-256 that it must have, in hex.
    #[serde(default)]
    pub sha256: Option<String>,
}

impl Wanted {
    /// What to look for in links.
    pub(super) fn pattern(&self) -> &str {
        self.pattern.as_deref().unwrap_or(&self.name)
    }

    /// The key of the step that it is retrieved in.
    pub(super) fn step(&self) -> String {
        format!("document:{}", self.name)
    }
}

/// Why an input is not taken.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It has not the form of an [`Input`].
    #[error("the input cannot be read: {path}: {reason}")]
    Shape {
        /// Where in the input.
        path: String,
        /// What is wrong there.
        reason: serde_json::Error,
    },
    /// A field has the right form and a value that cannot be worked with.
    #[error("the input cannot be worked with: {0}")]
    Value(String),
}

impl Input {
    /// Reads and checks an input.
    pub fn read(value: Value) -> Result<Self, InputError> {
        let input: Self = serde_path_to_error::deserialize(value)
            .map_err(|error| InputError::Shape { path: error.path().to_string(), reason: error.into_inner() })?;
        input.check().map_err(InputError::Value)?;
        Ok(input)
    }

    fn check(&self) -> Result<(), String> {
        for (field, url) in
            std::iter::once(("portal", &self.portal)).chain(self.allow_origins.iter().map(|url| ("allow_origins", url)))
        {
            if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
                return Err(format!("{field}: write an http or https address"));
            }
            if !url.username().is_empty() || url.password().is_some() {
                return Err(format!("{field}: credentials do not belong into the address: use a secret"));
            }
        }
        if self.pace_ms > LONGEST_PACE {
            return Err(format!("pace_ms: at most {LONGEST_PACE} is taken"));
        }
        if self.documents.is_empty() {
            return Err("documents: name at least one".to_owned());
        }
        let mut names = HashSet::new();
        for wanted in &self.documents {
            check_name(&wanted.name).map_err(|reason| format!("documents: the name {:?} {reason}", wanted.name))?;
            if !names.insert(&wanted.name) {
                return Err(format!("documents: {:?} is named twice", wanted.name));
            }
            if wanted.pattern().is_empty() {
                return Err(format!("documents: the match of {:?} is empty", wanted.name));
            }
            let hash_like = |hash: &String| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !wanted.sha256.as_ref().is_none_or(hash_like) {
                return Err(format!("documents: the sha256 of {:?} is not 64 hex digits", wanted.name));
            }
        }
        Ok(())
    }
}

/// A name must be safe to create in the workspace and to show to people.
fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err("must have 1 to 200 bytes");
    }
    if name.contains(['/', '\\']) {
        return Err("must be a file name without a path");
    }
    if name.starts_with('.') {
        return Err("must not begin with a dot");
    }
    if name.chars().any(char::is_control) {
        return Err("must not have control characters");
    }
    Ok(())
}

fn default_max_bytes() -> u64 {
    64 * 1024 * 1024
}

fn default_login_fields() -> BTreeMap<String, String> {
    ["username", "password"].map(|name| (name.to_owned(), format!("{{{name}}}"))).into()
}

fn default_link() -> Selector {
    Selector::parse("a[href]").expect("the selector is right as written")
}

fn default_next() -> Selector {
    Selector::parse("a[rel~=next]").expect("the selector is right as written")
}

impl Default for List {
    fn default() -> Self {
        Self { page: None, link: default_link(), next: default_next() }
    }
}

fn selector<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Selector, D::Error> {
    let text = String::deserialize(deserializer)?;
    Selector::parse(&text).map_err(|_| serde::de::Error::custom(format!("{text:?} is not a CSS selector")))
}

fn optional_selector<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Selector>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| selector(serde::de::value::StringDeserializer::new(text))).transpose()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(change: impl FnOnce(&mut Value)) -> String {
        let mut input = json!({"portal": "http://127.0.0.1:1/", "documents": [{"name": "a.pdf"}]});
        change(&mut input);
        Input::read(input).unwrap_err().to_string()
    }

    #[test]
    fn a_short_input_is_enough() {
        let input = Input::read(json!({
            "portal": "https://portal.example/", "secret": "portal", "login": {"page": "/login"},
            "documents": [{"name": "W-2.pdf"}],
        }));
        let input = input.unwrap();
        assert_eq!(input.login.unwrap().fields["password"], "{password}");
        assert_eq!(input.documents[0].pattern(), "W-2.pdf");
        assert_eq!(input.max_document_bytes, 67_108_864);
    }

    #[test]
    fn a_wrong_input_is_refused_in_a_sentence_that_says_where() {
        for (sentence, says) in [
            (refusal(|input| input["protal"] = json!(1)), "unknown field `protal`"),
            (refusal(|input| input["portal"] = json!("elm road")), "portal: "),
            (refusal(|input| input["portal"] = json!("http://ann:pw@x/")), "use a secret"),
            (refusal(|input| input["portal"] = json!("file:///etc")), "http or https"),
            (refusal(|input| input["list"] = json!({"link": "a["})), "list.link: \"a[\" is not a CSS selector"),
            (refusal(|input| input["documents"] = json!([])), "at least one"),
            (refusal(|input| input["documents"][0]["name"] = json!("../a")), "without a path"),
            (refusal(|input| input["documents"][0]["name"] = json!("..")), "dot"),
            (refusal(|input| input["documents"][0]["sha256"] = json!("12")), "64 hex digits"),
            (refusal(|input| input["documents"] = json!([{"name": "a"}, {"name": "a"}])), "named twice"),
        ] {
            assert!(sentence.contains(says), "{sentence}");
        }
    }
}
