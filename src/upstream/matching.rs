//! Which requests a section of the configuration is for. The more specific section wins; two that
//! are equally specific are a fault of the configuration ([`Match::ties_with`]).

use crate::request::{self, InvalidHost, UnclearPath};
use http::{HeaderName, HeaderValue};
use std::fmt;

/// Segments of a configured prefix. Each costs a look-up for the paths that begin like it.
const MAX_SEGMENTS: usize = 16;

/// Which requests are for a cluster: all kinds that are given have to fit, and of each kind one. A
/// cluster without any is reached by its endpoint alone, or because nothing else fits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Match {
    /// The host that the client asked for.
    pub hosts: Vec<HostPattern>,
    /// The beginning of the path that the client asked for.
    pub paths: Vec<PathPrefix>,
    /// A header that the gateway sets.
    pub header: Option<HeaderMatch>,
}

impl Match {
    /// Whether nothing is asked of a request.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.paths.is_empty() && self.header.is_none()
    }

    /// What both select equally specifically, in words; `None` where every request that fits both
    /// is for the more specific one.
    #[must_use]
    pub fn ties_with(&self, other: &Self) -> Option<String> {
        // Two clusters without a rule are told apart by their endpoints.
        if self.is_empty() || other.is_empty() || self.header != other.header {
            return None;
        }
        let host = Self::common(&self.hosts, &other.hosts, |one, two| {
            one.place() == two.place()
        })?;
        let path = Self::common(&self.paths, &other.paths, PartialEq::eq)?;
        let header = self
            .header
            .as_ref()
            .map(|header| format!("the header `{header}`"));
        let all = [
            host.map(|host| format!("the host `{host}`")),
            path.map(|path| format!("the path `{path}`")),
            header,
        ];
        Some(all.into_iter().flatten().collect::<Vec<_>>().join(" with "))
    }

    /// `Some(None)` where neither asks for this kind; `None` where nothing is in both.
    #[expect(
        clippy::option_option,
        reason = "nothing asked and nothing common are two things"
    )]
    fn common<'a, T>(
        own: &'a [T],
        others: &[T],
        is_same: impl Fn(&T, &T) -> bool,
    ) -> Option<Option<&'a T>> {
        if own.is_empty() && others.is_empty() {
            return Some(None);
        }
        let both = |one: &&T| others.iter().any(|other| is_same(one, other));
        own.iter().find(both).map(Some)
    }
}

/// A host, or hosts, in their normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    place: HostPlace,
    capture: Option<Box<str>>,
}

/// Where a pattern is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostPlace {
    /// This host.
    Exact(Box<str>),
    /// One label before this domain, and the label is captured.
    Captured(Box<str>),
    /// One label or several before this domain.
    Below(Box<str>),
}

/// Why a text is no pattern of hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHostPattern {
    /// A part of it is no host name.
    #[error("{0}")]
    Host(#[from] InvalidHost),
    /// It has a port.
    #[error("it has a port; ports do not choose a cluster, so leave it out")]
    Port,
    /// A wildcard or a capture is elsewhere than in front.
    #[error(
        "`*` and a capture in braces stand for the first label, as in `*.es.example.com` or \
         `{{tenant}}.es.example.com`, and nowhere else"
    )]
    Place,
    /// The name of a capture.
    #[error("the name in braces has small letters and `_` only, as in `{{tenant}}`")]
    Capture,
    /// A wildcard before an address.
    #[error("an address has no domain before which `*` or a capture could be")]
    Address,
}

impl HostPattern {
    /// Reads `host.example.com`, `*.example.com` or `{tenant}.example.com`.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidHostPattern> {
        use InvalidHostPattern as E;
        let text = text.trim();
        if let Some(domain) = text.strip_prefix("*.") {
            let place = HostPlace::Below(domain_of(domain)?);
            return Ok(Self {
                place,
                capture: None,
            });
        }
        if let Some(rest) = text.strip_prefix('{') {
            let (name, domain) = rest.split_once('}').ok_or(E::Place)?;
            let domain = domain.strip_prefix('.').ok_or(E::Place)?;
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
                return Err(E::Capture);
            }
            return Ok(Self {
                place: HostPlace::Captured(domain_of(domain)?),
                capture: Some(name.into()),
            });
        }
        let place = HostPlace::Exact(host_of(text)?);
        Ok(Self {
            place,
            capture: None,
        })
    }

    /// The name in braces.
    #[must_use]
    pub fn capture(&self) -> Option<&str> {
        self.capture.as_deref()
    }

    pub(super) fn place(&self) -> &HostPlace {
        &self.place
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, &self.capture) {
            (HostPlace::Exact(host), _) => f.write_str(host),
            (HostPlace::Below(domain), _) => write!(f, "*.{domain}"),
            (HostPlace::Captured(domain), name) => {
                write!(f, "{{{}}}.{domain}", name.as_deref().unwrap_or_default())
            }
        }
    }
}

