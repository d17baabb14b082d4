//! The rules on the TypeScript client: at run time it has nothing but its own files and what every platform has.

use crate::Breach;

/// Every import of a source file is of a file of the same package.
pub(crate) fn imports(file: &str, text: &str) -> Vec<Breach> {
    let foreign = |line: &&str| named(line).is_some_and(|from| !from.starts_with("./"));
    let lines = text.lines().enumerate().filter(|(_, line)| foreign(line));
    lines.map(|(at, line)| Breach::new(file, at + 1, format!("`{}` is not of this package", line.trim()))).collect()
}

/// What the line imports from, if it is the end of an import or of an export that passes something on.
fn named(line: &str) -> Option<&str> {
    let line = line.trim().trim_end_matches(';');
    let begins = ["import ", "export ", "} from "].iter().any(|word| line.starts_with(word));
    let (_, rest) =
        line.split_once("from \"").or_else(|| line.split_once("import \"")).or_else(|| line.split_once("import(\""))?;
    let is_dynamic = line.contains("import(\"");
    (begins || is_dynamic).then(|| rest.split('"').next()).flatten()
}

/// A manifest names no package that it needs when it runs.
pub(crate) fn dependencies(file: &str, text: &str) -> Option<Breach> {
    const KINDS: &[&str] = &["\"dependencies\"", "\"peerDependencies\"", "\"optionalDependencies\""];
    let line = text.lines().position(|line| KINDS.iter().any(|kind| line.contains(kind)))? + 1;
    Some(Breach::new(file, line, "needs a package at run time; the client has to do without"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_from_outside_is_found_however_it_comes_in() {
        let text =
            "import { a } from \"./a.js\";\nimport {\n  b,\n} from \"ws\";\nimport \"side\";\nexport * from \"c\";\n";
        let lines: Vec<usize> = imports("a.ts", text).iter().map(|breach| breach.line).collect();
        assert_eq!(lines, [4, 5, 6]);
        assert_eq!(imports("a.ts", "const ws = await import(\"ws\");").len(), 1);
        assert_eq!(imports("a.ts", "// what came from \"ws\" is gone\nexport { a } from \"./a.js\";"), []);
    }

    #[test]
    fn a_dependency_at_run_time_is_found() {
        assert_eq!(dependencies("package.json", "{\n  \"dependencies\": {\"ws\": \"8\"}\n}").unwrap().line, 2);
        assert_eq!(dependencies("package.json", r#"{"devDependencies": {"typescript": "7"}}"#), None);
    }
}
