//! From claims to a user: which claim is what, and what a claim must look like.

use super::refused::{MAX_GROUPS, NoUser};
use crate::{
    identity::{
        group_list::{self, Separator},
        types::{Attributes, Field, Note},
        user_name::UserNameRules,
    },
    model::{Group, InvalidUsername, Shown, Username},
};
use serde_json::{Map, Number, Value};

/// Steps of one path; no provider nests deeper.
const MAX_STEPS: usize = 8;

/// Which claim is used for what.
#[derive(Debug, Clone)]
pub struct ClaimMapping {
    /// The user name: the first of these that is there. Never empty.
    pub users: Vec<ClaimPath>,
    /// How such a claim becomes the user name.
    pub user_names: UserNameRules,
    /// Groups: those of all paths together.
    pub groups: Vec<ClaimPath>,
    /// Where groups are a list of objects, the member that names them.
    pub group_member: Box<str>,
    /// What separates groups in one text. Without it a text is one group.
    pub separator: Option<Separator>,
    /// The mail address.
    pub email: ClaimPath,
    /// The name for people.
    pub full_name: ClaimPath,
    /// Put before each user name, so that users of two providers cannot have the same name.
    pub username_prefix: Box<str>,
    /// Put before each group.
    pub group_prefix: Box<str>,
    /// Where the user name is a mail address: refuse one of which the provider does not say whether
    /// it is verified.
    pub email_verified_required: bool,
}

/// The claims that OpenID Connect names, and `groups`.
impl Default for ClaimMapping {
    fn default() -> Self {
        let one = |name: &str| ClaimPath(vec![name.into()]);
        Self {
            users: vec![one("preferred_username")],
            user_names: UserNameRules::default(),
            groups: vec![one("groups")],
            group_member: "name".into(),
            separator: None,
            email: one("email"),
            full_name: one("name"),
            username_prefix: "".into(),
            group_prefix: "".into(),
            email_verified_required: true,
        }
    }
}

/// The path to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPath(Vec<Box<str>>);

/// Why a text is not a path to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    #[error("a path has 1 to {MAX_STEPS} steps, none of them empty")]
    Steps,
    #[error("a quoted name ends with its quote, and a dot or nothing follows")]
    Quotes,
    #[error("a step whose name is a URL has dots that do not nest: put it in double quotes")]
    BareUrl,
    #[error("in a JSON pointer `~` is written `~0`, and only 0 or 1 may follow it")]
    Escape,
}

impl ClaimPath {
    /// Takes `a.b` (nested), `/a/b` (a JSON pointer, RFC 6901), `https://a.b/c` (the name of one
    /// claim) or `"a.b"` (a quoted name, also as a step: `resource_access."my.client".roles`).
    ///
    /// # Errors
    /// Which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        let steps = match text.strip_prefix('/') {
            Some(pointer) => pointer
                .split('/')
                .map(unescaped)
                .collect::<Result<Vec<_>, _>>()?,
            None if text.contains("://") && !text.contains('"') => vec![text.into()],
            None => dotted(text)?,
        };
        if !(1..=MAX_STEPS).contains(&steps.len()) || steps.iter().any(|step| step.is_empty()) {
            return Err(InvalidPath::Steps);
        }
        Ok(Self(steps))
    }

    /// The value at the path. Null counts as absent.
    fn of<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let (first, rest) = self.0.split_first()?;
        let value = rest
            .iter()
            .try_fold(claims.get(&**first)?, |value, step| value.get(&**step))?;
        (!value.is_null()).then_some(value)
    }

    fn first(&self) -> &str {
        self.0.first().map_or("", |first| first)
    }

    /// Whether the claim holds what its user may have typed as their address.
    pub(crate) fn is_mail(&self) -> bool {
        self.0.last().is_some_and(|last| &**last == "email")
    }

    /// What the provider says of the address: beside it, or else at the top. `None`: nothing.
    fn is_verified(&self, claims: &Map<String, Value>) -> Option<bool> {
        const NAME: &str = "email_verified";
        let parents = self.0.split_last().map_or(&[][..], |(_, parents)| parents);
        let beside = match parents.split_first() {
            None => None,
            Some((first, rest)) => rest
                .iter()
                .try_fold(claims.get(&**first)?, |value, step| value.get(&**step))
                .and_then(|parent| parent.get(NAME)),
        };
        let verified = beside
            .or_else(|| claims.get(NAME))
            .filter(|said| !said.is_null())?;
        // Some write it as a text.
        Some(*verified == true || *verified == "true")
    }
}

