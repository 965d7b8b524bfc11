//! One static build of the program, and the same again in another folder: reproducible means that
//! both are the same bytes.

use super::source::Source;
use crate::shell;
use anyhow::{Context, bail, ensure};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Host names are resolved by /etc/hosts and DNS, which are in the binary, and by nothing else.
///
/// A static glibc loads the modules that /etc/nsswitch.conf names (`resolve`, `myhostname`) from the
/// machine, with that machine's glibc: on Debian 13 a binary of Debian 12 died of it. So the function
/// that loads them is replaced by one that returns 0, which for glibc means that a module is not
/// installed, and the next one of the list is asked. This one returns 0 whatever it is given.
const WITHOUT_MODULES: [&str; 3] = [
    "-Clink-arg=-Wl,--wrap=__libc_dlopen_mode",
    "-Clink-arg=-Wl,--defsym=__wrap___libc_dlopen_mode=pthread_mutexattr_destroy",
    "-Clink-arg=-Wl,--undefined=pthread_mutexattr_destroy",
];

/// How much the compiler does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// What is shipped: about five minutes on two cores.
    Release,
    /// For the checks of `cargo xtask test`. Build scripts and macros are those of the tests.
    Checks,
}

/// A static build for one target.
#[derive(Debug, Clone)]
pub(crate) struct Build {
    pub(crate) target: String,
    pub(super) profile: Profile,
}

impl Build {
    /// Fails where this machine cannot build for the target, and says what is missing.
    pub(crate) fn new(target: &str, profile: Profile) -> anyhow::Result<Self> {
        let folder = shell::output(&mut shell::command(
            "rustc",
            &["--print", "target-libdir", "--target", target],
        ))
        .with_context(|| format!("rustc does not know the target {target}"))?;
        ensure!(
            Path::new(&folder).is_dir(),
            "{target}: its standard library is not installed; `rustup target add {target}`"
        );
        let build = Self {
            target: target.to_owned(),
            profile,
        };
        if !build.is_native() {
            let linker = build.cross("gcc");
            ensure!(
                shell::succeeds(&mut shell::command(&linker, &["--version"])),
                "{target}: there is no {linker}; on Debian: apt install gcc-{}",
                linker.trim_end_matches("-gcc")
            );
        }
        Ok(build)
    }

    /// For this machine.
    pub(crate) fn native(profile: Profile) -> anyhow::Result<Self> {
        let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        Self::new(&target, profile)
    }

    /// Whether its programs run here.
    pub(crate) fn is_native(&self) -> bool {
        self.target.starts_with(std::env::consts::ARCH)
    }

    /// The name that Debian and images have for the processor.
    pub(crate) fn architecture(&self) -> &str {
        match self.target.split('-').next() {
            Some("x86_64") => "amd64",
            Some("aarch64") => "arm64",
            other => other.unwrap_or_default(),
        }
    }

    /// Where the binary is in a folder of artifacts.
    pub(crate) fn binary(&self, folder: &Path) -> PathBuf {
        folder.join(&self.target).join("elastauth")
    }

    /// A tool of the cross compiler.
    fn cross(&self, tool: &str) -> String {
        let processor = self.target.split('-').next().unwrap_or_default();
        format!("{processor}-linux-gnu-{tool}")
    }

    /// Builds the sources in `root`; the binary.
    pub(crate) fn run(
        &self,
        source: &Source,
        root: &Path,
        target: &Path,
    ) -> anyhow::Result<PathBuf> {
        let mut cargo = shell::command("cargo", &["rustc", "--locked", "--bin", "elastauth"]);
        cargo.args(["--target", &self.target]);
        let folder = match self.profile {
            Profile::Release => "release",
            Profile::Checks => "debug",
        };
        if self.profile == Profile::Release {
            cargo.arg("--release");
        }
        cargo.current_dir(root);
        if self.target.ends_with("-gnu") {
            cargo.arg("--").args(WITHOUT_MODULES);
        }
        self.environment(&mut cargo, source, root, target)?;
        println!("dist: {} in {}", shell::said(&cargo), root.display());
        shell::run(&mut cargo)?;
        Ok(target.join(&self.target).join(folder).join("elastauth"))
    }

