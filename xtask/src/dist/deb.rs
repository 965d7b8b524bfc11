//! The Debian package. Its parts are in deploy/deb and deploy/systemd; `dpkg-deb`, which every Debian
//! has, puts them together.

use super::{build::Build, licences, source::Source};
use crate::shell;
use anyhow::{Context, ensure};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Where each file of the sources goes.
const FILES: &[(&str, &str)] = &[
    ("deploy/deb/config.yml", "etc/elastauth/config.yml"),
    (
        "deploy/systemd/elastauth.service",
        "usr/lib/systemd/system/elastauth.service",
    ),
    // Not enabled: whoever wants it does that.
    (
        "deploy/systemd/elastauth.socket",
        "usr/lib/systemd/system/elastauth.socket",
    ),
    (
        "deploy/systemd/elastauth.sysusers",
        "usr/lib/sysusers.d/elastauth.conf",
    ),
    (
        "elastauth.example.yml",
        "usr/share/doc/elastauth/elastauth.example.yml",
    ),
    ("deploy/deb/copyright", "usr/share/doc/elastauth/copyright"),
];

/// What the program itself prints.
const PRINTED: &[(&[&str], &str)] = &[
    (&["man"], "usr/share/man/man1/elastauth.1"),
    (
        &["completions", "bash"],
        "usr/share/bash-completion/completions/elastauth",
    ),
    (
        &["completions", "zsh"],
        "usr/share/zsh/vendor-completions/_elastauth",
    ),
    (
        &["completions", "fish"],
        "usr/share/fish/vendor_completions.d/elastauth.fish",
    ),
];

const SCRIPTS: &[&str] = &["postinst", "prerm", "postrm"];

/// A package.
#[derive(Debug)]
pub(crate) struct Deb<'a> {
    pub(crate) source: &'a Source,
    pub(crate) build: &'a Build,
    /// The folder of artifacts.
    pub(crate) folder: &'a Path,
    /// What the checks add to the version, to have a later one.
    pub(crate) suffix: &'a str,
}

impl Deb<'_> {
    /// Makes it; the file.
    pub(crate) fn make(&self) -> anyhow::Result<PathBuf> {
        let tree = self.folder.join("deb");
        let _ = fs::remove_dir_all(&tree);
        self.tree(&tree)?;
        let name = format!(
            "elastauth_{}_{}.deb",
            self.version(),
            self.build.architecture()
        );
        let file = self.folder.join(name);
        // With this date in all files the same commit gives the same package.
        let mut pack = shell::command("dpkg-deb", &["--root-owner-group", "--build"]);
        pack.arg(&tree).arg(&file);
        shell::output(pack.env("SOURCE_DATE_EPOCH", self.source.epoch.to_string()))?;
        fs::remove_dir_all(&tree)?;
        println!(
            "deb: {}, {}",
            file.display(),
            super::image::megabytes(fs::metadata(&file)?.len())
        );
        Ok(file)
    }

    /// `~` sorts before the release itself, as `-alpha` does for Cargo.
    fn version(&self) -> String {
        format!("{}{}", self.source.version.replace('-', "~"), self.suffix)
    }

    fn tree(&self, tree: &Path) -> anyhow::Result<()> {
        let root = shell::root();
        let binary = self.build.binary(self.folder);
        put(tree, "usr/bin/elastauth", &fs::read(&binary)?, 0o755)?;
        for (from, to) in FILES {
            let content =
                fs::read(root.join(from)).with_context(|| format!("cannot read {from}"))?;
            put(tree, to, &content, 0o644)?;
        }
        ensure!(
            self.build.is_native(),
            "the package of {} is made where its program runs: it prints its own manual",
            self.build.target
        );
        for (arguments, to) in PRINTED {
            let printed = shell::output(&mut shell::command(&binary.to_string_lossy(), arguments))?;
            put(tree, to, format!("{printed}\n").as_bytes(), 0o644)?;
        }
        if !self.suffix.is_empty() {
            // A later version of the package has another default configuration.
            let config = tree.join("etc/elastauth/config.yml");
            let changed = fs::read_to_string(&config)? + "# Of a later version.\n";
            fs::write(config, changed)?;
        }
        let licences = licences::of(self.build)?;
        put(
            tree,
            "usr/share/doc/elastauth/THIRD-PARTY",
            licences.as_bytes(),
            0o644,
        )?;
        let changes = fs::read(root.join("CHANGELOG.md"))?;
        put(tree, "usr/share/doc/elastauth/changelog", &changes, 0o644)?;
        for name in [
            "usr/share/man/man1/elastauth.1",
            "usr/share/doc/elastauth/changelog",
            "usr/share/doc/elastauth/THIRD-PARTY",
        ] {
            shell::run(shell::command("gzip", &["-9", "--no-name"]).arg(tree.join(name)))?;
        }
        self.about(tree)
    }

    /// What dpkg reads.
    fn about(&self, tree: &Path) -> anyhow::Result<()> {
        let files = files(tree)?;
        let mut bytes = 0;
        for file in &files {
            bytes += fs::metadata(tree.join(file))?.len();
        }
        let control = fs::read_to_string(shell::root().join("deploy/deb/control"))?
            .replace("@VERSION@", &self.version())
            .replace("@MAINTAINER@", &self.source.author)
            .replace("@ARCHITECTURE@", self.build.architecture())
            .replace("@SIZE@", &bytes.div_ceil(1_024).to_string());
        put(tree, "DEBIAN/control", control.as_bytes(), 0o644)?;
        let kept = files.iter().filter(|file| file.starts_with("etc/"));
        let kept = kept.fold(String::new(), |list, file| format!("{list}/{file}\n"));
        put(tree, "DEBIAN/conffiles", kept.as_bytes(), 0o644)?;
        let mut sum = shell::command("md5sum", &[]);
        let sums = shell::output(sum.args(&files).current_dir(tree))?;
        put(
            tree,
            "DEBIAN/md5sums",
            format!("{sums}\n").as_bytes(),
            0o644,
        )?;
        for script in SCRIPTS {
            let content = fs::read(shell::root().join("deploy/deb").join(script))?;
            put(tree, &format!("DEBIAN/{script}"), &content, 0o755)?;
        }
        Ok(())
    }
}

/// Writes a file with this mode, and its folders, whatever the umask is.
fn put(tree: &Path, name: &str, content: &[u8], mode: u32) -> anyhow::Result<()> {
    let path = tree.join(name);
    let folder = path.parent().context("a folder")?;
    fs::create_dir_all(folder)?;
    for folder in folder
        .ancestors()
        .take_while(|folder| folder.starts_with(tree))
    {
        fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    }
    fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(&path, Permissions::from_mode(mode))?;
    Ok(())
}

/// All files below a folder by their path in it, in one order.
fn files(tree: &Path) -> anyhow::Result<Vec<String>> {
    let found = shell::output(
        shell::command("find", &[".", "-type", "f", "-not", "-path", "./DEBIAN/*"])
            .current_dir(tree),
    )?;
    let mut files: Vec<String> = found
        .lines()
        .map(|file| file.trim_start_matches("./").to_owned())
        .collect();
    files.sort();
    Ok(files)
}
