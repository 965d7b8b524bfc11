//! From claims to a user: which claim is what, and what a claim must look like.

use super::refused::{MAX_GROUPS, NoUser};
use crate::{
    identity::types::{Attributes, Field},
    model::{Group, Username},
};
use serde_json::{Map, Value};

/// Steps of one path; no provider nests deeper.
const MAX_STEPS: usize = 8;

/// Which claim is used for what.
#[derive(Debug, Clone)]
pub struct ClaimMapping {
    /// The user name. Must be there, as a text.
    pub user: ClaimPath,
    /// Groups: each may be a text (one group, never split), a list of texts, or a list of objects.
    /// Those of all paths together.
    pub groups: Vec<ClaimPath>,
    /// Where groups are objects, the member that names them.
    pub group_member: Option<Box<str>>,
    /// The mail address.
    pub email: ClaimPath,
    /// The name for people.
    pub full_name: ClaimPath,
    /// Put before each user name, so that users of two providers cannot have the same name.
    pub username_prefix: Box<str>,
    /// Put before each group.
    pub group_prefix: Box<str>,
}

/// The claims that OpenID Connect names, and `groups`.
impl Default for ClaimMapping {
    fn default() -> Self {
        let one = |name: &str| ClaimPath(vec![name.into()]);
        Self {
            user: one("preferred_username"),
            groups: vec![one("groups")],
            group_member: None,
            email: one("email"),
            full_name: one("name"),
            username_prefix: "".into(),
            group_prefix: "".into(),
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
    #[error("a claim whose name is a URL has dots that do not nest: put it in double quotes")]
    BareUrl,
    #[error("in a JSON pointer `~` is written `~0`, and only 0 or 1 may follow it")]
    Escape,
}

impl ClaimPath {
    /// Takes `a.b` (nested), `/a/b` (a JSON pointer, RFC 6901) or `"https://a.b/c"` (a quoted name,
    /// also as a step: `resource_access."my.client".roles`).
    ///
    /// # Errors
    /// Which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        let steps = match text.strip_prefix('/') {
            Some(pointer) => pointer
                .split('/')
                .map(unescaped)
                .collect::<Result<Vec<_>, _>>()?,
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
        let name = text(&self.user, claims, Field::User)?.ok_or(NoUser::Missing)?;
        // Until an address is verified, a user can claim one that belongs to another person.
        if self.user.first() == "email"
            && claims
                .get("email_verified")
                .is_some_and(|verified| *verified != true && *verified != "true")
        {
            return Err(NoUser::Unverified);
        }
        Ok(Attributes {
            user: Username::parse(&format!("{}{name}", self.username_prefix))
                .map_err(NoUser::Name)?,
            groups: self.groups(claims)?,
            email: text(&self.email, claims, Field::Email)?
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .map(Box::from),
            full_name: text(&self.full_name, claims, Field::FullName)?
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .map(Box::from),
        })
    }

    fn groups(&self, claims: &Map<String, Value>) -> Result<Vec<Group>, NoUser> {
        const SHAPE: NoUser = NoUser::Shape(Field::Groups);
        let mut groups = Vec::new();
        for path in &self.groups {
            let found = path.of(claims);
            if found.is_none() && too_many_to_send(claims, path.first()) {
                return Err(NoUser::TooManyToSend);
            }
            match found {
                None => {}
                Some(Value::String(one)) => groups.extend(self.group(one)),
                Some(Value::Array(all)) if all.len() > MAX_GROUPS => return Err(NoUser::TooMany),
                Some(Value::Array(all)) => {
                    for entry in all {
                        let name = match (entry, &self.group_member) {
                            (Value::String(name), _) => name,
                            (Value::Object(members), Some(member)) => members
                                .get(&**member)
                                .and_then(Value::as_str)
                                .ok_or(SHAPE)?,
                            _ => return Err(SHAPE),
                        };
                        groups.extend(self.group(name));
                    }
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
            Ok(groups)
        }
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

fn text<'a>(
    path: &ClaimPath,
    claims: &'a Map<String, Value>,
    field: Field,
) -> Result<Option<&'a str>, NoUser> {
    path.of(claims)
        .map(|value| value.as_str().ok_or(NoUser::Shape(field)))
        .transpose()
}
