//! Takes the sockets that a supervisor passes. A crate makes descriptors into sockets, since that
//! is unsafe code; it reads `LISTEN_FDS` by itself, and removes it from the environment.

use super::types::{Config, PassedListener, PassedSocket, SocketError};
use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;
use std::os::fd::AsFd;

/// Takes all passed sockets. To be called once, before there are other threads.
///
/// # Errors
/// When a descriptor is no socket that listens.
pub(crate) fn take(config: &Config) -> Result<Vec<PassedSocket>, SocketError> {
    if config.sockets.is_empty() {
        return Ok(Vec::new());
    }
    let mut passed = ListenFd::from_env();
    let sockets = config.sockets.iter().enumerate();
    sockets
        .map(|(at, name)| one(&mut passed, at, name))
        .collect()
}

fn one(passed: &mut ListenFd, at: usize, name: &str) -> Result<PassedSocket, SocketError> {
    let no_socket = |source| SocketError::Kind {
        name: name.to_owned(),
        source,
    };
    let listener = match passed.take_tcp_listener(at) {
        Ok(Some(listener)) => PassedListener::Tcp(listener),
        // A descriptor of another kind stays in its place.
        Ok(None) | Err(_) => match passed.take_unix_listener(at) {
            Ok(Some(listener)) => PassedListener::Unix(listener),
            Ok(None) => return Err(no_socket(std::io::ErrorKind::NotFound.into())),
            Err(error) => return Err(no_socket(error)),
        },
    };
    let listens = |socket: &dyn AsFd| socket_acceptconn(socket.as_fd()).unwrap_or(false);
    let is_listening = match &listener {
        PassedListener::Tcp(socket) => listens(socket),
        PassedListener::Unix(socket) => listens(socket),
    };
    let name = name.to_owned();
    if is_listening {
        Ok(PassedSocket { name, listener })
    } else {
        Err(SocketError::NotListening { name })
    }
}
