//! Where a listener listens: an address and port, or a unix socket.

mod passed;
mod shared_port;
mod stream;
mod types;
mod unix;

pub(crate) use passed::{PassedError, Wanted, assign};
pub(super) use stream::{Accepted, Reset};
pub use types::Listen;
pub(crate) use types::UnixSocket;

use crate::{
    net::peer::Peer,
    supervisor::{PassedListener, PassedSocket},
};
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
/// Connections that are taken from the queue at the end: as many as it can have.
const QUEUED: usize = 4_096;

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Listening {
    socket: Socket,
    queue: Queue,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    /// The file, where it is ours, is removed together with the listener.
    Unix(UnixListener, Option<SocketFile>),
}

/// Who takes the connections that wait when the listener ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queue {
    /// Nobody else can.
    Ours,
    /// The same, and another process may get the new connections already.
    SharedPort,
    /// The supervisor keeps the socket, and the next process takes them.
    Kept,
}

impl Listening {
    /// Binds, with what came of it: port 0 becomes a port.
    pub(super) fn bind(listen: &Listen, reuse_port: bool) -> io::Result<(Self, Listen)> {
        match listen {
            Listen::Tcp(addr) => {
                let (listener, addr) = tcp(*addr, reuse_port)?;
                let queue = if reuse_port {
                    Queue::SharedPort
                } else {
                    Queue::Ours
                };
                let socket = Socket::Tcp(listener);
                Ok((Self { socket, queue }, Listen::Tcp(addr)))
            }
            Listen::Unix(socket) => {
                let (listener, file) = unix::bind(socket, BACKLOG)?;
                let socket = Socket::Unix(listener, Some(file));
                let queue = Queue::Ours;
                Ok((Self { socket, queue }, listen.clone()))
            }
        }
    }

    /// Takes a socket that the supervisor listens on, with its address.
    pub(super) fn passed(passed: PassedSocket, listen: &Listen) -> io::Result<(Self, Listen)> {
        let (socket, listen) = match passed.listener {
            PassedListener::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                let listen = Listen::Tcp(listener.local_addr()?);
                (Socket::Tcp(TcpListener::from_std(listener)?), listen)
            }
            PassedListener::Unix(listener) => {
                listener.set_nonblocking(true)?;
                let listener = UnixListener::from_std(listener)?;
                (Socket::Unix(listener, None), listen.clone())
            }
        };
        let queue = Queue::Kept;
        Ok((Self { socket, queue }, listen))
    }

    /// Who takes what waits at the end.
    pub(super) fn queue(&self) -> Queue {
        self.queue
    }

    /// The next connection. A call that is dropped loses none.
    pub(super) async fn accept(&self) -> io::Result<(Accepted, Peer)> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Accepted::Tcp(stream), peer.ip().into()))
            }
            Socket::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Accepted::Unix(stream), Peer::Unix))
            }
        }
    }

    /// Stops listening. Whoever is in the queue has connected before: the system would cut those
    /// connections together with the listener, unless another process has the socket as well.
    pub(super) fn end(self, mut take: impl FnMut(Accepted, Peer)) {
        if self.queue == Queue::Kept {
            return;
        }
        match self.socket {
            Socket::Tcp(listener) => {
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
            Socket::Unix(listener, file) => {
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

fn tcp(addr: SocketAddr, reuse_port: bool) -> io::Result<(TcpListener, SocketAddr)> {
    let bound = tcp_listener(addr, reuse_port);
    // `:5000` means every address. Where the system has no IPv6 at all, those are the IPv4 ones.
    let every_address = addr.ip() == Ipv6Addr::UNSPECIFIED;
    let listener = match bound {
        Err(error) if every_address && error.kind() != io::ErrorKind::AddrInUse => {
            let addr = (Ipv4Addr::UNSPECIFIED, addr.port()).into();
            tcp_listener(addr, reuse_port).map_err(|_| error)?
        }
        bound => bound?,
    };
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

fn tcp_listener(addr: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    if !reuse_port {
        return tcp_socket(addr, false)?.listen(BACKLOG);
    }
    // Without the option the system says whether somebody listens there. The socket is closed.
    let alone = tcp_socket(addr, false);
    let is_shared = alone.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse);
    let listener = tcp_socket(addr, true)?.listen(BACKLOG)?;
    if let Err(error) = shared_port::prefer_newer(&listener) {
        tracing::warn!(
            listen = %addr,
            %error,
            "the system does not let the newer process get all connections; a restart may lose some"
        );
    }
    if is_shared {
        tracing::info!(
            listen = %addr,
            "another process of this user listens on this address too (`reuse_port`); new \
             connections come here from now on"
        );
    }
    Ok(listener)
}

fn tcp_socket(addr: SocketAddr, reuse_port: bool) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // A program that has just ended leaves connections behind that would keep the address in use.
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(reuse_port)?;
    socket.bind(addr)?;
    Ok(socket)
}
