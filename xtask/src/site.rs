//! `cargo xtask site`: docs/ and the pages beside it as a site, made by mdBook. It needs nothing from
//! elsewhere: it can be read without a network, and no other server learns who reads it.
//!
//! mdBook is a tool and no dependency: what xtask is linked with stays small, and the licence of
//! mdBook (MPL-2.0) concerns no file of ours.

mod files;
mod output;
mod staged;

use crate::{links, shell, tools};
use anyhow::ensure;

/// Pinned, as a newer one may write other pages.
const MDBOOK: &str = "mdbook@0.5.4";

/// Without the server for authors.
const FEATURES: &[&str] = &["--no-default-features", "--features", "search"];

/// Makes and checks it.
pub(crate) fn run() -> anyhow::Result<()> {
    links::check()?;
    let mdbook = tools::cargo(MDBOOK, FEATURES)?;
    let source = shell::root().join("target/site-source");
    let site = shell::root().join("target/site");
    staged::make(&source)?;
    let mut build = shell::command(&mdbook.to_string_lossy(), &["build"]);
    let ended = build.arg(&source).output()?;
    let said = String::from_utf8_lossy(&ended.stderr);
    // A warning is about a page that readers would see broken.
    let is_good = ended.status.success() && !said.contains("WARN");
    ensure!(is_good, "mdBook says:\n{said}");
    std::fs::remove_dir_all(&source)?;
    let pages = output::check(&site)?;
    println!(
        "site: {pages} pages, nothing from elsewhere; open {}",
        site.join("index.html").display()
    );
    Ok(())
}
