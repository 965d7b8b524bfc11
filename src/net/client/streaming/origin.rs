//! Where a server is, and how a connection to it begins.

use super::types::LinkLimits;
use crate::net::keep_alive;
use http::{Uri, uri::Scheme};
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use std::{io, sync::Arc};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A server's address.
#[derive(Clone)]
pub(crate) struct Origin {
    /// Without the brackets of an IPv6 address.
    host: Box<str>,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// A connection on which nothing was sent yet.
pub(super) enum Connected {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Origin {
    /// Takes scheme, host and port of a URL.
    ///
    /// # Errors
    /// If TLS cannot ask for a server of this name.
    pub(crate) fn new(
        url: &Uri,
        tls: &Arc<rustls::ClientConfig>,
    ) -> Result<Self, InvalidDnsNameError> {
        let host = url.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let speaks_tls = url.scheme() == Some(&Scheme::HTTPS);
        let tls = if speaks_tls {
            let name = ServerName::try_from(host.to_owned())?;
            Some((TlsConnector::from(Arc::clone(tls)), name))
        } else {
            None
        };
        let standard = if speaks_tls { 443 } else { 80 };
        Ok(Self {
            host: host.into(),
            port: url.port_u16().unwrap_or(standard),
            tls,
        })
    }

    /// Each address gets the whole time for TCP: behind a name there may be one that is away.
    pub(super) async fn connect(&self, limits: &LinkLimits) -> io::Result<Connected> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let found = timeout(limits.connect, lookup_host((&*self.host, self.port))).await;
        for address in found.map_err(|_elapsed| too_late("no address in time"))?? {
            match timeout(limits.connect, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    keep_alive(&stream)?;
                    return self.secured(stream, limits).await;
                }
                Ok(Err(error)) => last = error,
                Err(_elapsed) => last = too_late("no TCP connection in time"),
            }
        }
        Err(last)
    }

    async fn secured(&self, stream: TcpStream, limits: &LinkLimits) -> io::Result<Connected> {
        let Some((connector, name)) = &self.tls else {
            return Ok(Connected::Plain(stream));
        };
        let connecting = connector.connect(name.clone(), stream);
        match timeout(limits.handshake, connecting).await {
            Ok(stream) => Ok(Connected::Tls(Box::new(stream?))),
            Err(_elapsed) => Err(too_late("no TLS handshake in time")),
        }
    }
}

fn too_late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}
