//! The package in a Debian with systemd as its first process, which has no network but its own.

use crate::{shell, tools::Tool};
use anyhow::{Context, ensure};
use std::{fs, path::Path};

pub(super) const TOOLS: &[Tool] = &[
    Tool {
        probe: &["mmdebstrap", "--version"],
        package: "mmdebstrap",
        purpose: "makes a Debian to install the package in",
    },
    Tool {
        probe: &["systemd-nspawn", "--version"],
        package: "systemd-container",
        purpose: "starts that Debian",
    },
];

/// What the package is installed on.
const SUITE: &str = "bookworm";

/// Runs tests/kits/package/inside.sh with these two packages.
pub(super) fn check(folder: &Path, first: &Path, second: &Path) -> anyhow::Result<()> {
    let system = debian(folder)?;
    let (kit, result) = (folder.join("check"), folder.join("result"));
    for path in [&kit, &result] {
        let _ = fs::remove_dir_all(path);
        fs::create_dir_all(path)?;
    }
    let kits = shell::root().join("tests/kits/package");
    let standin = shell::root().join("target/debug/examples/standin");
    let guide = shell::root().join("docs/deployment/bare-metal.md");
    for (from, to) in [
        (first, "first.deb"),
        (second, "second.deb"),
        (&standin, "standin"),
        (&kits.join("inside.sh"), "inside.sh"),
        (&guide, "bare-metal.md"),
    ] {
        fs::copy(from, kit.join(to)).with_context(|| format!("cannot copy {to}"))?;
    }
    let mut container = shell::command(
        "systemd-nspawn",
        &[
            "--quiet",
            "--boot",
            "--register=no",
            "--keep-unit",
            "--private-network",
            // What it writes is gone at its end.
            "--volatile=overlay",
            "--console=pipe",
            "--link-journal=no",
        ],
    );
    container
        .arg(format!("--machine=elastauth-{}", std::process::id()))
        .arg(format!("--directory={}", system.display()))
        .arg(format!("--bind-ro={}:/check", kit.display()))
        .arg(format!("--bind={}:/result", result.display()))
        .arg(format!(
            "--bind-ro={}:/etc/systemd/system/check.service",
            kits.join("check.service").display()
        ))
        // Words after the options are for systemd in the container, as on a kernel's command line.
        .arg("systemd.wants=check.service");
    let ended = container.stdin(std::process::Stdio::null()).output()?;
    let log = fs::read_to_string(result.join("log")).unwrap_or_default();
    ensure!(
        log.lines().last() == Some("ok"),
        "the checks in the container failed:\n{log}\n{}{}",
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr)
    );
    for line in log.lines().filter_map(|line| line.strip_prefix("== ")) {
        println!("package: {line}: ok");
    }
    Ok(())
}

/// A small Debian, made once.
fn debian(folder: &Path) -> anyhow::Result<std::path::PathBuf> {
    let system = folder.join(format!("debian-{SUITE}"));
    if !system.is_dir() {
        println!("packages: making a Debian, half a minute");
        let half = folder.join("debian-half");
        let _ = fs::remove_dir_all(&half);
        let mut make = shell::command("mmdebstrap", &["--quiet", "--variant=minbase"]);
        make.args(["--include=systemd,systemd-sysv", SUITE]);
        shell::run(make.arg(&half))?;
        fs::rename(&half, &system)?;
    }
    Ok(system)
}
