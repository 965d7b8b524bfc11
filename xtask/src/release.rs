//! `cargo xtask release`: everything that is published, in one folder. It publishes nothing itself;
//! RELEASING.md says what a person does before and after.
//!
//! | file | what it is |
//! |---|---|
//! | `elastauth-VERSION-TARGET.tar.gz` | the program, the unit, an example configuration, all licences |
//! | `elastauth_VERSION_ARCHITECTURE.deb` | the Debian package |
//! | `elastauth-VERSION-ARCHITECTURE.image.tar` | the image, for `docker load` and `podman load` |
//! | `elastauth-VERSION-TARGET.cdx.json` | the list of all libraries (`CycloneDX`) |
//! | `SHA256SUMS`, `SHA256SUMS.minisig` | their checksums, and the signature of these |

mod archive;
mod sbom;
mod signature;

pub(crate) use signature::{MINISIGN, verify};

use crate::{
    dist::{self, BUILDAH, Deb, Image, Profile, Source},
    shell,
    tools::{self, Tool},
};
use anyhow::{bail, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What is released, and how.
#[derive(Debug)]
pub(crate) struct Release<'a> {
    pub(crate) source: &'a Source,
    pub(crate) profile: Profile,
    /// The secret key of the releaser.
    pub(crate) key: Option<PathBuf>,
    /// Where binaries and images are made.
    pub(crate) work: PathBuf,
    /// Whether each binary is built twice.
    pub(crate) compare: bool,
}

/// `--key FILE` releases a tagged commit; `--dry-run` makes the same of any sources.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let (mut key, mut dry) = (None, false);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match (*word, words.as_slice()) {
            ("--dry-run", _) => dry = true,
            ("--key", [file, ..]) => {
                key = Some(PathBuf::from(file));
                words.next();
            }
            _ => bail!("usage: cargo xtask release --key FILE | --dry-run [--key FILE]"),
        }
    }
    let source = Source::here()?;
    if !dry {
        let changes = fs::read_to_string(shell::root().join("CHANGELOG.md"))?;
        if let Some(why) = refusal(&source, &dist::tags(), &changes, key.is_some()) {
            bail!("{why}; `--dry-run` makes all files without a release");
        }
    }
    let tools = [BUILDAH, MINISIGN];
    let missing: Vec<&Tool> = tools.iter().filter(|tool| !tool.is_there()).collect();
    tools::install("release", &missing)?;
    let release = Release {
        source: &source,
        profile: Profile::Release,
        key,
        work: shell::root().join("target/dist"),
        compare: true,
    };
    let folder = release.make(&shell::root().join("target/release-files"))?;
    println!(
        "release: {} is complete; RELEASING.md goes on",
        folder.display()
    );
    Ok(())
}

/// Why these sources are no release.
fn refusal(source: &Source, tags: &[String], changes: &str, signed: bool) -> Option<String> {
    let tag = format!("v{}", source.version);
    let section = format!("## {} ", source.version);
    if source.commit.is_none() {
        Some("this is no clone of the repository".to_owned())
    } else if source.changed {
        Some("there are files that differ from the commit (`git status`)".to_owned())
    } else if !tags.contains(&tag) {
        Some(format!(
            "this commit has no tag {tag} (Cargo.toml has the version {})",
            source.version
        ))
    } else if !changes.lines().any(|line| line.starts_with(&section)) {
        Some(format!("CHANGELOG.md has no section `{section}DATE`"))
    } else if !signed {
        Some("a release is signed: name your secret key with `--key`".to_owned())
    } else {
        None
    }
}

impl Release<'_> {
    /// Makes all files in a folder below `parent`; that folder.
    pub(crate) fn make(&self, parent: &Path) -> anyhow::Result<PathBuf> {
        let version = &self.source.version;
        let folder = parent.join(version);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        for build in dist::builds(None, self.profile)? {
            let binary = dist::binary(&build, self.source, &self.work, self.compare)?;
            archive::make(self.source, &build, &binary, &folder)?;
            sbom::make(self.source, &build, &folder)?;
            if !build.is_native() {
                println!(
                    "release: image and package of {} are made there",
                    build.target
                );
                continue;
            }
            Image::files(&build, &binary, &self.work)?;
            let image = Image::build(self.source, &build, &self.work)?;
            let name = format!("elastauth-{version}-{}.image.tar", build.architecture());
            image.save(&folder.join(name))?;
            let deb = Deb {
                source: self.source,
                build: &build,
                folder: &self.work,
                suffix: "",
            };
            let deb = deb.make()?;
            fs::copy(&deb, folder.join(deb.file_name().unwrap_or_default()))?;
        }
        checksums(&folder)?;
        match &self.key {
            Some(key) => signature::sign(key, version, &folder)?,
            None => println!("release: not signed, as there is no `--key`"),
        }
        Ok(folder)
    }
}

fn checksums(folder: &Path) -> anyhow::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name());
    }
    names.sort();
    let mut sum = shell::command("sha256sum", &["--"]);
    let sums = shell::output(sum.args(&names).current_dir(folder))?;
    ensure!(!names.is_empty(), "there is nothing to release");
    fs::write(folder.join("SHA256SUMS"), format!("{sums}\n"))?;
    println!("{sums}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clean_tagged_commit_with_its_changes_and_a_key_is_released() {
        let mut source = Source {
            version: "3.0.0".to_owned(),
            author: "A".to_owned(),
            commit: Some("0123456789abcdef".to_owned()),
            changed: false,
            epoch: 0,
            date: "2026-11-30".to_owned(),
        };
        let (tags, changes) = (
            ["v3.0.0".to_owned()],
            "# Changes\n\n## 3.0.0 (2026-11-30)\n",
        );
        assert_eq!(refusal(&source, &tags, changes, true), None);
        let refused =
            |source: &Source, tags: &[String], changes: &str, signed: bool, word: &str| {
                let why = refusal(source, tags, changes, signed).unwrap_or_default();
                assert!(why.contains(word), "{why}");
            };
        refused(
            &source,
            &["v2.0.0".to_owned()],
            changes,
            true,
            "no tag v3.0.0",
        );
        refused(
            &source,
            &tags,
            "## Unreleased (3.0.0)\n",
            true,
            "CHANGELOG.md",
        );
        refused(&source, &tags, changes, false, "--key");
        source.changed = true;
        refused(&source, &tags, changes, true, "git status");
        source.commit = None;
        refused(&source, &tags, changes, true, "no clone");
    }
}
