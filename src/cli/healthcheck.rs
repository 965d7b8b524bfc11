//! `elastauth healthcheck`: is the process on this machine alive? For containers, whose image has
//! no other program that could ask.

use super::output::{CommandError, failed};
use crate::{
    net::{
        client::{self, Client, HttpCall, HttpError},
        tls,
    },
    serve::Config,
};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};

/// Less than the three seconds that container engines allow a check by default.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The answer is a word.
const MAX_BYTES: usize = 1 << 10;

/// Asks the listener of this configuration whether it is alive.
pub(super) async fn run(server: &Config) -> Result<(), CommandError> {
    let addr = reachable(server.listen);
    let scheme = match &server.tls {
        None => "http",
        Some(tls) if tls.client_ca.is_none() => "https",
        Some(_) => return is_open(addr).await,
    };
    // The gateway checks the certificate. Here it is asked by an address, which no certificate has.
    let tls = tls::ClientConfig {
        danger_skip_verify: true,
        ..tls::ClientConfig::default()
    };
    let client = Client::new(client::Config {
        tls,
        ..client::Config::default()
    });
    let uri = format!("{scheme}://{addr}/elastauth/live").parse();
    let call = HttpCall {
        method: Method::GET,
        uri: uri.map_err(|error| failed("the request cannot be made", &error))?,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        timeout: TIMEOUT,
        send_timeout: None,
        max_bytes: MAX_BYTES,
    };
    let client = client.map_err(|error| failed("TLS cannot be set up", &error))?;
    let answer = client.call(call).await.map_err(|error| {
        let what = match &error {
            HttpError::Connect(_) | HttpError::ConnectTimeout => {
                format!("cannot connect to {addr}")
            }
            HttpError::TimedOut | HttpError::Cut(_) | HttpError::TooBig | HttpError::Encoded => {
                format!("{addr} did not answer")
            }
        };
        failed(&what, &error)
    })?;
    match answer.status {
        StatusCode::OK => Ok(()),
        status => Err(CommandError(format!("{addr} answered {status}"))),
    }
}

/// Only a gateway's certificate is admitted; that the port is open has to be enough.
async fn is_open(addr: SocketAddr) -> Result<(), CommandError> {
    match timeout(TIMEOUT, TcpStream::connect(addr)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(failed(&format!("cannot connect to {addr}"), &error)),
        Err(_late) => Err(CommandError(format!(
            "{addr} did not answer within {TIMEOUT:?}"
        ))),
    }
}

/// A listener on every address is reached by loopback.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    // A listener on `::` takes IPv4 as well, and has fallen back to it where the system knows
    // nothing else.
    let ip = if listen.ip().is_unspecified() {
        Ipv4Addr::LOCALHOST.into()
    } else {
        listen.ip()
    };
    SocketAddr::new(ip, listen.port())
}
