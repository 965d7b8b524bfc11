//! What mdBook reads: the pages that docs/SUMMARY.md lists and the files that they link to, each at
//! its path in the repository, so that links stay as they are.

use super::files;
use crate::{
    links::{self, Page, SUMMARY},
    shell,
};
use anyhow::{Context, ensure};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// Puts all into an empty folder.
pub(super) fn make(folder: &Path) -> anyhow::Result<()> {
    let _ = fs::remove_dir_all(folder);
    let pages_folder = folder.join("pages");
    let all = links::pages()?;
    let summary = all.iter().find(|page| page.path == Path::new(SUMMARY));
    let summary = summary.with_context(|| format!("there is no {SUMMARY}"))?;
    let listed: BTreeSet<PathBuf> = links::links(&summary.text)
        .filter_map(|link| links::target(&summary.path, &link))
        .collect();

    let (mut copied, mut folders) = (BTreeSet::new(), BTreeSet::new());
    for page in all.iter().filter(|page| listed.contains(&page.path)) {
        let mut text = page.text.clone();
        for link in links::links(&page.text) {
            let place = || format!("{}:{}", page.path.display(), link.line);
            let target = links::target(&page.path, &link).with_context(place)?;
            if shell::root().join(&target).is_dir() {
                let page = format!("{}/index.md", link.file.trim_end_matches('/'));
                text = text.replace(&format!("]({})", link.file), &format!("]({page})"));
                folders.insert(target);
            } else if target.extension().is_some_and(|end| end == "md") {
                let is_there = listed.contains(&target);
                ensure!(
                    is_there,
                    "{}: {SUMMARY} lacks {}",
                    place(),
                    target.display()
                );
            } else {
                copied.insert(target);
            }
        }
        write(&pages_folder.join(&page.path), &text)?;
    }
    let shown = files::pages(&folders)?;
    for page in &shown {
        write(&pages_folder.join(&page.path), &page.text)?;
        copied.extend(page.links()?);
    }
    for file in copied {
        let to = pages_folder.join(&file);
        fs::create_dir_all(to.parent().context("a folder")?)?;
        fs::copy(shell::root().join(&file), &to)
            .with_context(|| format!("cannot copy {}", file.display()))?;
    }
    write(&pages_folder.join("SUMMARY.md"), &table(summary, &shown)?)?;
    write(&folder.join("theme/head.hbs"), include_str!("head.hbs"))?;
    write(&folder.join("book.toml"), include_str!("book.toml"))
}

/// The list as mdBook reads it: its paths begin at the top, and the pages of files come last.
fn table(summary: &Page, shown: &[Page]) -> anyhow::Result<String> {
    let mut table = summary.text.clone();
    for link in links::links(&summary.text) {
        let target = links::target(&summary.path, &link).context("a page of the summary")?;
        let target = format!("]({})", target.display());
        table = table.replace(&format!("]({})", link.file), &target);
    }
    table.push_str("\n# Files\n\n");
    for page in shown {
        let folder = page.path.parent().unwrap_or(&page.path).display();
        writeln!(table, "- [{folder}]({})", page.path.display())?;
    }
    Ok(table)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::create_dir_all(path.parent().context("a folder")?)?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
