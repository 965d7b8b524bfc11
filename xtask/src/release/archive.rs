//! The program for whoever wants neither image nor package.

use crate::{
    dist::{Build, Source, licences},
    shell,
};
use anyhow::Context;
use std::{fs, path::Path};

/// What is in it beside the program.
const FILES: &[&str] = &[
    "LICENSE",
    "CHANGELOG.md",
    "elastauth.example.yml",
    "deploy/systemd/elastauth.service",
    "deploy/systemd/elastauth.socket",
    "deploy/systemd/elastauth.sysusers",
];

/// Makes `elastauth-VERSION-TARGET.tar.gz` in the folder.
pub(super) fn make(
    source: &Source,
    build: &Build,
    binary: &Path,
    folder: &Path,
) -> anyhow::Result<()> {
    let name = format!("elastauth-{}-{}", source.version, build.target);
    let tree = folder.join(&name);
    fs::create_dir_all(&tree)?;
    fs::copy(binary, tree.join("elastauth"))?;
    for file in FILES {
        let to = Path::new(file).file_name().context("a name")?;
        fs::copy(shell::root().join(file), tree.join(to))?;
    }
    fs::write(tree.join("THIRD-PARTY"), licences::of(build)?)?;
    // One order, one owner, one date: the same commit gives the same archive.
    let mut tar = shell::command("tar", &["--create", "--sort=name", "--numeric-owner"]);
    tar.args(["--owner=0", "--group=0", "--mode=go-w"]);
    tar.arg(format!("--mtime=@{}", source.epoch));
    tar.args(["--use-compress-program", "gzip -9n", "--file"]);
    tar.arg(folder.join(format!("{name}.tar.gz")));
    shell::run(tar.arg("--directory").arg(folder).arg(&name))?;
    Ok(fs::remove_dir_all(tree)?)
}
