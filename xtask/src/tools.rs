//! Programs that only the system's package manager brings.

use crate::shell;
use anyhow::{Context, bail};
use std::{fs, path::PathBuf};

/// One of them.
pub(crate) struct Tool {
    /// Succeeds where the tool is there.
    pub(crate) probe: &'static [&'static str],
    /// Its Debian package.
    pub(crate) package: &'static str,
    /// What needs it.
    pub(crate) purpose: &'static str,
}

impl Tool {
    pub(crate) fn is_there(&self) -> bool {
        let [program, arguments @ ..] = self.probe else {
            return false;
        };
        shell::succeeds(&mut shell::command(program, arguments))
    }
}

/// Whether we are root.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self")
        .is_ok_and(|about| std::os::unix::fs::MetadataExt::uid(&about) == 0)
}

/// Installs the packages of these tools; `who` is for the messages.
pub(crate) fn install(who: &str, missing: &[&Tool]) -> anyhow::Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    for tool in missing {
        println!(
            "{who}: the system lacks {} ({})",
            tool.package, tool.purpose
        );
    }
    let install = format!(
        "apt-get update && apt-get install -y --no-install-recommends {}",
        packages.join(" ")
    );
    let has_apt = shell::succeeds(&mut shell::command("apt-get", &["--version"]));
    if !has_apt {
        bail!(
            "install what provides {} with this system's package manager, then try again",
            packages.join(", ")
        );
    }
    let mut command = if is_root() {
        shell::command("sh", &["-c", &install])
    } else if shell::succeeds(&mut shell::command("sudo", &["-n", "true"])) {
        shell::command(
            "sudo",
            &[
                "-n",
                "DEBIAN_FRONTEND=noninteractive",
                "RUNLEVEL=1",
                "sh",
                "-c",
                &install,
            ],
        )
    } else {
        bail!("paste this line, then try again:\n    sudo sh -c '{install}'");
    };
    println!(
        "{who}: installing them as system packages: {}",
        shell::said(&command)
    );
    // Debian starts what it installs. RUNLEVEL=1 keeps an nginx from taking this machine's port 80.
    let quietly = [("DEBIAN_FRONTEND", "noninteractive"), ("RUNLEVEL", "1")];
    shell::run(command.envs(quietly))
}

/// A program that cargo installs (`NAME@VERSION`, with further arguments of `cargo install`), built
/// once into `target/tools`.
pub(crate) fn cargo(package: &str, further: &[&str]) -> anyhow::Result<PathBuf> {
    let tools = shell::root().join("target/tools");
    let (name, version) = package.split_once('@').context("NAME@VERSION")?;
    let program = tools.join("bin").join(name);
    // Its own version is printed in many forms.
    let stamp = tools.join(format!("{name}.stamp"));
    let made = fs::read_to_string(&stamp).is_ok_and(|made| made == version);
    if !made || !program.is_file() {
        // A debug build: it takes half of the time to make and works as well.
        println!("building {package} once, one or two minutes");
        let _ = fs::remove_file(&stamp);
        let mut install = shell::command(
            "cargo",
            &[
                "install", "--quiet", "--locked", "--debug", "--force", package, "--root",
            ],
        );
        let build = tools.join(format!("build-{name}"));
        install.arg(&tools).args(further);
        shell::run(install.env("CARGO_TARGET_DIR", &build))?;
        let _ = fs::remove_dir_all(build);
        fs::write(stamp, version)?;
    }
    Ok(program)
}
