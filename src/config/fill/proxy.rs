//! Proxy mode.

use super::filler::Filler;
use crate::{
    config::table,
    net::tls,
    upstream::{ProxyConfig, ProxyTarget},
};
use http::Uri;

/// Whether requests are passed on.
pub(super) fn is_on(fill: &Filler<'_>) -> Option<bool> {
    fill.get(&table::PROXY_ENABLED)
}

/// Where those of a cluster go.
pub(super) fn fill(fill: &Filler<'_>) -> Option<ProxyConfig> {
    let url: Option<Uri> = if fill.given(&table::PROXY_URL) {
        Some(fill.get(&table::PROXY_URL)?)
    } else {
        None
    };
    let target = url.map(|url| ProxyTarget {
        urls: vec![url],
        tls: tls::ClientConfig::default(),
    });
    Some(ProxyConfig {
        target,
        ..ProxyConfig::default()
    })
}
