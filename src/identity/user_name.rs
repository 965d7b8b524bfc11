//! How the text that names a user becomes the user name: by a pattern, and in one case.

use regex::{Regex, RegexBuilder};
use std::borrow::Cow;

/// The memory of a compiled pattern. A pattern for names has some kilobytes; more is a mistake.
const MAX_PATTERN_BYTES: usize = 256 * 1024;

/// The rules of one provider. The default keeps each text as it is.
#[derive(Debug, Clone, Default)]
pub struct UserNameRules {
    /// Takes the user name out of the text.
    pub pattern: Option<UserNamePattern>,
    /// Applied after the pattern.
    pub case: UserNameCase,
}

/// Whether the case of a user name is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UserNameCase {
    #[default]
    Keep,
    /// ASCII capitals become small letters: a user name has no others.
    Lower,
}

impl UserNameRules {
    /// The user name in a text; `None` where the pattern does not match all of it.
    pub(super) fn apply<'a>(&self, text: &'a str) -> Option<Cow<'a, str>> {
        let name = match &self.pattern {
            Some(pattern) => pattern.name_in(text)?,
            None => text,
        };
        let has_capital = || name.bytes().any(|byte| byte.is_ascii_uppercase());
        Some(match self.case {
            UserNameCase::Lower if has_capital() => name.to_ascii_lowercase().into(),
            UserNameCase::Lower | UserNameCase::Keep => name.into(),
        })
    }

    /// Whether two texts can become one name. Then only the subject tells two people apart.
    pub(super) fn can_join_two(&self) -> bool {
        self.pattern.is_some() || self.case != UserNameCase::Keep
    }
}

/// A regular expression with one group, which is the user name. It must match the whole text. The
/// time is linear in the text: the crate has no back-references and no look-around.
#[derive(Debug, Clone)]
pub struct UserNamePattern(Regex);

/// Why a text is not such a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    #[error("it is not a regular expression, or too large a one")]
    Regex,
    #[error("it must have exactly one group, `(…)`, which matches the user name")]
    Groups,
}

impl UserNamePattern {
    /// Compiles it.
    ///
    /// # Errors
    /// See [`InvalidPattern`].
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let compiled = |text: &str| {
            let mut builder = RegexBuilder::new(text);
            let limited = builder
                .size_limit(MAX_PATTERN_BYTES)
                .dfa_size_limit(MAX_PATTERN_BYTES);
            limited.build().map_err(|_| InvalidPattern::Regex)
        };
        // By itself first: `a)|(b` would be one only within the parentheses below.
        if compiled(text)?.captures_len() != 2 {
            return Err(InvalidPattern::Groups);
        }
        compiled(&format!(r"\A(?:{text})\z")).map(Self)
    }

    fn name_in<'a>(&self, text: &'a str) -> Option<&'a str> {
        let name = self.0.captures(text)?.get(1)?;
        Some(name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(pattern: &str, case: UserNameCase) -> UserNameRules {
        let pattern = (!pattern.is_empty()).then(|| UserNamePattern::parse(pattern).unwrap());
        UserNameRules { pattern, case }
    }

    #[test]
    fn the_group_of_the_pattern_is_the_name_and_all_of_the_text_must_match() {
        for (pattern, text, name) in [
            (
                r"accounts\.google\.com:(.+)",
                "accounts.google.com:alice@x.org",
                Some("alice@x.org"),
            ),
            (r"CORP\\(.+)", r"CORP\alice", Some("alice")),
            (r"CORP\\(.+)", r"OTHER\alice", None),
            (r"CORP\\(.+)", "alice", None),
            (r"([^@]+)@REALM", "alice@REALM", Some("alice")),
            (r"([^@]+)@REALM", "alice@REALM.evil", None),
            (r"([^@]+)@REALM", "x\nalice@REALM", Some("x\nalice")),
            (r"(?:CORP\\)?(.+)", "alice", Some("alice")),
            (r"(?i:corp)\\(.+)", r"Corp\Alice", Some("Alice")),
            // An alternative is not a way around the ends.
            (r"(a)|b", "b", None),
            (r"(a)|b", "ab", None),
        ] {
            let found = rules(pattern, UserNameCase::Keep);
            assert_eq!(found.apply(text).as_deref(), name, "{pattern} {text}");
        }
    }

    #[test]
    fn small_letters_are_for_ascii_and_come_after_the_pattern() {
        let lower = rules("", UserNameCase::Lower);
        assert_eq!(lower.apply("Alice@Corp").as_deref(), Some("alice@corp"));
        assert_eq!(lower.apply("ÉVA").as_deref(), Some("Éva"));
        let both = rules(r"CORP\\(.+)", UserNameCase::Lower);
        assert_eq!(both.apply(r"CORP\Alice").as_deref(), Some("alice"));
        assert_eq!(both.apply(r"corp\Alice"), None);
    }

    #[test]
    fn what_is_no_pattern_with_one_group_is_refused() {
        for (text, why) in [
            ("alice", InvalidPattern::Groups),
            ("(a)(b)", InvalidPattern::Groups),
            ("(?:a)", InvalidPattern::Groups),
            ("(a", InvalidPattern::Regex),
            ("a)|(b", InvalidPattern::Regex),
            (r"(a)\1", InvalidPattern::Regex),
            ("(?=a)(b)", InvalidPattern::Regex),
            (r"(\w{1000}){1000}", InvalidPattern::Regex),
        ] {
            assert_eq!(UserNamePattern::parse(text).err(), Some(why), "{text}");
        }
    }

    #[test]
    fn a_pattern_that_is_slow_elsewhere_is_not_slow_here() {
        let slow = UserNamePattern::parse("((?:a+)+)b").unwrap();
        assert_eq!(slow.name_in(&"a".repeat(60_000)), None);
    }
}
