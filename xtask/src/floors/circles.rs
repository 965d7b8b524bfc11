//! Circles: files that import each other, directly or over others. A file's inline tests and its
//! test modules do not count, since they may look at everything.

use super::paths::{Token, tokens};
use std::collections::{BTreeMap, BTreeSet};

/// A source file: its module path (`net/tls.rs` is `[net, tls]`) and its text.
pub(crate) type Source = (Vec<String>, String);

/// Each circle of the tree, as the modules that form it and what ties them.
pub(crate) fn find(sources: &[Source]) -> Vec<String> {
    let files: BTreeMap<Vec<String>, File> = sources
        .iter()
        .filter(|(module, _)| !module.is_empty() && !module.iter().any(|part| part == "tests"))
        .map(|(module, text)| (module.clone(), File::read(text)))
        .collect();
    let mut edges: BTreeMap<&[String], BTreeMap<&[String], BTreeSet<&str>>> = BTreeMap::new();
    for (module, file) in &files {
        for path in &file.paths {
            let Some((target, name)) = resolve(&files, module, path, 0) else {
                continue;
            };
            if target != module.as_slice() {
                let names = edges.entry(module).or_default().entry(target).or_default();
                names.insert(name);
            }
        }
    }
    circles(&edges)
}

/// What one file names and what it hands on.
struct File {
    /// Every path that it names, in `use` or elsewhere.
    paths: Vec<Vec<String>>,
    /// What `use` binds: the name, and the path that it stands for.
    bound: BTreeMap<String, Vec<String>>,
    children: BTreeSet<String>,
}

impl File {
    fn read(text: &str) -> Self {
        let tokens = tokens(text);
        let words: Vec<&str> = without_tests(&tokens);
        let mut file = Self {
            paths: Vec::new(),
            bound: BTreeMap::new(),
            children: BTreeSet::new(),
        };
        let mut at = 0;
        while let Some(word) = words.get(at) {
            let next = words.get(at + 1).copied();
            match (*word, next) {
                ("use", _) => {
                    let end = at
                        + words
                            .iter()
                            .skip(at)
                            .take_while(|word| **word != ";")
                            .count();
                    file.tree(words.get(at + 1..end).unwrap_or_default());
                    at = end;
                }
                ("mod", Some(name)) if words.get(at + 2) == Some(&";") => {
                    file.children.insert(name.to_owned());
                }
                (first, Some("::")) if at == 0 || words.get(at - 1) != Some(&"::") => {
                    let mut path = vec![first.to_owned()];
                    while let (Some(&"::"), Some(part)) = (words.get(at + 1), words.get(at + 2)) {
                        path.push((*part).to_owned());
                        at += 2;
                    }
                    file.paths.push(path);
                }
                _ => {}
            }
            at += 1;
        }
        file
    }

    /// Takes the tree of one `use` apart.
    fn tree(&mut self, words: &[&str]) {
        let mut prefixes: Vec<Vec<String>> = vec![Vec::new()];
        let mut path: Vec<String> = Vec::new();
        let mut name = None;
        for (at, word) in words.iter().enumerate() {
            match *word {
                "{" => prefixes.push(path.clone()),
                "}" | "," => {
                    // After a comma or an inner group nothing is left to take.
                    if at > 0 && !matches!(words.get(at - 1), Some(&("," | "}"))) {
                        self.leaf(&path, name.take());
                    }
                    if *word == "}" {
                        prefixes.pop();
                        path.clear();
                    } else {
                        path = prefixes.last().cloned().unwrap_or_default();
                    }
                }
                "::" | "as" => {}
                alias if at > 0 && words.get(at - 1) == Some(&"as") => name = Some(alias),
                part => path.push(part.to_owned()),
            }
        }
        if words.last() != Some(&"}") {
            self.leaf(&path, name);
        }
    }

    fn leaf(&mut self, path: &[String], name: Option<&str>) {
        let mut path = path.to_vec();
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let Some(last) = path.last().cloned() else {
            return;
        };
        self.bound
            .insert(name.unwrap_or(&last).to_owned(), path.clone());
        self.paths.push(path);
    }
}

/// The words of a file up to its inline tests, which come last.
fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<&'a str> {
    let words: Vec<&str> = tokens.iter().map(|token| token.text).collect();
    let tests = words
        .windows(10)
        .position(|at| matches!(at, ["#", "[", "cfg", "(", "test", ")", "]", "mod", _, "{"]));
    let end = tests.unwrap_or(words.len());
    words.get(..end).unwrap_or_default().to_vec()
}

