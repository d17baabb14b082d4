//! The rules on the manifests: crates depend one way, and each has only the packages that are its own.

use std::path::Path;

use toml::{Table, Value};

use crate::{
    Breach,
    house::{CLIENT_FEATURE, CLIENT_PACKAGES, RESERVED, ROOMS, Room},
    read,
};

/// Checks the manifest of every member of the workspace.
pub(crate) fn check(root: &Path) -> Vec<Breach> {
    let workspace = read(root.join("Cargo.toml"));
    let mut breaches = members(&workspace);
    for room in ROOMS {
        let file = if room.folder == "." { "Cargo.toml".to_owned() } else { format!("{}/Cargo.toml", room.folder) };
        breaches.extend(manifest(room, &file, &read(root.join(&file))));
    }
    breaches
}

/// Every member stands in the plan, so that no crate grows beside it.
fn members(text: &str) -> Vec<Breach> {
    let parsed: Table = match text.parse() {
        Ok(parsed) => parsed,
        Err(error) => return vec![Breach::new("Cargo.toml", 1, format!("cannot be read: {error}"))],
    };
    let members = parsed.get("workspace").and_then(|table| table.get("members")).and_then(Value::as_array);
    let folders = members.into_iter().flatten().filter_map(Value::as_str);
    let unknown = folders.filter(|folder| ROOMS.iter().all(|room| room.folder != *folder));
    let line = line_of(text, "members");
    unknown
        .map(|folder| {
            Breach::new("Cargo.toml", line, format!("`{folder}` stands in no plan; add it to tests/tidy/house.rs"))
        })
        .collect()
}

/// One member's dependencies, of every kind, against the plan.
fn manifest(room: &Room, file: &str, text: &str) -> Vec<Breach> {
    let parsed: Table = match text.parse() {
        Ok(parsed) => parsed,
        Err(error) => return vec![Breach::new(file, 1, format!("cannot be read: {error}"))],
    };
    let mut breaches = Vec::new();
    for dependency in dependencies(&parsed) {
        let line = line_of(text, dependency.key);
        let package = dependency.package;
        if let Some(reserved) = RESERVED.iter().find(|reserved| reserved.package == package)
            && !reserved.manifests.contains(&room.package)
        {
            let rule = format!("`{package}` belongs to {} alone", reserved.manifests.join(" and "));
            breaches.push(Breach::new(file, line, rule));
        }
        if package.starts_with("flightdeck") && !room.may_use.contains(&package) {
            let rule = format!("{} may not use {package}: imports run one way", room.package);
            breaches.push(Breach::new(file, line, rule));
        }
        let is_protocol = room.package == "flightdeck-protocol";
        if is_protocol && dependency.in_library && CLIENT_PACKAGES.contains(&package) && !dependency.optional {
            let rule = format!("`{package}` must be optional, behind the feature `{CLIENT_FEATURE}`");
            breaches.push(Breach::new(file, line, rule));
        }
    }
    if room.package == "flightdeck-protocol" {
        breaches.extend(protocol_features(file, text, &parsed));
    }
    breaches
}

/// Is it the feature `client`, or one that adds to it (`client-…`)?
fn is_client(feature: &str) -> bool {
    feature.strip_prefix(CLIENT_FEATURE).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Only the feature `client` of the protocol brings a runtime, and no one gets it unasked.
fn protocol_features(file: &str, text: &str, parsed: &Table) -> Vec<Breach> {
    let features = parsed.get("features").and_then(Value::as_table).into_iter().flatten();
    let mut breaches = Vec::new();
    for (name, enabled) in features.filter(|(name, _)| !is_client(name)) {
        let enabled = enabled.as_array().into_iter().flatten().filter_map(Value::as_str);
        let brings = |entry: &&str| {
            let package = entry.trim_start_matches("dep:").split(['/', '?']).next().unwrap_or_default();
            package == CLIENT_FEATURE || CLIENT_PACKAGES.contains(&package)
        };
        if let Some(entry) = enabled.into_iter().find(brings) {
            let rule = format!("the feature `{name}` brings `{entry}`; only `{CLIENT_FEATURE}` may");
            breaches.push(Breach::new(file, line_of(text, name), rule));
        }
    }
    breaches
}

struct Dependency<'a> {
    /// As written in the manifest.
    key: &'a str,
    /// The package behind it, when it is renamed.
    package: &'a str,
    optional: bool,
    /// Not only for tests or the build.
    in_library: bool,
}

