//! Where browsers are sent to sign in: the key `login_url`.

use super::navigation::{RequestedUrl, is_navigation, requested_url};
use crate::request::Request;
use http::{HeaderValue, Uri, uri::Authority};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands for the URL that the user wanted to see.
const PLACEHOLDER: &str = "{url}";

/// The longest `Location`. Sign-in services take targets of 8 KB, and so do gateways with headers;
/// a longer URL loses its query, and then its path.
const MAX_BYTES: usize = 4_000;

/// Everything but the unreserved characters of RFC 3986: the URL is one value of a query, or one
/// segment of a path.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// An absolute URL of a sign-in page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginUrl {
    before: Box<str>,
    /// What follows the place of the user's URL; `None` where it has no place.
    after: Option<Box<str>>,
    /// The page itself, without query.
    page: (String, String),
}

/// Why a text is no `login_url`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidLoginUrl {
    #[error(
        "it must be an absolute URL that begins with `https://` or `http://` and has a host, such \
         as `https://auth.example.org/?rd={{url}}`"
    )]
    NotAbsolute,
    #[error("it must not have a user name or a password before the host")]
    UserInfo,
    #[error("it has a character that a URL cannot have; percent-encode it")]
    Character,
    #[error("`{{url}}` may occur only once")]
    Repeated,
    #[error(
        "`{{url}}` must be in the path or in the query, as in \
         `https://auth.example.org/?rd={{url}}`"
    )]
    Place,
}

