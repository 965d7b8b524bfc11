//! What an entry of a mapping gives: roles by their names, and roles whose names are made of what
//! the wildcards of the entry stand for.

use super::widening::ADMINISTRATORS;
use crate::model::Role;

/// The longest text that becomes part of a role's name.
const MAX_CAPTURE_BYTES: usize = 128;

/// Roles that no text of a group or a user may become, in Elasticsearch and `OpenSearch`: who may
/// name a group would be an administrator, or the account of a server. A mapping that names such a
/// role still gives it. Beside [`ADMINISTRATORS`].
const NEVER_MADE: [&str; 7] = [
    "security_manager",
    "kibana_server",
    "logstash_system",
    "beats_system",
    "apm_system",
    "transport_client",
    "remote_monitoring_agent",
];

/// The roles of one entry.
#[derive(Debug)]
pub(super) struct Gives {
    pub(super) roles: Vec<Role>,
    pub(super) templates: Vec<RoleTemplate>,
}

/// A role's name with places for what wildcards stand for: `kibana-{1}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoleTemplate {
    role: Role,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    /// Counted from 0.
    Capture(usize),
}

/// A template names a wildcard that its pattern does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{{{0}}}` stands for wildcard {0} of the pattern, which has {1}")]
pub(crate) struct NoSuchWildcard(usize, usize);

/// Why no role was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotMade {
    #[error(
        "the text for a wildcard must have 1 to {MAX_CAPTURE_BYTES} ASCII letters, digits or \
         `. _ - @ +`"
    )]
    Capture,
    #[error("the name that results cannot be a role")]
    Name,
    #[error("the name that results is a role that only a mapping by its own name may give")]
    Reserved,
}

impl Gives {
    /// Sorts out which of the roles are templates. Where one is faulty it gives nothing: the
    /// configuration has reported it.
    pub(super) fn new(pattern: &str, roles: Vec<Role>) -> Self {
        let (mut plain, mut templates) = (Vec::new(), Vec::new());
        for role in roles {
            match RoleTemplate::parse(pattern, &role) {
                Ok(None) => plain.push(role),
                Ok(Some(template)) => templates.push(template),
                Err(NoSuchWildcard(..)) => {}
            }
        }
        Self {
            roles: plain,
            templates,
        }
    }
}

impl RoleTemplate {
    /// A template, or nothing for the plain name of a role. Below an exact name a role is always
    /// plain.
    pub(crate) fn parse(pattern: &str, role: &Role) -> Result<Option<Self>, NoSuchWildcard> {
        let wildcards = pattern.matches('*').count();
        if wildcards == 0 {
            return Ok(None);
        }
        let (mut pieces, mut rest) = (Vec::new(), role.as_str());
        let mut text = String::new();
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            let inner = after.split_once('}');
            let number = inner.and_then(|(digits, after)| Some((digits.parse().ok()?, after)));
            let Some((number, after)) = number else {
                text.push('{');
                rest = after;
                continue;
            };
            if !(1..=wildcards).contains(&number) {
                return Err(NoSuchWildcard(number, wildcards));
            }
            pieces.push(Piece::Text(std::mem::take(&mut text).into()));
            pieces.push(Piece::Capture(number - 1));
            rest = after;
        }
        if pieces.is_empty() {
            return Ok(None);
        }
        text.push_str(rest);
        pieces.push(Piece::Text(text.into()));
        Ok(Some(Self {
            role: role.clone(),
            pieces,
        }))
    }

    /// As it is configured.
    pub(crate) fn as_str(&self) -> &str {
        self.role.as_str()
    }

    /// Whether nothing but what a wildcard stands for is in the name: then whoever can name a group
    /// can name a role.
    pub(crate) fn is_all_capture(&self) -> bool {
        let mut pieces = self.pieces.iter();
        pieces.all(|piece| !matches!(piece, Piece::Text(text) if !text.is_empty()))
    }

    /// The role for what the wildcards stand for.
    pub(super) fn make(&self, captures: &[&str]) -> Result<Role, NotMade> {
        let mut name = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => name.push_str(text),
                Piece::Capture(index) => {
                    let capture = captures.get(*index).copied().unwrap_or_default();
                    if !may_be_captured(capture) {
                        return Err(NotMade::Capture);
                    }
                    name.push_str(capture);
                }
            }
        }
        if !may_be_made(&name) {
            return Err(NotMade::Reserved);
        }
        Role::parse(&name).ok_or(NotMade::Name)
    }
}

/// Whether a text that others choose may be, or become part of, this role's name.
pub(crate) fn may_be_made(name: &str) -> bool {
    let mut reserved = ADMINISTRATORS.iter().chain(&NEVER_MADE);
    !name.starts_with('_') && !reserved.any(|one| one.eq_ignore_ascii_case(name))
}

/// Nothing that has a meaning in a role's name, a path or a pattern.
fn may_be_captured(text: &str) -> bool {
    (1..=MAX_CAPTURE_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(pattern: &str, role: &str) -> Result<Option<RoleTemplate>, NoSuchWildcard> {
        RoleTemplate::parse(pattern, &Role::parse(role).unwrap())
    }

    #[test]
    fn a_number_in_braces_is_a_wildcard_of_the_pattern() {
        for (pattern, role, captures, expected) in [
            ("team-*", "kibana-{1}", &["a"][..], "kibana-a"),
            ("*-*", "{2}/{1}", &["a", "b"], "b/a"),
            ("*", "{1}{1}", &["a"], "aa"),
            ("*", "{x}{1}{", &["a"], "{x}a{"),
        ] {
            let made = template(pattern, role).unwrap().unwrap().make(captures);
            assert_eq!(made.unwrap().as_str(), expected, "{pattern} {role}");
        }
        for (pattern, role) in [("team", "kibana-{1}"), ("*", "viewer"), ("*", "{x}")] {
            assert_eq!(template(pattern, role), Ok(None), "{pattern} {role}");
        }
        for (pattern, role) in [("*", "{0}"), ("*", "{2}"), ("*", "{1}{99}")] {
            assert!(template(pattern, role).is_err(), "{pattern} {role}");
        }
    }

    #[test]
    fn only_plain_text_becomes_part_of_a_role() {
        let kibana = template("*", "kibana-{1}").unwrap().unwrap();
        for text in ["a", "A.b_c-d", "alice@example.org", "a+b", &"x".repeat(128)] {
            assert!(kibana.make(&[text]).is_ok(), "{text}");
        }
        for text in [
            "",
            " ",
            "a b",
            "a/b",
            "a*",
            "a{1}",
            "a,b",
            "\u{e9}",
            "a\u{0}",
            &"x".repeat(129),
        ] {
            assert_eq!(kibana.make(&[text]), Err(NotMade::Capture), "{text}");
        }
    }

    #[test]
    fn no_text_becomes_an_administrators_role() {
        let any = template("*", "{1}").unwrap().unwrap();
        for text in [
            "superuser",
            "SuperUser",
            "all_access",
            "kibana_system",
            "_reserved",
        ] {
            assert_eq!(any.make(&[text]), Err(NotMade::Reserved), "{text}");
        }
        let user = template("*", "super{1}").unwrap().unwrap();
        assert_eq!(user.make(&["user"]), Err(NotMade::Reserved));
        assert!(any.make(&["viewer"]).is_ok());
        assert!(any.is_all_capture() && !user.is_all_capture());
    }
}
