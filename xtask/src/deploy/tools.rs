//! The programs that the checks run, and YAML as values.

use crate::shell;
use anyhow::{Context, bail};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The part that `cargo xtask parts` makes for these checks.
pub(super) fn part() -> PathBuf {
    shell::root().join("target/parts/deploy")
}

pub(super) fn helm(arguments: &[&str]) -> Command {
    shell::command(&part().join("bin/helm").to_string_lossy(), arguments)
}

/// The elastauth of this tree.
pub(super) fn elastauth() -> PathBuf {
    shell::root().join("target/debug/elastauth")
}

pub(super) fn build_elastauth() -> anyhow::Result<()> {
    shell::run(&mut shell::command("cargo", &["build", "--quiet"]))
}

/// All documents of a YAML text.
pub(super) fn values(yaml: &str) -> anyhow::Result<Vec<Value>> {
    let json = schemas(&["json"], yaml)?;
    serde_json::from_str(&json).context("the YAML could not be read as JSON")
}

/// Fails where the objects are not what their published schemas say.
pub(super) fn hold_to_schema(yaml: &str) -> anyhow::Result<()> {
    let folder = part().join("schemas");
    let faults = schemas(&["kubernetes", &folder.to_string_lossy()], yaml)?;
    if !faults.is_empty() {
        bail!("not as the schema says:\n{faults}");
    }
    Ok(())
}

fn schemas(arguments: &[&str], input: &str) -> anyhow::Result<String> {
    let python = part().join("python/bin/python");
    let script = shell::root().join("xtask/src/deploy/schemas.py");
    let mut command = shell::command(&python.to_string_lossy(), &[]);
    output_of(command.arg(script).args(arguments), input)
}

/// What a program that succeeds prints.
pub(super) fn output_of(command: &mut Command, input: &str) -> anyhow::Result<String> {
    let said = shell::said(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| {
            format!("`{said}` could not be started; `cargo xtask parts` fetches it")
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends early says why below.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!(
            "`{said}` failed ({}):\n{text}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(text)
}

/// An empty folder below target/, for one check.
pub(super) fn fresh_folder(name: &str) -> anyhow::Result<PathBuf> {
    let folder = shell::root().join("target/deploy").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// Writes a file, and its folder first.
pub(super) fn write(path: &Path, content: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
