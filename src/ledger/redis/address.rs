//! Where Redis is, and as which user elastauth connects to it.

use crate::{
    net::{loopback::is_loopback, tls},
    secret::SecretString,
};
use redis::{ConnectionAddr, IntoConnectionInfo as _};
use secrecy::ExposeSecret;
use std::{fmt, slice};

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
    Single(RedisNode),
    /// The server that these Sentinels call the master of this name.
    Sentinel {
        /// The Sentinels.
        sentinels: Vec<RedisNode>,
        /// The name of the master.
        master: String,
    },
    /// A cluster, of which these are some nodes.
    Cluster(Vec<RedisNode>),
}

/// One server.
#[derive(Clone)]
pub struct RedisNode {
    /// Host and port, or the path of a socket.
    pub(super) addr: ConnectionAddr,
    /// The database that the URL names.
    pub database: Option<u16>,
    /// The user that the URL names.
    pub username: Option<String>,
    /// The password that the URL names.
    pub password: Option<SecretString>,
}

/// The text is no address of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be host and port, or a URL that begins with redis://, rediss:// or unix://")]
pub struct InvalidAddress;

impl Topology {
    /// The nodes that the configuration names.
    #[must_use]
    pub fn nodes(&self) -> &[RedisNode] {
        match self {
            Self::Single(node) => slice::from_ref(node),
            Self::Sentinel {
                sentinels: nodes, ..
            }
            | Self::Cluster(nodes) => nodes,
        }
    }
}

impl RedisNode {
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
        let info = url.as_str().into_connection_info();
        // `#insecure` at the end of a URL would trust any certificate.
        let insecure = |addr: &_| matches!(addr, ConnectionAddr::TcpTls { insecure: true, .. });
        let info = info
            .ok()
            .filter(|info| known && !insecure(info.addr()))
            .ok_or(InvalidAddress)?;
        let redis = info.redis_settings();
        let database = u16::try_from(redis.db()).map_err(|_| InvalidAddress)?;
        Ok(Self {
            addr: info.addr().clone(),
            database: Some(database).filter(|number| *number > 0),
            username: redis.username().map(str::to_owned),
            password: redis.password().map(SecretString::from),
        })
    }

    /// Whether the connection uses TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        matches!(self.addr, ConnectionAddr::TcpTls { .. })
    }

    /// Whether the connection stays on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let (ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. }) = &self.addr
        else {
            return true;
        };
        is_loopback(host)
    }

    /// User and password: those of the configuration count where the URL names none.
    pub(super) fn login<'a>(&'a self, config: &'a Config) -> (Option<&'a str>, Option<&'a str>) {
        let username = self.username.as_deref().or(config.username.as_deref());
        let password = self.password.as_ref().or(config.password.as_ref());
        (username, password.map(ExposeSecret::expose_secret))
    }

    /// User, password and database.
    pub(super) fn settings(&self, config: &Config) -> redis::RedisConnectionInfo {
        let mut settings = redis::RedisConnectionInfo::default()
            .set_db(i64::from(self.database.unwrap_or(config.database)))
            // One command less that an ACL would have to allow.
            .set_skip_set_lib_name();
        let (username, password) = self.login(config);
        if let Some(username) = username {
            settings = settings.set_username(username);
        }
        if let Some(password) = password {
            settings = settings.set_password(password);
        }
        settings
    }

    /// Address and settings, for a connection that the library opens.
    pub(super) fn connection_info(
        &self,
        config: &Config,
    ) -> redis::RedisResult<redis::ConnectionInfo> {
        let info = self.addr.clone().into_connection_info()?;
        Ok(info.set_redis_settings(self.settings(config)))
    }
}

impl fmt::Debug for RedisNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisNode")
            .field("addr", &self.addr)
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
            (
                "rediss://r:1",
                "TcpTls { host: \"r\", port: 1, insecure: false, tls_params: None }",
                true,
            ),
            ("unix:///run/redis.sock", "Unix(\"/run/redis.sock\")", false),
        ] {
            let node = RedisNode::parse(text).unwrap();
            assert_eq!(
                (format!("{:?}", node.addr).as_str(), node.is_encrypted()),
                (addr, encrypted),
                "{text}"
            );
        }
    }

    #[test]
    fn what_a_url_says_beside_the_address_is_kept_and_not_shown() {
        let node = RedisNode::parse("rediss://us%20er:pass%40word@r:1/3").unwrap();
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
            assert!(RedisNode::parse(text).is_err(), "{text}");
        }
    }
}
