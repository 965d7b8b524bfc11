//! The links of all pages of the repository: each leads to a file, a folder or a heading that
//! exists. And the list of pages that the site shows, docs/SUMMARY.md, is complete.

use crate::shell;
use anyhow::{Context, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// The list of the site's pages, in their order.
pub(crate) const SUMMARY: &str = "docs/SUMMARY.md";

/// A page, and where it is in the repository.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// A link that does not leave the repository.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Link<'t> {
    pub(crate) line: usize,
    /// Relative to the page; empty for a heading of the page itself.
    pub(crate) file: &'t str,
    pub(crate) heading: Option<&'t str>,
}

/// `cargo xtask links`.
pub(crate) fn check() -> anyhow::Result<()> {
    let pages = pages()?;
    let mut faults = broken(&pages, &shell::root());
    faults.extend(missing_in_summary(&pages)?);
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    let links: usize = pages.iter().map(|page| links(&page.text).count()).sum();
    println!("links: {links} on {} pages lead somewhere", pages.len());
    Ok(())
}

/// All pages that git knows or would add.
pub(crate) fn pages() -> anyhow::Result<Vec<Page>> {
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(shell::root().join(&path))
            .with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Page { path, text })
    };
    shell::files(&["*.md"])?.into_iter().map(read).collect()
}

/// Where a link of this page leads, as a path in the repository.
pub(crate) fn target(page: &Path, link: &Link<'_>) -> Option<PathBuf> {
    if link.file.is_empty() {
        return Some(page.to_owned());
    }
    let mut path = page.parent()?.to_owned();
    for part in Path::new(link.file).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir if path.pop() => {}
            Component::CurDir => {}
            // Above the repository, or a path of some machine.
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

/// The links of a page, without those of its code.
pub(crate) fn links(text: &str) -> impl Iterator<Item = Link<'_>> {
    prose(text).flat_map(|(line, prose)| {
        // `[a](b)`; a label may begin on the line before.
        let links = prose.split("](").skip(1);
        links.filter_map(move |rest| {
            let (link, _) = rest.split_once(')')?;
            let (file, heading) = link
                .split_once('#')
                .map_or((link, None), |(file, heading)| (file, Some(heading)));
            let is_ours = !file.contains("://") && !file.starts_with("mailto:");
            is_ours.then_some(Link {
                line,
                file,
                heading,
            })
        })
    })
}

/// The parts of a page that are no code, with the numbers of their lines. A label that is code keeps
/// its link: ``[`name`](target)``.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let (mut fence, mut in_code) = (None, false);
    text.lines().enumerate().flat_map(move |(number, line)| {
        let begins = line.trim_start();
        let mark = begins.len() - begins.trim_start_matches('`').len();
        let (inside, is_fence) = (fence.is_some(), mark >= 3);
        match fence {
            None if is_fence => fence = Some(mark),
            Some(open) if mark >= open => fence = None,
            _ => {}
        }
        let is_prose = !inside && !is_fence;
        // Code within a line may end on the next one, but not after the paragraph.
        let skipped = usize::from(in_code && is_prose && !begins.is_empty());
        if is_prose {
            let marks = line.matches('`').count() + skipped;
            in_code = marks % 2 == 1;
        }
        let parts = is_prose.then(|| line.split('`').skip(skipped).step_by(2));
        parts
            .into_iter()
            .flatten()
            .map(move |part| (number + 1, part))
    })
}

/// The names by which the headings of a page are linked, as forges and the site's generator make
/// them.
pub(crate) fn headings(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut names = BTreeSet::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        let title = line.trim_start_matches('#');
        let is_heading = line.starts_with('#') && title.starts_with(' ');
        if in_code || !is_heading {
            continue;
        }
        let name = anchor(title.trim());
        let times = seen.entry(name.clone()).or_default();
        names.insert(if *times == 0 {
            name
        } else {
            format!("{name}-{times}")
        });
        *times += 1;
    }
    names
}

fn anchor(title: &str) -> String {
    // Of a link only its label is part of the name.
    let mut shown = String::new();
    let mut parts = title.split("](");
    shown.push_str(parts.next().unwrap_or_default());
    for part in parts {
        shown.push_str(part.split_once(')').map_or("", |(_, rest)| rest));
    }
    shown
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            _ => c.is_alphanumeric().then(|| c.to_ascii_lowercase()),
        })
        .collect()
}

