//! `elastauth healthcheck`: is the process on this machine alive? For containers, whose image has
//! no other program that could ask.

use super::output::{CommandError, failed};
use crate::{net::tls, serve::Config};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// Less than the three seconds that container engines allow a check by default.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Asks the listener of this configuration whether it is alive.
pub(super) async fn run(server: &Config) -> Result<(), CommandError> {
    let addr = reachable(server.listen);
    match timeout(TIMEOUT, ask(addr, server)).await {
        Ok(Ok(StatusCode::OK)) => Ok(()),
        Ok(Ok(status)) => Err(CommandError(format!("{addr} answered {status}"))),
        Ok(Err(fault)) => Err(fault),
        Err(_late) => Err(CommandError(format!(
            "{addr} did not answer within {TIMEOUT:?}"
        ))),
    }
}

async fn ask(addr: SocketAddr, server: &Config) -> Result<StatusCode, CommandError> {
    let stream = TcpStream::connect(addr)
        .await
        .map_err(|error| failed(&format!("cannot connect to {addr}"), &error))?;
    let Some(tls) = &server.tls else {
        return exchange(stream, addr).await;
    };
    if tls.client_ca.is_some() {
        // Only a gateway's certificate is admitted; that the port is open has to be enough.
        return Ok(StatusCode::OK);
    }
    // The gateway checks the certificate. Here it is asked by an address, which no certificate has.
    let trusting = tls::ClientConfig {
        danger_skip_verify: true,
        ..tls::ClientConfig::default()
    };
    let client = tls::client(&trusting).map_err(|error| failed("TLS cannot be set up", &error))?;
    let connector = TlsConnector::from(Arc::new(client));
    let stream = connector
        .connect(ServerName::from(addr.ip()), stream)
        .await
        .map_err(|error| failed(&format!("{addr} does not speak TLS"), &error))?;
    exchange(stream, addr).await
}

async fn exchange<S>(stream: S, addr: SocketAddr) -> Result<StatusCode, CommandError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let no_answer = |error: hyper::Error| failed(&format!("{addr} did not answer"), &error);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(no_answer)?;
    let request = Request::get("/elastauth/live")
        .header(header::HOST, addr.to_string())
        .body(Empty::<Bytes>::new());
    let request = request.map_err(|error| failed("the request cannot be made", &error))?;
    tokio::select! {
        answer = sender.send_request(request) => Ok(answer.map_err(no_answer)?.status()),
        ended = connection => {
            let ended = ended.err().map(no_answer);
            Err(ended.unwrap_or_else(|| CommandError(format!("{addr} did not answer"))))
        }
    }
}

/// A listener on every address is reached by loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    // A listener on `::` takes IPv4 as well, and has fallen back to it where the system knows
    // nothing else.
    let ip = if listen.ip().is_unspecified() {
        Ipv4Addr::LOCALHOST.into()
    } else {
        listen.ip()
    };
    SocketAddr::new(ip, listen.port())
}
