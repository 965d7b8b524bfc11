//! Where a token is in a request. One credential, or none; two are ambiguous, whatever they say.

use super::refused::RefusedToken;
use http::{HeaderMap, HeaderValue, header};

/// The name of a cookie, compared exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieName(Box<str>);

impl CookieName {
    /// Takes a token of RFC 9110.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
        fits.then(|| Self(text.into()))
    }
}

/// Where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenPlace {
    Bearer,
    AccessCookie,
    IdCookie,
}

/// The one token of a request.
#[derive(Clone, Copy)]
pub(super) struct Presented<'a> {
    pub(super) token: &'a str,
    pub(super) slot: TokenPlace,
}

/// Finds it; `None` where there is none.
///
/// A scheme other than `Bearer` is no credential of this kind and is passed over.
pub(super) fn find<'a>(
    headers: &'a HeaderMap,
    access: Option<&CookieName>,
    id: Option<&CookieName>,
) -> Result<Option<Presented<'a>>, RefusedToken> {
    let bearers = headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .filter_map(bearer)
        .map(|token| (token, TokenPlace::Bearer));
    let cookies = headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b';'))
        .filter_map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=')?;
            let (name, value) = (
                pair.get(..at)?.trim_ascii(),
                unquoted(pair.get(at + 1..)?.trim_ascii()),
            );
            let is = |cookie: Option<&CookieName>| {
                cookie.is_some_and(|cookie| cookie.0.as_bytes() == name)
            };
            let slot = if is(access) {
                TokenPlace::AccessCookie
            } else if is(id) {
                TokenPlace::IdCookie
            } else {
                return None;
            };
            // Some frameworks clear a cookie by emptying it.
            (!value.is_empty()).then_some((value, slot))
        });
    let mut all = bearers.chain(cookies);
    let Some((token, slot)) = all.next() else {
        return Ok(None);
    };
    if all.next().is_some() {
        return Err(RefusedToken::Ambiguous);
    }
    // The alphabet of RFC 6750: a value with other characters is not a token.
    let text = std::str::from_utf8(token)
        .ok()
        .filter(|text| !text.is_empty() && all_of_tokens(text))
        .ok_or(RefusedToken::Alphabet)?;
    Ok(Some(Presented { token: text, slot }))
}

/// Without an early return and without a branch, so that the compiler checks many bytes at once:
/// every request with a token is checked here.
fn all_of_tokens(text: &str) -> bool {
    let fits = |byte: u8| {
        byte.is_ascii_alphanumeric()
            | matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
    };
    text.bytes().fold(true, |so_far, byte| so_far & fits(byte))
}

fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let value = value.as_bytes().trim_ascii();
    let scheme = value.get(..6)?;
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return None;
    }
    match value.get(6..)? {
        [] => Some(&[]),
        [b' ' | b'\t', rest @ ..] => Some(rest.trim_ascii()),
        _ => None,
    }
}

fn unquoted(value: &[u8]) -> &[u8] {
    value
        .strip_prefix(b"\"")
        .and_then(|value| value.strip_suffix(b"\""))
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pairs: &[(&'static str, &str)]) -> Result<Option<(String, TokenPlace)>, RefusedToken> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let (access, id) = (
            CookieName::parse("access_token"),
            CookieName::parse("id_token"),
        );
        find(&headers, access.as_ref(), id.as_ref())
            .map(|found| found.map(|found| (found.token.to_owned(), found.slot)))
    }

    #[test]
    fn a_token_is_found_where_it_may_stand() {
        for (name, value, slot) in [
            ("authorization", "Bearer abc", TokenPlace::Bearer),
            ("authorization", "bEARER   abc ", TokenPlace::Bearer),
            (
                "cookie",
                "x=1; access_token=abc; y=2",
                TokenPlace::AccessCookie,
            ),
            ("cookie", "access_token=\"abc\"", TokenPlace::AccessCookie),
            ("cookie", "id_token=abc;access_token=", TokenPlace::IdCookie),
        ] {
            assert_eq!(
                found(&[(name, value)]),
                Ok(Some(("abc".to_owned(), slot))),
                "{value}"
            );
        }
    }

    #[test]
    fn what_is_of_another_kind_is_none() {
        for (name, value) in [
            ("authorization", "Basic YTpi"),
            ("authorization", "Bearerabc"),
            ("authorization", ""),
            (
                "cookie",
                "Access_Token=abc; xaccess_token=abc; access_token",
            ),
            ("x-access-token", "abc"),
        ] {
            assert_eq!(found(&[(name, value)]), Ok(None), "{value}");
        }
    }

    #[test]
    fn two_are_ambiguous_even_if_they_are_the_same() {
        for pairs in [
            &[
                ("authorization", "Bearer abc"),
                ("authorization", "Bearer abc"),
            ][..],
            &[
                ("authorization", "Bearer abc"),
                ("cookie", "access_token=abc"),
            ],
            &[("cookie", "access_token=abc; id_token=abc")],
            &[("cookie", "access_token=abc; access_token=abc")],
            &[
                ("cookie", "access_token=abc"),
                ("cookie", "access_token=abc"),
            ],
        ] {
            assert_eq!(found(pairs), Err(RefusedToken::Ambiguous), "{pairs:?}");
        }
    }

    #[test]
    fn what_is_no_token_of_anybody_is_refused_and_not_passed_over() {
        for value in [
            "Bearer",
            "Bearer a b",
            "Bearer a,b",
            "Bearer a\"b",
            "Bearer \u{e9}",
        ] {
            assert_eq!(
                found(&[("authorization", value)]),
                Err(RefusedToken::Alphabet),
                "{value}"
            );
        }
    }
}