fn unescaped(step: &str) -> Result<Box<str>, InvalidPath> {
    let plain = step.replace("~1", "\u{0}").replace("~0", "\u{1}");
    if plain.contains('~') {
        return Err(InvalidPath::Escape);
    }
    Ok(plain.replace('\u{0}', "/").replace('\u{1}', "~").into())
}

fn dotted(text: &str) -> Result<Vec<Box<str>>, InvalidPath> {
    let mut steps = Vec::new();
    let mut rest = text;
    loop {
        let after = if let Some(quoted) = rest.strip_prefix('"') {
            let (name, after) = quoted.split_once('"').ok_or(InvalidPath::Quotes)?;
            steps.push(name.into());
            after
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            let (name, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            if name.contains("://") {
                return Err(InvalidPath::BareUrl);
            }
            if name.contains('"') {
                return Err(InvalidPath::Quotes);
            }
            steps.push(name.into());
            after
        };
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(steps),
            None => return Err(InvalidPath::Quotes),
        }
    }
}

impl ClaimMapping {
    /// Reads a user out of claims that have been judged.
    pub(super) fn person(&self, claims: &Map<String, Value>) -> Result<Attributes, NoUser> {
        let (path, text) = self.user(claims)?;
        // Until an address is verified, a user can claim one that belongs to another person.
        if path.is_mail() {
            match path.is_verified(claims) {
                Some(false) => return Err(NoUser::Unverified),
                None if self.email_verified_required => return Err(NoUser::PerhapsUnverified),
                Some(true) | None => {}
            }
        }
        let name = self.user_names.apply(text);
        let name = name.ok_or_else(|| NoUser::Pattern(Shown::text(text)))?;
        let impossible = |why| NoUser::Name(Shown::text(&name), why);
        // The prefix makes no name of what is none by itself.
        if name.trim().is_empty() {
            return Err(impossible(InvalidUsername::Empty));
        }
        let user = Username::parse(&format!("{}{name}", self.username_prefix));
        let user = user.map_err(impossible)?;
        let (groups, joined) = self.groups(claims)?;
        let mut notes = Vec::new();
        Ok(Attributes {
            user,
            groups,
            joined,
            email: for_people(&self.email, claims, Field::Email, &mut notes)
                .filter(|_| self.email.is_verified(claims) != Some(false)),
            full_name: for_people(&self.full_name, claims, Field::FullName, &mut notes),
            notes,
        })
    }

