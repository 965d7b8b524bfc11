//! `elastauth healthcheck`: is the process on this machine alive? For containers, whose image has
//! no other program that could ask.

use super::output::{CommandError, failed};
use crate::{
    config::Config,
    net::{
        client::{self, Client, HttpCall, HttpError},
        tls,
    },
    serve::{Config as Listener, Listen},
};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};

/// Less than the three seconds that container engines allow a check by default.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The answer is a word.
const MAX_BYTES: usize = 1 << 10;

/// Asks the process whether it is alive, at the first listener that answers anybody: one for
/// operators, one without certificates of clients and balancers.
pub(super) async fn run(config: &Config) -> Result<(), CommandError> {
    let admin = config.admin_listener();
    let mut listeners = config.listeners.iter().chain(&admin);
    let first = listeners.clone().next();
    let asked = listeners.find(|listener| answers_anybody(listener));
    match (asked.or(first), asked.is_some()) {
        (Some(listener), true) => ask(listener).await,
        // That it takes connections has to be enough.
        (Some(listener), false) => is_open(&listener.listen).await,
        (None, _) => Err(CommandError("the configuration has no listener".to_owned())),
    }
}

/// Whether a request from this machine gets an answer there.
pub(super) fn answers_anybody(listener: &Listener) -> bool {
    let asks = |tls: &tls::ServerConfig| tls.client_ca.is_some();
    let Listen::Tcp(addr) = listener.listen else {
        return false;
    };
    let own = reachable(addr).ip();
    let mut balancers = listener.balancers.iter();
    !listener.tls.as_ref().is_some_and(asks) && !balancers.any(|network| network.contains(&own))
}

async fn ask(listener: &Listener) -> Result<(), CommandError> {
    let Listen::Tcp(addr) = listener.listen else {
        return is_open(&listener.listen).await;
    };
    let addr = reachable(addr);
    let scheme = if listener.tls.is_some() {
        "https"
    } else {
        "http"
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

async fn is_open(listen: &Listen) -> Result<(), CommandError> {
    let connected = timeout(TIMEOUT, async {
        match listen {
            Listen::Tcp(addr) => TcpStream::connect(reachable(*addr)).await.map(drop),
            Listen::Unix(socket) => UnixStream::connect(&socket.path).await.map(drop),
        }
    });
    match connected.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(failed(&format!("cannot connect to {listen}"), &error)),
        Err(_late) => Err(CommandError(format!(
            "{listen} did not answer within {TIMEOUT:?}"
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
