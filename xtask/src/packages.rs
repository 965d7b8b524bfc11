//! Release, image, unit and package, made and tried as administrators use them. The program is
//! compiled for the checks and not for speed; all else is what a release has.

mod cluster;
mod container;
mod package;
mod signed;
mod unit;

use crate::{
    dist::{BUILDAH, Build, Deb, Image, Profile, Source},
    release::{MINISIGN, Release},
    shell,
    tools::{self, Tool, is_root},
};
use anyhow::{Context, ensure};
use std::path::Path;

const TOOLS: &[Tool] = &[
    BUILDAH,
    MINISIGN,
    unit::ANALYZE,
    Tool {
        probe: &["ip", "-V"],
        package: "iproute2",
        purpose: "gives a network of its own to each check",
    },
];

/// All checks.
pub(crate) fn run() -> anyhow::Result<()> {
    let tools = TOOLS.iter().chain(package::TOOLS);
    let missing: Vec<&Tool> = tools.filter(|tool| !tool.is_there()).collect();
    tools::install("packages", &missing)?;
    unit::check()?;
    let source = Source::here()?;
    let work = shell::root().join("target/packages");
    let release = Release {
        source: &source,
        profile: Profile::Checks,
        key: Some(signed::key(&work)?),
        work: work.clone(),
        compare: true,
    };
    signed::check(&release.make(&work.join("release"))?, &work)?;

    let build = Build::native(Profile::Checks)?;
    names_its_commit(&build.binary(&work), &source)?;
    let image = Image::made(&source, &work);
    container::is_configured(&image)?;
    if !is_root() {
        println!(
            "note: only root can start the image here and install the package; neither was tried"
        );
        return Ok(());
    }
    image.unpack(&work.join("root"))?;
    container::check(&work.join("root"))?;
    let deb = |suffix| Deb {
        source: &source,
        build: &build,
        folder: &work,
        suffix,
    };
    package::check(&work, &deb("").make()?, &deb("+second").make()?)
}

/// The part of the checks that runs in a network of its own: `cargo xtask packages inside ROOT`.
pub(crate) fn inside(root: &Path) -> anyhow::Result<()> {
    container::inside(root)
}

fn names_its_commit(binary: &Path, source: &Source) -> anyhow::Result<()> {
    let said = shell::output(shell::command(&binary.to_string_lossy(), &["--version"]).env_clear())
        .context("the static binary does not start")?;
    let wanted = format!("elastauth {} ({})", source.version, source.stamp());
    ensure!(said == wanted, "it says `{said}` and not `{wanted}`");
    println!("packages: {said}");
    Ok(())
}
