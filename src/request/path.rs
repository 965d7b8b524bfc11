//! One reading of paths, so that a client cannot write one that the gateway takes for one cluster
//! and elastauth for another.
//!
//! Servers differ in what they do with `..`, `//`, `;`, `\` and percent signs, and in the order.
//! Nothing is rewritten here: a path that any of them could read as another one is not clear. What
//! cannot change the first segments is, so that names of documents may have what they like.

use percent_encoding::percent_decode;
use std::borrow::Cow;

/// How often a path is decoded to see what the servers on its way make of it.
const ROUNDS: usize = 3;
/// Beyond it no gateway of the guides takes a request line.
const MAX_BYTES: usize = 64 * 1_024;

/// Why a path is not clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnclearPath {
    #[error("the path does not begin with `/`")]
    NotAbsolute,
    #[error("the path is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("the path has a character that no path has")]
    Character,
    #[error("the path has a percent sign without two hexadecimal digits, or not of UTF-8")]
    Encoding,
    #[error("the path is percent-encoded again and again")]
    Nested,
    #[error("the path has a segment `.` or `..`")]
    DotSegment,
    #[error("the path has an empty, encoded or parametrised segment where clusters are told apart")]
    Segment,
}

/// The path of a URI without the query, if all servers find the same segments in it as far as those
/// are plain ([`is_plain`]).
///
/// # Errors
/// Why not.
pub(crate) fn clear(uri: &[u8]) -> Result<&str, UnclearPath> {
    let path = uri.split(|byte| *byte == b'?').next().unwrap_or_default();
    if !path.starts_with(b"/") {
        return Err(UnclearPath::NotAbsolute);
    }
    if path.len() > MAX_BYTES {
        return Err(UnclearPath::TooLong);
    }
    let text = std::str::from_utf8(path).map_err(|_| UnclearPath::Encoding)?;
    if text.bytes().any(|byte| byte == b'#' || byte == b'\\') {
        return Err(UnclearPath::Character);
    }
    check(path)?;
    if !path.contains(&b'%') {
        return Ok(text);
    }
    check_encoding(path)?;
    let mut read = Cow::Borrowed(path);
    for _ in 0..ROUNDS {
        let decoded: Vec<u8> = percent_decode(&read).collect();
        if decoded == *read {
            return Ok(text);
        }
        std::str::from_utf8(&decoded).map_err(|_| UnclearPath::Encoding)?;
        check(&decoded)?;
        read = Cow::Owned(decoded);
    }
    if percent_decode(&read).eq(read.iter().copied()) {
        Ok(text)
    } else {
        Err(UnclearPath::Nested)
    }
}

/// Whether all servers read this segment as it is.
pub(crate) fn is_plain(segment: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte);
    !segment.is_empty() && segment.bytes().all(fits) && !is_dots(segment.as_bytes())
}

/// No reading so far climbs or hides where it leads.
fn check(path: &[u8]) -> Result<(), UnclearPath> {
    if path.iter().any(u8::is_ascii_control) {
        return Err(UnclearPath::Character);
    }
    let mut segments = path.split(|byte| *byte == b'/' || *byte == b'\\');
    if segments.any(is_dots) {
        return Err(UnclearPath::DotSegment);
    }
    Ok(())
}

/// `.` or `..`, perhaps with parameters, which some servers drop first.
fn is_dots(segment: &[u8]) -> bool {
    let name = segment.split(|byte| *byte == b';').next();
    matches!(name.map(<[u8]>::trim_ascii), Some(b"." | b".."))
}

/// Two hexadecimal digits follow each percent sign. One layer further down a percent sign may be a
/// percent sign.
fn check_encoding(path: &[u8]) -> Result<(), UnclearPath> {
    let is_encoded = |rest: &[u8]| {
        rest.first_chunk::<2>()
            .is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    };
    if path.split(|byte| *byte == b'%').skip(1).all(is_encoded) {
        Ok(())
    } else {
        Err(UnclearPath::Encoding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_may_have_any_name() {
        for (uri, path) in [
            ("/", "/"),
            ("/tenant1?x=/../tenant2", "/tenant1"),
            ("/tenant1/_search", "/tenant1/_search"),
            ("/tenant1//_bulk", "/tenant1//_bulk"),
            ("/tenant1/i/_doc/a%2Fb;c", "/tenant1/i/_doc/a%2Fb;c"),
            (
                "/t/%3Clogs-%7Bnow%2Fd%7D%3E/_search",
                "/t/%3Clogs-%7Bnow%2Fd%7D%3E/_search",
            ),
            ("/t/\u{e9}", "/t/\u{e9}"),
            ("/t/...", "/t/..."),
            ("/t/100%25", "/t/100%25"),
        ] {
            assert_eq!(clear(uri.as_bytes()), Ok(path), "{uri}");
        }
    }

    #[test]
    fn what_could_climb_is_not_clear() {
        use UnclearPath as E;
        let long = format!("/{}", "x".repeat(MAX_BYTES));
        for (uri, why) in [
            ("", E::NotAbsolute),
            ("tenant1", E::NotAbsolute),
            ("http://a/tenant1", E::NotAbsolute),
            ("*", E::NotAbsolute),
            (long.as_str(), E::TooLong),
            ("/a/../b", E::DotSegment),
            ("/a/..", E::DotSegment),
            ("/./a", E::DotSegment),
            ("/a/%2e%2e/b", E::DotSegment),
            ("/a/%2E%2E/b", E::DotSegment),
            ("/a/.%2e/b", E::DotSegment),
            ("/a/%252e%252e/b", E::DotSegment),
            ("/a/..%2fb", E::DotSegment),
            ("/a/x%2F..%2Fb", E::DotSegment),
            ("/a/..%5Cb", E::DotSegment),
            ("/a/..;/b", E::DotSegment),
            ("/a/..;x=1/b", E::DotSegment),
            ("/a/..%3B/b", E::DotSegment),
            ("/a/..%20/b", E::DotSegment),
            ("/a\\b", E::Character),
            ("/a#b", E::Character),
            ("/a\tb", E::Character),
            ("/a%00b", E::Character),
            ("/a%0d%0ab", E::Character),
            ("/a%", E::Encoding),
            ("/a%2", E::Encoding),
            ("/a%zz", E::Encoding),
            ("/a%c0%ae%c0%ae/", E::Encoding),
            ("/a/%25%zz", E::Encoding),
            ("/a/%25252525252e", E::Nested),
        ] {
            assert_eq!(clear(uri.as_bytes()), Err(why), "{uri:.40}");
        }
    }

    #[test]
    fn a_plain_segment_is_the_same_everywhere() {
        for plain in ["tenant1", "a.b", "Tenant", "a~b", "..."] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in ["", ".", "..", "a;b", "%61", "a%2Fb", "\u{e9}", "a b", "{a}"] {
            assert!(!is_plain(other), "{other}");
        }
    }
}
