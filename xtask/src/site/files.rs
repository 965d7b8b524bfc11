//! A page for each folder that a page links to, with the content of its files: a site has no
//! folders, and browsers save such files instead of showing them.

use crate::{
    links::{self, Page},
    shell,
};
use anyhow::Context;
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::{Path, PathBuf},
};

/// The pages of these folders and of those in them.
pub(super) fn pages(folders: &BTreeSet<PathBuf>) -> anyhow::Result<Vec<Page>> {
    let all = shell::files(&[])?;
    let is_shown = |folder: &Path| folders.iter().any(|shown| folder.starts_with(shown));
    let parents = all.iter().flat_map(|file| file.ancestors().skip(1));
    let shown: BTreeSet<&Path> = parents.filter(|folder| is_shown(folder)).collect();
    let page = |folder: &&Path| {
        let text = page(folder, &all, &shown)?;
        let path = folder.join("index.md");
        Ok(Page { path, text })
    };
    shown.iter().map(page).collect()
}

fn page(folder: &Path, all: &[PathBuf], shown: &BTreeSet<&Path>) -> anyhow::Result<String> {
    let mut text = format!("# Files in {}\n\n", folder.display());
    for below in shown.iter().filter(|one| one.parent() == Some(folder)) {
        let name = name(below)?;
        writeln!(text, "- [{name}/]({name}/index.md)")?;
    }
    let files = || all.iter().filter(|file| file.parent() == Some(folder));
    let is_page = |file: &&PathBuf| file.extension().is_some_and(|end| end == "md");
    for file in files().filter(is_page) {
        let name = name(file)?;
        writeln!(text, "- [{name}]({name})")?;
    }
    for file in files().filter(|file| !is_page(file)) {
        let name = name(file)?;
        let content = std::fs::read_to_string(shell::root().join(file))
            .with_context(|| format!("cannot read {}", file.display()))?;
        let fence = fence(&content);
        let language = language(file);
        let content = content.trim_end();
        write!(
            text,
            "\n## {name}\n\n[The file itself]({name})\n\n{fence}{language}\n{content}\n{fence}\n"
        )?;
    }
    Ok(text)
}

impl Page {
    /// The files of its folder that it links to.
    pub(super) fn links(&self) -> anyhow::Result<Vec<PathBuf>> {
        let targets = links::links(&self.text).map(|link| {
            let target = links::target(&self.path, &link);
            target.with_context(|| format!("{}: {}", self.path.display(), link.file))
        });
        let is_page = |file: &PathBuf| file.extension().is_some_and(|end| end == "md");
        let files = targets.filter(|target| !target.as_ref().is_ok_and(is_page));
        files.collect()
    }
}

fn name(path: &Path) -> anyhow::Result<String> {
    let name = path.file_name().context("a name")?;
    Ok(name.to_string_lossy().into_owned())
}

/// Longer than any in the content.
fn fence(content: &str) -> String {
    let longest = content
        .split(|c| c != '`')
        .map(str::len)
        .max()
        .unwrap_or_default();
    "`".repeat(longest.max(2) + 1)
}

/// What mdBook calls the language of a file, for its colours.
fn language(file: &Path) -> &str {
    match file.extension().and_then(|end| end.to_str()) {
        Some("yml" | "yaml") => "yaml",
        Some("conf") => "nginx",
        Some("sh") => "bash",
        Some("json") => "json",
        Some("lua") => "lua",
        _ => "text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_with_a_fence_does_not_end_its_block() {
        assert_eq!(fence("a `b` c"), "```");
        assert_eq!(fence("a\n```\nb\n```\n"), "````");
    }

    #[test]
    fn each_folder_that_is_linked_and_those_in_it_have_a_page() {
        let pages = pages(&["deploy/compose".into()].into()).unwrap();
        let paths: Vec<_> = pages
            .iter()
            .map(|page| page.path.to_str().unwrap())
            .collect();
        let expected = [
            "deploy/compose/authelia/index.md",
            "deploy/compose/index.md",
            "deploy/compose/proxy/index.md",
        ];
        assert_eq!(BTreeSet::from_iter(paths), expected.into());
        let page = &pages[0].text;
        assert!(
            page.contains("- [authelia/](authelia/index.md)\n"),
            "{page}"
        );
        assert!(page.contains("\n## compose.yml\n"), "{page}");
    }
}
