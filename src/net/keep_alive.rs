//! Whether a peer that says nothing is still there.

use rustix::net::sockopt::{
    set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl,
};
use std::{io, os::fd::AsFd, time::Duration};

/// How long nothing has come before the system asks the peer.
const SILENT: Duration = Duration::from_mins(1);
/// Between two questions, and how many without an answer end the connection.
const INTERVAL: Duration = Duration::from_secs(15);
const QUESTIONS: u32 = 4;

/// Lets the system end a connection of TCP whose peer lost power or its network.
///
/// # Errors
/// When the system does not take an option.
pub(crate) fn keep_alive(stream: &impl AsFd) -> io::Result<()> {
    set_socket_keepalive(stream, true)?;
    set_tcp_keepidle(stream, SILENT)?;
    set_tcp_keepintvl(stream, INTERVAL)?;
    set_tcp_keepcnt(stream, QUESTIONS)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::sockopt::{socket_keepalive, tcp_keepcnt, tcp_keepidle};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_system_asks_silent_peers() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(!socket_keepalive(&stream).unwrap());
        keep_alive(&stream).unwrap();
        assert!(socket_keepalive(&stream).unwrap());
        assert_eq!(tcp_keepidle(&stream).unwrap(), SILENT);
        assert_eq!(tcp_keepcnt(&stream).unwrap(), QUESTIONS);
    }
}
