//! Who else may read or write the files that a configuration is read from.
//!
//! Modes alone are too strict: a secret of Kubernetes has mode 0644 and belongs to root, and a file
//! of mode 0644 in a folder that others cannot enter is private.

use rustix::{fs::OFlags, process::geteuid};
use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_ENTER: u32 = 0o001;
const GROUP_ENTERS: u32 = 0o010;

/// Opens a file that nobody has named: it has to be ours or root's, and nobody else may write it.
/// `Err` within says why it does not count; a folder of that name, such as a virtual environment of
/// Python, is no file.
pub(super) fn open_private(path: &Path) -> io::Result<Result<File, String>> {
    let link = path.symlink_metadata()?;
    // Without `NONBLOCK` a named pipe would hold up the start.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let found = file.metadata()?;
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let ours = geteuid().as_raw();
    let why = foreign(link.uid(), ours).or_else(|| not_private(&found, ours));
    Ok(why.map_or(Ok(file), Err))
}

fn not_private(found: &Metadata, ours: u32) -> Option<String> {
    if !found.is_file() {
        return Some("it is not a regular file".to_owned());
    }
    foreign(found.uid(), ours).or_else(|| {
        let writable = found.mode() & (OTHERS_WRITE | GROUP_WRITES) != 0;
        writable.then(|| {
            let mode = found.mode() & 0o7777;
            format!("others than its owner may write it (mode {mode:04o}); `chmod go-w` it")
        })
    })
}

fn foreign(owner: u32, ours: u32) -> Option<String> {
    (owner != ours && owner != 0).then(|| {
        format!(
            "it belongs to user {owner}; it must belong to root or to user {ours}, as which \
             elastauth runs"
        )
    })
}

/// What others may do with the configuration file, to be warned of. Root's group may write: that is
/// how images for arbitrary users are made. Whoever names a file answers for its owner; one that
/// was only found may be a trap.
pub(super) fn warning(path: &Path, named: bool) -> Option<String> {
    let found = path.metadata().ok().filter(Metadata::is_file)?;
    let mode = found.mode();
    let by_others = mode & OTHERS_WRITE != 0 && all_enter(path, OTHERS_ENTER);
    let by_group = mode & GROUP_WRITES != 0
        && found.gid() != 0
        && all_enter(path, GROUP_ENTERS | OTHERS_ENTER);
    if by_others || by_group {
        let mode = mode & 0o7777;
        return Some(format!(
            "others than its owner may write this file (mode {mode:04o}), and so decide who gets \
             in; `chmod go-w` it"
        ));
    }
    let why = foreign(found.uid(), geteuid().as_raw()).filter(|_| !named)?;
    Some(format!(
        "the file was found in the working directory, and {why}; name it with `--config` if it is \
         meant"
    ))
}

/// Whether every user of this machine can read a file that holds a secret.
pub(super) fn all_may_read(path: &Path) -> bool {
    let Ok(found) = path.metadata() else {
        return false;
    };
    found.is_file()
        && found.mode() & OTHERS_READ != 0
        && all_enter(path, OTHERS_ENTER)
        && !is_of_container(path, &found)
}

/// Whether everybody can enter each folder on the way to a file.
fn all_enter(path: &Path, who: u32) -> bool {
    let Ok(path) = path.canonicalize() else {
        return false;
    };
    let folders = path.ancestors().skip(1);
    folders
        .map(|folder| folder.metadata().map_or(0, |found| found.mode()))
        .all(|mode| mode & who != 0)
}

/// Whether an orchestrator has put a secret here for one container, where everybody is the program:
/// Kubernetes links it through `..data`, Docker and Podman use `/run/secrets`.
fn is_of_container(path: &Path, found: &Metadata) -> bool {
    let folder = path.parent();
    let by_kubernetes = folder.is_some_and(|folder| folder.join("..data").is_symlink());
    let in_secrets = path
        .canonicalize()
        .is_ok_and(|path| path.starts_with("/run/secrets"));
    in_secrets || (by_kubernetes && found.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt as _,
        path::PathBuf,
    };

    fn file(folder: &Path, mode: u32) -> PathBuf {
        let path = folder.join("file");
        fs::write(&path, "A=1").unwrap();
        set(&path, mode);
        path
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_private_file_is_ours_and_only_we_may_write_it() {
        let folder = tempfile::tempdir().unwrap();
        for (mode, good) in [(0o600, true), (0o644, true), (0o664, false), (0o602, false)] {
            let opened = open_private(&file(folder.path(), mode)).unwrap();
            assert_eq!(opened.is_ok(), good, "{mode:o}: {opened:?}");
        }
        assert!(foreign(1, 1).is_none() && foreign(0, 1).is_none() && foreign(2, 1).is_some());
        assert_eq!(
            open_private(folder.path()).unwrap_err().kind(),
            io::ErrorKind::IsADirectory
        );
    }

    #[test]
    fn a_named_pipe_is_no_file_and_holds_nothing_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let why = open_private(&path).unwrap().unwrap_err();
        assert!(why.contains("not a regular file"), "{why}");
        assert!(!all_may_read(&path));
    }

    #[test]
    fn a_folder_that_others_cannot_enter_makes_its_files_private() {
        let folder = tempfile::tempdir().unwrap();
        set(folder.path(), 0o700);
        let path = file(folder.path(), 0o666);
        assert!(!all_may_read(&path) && warning(&path, true).is_none());
        set(folder.path(), 0o755);
        assert!(all_may_read(&path));
        assert!(warning(&path, true).unwrap().contains("mode 0666"));
        set(&path, 0o640);
        assert!(!all_may_read(&path) && warning(&path, false).is_none());
    }

    #[test]
    fn a_secret_of_kubernetes_is_for_its_container_alone() {
        let folder = tempfile::tempdir().unwrap();
        set(folder.path(), 0o755);
        let path = file(folder.path(), 0o644);
        let found = path.metadata().unwrap();
        assert!(!is_of_container(&path, &found));
        std::os::unix::fs::symlink(folder.path(), folder.path().join("..data")).unwrap();
        assert_eq!(is_of_container(&path, &found), found.uid() == 0);
    }
}
