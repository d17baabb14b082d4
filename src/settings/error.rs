//! What can be wrong with settings, and where they came from.

use std::{io, path::PathBuf};

/// Why the settings are not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The file that was named cannot be read.
    #[error("the settings file {path} cannot be read: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no setting of this name.
    #[error("{place}: there is no setting {name:?}{hint}")]
    Unknown {
        /// Where it was written.
        place: String,
        /// The name.
        name: String,
        /// The setting that was meant, perhaps.
        hint: String,
    },
    /// The value cannot be used.
    #[error("{place}: {why}")]
    Wrong {
        /// Where it was written.
        place: String,
        /// What is wrong with it.
        why: String,
    },
}

impl SettingsError {
    pub(super) fn wrong(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Wrong { place: place.into(), why: why.into() }
    }

    /// The error of a layer below; figment knows which file it came from.
    pub(super) fn from_layers(error: figment::Error, place: String) -> Self {
        use figment::error::Kind;
        let key = error.path.join(".");
        match &error.kind {
            Kind::UnknownField(name, known) => {
                let parent = error.path.iter().take_while(|part| *part != name);
                let path: Vec<&str> = parent.map(String::as_str).chain([name.as_str()]).collect();
                Self::unknown(place, &path.join("."), known.iter().copied())
            }
            kind if key.is_empty() => Self::wrong(place, kind.to_string()),
            kind => Self::wrong(place, format!("{key}: {kind}")),
        }
    }

    /// There is no setting `name`; one of `known` may be meant.
    pub(super) fn unknown<'a>(place: String, name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let last = name.rsplit('.').next().unwrap_or(name);
        let nearest = known.map(|known| (distance(last, known), known)).min();
        let hint = match nearest {
            Some((distance, known)) if distance <= 3.max(last.len() / 3) => format!("; is {known:?} meant?"),
            _ => "; `flightdeck serve --help` lists them all".to_owned(),
        };
        Self::Unknown { place, name: name.to_owned(), hint }
    }
}

/// How many letters have to be put in, taken out or changed to get from one word to another.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.bytes().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_was_meant_is_named() {
        assert_eq!(distance("wrokers", "workers"), 2);
        assert_eq!(distance("", "abc"), 3);
        let error = SettingsError::unknown("a.toml".to_owned(), "wrokers", ["listen", "workers"].into_iter());
        assert_eq!(error.to_string(), "a.toml: there is no setting \"wrokers\"; is \"workers\" meant?");
    }
}
