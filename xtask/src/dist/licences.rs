//! The licences of all libraries in the program: most of them want their text to be with it.

use super::build::{Build, cargo_home};
use crate::shell;
use anyhow::Context;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// How the names of such files begin, in small letters.
const NAMES: &[&str] = &[
    "license",
    "licence",
    "copying",
    "copyright",
    "notice",
    "unlicense",
];

/// One text with a list of the libraries and, under each text, those that it belongs to.
pub(crate) fn of(build: &Build) -> anyhow::Result<String> {
    let tree = shell::output(&mut shell::command(
        "cargo",
        &[
            "tree",
            "--locked",
            "--edges",
            "normal",
            "--target",
            &build.target,
            "--prefix",
            "none",
            "--no-dedupe",
            "--format",
            "{p}|{l}",
        ],
    ))?;
    let mut libraries: Vec<(String, &str)> = tree.lines().filter_map(library).collect();
    libraries.sort();
    libraries.dedup();
    let sources = registries()?;
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut page = "The program elastauth contains these libraries, each under the licence that \
                    is named here. The texts\nfollow. Where a library brings no text of its own, \
                    that of the Apache License 2.0 is in LICENSE.\n\n"
        .to_owned();
    for (name, licence) in &libraries {
        let _infallible = writeln!(page, "{name}: {licence}");
        for file in files(&sources, name)? {
            let text =
                fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let text = String::from_utf8_lossy(&text).trim().to_owned();
            let users = texts.entry(text).or_default();
            if users.last() != Some(name) {
                users.push(name.clone());
            }
        }
    }
    for (text, users) in texts {
        let _infallible = write!(
            page,
            "\n{}\n{}\n\n{text}\n",
            "=".repeat(80),
            users.join(", ")
        );
    }
    Ok(page)
}

/// `serde v1.0.1|MIT` is the library `serde-1.0.1`; our own package has a path.
fn library(line: &str) -> Option<(String, &str)> {
    let (package, licence) = line.split_once('|')?;
    let (name, version) = package.split_once(" v")?;
    let version = version.trim_end_matches(" (proc-macro)");
    (!version.contains(' ')).then(|| (format!("{name}-{version}"), licence))
}

fn registries() -> anyhow::Result<Vec<PathBuf>> {
    let folder = cargo_home()?.join("registry/src");
    let list =
        fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    Ok(list
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?)
}

fn files(registries: &[PathBuf], name: &str) -> anyhow::Result<Vec<PathBuf>> {
    let folder = registries.iter().map(|registry| registry.join(name));
    let folder = folder
        .into_iter()
        .find(|folder| folder.is_dir())
        .with_context(|| format!("the sources of {name} are not here"))?;
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if is_licence(&path) && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn is_licence(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_lowercase();
    NAMES.iter().any(|begin| name.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_cargo_and_our_own_package_is_none() {
        assert_eq!(
            library("serde_derive v1.0.1 (proc-macro)|MIT OR Apache-2.0"),
            Some(("serde_derive-1.0.1".to_owned(), "MIT OR Apache-2.0"))
        );
        assert_eq!(library("elastauth v3.0.0 (/some/where)|Apache-2.0"), None);
        assert!(is_licence(Path::new("x/LICENSE-MIT")) && !is_licence(Path::new("x/lib.rs")));
    }
}
