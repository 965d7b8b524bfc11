//! What answers instead of a cluster with its security, where the answer shows it: a wrong
//! address or a switched-off feature is named, and so is what to write instead.

use crate::net::client::HttpError;
use http::{HeaderMap, StatusCode, header::WWW_AUTHENTICATE};
use std::{error::Error, io};

/// What OpenSearch answers everybody while it has no security index.
const NOT_INITIALIZED: &[u8] = b"OpenSearch Security not initialized";

/// A known reason for an answer that no call expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Diagnosis {
    #[error(
        "security is switched off in this cluster; set `xpack.security.enabled: true` in \
         elasticsearch.yml, without it there are no users to log in as"
    )]
    SecurityOff,
    #[error(
        "security is switched off in this OpenSearch, or its plugin is missing; remove \
         `plugins.security.disabled` from opensearch.yml, without it there are no users to log in \
         as"
    )]
    SecurityPluginOff,
    #[error(
        "this is OpenSearch, and `kind: elasticsearch` is configured; write `kind: opensearch` or \
         `kind: auto`"
    )]
    OpenSearch,
    #[error(
        "this is Elasticsearch, and `kind: opensearch` is configured; write `kind: elasticsearch` \
         or `kind: auto`"
    )]
    Elasticsearch,
    #[error(
        "the security index of this OpenSearch is not there yet; run `securityadmin.sh` once, or \
         wait until the cluster has started"
    )]
    NotInitialized,
    #[error(
        "there is no security API at this address: Elasticsearch with security switched off, \
         OpenSearch, or another service; look at `elasticsearch.hosts`"
    )]
    NoSecurityApi,
    #[error(
        "this is Kibana; `elasticsearch.hosts` needs the address of Elasticsearch, which usually \
         has port 9200"
    )]
    Kibana,
    #[error(
        "this is OpenSearch Dashboards; `elasticsearch.hosts` needs the address of OpenSearch, \
         which usually has port 9200"
    )]
    Dashboards,
    #[error(
        "this is Elasticsearch Serverless, which has no native users; elastauth needs a cluster \
         of its own or a hosted deployment"
    )]
    Serverless,
    #[error("this port speaks TLS; write `https://` in `elasticsearch.hosts`")]
    SpeaksTls,
    #[error(
        "the connection was closed without a whole answer; if this port speaks TLS, write \
         `https://` in `elasticsearch.hosts`"
    )]
    MaySpeakTls,
    #[error("this port does not speak TLS; write `http://` in `elasticsearch.hosts`")]
    SpeaksPlainHttp,
    #[error(
        "the security index is blocked for writing; look for a full disk and at the index block \
         settings of `.security`, then remove the block"
    )]
    WriteBlocked,
}

impl Diagnosis {
    /// Of whoever shows pages and not a cluster's API, whatever the status.
    pub(super) fn of_front(headers: &HeaderMap) -> Option<Self> {
        let has = |name: &str| headers.contains_key(name);
        if has("osd-name") {
            Some(Self::Dashboards)
        } else {
            (has("kbn-name") || has("kbn-license-sig")).then_some(Self::Kibana)
        }
    }

    /// Of an answer of an OpenSearch with a status that the call does not expect.
    pub(super) fn of_opensearch(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        error_type: Option<&str>,
    ) -> Option<Self> {
        if status == StatusCode::UNAUTHORIZED && challenges(headers, "realm=\"security\"") {
            return Some(Self::Elasticsearch);
        }
        if body.starts_with(NOT_INITIALIZED) {
            return Some(Self::NotInitialized);
        }
        match Self::of_answer(status, headers, body, error_type) {
            // It is one.
            Some(Self::OpenSearch) => None,
            Some(Self::SecurityOff) => Some(Self::Elasticsearch),
            Some(Self::NoSecurityApi) => Some(Self::SecurityPluginOff),
            other => other,
        }
    }

    /// Of an answer of an Elasticsearch with a status that the call does not expect.
    pub(super) fn of_answer(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        error_type: Option<&str>,
    ) -> Option<Self> {
        let has = |name: &str| headers.contains_key(name);
        let says = |text: &[u8]| body.windows(text.len()).any(|part| part == text);
        if let Some(front) = Self::of_front(headers) {
            return Some(front);
        }
        if challenges(headers, "OpenSearch") || body.starts_with(NOT_INITIALIZED) {
            return Some(Self::OpenSearch);
        }
        match status {
            StatusCode::GONE if error_type == Some("api_not_available_exception") => {
                Some(Self::Serverless)
            }
            StatusCode::FORBIDDEN if error_type == Some("cluster_block_exception") => {
                Some(Self::WriteBlocked)
            }
            StatusCode::BAD_REQUEST if says(b"plain HTTP request was sent to HTTPS port") => {
                Some(Self::SpeaksTls)
            }
            // A REST layer that knows no such path; `error` is a string there, so it has no type.
            StatusCode::BAD_REQUEST | StatusCode::METHOD_NOT_ALLOWED
                if says(b"no handler found for uri") || says(b"Incorrect HTTP method for uri") =>
            {
                // Elasticsearch has sent this header since 7.14, and nobody else does.
                Some(if has("x-elastic-product") {
                    Self::SecurityOff
                } else {
                    Self::NoSecurityApi
                })
            }
            _ => None,
        }
    }

