//! The image: its files, and how buildah makes it of them.

use super::{
    build::{Build, Profile},
    licences,
    source::Source,
};
use crate::{shell, tools::Tool};
use anyhow::{Context, ensure};
use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// Where Debian's package `ca-certificates` puts all authorities.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The most that an image may take on disk, in bytes.
const MOST: u64 = 25_000_000;

/// Builds images without a daemon and without rights beyond those of a build.
pub(crate) const BUILDAH: Tool = Tool {
    probe: &["buildah", "--version"],
    package: "buildah",
    purpose: "builds the image",
};

/// Images in a folder of their own.
#[derive(Debug)]
pub(crate) struct Image {
    /// The folder of artifacts.
    folder: PathBuf,
    pub(crate) name: String,
}

impl Image {
    /// Puts together what the last stage copies.
    pub(crate) fn files(build: &Build, binary: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
        let root = folder.join("image");
        let _ = std::fs::remove_dir_all(&root);
        let authorities = std::fs::read(AUTHORITIES).with_context(|| {
            format!("{AUTHORITIES} is missing; install the package ca-certificates")
        })?;
        let licences = licences::of(build)?;
        let files = [
            ("usr/bin/elastauth", std::fs::read(binary)?, 0o755),
            (AUTHORITIES.trim_start_matches('/'), authorities, 0o644),
            ("etc/passwd", USERS.into(), 0o644),
            ("etc/group", "elastauth:x:65532:\n".into(), 0o644),
            (
                "usr/share/doc/elastauth/LICENSE",
                std::fs::read(shell::root().join("LICENSE"))?,
                0o644,
            ),
            (
                "usr/share/doc/elastauth/THIRD-PARTY",
                licences.into_bytes(),
                0o644,
            ),
        ];
        for (name, content, mode) in files {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().context("a folder")?)?;
            std::fs::write(&path, content)?;
            std::fs::set_permissions(&path, Permissions::from_mode(mode))?;
        }
        Ok(root)
    }

    /// What builds the image of those files.
    pub(crate) fn command(source: &Source, build: &Build, folder: &Path) -> Command {
        let mut buildah = Self::buildah(folder);
        buildah.args([
            "build",
            "--quiet",
            "--isolation",
            "chroot",
            "--format",
            "docker",
        ]);
        buildah.args(["--arch", build.architecture()]);
        buildah.args(["--timestamp", &source.epoch.to_string()]);
        for (name, value) in [
            ("BINARY", "ready"),
            ("VERSION", source.version.as_str()),
            ("REVISION", source.commit.as_deref().unwrap_or("unknown")),
        ] {
            buildah.args(["--build-arg", &format!("{name}={value}")]);
        }
        buildah.args(["--tag", &Self::tag(source)]);
        buildah
            .arg("--file")
            .arg(shell::root().join("Containerfile"));
        buildah.arg(folder);
        buildah
    }

    /// Builds it, and checks and prints its size.
    pub(crate) fn build(source: &Source, build: &Build, folder: &Path) -> anyhow::Result<Self> {
        shell::run(&mut Self::command(source, build, folder))?;
        let size = size(&folder.join("image"))?;
        println!(
            "image: {}, {} on disk (at most {})",
            Self::tag(source),
            megabytes(size),
            megabytes(MOST)
        );
        ensure!(
            size <= MOST || build.profile == Profile::Checks,
            "the image has become too large"
        );
        Ok(Self::made(source, folder))
    }

    /// The one that was built in this folder before.
    pub(crate) fn made(source: &Source, folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            name: Self::tag(source),
        }
    }

    /// Copies its root file system into a folder of this name, and says how it is configured.
    pub(crate) fn unpack(&self, to: &Path) -> anyhow::Result<()> {
        let buildah = || Self::buildah(&self.folder);
        let container = shell::output(buildah().args(["from", &self.name]))?;
        let mounted = shell::output(buildah().args(["mount", &container]))?;
        let _ = std::fs::remove_dir_all(to);
        shell::run(shell::command("cp", &["--archive", &mounted]).arg(to))?;
        shell::output(buildah().args(["rm", &container])).map(drop)
    }

    /// A value of its configuration, by a template of Go.
    pub(crate) fn about(&self, template: &str) -> anyhow::Result<String> {
        let mut inspect = Self::buildah(&self.folder);
        inspect.args(["inspect", "--type", "image", "--format", template]);
        shell::output(inspect.arg(&self.name))
    }

    /// Writes it as a file that `docker load` and `podman load` take.
    pub(crate) fn save(&self, to: &Path) -> anyhow::Result<()> {
        let _ = std::fs::remove_file(to);
        let place = format!("docker-archive:{}:{}", to.display(), self.name);
        let mut push = Self::buildah(&self.folder);
        shell::run(push.args(["push", "--quiet", &self.name, &place]))
    }

    fn tag(source: &Source) -> String {
        format!("elastauth:{}", source.version)
    }

    /// With everything that it keeps below our folder. `vfs` needs no file system of its own.
    fn buildah(folder: &Path) -> Command {
        let mut buildah = shell::command("buildah", &["--storage-driver", "vfs"]);
        buildah
            .arg("--root")
            .arg(folder.join("images"))
            .arg("--runroot")
            .arg(folder.join("images-run"));
        buildah
    }
}

const USERS: &str = "elastauth:x:65532:65532:elastauth:/nonexistent:/sbin/nologin\n";

/// Bytes of all files.
fn size(folder: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        sum += if about.is_dir() {
            size(&entry.path())?
        } else {
            about.len()
        };
    }
    Ok(sum)
}

/// For people.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
