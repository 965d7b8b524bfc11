//! What both kinds of cluster share: the nodes, and elastauth's own account there.

use super::types::{Config, ServiceAccount};
use crate::{
    clock::Clock,
    cluster::{
        error::{CallError, CallFailure},
        pool::{Ask, Pool, Timeouts},
    },
    net::tls::{self, FilesDigest, TlsError},
    secret::ExposeSecret as _,
    telemetry::{ClusterTelemetry, metrics::Call},
};
use arc_swap::{ArcSwap, ArcSwapOption};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Method, Uri, uri::Scheme};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The nodes, and as whom they are called.
pub(super) struct Client {
    /// The name of the cluster, for the log.
    pub(super) cluster: Arc<str>,
    pub(super) pool: Pool,
    pub(super) clock: Clock,
    /// Empty where the account cannot be put into a header; every call as the account then fails
    /// with that.
    account: ArcSwapOption<HeaderValue>,
    /// What the connections were made with.
    files: ArcSwap<Option<FilesDigest>>,
}

/// The account and the TLS of a new configuration, ready to be used.
#[derive(Debug)]
pub struct ClusterAccess {
    account: Option<HeaderValue>,
    tls: rustls::ClientConfig,
    files: Option<FilesDigest>,
}

impl Client {
    pub(super) fn new(
        config: &Config,
        clock: Clock,
        limits: (Timeouts, usize),
        telemetry: &ClusterTelemetry,
    ) -> Result<Self, TlsError> {
        let ClusterAccess {
            account,
            tls,
            files,
        } = access(config)?;
        Ok(Self {
            cluster: Arc::clone(&telemetry.cluster),
            pool: Pool::new(&config.hosts, tls, clock.clone(), limits, telemetry),
            clock,
            account: ArcSwapOption::from_pointee(account),
            files: ArcSwap::from_pointee(files),
        })
    }

    pub(super) fn replace(&self, access: ClusterAccess) {
        self.account.store(access.account.map(Arc::new));
        // Each call says whose it is, so connections stay unless their TLS is another one.
        let before = self.files.swap(Arc::new(access.files));
        if access.files.is_none() || *before != access.files {
            self.pool.replace_tls(access.tls);
        }
    }

    /// The `Authorization` of elastauth's own account.
    pub(super) fn account(&self, call: Call) -> Result<HeaderValue, CallError> {
        let account = self.account.load();
        account
            .as_deref()
            .cloned()
            .ok_or_else(|| CallError::of_cluster(call, CallFailure::Unsendable))
    }
}

pub(super) fn access(config: &Config) -> Result<ClusterAccess, TlsError> {
    Ok(ClusterAccess {
        account: authorization(&config.account),
        files: if speaks_tls(config) {
            FilesDigest::of(&config.tls)
        } else {
            Some(FilesDigest::PLAIN)
        },
        tls: tls_of(config)?,
    })
}

/// `None` where a key holds bytes that no header can carry.
fn authorization(account: &ServiceAccount) -> Option<HeaderValue> {
    let text = Zeroizing::new(match account {
        ServiceAccount::Basic { username, password } => {
            let pair = Zeroizing::new(format!("{username}:{}", password.expose_secret()));
            format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes()))
        }
        ServiceAccount::ApiKey(key) => format!("ApiKey {}", key.expose_secret()),
    });
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn speaks_tls(config: &Config) -> bool {
    let https = |host: &Uri| host.scheme() == Some(&Scheme::HTTPS);
    config.hosts.iter().any(https)
}

fn tls_of(config: &Config) -> Result<rustls::ClientConfig, TlsError> {
    if !speaks_tls(config) {
        return tls::client_without_trust();
    }
    if config.tls.danger_skip_verify {
        tracing::warn!(
            "certificates of the cluster are NOT verified \
             (elasticsearch.tls.insecure_skip_verify): whoever sits between elastauth and the \
             cluster can take the service account"
        );
    }
    tls::client(&config.tls)
}

pub(super) fn get<'a>(call: Call, path: &'a str, authorization: &'a HeaderValue) -> Ask<'a> {
    Ask {
        call,
        method: Method::GET,
        path,
        authorization,
        body: Bytes::new(),
    }
}

/// Every byte outside RFC 3986's unreserved set is escaped, so that a name is one segment, and one
/// value of a query, whatever it holds.
pub(super) fn segment(name: &str) -> String {
    const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(name, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_whatever_it_holds() {
        for (text, expected) in [
            ("alice", "alice"),
            ("A-b.c_d~9", "A-b.c_d~9"),
            ("a/b", "a%2Fb"),
            ("%2e%2e", "%252e%252e"),
            ("a b", "a%20b"),
            ("x?refresh=true#y", "x%3Frefresh%3Dtrue%23y"),
            ("a;b@c+d", "a%3Bb%40c%2Bd"),
            ("...", "..."),
            (r#"*"\<>|{}^`"#, "%2A%22%5C%3C%3E%7C%7B%7D%5E%60"),
        ] {
            assert_eq!(segment(text), expected);
        }
    }
}
