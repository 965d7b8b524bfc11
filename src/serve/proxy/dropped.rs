//! What no client may say to a cluster: who they are, for whom they act, and what is for elastauth
//! alone.

use crate::{
    identity::{headers::Config, oidc::Oidc},
    net::trust::KEY_HEADER,
};
use http::{HeaderName, HeaderValue};

/// Names that are the same everywhere. The cluster's own are what its clients use to act as
/// somebody else, or to log in twice.
const FIXED: [&str; 7] = [
    "authorization",
    "proxy-authorization",
    "es-security-runas-user",
    "es-secondary-authorization",
    "es-client-authentication",
    "es-secondary-x-client-authentication",
    "opendistro-security-impersonate-as",
];

/// Headers and cookies that are not passed on.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    /// Identity headers, the gateway's key, headers with tokens.
    names: Vec<Box<str>>,
    /// Cookies with tokens.
    cookies: Vec<Box<str>>,
}

impl Dropped {
    pub(crate) fn new(identity: &Config, oidc: Option<&Oidc>) -> Self {
        let own = [&identity.groups, &identity.email, &identity.name];
        let tokens = oidc.map(Oidc::token_headers).unwrap_or_default();
        let names = identity.users.iter().chain(own).chain(tokens);
        let cookies = oidc.into_iter().flat_map(Oidc::token_cookies);
        Self {
            names: names
                .chain([&KEY_HEADER])
                .map(|name| name.as_str().replace('_', "-").into())
                .collect(),
            cookies: cookies.map(Into::into).collect(),
        }
    }

    #[cfg(test)]
    pub(super) fn add_cookies(&mut self, names: &[&str]) {
        self.cookies.extend(names.iter().map(|name| (*name).into()));
    }

    /// Whether a header is one of them. Some servers read `_` and `-` as one character.
    pub(super) fn has(&self, name: &HeaderName) -> bool {
        let name = name.as_str();
        let is = |known: &str| {
            known.len() == name.len()
                && known
                    .bytes()
                    .zip(name.bytes())
                    .all(|(known, own)| known == own || known == b'-' && own == b'_')
        };
        FIXED.iter().any(|known| is(known)) || self.names.iter().any(|known| is(known))
    }

    /// A `Cookie` without those that hold tokens; `None` if nothing is left. The others stay byte
    /// for byte.
    pub(super) fn cookies_without_ours(&self, value: &HeaderValue) -> Option<HeaderValue> {
        let bytes = value.as_bytes();
        let pairs = || bytes.split(|byte| *byte == b';');
        if self.cookies.is_empty() || !pairs().any(|pair| self.is_ours(pair)) {
            return Some(value.clone());
        }
        let left: Vec<&[u8]> = pairs()
            .filter(|pair| !self.is_ours(pair))
            .map(<[u8]>::trim_ascii)
            .filter(|pair| !pair.is_empty())
            .collect();
        if left.is_empty() {
            return None;
        }
        HeaderValue::from_bytes(&left.join(&b"; "[..])).ok()
    }

    fn is_ours(&self, pair: &[u8]) -> bool {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        let name = name.trim_ascii();
        self.cookies.iter().any(|own| own.as_bytes() == name)
    }
}
