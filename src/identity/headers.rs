//! Identity headers that an authentication service in front has set.
//!
//! How gateways deliver them was measured: the bytes may not be UTF-8, a repeated header arrives
//! twice or joined by a comma, "no groups" is a header that is present and empty, and a client can
//! cause a header to be absent.

use super::{
    rejected::Rejected,
    types::{Attributes, Field, Identity, Provider, Statement},
};
use crate::model::{Group, Username};
use http::{HeaderMap, HeaderName, HeaderValue};

/// What HTTP allows around a value (RFC 9110, optional white space). No other white space is
/// dropped: a directory may have both `alice` and `alice` with a no-break space behind it.
const BLANK: [char; 2] = [' ', '\t'];

/// Names of the identity headers, and whether the groups may be missing.
#[derive(Debug, Clone)]
pub struct Config {
    /// Carries the user name.
    pub user: HeaderName,
    /// Carries the groups, separated by commas.
    pub groups: HeaderName,
    /// Carries the mail address.
    pub email: HeaderName,
    /// Carries the full name.
    pub name: HeaderName,
    /// Refuse a request without the groups header (present and empty is accepted): with some
    /// gateways a client can remove it.
    pub groups_required: bool,
}

/// The names that Authelia uses.
impl Default for Config {
    fn default() -> Self {
        Self {
            user: HeaderName::from_static("remote-user"),
            groups: HeaderName::from_static("remote-groups"),
            email: HeaderName::from_static("remote-email"),
            name: HeaderName::from_static("remote-name"),
            groups_required: false,
        }
    }
}

/// The provider of identity headers.
#[derive(Debug)]
pub(super) struct Headers {
    config: Config,
    provider: Provider,
}

impl Headers {
    pub(super) fn new(config: Config) -> Self {
        let provider = Provider::headers();
        Self { config, provider }
    }

    /// Reads the identity headers. An empty user header is an absent one: Authelia's bypass rules
    /// and some gateways send it so.
    pub(super) fn identify(&self, headers: &HeaderMap) -> Result<Option<Identity>, Rejected> {
        let config = &self.config;
        let Some(name) = single(headers, &config.user, Field::User)? else {
            return Ok(None);
        };
        if name.contains(',') {
            return Err(Rejected::Joined);
        }
        let user = Username::parse(name).map_err(Rejected::Name)?;
        if config.groups_required && !headers.contains_key(&config.groups) {
            return Err(Rejected::GroupsMissing);
        }
        let person = Attributes {
            user,
            groups: groups(headers, &config.groups)?,
            email: single(headers, &config.email, Field::Email)?.map(Box::from),
            full_name: single(headers, &config.name, Field::FullName)?.map(Box::from),
        };
        let by = self.provider.clone();
        Ok(Some(Identity::new(person, by, Statement::default())))
    }
}

/// The identity in headers of the default names, for tests of the modules above.
#[cfg(test)]
pub(crate) fn identity(headers: &HeaderMap) -> Identity {
    let default = Headers::new(Config::default());
    default.identify(headers).unwrap().unwrap()
}

/// The value of a header that may occur once; `None` where it is absent or blank.
fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    field: Field,
) -> Result<Option<&'a str>, Rejected> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Rejected::Repeated(field));
    }
    let text = utf8(value, field)?.trim_matches(BLANK);
    Ok((!text.is_empty()).then_some(text))
}

