//! The types that settings have, and how each is written as text.

use std::{net::SocketAddr, path::PathBuf};

use figment::value::Value;
use serde::{Deserialize, Serialize};

/// A type of setting.
pub(super) trait SettingValue: Sized + Serialize {
    /// What stands for a value in the help.
    const VALUE_NAME: &'static str;
    /// Whether a flag without a value turns it on.
    const IS_SWITCH: bool = false;

    /// Reads it from the text of a flag or of the environment.
    fn read(text: &str) -> Result<Self, String>;

    /// As one would write it.
    fn show(&self) -> String;

    /// As the layers of settings hold it.
    fn into_value(self) -> Value {
        // Numbers, switches and texts always fit.
        Value::serialize(self).unwrap_or_else(|_| Value::from(""))
    }
}

macro_rules! numbers {
    ($($type:ty),+) => {$(
        impl SettingValue for $type {
            const VALUE_NAME: &'static str = "NUMBER";

            fn read(text: &str) -> Result<Self, String> {
                text.trim().replace('_', "").parse().map_err(|_| {
                    format!("{text:?} is no whole number from {} to {}", <$type>::MIN, <$type>::MAX)
                })
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

numbers!(u32, u64);

impl SettingValue for bool {
    const VALUE_NAME: &'static str = "true|false";
    const IS_SWITCH: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err(format!("{text:?} is neither true nor false")),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl SettingValue for String {
    const VALUE_NAME: &'static str = "TEXT";

    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl SettingValue for PathBuf {
    const VALUE_NAME: &'static str = "PATH";

    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("the path is empty".to_owned()) } else { Ok(Self::from(text)) }
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl SettingValue for SocketAddr {
    const VALUE_NAME: &'static str = "HOST:PORT";

    fn read(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| format!("{text:?} is no IP address with a port, such as 127.0.0.1:8080"))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! choices {
    ($($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $variant_doc:literal])+ $variant:ident = $text:literal,)+ } $list:literal)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub(crate) enum $name {
            $($(#[doc = $variant_doc])+ $variant,)+
        }

        impl SettingValue for $name {
            const VALUE_NAME: &'static str = $list;

            fn read(text: &str) -> Result<Self, String> {
                match text.trim() {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(format!("{text:?} is none of {}", $list)),
                }
            }

            fn show(&self) -> String {
                match self { $(Self::$variant => $text,)+ }.to_owned()
            }
        }
    )+};
}

choices! {
    /// Who may make an account.
    Signup {
        /// Anybody; each founds an organization.
        Open = "open",
        /// Those for whom an admin makes one.
        Closed = "closed",
    } "open|closed"

    /// How the log is written.
    LogFormat {
        /// For people.
        Text = "text",
        /// A JSON object a line.
        Json = "json",
    } "text|json"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_or_refused_with_a_reason() {
        assert_eq!(u64::read(" 64_000 "), Ok(64_000));
        assert!(u32::read("-1").unwrap_err().contains("whole number"));
        assert_eq!(bool::read("On"), Ok(true));
        assert!(bool::read("perhaps").is_err());
        assert_eq!(Signup::read("closed"), Ok(Signup::Closed));
        assert_eq!(Signup::read("shut").unwrap_err(), "\"shut\" is none of open|closed");
        assert!(SocketAddr::read("localhost").unwrap_err().contains("127.0.0.1:8080"));
        assert!(PathBuf::read("").is_err());
    }
}
