//! Reads Rust source into the paths that it names, so that comments and strings can say what they like.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path as written, or as a `use` tree spells it out: `use std::{fs, io::Read}` names two.
#[derive(Debug, PartialEq)]
pub(crate) struct Named {
    pub(crate) segments: Vec<String>,
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) start: Start,
    /// Imported by `use` or `extern crate`, so that one segment is enough to name a crate.
    pub(crate) imported: bool,
    /// Followed by `!`: a macro is called.
    pub(crate) called_macro: bool,
}

/// What a path follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Start {
    /// Nothing: it begins here, with a name in scope.
    Root,
    /// A dot: it is a field or a method.
    Dot,
    /// `<T>::` or `<T as Trait>::`.
    Angle,
}

impl Named {
    /// Does it name this crate (`sled::Db`, `use sled;`) or something in it?
    pub(crate) fn is_of_crate(&self, name: &str) -> bool {
        self.start == Start::Root && self.segments[0] == name && (self.segments.len() > 1 || self.imported)
    }

    /// Do these segments stand in it, one after the other?
    pub(crate) fn contains(&self, wanted: &[&str]) -> bool {
        self.segments.windows(wanted.len()).any(|window| window == wanted)
    }

    /// Does it begin with these segments?
    pub(crate) fn starts_with(&self, wanted: &[&str]) -> bool {
        self.start == Start::Root && self.segments.len() >= wanted.len() && self.segments[..wanted.len()] == *wanted
    }

    /// Is its last segment this one, said of something (`EventId::fresh`, `<T>::fresh`)?
    pub(crate) fn ends_in(&self, last: &str) -> bool {
        (self.segments.len() > 1 || self.start == Start::Angle)
            && self.segments.last().is_some_and(|segment| segment == last)
    }
}

/// Whether what stands under `#[cfg(test)]` counts.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Tests {
    Count,
    Skip,
}

/// Everything that the text names.
pub(crate) fn named(text: &str, tests: Tests) -> Result<Vec<Named>, String> {
    let stream: TokenStream = text.parse().map_err(|error| format!("cannot be read as Rust: {error}"))?;
    let mut tokens = Vec::new();
    flatten(stream, tests, &mut tokens);
    let mut reader = Reader { tokens, at: 0, found: Vec::new() };
    reader.read();
    Ok(reader.found)
}

struct Token {
    text: String,
    line: usize,
    is_word: bool,
}

fn flatten(stream: TokenStream, tests: Tests, tokens: &mut Vec<Token>) {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let mut at = 0;
    while at < trees.len() {
        if tests == Tests::Skip {
            if is_test_mark(&trees, at, 2) {
                return; // #![cfg(test)]: all of it
            }
            if is_test_mark(&trees, at, 1) {
                at = after_item(&trees, at + 2);
                continue;
            }
        }
        let line = trees[at].span().start().line;
        let mut push = |text: String, is_word| tokens.push(Token { text, line, is_word });
        match &trees[at] {
            TokenTree::Ident(word) => push(word.to_string(), true),
            TokenTree::Punct(mark) => push(mark.as_char().to_string(), false),
            TokenTree::Literal(_) => push("\"\"".to_owned(), false),
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Parenthesis | Delimiter::None => ("(", ")"),
                };
                push(open.to_owned(), false);
                flatten(group.stream(), tests, tokens);
                tokens.push(Token { text: close.to_owned(), line: group.span().end().line, is_word: false });
            }
        }
        at += 1;
    }
}

/// Does `#[cfg(test)]` (`distance` 1) or `#![cfg(test)]` (`distance` 2) stand here?
fn is_test_mark(trees: &[TokenTree], at: usize, distance: usize) -> bool {
    let marks = ["#", "!"];
    let opens = (0..distance).all(|step| trees.get(at + step).is_some_and(|tree| tree.to_string() == marks[step]));
    let attribute = match trees.get(at + distance) {
        Some(TokenTree::Group(group)) if opens => group.stream().to_string(),
        _ => return false,
    };
    attribute.split_whitespace().collect::<String>() == "cfg(test)"
}

/// Where the item that begins here has ended: after its braces or its semicolon.
fn after_item(trees: &[TokenTree], from: usize) -> usize {
    let ends = |tree: &TokenTree| match tree {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(mark) => mark.as_char() == ';',
        _ => false,
    };
    trees[from..].iter().position(ends).map_or(trees.len(), |found| from + found + 1)
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
    found: Vec<Named>,
}

impl Reader {
    fn read(&mut self) {
        while self.at < self.tokens.len() {
            if self.is("use") && (self.is_word_at(self.at + 1) || self.is_path_mark(self.at + 1)) {
                self.at += 1;
                self.use_tree(&[]);
            } else if self.is_word_at(self.at) {
                self.path();
            } else {
                self.at += 1;
            }
        }
    }

    fn is(&self, text: &str) -> bool {
        self.text_at(self.at) == text
    }

    fn text_at(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }

