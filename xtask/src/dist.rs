//! `cargo xtask dist`: the program as it is shipped, one static binary, and the files of its image.
//!
//! Static means that it runs from an empty root folder and on every distribution. It is linked with
//! glibc, whose name resolution (files and DNS) is part of the binary since 2.34; a target with
//! musl works as well where its standard library is installed.
//!
//! | file in `target/dist` | what it is |
//! |---|---|
//! | `TARGET/elastauth` | the program, stripped |
//! | `image/` | what the last stage of the Containerfile copies: the program of this machine, a CA bundle, a user |

mod build;
mod deb;
mod image;
pub(crate) mod licences;
mod source;

pub(crate) use build::{Build, Profile};
pub(crate) use deb::Deb;
pub(crate) use image::{BUILDAH, Image, megabytes};
pub(crate) use source::Source;

use crate::shell;
use anyhow::bail;
use std::path::{Path, PathBuf};

/// For whom binaries are made where nothing else is asked for.
const TARGETS: &[&str] = &["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// `--target T` names one target, `--once` leaves out the second build that is compared.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let (mut target, mut compare) = (None, true);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match (*word, words.as_slice()) {
            ("--once", _) => compare = false,
            ("--target", [name, ..]) => {
                target = Some(*name);
                words.next();
            }
            _ => bail!("`{word}` is not known here; usage: cargo xtask dist [--target T] [--once]"),
        }
    }
    let source = Source::here()?;
    let folder = shell::root().join("target/dist");
    for build in builds(target, Profile::Release)? {
        binary(&build, &source, &folder, compare)?;
        if build.is_native() {
            Image::files(&build, &build.binary(&folder), &folder)?;
            println!(
                "dist: the image: {}",
                shell::said(&Image::command(&source, &build, &folder))
            );
        }
    }
    Ok(())
}

/// Those of the targets that this machine can build for; says why it leaves out others.
pub(crate) fn builds(target: Option<&str>, profile: Profile) -> anyhow::Result<Vec<Build>> {
    if let Some(target) = target {
        return Ok(vec![Build::new(target, profile)?]);
    }
    let mut builds = Vec::new();
    for target in TARGETS {
        match Build::new(target, profile) {
            Ok(build) => builds.push(build),
            Err(why) => println!("dist: left out: {why:#}"),
        }
    }
    if builds.is_empty() {
        bail!("this machine can build for none of {}", TARGETS.join(", "));
    }
    Ok(builds)
}

/// The tags of this commit.
pub(crate) fn tags() -> Vec<String> {
    let list = source::git(&["tag", "--points-at", "HEAD"]).unwrap_or_default();
    list.lines().map(str::to_owned).collect()
}

/// Builds the program, checks that it is static, and puts it into its place.
pub(crate) fn binary(
    build: &Build,
    source: &Source,
    folder: &Path,
    compare: bool,
) -> anyhow::Result<PathBuf> {
    let made = build.run(source, &shell::root(), &shell::root().join("target"))?;
    if compare {
        build.compare(source, &made, folder)?;
    }
    Build::is_static(&made)?;
    let binary = build.binary(folder);
    if let Some(parent) = binary.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::copy(&made, &binary)?;
    println!(
        "dist: {} is static, {}",
        binary.display(),
        megabytes(std::fs::metadata(&binary)?.len())
    );
    Ok(binary)
}
