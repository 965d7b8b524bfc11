//! Identity headers that an authentication service in front has set.
//!
//! How gateways deliver them was measured: the bytes may not be UTF-8, a repeated header arrives
//! twice or joined by a comma, "no groups" is a header that is present and empty, and a client can
//! cause a header to be absent.

use super::{
    encoded_text::{self, ReadText},
    group_list::{self, BLANK, Separator},
    rejected::Rejected,
    types::{Attributes, Field, Identity, Note, Provider, Statement},
    user_name::UserNameRules,
};
use crate::model::{Group, Username};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

/// Names of the identity headers, how they are read, and whether the groups may be missing.
#[derive(Debug, Clone)]
pub struct Config {
    /// Carry the user name; the first that is there counts. Never empty.
    pub users: Vec<HeaderName>,
    /// Carries the groups.
    pub groups: HeaderName,
    /// What separates them.
    pub separator: Separator,
    /// Carries the mail address.
    pub email: HeaderName,
    /// Carries the full name.
    pub name: HeaderName,
    /// How a header becomes the user name.
    pub user_names: UserNameRules,
    /// Refuse a request without the groups header (present and empty is accepted): with some
    /// gateways a client can remove it.
    pub groups_required: bool,
}

/// The names that Authelia uses.
impl Default for Config {
    fn default() -> Self {
        Self {
            users: vec![HeaderName::from_static("remote-user")],
            groups: HeaderName::from_static("remote-groups"),
            separator: Separator::Comma,
            email: HeaderName::from_static("remote-email"),
            name: HeaderName::from_static("remote-name"),
            user_names: UserNameRules::default(),
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
    ///
    /// # Errors
    /// [`Rejected::Nobody`] where a header has what gateways send for nobody; it is no credential,
    /// so the next provider may look.
    pub(super) fn identify(&self, headers: &HeaderMap) -> Result<Option<Identity>, Rejected> {
        let config = &self.config;
        let Some(text) = self.user(headers)? else {
            return Ok(None);
        };
        // Before the pattern, which could take one of two names.
        if text.contains(',') {
            return Err(Rejected::Joined);
        }
        let name = config.user_names.apply(text).ok_or(Rejected::Pattern)?;
        if let (Some(placeholder), true) = (placeholder(&name), *name != *text) {
            return Err(Rejected::Nobody(placeholder));
        }
        let user = Username::parse(&name).map_err(Rejected::Name)?;
        if config.groups_required && !headers.contains_key(&config.groups) {
            return Err(Rejected::GroupsMissing);
        }
        let (groups, joined) = self.groups(headers)?;
        let mut notes = Vec::new();
        let person = Attributes {
            user,
            groups,
            joined,
            email: for_people(headers, &config.email, Field::Email, &mut notes)?,
            full_name: for_people(headers, &config.name, Field::FullName, &mut notes)?,
            notes,
        };
        let by = self.provider.clone();
        Ok(Some(Identity::new(person, by, Statement::default())))
    }

    /// The text of the first user header that names somebody.
    fn user<'a>(&self, headers: &'a HeaderMap) -> Result<Option<&'a str>, Rejected> {
        let mut nobody = None;
        for name in &self.config.users {
            let Some(value) = single(headers, name, Field::User)? else {
                continue;
            };
            let text = utf8(value, Field::User)?.trim_matches(BLANK);
            match placeholder(text) {
                None if text.is_empty() => {}
                None => return Ok(Some(text)),
                Some(placeholder) => nobody = Some(Rejected::Nobody(placeholder)),
            }
        }
        nobody.map_or(Ok(None), Err)
    }

    /// All groups of all values of the header, each once: some gateways repeat the header where
    /// others join it. And a text that looks like several groups.
    fn groups(&self, headers: &HeaderMap) -> Result<(Vec<Group>, Option<Group>), Rejected> {
        let (mut found, mut joined) = (Vec::<Group>::new(), None);
        for value in headers.get_all(&self.config.groups) {
            let text = utf8(value, Field::Groups)?;
            if text.starts_with('[') {
                match group_list::json_list(text).as_deref().map(of_list) {
                    Some(Some(groups)) => {
                        found.extend(groups);
                        continue;
                    }
                    Some(None) | None => joined = Group::parse(text),
                }
            }
            if !stands_for_nothing(text.trim_matches(BLANK)) {
                let separator = self.config.separator;
                separator.split(text, |item| found.extend(Group::parse(item)));
            }
        }
        // Sorted, so that the order in which a provider happens to name them changes nothing
        // downstream.
        found.sort_unstable();
        found.dedup();
        let joined = joined.or_else(|| group_list::suspect(&found));
        Ok((found, joined))
    }
}

