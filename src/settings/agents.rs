//! The settings of an agent kind: what to run, and its own limits.

use std::{collections::BTreeMap, path::Path};

use figment::value::{Dict, Value};
use serde::{Deserialize, Serialize};

use super::{Settings, value::SettingValue};

/// The agent that comes with the server.
const BUILT_IN: &str = "retrieve";

/// How agents of one kind are run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AgentSettings {
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// How long one process of it may run, in seconds; `agent_wall_seconds` where absent.
    #[serde(default)]
    pub(crate) wall_seconds: Option<u64>,
    /// How long it may print nothing, in seconds; `agent_silence_seconds` where absent.
    #[serde(default)]
    pub(crate) silence_seconds: Option<u64>,
    /// What is added to its environment, which is otherwise clean.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
}

impl Settings {
    /// Adds the agent that comes with the server, unless one of its name is set up: it stands
    /// beside `executable`, the server's own program.
    pub(super) fn add_built_in_agent(&mut self, executable: &Path) {
        let program = executable.with_file_name("flightdeck-agent").display().to_string();
        let command = vec![program, BUILT_IN.to_owned()];
        self.agents.entry(BUILT_IN.to_owned()).or_insert_with(|| AgentSettings { command, ..AgentSettings::default() });
    }

    /// Says what is wrong with an agent, and which, if something is.
    pub(super) fn check_agents(&self) -> Result<(), (String, String)> {
        for (kind, agent) in &self.agents {
            let wrong = |why: &str| Err((format!("agents.{kind}"), format!("the agent {kind:?} {why}")));
            if kind.is_empty() || kind.len() > 64 || !kind.bytes().all(is_kind_byte) {
                return wrong("has a name that is not 1 to 64 of a-z, 0-9, - and _");
            }
            if agent.command.first().is_none_or(|program| program.is_empty()) {
                return wrong("has no command: give command = [\"program\", \"argument\"]");
            }
            if agent.command.iter().any(|word| word.contains('\0')) {
                return wrong("has a zero byte in its command");
            }
            if agent.wall_seconds == Some(0) || agent.silence_seconds == Some(0) {
                return wrong("has a limit of 0 seconds, with which it could never run");
            }
            if agent
                .env
                .iter()
                .any(|(name, value)| name.is_empty() || name.contains(['=', '\0']) || value.contains('\0'))
            {
                return wrong("has an environment variable that no process can have");
            }
        }
        Ok(())
    }
}

fn is_kind_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
}

/// Reads `NAME=command line` of a flag.
pub(super) fn read_flag(text: &str) -> Result<(String, Dict), String> {
    let Some((kind, line)) = text.split_once('=') else {
        return Err(format!("{text:?} is not of the form NAME='command line'"));
    };
    Ok((kind.trim().to_owned(), Dict::from([("command".to_owned(), read_command(line)?)])))
}

/// Reads one part of an agent from the environment: `path` is what follows `FLIGHTDECK_AGENTS__`,
/// such as `DRAFT__COMMAND`. `None` where there is no such part.
pub(super) fn read_variable(path: &str, text: &str) -> Option<Result<(String, Dict), String>> {
    let (kind, part) = path.split_once("__")?;
    let read = match part.split_once("__") {
        None => match part {
            "COMMAND" => read_command(text).map(|command| ("command", command)),
            "WALL_SECONDS" => u64::read(text).map(|seconds| ("wall_seconds", seconds.into_value())),
            "SILENCE_SECONDS" => u64::read(text).map(|seconds| ("silence_seconds", seconds.into_value())),
            _ => return None,
        },
        Some(("ENV", name)) => Ok(("env", Value::from(Dict::from([(name.to_owned(), Value::from(text))])))),
        Some(_) => return None,
    };
    Some(read.map(|(part, value)| (kind.to_ascii_lowercase(), Dict::from([(part.to_owned(), value)]))))
}

fn read_command(line: &str) -> Result<Value, String> {
    match shlex::split(line) {
        Some(words) if !words.is_empty() => Ok(Value::from(words)),
        Some(_) => Err("the command is empty".to_owned()),
        None => Err(format!("the quotes in {line:?} do not close")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_split_as_a_shell_would() {
        let (kind, agent) = read_flag("draft=python3 'my agent.py' --fast").unwrap();
        assert_eq!(kind, "draft");
        assert_eq!(agent["command"], Value::from(vec!["python3", "my agent.py", "--fast"]));
        assert!(read_flag("draft").is_err());
        assert!(read_flag("draft=").is_err());
        assert!(read_flag("draft='a").is_err());
    }

    #[test]
    fn variables_set_one_part_of_an_agent_each() {
        assert_eq!(read_variable("DRAFT__WALL_SECONDS", "60").unwrap().unwrap().0, "draft");
        let (_, env) = read_variable("DRAFT__ENV__Api_Base", "x").unwrap().unwrap();
        assert_eq!(env["env"].as_dict().unwrap()["Api_Base"].as_str(), Some("x"));
        assert!(read_variable("DRAFT__WALL_SECONDS", "long").unwrap().is_err());
        assert!(read_variable("DRAFT__COLOUR", "red").is_none());
        assert!(read_variable("DRAFT", "red").is_none());
    }
}
