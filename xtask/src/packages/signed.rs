//! The release as somebody checks it who has downloaded it, with a key made for this check.

use crate::{release::verify, shell};
use anyhow::ensure;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Makes a key without a password.
pub(super) fn key(work: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(work)?;
    let key = work.join("check.key");
    let mut make = shell::command("minisign", &["-G", "-f", "-W", "-s"]);
    make.arg(&key).arg("-p").arg(key.with_extension("pub"));
    shell::output(&mut make)?;
    Ok(key)
}

/// All files are there, and neither a changed file nor a changed list passes.
pub(super) fn check(folder: &Path, work: &Path) -> anyhow::Result<()> {
    let public = work.join("check.pub");
    let sums = folder.join("SHA256SUMS");
    let list = fs::read_to_string(&sums)?;
    for kind in [".tar.gz", ".deb", ".image.tar", ".cdx.json"] {
        ensure!(
            list.lines().any(|line| line.ends_with(kind)),
            "SHA256SUMS has no {kind}:\n{list}"
        );
    }
    verify(folder, &public)?;
    fs::write(&sums, list.replacen('0', "1", 1))?;
    ensure!(verify(folder, &public).is_err(), "a changed list passes");
    fs::write(&sums, &list)?;
    let file = list.split_whitespace().nth(1).unwrap_or_default();
    let path = folder.join(file);
    let content = fs::read(&path)?;
    fs::write(&path, b"something else")?;
    ensure!(verify(folder, &public).is_err(), "a changed {file} passes");
    fs::write(&path, content)?;
    verify(folder, &public)
}