    /// Whether nothing else can be the reason.
    pub(super) fn is_certain(self) -> bool {
        self != Self::MaySpeakTls
    }

    /// Of a connection that has failed, to a node with this scheme.
    pub(super) fn of_connection(error: &HttpError, https: bool) -> Option<Self> {
        match error {
            HttpError::Connect(source) if https && is_not_tls(&**source) => {
                Some(Self::SpeaksPlainHttp)
            }
            HttpError::Cut(source) if !https => {
                let hyper = chain(&**source).find_map(|error| error.downcast_ref::<hyper::Error>());
                match hyper {
                    // A TLS alert, most likely.
                    Some(error) if error.is_parse() => Some(Self::SpeaksTls),
                    // Most TLS servers answer nothing at all, like any other cut.
                    Some(error) if error.is_incomplete_message() => Some(Self::MaySpeakTls),
                    Some(_) | None => None,
                }
            }
            HttpError::Connect(_)
            | HttpError::Cut(_)
            | HttpError::ConnectTimeout
            | HttpError::TimedOut
            | HttpError::TooBig
            | HttpError::Encoded => None,
        }
    }
}

fn challenges(headers: &HeaderMap, text: &str) -> bool {
    let mut challenges = headers.get_all(WWW_AUTHENTICATE).iter();
    challenges.any(|value| value.to_str().is_ok_and(|value| value.contains(text)))
}

/// Whether rustls was answered with something that is no TLS record.
fn is_not_tls(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|error| {
        matches!(
            error.downcast_ref::<rustls::Error>(),
            Some(rustls::Error::InvalidMessage(_))
        )
    })
}

/// The error and its causes. An `io::Error` hides the one that it wraps.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .map(|wrapped| wrapped as &(dyn Error + 'static));
        wrapped.or_else(move || error.source())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn an_answer_shows_who_is_taken_for_opensearch() {
        let no_handler = r#"{"error":"no handler found for uri [/_plugins/x] and method [GET]"}"#;
        for (status, header, body, expected) in [
            (
                401,
                "www-authenticate: Basic realm=\"OpenSearch Security\"",
                "Unauthorized",
                None,
            ),
            (
                401,
                "www-authenticate: Basic realm=\"security\", charset=\"UTF-8\"",
                "{}",
                Some(Diagnosis::Elasticsearch),
            ),
            (
                400,
                "x-elastic-product: Elasticsearch",
                no_handler,
                Some(Diagnosis::Elasticsearch),
            ),
            (400, "", no_handler, Some(Diagnosis::SecurityPluginOff)),
            (
                503,
                "",
                "OpenSearch Security not initialized.",
                Some(Diagnosis::NotInitialized),
            ),
            (302, "osd-name: x", "", Some(Diagnosis::Dashboards)),
        ] {
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = header.split_once(": ") {
                let name = http::HeaderName::try_from(name).unwrap();
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
            let status = StatusCode::from_u16(status).unwrap();
            let found = Diagnosis::of_opensearch(status, &headers, body.as_bytes(), None);
            assert_eq!(found, expected, "{status} {header} {body}");
        }
    }

    #[test]
    fn an_answer_shows_who_gives_it() {
        let no_handler = r#"{"error":"no handler found for uri [/_security/_authenticate]"}"#;
        let blocked = "cluster_block_exception";
        for (status, header, body, error_type, expected) in [
            (302, "kbn-name: kibana", "", None, Some(Diagnosis::Kibana)),
            (
                404,
                "kbn-license-sig: x",
                "{}",
                None,
                Some(Diagnosis::Kibana),
            ),
            (
                401,
                "www-authenticate: Basic realm=\"OpenSearch Security\"",
                "Unauthorized",
                None,
                Some(Diagnosis::OpenSearch),
            ),
            (
                503,
                "",
                "OpenSearch Security not initialized.",
                None,
                Some(Diagnosis::OpenSearch),
            ),
            (
                400,
                "x-elastic-product: Elasticsearch",
                no_handler,
                None,
                Some(Diagnosis::SecurityOff),
            ),
            (400, "", no_handler, None, Some(Diagnosis::NoSecurityApi)),
            (
                410,
                "",
                "",
                Some("api_not_available_exception"),
                Some(Diagnosis::Serverless),
            ),
            (403, "", "", Some(blocked), Some(Diagnosis::WriteBlocked)),
            (503, "", "", Some(blocked), None),
            (
                400,
                "",
                "<h1>The plain HTTP request was sent to HTTPS port</h1>",
                None,
                Some(Diagnosis::SpeaksTls),
            ),
            (400, "", "{}", Some("parse_exception"), None),
            (
                401,
                "www-authenticate: Basic realm=\"security\"",
                "",
                None,
                None,
            ),
        ] {
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = header.split_once(": ") {
                let name = http::HeaderName::try_from(name).unwrap();
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
            let status = StatusCode::from_u16(status).unwrap();
            let found = Diagnosis::of_answer(status, &headers, body.as_bytes(), error_type);
            assert_eq!(found, expected, "{status} {header} {body}");
        }
    }
}