fn host_of(text: &str) -> Result<Box<str>, InvalidHostPattern> {
    if text.contains(['*', '{', '}']) {
        return Err(InvalidHostPattern::Place);
    }
    let (_, last) = text.rsplit_once(']').unwrap_or(("", text));
    if last.contains(':') {
        return Err(InvalidHostPattern::Port);
    }
    Ok(request::normal_host(text.as_bytes())?.into())
}

fn domain_of(text: &str) -> Result<Box<str>, InvalidHostPattern> {
    let domain = host_of(text)?;
    if domain.starts_with('[') {
        return Err(InvalidHostPattern::Address);
    }
    Ok(domain)
}

/// The beginning of paths, in whole segments. `/` and nothing are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPrefix(Box<str>);

/// Why a text is no prefix of paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPathPrefix {
    /// It is not clear.
    #[error("{0}")]
    Unclear(#[from] UnclearPath),
    /// A segment that servers read differently.
    #[error(
        "its segments must not be empty, and have letters, digits and `-._~!$&'()*+,=:@` only: \
         servers read others differently"
    )]
    Segment,
    /// It has a query.
    #[error("it has a query; only paths choose a cluster")]
    Query,
    /// It has too many segments.
    #[error("it has more than {MAX_SEGMENTS} segments")]
    TooLong,
}

impl PathPrefix {
    /// Reads `/tenant1` or `/a/b`; a last slash is dropped.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidPathPrefix> {
        if text.contains('?') {
            return Err(InvalidPathPrefix::Query);
        }
        let path = request::clear_path(text.as_bytes())?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut segments = path.split('/').skip(1);
        if !segments.all(request::is_plain_segment) {
            return Err(InvalidPathPrefix::Segment);
        }
        if path.split('/').skip(1).count() > MAX_SEGMENTS {
            return Err(InvalidPathPrefix::TooLong);
        }
        Ok(Self(path.into()))
    }

    /// Without a last slash: empty for `/`.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

/// A header with a value that only the gateway sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderMatch {
    pub(super) name: HeaderName,
    pub(super) value: Box<[u8]>,
}

/// Why two texts are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeaderMatch {
    /// The name.
    #[error("the name is no name of a header")]
    Name,
    /// The value.
    #[error("the value is empty, or has a character that no header has")]
    Value,
}

impl HeaderMatch {
    /// Takes the name, in letters of any case, and the exact value.
    ///
    /// # Errors
    /// Which of them no header can have.
    pub fn new(name: &str, value: &str) -> Result<Self, InvalidHeaderMatch> {
        let name = name.trim().parse().map_err(|_| InvalidHeaderMatch::Name)?;
        // Servers drop white space around a value.
        let value = value.trim();
        if value.is_empty() || HeaderValue::from_str(value).is_err() {
            return Err(InvalidHeaderMatch::Value);
        }
        let value = value.as_bytes().into();
        Ok(Self { name, value })
    }
}

impl fmt::Display for HeaderMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, String::from_utf8_lossy(&self.value))
    }
}

/// What a capture has taken from a host: one label of a DNS name, in small letters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TenantLabel(Box<str>);

impl TenantLabel {
    /// Takes a label in its normal form.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        request::is_label(text).then(|| Self(text.into()))
    }

    /// The label.
    #[must_use]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What tests of selection select by.