    fn is_word_at(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is_word)
    }

    /// Does `::` stand here?
    fn is_path_mark(&self, at: usize) -> bool {
        self.text_at(at) == ":" && self.text_at(at + 1) == ":"
    }

    fn path(&mut self) {
        let first = self.at;
        let back = |steps: usize| first.checked_sub(steps).map_or("", |at| self.text_at(at));
        let start = match (back(3), back(2), back(1)) {
            (_, before, ".") if before != "." => Start::Dot, // and not a range: `0..sled::MAX`
            (">", ":", ":") => Start::Angle,
            _ => Start::Root,
        };
        let imported = back(2) == "extern" && back(1) == "crate";
        let mut segments = vec![self.tokens[first].text.clone()];
        self.at += 1;
        while self.is_path_mark(self.at) && self.is_word_at(self.at + 2) {
            segments.push(self.tokens[self.at + 2].text.clone());
            self.at += 3;
        }
        let called_macro = self.is("!") && self.text_at(self.at + 1) != "=";
        self.found.push(Named { segments, line: self.tokens[first].line, start, imported, called_macro });
    }

    /// Reads one branch of a `use`, up to the `,`, `}` or `;` behind it.
    fn use_tree(&mut self, prefix: &[String]) {
        let mut segments = prefix.to_vec();
        let line = self.tokens.get(self.at).map_or(0, |token| token.line);
        loop {
            if self.is_path_mark(self.at) {
                self.at += 2;
            } else if self.is("{") {
                self.at += 1;
                while self.at < self.tokens.len() && !self.is("}") {
                    self.use_tree(&segments);
                    if self.is(",") {
                        self.at += 1;
                    }
                }
                self.at += 1;
                return;
            } else if self.is("as") {
                self.at += 2;
            } else if self.is_word_at(self.at) || self.is("*") {
                segments.push(self.tokens[self.at].text.clone());
                self.at += 1;
            } else {
                break;
            }
        }
        if segments.len() > prefix.len() {
            self.found.push(Named { segments, line, start: Start::Root, imported: true, called_macro: false });
        } else {
            self.at += 1; // nothing that a use may hold: step over it
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        let found = named(text, Tests::Count).unwrap();
        found.iter().filter(|path| path.segments.len() > 1).map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn a_use_tree_is_spelled_out() {
        let text = "use std::{fs, io::{self, Read as _}, time::*}; pub(crate) use ::sled::Db;";
        assert_eq!(paths(text), ["std::fs", "std::io::self", "std::io::Read", "std::time::*", "sled::Db"]);
    }

    #[test]
    fn comments_strings_and_chars_name_nothing() {
        let text = "//! sled::Db\nfn f<'a>() { /* sled::Db */ let _ = (\"sled::Db\", r#\"sled::Db\"#, ':', 'a'); }";
        assert_eq!(paths(text), Vec::<String>::new());
    }

    #[test]
    fn paths_inside_macros_attributes_and_types_count() {
        let text = "#[tokio::test] fn f(db: &sled::Db) { info!(now = ?Timestamp::now(), \"x\"); Vec::<a::B>::new(); }";
        assert_eq!(paths(text), ["tokio::test", "sled::Db", "Timestamp::now", "a::B"]);
    }

    #[test]
    fn what_follows_a_dot_or_a_trait_is_not_rooted() {
        let found = named("fn f() { self.sled; <T as Make>::fresh(); 0..sled::MAX }", Tests::Count).unwrap();
        let of = |last: &str| found.iter().find(|path| path.segments.last().unwrap() == last).unwrap();
        assert!(of("sled").start == Start::Dot && of("fresh").start == Start::Angle && of("fresh").ends_in("fresh"));
        assert!(of("MAX").is_of_crate("sled"));
    }

    #[test]
    fn a_crate_is_named_by_a_path_or_an_import_and_not_by_a_variable() {
        let is_sled = |text: &str| named(text, Tests::Count).unwrap().iter().any(|path| path.is_of_crate("sled"));
        assert!(is_sled("use sled;") && is_sled("extern crate sled;") && is_sled("use {sled::Db, std::fs};"));
        assert!(!is_sled("fn f(sled: u8) { crate::store::sled::open(sled) }"));
    }

    #[test]
    fn what_is_only_for_tests_can_be_left_out() {
        let text = "use a::b;\n#[cfg(test)]\nmod tests { use c::d; }\n#[cfg(test)]\nuse e::f;\nuse g::h;";
        let lines: Vec<usize> = named(text, Tests::Skip)
            .unwrap()
            .iter()
            .filter(|path| path.segments.len() > 1)
            .map(|path| path.line)
            .collect();
        assert_eq!(lines, [1, 6]);
        assert_eq!(named("#![cfg(test)]\nuse a::b;", Tests::Skip).unwrap(), []);
        assert_eq!(paths(text).len(), 4);
    }

    #[test]
    fn a_macro_call_is_told_from_an_inequality() {
        let found = named("fn f() { todo!(); if todo != 1 {} }", Tests::Count).unwrap();
        assert_eq!(found.iter().filter(|path| path.called_macro).count(), 1);
    }

    #[test]
    fn text_that_is_not_rust_is_an_error() {
        assert!(named("fn f( {", Tests::Count).is_err());
    }
}
