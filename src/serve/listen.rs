//! Where a listener listens: an address and port, or a unix socket.

mod stream;
mod types;
mod unix;

pub(super) use stream::Accepted;
pub use types::Listen;
pub(crate) use types::UnixSocket;

use crate::net::peer::Peer;
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use unix::SocketFile;

/// Connections that the system takes before we do. Gateways that come back all at once find room
/// there; whoever finds none tries again only after a second. The system may allow less
/// (`net.core.somaxconn`).
const BACKLOG: u32 = 4_096;
/// What the system keeps of answers that a peer does not read; it takes twice this for its own
/// records. Without a bound that grows to megabytes for each connection. An answer is a kilobyte.
const SEND_BUFFER: u32 = 32 * 1024;
/// Connections that are taken from the queue at the end: as many as it can have.
const QUEUED: usize = 4_096;

/// A socket that listens.
#[derive(Debug)]
pub(super) enum Listening {
    Tcp(TcpListener),
    /// The file is removed together with the listener.
    Unix(UnixListener, SocketFile),
}

impl Listening {
    /// Binds, with what came of it: port 0 becomes a port.
    pub(super) fn bind(listen: &Listen) -> io::Result<(Self, Listen)> {
        match listen {
            Listen::Tcp(addr) => {
                let (listener, addr) = tcp(*addr)?;
                Ok((Self::Tcp(listener), Listen::Tcp(addr)))
            }
            Listen::Unix(socket) => {
                let (listener, file) = unix::bind(socket, BACKLOG)?;
                Ok((Self::Unix(listener, file), listen.clone()))
            }
        }
    }

    /// The next connection. A call that is dropped loses none.
    pub(super) async fn accept(&self) -> io::Result<(Accepted, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Accepted::Tcp(stream), peer.ip().into()))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Accepted::Unix(stream), Peer::Unix))
            }
        }
    }

    /// Stops listening. Whoever is in the queue has connected before: the system would cut those
    /// connections together with the listener.
    pub(super) fn end(self, mut take: impl FnMut(Accepted, Peer)) {
        match self {
            Self::Tcp(listener) => {
                let Ok(listener) = listener.into_std() else {
                    return;
                };
                let queued = std::iter::from_fn(|| listener.accept().ok()).take(QUEUED);
                for (stream, peer) in queued {
                    if let Ok(()) = stream.set_nonblocking(true)
                        && let Ok(stream) = TcpStream::from_std(stream)
                    {
                        take(Accepted::Tcp(stream), peer.ip().into());
                    }
                }
            }
            Self::Unix(listener, file) => {
                drop(file);
                let Ok(listener) = listener.into_std() else {
                    return;
                };
                let queued = std::iter::from_fn(|| listener.accept().ok()).take(QUEUED);
                for (stream, _) in queued {
                    if let Ok(()) = stream.set_nonblocking(true)
                        && let Ok(stream) = UnixStream::from_std(stream)
                    {
                        take(Accepted::Unix(stream), Peer::Unix);
                    }
                }
            }
        }
    }
}

fn tcp(addr: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let bound = tcp_listener(addr);
    // `:5000` means every address. Where the system has no IPv6 at all, those are the IPv4 ones.
    let every_address = addr.ip() == Ipv6Addr::UNSPECIFIED;
    let listener = match bound {
        Err(error) if every_address && error.kind() != io::ErrorKind::AddrInUse => {
            tcp_listener((Ipv4Addr::UNSPECIFIED, addr.port()).into()).map_err(|_| error)?
        }
        bound => bound?,
    };
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

fn tcp_listener(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // A program that has just ended leaves connections behind that would keep the address in use.
    socket.set_reuseaddr(true)?;
    // Connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}
