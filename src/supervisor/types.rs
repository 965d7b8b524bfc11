//! What the environment says of a supervisor, and what it may pass.

use std::{io, net::TcpListener, os::unix::net::UnixListener};

/// What the environment says of a supervisor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Config {
    /// The socket that takes messages (`NOTIFY_SOCKET`).
    pub(crate) notify_socket: Option<String>,
    /// The name of each passed socket (`LISTEN_FDS`, `LISTEN_FDNAMES`), empty for none. Sockets
    /// that are for another process (`LISTEN_PID`) are not among them.
    pub(crate) sockets: Vec<String>,
}

/// A socket that the supervisor listens on.
#[derive(Debug)]
pub(crate) struct PassedSocket {
    /// `FileDescriptorName=` of the socket unit.
    pub(crate) name: String,
    pub(crate) listener: PassedListener,
}

#[derive(Debug)]
pub(crate) enum PassedListener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Why passed sockets cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    /// Neither TCP nor a unix stream.
    #[error("the passed file descriptor `{name}` is no stream socket")]
    Kind {
        name: String,
        #[source]
        source: io::Error,
    },
    /// `Accept=yes`, for example.
    #[error(
        "the passed socket `{name}` does not listen; set `ListenStream=`, and leave out `Accept=yes`"
    )]
    NotListening { name: String },
}
