//! Where one node is.

use crate::telemetry::metrics::NodeMetrics;
use http::{
    HeaderValue, Uri,
    uri::{InvalidUri, PathAndQuery},
};
use std::sync::Arc;

pub(crate) struct ClusterNode {
    /// `scheme://host:port`, for logs and errors.
    pub(crate) name: Arc<str>,
    /// What comes before each path: the name and the prefix, without a trailing slash.
    base: Box<str>,
    /// The prefix alone; mostly it is empty.
    prefix: Box<str>,
    /// Its name in `Host`.
    pub(crate) authority: HeaderValue,
    pub(crate) url: Uri,
    pub(super) metrics: NodeMetrics,
}

impl ClusterNode {
    /// Takes a base URL. User information and query are dropped; they belong to no request of ours.
    pub(crate) fn new(url: &Uri, metrics: NodeMetrics) -> Self {
        let port = url.port().map(|port| format!(":{port}"));
        let name = format!(
            "{}://{}{}",
            url.scheme_str().unwrap_or_default(),
            url.host().unwrap_or_default(),
            port.unwrap_or_default()
        );
        let prefix = url.path().trim_end_matches('/');
        let authority = name.split_once("://").map(|(_, authority)| authority);
        // A host of a URL has no byte that a header cannot have.
        let authority = authority.and_then(|text| HeaderValue::from_str(text).ok());
        Self {
            base: format!("{name}{prefix}").into(),
            prefix: prefix.into(),
            authority: authority.unwrap_or_else(|| HeaderValue::from_static("")),
            url: url.clone(),
            name: name.into(),
            metrics,
        }
    }

    pub(crate) fn uri(&self, path_and_query: &str) -> Result<Uri, InvalidUri> {
        format!("{}{path_and_query}", self.base).parse()
    }

    /// What stands in the request line for this path and query, which are a client's own bytes.
    pub(crate) fn target(&self, asked: &PathAndQuery) -> Result<Uri, InvalidUri> {
        if self.prefix.is_empty() {
            return Ok(Uri::from(asked.clone()));
        }
        format!("{}{asked}", self.prefix).parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_it_may_hide() {
        for (url, name, path) in [
            ("http://es:9200", "http://es:9200", "http://es:9200/_x"),
            (
                "https://u:secret@es:9200/a/b/?c=d",
                "https://es:9200",
                "https://es:9200/a/b/_x",
            ),
            (
                "https://[::1]:9200/",
                "https://[::1]:9200",
                "https://[::1]:9200/_x",
            ),
            ("https://es", "https://es", "https://es/_x"),
        ] {
            let node = ClusterNode::new(&url.parse().unwrap(), NodeMetrics::default());
            assert_eq!(
                (&*node.name, node.uri("/_x").unwrap().to_string().as_str()),
                (name, path)
            );
        }
    }
}
