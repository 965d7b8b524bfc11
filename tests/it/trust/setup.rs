//! elastauth with listeners of a test's choice, and requests on connections of any kind.

use crate::support::{
    elastauth::Elastauth,
    http::Server,
    stage::{GATEWAY_KEY, SECRET_KEY},
    until,
};
use elastauth::internals::{
    demo::standin::{SERVICE_USER, StandIn},
    shutdown::Tasks,
};
use std::{path::PathBuf, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

/// Longer than each time that the program gives a connection.
const LONG: Duration = Duration::from_secs(20);

pub(super) struct Setup {
    pub(super) elastauth: Elastauth,
    pub(super) ports: Vec<u16>,
    _cluster: StandIn,
    _tasks: Tasks,
}

impl Setup {
    /// Starts it with these lines in its configuration; so many listeners have a port.
    pub(super) async fn start(ports: usize, lines: &str, files: &[(&str, &str)]) -> Self {
        let tasks = Tasks::default();
        let cluster = StandIn::start(&tasks).await.unwrap();
        let elastauth = Elastauth::start_anywhere(&configuration(&cluster, lines), files).await;
        let line = "elastauth answers listen=127.0.0.1:";
        until("its ports", || {
            elastauth.log().matches(line).count() == ports
        })
        .await;
        let log = elastauth.log();
        let ports = log.split(line).skip(1).map(|rest| {
            let digits = rest.split_whitespace().next().unwrap_or_default();
            digits.parse().unwrap()
        });
        Self {
            ports: ports.collect(),
            elastauth,
            _cluster: cluster,
            _tasks: tasks,
        }
    }

    /// A listener with a port, by its place among them.
    pub(super) fn server(&self, at: usize) -> Server {
        Server::plain(self.ports[at])
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.elastauth.home().join("elastauth.sock")
    }

    pub(super) async fn logs(&self, text: &str) {
        until(text, || self.elastauth.log().contains(text)).await;
    }
}

pub(super) fn configuration(cluster: &StandIn, lines: &str) -> String {
    format!(
        "log_level: debug\nsecret_key: {SECRET_KEY}\ndefault_roles: [viewer]\n\
         enable_metrics: true\ncredentials: {{park: false}}\n\
         elasticsearch: {{hosts: [\"{}\"], username: {SERVICE_USER}, password: \"{}\"}}\n{lines}",
        cluster.url(),
        cluster.service_password()
    )
}

/// What a gateway asks about a user, on a connection that ends with it.
pub(super) fn question(user: &str, with_key: bool) -> String {
    let key = if with_key {
        format!("x-elastauth-key: {GATEWAY_KEY}\r\n")
    } else {
        String::new()
    };
    format!(
        "GET /elastauth HTTP/1.1\r\nhost: elastauth.test\r\nconnection: close\r\n\
         remote-user: {user}\r\nremote-groups: dev\r\n{key}\r\n"
    )
}

/// Sends bytes and reads to the end: the status of the answer and all of it, or `None` where the
/// connection ends without one.
pub(super) async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    bytes: &[u8],
) -> Option<(u16, String)> {
    // A peer that is not listened to may be gone before all is written.
    let _may_be_gone = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _may_be_reset = timeout(LONG, stream.read_to_end(&mut answer))
        .await
        .expect("an end in time");
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1)?.parse().ok()?;
    Some((status, text))
}

/// The same, for the status alone.
pub(super) async fn status(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    bytes: &str,
) -> Option<u16> {
    let answer = exchange(&mut stream, bytes.as_bytes()).await;
    answer.map(|(status, _)| status)
}
