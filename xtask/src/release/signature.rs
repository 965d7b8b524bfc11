//! The signature of the checksums, by minisign: a key in a file, and a verification that needs no
//! network and no trust in anybody else.

use crate::{shell, tools::Tool};
use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};

pub(crate) const MINISIGN: Tool = Tool {
    probe: &["minisign", "-v"],
    package: "minisign",
    purpose: "signs the checksums",
};

const SUMS: &str = "SHA256SUMS";

/// Signs the checksums in this folder, and verifies what it has signed. The public key is beside the
/// secret one, as `minisign -G` makes it: `elastauth.key` and `elastauth.pub`.
pub(super) fn sign(key: &Path, version: &str, folder: &Path) -> anyhow::Result<()> {
    let public = public(key);
    ensure!(
        public.is_file(),
        "there is no public key {} beside the secret one",
        public.display()
    );
    let comment = format!("elastauth {version}");
    let mut sign = shell::command("minisign", &["-S", "-t", &comment, "-m", SUMS, "-s"]);
    shell::run(sign.arg(absolute(key)?).current_dir(folder))?;
    verify(folder, &public)
}

/// Checks signature and checksums as somebody does who has downloaded all files.
pub(crate) fn verify(folder: &Path, public: &Path) -> anyhow::Result<()> {
    let mut minisign = shell::command("minisign", &["-V", "-m", SUMS, "-p"]);
    minisign.arg(absolute(public)?).current_dir(folder);
    shell::output(&mut minisign).context("the signature does not belong to the checksums")?;
    let mut check = shell::command("sha256sum", &["--check", "--quiet", "--strict", SUMS]);
    shell::output(check.current_dir(folder)).context("a file is not the one that was signed")?;
    println!("release: signature and checksums are good");
    Ok(())
}

fn public(key: &Path) -> PathBuf {
    key.with_extension("pub")
}

/// The command runs in another folder.
fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("{}", path.display()))
}
