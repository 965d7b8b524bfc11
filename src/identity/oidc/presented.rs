//! Where tokens are in a request, and in which order they count. [`super::several`] judges where
//! there is more than one.

use super::refused::RefusedToken;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Tokens that are looked at in one request: each may cost a signature. A browser has an access and
/// an ID token, and perhaps an older one of each for another path.
const MAX_TOKENS: usize = 4;

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

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where it was found, the first that counts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TokenPlace {
    Bearer,
    /// A header for nothing else.
    Header,
    AccessCookie,
    IdCookie,
}

impl TokenPlace {
    /// Whether what is there may be an ID token by default: it was put there to say who somebody
    /// is.
    pub(super) fn is_for_id_tokens(self) -> bool {
        matches!(self, Self::Header | Self::IdCookie)
    }

    pub(super) fn is_cookie(self) -> bool {
        matches!(self, Self::AccessCookie | Self::IdCookie)
    }
}

/// What is where a token may be. Whether its bytes are those of tokens is asked only about one that
/// is not remembered: what is remembered was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate<'a> {
    pub(super) text: &'a [u8],
    pub(super) slot: TokenPlace,
}

/// A token of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Presented<'a> {
    pub(super) token: &'a str,
    pub(super) slot: TokenPlace,
}

/// Where tokens may be, beside `Authorization`.
#[derive(Debug, Clone)]
pub(super) struct TokenPlaces {
    pub(super) headers: Vec<HeaderName>,
    pub(super) access: Option<CookieName>,
    pub(super) id: Option<CookieName>,
}

/// What a request has. Almost always it is one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    One(Candidate<'a>),
    /// There were several candidates, and at least one is a token.
    Several(Tokens<'a>),
}

/// Tokens of a request with several candidates.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tokens<'a> {
    pub(super) first: Presented<'a>,
    /// The others, in the order in which they count.
    pub(super) others: Vec<Presented<'a>>,
}

impl TokenPlaces {
    /// Finds the tokens; `None` where there is none.
    ///
    /// A scheme other than `Bearer` is no credential of this kind and is passed over. So is a value
    /// that cannot be a token, if there is one that can: cookies of the same name belong to other
    /// applications.
    pub(super) fn find<'a>(
        &self,
        headers: &'a HeaderMap,
    ) -> Result<Option<Found<'a>>, RefusedToken> {
        let bearers = headers
            .get_all(header::AUTHORIZATION)
            .iter()
            .filter_map(bearer)
            .map(|token| (token, TokenPlace::Bearer));
        let named = self
            .headers
            .iter()
            .flat_map(|name| headers.get_all(name))
            .map(|value| bearer(value).unwrap_or(value.as_bytes().trim_ascii()))
            .filter(|token| !token.is_empty())
            .map(|token| (token, TokenPlace::Header));
        let cookies = headers
            .get_all(header::COOKIE)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b';'))
            .filter_map(|pair| self.cookie(pair));
        let mut candidates = bearers
            .chain(named)
            .chain(cookies)
            .map(|(text, slot)| Candidate { text, slot });
        let Some(first) = candidates.next() else {
            return Ok(None);
        };
        let Some(second) = candidates.next() else {
            return Ok(Some(Found::One(first)));
        };
        let all = [first, second].into_iter().chain(candidates);
        let mut tokens = all.filter_map(|candidate| candidate.token().ok());
        let mut found = Tokens {
            first: tokens.next().ok_or(RefusedToken::Alphabet)?,
            others: Vec::new(),
        };
        for token in tokens {
            found.add(token)?;
        }
        Ok(Some(Found::Several(found)))
    }

    /// The token of one cookie, if it is one of ours.
    fn cookie<'a>(&self, pair: &'a [u8]) -> Option<(&'a [u8], TokenPlace)> {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (
            pair.get(..at)?.trim_ascii(),
            unquoted(pair.get(at + 1..)?.trim_ascii()),
        );
        let is = |cookie: &Option<CookieName>| {
            (cookie.as_ref()).is_some_and(|cookie| cookie.0.as_bytes() == name)
        };
        let slot = if is(&self.access) {
            TokenPlace::AccessCookie
        } else if is(&self.id) {
            TokenPlace::IdCookie
        } else {
            return None;
        };
        // Some frameworks clear a cookie by emptying it.
        (!value.is_empty()).then_some((value, slot))
    }
}

impl<'a> Candidate<'a> {
    /// What a token is made of.
    pub(super) fn token(self) -> Result<Presented<'a>, RefusedToken> {
        let text = std::str::from_utf8(self.text).ok();
        let token = text.filter(|text| !text.is_empty() && all_of_tokens(text));
        let token = token.ok_or(RefusedToken::Alphabet)?;
        Ok(Presented {
            token,
            slot: self.slot,
        })
    }
}

