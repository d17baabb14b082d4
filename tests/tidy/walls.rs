//! The rules on what a source file may name: the walls between the rooms, the pure core, unfinished work, printing.

use crate::{
    Breach,
    house::{CLIENT_FOLDER, CLIENT_PACKAGES, MAY_PRINT, PURE_FOLDER, RESERVED, stands_in},
    source::{Named, Tests, named},
};

fn read(file: &str, text: &str, tests: Tests, breach: impl Fn(&Named) -> Option<String>) -> Vec<Breach> {
    match named(text, tests) {
        Ok(found) => {
            let broken = found.iter().filter_map(|path| Some(Breach::new(file, path.line, breach(path)?)));
            broken.collect()
        }
        Err(error) => vec![Breach::new(file, 1, error)],
    }
}

/// Only the rooms that own a package name it; the protocol names a runtime in its client alone.
pub(crate) fn names(file: &str, text: &str) -> Vec<Breach> {
    read(file, text, Tests::Count, |path| {
        let taken = RESERVED.iter().find(|reserved| {
            path.is_of_crate(&reserved.package.replace('-', "_")) && !stands_in(file, reserved.places)
        });
        if let Some(reserved) = taken {
            return Some(format!("`{}` is named here; only {} may", reserved.package, reserved.places.join(", ")));
        }
        let runtime = CLIENT_PACKAGES.iter().find(|package| path.is_of_crate(&package.replace('-', "_")))?;
        let outside = file.starts_with("protocol/") && !file.starts_with(CLIENT_FOLDER);
        outside.then(|| format!("`{runtime}` is named here; of the protocol only {CLIENT_FOLDER} may"))
    })
}

/// The deprecated `actix-web-actors` is named by one file at most, so that it can be replaced in one file.
pub(crate) fn one_file_names_the_socket_actor(files: &[(String, String)]) -> Vec<Breach> {
    let first_line = |text: &str| {
        let found = named(text, Tests::Count).ok()?;
        Some(found.iter().find(|path| path.is_of_crate("actix_web_actors"))?.line)
    };
    let naming: Vec<(&str, usize)> =
        files.iter().filter_map(|(file, text)| Some((file.as_str(), first_line(text)?))).collect();
    let Some((owner, _)) = naming.first().copied() else { return Vec::new() };
    let others = naming.iter().skip(1);
    others
        .map(|(file, line)| Breach::new(file, *line, format!("`actix-web-actors` already lives in {owner}")))
        .collect()
}

/// The mission core has no clock, no randomness, no input or output, no store and no runtime.
pub(crate) fn purity(file: &str, text: &str) -> Vec<Breach> {
    let is_test = file.contains("/tests/") || file.ends_with("tests.rs");
    if !(file.starts_with(PURE_FOLDER) || file == "data/src/mission.rs") || is_test {
        return Vec::new();
    }
    const CRATES: &[(&str, &str)] = &[
        ("getrandom", "randomness"),
        ("object_store", "input or output"),
        ("rand", "randomness"),
        ("sled", "a store"),
        ("tokio", "a runtime"),
        ("tracing", "a log"),
    ];
    const FOLDERS: &[&str] = &["env", "fs", "io", "net", "process", "thread"];
    read(file, text, Tests::Skip, |path| {
        let crate_name = CRATES.iter().find(|(name, _)| path.is_of_crate(name)).map(|(_, what)| *what);
        let folder = FOLDERS.iter().any(|name| path.starts_with(&["std", name])).then_some("input or output");
        let clock = path.contains(&["SystemTime"])
            || path.contains(&["Instant"])
            || path.contains(&["Timestamp", "now"])
            || path.contains(&["Zoned", "now"]);
        let makes_id = ["fresh", "new_v4", "new_v7", "now_v7"].iter().any(|name| path.ends_in(name));
        let what = crate_name.or(folder).or(clock.then_some("a clock")).or(makes_id.then_some("a new id"))?;
        let written = path.segments.join("::");
        Some(format!("`{written}` brings {what} into the pure core; let the caller hand it in with the context"))
    })
}