    /// The first claim for the user name that is there, and its text.
    fn user<'a>(&self, claims: &'a Map<String, Value>) -> Result<(&ClaimPath, &'a str), NoUser> {
        let mut none = NoUser::Missing;
        for path in &self.users {
            match path.of(claims) {
                None => {}
                Some(value) => match only_text(value).ok_or(NoUser::Shape(Field::User))? {
                    "" => none = NoUser::Name(Shown::text(""), InvalidUsername::Empty),
                    text => return Ok((path, text)),
                },
            }
        }
        Err(none)
    }

    /// The groups, and a text among them that looks like several.
    fn groups(&self, claims: &Map<String, Value>) -> Result<(Vec<Group>, Option<Group>), NoUser> {
        let (mut groups, mut joined) = (Vec::new(), None);
        for path in &self.groups {
            match path.of(claims) {
                None if too_many_to_send(claims, path.first()) => {
                    return Err(NoUser::TooManyToSend);
                }
                None => {}
                Some(Value::String(text)) => {
                    let looks_joined = self.of_text(text, &mut groups)?;
                    joined = joined.or(looks_joined);
                }
                Some(Value::Array(items)) => self.of_list(items, &mut groups)?,
                Some(Value::Object(members)) => self.of_keys(members, &mut groups)?,
                Some(Value::Number(number)) => {
                    groups.extend(self.group(&whole(number).ok_or(SHAPE)?));
                }
                Some(_) => return Err(SHAPE),
            }
        }
        // Sorted, so that the order in which a provider happens to name them changes nothing
        // downstream.
        groups.sort_unstable();
        groups.dedup();
        // They stay in memory for as long as the token is remembered.
        groups.shrink_to_fit();
        if groups.len() > MAX_GROUPS {
            Err(NoUser::TooMany)
        } else {
            Ok((groups, joined))
        }
    }

    /// A text is a JSON list, or what the separator says, or one group. Returns one that looks like
    /// several.
    fn of_text(&self, text: &str, groups: &mut Vec<Group>) -> Result<Option<Group>, NoUser> {
        if let Some(items) = group_list::json_list(text) {
            return self.of_list(&items, groups).map(|()| None);
        }
        if let Some(separator) = self.separator {
            // As Java and Go write a list.
            let inner = text.strip_prefix('[');
            let inner = inner.and_then(|text| text.strip_suffix(']'));
            separator.split(inner.unwrap_or(text), |item| {
                groups.extend(self.group(item));
            });
            return Ok(None);
        }
        let group = self.group(text);
        groups.extend(group.clone());
        Ok(group_list::suspect(group.as_slice()))
    }

    fn of_list(&self, items: &[Value], groups: &mut Vec<Group>) -> Result<(), NoUser> {
        if items.len() > MAX_GROUPS {
            return Err(NoUser::TooMany);
        }
        for item in items {
            let named = match item.as_object() {
                Some(members) => members.get(&*self.group_member).ok_or(SHAPE)?,
                None => item,
            };
            match named {
                Value::String(name) => groups.extend(self.group(name)),
                Value::Number(number) => {
                    groups.extend(self.group(&whole(number).ok_or(SHAPE)?));
                }
                Value::Null => {}
                Value::Bool(_) | Value::Array(_) | Value::Object(_) => return Err(SHAPE),
            }
        }
        Ok(())
    }

    /// The keys of an object whose values say more about each group, as Zitadel sends them. A list
    /// below a key means that the path of the claim is one step too short.
    fn of_keys(&self, members: &Map<String, Value>, groups: &mut Vec<Group>) -> Result<(), NoUser> {
        if members.len() > MAX_GROUPS {
            return Err(NoUser::TooMany);
        }
        for (name, value) in members {
            match value {
                Value::Object(_) | Value::String(_) | Value::Bool(true) => {
                    groups.extend(self.group(name));
                }
                Value::Bool(false) | Value::Null => {}
                Value::Number(_) | Value::Array(_) => return Err(SHAPE),
            }
        }
        Ok(())
    }

    fn group(&self, name: &str) -> Option<Group> {
        Group::parse(name).and_then(|group| {
            if self.group_prefix.is_empty() {
                Some(group)
            } else {
                Group::parse(&format!("{}{}", self.group_prefix, group.as_str()))
            }
        })
    }
}

const SHAPE: NoUser = NoUser::Shape(Field::Groups);

/// The text of a whole number. A larger one has lost its last digits on the way, and with them says
/// another group.
fn whole(number: &Number) -> Option<String> {
    (number.is_u64() || number.is_i64()).then(|| number.to_string())
}

/// A text, or that of a list of one; empty for an empty list.
fn only_text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Array(items) => match items.as_slice() {
            [] => Some(""),
            [Value::String(text)] => Some(text),
            _ => None,
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

/// A text for people: of a list, the first. Nothing is decided by it, so one that is no text
/// refuses nobody.
fn for_people(
    path: &ClaimPath,
    claims: &Map<String, Value>,
    field: Field,
    notes: &mut Vec<Note>,
) -> Option<Box<str>> {
    let value = path.of(claims)?;
    let value = match value.as_array() {
        Some(items) => items.first()?,
        None => value,
    };
    let Some(text) = value.as_str() else {
        notes.push(Note::LeftEmpty(field));
        return None;
    };
    let text = text.trim();
    (!text.is_empty()).then(|| text.into())
}

/// Entra ID's way to say that the groups do not fit: it names the claim and an address to fetch it
/// from, or sets `hasgroups`. Understood as "no groups" it would give default roles.
fn too_many_to_send(claims: &Map<String, Value>, claim: &str) -> bool {
    let elsewhere = claims
        .get("_claim_names")
        .is_some_and(|names| names.get(claim).is_some());
    let has = claims
        .get("hasgroups")
        .is_some_and(|has| *has == true || *has == "true");
    elsewhere || (has && claim == "groups")
}
