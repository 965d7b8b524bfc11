//! Imports go down: no module names one of its own floor or above. Files stay small.
//!
//! Read are the tokens of the source, so that `crate::x` counts wherever it stands (`use`, grouped,
//! inline, `#[cfg(test)]`) and a comment or a string does not. What a macro would build from pieces
//! is not seen; there is none.

mod circles;
mod paths;

use crate::shell;
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

/// Every top-level module and its floor. A module that is not here is a fault: give it a floor
/// first.
const FLOORS: &[(&str, u8)] = &[
    ("main", 15),
    ("internals", 15),
    ("cli", 14),
    ("demo", 13),
    ("reload", 13),
    ("app", 12),
    ("config", 11),
    ("serve", 10),
    ("respond", 9),
    ("flow", 8),
    ("upstream", 7),
    ("broker", 6),
    ("roles", 5),
    ("identity", 4),
    ("cluster", 4),
    ("ledger", 4),
    ("idp", 3),
    ("request", 2),
    ("telemetry", 2),
    ("single_flight", 2),
    ("net", 1),
    ("backoff", 1),
    ("rate", 1),
    ("keys", 1),
    ("shutdown", 1),
    ("supervisor", 1),
    ("outcome", 0),
    ("model", 0),
    ("secret", 0),
    ("clock", 0),
];

/// A module that only the named ones may know, whatever their floor.
const GUARDED: &[(&str, &[&str])] = &[("demo", &["cli", "internals"])];

/// From here on a file explains itself in the comment at its top.
const LONG: usize = 400;
/// Beyond this it is split.
const TOO_LONG: usize = 600;

/// Checks the tree and prints what it found.
pub(crate) fn run() -> anyhow::Result<()> {
    let root = shell::root();
    let (mut faults, mut files, mut sources) = (Vec::new(), 0, Vec::new());
    for folder in ["src", "tests", "benches", "xtask/src"] {
        for path in rust_files(&root.join(folder))? {
            let source = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let shown = path
                .strip_prefix(&root)
                .unwrap_or(&path)
                .display()
                .to_string();
            files += 1;
            match source.lines().count() {
                lines if lines > TOO_LONG => faults.push(format!(
                    "{shown}: {lines} lines; past {TOO_LONG} a file is split"
                )),
                lines if lines > LONG && !source.starts_with("//!") => {
                    faults.push(format!(
                        "{shown}: {lines} lines and no comment at its top that says why"
                    ));
                }
                lines if lines > LONG => {
                    println!("note: {shown}: {lines} lines; the comment at its top has to say why");
                }
                _ => {}
            }
            if folder == "src" {
                let module = module_path(path.strip_prefix(root.join(folder)).unwrap_or(&path));
                faults.extend(
                    imports(&module, &source)
                        .into_iter()
                        .map(|fault| format!("{shown}:{fault}")),
                );
                sources.push((module, source));
            }
        }
    }
    let circles = circles::find(&sources);
    faults.extend(
        circles
            .into_iter()
            .map(|circle| format!("circle: {circle}")),
    );
    if faults.is_empty() {
        println!("floors: {files} files, every import goes down, no circles");
        return Ok(());
    }
    bail!(
        "{}\n{} fault(s); ARCHITECTURE.md draws the floors",
        faults.join("\n"),
        faults.len()
    )
}

/// What one file imports wrongly, each as `line: why`.
fn imports(module: &[String], source: &str) -> Vec<String> {
    let Some(own) = module.first() else {
        // lib.rs declares the modules; each must have a floor.
        return paths::declared_modules(source)
            .into_iter()
            .filter(|(_, name)| floor_of(name).is_none())
            .map(|(line, name)| {
                format!("{line}: module `{name}` has no floor; give it one in xtask/src/floors.rs")
            })
            .collect();
    };
    let Some(floor) = floor_of(own) else {
        return vec![format!(
            "1: module `{own}` has no floor; give it one in xtask/src/floors.rs"
        )];
    };
    let mut faults = Vec::new();
    for (line, target) in paths::named_modules(module, source) {
        if target == *own {
            continue;
        }
        let guard = GUARDED.iter().find(|(name, _)| *name == target);
        match floor_of(&target) {
            None => faults.push(format!(
                "{line}: `crate::{target}` is no module with a floor"
            )),
            Some(_) if guard.is_some_and(|(_, may)| !may.contains(&own.as_str())) => {
                faults.push(format!("{line}: `{own}` may not know `{target}`"));
            }
            Some(other) if other >= floor => {
                faults.push(format!(
                    "{line}: `{own}` (floor {floor}) imports `{target}` (floor {other})"
                ));
            }
            Some(_) => {}
        }
    }
    faults
}

