//! The file of a unix socket: made with its mode, replaced where it is left over from an earlier
//! run of ours, and removed at the end.

use super::types::UnixSocket;
use futures_util::FutureExt as _;
use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};
use tokio::net::UnixListener;

/// A file that we have made. Dropped, it is removed, unless another has its name by then.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
}

pub(super) fn bind(socket: &UnixSocket, backlog: u32) -> io::Result<(UnixListener, SocketFile)> {
    match make(socket, backlog) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(&socket.path)?;
            make(socket, backlog)
        }
        made => made,
    }
}

fn make(socket: &UnixSocket, backlog: u32) -> io::Result<(UnixListener, SocketFile)> {
    let UnixSocket { path, mode } = socket;
    let unbound = tokio::net::UnixSocket::new_stream()?;
    unbound.bind(path)?;
    let found = path.symlink_metadata()?;
    let file = SocketFile {
        path: path.clone(),
        file: (found.dev(), found.ino()),
    };
    // Nobody can connect before `listen`, so nobody does with another mode.
    fs::set_permissions(path, Permissions::from_mode(*mode))?;
    Ok((unbound.listen(backlog)?, file))
}

/// Removes a socket that a process of ours has left behind. Everything else stays: whoever named
/// the path of something else did not mean to lose it.
fn remove_stale(path: &Path) -> io::Result<()> {
    let found = path.symlink_metadata()?;
    if !found.file_type().is_socket() {
        return Err(io::Error::other(
            "the file exists and is no socket; remove it, or choose another path",
        ));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(
            "the socket belongs to another user; remove it, or choose another path",
        ));
    }
    // A unix socket answers at once or has a full queue. In both cases somebody listens.
    let connected = tokio::net::UnixSocket::new_stream()?
        .connect(path)
        .now_or_never();
    match connected {
        Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path)
        }
        Some(_) | None => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process listens on the socket",
        )),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = |found: fs::Metadata| (found.dev(), found.ino()) == self.file;
        if self.path.symlink_metadata().is_ok_and(is_ours) {
            // What cannot be removed is replaced at the next start.
            let _next_start = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The address of a socket has 108 bytes, and `TMPDIR` may be longer.
    fn short_folder() -> tempfile::TempDir {
        tempfile::tempdir_in("/tmp").unwrap()
    }

    fn socket(folder: &Path, mode: u32) -> UnixSocket {
        UnixSocket {
            path: folder.join("elastauth.sock"),
            mode,
        }
    }

    #[tokio::test]
    async fn the_file_has_its_mode_and_goes_with_the_listener() {
        let folder = short_folder();
        for mode in [0o600, 0o660, 0o666] {
            let socket = socket(folder.path(), mode);
            let bound = bind(&socket, 1).unwrap();
            let found = socket.path.symlink_metadata().unwrap();
            assert_eq!(found.permissions().mode() & 0o777, mode);
            drop(bound);
            assert!(!socket.path.exists());
        }
    }

    #[tokio::test]
    async fn only_a_socket_that_nobody_listens_on_is_replaced() {
        let folder = short_folder();
        let socket = socket(folder.path(), 0o660);
        // Left behind: std does not remove the file.
        drop(std::os::unix::net::UnixListener::bind(&socket.path).unwrap());
        let bound = bind(&socket, 1).unwrap();
        let second = bind(&socket, 1).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        assert!(socket.path.exists(), "the first one still has it");
        drop(bound);
        for (name, make) in [
            (
                "file",
                (|path| fs::write(path, "text")) as fn(&Path) -> io::Result<()>,
            ),
            ("folder", |path| fs::create_dir(path)),
            ("link", |path| std::os::unix::fs::symlink("/nowhere", path)),
        ] {
            make(&socket.path).unwrap();
            let refused = bind(&socket, 1).unwrap_err();
            assert!(
                refused.to_string().contains("is no socket"),
                "{name}: {refused}"
            );
            assert!(socket.path.symlink_metadata().is_ok(), "{name}");
            let _one_of_both =
                fs::remove_file(&socket.path).or_else(|_| fs::remove_dir(&socket.path));
        }
    }

    #[tokio::test]
    async fn a_file_that_has_the_name_by_then_stays() {
        let folder = short_folder();
        let socket = socket(folder.path(), 0o660);
        let bound = bind(&socket, 1).unwrap();
        fs::remove_file(&socket.path).unwrap();
        fs::write(&socket.path, "another's").unwrap();
        drop(bound);
        assert!(socket.path.exists());
    }
}
