//! A folder that is ours alone. Whoever could put a link, a pipe or a file of their own into it
//! could make us write elsewhere, or not start.
//!
//! It is opened once and never again by its path, and every file is opened within it: neither can
//! be replaced under us. No link is followed, a named pipe is not waited for, and what is not a
//! regular file of ours is refused.

use rustix::{
    fs::{AtFlags, Mode, OFlags, fchmod, fsync, openat, renameat, unlinkat},
    process::geteuid,
};
use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

const NEVER_WAIT_OR_FOLLOW: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

#[derive(Debug)]
pub(super) struct Folder(File);

impl Folder {
    /// Makes it where it is missing, and makes it private where it is not.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // With a slash at its end a link would be followed.
        let path: PathBuf = path.components().collect();
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700);
        if let Some(parent) = path.parent() {
            builder.recursive(true).create(parent)?;
        }
        match builder.recursive(false).create(&path) {
            Err(why) if why.kind() != io::ErrorKind::AlreadyExists => return Err(why),
            Ok(()) | Err(_) => {}
        }
        if path.symlink_metadata()?.is_symlink() {
            return Err(io::Error::other(
                "it is a link; name the folder that it leads to",
            ));
        }
        let flags = NEVER_WAIT_OR_FOLLOW | OFlags::RDONLY | OFlags::DIRECTORY;
        let folder = File::from(rustix::fs::open(&path, flags, Mode::empty())?);
        let found = folder.metadata()?;
        let usable = is_ours(&found).and_then(|()| is_for_us_alone(&path, &found));
        usable.map_err(|why| {
            io::Error::other(format!(
                "{why}; name a folder within it, which elastauth makes"
            ))
        })?;
        make_private(&folder, &found, Mode::RWXU)?;
        Ok(Self(folder))
    }

    /// A file that is not there yet.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        self.open_file(
            name,
            OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL,
        )
    }

    pub(super) fn open_or_create(&self, name: &str) -> io::Result<File> {
        match self.create(name) {
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
                self.open_file(name, OFlags::RDWR)
            }
            created => created,
        }
    }

    /// A file that is there already, to be read.
    pub(super) fn read(&self, name: &str) -> io::Result<File> {
        self.open_file(name, OFlags::RDONLY)
    }

    pub(super) fn rename(&self, name: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.0, name, &self.0, to)?)
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Names last from now on, too.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.0)?)
    }

    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | NEVER_WAIT_OR_FOLLOW;
        let file = File::from(openat(&self.0, name, flags, Mode::RUSR | Mode::WUSR)?);
        let found = file.metadata()?;
        let refuse = |why: &str| Err(io::Error::other(format!("`{name}` {why}; remove it")));
        if !found.is_file() {
            return refuse("is not a regular file");
        }
        if found.nlink() != 1 {
            return refuse("has another name elsewhere");
        }
        if let Err(why) = is_ours(&found) {
            return refuse(&format!("is not ours: {why}"));
        }
        make_private(&file, &found, Mode::RUSR | Mode::WUSR)?;
        Ok(file)
    }
}

fn is_ours(found: &Metadata) -> Result<(), String> {
    let (owner, ours) = (found.uid(), geteuid().as_raw());
    if owner == ours {
        Ok(())
    } else {
        Err(format!(
            "it belongs to user {owner}, and elastauth runs as user {ours}"
        ))
    }
}

/// A folder that is made private must have no other use: root's `/tmp` would be lost to everybody.
fn is_for_us_alone(path: &Path, found: &Metadata) -> Result<(), String> {
    if !is_open(found) {
        return Ok(());
    }
    let is_of_others = |entry: fs::DirEntry| {
        let (name, found) = (entry.file_name(), entry.metadata());
        // The file system makes `lost+found`; what is wrong with a file of ours is told elsewhere.
        let is_expected = name == "lost+found" || name.as_encoded_bytes().starts_with(b"ledger");
        !is_expected && found.is_ok_and(|found| found.is_dir() || is_ours(&found).is_err())
    };
    let is_sticky = found.mode() & 0o1000 != 0;
    let mut entries = fs::read_dir(path).into_iter().flatten().flatten();
    if is_sticky || entries.any(is_of_others) {
        return Err(
            "others use it too, and elastauth would have to shut them out of it".to_owned(),
        );
    }
    Ok(())
}

fn is_open(found: &Metadata) -> bool {
    found.mode() & 0o077 != 0
}

fn make_private(file: &File, found: &Metadata, mode: Mode) -> io::Result<()> {
    if is_open(found) {
        fchmod(file, mode)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::Permissions,
        os::unix::fs::{PermissionsExt as _, symlink},
    };

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn folder_and_files_are_made_and_kept_private() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/b");
        let folder = Folder::open(&path).unwrap();
        folder.create("new").unwrap();
        assert_eq!((mode(&path), mode(&path.join("new"))), (0o700, 0o600));
        for (path, open) in [(&path, 0o777), (&path.join("new"), 0o666)] {
            fs::set_permissions(path, Permissions::from_mode(open)).unwrap();
        }
        let folder = Folder::open(&path).unwrap();
        folder.read("new").unwrap();
        assert_eq!((mode(&path), mode(&path.join("new"))), (0o700, 0o600));
        let again = folder.create("new").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_folder_with_another_use_is_refused_and_left_as_it_is() {
        for (open, inside, usable) in [
            (0o1777, None, false),
            (0o755, Some("of-others"), false),
            (0o755, Some("lost+found"), true),
            (0o700, Some("of-others"), true),
        ] {
            let home = tempfile::tempdir().unwrap();
            if let Some(name) = inside {
                fs::create_dir(home.path().join(name)).unwrap();
            }
            fs::set_permissions(home.path(), Permissions::from_mode(open)).unwrap();
            let opened = Folder::open(home.path());
            assert_eq!(opened.is_ok(), usable, "{open:o} {inside:?}: {opened:?}");
            assert_eq!(mode(home.path()) == open & 0o777, !usable || open == 0o700);
        }
    }

    #[test]
    fn no_link_is_followed() {
        let home = tempfile::tempdir().unwrap();
        let (elsewhere, link) = (home.path().join("elsewhere"), home.path().join("link"));
        fs::create_dir(&elsewhere).unwrap();
        symlink(&elsewhere, &link).unwrap();
        for path in [link.clone(), link.join(""), link.join(".")] {
            let why = Folder::open(&path).unwrap_err().to_string();
            assert!(why.contains("it is a link"), "{why}");
        }
        let folder = Folder::open(&elsewhere).unwrap();
        let target = home.path().join("target");
        symlink(&target, elsewhere.join("dangling")).unwrap();
        fs::write(&target, "").unwrap();
        symlink(&target, elsewhere.join("file")).unwrap();
        fs::hard_link(&target, elsewhere.join("hard")).unwrap();
        for name in ["dangling", "file", "hard"] {
            assert!(folder.read(name).is_err(), "{name}");
            assert!(folder.open_or_create(name).is_err(), "{name}");
        }
        assert_eq!(fs::read(&target).unwrap(), b"");
    }

    #[test]
    fn a_named_pipe_is_refused_and_not_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(home.path().join("pipe"))
            .status();
        assert!(made.unwrap().success());
        let folder = Folder::open(home.path()).unwrap();
        for opened in [folder.read("pipe"), folder.open_or_create("pipe")] {
            let why = opened.unwrap_err().to_string();
            assert!(why.contains("not a regular file"), "{why}");
        }
    }
}
