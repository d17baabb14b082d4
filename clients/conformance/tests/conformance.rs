//! The Rust client passes, and clients that are wrong do not: each is found for what it does wrong.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

const HARNESS: &str = env!("CARGO_BIN_EXE_flightdeck-conformance");

/// The server's program, beside the harness; built if it is not there.
fn server() -> PathBuf {
    let program = Path::new(HARNESS).with_file_name("flightdeck");
    let folder = program.parent().expect("a folder");
    // Tests that run at once build it once.
    let lock = File::create(folder.join(".flightdeck.lock")).expect("a file for the lock");
    lock.lock().expect("the lock");
    if !program.is_file() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "-p", "flightdeck", "--bin", "flightdeck"]).current_dir(root);
        if folder.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().is_ok_and(|status| status.success()), "the server could not be built");
    }
    program
}

fn run(arguments: &[&str], client: &[&str]) -> Output {
    let mut harness = Command::new(HARNESS);
    harness.arg("run").arg("--server").arg(server()).args(arguments).arg("--").args(client);
    harness.output().expect("the harness")
}

/// The kinds of findings of a scenario for a client that is wrong.
fn findings(scenario: &str, client: &[&str]) -> Vec<String> {
    let output = run(&["--json", "--only", scenario, "--patience", "10"], client);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(report["passed"], false);
    let findings = report["scenarios"][0]["findings"].as_array().expect("findings").iter();
    findings.map(|finding| finding["kind"].as_str().expect("a kind").to_owned()).collect()
}

#[test]
fn the_rust_client_passes_every_scenario() {
    let output = run(&[], &[]);
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && table.ends_with("passed\n"), "{table}");
}

#[test]
fn a_client_that_looks_at_no_position_is_found_to_have_a_gap() {
    let kinds = findings("drop", &[HARNESS, "client", "--naive"]);
    assert!(kinds.iter().any(|kind| kind == "gap"), "{kinds:?}");
    assert!(!kinds.iter().any(|kind| kind == "duplicate"), "{kinds:?}");
}

#[test]
fn a_client_that_takes_what_it_has_already_is_found_to_have_duplicates() {
    let kinds = findings("duplicate", &[HARNESS, "client", "--naive"]);
    assert!(kinds.iter().any(|kind| kind == "duplicate"), "{kinds:?}");
    assert!(!kinds.iter().any(|kind| kind == "gap"), "{kinds:?}");
}

#[test]
fn a_client_that_folds_wrongly_is_found_to_diverge() {
    let kinds = findings("plain", &[HARNESS, "client", "--forgetful"]);
    assert_eq!(kinds, ["divergence"]);
}

#[test]
fn a_client_that_repeats_commands_without_a_name_is_found_to_do_them_twice() {
    let kinds = findings("idem", &[HARNESS, "client", "--careless"]);
    assert!(!kinds.is_empty() && kinds.iter().all(|kind| kind == "duplicate"), "{kinds:?}");
}

#[test]
fn a_client_that_does_not_let_go_is_found_to_leak() {
    let kinds = findings("unwatch", &[HARNESS, "client", "--clinging"]);
    assert!(!kinds.is_empty() && kinds.iter().all(|kind| kind == "leak"), "{kinds:?}");
}

#[test]
fn a_client_that_gets_nowhere_or_says_nonsense_fails() {
    assert_eq!(findings("plain", &["/bin/true"]), ["broken"]);
    let nonsense = "echo nonsense";
    assert_eq!(findings("plain", &["/bin/sh", "-c", nonsense]), ["broken", "broken"]);
    let hello = r#"echo '{"says":"hello","library":"one that only says hello"}'; while read order; do :; done"#;
    let output = run(&["--json", "--only", "plain", "--patience", "2"], &["/bin/sh", "-c", hello]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(report["scenarios"][0]["findings"][0]["kind"], "stuck", "{report}");
}

#[test]
fn what_cannot_be_run_is_said_and_is_no_failure_of_the_client() {
    let output = run(&["--only", "no-such"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no scenario \"no-such\""));
    let output = run(&["--only", "plain"], &["/no/such/client"]);
    assert_eq!(output.status.code(), Some(2));
}
