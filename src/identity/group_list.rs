//! Several groups in one text: separated, in quotes, or as a JSON list.

use crate::model::Group;
use serde_json::Value;
use std::borrow::Cow;

/// What HTTP allows around a value (RFC 9110, optional white space). No other white space is
/// dropped: a directory may have both `ops` and `ops` with a no-break space behind it.
pub(super) const BLANK: [char; 2] = [' ', '\t'];

/// What separates groups in one text. Each was seen between groups, and none is usual within one
/// but for the blank, which has to be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Separator {
    #[default]
    Comma,
    Pipe,
    Semicolon,
    Space,
}

impl Separator {
    const ALL: [Self; 4] = [Self::Comma, Self::Pipe, Self::Semicolon, Self::Space];

    /// Its character.
    #[must_use]
    pub const fn char(self) -> char {
        match self {
            Self::Comma => ',',
            Self::Pipe => '|',
            Self::Semicolon => ';',
            Self::Space => ' ',
        }
    }

    /// The groups of a text, in their order. An item may be in double quotes, in which a separator
    /// is part of the name.
    pub(super) fn split(self, text: &str, mut take: impl FnMut(&str)) {
        if !text.contains('"') {
            return text.split(self.char()).for_each(take);
        }
        let mut rest = Some(text);
        while let Some(text) = rest {
            let text = text.trim_start_matches(BLANK);
            if let Some((item, after)) = self.quoted(text) {
                take(&item);
                rest = after;
            } else {
                let (item, after) = match text.split_once(self.char()) {
                    Some((item, after)) => (item, Some(after)),
                    None => (text, None),
                };
                take(item);
                rest = after;
            }
        }
    }

    /// The item in quotes that a text begins with, and what is behind its separator. A quote that
    /// does not end before a separator is part of a name.
    fn quoted(self, text: &str) -> Option<(Cow<'_, str>, Option<&str>)> {
        let inner = text.strip_prefix('"')?;
        let mut escaped = false;
        let end = inner.find(|c| {
            let is_end = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            is_end
        })?;
        let (item, after) = inner.split_at_checked(end)?;
        let after = after.strip_prefix('"')?;
        let after = match after.trim_start_matches(BLANK) {
            "" => None,
            // A blank is trimmed with the others.
            _ if self == Self::Space && after.starts_with(BLANK) => Some(after),
            rest => Some(rest.strip_prefix(self.char())?),
        };
        let item = if item.contains('\\') {
            item.replace("\\\"", "\"").replace("\\\\", "\\").into()
        } else {
            item.into()
        };
        Some((item, after))
    }
}

/// The items of a text that is a JSON list.
pub(super) fn json_list(text: &str) -> Option<Vec<Value>> {
    let text = text.trim_matches(BLANK);
    if !(text.starts_with('[') && text.ends_with(']')) {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// A text among several groups that may be several itself. A blank is usual in the name of one
/// group, so it counts only where there is no other group.
pub(super) fn suspect(groups: &[Group]) -> Option<Group> {
    // Without an early return, so that the compiler checks many bytes at once: every request with
    // identity headers is checked.
    let has = |group: &Group, among: fn(u8) -> bool| {
        let bytes = group.as_str().bytes();
        bytes.fold(false, |so_far, byte| so_far | among(byte))
    };
    match groups {
        [only] if has(only, |byte| matches!(byte, b',' | b'|' | b';' | b' ')) => Some(only.clone()),
        _ => {
            let mut groups = groups.iter();
            let found = groups.find(|one| has(one, |byte| matches!(byte, b'|' | b';')));
            found.cloned()
        }
    }
}

/// The groups of a text that looks like several, for a hint. Decides nothing.
pub(crate) fn parts(group: &Group) -> Option<(Separator, Vec<Group>)> {
    Separator::ALL.into_iter().find_map(|separator| {
        let text = group.as_str();
        let inner = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        let mut parts = Vec::new();
        separator.split(inner.unwrap_or(text), |part| {
            parts.extend(Group::parse(part));
        });
        (parts.len() > 1).then_some((separator, parts))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(separator: char, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        Separator::ALL
            .into_iter()
            .find(|one| one.char() == separator)
            .unwrap()
            .split(text, |item| {
                found.extend(Group::parse(item).map(|group| group.as_str().to_owned()));
            });
        found
    }

    #[test]
    fn a_text_is_split_at_the_separator_and_not_within_quotes() {
        for (separator, text, expected) in [
            (',', "a, b ,c", &["a", "b", "c"][..]),
            (',', ",,a,", &["a"]),
            ('|', "a|b c|d,e", &["a", "b c", "d,e"]),
            (';', "a;b", &["a", "b"]),
            (' ', "a  b", &["a", "b"]),
            (' ', "\"a b\" c", &["a b", "c"]),
            (',', "\"a,b\", \"c\"", &["a,b", "c"]),
            (',', "\"a\\\"b\",\"c\\\\d\"", &["a\"b", "c\\d"]),
            (',', "\"\",a", &["a"]),
            // Quotes that do not enclose an item are part of names.
            (',', "\"a,b", &["\"a", "b"]),
            (',', "\"a\"b,c", &["\"a\"b", "c"]),
            (',', "a\"b,c\"", &["a\"b", "c\""]),
            (',', "\"a\\", &["\"a\\"]),
        ] {
            assert_eq!(split(separator, text), expected, "{separator:?} {text}");
        }
    }

    #[test]
    fn many_quotes_take_no_longer() {
        assert_eq!(split(',', &"\"a,".repeat(20_000)).len(), 20_000);
        assert_eq!(split(',', &"\"\\\",".repeat(20_000)).len(), 20_000);
    }

    #[test]
    fn a_text_that_looks_like_several_groups_says_by_what_they_are_joined() {
        let parts = |text: &str| {
            let (separator, parts) = parts(&Group::parse(text)?)?;
            Some(format!("{} {}", separator.char(), parts.len()))
        };
        for (text, expected) in [
            ("a,b", Some(", 2")),
            ("a|b|c", Some("| 3")),
            ("a; b", Some("; 2")),
            ("[a, b]", Some(", 2")),
            ("Domain Users", Some("  2")),
            ("a", None),
            ("[a]", None),
            ("a,", None),
        ] {
            assert_eq!(parts(text).as_deref(), expected, "{text}");
        }
    }
}
