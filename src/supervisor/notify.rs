//! Messages to the supervisor (`sd_notify`): one datagram each.

use super::types::Config;
use rustix::time::{ClockId, clock_gettime};
use std::{
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    sync::Arc,
    time::Duration,
};

/// How long a message may wait for room in the queue of the supervisor.
const SEND: Duration = Duration::from_secs(1);

/// How long the end takes at most after `shutdown.delay` and `shutdown.timeout`: the store 5 s, the
/// log 1 s, and what a slow machine adds.
const AFTER_REQUESTS: Duration = Duration::from_secs(15);

/// Whoever waits for messages; nobody, where the environment names no socket. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Supervisor(Option<Arc<(UnixDatagram, SocketAddr)>>);

impl Supervisor {
    /// Nothing is sent yet.
    pub(crate) fn new(config: &Config) -> Self {
        let Some(name) = &config.notify_socket else {
            return Self(None);
        };
        match open(name) {
            Ok(socket) => Self(Some(Arc::new(socket))),
            Err(error) => {
                tracing::warn!(
                    %error,
                    "the socket of `NOTIFY_SOCKET` cannot be used; the supervisor is not told when \
                     elastauth is ready"
                );
                Self(None)
            }
        }
    }

    /// All listeners are open, or a reload is over.
    pub(crate) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// The configuration is read again, because a signal asks for it.
    pub(crate) fn reloading(&self) {
        // systemd compares this with the time at which it sent the signal.
        let now = clock_gettime(ClockId::Monotonic);
        let (seconds, nanos) = (now.tv_sec, now.tv_nsec);
        let micros = i128::from(seconds) * 1_000_000 + i128::from(nanos) / 1_000;
        self.send(&format!(
            "RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=Reads the configuration again"
        ));
    }

    /// What it is doing.
    pub(crate) fn status(&self, status: &str) {
        self.send(&format!("STATUS={status}"));
    }

    /// The end has begun; it takes this delay, so long for running requests, and what follows.
    pub(crate) fn stopping(&self, delay: Duration, requests: Duration) {
        let longest = (delay + requests + AFTER_REQUESTS).as_micros();
        let status = if delay.is_zero() {
            "Finishes running requests"
        } else {
            "Answers until `shutdown.delay` is over, then ends"
        };
        self.send(&format!(
            "STOPPING=1\nEXTEND_TIMEOUT_USEC={longest}\nSTATUS={status}"
        ));
    }

    fn send(&self, message: &str) {
        let Some(socket) = &self.0 else {
            return;
        };
        let (socket, supervisor) = &**socket;
        if let Err(error) = socket.send_to_addr(message.as_bytes(), supervisor) {
            tracing::warn!(%error, "a message to the supervisor (`NOTIFY_SOCKET`) was not sent");
        }
    }
}

fn open(name: &str) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None if name.starts_with('/') => SocketAddr::from_pathname(name)?,
        None => {
            let why = format!("{name} is neither a path nor an abstract address (`@…`)");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND))?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str, socket: &UnixDatagram) -> Vec<String> {
        let supervisor = Supervisor::new(&Config {
            notify_socket: Some(name.to_owned()),
            ..Config::default()
        });
        supervisor.ready("Answers gateways");
        supervisor.reloading();
        supervisor.stopping(Duration::from_secs(5), Duration::from_mins(2));
        let mut buffer = [0; 512];
        let messages = (0..3).map(|_| {
            let length = socket.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        });
        messages.collect()
    }

    #[test]
    fn messages_go_to_a_path_and_to_an_abstract_address() {
        // The address of a socket has 108 bytes, and `TMPDIR` may be longer.
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("elastauth-{}", folder.path().display());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        for (name, socket) in [
            (path.display().to_string(), by_path),
            (format!("@{name}"), by_name),
        ] {
            let [ready, reloading, stopping] = &told(&name, &socket)[..] else {
                panic!("three messages");
            };
            assert_eq!(ready, "READY=1\nSTATUS=Answers gateways");
            let (_, time) = reloading
                .split_once("RELOADING=1\nMONOTONIC_USEC=")
                .unwrap();
            let time = time.lines().next().unwrap();
            assert!(time.parse::<u64>().unwrap() > 0, "{reloading}");
            assert!(
                stopping.starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC=140000000\nSTATUS="),
                "{stopping}"
            );
        }
    }

    #[test]
    fn a_socket_that_is_not_there_stops_nothing() {
        for name in ["/nowhere/notify", "vsock:2:1", "@elastauth-nobody-listens"] {
            Supervisor::new(&Config {
                notify_socket: Some(name.to_owned()),
                ..Config::default()
            })
            .ready("Answers gateways");
        }
    }
}