    /// No path of this machine may be in the binary: panics and C's assertions name source files.
    fn environment(
        &self,
        cargo: &mut Command,
        source: &Source,
        root: &Path,
        target: &Path,
    ) -> anyhow::Result<()> {
        let home = cargo_home()?;
        let mut flags = vec![
            "-Ctarget-feature=+crt-static".to_owned(),
            "-Cstrip=symbols".to_owned(),
        ];
        if self.profile == Profile::Checks {
            // By flags: settings of the profile would build macros and build scripts once more.
            flags.extend(["-Cdebuginfo=0", "-Copt-level=0"].map(str::to_owned));
        }
        let mut c_flags = Vec::new();
        // The last one that fits counts: `target` may be below the sources.
        for (path, name) in [
            (home.as_path(), "/cargo"),
            (root, "/elastauth"),
            (target, "/target"),
        ] {
            let path = path.display();
            flags.push(format!("--remap-path-prefix={path}={name}"));
            c_flags.push(format!("-ffile-prefix-map={path}={name}"));
        }
        let variable = self.target.replace('-', "_");
        if !self.is_native() {
            let linker = format!("CARGO_TARGET_{}_LINKER", variable.to_uppercase());
            cargo.env(linker, self.cross("gcc"));
            cargo.env(format!("CC_{variable}"), self.cross("gcc"));
        }
        cargo
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
            .env(format!("CFLAGS_{variable}"), c_flags.join(" "))
            .env("CARGO_TARGET_DIR", target)
            .env("SOURCE_DATE_EPOCH", source.epoch.to_string())
            .env("ELASTAUTH_BUILD", source.stamp());
        Ok(())
    }

    /// Builds a copy of the sources in another folder and compares.
    pub(crate) fn compare(
        &self,
        source: &Source,
        first: &Path,
        folder: &Path,
    ) -> anyhow::Result<()> {
        let again = folder.join("again");
        let _ = std::fs::remove_dir_all(&again);
        let copy = again.join("elsewhere");
        copy_sources(&copy)?;
        let second = self.run(source, &copy, &again.join("target"))?;
        let (first, second) = (std::fs::read(first)?, std::fs::read(second)?);
        if first != second {
            let place = first.iter().zip(&second).position(|(a, b)| a != b);
            bail!(
                "two builds of {} differ: {} and {} bytes, the first difference at byte {}; the \
                 second one is in {}",
                self.target,
                first.len(),
                second.len(),
                place.map_or_else(|| "none".to_owned(), |place| place.to_string()),
                again.display()
            );
        }
        std::fs::remove_dir_all(&again)?;
        println!("dist: two builds in two folders are the same bytes");
        Ok(())
    }

    /// Nothing of the system is loaded when it starts.
    pub(crate) fn is_static(binary: &Path) -> anyhow::Result<()> {
        let headers = shell::output(
            shell::command("readelf", &["--program-headers", "--dynamic"])
                .arg(binary)
                .env("LC_ALL", "C"),
        )?;
        ensure!(
            !headers.contains("INTERP") && !headers.contains("(NEEDED)"),
            "{} is not static:\n{headers}",
            binary.display()
        );
        Ok(())
    }
}

pub(super) fn cargo_home() -> anyhow::Result<PathBuf> {
    let home = shell::variable("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .context("there is no home folder; set CARGO_HOME")
}

fn copy_sources(to: &Path) -> anyhow::Result<()> {
    for file in shell::files(&[])? {
        let (from, to) = (shell::root().join(&file), to.join(&file));
        std::fs::create_dir_all(to.parent().context("a folder")?)?;
        std::fs::copy(&from, &to).with_context(|| format!("cannot copy {}", file.display()))?;
    }
    Ok(())
}
