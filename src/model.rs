//! Values that modules pass to each other. Each is checked once, when it is made.

mod shown;

pub(crate) use shown::Shown;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use std::{fmt, sync::Arc};

/// The name of a native user: 1–507 printable ASCII bytes, as both the cluster and HTTP Basic can
/// carry it.
///
/// Case is kept: `Alice` and `alice` are two users in Elasticsearch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Username(Box<str>);

impl Username {
    /// Elasticsearch limits a document id to 512 bytes and prefixes it with `user-`.
    pub const MAX_BYTES: usize = 507;

    /// Takes the text of an identity header or a claim.
    ///
    /// # Errors
    /// Says which rule the value breaks. The value itself is not in the error: it may be an
    /// attacker's.
    pub fn parse(text: &str) -> Result<Self, InvalidUsername> {
        use InvalidUsername as E;
        match text {
            "" => Err(E::Empty),
            _ if text.len() > Self::MAX_BYTES => Err(E::TooLong),
            _ if text.trim() != text => Err(E::OuterSpace),
            // `:` ends the name in Basic, `,` joins names in the user API and in repeated headers.
            _ if text.contains([':', ',']) => Err(E::Separator),
            _ if !text.bytes().all(|b| (b' '..=b'~').contains(&b)) => Err(E::NotPrintableAscii),
            // A path of dot segments is rewritten by HTTP clients before it is sent.
            "." | ".." => Err(E::DotSegment),
            _ => Ok(Self(text.into())),
        }
    }

    /// The name as the cluster stores it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A number that is evenly spread over all users and the same in every replica, for what must
    /// not happen to all users at once. FNV-1a, and the last step of `SplitMix64` that spreads
    /// similar names: both are cheap enough for every request.
    #[must_use]
    pub fn place(&self) -> u64 {
        let byte =
            |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        mixed(self.0.bytes().fold(0xcbf2_9ce4_8422_2325, byte))
    }
}

/// The last step of `SplitMix64`: similar numbers become very different ones.
#[must_use]
pub fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Why a text is not a user name. One variant a rule, so that a log line and a test can tell them
/// apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUsername {
    #[error("the user name is empty")]
    Empty,
    #[error("the user name is longer than {} bytes", Username::MAX_BYTES)]
    TooLong,
    #[error("the user name begins or ends with white space")]
    OuterSpace,
    #[error("the user name contains ':' or ','")]
    Separator,
    #[error("the user name contains a character outside printable ASCII")]
    NotPrintableAscii,
    #[error("the user name is a dot segment")]
    DotSegment,
}

/// The name of a cluster in the configuration, for logs, metrics, the audit stream and commands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterName(Box<str>);

impl ClusterName {
    /// Names are in paths and in the names of files, and a limit keeps lines of the log short.
    const MAX_BYTES: usize = 63;

    /// Takes 1 to 63 small letters, digits, `-` and `_`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        let fits = (1..=Self::MAX_BYTES).contains(&text.len()) && text.bytes().all(is_allowed);
        fits.then(|| Self(text.into()))
    }

    /// That of `elasticsearch.cluster_name`, which may be any text: it was free before there were
    /// names of clusters.
    #[must_use]
    pub fn of_elasticsearch(text: &str) -> Self {
        Self(text.into())
    }

    /// As it is configured.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A group as the identity source names it: not empty, no outer blanks or tabs, any other UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group(Box<str>);

impl Group {
    /// Takes one group name; outer blanks and tabs are dropped, and an empty name is no group.
    /// Other white space is part of the name: otherwise a person who may create groups could make
    /// one that is read as another.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches([' ', '\t']);
        (!text.is_empty()).then(|| Self(text.into()))
    }

    #[must_use]
    #[expect(missing_docs, reason = "the name says it")]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A role of the cluster, shared between all users that have it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Role(Arc<str>);

impl Role {
    /// Takes the name of a role: 1–507 printable ASCII bytes with no outer white space, as
    /// Elasticsearch requires.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits =
            (1..=507).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b));
        (fits && text.trim() == text).then(|| Self(text.into()))
    }

    #[must_use]
    #[expect(missing_docs, reason = "the name says it")]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A keyed digest of everything that one write puts into a user: equal fingerprints mean the same
/// user document and the same password.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 16]);

/// 22 characters of base64url, as in the user's metadata. Not a secret: without the key nothing
/// can be derived from it.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// Counts how often a user's login was revoked: a higher one makes another password. It never
/// falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u32);

impl Generation {
    /// The one after a revocation; `None` where there is none left.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_the_cluster_accepts_is_kept_byte_for_byte() {
        for name in [
            "alice",
            "Alice",
            "a.b@example.org",
            "a/b",
            "a b",
            "%2e%2e",
            &"x".repeat(507),
        ] {
            assert_eq!(
                Username::parse(name).map(|u| u.as_str().to_owned()),
                Ok(name.to_owned())
            );
        }
    }

    #[test]
    fn each_rule_has_its_own_error() {
        use InvalidUsername as E;
        let long = "x".repeat(508);
        for (value, why) in [
            ("", E::Empty),
            (long.as_str(), E::TooLong),
            (" alice", E::OuterSpace),
            ("alice,bob", E::Separator),
            ("alice:bob", E::Separator),
            ("zo\u{eb}", E::NotPrintableAscii),
            ("al\u{7f}ice", E::NotPrintableAscii),
            (".", E::DotSegment),
            ("..", E::DotSegment),
        ] {
            assert_eq!(Username::parse(value), Err(why), "{value:?}");
        }
    }

    #[test]
    fn a_group_is_trimmed_and_never_empty() {
        assert_eq!(
            Group::parse(" ops team\t")
                .map(|g| g.as_str().to_owned())
                .as_deref(),
            Some("ops team")
        );
        assert_eq!(Group::parse(" \t"), None);
    }

    #[test]
    fn a_role_that_the_cluster_would_refuse_is_not_a_role() {
        for bad in ["", " viewer", "viewer ", "vi\u{e9}wer", &"x".repeat(508)] {
            assert_eq!(Role::parse(bad), None, "{bad:?}");
        }
    }
}