#[cfg(test)]
pub(super) fn selecting(hosts: &[&str], paths: &[&str], header: Option<(&str, &str)>) -> Match {
    Match {
        hosts: hosts
            .iter()
            .map(|text| HostPattern::parse(text).unwrap())
            .collect(),
        paths: paths
            .iter()
            .map(|text| PathPrefix::parse(text).unwrap())
            .collect(),
        header: header.map(|(name, value)| HeaderMatch::new(name, value).unwrap()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_in_one_normal_form() {
        use InvalidHostPattern as E;
        for (text, shown, capture) in [
            ("Tenant1.ES.example.com.", "tenant1.es.example.com", None),
            ("*.es.example.com", "*.es.example.com", None),
            (
                "{tenant}.Es.example.com",
                "{tenant}.es.example.com",
                Some("tenant"),
            ),
            ("b\u{fc}cher.example", "xn--bcher-kva.example", None),
            ("*.b\u{fc}cher.example", "*.xn--bcher-kva.example", None),
            ("[2001:DB8::1]", "[2001:db8::1]", None),
            ("localhost", "localhost", None),
        ] {
            let pattern = HostPattern::parse(text).unwrap();
            assert_eq!(
                (pattern.to_string().as_str(), pattern.capture()),
                (shown, capture)
            );
        }
        for (text, why) in [
            ("", E::Host(InvalidHost::Empty)),
            ("a.example:443", E::Port),
            ("[::1]:443", E::Port),
            ("*", E::Place),
            ("a.*.example", E::Place),
            ("a*.example", E::Place),
            ("**.example", E::Place),
            ("*.*.example", E::Place),
            ("{a}.{b}.example", E::Place),
            ("x{a}.example", E::Place),
            ("{a}x.example", E::Place),
            ("{a", E::Place),
            ("{}.example", E::Capture),
            ("{Tenant}.example", E::Capture),
            ("{a-b}.example", E::Capture),
            ("*.[::1]", E::Address),
            ("a@b.example", E::Host(InvalidHost::Character)),
            ("https://a.example", E::Port),
            ("a..example", E::Host(InvalidHost::Label)),
        ] {
            assert_eq!(HostPattern::parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn prefixes_have_whole_plain_segments() {
        use InvalidPathPrefix as E;
        for (text, shown) in [
            ("/", "/"),
            ("/a", "/a"),
            ("/a/", "/a"),
            ("/a/B.c", "/a/B.c"),
        ] {
            assert_eq!(PathPrefix::parse(text).unwrap().to_string(), shown);
        }
        let long = "/a".repeat(MAX_SEGMENTS + 1);
        for (text, why) in [
            ("a", E::Unclear(UnclearPath::NotAbsolute)),
            ("", E::Unclear(UnclearPath::NotAbsolute)),
            ("/a/../b", E::Unclear(UnclearPath::DotSegment)),
            ("/a?b", E::Query),
            ("/a//b", E::Segment),
            ("//", E::Segment),
            ("/a;b", E::Segment),
            ("/%61", E::Segment),
            ("/*", E::Segment),
            ("/{tenant}", E::Segment),
            (long.as_str(), E::TooLong),
        ] {
            let read = PathPrefix::parse(text);
            if text == "/*" {
                assert!(read.is_ok(), "a star is a character like any other");
            } else {
                assert_eq!(read, Err(why), "{text}");
            }
        }
    }

    #[test]
    fn headers_have_a_name_and_a_value() {
        let header = HeaderMatch::new("X-Cluster", " one ").unwrap();
        assert_eq!(header.to_string(), "x-cluster: one");
        for (name, value) in [("", "a"), ("a b", "a"), ("a", ""), ("a", "a\nb")] {
            assert!(HeaderMatch::new(name, value).is_err(), "{name}: {value}");
        }
    }

    #[test]
    fn two_sections_tie_where_neither_is_more_specific() {
        for (one, two, tie) in [
            (
                selecting(&["a"], &[], None),
                selecting(&["A."], &[], None),
                Some("the host `a`"),
            ),
            (
                selecting(&["a"], &[], None),
                selecting(&["b"], &[], None),
                None,
            ),
            (
                selecting(&["a"], &[], None),
                selecting(&["*.a"], &[], None),
                None,
            ),
            (
                selecting(&["{x}.a"], &[], None),
                selecting(&["*.a"], &[], None),
                None,
            ),
            (
                selecting(&["{x}.a"], &[], None),
                selecting(&["{y}.a"], &[], None),
                Some("the host `{x}.a`"),
            ),
            (
                selecting(&["a"], &["/x"], None),
                selecting(&["a"], &[], None),
                None,
            ),
            (
                selecting(&["a"], &["/x"], None),
                selecting(&["a"], &["/x/y"], None),
                None,
            ),
            (
                selecting(&["a", "b"], &["/x", "/y"], None),
                selecting(&["b"], &["/y/"], None),
                Some("the host `b` with the path `/y`"),
            ),
            (
                selecting(&[], &["/x"], None),
                selecting(&["a"], &["/x"], None),
                None,
            ),
            (
                selecting(&[], &["/x"], Some(("h", "1"))),
                selecting(&[], &["/x"], Some(("H", "1"))),
                Some("the path `/x` with the header `h: 1`"),
            ),
            (
                selecting(&[], &[], Some(("h", "1"))),
                selecting(&[], &[], Some(("h", "2"))),
                None,
            ),
            (
                selecting(&["a"], &[], Some(("h", "1"))),
                selecting(&["a"], &[], None),
                None,
            ),
            (Match::default(), Match::default(), None),
        ] {
            assert_eq!(one.ties_with(&two).as_deref(), tie, "{one:?} {two:?}");
            assert_eq!(two.ties_with(&one).is_some(), tie.is_some());
        }
    }

    #[test]
    fn a_captured_label_is_one_of_dns() {
        for good in ["a", "tenant-1", "xn--bcher-kva", "0"] {
            assert!(TenantLabel::parse(good).is_some(), "{good}");
        }
        for bad in ["", "A", "a_b", "a.b", "-a", "a-", "a/b", "{a}", "\u{e9}"] {
            assert_eq!(TenantLabel::parse(bad), None, "{bad}");
        }
    }
}
