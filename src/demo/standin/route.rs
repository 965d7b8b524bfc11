//! From method and path to a call of the API, with Elasticsearch's own reading of paths.

use super::{answer::ApiAnswer, fault::Endpoint, version::Version};
use http::{Method, StatusCode, Uri};
use percent_encoding::percent_decode_str;

/// A call that the stand-in knows.
#[derive(Debug)]
pub(super) enum ApiCall {
    Authenticate,
    /// One name, or several joined by commas.
    Read(String),
    ReadAll,
    /// Some of them, in the order of their names.
    Query,
    Write(String),
    Delete(String),
    SetEnabled(String, bool),
    OwnPassword,
    /// The keys of this user.
    ApiKeys(String),
    InvalidateApiKeys,
    /// May the caller do these things?
    HasPrivileges,
    /// `GET /`: what is this cluster?
    Root,
    /// `GET /_search` and `GET /{index}/_search`: something harmless for somebody with any role.
    Search,
}

impl ApiCall {
    pub(super) fn of(method: &Method, uri: &Uri, version: Version) -> Result<Self, ApiAnswer> {
        // Split first, decode then: `a%2Fb` is one segment.
        let segments: Vec<String> = (uri.path().split('/').skip(1))
            .map(decoded)
            .collect::<Result<_, _>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let refused = |status, what| {
            let text = format!("{what} for uri [{uri}] and method [{method}]");
            Err(ApiAnswer::bare(status, &text))
        };
        let wrong = || refused(StatusCode::METHOD_NOT_ALLOWED, "Incorrect HTTP method");
        let (get, put) = (
            method == Method::GET,
            method == Method::PUT || method == Method::POST,
        );
        let route = match segments.as_slice() {
            ["_security", "_authenticate"] if get => Self::Authenticate,
            // The fixed segments come before names. `_disable` alone is a name like any other.
            ["_security", "user", "_password"] if put => Self::OwnPassword,
            ["_security", "user", "_has_privileges"] if get || method == Method::POST => {
                Self::HasPrivileges
            }
            [
                "_security",
                "user",
                "_password" | "_privileges" | "_has_privileges",
            ] => return wrong(),
            ["_security", "user" | "user/"] | ["_security", "user", ""] if get => Self::ReadAll,
            ["_security", "_query", "user"]
                if (get || method == Method::POST) && version > Version::V7_17 =>
            {
                Self::Query
            }
            ["_security", "user", name] if get => Self::Read((*name).to_owned()),
            ["_security", "user", name] if put => Self::Write((*name).to_owned()),
            ["_security", "user", name] if method == Method::DELETE => {
                Self::Delete((*name).to_owned())
            }
            ["_security", "user", name, switch @ ("_enable" | "_disable")] if put => {
                Self::SetEnabled((*name).to_owned(), *switch == "_enable")
            }
            ["_security", "api_key"] if get => {
                Self::ApiKeys(username(uri.query().unwrap_or_default())?)
            }
            ["_security", "api_key"] if method == Method::DELETE => Self::InvalidateApiKeys,
            [""] if get || method == Method::HEAD => Self::Root,
            ["_search"] | [_, "_search"] if get || put => Self::Search,
            ["_security", "_authenticate"]
            | ["_security", "user", _]
            | ["_security", "user", _, "_enable" | "_disable"] => {
                return wrong();
            }
            _ => return refused(StatusCode::BAD_REQUEST, "no handler found"),
        };
        route.check_query(uri)?;
        Ok(route)
    }

    /// Unknown parameters are refused, and `refresh` has three values.
    fn check_query(&self, uri: &Uri) -> Result<(), ApiAnswer> {
        let bad = |reason: String| Err(ApiAnswer::bad("illegal_argument_exception", &reason));
        let query = uri.query().unwrap_or_default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (key, self) {
                (
                    "refresh",
                    Self::Write(_) | Self::Delete(_) | Self::SetEnabled(..) | Self::OwnPassword,
                ) => {
                    if !matches!(value, "true" | "false" | "wait_for" | "") {
                        return bad(format!("Unknown value for refresh: [{value}]."));
                    }
                }
                ("pretty" | "human" | "error_trace" | "format" | "filter_path", _)
                | ("q" | "size", Self::Search)
                | ("username", Self::ApiKeys(_))
                | ("with_profile_uid", Self::Read(_) | Self::ReadAll | Self::Query) => {}
                _ => {
                    return bad(format!(
                        "request [{}] contains unrecognized parameter: [{key}]",
                        uri.path()
                    ));
                }
            }
        }
        Ok(())
    }

    /// Which faults the call can meet, and the privilege that it needs: the part of the action's
    /// name after `cluster:admin/xpack/security/user/`.
    pub(super) fn facts(&self) -> (Option<Endpoint>, Option<&'static str>) {
        match self {
            Self::Authenticate => (Some(Endpoint::Authenticate), None),
            Self::Read(_) => (Some(Endpoint::Read), Some("get")),
            Self::ReadAll => (Some(Endpoint::ReadAll), Some("get")),
            Self::Query => (Some(Endpoint::Query), Some("query")),
            Self::Write(_) => (Some(Endpoint::Write), Some("put")),
            Self::Delete(_) => (Some(Endpoint::Delete), Some("delete")),
            Self::SetEnabled(..) => (Some(Endpoint::Switch), Some("set_enabled")),
            Self::ApiKeys(_) | Self::InvalidateApiKeys => (Some(Endpoint::ApiKeys), None),
            Self::OwnPassword | Self::HasPrivileges | Self::Root | Self::Search => (None, None),
        }
    }

    /// Who is read or written.
    pub(super) fn user(&self) -> Option<&str> {
        if let Self::Read(name) | Self::Write(name) = self {
            Some(name)
        } else {
            None
        }
    }
}

/// A user's name in a query.
fn username(query: &str) -> Result<String, ApiAnswer> {
    let mut pairs = query.split('&');
    decoded(
        pairs
            .find_map(|pair| pair.strip_prefix("username="))
            .unwrap_or_default(),
    )
}

/// `%2F` and the like are decoded, `+` stays a plus.
fn decoded(segment: &str) -> Result<String, ApiAnswer> {
    let bad = || {
        ApiAnswer::bad(
            "illegal_argument_exception",
            &format!("unterminated escape sequence at end of string: {segment}"),
        )
    };
    let whole = segment.split('%').skip(1).all(|rest| {
        rest.as_bytes()
            .get(..2)
            .is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit))
    });
    if !whole {
        return Err(bad());
    }
    percent_decode_str(segment)
        .decode_utf8()
        .map(String::from)
        .map_err(|_| bad())
}
