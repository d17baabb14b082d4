//! What comes along to run a server with: people depend on it, so nothing may be made to fail on purpose there.

use std::process::Output;

use tempfile::TempDir;
use tokio::process::Command;

use crate::support::within;

const COMPOSE: &str = include_str!("../../deploy/compose.yaml");
const UNIT: &str = include_str!("../../deploy/flightdeck.service");
const IMAGE: &str = include_str!("../../deploy/Dockerfile");

/// What stands behind `key` on its line.
fn value_of<'a>(file: &'a str, key: &str) -> &'a str {
    let mut values = file.lines().filter_map(|line| line.trim_start().strip_prefix(key));
    let value = values.next().unwrap_or_else(|| panic!("no {key} in\n{file}"));
    assert_eq!(values.next(), None, "{key} stands there twice");
    value.trim()
}

/// The arguments that the server is started with there.
fn arguments() -> [(&'static str, Vec<String>); 3] {
    let list = |value: &str| serde_json::from_str(value).expect("a list of arguments");
    let unit = value_of(UNIT, "ExecStart=").split_whitespace().skip(1).map(str::to_owned).collect();
    [
        ("compose.yaml", list(value_of(COMPOSE, "command:"))),
        ("flightdeck.service", unit),
        ("Dockerfile", list(value_of(IMAGE, "CMD "))),
    ]
}

/// The server, started so, and with a fault on purpose: by a flag, and by the environment that an operator can set.
async fn started_with(arguments: &[String], flag: Option<&str>, variables: &[(&str, &str)]) -> Output {
    let home = TempDir::new().expect("a temporary folder");
    let ended = Command::new(env!("CARGO_BIN_EXE_flightdeck"))
        .args(arguments)
        .args(flag)
        .env("FLIGHTDECK_LISTEN", "127.0.0.1:0")
        .env("FLIGHTDECK_DATA_DIR", home.path().join("data"))
        .envs(variables.iter().copied())
        .current_dir(home.path())
        .kill_on_drop(true)
        .output();
    within("the end of a server that must not start", ended).await.expect("the server's binary")
}

#[tokio::test]
async fn a_deployed_server_does_not_start_when_something_is_to_fail_on_purpose() {
    for (file, arguments) in arguments() {
        for harm in ["drills", "faults"] {
            let variable = format!("FLIGHTDECK_{}", harm.to_uppercase());
            let overruled = [(variable.as_str(), "true"), ("FLIGHTDECK_PRODUCTION", "false")];
            for (flag, variables) in [(Some(format!("--{harm}")), &[][..]), (None, &overruled[..])] {
                let output = started_with(&arguments, flag.as_deref(), variables).await;
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(!output.status.success(), "{file}: it runs with {harm}");
                assert!(said.contains("production forbids that"), "{file}, {arguments:?}, {harm}: {said}");
            }
        }
    }
}
