//! Patterns for groups and user names: a name, or a text with `*`.

use crate::model::Group;
use std::{borrow::Cow, collections::HashMap};

/// Values by pattern.
#[derive(Debug)]
pub(super) struct PatternTable<V> {
    case: Case,
    exact: HashMap<Box<str>, Vec<(Group, V)>>,
    wildcards: Vec<(Box<str>, Group, V)>,
}

/// How a table compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// ASCII letters without regard to case; other letters as they are, because there are several
    /// ways to fold them and a wrong one would give roles.
    Folded,
    /// Byte for byte: to the cluster, `Alice` and `alice` are two users.
    Kept,
}

impl Case {
    fn of(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Folded => text.to_ascii_lowercase().into(),
            Self::Kept => text.into(),
        }
    }
}

impl<V> PatternTable<V> {
    pub(super) fn new(case: Case, entries: Vec<(Group, V)>) -> Self {
        let mut table = Self {
            case,
            exact: HashMap::new(),
            wildcards: Vec::new(),
        };
        for (pattern, value) in entries {
            let folded: Box<str> = case.of(pattern.as_str()).into();
            if folded.contains('*') {
                table.wildcards.push((folded, pattern, value));
            } else {
                table
                    .exact
                    .entry(folded)
                    .or_default()
                    .push((pattern, value));
            }
        }
        table
    }

    /// The entries that match a name, each with its pattern as it was configured.
    pub(super) fn matching<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a V)> {
        let name = self.case.of(name);
        let exact = self
            .exact
            .get(&*name)
            .into_iter()
            .flatten()
            .map(|(pattern, value)| (pattern.as_str(), value));
        let fitting = self
            .wildcards
            .iter()
            .filter(move |(folded, ..)| fits(folded, &name));
        exact.chain(fitting.map(|(_, pattern, value)| (pattern.as_str(), value)))
    }

    /// Whether an entry matches.
    pub(super) fn matches(&self, name: &str) -> bool {
        self.matching(name).next().is_some()
    }

    /// What each `*` of a pattern stands for in a name that it matches, in the name's own letters.
    /// Each but the last takes as little as it can.
    pub(super) fn captures<'n>(&self, pattern: &str, name: &'n str) -> Vec<&'n str> {
        let (pattern, folded) = (self.case.of(pattern), self.case.of(name));
        let mut pieces = pattern.split('*');
        let first = pieces.next().unwrap_or_default();
        let pieces: Vec<&str> = pieces.collect();
        let mut at = first.len();
        let mut captures = Vec::with_capacity(pieces.len());
        for (index, piece) in pieces.iter().enumerate() {
            let end = if index + 1 == pieces.len() {
                folded.len().checked_sub(piece.len())
            } else {
                folded
                    .get(at..)
                    .and_then(|rest| rest.find(piece))
                    .map(|found| at + found)
            };
            // Folding changes no length, so the places are those of the name.
            let end = end.unwrap_or(at);
            captures.push(name.get(at..end).unwrap_or_default());
            at = end + piece.len();
        }
        captures
    }
}

/// Whether `pattern` matches every name that `other`, a pattern too, matches. Only a `*` of
/// `pattern` can match a `*` of `other`.
pub(super) fn covers(case: Case, pattern: &str, other: &str) -> bool {
    fits(&case.of(pattern), &case.of(other))
}

/// Whether `pattern` matches all of `text`; each `*` matches any text, also none. The time is
/// linear in both for one `*` and never exponential: on a mismatch only the last `*` takes one byte
/// more.
fn fits(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let mut last = None;
    for piece in pieces {
        if let Some(between) = last.replace(piece) {
            match rest.find(between) {
                Some(at) => rest = rest.get(at + between.len()..).unwrap_or_default(),
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |tail| rest.ends_with(tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_matches_any_text() {
        for (pattern, group, expected) in [
            ("*", "anything", true),
            ("team-*", "team-a", true),
            ("team-*", "team-", true),
            ("team-*", "steam-a", false),
            ("*-admins", "kibana-admins", true),
            ("*-admins", "kibana-admins-not", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "ac", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("ab*ba", "aba", false),
            ("**", "", true),
            ("/org/*/admins", "/org/team-a/admins", true),
        ] {
            assert_eq!(fits(pattern, group), expected, "{pattern} {group}");
        }
    }

    #[test]
    fn each_wildcard_captures_what_it_stands_for() {
        for (pattern, name, expected) in [
            ("team-*", "Team-A", &["A"][..]),
            ("*", "a", &["a"]),
            ("team-*", "team-", &[""]),
            ("*-admins", "kibana-admins", &["kibana"]),
            ("/*/*/admins", "/org/a/b/admins", &["org", "a/b"]),
            ("a*b*c", "a-b-b-c", &["-", "-b-"]),
            ("**", "ab", &["", "ab"]),
            ("*é*", "aéÉ", &["a", "É"]),
            ("exact", "exact", &[]),
        ] {
            let table = PatternTable::<()>::new(Case::Folded, Vec::new());
            assert!(fits(pattern, &name.to_ascii_lowercase()), "{pattern}");
            assert_eq!(table.captures(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn where_case_is_kept_it_counts() {
        let entry = |name| (Group::parse(name).unwrap(), ());
        let table = PatternTable::new(Case::Kept, vec![entry("Alice"), entry("svc-*")]);
        for (name, matches) in [
            ("Alice", true),
            ("alice", false),
            ("svc-a", true),
            ("SVC-a", false),
        ] {
            assert_eq!(table.matches(name), matches, "{name}");
        }
    }

    #[test]
    fn a_pattern_of_many_wildcards_takes_no_longer() {
        let pattern = "*a".repeat(500) + "b";
        assert!(!fits(&pattern, &"a".repeat(60_000)));
    }
}
