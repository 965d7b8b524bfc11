//! What is built: version, commit, date. The version is written in Cargo.toml and nowhere else.

use crate::shell;
use anyhow::Context;

/// The sources in this folder.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) version: String,
    /// The first one of the package.
    pub(crate) author: String,
    /// The whole hash, or nothing outside a clone.
    pub(crate) commit: Option<String>,
    /// Whether files differ from the commit.
    pub(crate) changed: bool,
    /// Seconds since 1970: `SOURCE_DATE_EPOCH`, else when the commit was made. All artifacts have
    /// this date, so that the same commit gives the same bytes.
    pub(crate) epoch: u64,
    /// The same as `2026-11-30`.
    pub(crate) date: String,
}

impl Source {
    /// Asks git.
    pub(crate) fn here() -> anyhow::Result<Self> {
        let manifest = std::fs::read_to_string(shell::root().join("Cargo.toml"))?;
        let commit = git(&["rev-parse", "HEAD"]);
        let given = shell::variable("SOURCE_DATE_EPOCH").and_then(|text| text.into_string().ok());
        let epoch = given.or_else(|| git(&["log", "-1", "--format=%ct"]));
        let epoch = epoch.unwrap_or_else(|| "0".to_owned());
        let day = format!("@{epoch}");
        let date = shell::output(&mut shell::command("date", &["-u", "-d", &day, "+%F"]))?;
        Ok(Self {
            version: of_package(&manifest, "version = \"").context("Cargo.toml has no version")?,
            author: of_package(&manifest, "authors = [\"").context("Cargo.toml has no authors")?,
            changed: git(&["status", "--porcelain"]).is_some_and(|list| !list.is_empty()),
            commit,
            epoch: epoch.parse().context("SOURCE_DATE_EPOCH is no number")?,
            date,
        })
    }

    /// What `elastauth --version` adds to the version.
    pub(crate) fn stamp(&self) -> String {
        let Some(commit) = &self.commit else {
            return self.date.clone();
        };
        let short = commit.get(..12).unwrap_or(commit);
        let changed = if self.changed { " with changes" } else { "" };
        format!("commit {short}{changed}, {}", self.date)
    }
}

/// What follows these words in the package `elastauth`, up to the next quote.
fn of_package(manifest: &str, words: &str) -> Option<String> {
    let (_, package) = manifest.split_once("\n[package]\n")?;
    let rest = package.lines().find_map(|line| line.strip_prefix(words))?;
    rest.split_once('"').map(|(value, _)| value.to_owned())
}

/// What git answers, or nothing where there is no git or no clone.
pub(crate) fn git(arguments: &[&str]) -> Option<String> {
    shell::output(&mut shell::command("git", arguments)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_and_author_are_those_of_the_package() {
        let manifest = "[workspace]\nversion = \"1\"\n\n[package]\nname = \"x\"\nversion = \"3.0.0-a\"\n\
             authors = [\"A <a@b>\", \"C\"]\n";
        let found = |words| of_package(manifest, words);
        assert_eq!(found("version = \"").as_deref(), Some("3.0.0-a"));
        assert_eq!(found("authors = [\"").as_deref(), Some("A <a@b>"));
        assert_eq!(of_package("[package]", "version = \""), None);
    }

    #[test]
    fn a_stamp_says_when_the_commit_is_not_the_whole_truth() {
        let mut source = Source {
            version: "1".to_owned(),
            author: "A".to_owned(),
            commit: Some("0123456789abcdef".to_owned()),
            changed: false,
            epoch: 0,
            date: "1970-01-01".to_owned(),
        };
        assert_eq!(source.stamp(), "commit 0123456789ab, 1970-01-01");
        source.changed = true;
        assert_eq!(
            source.stamp(),
            "commit 0123456789ab with changes, 1970-01-01"
        );
        source.commit = None;
        assert_eq!(source.stamp(), "1970-01-01");
    }
}
