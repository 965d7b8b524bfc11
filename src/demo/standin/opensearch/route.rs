//! From method, path and body to a call of the security plugin.

use super::{
    super::{answer::ApiAnswer, fault::Endpoint},
    patch::Patch,
    refusals::{error, fault},
};
use http::{Method, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

/// A call that the stand-in knows.
#[derive(Debug)]
pub(crate) enum ApiCall {
    /// Whose login is this?
    AuthInfo,
    Read(String),
    ReadAll,
    Write(String, Map<String, Value>),
    /// Of several users, or of one.
    Patch(Vec<Patch>),
    Delete(String),
    /// `GET`; one, or all.
    Roles(Option<String>),
    OwnPassword(Map<String, Value>),
    /// Forgets which logins were verified.
    FlushCache,
    Root,
    /// Something harmless for somebody with any role.
    Search,
}

/// A call whose body was not read yet.
pub(crate) enum Route {
    Bare(ApiCall),
    Write(String),
    Patch(Option<String>),
    OwnPassword,
}

/// Of the paths, and their names before the project had its own.
const ROOTS: [&str; 2] = ["_plugins", "_opendistro"];

impl ApiCall {
    pub(crate) fn of(method: &Method, uri: &Uri) -> Result<Route, ApiAnswer> {
        // Split first, decode then: `a%2Fb` is one segment.
        let segments: Vec<String> = (uri.path().split('/').skip(1))
            .map(decoded)
            .collect::<Result<_, _>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let get = method == Method::GET;
        let put = method == Method::PUT;
        let call = match segments.as_slice() {
            [""] if get || method == Method::HEAD => Self::Root,
            ["_search"] | [_, "_search"] if get || method == Method::POST => Self::Search,
            [root, "_security", "authinfo"] if get && ROOTS.contains(root) => Self::AuthInfo,
            [root, "_security", "api", rest @ ..] if ROOTS.contains(root) => match rest {
                ["internalusers"] if get => Self::ReadAll,
                ["internalusers"] if method == Method::PATCH => return Ok(Route::Patch(None)),
                ["internalusers", ""] => return Err(not_allowed(method, uri)),
                ["internalusers", "_meta"] => {
                    return Err(fault(StatusCode::INTERNAL_SERVER_ERROR, "Error _meta"));
                }
                ["internalusers", name] => {
                    let name = allowed(name)?;
                    match *method {
                        Method::GET => Self::Read(name),
                        Method::PUT => return Ok(Route::Write(name)),
                        Method::PATCH => return Ok(Route::Patch(Some(name))),
                        Method::DELETE => Self::Delete(name),
                        _ => return Err(not_allowed(method, uri)),
                    }
                }
                ["roles"] if get => Self::Roles(None),
                ["roles", name] if get => Self::Roles(Some((*name).to_owned())),
                ["account"] if put => return Ok(Route::OwnPassword),
                ["cache"] if method == Method::DELETE => Self::FlushCache,
                _ => return Err(not_allowed(method, uri)),
            },
            _ => {
                let text = format!("no handler found for uri [{uri}] and method [{method}]");
                return Err(ApiAnswer::json(
                    StatusCode::BAD_REQUEST,
                    &json!({ "error": text }),
                ));
            }
        };
        Ok(Route::Bare(call))
    }

    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        match self {
            Self::AuthInfo => Some(Endpoint::Authenticate),
            Self::Read(_) => Some(Endpoint::Read),
            Self::ReadAll => Some(Endpoint::ReadAll),
            Self::Write(..) | Self::Patch(_) => Some(Endpoint::Write),
            Self::Roles(_) => Some(Endpoint::Roles),
            Self::Delete(_)
            | Self::OwnPassword(_)
            | Self::FlushCache
            | Self::Root
            | Self::Search => None,
        }
    }

    /// Who is read or written.
    pub(crate) fn users(&self) -> Vec<String> {
        match self {
            Self::Read(name) | Self::Write(name, _) | Self::Delete(name) => vec![name.clone()],
            Self::Patch(patches) => patches.iter().map(|patch| patch.user.clone()).collect(),
            Self::AuthInfo
            | Self::ReadAll
            | Self::Roles(_)
            | Self::OwnPassword(_)
            | Self::FlushCache
            | Self::Root
            | Self::Search => Vec::new(),
        }
    }
}

impl Route {
    pub(crate) fn with_body(self, body: &[u8]) -> Result<ApiCall, ApiAnswer> {
        match self {
            Self::Bare(call) => Ok(call),
            Self::Write(name) => Ok(ApiCall::Write(name, object(body)?)),
            Self::Patch(user) => Patch::read(user.as_deref(), body).map(ApiCall::Patch),
            Self::OwnPassword => Ok(ApiCall::OwnPassword(object(body)?)),
        }
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, ApiAnswer> {
    if body.is_empty() {
        return Err(error("Request body required for this action."));
    }
    serde_json::from_slice(body).map_err(|_| error("Could not parse content of request."))
}

fn not_allowed(method: &Method, uri: &Uri) -> ApiAnswer {
    let text = format!("Incorrect HTTP method for uri [{uri}] and method [{method}]");
    ApiAnswer::bare(StatusCode::METHOD_NOT_ALLOWED, &text)
}

fn allowed(name: &str) -> Result<String, ApiAnswer> {
    if name.contains(':') {
        let message = "Username cannot contain the following characters: ':'";
        return Err(fault(StatusCode::BAD_REQUEST, message));
    }
    Ok(name.to_owned())
}

fn decoded(segment: &str) -> Result<String, ApiAnswer> {
    let bad = || {
        ApiAnswer::bad(
            "illegal_argument_exception",
            "unterminated escape sequence at end of string",
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
