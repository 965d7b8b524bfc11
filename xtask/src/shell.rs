//! Running other programs from the project's root.

use anyhow::{Context, bail};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_owned()
}

/// A program that will run in the project's root.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    if let Some(scratch) = scratch() {
        command.env("TMPDIR", scratch);
    }
    command
}

/// Where programs put their temporary files: below `target`, so that one that was killed leaves
/// nothing elsewhere. It is removed at the end ([`clear`]).
///
/// There is none where the path is so long that sockets in it (108 bytes) would have no place.
fn scratch() -> Option<&'static Path> {
    static SCRATCH: OnceLock<Option<PathBuf>> = OnceLock::new();
    const LONGEST: usize = 70;
    let made = SCRATCH.get_or_init(|| {
        let folder = root().join(format!("target/scratch/{}", std::process::id()));
        let fits = folder.as_os_str().len() <= LONGEST;
        (fits && std::fs::create_dir_all(&folder).is_ok()).then_some(folder)
    });
    made.as_deref()
}

/// Removes the temporary files of the programs that were run.
pub(crate) fn clear() {
    let Some(scratch) = scratch() else { return };
    let _ = std::fs::remove_dir_all(scratch);
    // Only where no other run has its own.
    let _ = scratch.parent().map(std::fs::remove_dir);
}

/// What keeps Java's own temporary files in this folder: it does not look at `TMPDIR`, and writes
/// a file for each process into `/tmp`.
pub(crate) fn java_options(temporary: &Path) -> String {
    format!(
        "-XX:-UsePerfData -Djava.io.tmpdir={0} -Djna.tmpdir={0}",
        temporary.display()
    )
}

/// Runs to the end, with our terminal.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let said = said(command);
    let status = command
        .status()
        .with_context(|| format!("`{said}` could not be started"))?;
    if !status.success() {
        bail!("`{said}` failed ({status})");
    }
    Ok(())
}

/// What it writes to its output, without blanks at the ends.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let said = said(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("`{said}` could not be started"))?;
    if !output.status.success() {
        bail!(
            "`{said}` failed ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The files that git knows or would add and that fit a pattern, or all; in one order.
pub(crate) fn files(patterns: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let list = ["ls-files", "-z", "--cached", "--others"];
    let mut git = command("git", &list);
    let list = output(git.arg("--exclude-standard").args(patterns))?;
    let known: BTreeSet<PathBuf> = list.split('\0').map(PathBuf::from).collect();
    // One that was deleted is known until the next commit.
    let is_there = |file: &PathBuf| root().join(file).is_file();
    Ok(known.into_iter().filter(is_there).collect())
}

/// Whether it runs and succeeds, quietly.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A variable of our environment.
#[expect(
    clippy::disallowed_methods,
    reason = "the ban is for the program; a chore follows the conventions of the tools that it runs"
)]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The command as one would type it.
pub(crate) fn said(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
