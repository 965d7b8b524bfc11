//! Where Redis is, and as which user elastauth connects to it.

use crate::{
    net::{loopback::is_loopback, tls},
    secret::SecretString,
};
use redis::{ConnectionAddr, IntoConnectionInfo as _};
use secrecy::ExposeSecret as _;
use std::{fmt, path::PathBuf};

/// Settings of the Redis store.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it is.
    pub topology: Topology,
    /// The number of the database; a cluster has only 0.
    pub database: u16,
    /// The ACL user.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<SecretString>,
    /// Certificates, where the address asks for TLS.
    pub tls: tls::ClientConfig,
}

/// How Redis is set up.
#[derive(Debug, Clone)]
pub enum Topology {
    /// One server.
    Single(Node),
    /// The server that these Sentinels call the master of this name.
    Sentinel {
        /// The Sentinels.
        sentinels: Vec<Node>,
        /// The name of the master.
        master: String,
    },
    /// A cluster, of which these are some nodes.
    Cluster(Vec<Node>),
}

/// One server.
#[derive(Clone)]
pub struct Node {
    /// Host and port, or the path of a socket.
    pub(super) addr: Addr,
    pub(super) encrypted: bool,
    /// The database that the URL names.
    pub database: Option<u16>,
    /// The user that the URL names.
    pub username: Option<String>,
    /// The password that the URL names.
    pub password: Option<SecretString>,
}

#[derive(Debug, Clone)]
pub(super) enum Addr {
    Tcp(String, u16),
    Unix(PathBuf),
}

/// The text is no address of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be host and port, or a URL that begins with redis://, rediss:// or unix://")]
pub struct InvalidAddress;

impl Node {
    /// Takes `host:port`, or a URL: `redis://`, `rediss://` (TLS) or `unix://`, with user, password
    /// and database where they are needed.
    ///
    /// # Errors
    /// Without the text: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, InvalidAddress> {
        let url = if text.contains("://") {
            text.to_owned()
        } else {
            format!("redis://{text}")
        };
        let known = ["redis://", "rediss://", "unix://"]
            .iter()
            .any(|scheme| url.starts_with(scheme));
        let info = url
            .as_str()
            .into_connection_info()
            .ok()
            .filter(|_| known)
            .ok_or(InvalidAddress)?;
        let (addr, encrypted) = match info.addr() {
            ConnectionAddr::Tcp(host, port) => (Addr::Tcp(host.clone(), *port), false),
            // `#insecure` at the end of a URL would trust any certificate.
            ConnectionAddr::TcpTls { insecure: true, .. } => return Err(InvalidAddress),
            ConnectionAddr::TcpTls { host, port, .. } => (Addr::Tcp(host.clone(), *port), true),
            ConnectionAddr::Unix(path) => (Addr::Unix(path.clone()), false),
            _ => return Err(InvalidAddress),
        };
        let redis = info.redis_settings();
        Ok(Self {
            addr,
            encrypted,
            database: if redis.db() == 0 {
                None
            } else {
                Some(u16::try_from(redis.db()).map_err(|_| InvalidAddress)?)
            },
            username: redis.username().map(str::to_owned),
            password: redis.password().map(SecretString::from),
        })
    }

    /// Whether the connection uses TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Whether the connection stays on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match &self.addr {
            Addr::Unix(_) => true,
            Addr::Tcp(host, _) => is_loopback(host),
        }
    }

    /// As the library takes it. The given user and password count where the URL names none.
    pub(super) fn connection(
        &self,
        config: &Config,
        tls: Option<&redis::TlsCertificates>,
    ) -> redis::RedisResult<redis::Client> {
        let mut settings = redis::RedisConnectionInfo::default()
            .set_db(i64::from(self.database.unwrap_or(config.database)))
            // One command less that an ACL would have to allow.
            .set_skip_set_lib_name();
        if let Some(username) = self.username.as_deref().or(config.username.as_deref()) {
            settings = settings.set_username(username);
        }
        if let Some(password) = self.password.as_ref().or(config.password.as_ref()) {
            settings = settings.set_password(password.expose_secret());
        }
        let addr = match &self.addr {
            Addr::Unix(path) => ConnectionAddr::Unix(path.clone()),
            Addr::Tcp(host, port) if self.encrypted => ConnectionAddr::TcpTls {
                host: host.clone(),
                port: *port,
                insecure: false,
                tls_params: None,
            },
            Addr::Tcp(host, port) => ConnectionAddr::Tcp(host.clone(), *port),
        };
        let info = addr.into_connection_info()?.set_redis_settings(settings);
        match tls.filter(|_| self.encrypted) {
            Some(tls) => redis::Client::build_with_tls(info, tls.clone()),
            None => redis::Client::open(info),
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("addr", &self.addr)
            .field("encrypted", &self.encrypted)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_forms_are_taken() {
        for (text, addr, encrypted) in [
            ("localhost:6379", "Tcp(\"localhost\", 6379)", false),
            ("redis", "Tcp(\"redis\", 6379)", false),
            ("[::1]:7000", "Tcp(\"::1\", 7000)", false),
            ("redis://r:1/3", "Tcp(\"r\", 1)", false),
            ("rediss://r:1", "Tcp(\"r\", 1)", true),
            ("unix:///run/redis.sock", "Unix(\"/run/redis.sock\")", false),
        ] {
            let node = Node::parse(text).unwrap();
            assert_eq!(
                (format!("{:?}", node.addr).as_str(), node.encrypted),
                (addr, encrypted),
                "{text}"
            );
        }
    }

    #[test]
    fn what_a_url_says_beside_the_address_is_kept_and_not_shown() {
        let node = Node::parse("rediss://us%20er:pass%40word@r:1/3").unwrap();
        assert_eq!(
            (node.database, node.username.as_deref()),
            (Some(3), Some("us er"))
        );
        assert_eq!(
            node.password
                .as_ref()
                .map(|password| password.expose_secret().to_owned())
                .as_deref(),
            Some("pass@word")
        );
        assert!(!format!("{node:?}").contains("word"), "{node:?}");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "http://r",
            "r:port",
            "redis://",
            "rediss://r:1/#insecure",
            "r:99999",
            "memcached://r",
        ] {
            assert!(Node::parse(text).is_err(), "{text}");
        }
    }
}