impl LoginUrl {
    /// Reads it.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidLoginUrl> {
        let (before, after) = match text.split_once(PLACEHOLDER) {
            Some((_, after)) if after.contains(PLACEHOLDER) => {
                return Err(InvalidLoginUrl::Repeated);
            }
            Some((before, after)) => (before, Some(after)),
            None => (text, None),
        };
        let is_of_url = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
        let (rest, written) = (after.unwrap_or_default(), before.bytes());
        if !written.chain(rest.bytes()).all(is_of_url) {
            return Err(InvalidLoginUrl::Character);
        }
        let whole: Uri = format!("{before}{rest}")
            .parse()
            .map_err(|_| InvalidLoginUrl::NotAbsolute)?;
        let scheme = whole.scheme_str().unwrap_or_default();
        let authority = whole.authority().map(Authority::as_str).unwrap_or_default();
        if !["http", "https"].contains(&scheme) || whole.host().is_none_or(str::is_empty) {
            return Err(InvalidLoginUrl::NotAbsolute);
        }
        if authority.contains('@') {
            return Err(InvalidLoginUrl::UserInfo);
        }
        let origin = scheme.len() + "://".len() + authority.len();
        let in_path = before
            .get(origin..)
            .is_some_and(|path| path.starts_with(['/', '?']));
        if after.is_some() && (!in_path || before.contains('#')) {
            return Err(InvalidLoginUrl::Place);
        }
        let page = (format!("{scheme}://{authority}"), whole.path().to_owned());
        Ok(Self {
            before: before.into(),
            after: after.map(Into::into),
            page,
        })
    }

    /// Where the browser is sent that made this request; `None` where the request is no navigation,
    /// or the gateway does not say clearly which URL the user wanted to see.
    pub(super) fn for_browser(&self, request: &Request, secure: bool) -> Option<HeaderValue> {
        if !is_navigation(request) {
            return None;
        }
        // Asked for without a placeholder too: a gateway that says it badly is found the same way.
        let wanted = requested_url(request, secure)?;
        if self.is_page(&wanted) {
            return None;
        }
        let location = self.location(&wanted);
        HeaderValue::from_str(&location).ok()
    }

    /// Whether the user wants to see the sign-in page itself, which then is behind elastauth by
    /// mistake: a redirect would have no end.
    fn is_page(&self, wanted: &RequestedUrl) -> bool {
        let (origin, path) = &self.page;
        wanted.origin.eq_ignore_ascii_case(origin) && wanted.path == *path
    }

    fn location(&self, wanted: &RequestedUrl) -> String {
        let Some(after) = &self.after else {
            return self.before.to_string();
        };
        let RequestedUrl {
            origin,
            path,
            query,
        } = wanted;
        let of = |url: &str| {
            let url = utf8_percent_encode(url, COMPONENT);
            format!("{}{url}{after}", self.before)
        };
        let wanted = [format!("{origin}{path}{query}"), format!("{origin}{path}")];
        let mut fitting = wanted.iter().map(|url| of(url));
        let fitting = fitting.find(|location| location.len() <= MAX_BYTES);
        fitting.unwrap_or_else(|| of(&format!("{origin}/")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(path: &str, query: &str) -> RequestedUrl {
        RequestedUrl {
            origin: "https://kibana.example.org".to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
        }
    }

    #[test]
    fn a_login_url_is_absolute_and_has_one_place_for_the_users() {
        for good in [
            "https://auth.example.org/?rd={url}",
            "https://auth.example.org?rd={url}",
            "https://auth.example.org/login",
            "https://auth.example.org",
            "http://127.0.0.1:9091/login/{url}/now?x=1",
            "HTTPS://auth.example.org/?a=1&rd={url}&b=2",
            "https://auth.example.org/#/login",
            "https://[::1]:9091/?rd={url}#x",
        ] {
            assert!(LoginUrl::parse(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("/login?rd={url}", InvalidLoginUrl::NotAbsolute),
            ("auth.example.org", InvalidLoginUrl::NotAbsolute),
            ("//auth.example.org/?rd={url}", InvalidLoginUrl::NotAbsolute),
            ("{url}", InvalidLoginUrl::NotAbsolute),
            ("javascript:alert(1)", InvalidLoginUrl::NotAbsolute),
            ("ftp://auth.example.org/", InvalidLoginUrl::NotAbsolute),
            ("https:///?rd={url}", InvalidLoginUrl::NotAbsolute),
            ("https://u:p@a/?rd={url}", InvalidLoginUrl::UserInfo),
            ("https://a/?rd={url}&again={url}", InvalidLoginUrl::Repeated),
            ("https://a/?rd={uri}", InvalidLoginUrl::Character),
            ("https://a/ b", InvalidLoginUrl::Character),
            ("https://a/\u{e9}", InvalidLoginUrl::Character),
            ("https://a/\r\nX: y", InvalidLoginUrl::Character),
            ("https://{url}.example.org/", InvalidLoginUrl::Place),
            ("https://auth.example.org{url}", InvalidLoginUrl::Place),
            ("https://a:{url}/", InvalidLoginUrl::Place),
            ("https://a/#/?rd={url}", InvalidLoginUrl::Place),
        ] {
            assert_eq!(LoginUrl::parse(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn the_users_url_is_one_value() {
        let login = LoginUrl::parse("https://auth.example.org/?rd={url}&x=1").unwrap();
        assert_eq!(
            login.location(&wanted("/app/a%2Fb", "?q=1&rd=https://evil.example")),
            "https://auth.example.org/?rd=https%3A%2F%2Fkibana.example.org%2Fapp%2Fa%252Fb%3Fq%3D1\
             %26rd%3Dhttps%3A%2F%2Fevil.example&x=1"
        );
        let fixed = LoginUrl::parse("https://auth.example.org/login").unwrap();
        assert_eq!(
            fixed.location(&wanted("/a", "?b")),
            "https://auth.example.org/login"
        );
    }

    #[test]
    fn a_long_url_loses_its_query_and_then_its_path() {
        let login = LoginUrl::parse("https://a/?rd={url}").unwrap();
        let long = "x".repeat(MAX_BYTES);
        let start = "https://a/?rd=https%3A%2F%2Fkibana.example.org%2F";
        assert_eq!(
            login.location(&wanted("/b", &format!("?{long}"))),
            format!("{start}b")
        );
        assert_eq!(login.location(&wanted(&format!("/{long}"), "?q")), start);
    }

    #[test]
    fn nobody_is_sent_from_the_sign_in_page_to_itself() {
        let login = LoginUrl::parse("https://kibana.example.org/oauth2/start?rd={url}").unwrap();
        assert!(login.is_page(&wanted("/oauth2/start", "?rd=x")));
        assert!(!login.is_page(&wanted("/app", "")));
        let root = LoginUrl::parse("https://Kibana.example.org").unwrap();
        assert!(root.is_page(&wanted("/", "")));
    }
}
