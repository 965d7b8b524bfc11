//! The finished site: each link in it leads to a file and a heading of the site, and a browser gets
//! nothing from elsewhere. Only an ordinary link may lead out.

use anyhow::{Context, bail};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// In the scripts of mdBook, for a button that no page of ours has.
const UNUSED: (&str, &str) = ("https://play.rust-lang.org", "class=\"playground\"");

/// The number of its pages.
pub(super) fn check(site: &Path) -> anyhow::Result<usize> {
    let files = files(site)?;
    let mut pages = BTreeMap::new();
    let mut faults = Vec::new();
    for file in &files {
        let read = || std::fs::read_to_string(site.join(file));
        let found = match file.extension().and_then(|end| end.to_str()) {
            Some("html") => {
                let text = read()?;
                if text.contains(UNUSED.1) {
                    faults.push(format!("{}: code for {}", file.display(), UNUSED.0));
                }
                pages.insert(file.as_path(), Page::of(&text));
                Vec::new()
            }
            Some("css") => outside_of_style(&read()?),
            // The index of the search has the text of all pages.
            Some("js") if !file.to_string_lossy().starts_with("searchindex") => {
                outside_of_script(&read()?)
            }
            _ => Vec::new(),
        };
        faults.extend(
            found
                .iter()
                .map(|what| format!("{}: {what}", file.display())),
        );
    }
    for (path, page) in &pages {
        let place = path.display();
        faults.extend(page.foreign().map(|what| format!("{place}: loads {what}")));
        for link in page.links() {
            if let Err(why) = leads_somewhere(path, link, &files, &pages) {
                faults.push(format!("{place}: {why}"));
            }
        }
    }
    let index = index(site, &files)?;
    let is_listed = |page: &&&Path| index.contains(&page.display().to_string());
    // The table of contents for browsers without scripts, and the first page once more.
    let searched = pages
        .keys()
        .filter(|page| !["toc.html", "index.html"].contains(&&*page.to_string_lossy()));
    let missing = searched.filter(|page| !is_listed(page));
    faults.extend(missing.map(|page| format!("{}: the search does not know it", page.display())));
    if !faults.is_empty() {
        bail!("{}:\n{}", site.display(), faults.join("\n"));
    }
    Ok(pages.len())
}

/// What the search looks into.
fn index(site: &Path, files: &BTreeSet<PathBuf>) -> anyhow::Result<String> {
    let is_index = |file: &&PathBuf| file.to_string_lossy().starts_with("searchindex");
    let index = files.iter().find(is_index);
    let index = index.context("the site has no index to search in")?;
    Ok(std::fs::read_to_string(site.join(index))?)
}

/// All files of the site, by their path in it.
fn files(site: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let (mut files, mut folders) = (BTreeSet::new(), vec![site.to_owned()]);
    while let Some(folder) = folders.pop() {
        let list = std::fs::read_dir(&folder);
        for entry in list.with_context(|| format!("cannot list {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(site)?.to_owned());
            }
        }
    }
    Ok(files)
}

/// What a page refers to, and what others may refer to.
struct Page {
    /// Name of the element, attribute, address.
    addresses: Vec<(String, String, String)>,
    ids: BTreeSet<String>,
}

impl Page {
    fn of(text: &str) -> Self {
        let (mut addresses, mut ids) = (Vec::new(), BTreeSet::new());
        for element in text.split('<').skip(1) {
            let element = element.split('>').next().unwrap_or_default();
            let name = element.split_whitespace().next().unwrap_or_default();
            // `a href="b" id="c"` is cut to `a href=`, `b`, ` id=`, `c`.
            let mut parts = element.split('"');
            while let (Some(before), Some(value)) = (parts.next(), parts.next()) {
                let attribute = before.trim_end_matches('=');
                let attribute = attribute
                    .rsplit(char::is_whitespace)
                    .next()
                    .unwrap_or_default();
                match attribute {
                    "id" => {
                        ids.insert(value.to_owned());
                    }
                    "href" | "src" | "srcset" | "poster" | "data" | "action" => {
                        addresses.push((name.to_owned(), attribute.to_owned(), value.to_owned()));
                    }
                    _ => {}
                }
            }
        }
        Self { addresses, ids }
    }

    /// What a browser would get from elsewhere, without a click.
    fn foreign(&self) -> impl Iterator<Item = &str> {
        let loaded = self.addresses.iter().filter(|(name, _, _)| name != "a");
        loaded
            .map(|(_, _, address)| address.as_str())
            .filter(|address| is_foreign(address))
    }