/// All groups of all values of the header, each once: some gateways repeat the header where others
/// join it.
fn groups(headers: &HeaderMap, name: &HeaderName) -> Result<Vec<Group>, Rejected> {
    let mut found: Vec<Group> = Vec::new();
    for value in headers.get_all(name) {
        found.extend(
            utf8(value, Field::Groups)?
                .split(',')
                .filter_map(Group::parse),
        );
    }
    // Sorted, so that the order in which a provider happens to name them changes nothing
    // downstream.
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn utf8(value: &HeaderValue, field: Field) -> Result<&str, Rejected> {
    std::str::from_utf8(value.as_bytes()).map_err(|_| Rejected::NotUtf8(field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::InvalidUsername;

    fn asked(headers: &[(&'static str, &[u8])]) -> Result<Option<Identity>, Rejected> {
        asked_with(&Config::default(), headers)
    }

    fn asked_with(
        config: &Config,
        headers: &[(&'static str, &[u8])],
    ) -> Result<Option<Identity>, Rejected> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value).unwrap(),
            );
        }
        Headers::new(config.clone()).identify(&map)
    }

    fn identified(headers: &[(&'static str, &[u8])]) -> Identity {
        let Ok(Some(identity)) = asked(headers) else {
            panic!("not identified")
        };
        identity
    }

    #[test]
    fn four_headers_are_an_identity() {
        let identity = identified(&[
            ("remote-user", b"alice"),
            ("remote-groups", b"ops, dev ,\"c,d\""),
            ("remote-email", b"alice@example.org"),
            ("remote-name", "Zo\u{eb} Ångström".as_bytes()),
        ]);
        assert_eq!(identity.user().as_str(), "alice");
        assert_eq!(
            identity
                .groups()
                .iter()
                .map(Group::as_str)
                .collect::<Vec<_>>(),
            ["\"c", "d\"", "dev", "ops"]
        );
        assert_eq!(identity.email(), Some("alice@example.org"));
        assert_eq!(identity.full_name(), Some("Zo\u{eb} Ångström"));
    }

    #[test]
    fn a_present_but_empty_header_is_an_absent_one() {
        let identity = identified(&[
            ("remote-user", b"alice"),
            ("remote-groups", b""),
            ("remote-email", b" "),
            ("remote-name", b""),
        ]);
        assert_eq!(
            (
                identity.groups().len(),
                identity.email(),
                identity.full_name()
            ),
            (0, None, None)
        );
        assert_eq!(
            asked(&[("remote-user", b""), ("remote-groups", b"admins")]),
            Ok(None)
        );
        assert_eq!(asked(&[]), Ok(None));
    }

    #[test]
    fn a_name_with_an_underscore_is_another_header() {
        assert_eq!(asked(&[("remote_user", b"alice")]), Ok(None));
    }

    #[test]
    fn two_names_are_refused() {
        assert_eq!(
            asked(&[("remote-user", b"alice"), ("remote-user", b"mallory")]),
            Err(Rejected::Repeated(Field::User))
        );
        assert_eq!(
            asked(&[("remote-user", b"alice"), ("remote-user", b"alice")]),
            Err(Rejected::Repeated(Field::User))
        );
        assert_eq!(
            asked(&[("remote-user", b"alice,mallory")]),
            Err(Rejected::Joined)
        );
    }

    #[test]
    fn repeated_groups_are_one_list() {
        let identity = identified(&[
            ("remote-user", b"alice"),
            ("remote-groups", b"a,b"),
            ("remote-groups", b"b, c"),
        ]);
        assert_eq!(
            identity
                .groups()
                .iter()
                .map(Group::as_str)
                .collect::<Vec<_>>(),
            ["a", "b", "c"]
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused_in_every_header() {
        assert_eq!(
            asked(&[("remote-user", b"al\xffce")]),
            Err(Rejected::NotUtf8(Field::User))
        );
        assert_eq!(
            asked(&[("remote-user", b"alice"), ("remote-groups", b"\xe9quipe")]),
            Err(Rejected::NotUtf8(Field::Groups))
        );
    }

    #[test]
    fn a_name_that_cannot_be_a_user_says_why() {
        assert_eq!(
            asked(&[("remote-user", b"..")]),
            Err(Rejected::Name(InvalidUsername::DotSegment))
        );
        assert_eq!(
            asked(&[("remote-user", b"a:b")]),
            Err(Rejected::Name(InvalidUsername::Separator))
        );
        assert_eq!(
            asked(&[("remote-user", &[b'x'; 8192])]),
            Err(Rejected::Name(InvalidUsername::TooLong))
        );
    }

    #[test]
    fn white_space_that_http_does_not_allow_around_a_value_is_kept() {
        for name in ["alice\u{a0}", "\u{2003}alice", "alice\u{3000}"] {
            let refused = asked(&[("remote-user", name.as_bytes())]);
            assert!(
                matches!(refused, Err(Rejected::Name(_))),
                "{name:?} became {refused:?}"
            );
        }
        let identity = identified(&[
            ("remote-user", b" alice\t"),
            ("remote-groups", "dev\u{a0}, ops\t".as_bytes()),
        ]);
        assert_eq!(identity.user().as_str(), "alice");
        assert_eq!(
            identity
                .groups()
                .iter()
                .map(Group::as_str)
                .collect::<Vec<_>>(),
            ["dev\u{a0}", "ops"]
        );
    }

    #[test]
    fn where_groups_are_required_a_missing_header_is_refused_and_an_empty_one_is_not() {
        let config = Config {
            groups_required: true,
            ..Config::default()
        };
        assert_eq!(
            asked_with(&config, &[("remote-user", b"alice")]),
            Err(Rejected::GroupsMissing)
        );
        assert!(matches!(
            asked_with(
                &config,
                &[("remote-user", b"alice"), ("remote-groups", b"")]
            ),
            Ok(Some(_))
        ));
    }
}
