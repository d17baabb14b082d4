//! The rule on documents: every local link points to something that is there, inside the repository.

use std::path::{Component, Path, PathBuf};

use crate::Breach;

/// Checks each local link and image of a Markdown text.
pub(crate) fn check(root: &Path, file: &str, text: &str) -> Vec<Breach> {
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let mut breaches = Vec::new();
    for (line, target) in targets(text) {
        let path = target.split(['#', '?']).next().unwrap_or_default();
        if path.is_empty() || target.starts_with("//") || has_scheme(&target) {
            continue; // a heading of the same page, or another house
        }
        let from = if path.starts_with('/') { Path::new("") } else { folder };
        match inside(&from.join(path.trim_start_matches('/'))) {
            None => breaches.push(Breach::new(file, line, format!("`{target}` leads out of the repository"))),
            Some(path) if !root.join(&path).exists() => {
                breaches.push(Breach::new(file, line, format!("`{target}` points to nothing")));
            }
            Some(_) => {}
        }
    }
    breaches
}

fn has_scheme(target: &str) -> bool {
    let scheme = target.split_once(':').map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+'))
}

/// The path without its dots, or nothing when they lead above the root.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut result = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => result.pop().then_some(())?,
            Component::Normal(name) => result.push(name),
            _ => {}
        }
    }
    Some(result)
}

/// The targets of `[text](target)`, `![text](target)` and `[name]: target`, each with its line, outside of code.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fence: Option<&str> = None;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        if let Some(mark) = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark)) {
            fence = match fence {
                None => Some(mark),
                Some(open) => (open != mark).then_some(open),
            };
            continue;
        }
        if fence.is_some() {
            continue;
        }
        let prose = without_code(line);
        let mut rest = prose.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let target = after.split([')', ' ']).next().unwrap_or_default();
            found.push((index + 1, target.trim_matches(['<', '>']).to_owned()));
            rest = after;
        }
        if let Some((_, target)) = prose.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
            let target = target.split_whitespace().next().unwrap_or_default();
            found.push((index + 1, target.trim_matches(['<', '>']).to_owned()));
        }
    }
    found
}

/// The line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_in_house(file: &str, text: &str) -> Vec<Breach> {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("docs/adr")).unwrap();
        std::fs::write(root.path().join("README.md"), "").unwrap();
        check(root.path(), file, text)
    }

    #[test]
    fn a_link_to_nothing_is_a_breach() {
        let text = "fine\nsee [this](docs/none.md#part) and ![that](picture.png)\n\n[ref]: gone.md\n";
        let lines: Vec<usize> = check_in_house("README.md", text).iter().map(|breach| breach.line).collect();
        assert_eq!(lines, [2, 2, 4]);
    }

    #[test]
    fn a_link_out_of_the_repository_is_a_breach() {
        let breaches = check_in_house("docs/a.md", "[x](../../elsewhere/README.md)");
        assert_eq!(breaches, [Breach::new("docs/a.md", 1, "`../../elsewhere/README.md` leads out of the repository")]);
    }

    #[test]
    fn what_is_there_or_elsewhere_passes() {
        let text = "[up](../README.md) [folder](adr/) [root](/README.md) [here](#heading) [web](https://example.org/x)\n\
                    [mail](mailto:a@example.org) `[code](none.md)`\n```\n[code](none.md)\n```\n";
        assert_eq!(check_in_house("docs/a.md", text), []);
    }
}