fn floor_of(module: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, floor)| *floor)
}

/// `net/tls.rs` is `[net, tls]`, `lib.rs` is the root.
fn module_path(file: &Path) -> Vec<String> {
    let mut module: Vec<String> = file
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if module
        .last()
        .is_some_and(|last| last == "lib" || last == "mod")
    {
        module.pop();
    }
    module
}

fn rust_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop().filter(|folder| folder.is_dir()) {
        for entry in std::fs::read_dir(&folder)
            .with_context(|| format!("cannot list {}", folder.display()))?
        {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(file: &str, source: &str) -> Vec<String> {
        imports(&module_path(Path::new(file)), source)
    }

    #[test]
    fn an_import_that_goes_down_is_fine() {
        assert!(
            faults("flow.rs", "use crate::{broker::Broker, model, roles::{self, RoleSet}};\nfn f(x: crate::net::trust::Peer) {}")
                .is_empty()
        );
        assert!(
            faults(
                "broker/ensure.rs",
                "use crate::broker::Epoch;\nuse super::derive::Password;"
            )
            .is_empty()
        );
    }

    #[test]
    fn an_import_that_goes_up_names_its_line() {
        assert_eq!(
            faults(
                "broker.rs",
                "//! b\nuse crate::model::Role;\nuse crate::flow::Flow;"
            ),
            ["3: `broker` (floor 6) imports `flow` (floor 8)"]
        );
        assert_eq!(
            faults("roles.rs", "use crate::{model::Role, broker::Broker};"),
            ["1: `roles` (floor 5) imports `broker` (floor 6)"]
        );
        assert_eq!(
            faults("net/tls.rs", "fn f() { crate::cluster::f() }"),
            ["1: `net` (floor 1) imports `cluster` (floor 4)"]
        );
    }

    #[test]
    fn neighbours_of_a_floor_do_not_know_each_other() {
        assert_eq!(
            faults("ledger.rs", "use crate::cluster::Cluster;"),
            ["1: `ledger` (floor 4) imports `cluster` (floor 4)"]
        );
    }

    #[test]
    fn climbing_with_super_is_seen_too() {
        assert_eq!(
            faults("roles.rs", "use super::serve::Server;"),
            ["1: `roles` (floor 5) imports `serve` (floor 10)"]
        );
        assert_eq!(
            faults(
                "net/tls.rs",
                "mod tests {\n use super::super::super::app::App;\n}"
            ),
            ["2: `net` (floor 1) imports `app` (floor 12)"]
        );
        assert!(
            faults(
                "net/tls.rs",
                "mod tests {\n use super::*;\n use super::super::trust::Trust;\n}"
            )
            .is_empty()
        );
    }

    #[test]
    fn only_the_command_line_knows_the_demo() {
        assert!(faults("cli.rs", "use crate::demo;").is_empty());
        assert_eq!(
            faults("main.rs", "use crate::demo;"),
            ["1: `main` may not know `demo`"]
        );
        assert_eq!(
            faults("app.rs", "use crate::demo::Stage;"),
            ["1: `app` may not know `demo`"]
        );
    }

    #[test]
    fn comments_strings_and_lifetimes_are_not_code() {
        let source = "//! see [`crate::app::App`]\n/* crate::app /* crate::cli */ */\nconst A: &str = \"crate::app \\\" crate::cli\";\nconst B: &str = r#\"crate::app\"#;\nconst C: char = '\"';\nfn f<'a>(_: &'a str) {}\npub(crate) struct S;";
        assert!(faults("model.rs", source).is_empty());
        assert_eq!(
            faults("model.rs", "const C: char = '\"'; use crate::app;").len(),
            1
        );
    }

    #[test]
    fn what_only_tests_import_counts() {
        assert_eq!(
            faults(
                "model.rs",
                "#[cfg(test)]\nmod tests {\n    use crate::secret::Key;\n}"
            ),
            ["3: `model` (floor 0) imports `secret` (floor 0)"]
        );
    }

    #[test]
    fn a_module_without_a_floor_is_a_fault() {
        assert_eq!(
            faults("utils.rs", ""),
            ["1: module `utils` has no floor; give it one in xtask/src/floors.rs"]
        );
        assert_eq!(
            faults("flow.rs", "use crate::utils::x;"),
            ["1: `crate::utils` is no module with a floor"]
        );
        assert_eq!(
            faults("lib.rs", "pub mod app;\npub mod utils;"),
            ["2: module `utils` has no floor; give it one in xtask/src/floors.rs"]
        );
    }
}
