//! Identity headers that an authentication service in front has set.
//!
//! How gateways deliver them was measured: the bytes may not be UTF-8, a repeated header arrives
//! twice or joined by a comma, "no groups" is a header that is present and empty, and a client can
//! cause a header to be absent.

#[cfg(test)]
mod tests;

use super::{
    encoded_text::{self, ReadText},
    group_list::{self, BLANK, Separator},
    placeholder::{placeholder, stands_for_nothing},
    rejected::Rejected,
    types::{Attributes, Field, Identity, Note, Provider, Statement},
    user_name::UserNameRules,
};
use crate::model::{Group, Shown, Username};
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
            return Err(Rejected::Joined(Shown::text(text)));
        }
        let name = config.user_names.apply(text);
        let name = name.ok_or_else(|| Rejected::Pattern(Shown::text(text)))?;
        if let (Some(placeholder), true) = (placeholder(&name), *name != *text) {
            return Err(Rejected::Nobody(placeholder));
        }
        let user = Username::parse(&name);
        let user = user.map_err(|why| Rejected::Name(Shown::text(&name), why))?;
        if config.groups_required && !headers.contains_key(&config.groups) {
            return Err(Rejected::GroupsMissing(Shown::text(user.as_str())));
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
                    // A list that is no JSON. Other texts may begin with a bracket.
                    Some(None) | None if text.trim_end_matches(BLANK).ends_with(']') => {
                        joined = Group::parse(text);
                    }
                    Some(None) | None => {}
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
        let all = headers.get_all(name).iter().map(HeaderValue::as_bytes);
        return Err(Rejected::Repeated(field, Shown::header(all)));
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
    let text = std::str::from_utf8(value.as_bytes());
    text.map_err(|_| Rejected::NotUtf8(field, Shown::header([value.as_bytes()])))
}