/// The file that defines what `path` names when it is written in `module`, and the name.
fn resolve<'a>(
    files: &'a BTreeMap<Vec<String>, File>,
    module: &[String],
    path: &'a [String],
    hops: usize,
) -> Option<(&'a [String], &'a str)> {
    // Two files that hand the same name to each other do not compile; this only bounds the search.
    if hops > 8 {
        return None;
    }
    let (first, mut rest) = path.split_first()?;
    let mut here = module.to_vec();
    match first.as_str() {
        "crate" => here.clear(),
        "self" => {}
        "super" => {
            here.pop();
            while let Some((_, after)) = rest.split_first().filter(|(part, _)| *part == "super") {
                here.pop();
                rest = after;
            }
        }
        child if files.get(module)?.children.contains(child) => here.push(child.to_owned()),
        // A name that `use` binds was counted there.
        _ => return None,
    }
    while let Some((part, after)) = rest.split_first() {
        here.push(part.clone());
        if !files.contains_key(&here) {
            here.pop();
            break;
        }
        rest = after;
    }
    let (found, file) = files.get_key_value(&here)?;
    let name = rest.first();
    // A name that this file only hands on belongs to the file that defines it.
    if let Some(bound) = name.and_then(|name| file.bound.get(name)) {
        return resolve(files, found, bound, hops + 1);
    }
    let shown = name.or_else(|| found.last())?;
    Some((found, shown))
}

type Edges<'a> = BTreeMap<&'a [String], BTreeMap<&'a [String], BTreeSet<&'a str>>>;

fn circles(edges: &Edges<'_>) -> Vec<String> {
    let reach = |from: &[String]| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(at) = open.pop() {
            for next in edges.get(at).into_iter().flat_map(BTreeMap::keys) {
                if seen.insert(*next) {
                    open.push(next);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<_, _> = edges.keys().map(|from| (*from, reach(from))).collect();
    let both = |one: &[String], other: &[String]| {
        reached.get(one).is_some_and(|to| to.contains(other))
            && reached.get(other).is_some_and(|to| to.contains(one))
    };
    let (mut found, mut done) = (Vec::new(), BTreeSet::new());
    for from in edges.keys() {
        if !both(from, from) || done.contains(from) {
            continue;
        }
        let members: Vec<&[String]> = edges.keys().copied().filter(|to| both(from, to)).collect();
        done.extend(members.iter().copied());
        let ties: Vec<String> = members
            .iter()
            .flat_map(|one| {
                edges
                    .get(one)
                    .into_iter()
                    .flatten()
                    .map(move |tie| (one, tie))
            })
            .filter(|(_, (to, _))| members.contains(to))
            .map(|(one, (to, names))| {
                let names: Vec<&str> = names.iter().copied().collect();
                format!(
                    "  {} -> {}: {}",
                    one.join("::"),
                    to.join("::"),
                    names.join(", ")
                )
            })
            .collect();
        found.push(format!(
            "{} files import each other\n{}",
            members.len(),
            ties.join("\n")
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> = files
            .iter()
            .map(|(path, text)| {
                (
                    path.split('/').map(str::to_owned).collect(),
                    (*text).to_owned(),
                )
            })
            .collect();
        find(&sources)
    }

    #[test]
    fn two_siblings_that_import_each_other_are_a_circle() {
        let circle = found(&[
            ("net", "mod a; mod b; pub use a::A;"),
            ("net/a", "use super::b::{B, C,}; pub struct A;"),
            ("net/b", "pub struct B(super::a::A);"),
        ]);
        assert_eq!(
            circle,
            ["2 files import each other\n  net::a -> net::b: B, C\n  net::b -> net::a: A"]
        );
    }

    #[test]
    fn a_child_that_takes_a_type_from_its_parent_is_a_circle() {
        let parent = "mod child; use child::f; pub struct Config;";
        assert_eq!(
            found(&[("net", parent), ("net/child", "use super::Config;")]).len(),
            1
        );
        let own = "mod child; mod types; use child::f; pub use types::Config;";
        let child = ("net/child", "use super::types::Config;");
        assert!(found(&[("net", own), child, ("net/types", "pub struct Config;")]).is_empty());
    }

    #[test]
    fn a_name_that_a_parent_hands_on_belongs_to_its_file() {
        let parent = "mod a; mod b; pub use a::A; use b::B;";
        let files = [
            ("net", parent),
            ("net/a", "pub struct A;"),
            ("net/b", "use super::A;"),
        ];
        assert!(found(&files).is_empty());
    }

    #[test]
    fn what_tests_import_is_no_circle() {
        let child = "pub struct A;\n#[cfg(test)]\nmod tests { use super::super::Config; }";
        let files = [
            ("net", "mod a; use a::A; pub struct Config;"),
            ("net/a", child),
        ];
        assert!(found(&files).is_empty());
        let files = [
            ("net", "mod a; mod tests; use a::A;"),
            ("net/tests", "use super::f;"),
        ];
        assert!(found(&files).is_empty());
    }
}
