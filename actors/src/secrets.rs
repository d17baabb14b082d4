//! Secrets: what agents are told in confidence, kept in files for the server's eyes alone.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::PathBuf};

use flightdeck_protocol::OrganizationId;
use serde_json::{Map, Value};

/// The shortest value that is blotted out of what an agent prints: shorter
/// ones would tear holes into everything.
const BLOT_FROM: usize = 4;

/// Why a secret could not be had. The sentence is for the people of the mission.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The name is no plain name.
    #[error("the secret's name {0:?} is not made of letters, digits, dots, dashes and underscores")]
    Name(String),
    /// There is no such secret.
    #[error("this server has no secret {0:?} for the organization; ask whoever runs it to put one in place")]
    Unknown(String),
    /// Others may read the file.
    #[error("the file of the secret {0:?} can be read by others than the server; it is not used until that is mended")]
    Exposed(String),
    /// The file is not a JSON object, or cannot be read.
    #[error("the file of the secret {0:?} cannot be read as a JSON object")]
    Unreadable(String, #[source] io::Error),
}

/// The secrets of all organizations: files `<folder>/<organization id>/<name>.json`.
#[derive(Clone, Debug)]
pub struct Secrets {
    folder: PathBuf,
}

impl Secrets {
    /// The secrets below `folder`, which need not exist.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where the secret `name` of `organization` is, or is to be put.
    ///
    /// # Errors
    /// When the name is no plain name.
    pub fn path(&self, organization: OrganizationId, name: &str) -> Result<PathBuf, SecretError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.chars().all(plain) {
            return Err(SecretError::Name(name.to_owned()));
        }
        Ok(self.folder.join(organization.to_string()).join(format!("{name}.json")))
    }

    /// The fields of the secret `name` of `organization`.
    ///
    /// # Errors
    /// When there is none, or its file is not as it should be.
    pub fn read(&self, organization: OrganizationId, name: &str) -> Result<Map<String, Value>, SecretError> {
        let path = self.path(organization, name)?;
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => SecretError::Unknown(name.to_owned()),
            _ => SecretError::Unreadable(name.to_owned(), error),
        };
        if fs::metadata(&path).map_err(failed)?.permissions().mode() & 0o077 != 0 {
            return Err(SecretError::Exposed(name.to_owned()));
        }
        let text = fs::read(&path).map_err(failed)?;
        serde_json::from_slice(&text).map_err(|error| SecretError::Unreadable(name.to_owned(), error.into()))
    }
}

/// Blots the values of a secret out of whatever an agent prints.
#[derive(Clone, Default)]
pub struct Blotter {
    values: Vec<String>,
}

impl Blotter {
    /// Blots out the string values of `secret`, as they are and as JSON has them.
    pub fn new(secret: Option<&Map<String, Value>>) -> Self {
        let mut values: Vec<String> = Vec::new();
        for value in secret.into_iter().flat_map(|fields| fields.values()).filter_map(Value::as_str) {
            if value.len() >= BLOT_FROM {
                let json = Value::from(value).to_string();
                values.push(json[1..json.len() - 1].to_owned());
                values.push(value.to_owned());
            }
        }
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.dedup();
        Self { values }
    }

    /// `text` without the values.
    pub fn blot(&self, text: String) -> String {
        self.values.iter().fold(text, |text, value| match text.contains(value.as_str()) {
            true => text.replace(value.as_str(), "[secret]"),
            false => text,
        })
    }

    /// A text that comes in parts, without the values. What may be the beginning of a value stays in
    /// `tail` until it has turned out to be none; that is always less than the longest value.
    pub fn blot_part(&self, tail: &mut String, part: &str) -> String {
        let text = std::mem::take(tail) + part;
        let mut clean = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            if self.values.iter().any(|value| value.len() > rest.len() && value.starts_with(rest)) {
                rest.clone_into(tail);
                break;
            }
            // The longest value comes first.
            match self.values.iter().find(|value| rest.starts_with(value.as_str())) {
                Some(value) => {
                    clean.push_str("[secret]");
                    rest = &rest[value.len()..];
                }
                None => {
                    clean.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_blotted_out_in_any_spelling() {
        let secret = serde_json::json!({"username": "ann", "password": "pa\"ss\\word"});
        let blotter = Blotter::new(secret.as_object());
        let line = serde_json::json!({"message": "I typed pa\"ss\\word as ann"}).to_string();
        assert_eq!(blotter.blot(line), r#"{"message":"I typed [secret] as ann"}"#);
        assert_eq!(blotter.blot("pa\"ss\\word".to_owned()), "[secret]");
    }

    #[test]
    fn a_value_in_parts_is_blotted_out_wherever_it_is_split() {
        let secret = serde_json::json!({"short": "hunter", "long": "hunter2", "accented": "geheimé"});
        let blotter = Blotter::new(secret.as_object());
        let text = "hunter22 hunhunter geheimé geheime hunt";
        for split in (0..=text.len()).filter(|split| text.is_char_boundary(*split)) {
            let mut tail = String::new();
            let shown = blotter.blot_part(&mut tail, &text[..split]) + &blotter.blot_part(&mut tail, &text[split..]);
            let wanted = ("[secret]2 hun[secret] [secret] geheime ", "hunt");
            assert_eq!((shown.as_str(), tail.as_str()), wanted, "split at {split}");
        }
    }

    #[test]
    fn a_secret_is_read_only_if_it_is_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(folder.path().to_owned());
        let organization = OrganizationId::fresh();
        assert!(matches!(secrets.read(organization, "../portal"), Err(SecretError::Name(_))));
        assert!(matches!(secrets.read(organization, "portal"), Err(SecretError::Unknown(_))));
        let path = secrets.path(organization, "portal").unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, r#"{"username":"ann"}"#).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(secrets.read(organization, "portal"), Err(SecretError::Exposed(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(secrets.read(organization, "portal").unwrap()["username"], "ann");
        assert!(matches!(secrets.read(OrganizationId::fresh(), "portal"), Err(SecretError::Unknown(_))));
    }
}