/// The groups of a JSON list; `None` where an item is no text.
fn of_list(items: &[Value]) -> Option<Vec<Group>> {
    let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
    Some(texts?.into_iter().filter_map(Group::parse).collect())
}

/// What gateways and programs send where a variable has no value.
const PLACEHOLDERS: [&str; 14] = [
    "(null)",
    "-",
    "null",
    "undefined",
    "<nil>",
    "None",
    "anonymous",
    "(none)",
    "<null>",
    "<none>",
    "<no value>",
    "(undefined)",
    "[object Object]",
    "nil",
];

/// What a variable of a gateway's configuration begins with that was not replaced.
const VARIABLES: [&str; 5] = ["${", "%{", "{{", "{http.", "$http_"];

/// What a text that stands for nobody is, for the log: never the text itself.
fn placeholder(text: &str) -> Option<&'static str> {
    // Most names begin with none of these, and each request with identity headers asks.
    let first = text.as_bytes().first()?;
    if !b"(-<[{$%nNuUaA".contains(first) {
        return None;
    }
    let is_variable = || VARIABLES.iter().any(|start| text.starts_with(start));
    let mut known = PLACEHOLDERS.into_iter();
    let known = known.find(|known| known.eq_ignore_ascii_case(text));
    known.or_else(|| is_variable().then_some("a variable that the gateway did not replace"))
}

/// The same for headers in which `anonymous` may be meant.
fn stands_for_nothing(text: &str) -> bool {
    placeholder(text).is_some_and(|placeholder| placeholder != "anonymous")
}

/// The identity in headers of the default names, for tests of the modules above.
#[cfg(test)]
pub(crate) fn identity(headers: &HeaderMap) -> Identity {
    let default = Headers::new(Config::default());
    default.identify(headers).unwrap().unwrap()
}

/// The value of a header that may occur once.
fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    field: Field,
) -> Result<Option<&'a HeaderValue>, Rejected> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(Rejected::Repeated(field));
    }
    Ok(value)
}

/// A text for people; `None` where the header is absent, blank, or in no form that is known.
fn for_people(
    headers: &HeaderMap,
    name: &HeaderName,
    field: Field,
    notes: &mut Vec<Note>,
) -> Result<Option<Box<str>>, Rejected> {
    let Some(value) = single(headers, name, field)? else {
        return Ok(None);
    };
    let text = match encoded_text::read(value.as_bytes().trim_ascii()) {
        ReadText::Plain(text) => text.into(),
        ReadText::Decoded(text) => {
            notes.push(Note::Decoded(field));
            text
        }
        ReadText::Unreadable => {
            notes.push(Note::LeftEmpty(field));
            return Ok(None);
        }
    };
    let text = text.trim_matches(BLANK);
    Ok((!text.is_empty() && !stands_for_nothing(text)).then(|| text.into()))
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
            ["c,d", "dev", "ops"]
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
    fn what_stands_for_nobody_is_nobody_and_what_only_resembles_it_is_a_user() {
        for name in [
            "(null)",
            "-",
            "NULL",
            "Undefined",
            "<nil>",
            "none",
            "Anonymous",
            "${USER}",
        ] {
            assert!(
                matches!(
                    asked(&[("remote-user", name.as_bytes())]),
                    Err(Rejected::Nobody(_))
                ),
                "{name}"
            );
        }
        for name in [
            "nulla",
            "none@x.test",
            "-a",
            "null null",
            "anonymous1",
            "nobody",
        ] {
            assert_eq!(
                identified(&[("remote-user", name.as_bytes())])
                    .user()
                    .as_str(),
                name
            );
        }
    }

    #[test]
    fn the_first_header_that_names_somebody_counts() {
        let config = Config {
            users: ["x-upn", "remote-user"].map(HeaderName::from_static).into(),
            ..Config::default()
        };
        let named = |headers: &[(&'static str, &[u8])]| {
            asked_with(&config, headers)
                .map(|found| found.map(|identity| identity.user().as_str().to_owned()))
        };
        let (alice, bob) = (Ok(Some("alice".to_owned())), Ok(Some("bob".to_owned())));
        assert_eq!(
            named(&[("remote-user", b"bob"), ("x-upn", b"alice")]),
            alice
        );
        assert_eq!(named(&[("remote-user", b"bob"), ("x-upn", b" ")]), bob);
        assert_eq!(named(&[("remote-user", b"bob"), ("x-upn", b"-")]), bob);
        assert_eq!(named(&[("x-upn", b"-")]), Err(Rejected::Nobody("-")));
        assert_eq!(named(&[("x-upn", b"")]), Ok(None));
        // A faulty first header is no reason to take the second.
        assert_eq!(
            named(&[("remote-user", b"bob"), ("x-upn", b"\xff")]),
            Err(Rejected::NotUtf8(Field::User))
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