fn broken(pages: &[Page], root: &Path) -> Vec<String> {
    let headings: BTreeMap<&Path, BTreeSet<String>> = pages
        .iter()
        .map(|page| (page.path.as_path(), headings(&page.text)))
        .collect();
    let mut faults = Vec::new();
    for page in pages {
        for link in links(&page.text) {
            let place = format!("{}:{}", page.path.display(), link.line);
            let Some(target) = target(&page.path, &link) else {
                faults.push(format!(
                    "{place}: {} is outside of the repository",
                    link.file
                ));
                continue;
            };
            if !root.join(&target).exists() {
                faults.push(format!("{place}: nothing is at {}", link.file));
                continue;
            }
            let Some(heading) = link.heading else {
                continue;
            };
            let is_there = headings
                .get(target.as_path())
                .is_some_and(|names| names.contains(heading));
            if !is_there {
                let page = target.display();
                faults.push(format!("{place}: {page} has no heading #{heading}"));
            }
        }
    }
    faults
}

/// Each page of docs/ is in the list once, and no other of docs/ is.
fn missing_in_summary(pages: &[Page]) -> anyhow::Result<Vec<String>> {
    let summary = pages.iter().find(|page| page.path == Path::new(SUMMARY));
    let summary = summary.with_context(|| format!("there is no {SUMMARY}"))?;
    let mut listed: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for link in links(&summary.text) {
        let target = target(&summary.path, &link).unwrap_or_default();
        *listed.entry(target).or_default() += 1;
    }
    let in_docs = pages.iter().map(|page| &page.path);
    let in_docs = in_docs.filter(|path| path.starts_with("docs") && *path != &summary.path);
    let missing = in_docs.filter(|path| !listed.contains_key(*path));
    let missing = missing.map(|path| format!("{SUMMARY} does not have {}", path.display()));
    let twice = listed.iter().filter(|(_, times)| **times > 1);
    let twice = twice.map(|(path, _)| format!("{SUMMARY} has {} twice", path.display()));
    Ok(missing.chain(twice).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_in_prose_alone() {
        let page = "See [a](../a.md#b), [c](https://c) and\n[the\n`d`](d/).\n\n\
                    ```\n[e](e)\n```\n`[f](f) and\n[f](f)` [`g`](#g)\n";
        let found: Vec<_> = links(page)
            .map(|link| (link.line, link.file, link.heading))
            .collect();
        assert_eq!(
            found,
            [
                (1, "../a.md", Some("b")),
                (3, "d/", None),
                (9, "", Some("g"))
            ]
        );
    }

    #[test]
    fn headings_have_the_names_that_forges_give_them() {
        let page = "# TLS and h2: `tls.yml`\n## A\n## A\n```\n# no\n```\n## [B](c.md) d_e-f\n#x\n";
        let expected = ["tls-and-h2-tlsyml", "a", "a-1", "b-d_e-f"];
        assert_eq!(headings(page), expected.map(str::to_owned).into());
    }

    #[test]
    fn each_broken_link_is_found() {
        let page = |path: &str, text: &str| Page {
            path: path.into(),
            text: text.to_owned(),
        };
        let pages = [
            page(
                "docs/oidc.md",
                "# A\n[b](../README.md#b) [c](../../c) [d](d.yml) [e](#e)",
            ),
            page("README.md", "# Readme\n[docs](docs/)"),
        ];
        let root = shell::root();
        assert_eq!(
            broken(&pages, &root),
            [
                "docs/oidc.md:2: README.md has no heading #b",
                "docs/oidc.md:2: ../../c is outside of the repository",
                "docs/oidc.md:2: nothing is at d.yml",
                "docs/oidc.md:2: docs/oidc.md has no heading #e",
            ]
        );
    }

    #[test]
    fn a_page_that_the_summary_does_not_have_is_found() {
        let page = |path: &str, text: &str| Page {
            path: path.into(),
            text: text.to_owned(),
        };
        let mut pages = vec![
            page(SUMMARY, "- [A](a.md)\n- [A](a.md)\n- [R](../README.md)"),
            page("docs/a.md", ""),
            page("docs/b/c.md", ""),
            page("README.md", ""),
        ];
        assert_eq!(
            missing_in_summary(&pages).unwrap(),
            [
                "docs/SUMMARY.md does not have docs/b/c.md",
                "docs/SUMMARY.md has docs/a.md twice"
            ]
        );
        pages.remove(0);
        assert!(missing_in_summary(&pages).is_err());
    }
}
