//! The rules on a file's text: its opening line, its length, and nothing secret in name or content.

use crate::Breach;

/// The first line of a TypeScript file says what lives there as well, unless it is made from others.
pub(crate) fn opening_of_script(file: &str, text: &str) -> Option<Breach> {
    let said =
        text.lines().next().and_then(|line| line.strip_prefix("//")).map_or(0, |rest| rest.trim().chars().count());
    let rule = "the first line is no `//` of at least ten characters that says what lives here";
    (said < 10).then(|| Breach::new(file, 1, rule))
}

/// More lines than this are more than one idea.
const LONGEST: usize = 600;

/// The first line of a source file is a `//!` that says what lives there.
pub(crate) fn opening(file: &str, text: &str) -> Option<Breach> {
    let said =
        text.lines().next().and_then(|line| line.strip_prefix("//!")).map_or(0, |rest| rest.trim().chars().count());
    let rule = "the first line is no `//!` of at least ten characters that says what lives here";
    (said < 10).then(|| Breach::new(file, 1, rule))
}

/// What a file begins with that nobody writes or reads as a whole.
const GENERATED: &str = "// @generated ";

/// A file has at most [`LONGEST`] lines, unless it is made from others.
pub(crate) fn length(file: &str, text: &str) -> Option<Breach> {
    let lines = text.lines().count();
    (lines > LONGEST && !text.starts_with(GENERATED))
        .then(|| Breach::new(file, LONGEST + 1, format!("{lines} lines, at most {LONGEST}; split it by idea")))
}

/// A file whose name says that it holds a secret is not committed.
pub(crate) fn secret_name(file: &str) -> Option<Breach> {
    let name = file.rsplit('/').next().unwrap_or(file).to_lowercase();
    const ENDINGS: &[&str] = &[".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".secret"];
    const NAMES: &[&str] = &[".env", ".netrc", ".pypirc", "credentials.json", "credentials.toml"];
    let is_environment = name.starts_with(".env.") && !name.ends_with(".example");
    let secret = is_environment
        || name.starts_with("id_rsa")
        || name.starts_with("id_ed25519")
        || NAMES.contains(&name.as_str())
        || ENDINGS.iter().any(|ending| name.ends_with(ending));
    secret.then(|| Breach::new(file, 1, "looks like a secret; keep it out of the repository"))
}

/// Settings of npm name no token or password.
pub(crate) fn npm_secret(file: &str, text: &str) -> Option<Breach> {
    let is_secret = |line: &str| {
        line.to_lowercase().split('=').next().is_some_and(|name| name.contains("_auth") || name.contains("password"))
    };
    let line = text.lines().position(is_secret)? + 1;
    Some(Breach::new(file, line, "signs in at a registry; keep that in your own ~/.npmrc"))
}

/// A lock file names versions and hashes, and not the registry that somebody happened to have.
pub(crate) fn locked_registry(file: &str, text: &str) -> Option<Breach> {
    let line = text.lines().position(|line| line.trim_start().starts_with("\"resolved\": \"http"))? + 1;
    Some(Breach::new(
        file,
        line,
        "names a registry; npm leaves it out where the folder's .npmrc says so: run npm install there",
    ))
}

/// A text with a private key in it is not committed, whatever its name.
pub(crate) fn secret_text(file: &str, text: &str) -> Option<Breach> {
    // In two pieces, so that this file does not hold what it looks for.
    let (begin, end) = (concat!("-----BEGIN", " "), concat!("PRIVATE KEY", "-----"));
    let is_key = |line: &str| line.split_once(begin).is_some_and(|(_, rest)| rest.contains(end));
    let line = text.lines().position(is_key)? + 1;
    Some(Breach::new(file, line, "holds a private key; make it when it is needed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opening_line_must_say_something() {
        for bad in
            ["", "use std::fs;", "// A plain comment.", "//!", "//! Short.", "\n//! The second line is too late."]
        {
            assert!(opening("src/a.rs", bad).is_some(), "{bad:?}");
        }
        assert_eq!(opening("src/a.rs", "//! Where the sessions live.\n"), None);
    }

    #[test]
    fn six_hundred_lines_pass_and_one_more_does_not() {
        assert_eq!(length("src/a.rs", &"x\n".repeat(600)), None);
        assert_eq!(length("src/a.rs", &"x\n".repeat(601)).unwrap().line, 601);
        assert_eq!(length("src/a.ts", &format!("// @generated from a table\n{}", "x\n".repeat(601))), None);
    }

    #[test]
    fn names_of_secrets_are_known() {
        for bad in
            [".env", "deploy/.env.production", "a/server.key", "cert.PEM", "home/id_ed25519", "x/credentials.json"]
        {
            assert!(secret_name(bad).is_some(), "{bad}");
        }
        for good in ["deploy/.env.example", "src/keys.rs", "docs/environment.md", "data/src/people/secret.rs"] {
            assert_eq!(secret_name(good), None, "{good}");
        }
    }

    #[test]
    fn what_npm_writes_names_no_registry_and_no_token() {
        assert_eq!(npm_secret(".npmrc", "save-exact=true\n//host/:_authToken=abc").unwrap().line, 2);
        assert_eq!(npm_secret(".npmrc", "omit-lockfile-registry-resolved=true"), None);
        let locked = |text| locked_registry("package-lock.json", text);
        assert_eq!(locked("{\n  \"resolved\": \"https://registry.example/a.tgz\"").unwrap().line, 2);
        assert_eq!(locked("{ \"integrity\": \"sha512-\" }"), None);
    }

    #[test]
    fn a_script_says_what_lives_there() {
        for bad in ["", "import a from \"b\";", "// Short.", "\n// The second line is too late."] {
            assert!(opening_of_script("a.ts", bad).is_some(), "{bad:?}");
        }
        assert_eq!(opening_of_script("a.ts", "// @generated from the operations table\n"), None);
    }

    #[test]
    fn a_private_key_is_found_on_its_line() {
        let key = ["fine", &["-----BEGIN", "OPENSSH PRIVATE KEY-----"].join(" "), "AAAA"].join("\n");
        assert_eq!(secret_text("notes.txt", &key).unwrap().line, 2);
        assert_eq!(secret_text("notes.txt", "-----BEGIN CERTIFICATE-----"), None);
    }
}
