//! Group patterns: a name, or a text with `*`.

use crate::model::Group;
use std::collections::HashMap;

/// Values by group pattern. ASCII letters compare without regard to case; other letters compare as
/// they are, because there are several ways to fold them and a wrong one would give roles.
#[derive(Debug)]
pub(super) struct PatternTable<V> {
    exact: HashMap<Box<str>, Vec<(Group, V)>>,
    wildcards: Vec<(Box<str>, Group, V)>,
}

impl<V> PatternTable<V> {
    pub(super) fn new(entries: Vec<(Group, V)>) -> Self {
        let mut table = Self {
            exact: HashMap::new(),
            wildcards: Vec::new(),
        };
        for (pattern, value) in entries {
            let folded = pattern.as_str().to_ascii_lowercase().into_boxed_str();
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

    /// The entries that match a group, each with its pattern as it was configured.
    pub(super) fn matching(&self, group: &str) -> impl Iterator<Item = (&str, &V)> {
        let group = group.to_ascii_lowercase();
        let exact = self
            .exact
            .get(group.as_str())
            .into_iter()
            .flatten()
            .map(|(pattern, value)| (pattern.as_str(), value));
        let fitting = self
            .wildcards
            .iter()
            .filter(move |(folded, ..)| fits(folded, &group));
        exact.chain(fitting.map(|(_, pattern, value)| (pattern.as_str(), value)))
    }
}

/// Whether `pattern` matches every group that `other`, a pattern too, matches. Only a `*` of
/// `pattern` can match a `*` of `other`.
pub(super) fn covers(pattern: &str, other: &str) -> bool {
    fits(&pattern.to_ascii_lowercase(), &other.to_ascii_lowercase())
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
    fn a_pattern_of_many_wildcards_takes_no_longer() {
        let pattern = "*a".repeat(500) + "b";
        assert!(!fits(&pattern, &"a".repeat(60_000)));
    }
}
