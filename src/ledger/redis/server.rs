//! One server, and how a connection to it is opened.
//!
//! elastauth opens it, not the library, which trusts CAs only: `net::tls` also trusts a server
//! whose own certificate is in `ca_cert`.

use super::address::{Config, RedisNode};
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ErrorKind, FromRedisValue, RedisConnectionInfo,
    RedisError, RedisResult,
    aio::{MultiplexedConnection, PubSub},
};
use rustls::pki_types::ServerName;
use std::{io, pin::Pin, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

/// Reads and writes for a connection, as long as it is polled; ends with the connection.
pub(super) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct Server {
    addr: ConnectionAddr,
    settings: RedisConnectionInfo,
    tls: Option<TlsConnector>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Server {
    pub(super) fn new(node: &RedisNode, config: &Config, tls: Option<TlsConnector>) -> Self {
        Self {
            addr: node.addr.clone(),
            settings: node.settings(config),
            tls,
        }
    }

    /// Another server, for which user, password and trust are the same.
    pub(super) fn at(&self, host: String, port: u16) -> Self {
        Self {
            addr: ConnectionAddr::Tcp(host, port),
            settings: self.settings.clone(),
            tls: self.tls.clone(),
        }
    }

    /// A connection on which the login has been accepted.
    pub(super) async fn connect(
        &self,
        response: Duration,
    ) -> RedisResult<(MultiplexedConnection, Driver)> {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(response));
        let (settings, stream) = (&self.settings, self.stream().await?);
        let (connection, driver) =
            MultiplexedConnection::new_with_config(settings, stream, config).await?;
        Ok((connection, Box::pin(driver)))
    }

    pub(super) async fn subscribe(&self, channel: &str) -> RedisResult<PubSub> {
        let mut subscription = PubSub::new(&self.settings, self.stream().await?).await?;
        subscription.subscribe(channel).await?;
        Ok(subscription)
    }

    /// The answer to one command, on a connection for it alone.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        command: &Cmd,
        response: Duration,
    ) -> RedisResult<T> {
        let (mut connection, driver) = self.connect(response).await?;
        tokio::select! {
            answer = command.query_async(&mut connection) => answer,
            () = driver => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }

    async fn stream(&self) -> RedisResult<Box<dyn Stream>> {
        let (host, port) = match &self.addr {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                (host, *port)
            }
            ConnectionAddr::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await?)),
            _ => return Err(invalid("an address of an unknown kind")),
        };
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        // A command is small, and somebody waits for its answer.
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(host.clone());
        let name = name.map_err(|_| invalid("no name that a certificate could have"))?;
        Ok(Box::new(tls.connect(name, stream).await?))
    }
}

fn invalid(what: &'static str) -> RedisError {
    (ErrorKind::InvalidClientConfig, what).into()
}