    /// What is to be in the site.
    fn links(&self) -> impl Iterator<Item = &str> {
        let addresses = self.addresses.iter();
        let addresses = addresses.map(|(_, _, address)| address.as_str());
        addresses.filter(|address| !is_foreign(address) && !address.starts_with("data:"))
    }
}

fn is_foreign(address: &str) -> bool {
    address.contains("://") || address.starts_with("//")
}

fn leads_somewhere(
    from: &Path,
    link: &str,
    files: &BTreeSet<PathBuf>,
    pages: &BTreeMap<&Path, Page>,
) -> Result<(), String> {
    let (file, heading) = link
        .split_once('#')
        .map_or((link, None), |(file, heading)| (file, Some(heading)));
    let mut target = from.to_owned();
    if !file.is_empty() {
        target.pop();
        for part in file.split('/') {
            match part {
                "." => {}
                ".." => {
                    target.pop();
                }
                name => target.push(name),
            }
        }
    }
    if !files.contains(&target) {
        return Err(format!("nothing is at {link}"));
    }
    let page = pages.get(target.as_path());
    match heading.filter(|heading| !heading.is_empty()) {
        Some(heading) if !page.is_some_and(|page| page.ids.contains(heading)) => {
            Err(format!("no heading at {link}"))
        }
        _ => Ok(()),
    }
}

/// What a style sheet loads from elsewhere.
fn outside_of_style(text: &str) -> Vec<String> {
    let urls = text.split("url(").skip(1);
    let urls = urls.filter_map(|rest| rest.split(')').next());
    let loaded = urls.map(|url| url.trim_matches(['"', '\'', ' ']));
    let foreign = loaded.filter(|url| is_foreign(url) && !url.starts_with("data:"));
    let mut found: Vec<String> = foreign.map(|url| format!("loads {url}")).collect();
    if without_comments(text).contains("@import") {
        found.push("imports another style".to_owned());
    }
    found
}

/// Addresses elsewhere that a script could ask.
fn outside_of_script(text: &str) -> Vec<String> {
    let code = without_comments(text);
    let addresses = code.match_indices("://").map(|(at, _)| {
        let begin = code.get(..at).unwrap_or_default();
        let scheme = begin.len() - begin.trim_end_matches(char::is_alphanumeric).len();
        let rest = code.get(at - scheme..).unwrap_or_default();
        rest.split(['"', '\'', '`', ' ', '\n'])
            .next()
            .unwrap_or_default()
    });
    // `"://"` alone is a part of the site's own address.
    let unknown =
        addresses.filter(|address| !address.starts_with("://") && !address.starts_with(UNUSED.0));
    unknown.map(|address| format!("knows {address}")).collect()
}

/// Code without the comments that fill a line or more.
fn without_comments(text: &str) -> String {
    let mut parts = text.split("/*");
    let mut code = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        code.push_str(part.split_once("*/").map_or("", |(_, rest)| rest));
    }
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_ordinary_link_leads_out() {
        let page = Page::of(
            "<a class=\"x\" href=\"https://a/\">a</a><img src=\"//b/c.png\"><link rel=\"icon\" \
             href=\"https://d/e.css\"><script src=\"f.js\"></script>",
        );
        assert_eq!(
            page.foreign().collect::<Vec<_>>(),
            ["//b/c.png", "https://d/e.css"]
        );
        assert_eq!(page.links().collect::<Vec<_>>(), ["f.js"]);
        assert_eq!(
            outside_of_style("a{b:url('https://c/d')}e{f:url(\"../g\")}"),
            ["loads https://c/d"]
        );
        assert_eq!(
            outside_of_script("/*! https://a */\n  // https://b\nfetch(\"https://c/d\");"),
            ["knows https://c/d"]
        );
    }

    #[test]
    fn a_link_leads_to_a_file_and_a_heading_of_the_site() {
        let files = BTreeSet::from(["a/b.html", "c.html", "d.yml"].map(PathBuf::from));
        let target = Page::of("<h1 id=\"e\">");
        let pages = BTreeMap::from([(Path::new("c.html"), target)]);
        let from = Path::new("a/b.html");
        let leads = |link: &str| leads_somewhere(from, link, &files, &pages);
        assert_eq!(leads("../c.html#e"), Ok(()));
        assert_eq!(leads("../d.yml"), Ok(()));
        assert!(leads("../c.html#f").is_err());
        assert!(leads("d.yml").is_err());
        assert!(leads("../d.yml#e").is_err());
    }
}
