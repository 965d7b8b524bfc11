//! The list of all libraries in the form of `CycloneDX`, by that project's own tool.

use crate::{
    dist::{Build, Source},
    shell, tools,
};
use anyhow::{Context, ensure};
use std::{fs, path::Path};

/// Pinned, as a newer one may write another form.
const CARGO_CYCLONEDX: &str = "cargo-cyclonedx@0.5.7";

/// The tool writes beside each manifest, under this name.
const NAME: &str = "elastauth-sbom";

pub(super) fn make(source: &Source, build: &Build, folder: &Path) -> anyhow::Result<()> {
    let program = tools::cargo(CARGO_CYCLONEDX, &[])?;
    let mut list = shell::command(&program.to_string_lossy(), &["cyclonedx", "--quiet"]);
    list.args([
        "--format",
        "json",
        "--spec-version",
        "1.5",
        "--no-build-deps",
    ]);
    list.args(["--target", &build.target, "--override-filename", NAME]);
    shell::run(&mut list)?;
    let root = shell::root();
    let made = root.join(format!("{NAME}.json"));
    let text = fs::read_to_string(&made).context("the list of libraries was not made")?;
    for folder in [root.clone(), root.join("xtask")] {
        let _ = fs::remove_file(folder.join(format!("{NAME}.json")));
    }
    for word in ["\"CycloneDX\"", "pkg:cargo/rustls@", "pkg:cargo/tokio@"] {
        ensure!(text.contains(word), "the list of libraries has no {word}");
    }
    // It names our own package by the path on this machine.
    let text = text.replace(&root.display().to_string(), "/elastauth");
    let name = format!("elastauth-{}-{}.cdx.json", source.version, build.target);
    Ok(fs::write(folder.join(name), text)?)
}