fn dependencies(manifest: &Table) -> Vec<Dependency<'_>> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    let tables = std::iter::once(manifest).chain(targets.filter_map(|(_, table)| table.as_table()));
    let mut found = Vec::new();
    for table in tables {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (key, value) in table.get(kind).and_then(Value::as_table).into_iter().flatten() {
                let package = value.get("package").and_then(Value::as_str).unwrap_or(key);
                let optional = value.get("optional").and_then(Value::as_bool).unwrap_or(false);
                found.push(Dependency { key, package, optional, in_library: kind == "dependencies" });
            }
        }
    }
    found
}

/// The last line that sets this key: in the root manifest the workspace's table comes first.
fn line_of(text: &str, key: &str) -> usize {
    let sets = |line: &str| {
        let rest = line.trim_start().strip_prefix(key);
        rest.is_some_and(|rest| rest.trim_start().starts_with('=') || rest.starts_with(".workspace"))
    };
    text.lines().collect::<Vec<_>>().iter().rposition(|line| sets(line)).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(package: &str, text: &str) -> Vec<String> {
        let room = ROOMS.iter().find(|room| room.package == package).unwrap();
        manifest(room, "Cargo.toml", text).iter().map(Breach::to_string).collect()
    }

    #[test]
    fn a_dependency_against_the_stream_is_a_breach() {
        let text = "[dependencies]\nflightdeck-actors.workspace = true\n";
        let rule = "Cargo.toml:2: flightdeck-data may not use flightdeck-actors: imports run one way";
        assert_eq!(breaches("flightdeck-data", text), [rule]);
        assert_eq!(breaches("flightdeck", text), Vec::<String>::new());
        assert_eq!(breaches("flightdeck-agents", "[dev-dependencies]\nflightdeck-data = { path = \"x\" }\n").len(), 1);
    }

    #[test]
    fn a_package_of_another_room_is_a_breach_even_when_renamed_or_for_one_target() {
        assert_eq!(breaches("flightdeck-protocol", "[dependencies]\nsled = \"0.34\"\n").len(), 1);
        let renamed = "[target.'cfg(unix)'.dependencies]\nstore = { package = \"sled\", version = \"0.34\" }\n";
        assert_eq!(breaches("flightdeck-actors", renamed), ["Cargo.toml:2: `sled` belongs to flightdeck-data alone"]);
        assert_eq!(breaches("flightdeck-actors", "[dependencies]\nactix-web.workspace = true\n").len(), 1);
        assert_eq!(breaches("flightdeck-data", "[dependencies]\nactix-rt.workspace = true\n").len(), 1);
    }

    #[test]
    fn the_protocol_has_a_runtime_behind_its_client_alone() {
        let open = "[dependencies]\ntokio.workspace = true\n";
        assert_eq!(breaches("flightdeck-protocol", open).len(), 1);
        let unasked = "[features]\ndefault = [\"client\"]\nclient = [\"dep:tokio\"]\nclient-tls = [\"client\"]\n\
                       [dependencies]\ntokio = { workspace = true, optional = true }\n";
        assert_eq!(
            breaches("flightdeck-protocol", unasked),
            ["Cargo.toml:2: the feature `default` brings `client`; only `client` may"]
        );
        let good = unasked.replace("default = [\"client\"]\n", "");
        assert_eq!(breaches("flightdeck-protocol", &good), Vec::<String>::new());
    }

    #[test]
    fn a_member_outside_the_plan_is_a_breach() {
        let breaches = members("[workspace]\nmembers = [\".\", \"data\", \"attic\"]\n");
        assert_eq!(breaches.len(), 1);
        assert!(breaches[0].rule.starts_with("`attic` stands in no plan"), "{}", breaches[0]);
    }

    #[test]
    fn a_manifest_that_cannot_be_read_is_a_breach_and_not_a_pass() {
        assert_eq!(breaches("flightdeck", "[dependencies\n").len(), 1);
        assert_eq!(members("workspace =").len(), 1);
    }
}