/// Nothing is left to do or to debug, and only programs and tests print.
pub(crate) fn macros(file: &str, text: &str) -> Vec<Breach> {
    const UNFINISHED: &[&str] = &["dbg", "todo", "unimplemented"];
    const PRINTING: &[&str] = &["eprint", "eprintln", "print", "println"];
    let may_print = stands_in(file, MAY_PRINT) || file.contains("/tests/") || file.contains("/examples/");
    read(file, text, Tests::Count, |path| {
        let name = path.segments.last().filter(|_| path.called_macro)?.as_str();
        if UNFINISHED.contains(&name) {
            return Some(format!("`{name}!` is left over; finish it or take it out"));
        }
        (PRINTING.contains(&name) && !may_print).then(|| format!("`{name}!` here; use tracing, only programs print"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(breaches: Vec<Breach>) -> Vec<usize> {
        breaches.iter().map(|breach| breach.line).collect()
    }

    #[test]
    fn a_package_named_in_another_room_is_a_breach() {
        let text = "//! x\nuse sled::Db;\nuse actix::Addr;\nuse actix_rt::Arbiter;\nuse actix_web::web;\nuse actix_web_actors::ws;\nuse bincode::Encode;\n";
        assert_eq!(lines(names("agents/src/main.rs", text)), [2, 3, 4, 5, 6, 7]);
        assert_eq!(lines(names("data/src/people.rs", text)), [2, 3, 4, 5, 6]);
        assert_eq!(lines(names("data/src/store/sled.rs", text)), [3, 4, 5, 6]);
        assert_eq!(lines(names("actors/src/mission.rs", text)), [2, 5, 6, 7]);
        assert_eq!(lines(names("src/rest.rs", text)), [2, 6, 7]);
        assert_eq!(lines(names("src/edge/socket.rs", text)), [2, 7]);
    }

    #[test]
    fn the_protocol_has_a_runtime_in_its_client_alone() {
        let text = "//! x\nuse tokio::sync::mpsc;\nuse tokio_tungstenite::connect_async;\n";
        assert_eq!(lines(names("protocol/src/event.rs", text)), [2, 3]);
        assert_eq!(lines(names("protocol/src/client/mod.rs", text)), []);
        assert_eq!(lines(names("loadtest/src/main.rs", text)), []);
    }

    #[test]
    fn a_second_file_with_the_socket_actor_is_a_breach() {
        let file = |name: &str| (name.to_owned(), "//! x\nuse actix_web_actors::ws;\n".to_owned());
        let other = ("src/c.rs".to_owned(), "//! actix_web_actors\n".to_owned());
        let breaches = one_file_names_the_socket_actor(&[file("src/edge/a.rs"), file("src/edge/b.rs"), other]);
        assert_eq!(breaches, [Breach::new("src/edge/b.rs", 2, "`actix-web-actors` already lives in src/edge/a.rs")]);
        assert_eq!(one_file_names_the_socket_actor(&[file("src/edge/a.rs")]), []);
    }

    #[test]
    fn the_pure_core_brings_nothing_from_outside() {
        let bad = [
            "use std::time::{Duration, Instant};",
            "fn f() { std::time::SystemTime::now(); }",
            "fn f() { let at = Timestamp::now(); }",
            "fn f() { StepId::fresh(); }",
            "fn f() { <StepId>::fresh(); }",
            "fn f() { uuid::Uuid::now_v7(); }",
            "use std::{collections::BTreeMap, fs};",
            "use std::net::TcpStream;",
            "fn f() { std::env::var(\"HOME\"); }",
            "use std::process;",
            "use tokio::spawn;",
            "use sled::Db;",
            "fn f() { rand::random::<u8>(); }",
            "fn f() { tracing::info!(\"x\"); }",
        ];
        for text in bad {
            assert_eq!(lines(purity("data/src/mission/decide.rs", text)), [1], "{text}");
            assert_eq!(lines(purity("data/src/journal/mod.rs", text)), [], "{text}");
        }
        let good = "use std::time::Duration;\nfn f(at: Timestamp, fresh: bool) { let now = at; step.fresh; }\n\
                    #[cfg(test)]\nmod tests { fn f() { StepId::fresh(); } }\n";
        assert_eq!(purity("data/src/mission/decide.rs", good), []);
    }

    #[test]
    fn work_left_over_is_a_breach_even_in_tests() {
        for name in ["todo", "unimplemented", "dbg"] {
            let text = format!("#[cfg(test)]\nmod tests {{ fn f() {{ {name}!() }} }}");
            assert_eq!(lines(macros("tests/story.rs", &text)), [2], "{name}");
        }
        assert_eq!(macros("src/a.rs", "// todo!()\nfn f() { panic!(\"todo!\") }"), []);
    }

    #[test]
    fn only_programs_print() {
        let text = "//! x\nfn f() { println!(\"x\"); std::eprintln!(\"y\"); }\n";
        assert_eq!(lines(macros("data/src/journal/mod.rs", text)), [2, 2]);
        assert_eq!(macros("agents/src/main.rs", text), []);
        assert_eq!(macros("src/cli/watch.rs", text), []);
        assert_eq!(macros("actors/tests/mission.rs", text), []);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_breach_and_not_a_pass() {
        assert_eq!(lines(names("src/a.rs", "fn f( {")), [1]);
    }
}
