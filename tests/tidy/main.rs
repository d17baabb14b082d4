//! Holds the walls of the house: who may name whom, what is pure, and what every file owes its reader.
//!
//! Each rule is a function from a file's text to a list of [`Breach`]es, with
//! its own tests on bad input, so that a rule that has gone blind is noticed.

mod house;
mod links;
mod manifests;
mod scripts;
mod source;
mod text;
mod walls;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Where a rule is broken.
#[derive(Debug, PartialEq)]
struct Breach {
    /// Path from the root of the repository, with forward slashes.
    file: String,
    /// Counted from 1.
    line: usize,
    rule: String,
}

impl Breach {
    fn new(file: &str, line: usize, rule: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, rule: rule.into() }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.file, self.line, self.rule)
    }
}

/// The root of the repository: the folder of the server's own manifest.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file that is or could be committed, as a sorted path from the root.
///
/// Git knows best what is ignored; where there is no repository (an unpacked
/// archive, a container), every file counts that no build has made.
fn files() -> Vec<String> {
    let listing = Command::new("git")
        .current_dir(root())
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .ok()
        .filter(|output| output.status.success() && !output.stdout.is_empty());
    let mut found = match listing {
        Some(output) => String::from_utf8_lossy(&output.stdout)
            .split('\0')
            .filter(|path| !path.is_empty() && root().join(path).is_file())
            .map(str::to_owned)
            .collect(),
        None => {
            let mut found = Vec::new();
            walk(root(), &mut found);
            found
        }
    };
    found.sort();
    found.dedup();
    found
}

fn walk(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if !["target", "var", "node_modules", ".git"].contains(&name.to_string_lossy().as_ref()) {
                walk(&path, found);
            }
        } else if let Ok(inside) = path.strip_prefix(root()) {
            found.push(inside.to_string_lossy().into_owned());
        }
    }
}

/// The text of each file with one of these endings.
fn texts(endings: &[&str]) -> Vec<(String, String)> {
    let wanted = files().into_iter().filter(|file| endings.iter().any(|ending| file.ends_with(ending)));
    wanted.map(|file| (read(root().join(&file)), file)).map(|(text, file)| (file, text)).collect()
}

fn read(path: PathBuf) -> String {
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn assert_tidy(breaches: Vec<Breach>) {
    let lines: Vec<String> = breaches.iter().map(Breach::to_string).collect();
    assert!(lines.is_empty(), "{} to put right:\n{}\n", lines.len(), lines.join("\n"));
}

#[test]
fn crates_depend_one_way_and_only_on_what_is_theirs() {
    assert_tidy(manifests::check(root()));
}

#[test]
fn every_file_names_only_what_its_room_may_name() {
    assert_tidy(texts(&[".rs"]).iter().flat_map(|(file, text)| walls::names(file, text)).collect());
}

#[test]
fn the_deprecated_socket_actor_stays_in_one_file() {
    assert_tidy(walls::one_file_names_the_socket_actor(&texts(&[".rs"])));
}

#[test]
fn the_mission_core_is_pure() {
    assert_tidy(texts(&[".rs"]).iter().flat_map(|(file, text)| walls::purity(file, text)).collect());
}

#[test]
fn nothing_unfinished_is_left_and_only_programs_print() {
    assert_tidy(texts(&[".rs"]).iter().flat_map(|(file, text)| walls::macros(file, text)).collect());
}

#[test]
fn every_file_says_in_its_first_line_what_lives_there() {
    assert_tidy(texts(&[".rs"]).iter().filter_map(|(file, text)| text::opening(file, text)).collect());
    assert_tidy(texts(&[".ts", ".js"]).iter().filter_map(|(file, text)| text::opening_of_script(file, text)).collect());
}

#[test]
fn no_file_is_too_long_to_be_one_idea() {
    let sources = texts(&[".rs", ".ts", ".tsx", ".js", ".py", ".sh", "Makefile"]);
    assert_tidy(sources.iter().filter_map(|(file, text)| text::length(file, text)).collect());
}

#[test]
fn no_secret_is_committed() {
    let named = files().into_iter().filter_map(|file| text::secret_name(&file));
    let rest = texts(&["rs", "toml", "md", "json", "yaml", "yml", "sh", "py", "ts", "txt", "service", "Dockerfile"]);
    assert_tidy(named.chain(rest.iter().filter_map(|(file, text)| text::secret_text(file, text))).collect());
}

#[test]
fn what_npm_reads_names_no_registry_and_no_token() {
    let settings = texts(&[".npmrc"]);
    let locks = texts(&["package-lock.json"]);
    assert!(!settings.is_empty() && !locks.is_empty());
    assert_tidy(settings.iter().filter_map(|(file, text)| text::npm_secret(file, text)).collect());
    assert_tidy(locks.iter().filter_map(|(file, text)| text::locked_registry(file, text)).collect());
}

#[test]
fn the_typescript_client_needs_nothing_but_itself() {
    let client = "clients/typescript/";
    let sources = texts(&[".ts"]).into_iter().filter(|(file, _)| file.starts_with(&format!("{client}src/")));
    assert_tidy(sources.flat_map(|(file, text)| scripts::imports(&file, &text)).collect());
    let manifest = read(root().join(client).join("package.json"));
    assert_tidy(scripts::dependencies(&format!("{client}package.json"), &manifest).into_iter().collect());
}

#[test]
fn every_local_link_of_the_documents_points_to_something() {
    assert_tidy(texts(&[".md"]).iter().flat_map(|(file, text)| links::check(root(), file, text)).collect());
}

#[test]
fn the_listing_finds_this_file_and_no_build_output() {
    let files = files();
    assert!(files.iter().any(|file| file == "tests/tidy/main.rs"), "{files:?}");
    assert!(!files.iter().any(|file| file.starts_with("target/")), "target/ belongs into .gitignore");
    let mut walked = Vec::new();
    walk(&root().join("tests"), &mut walked);
    assert!(walked.iter().any(|file| file == "tests/tidy/main.rs"), "{walked:?}");
}

#[test]
fn a_breach_names_file_line_and_rule() {
    assert_eq!(Breach::new("src/a.rs", 3, "too loud").to_string(), "src/a.rs:3: too loud");
}