impl<'a> From<Presented<'a>> for Candidate<'a> {
    fn from(Presented { token, slot }: Presented<'a>) -> Self {
        let text = token.as_bytes();
        Self { text, slot }
    }
}

impl<'a> Found<'a> {
    pub(super) fn all(&self) -> impl Iterator<Item = Candidate<'a>> {
        let (one, several) = match self {
            Self::One(candidate) => (Some(*candidate), None),
            Self::Several(tokens) => (None, Some(tokens.all().map(Candidate::from))),
        };
        one.into_iter().chain(several.into_iter().flatten())
    }
}

impl<'a> Tokens<'a> {
    pub(super) fn all(&self) -> impl Iterator<Item = Presented<'a>> {
        std::iter::once(self.first).chain(self.others.iter().copied())
    }

    fn add(&mut self, one: Presented<'a>) -> Result<(), RefusedToken> {
        let is_same = |other: Presented<'_>| {
            let is_as_good = other.slot.is_for_id_tokens() || !one.slot.is_for_id_tokens();
            other.token == one.token && is_as_good
        };
        if self.all().any(is_same) {
            return Ok(());
        }
        // There is one `Authorization` in a request. A second was added by somebody else.
        let is_second_bearer =
            one.slot == TokenPlace::Bearer && self.first.slot == TokenPlace::Bearer;
        if is_second_bearer || self.others.len() + 1 == MAX_TOKENS {
            return Err(RefusedToken::Ambiguous);
        }
        if one.slot < self.first.slot {
            self.others
                .insert(0, std::mem::replace(&mut self.first, one));
        } else {
            let at = self.others.partition_point(|other| other.slot <= one.slot);
            self.others.insert(at, one);
        }
        Ok(())
    }
}

/// Without an early return and without a branch, so that the compiler checks many bytes at once: a
/// flood of unknown tokens is checked here.
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

    type Shown = Vec<(String, TokenPlace)>;

    fn all(pairs: &[(&'static str, &str)]) -> Result<Shown, RefusedToken> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let places = TokenPlaces {
            headers: vec![HeaderName::from_static("x-jwt-assertion")],
            access: CookieName::parse("access_token"),
            id: CookieName::parse("id_token"),
        };
        let Some(found) = places.find(&headers)? else {
            return Ok(Vec::new());
        };
        let tokens = found.all().map(Candidate::token);
        let shown = |one: Presented<'_>| (one.token.to_owned(), one.slot);
        tokens.map(|token| token.map(shown)).collect()
    }

    fn found(pairs: &[(&'static str, &str)]) -> Result<Option<(String, TokenPlace)>, RefusedToken> {
        all(pairs).map(|all| all.into_iter().next())
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
            ("x-jwt-assertion", " abc ", TokenPlace::Header),
            ("x-jwt-assertion", "Bearer abc", TokenPlace::Header),
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
    fn several_are_in_the_order_in_which_they_count_and_equal_ones_are_one() {
        use TokenPlace::{AccessCookie, Bearer, Header, IdCookie};
        let cookies = ("cookie", "id_token=i; access_token=a; access_token=b");
        let assertion = ("x-jwt-assertion", "h");
        let bearer = ("authorization", "Bearer c");
        let expected = |all: &[(&str, TokenPlace)]| {
            Ok(all
                .iter()
                .map(|(text, slot)| ((*text).to_owned(), *slot))
                .collect())
        };
        for (pairs, tokens) in [
            (
                &[cookies][..],
                &[("a", AccessCookie), ("b", AccessCookie), ("i", IdCookie)][..],
            ),
            (
                &[assertion, bearer, ("cookie", "id_token=i")],
                &[("c", Bearer), ("h", Header), ("i", IdCookie)],
            ),
            (&[bearer, ("cookie", "access_token=c")], &[("c", Bearer)]),
            (&[bearer, bearer], &[("c", Bearer)]),
            (
                &[("cookie", "access_token=x; access_token=x")],
                &[("x", AccessCookie)],
            ),
            // An ID token counts in its own place only.
            (
                &[bearer, ("cookie", "id_token=c")],
                &[("c", Bearer), ("c", IdCookie)],
            ),
            // What is no token is somebody else's cookie.
            (
                &[bearer, ("cookie", "access_token={\"x\":1}")],
                &[("c", Bearer)],
            ),
        ] {
            assert_eq!(all(pairs), expected(tokens), "{pairs:?}");
        }
    }

    #[test]
    fn two_bearers_and_more_tokens_than_there_can_be_are_ambiguous() {
        for pairs in [
            &[("authorization", "Bearer a"), ("authorization", "Bearer b")][..],
            &[(
                "cookie",
                "id_token=a; id_token=b; id_token=c; id_token=d; id_token=e",
            )],
        ] {
            assert_eq!(all(pairs), Err(RefusedToken::Ambiguous), "{pairs:?}");
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
