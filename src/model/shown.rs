//! Values from outside, as logs and `explain` may show them: bounded and escaped.

use serde_json::Value;
use std::fmt::{self, Write as _};

/// Of one value. Names of users and issuers are shorter.
const MAX_CHARS: usize = 120;
/// Of a list of what was expected.
const MAX_EXPECTED: usize = 5;

/// A value from outside, bounded and escaped. It may be an attacker's, so it is for operators
/// alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown(Box<str>);

impl Shown {
    /// A text in quotes.
    #[must_use]
    pub fn text(text: &str) -> Self {
        let bounded: String = text.chars().take(MAX_CHARS + 1).collect();
        Self::json(&Value::String(bounded))
    }

    /// The values of a header. What is not UTF-8 is shown as U+FFFD.
    #[must_use]
    pub fn header<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut shown = values.into_iter().map(|bytes| {
            let start = bytes.get(..4 * MAX_CHARS + 4).unwrap_or(bytes);
            Self::text(&String::from_utf8_lossy(start))
        });
        Self(list(&mut shown).into())
    }

    /// Any JSON value.
    #[must_use]
    pub fn json(value: &Value) -> Self {
        let json = value.to_string();
        let mut chars = json.chars();
        let mut shown = String::new();
        for char in chars.by_ref().take(MAX_CHARS + 2) {
            // JSON itself escapes these and control characters; the others that do not print are
            // escaped here.
            if matches!(char, '"' | '\\' | '\'') {
                shown.push(char);
            } else {
                shown.extend(char.escape_debug());
            }
        }
        if chars.next().is_some() {
            shown.push('…');
        }
        Self(shown.into())
    }

    /// Members of a token beside what was expected of the last of them.
    #[must_use]
    pub fn mismatch<'a>(
        found: &[(&str, Option<&Value>)],
        expected: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut shown = String::new();
        for (index, (name, value)) in found.iter().enumerate() {
            let and = if index == 0 { "" } else { " and " };
            let _infallible = match value {
                Some(value) => write!(shown, "{and}`{name}` is {}", Self::json(value)),
                None => write!(shown, "{and}`{name}` is missing"),
            };
        }
        let expected = list(&mut expected.into_iter().map(Self::text));
        if expected.is_empty() {
            return Self(format!("{shown}, and none is configured").into());
        }
        Self(format!("{shown}, expected {expected}").into())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn list(all: &mut dyn Iterator<Item = Shown>) -> String {
    let some: Vec<String> = all.take(MAX_EXPECTED).map(|one| one.0.into()).collect();
    let more = match all.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    some.join(", ") + &more
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_shown_is_bounded_and_escaped() {
        for (value, expected) in [
            (json!("https://idp.test/"), r#""https://idp.test/""#),
            (
                json!("a\n\u{1b}[31m\"\u{202e}b"),
                r#""a\n\u001b[31m\"\u{202e}b""#,
            ),
            (json!(["a", 7, null]), r#"["a",7,null]"#),
            (json!(7), "7"),
        ] {
            assert_eq!(Shown::json(&value).to_string(), expected);
        }
        for long in [json!("x".repeat(10_000)), json!(vec!["\u{202e}"; 10_000])] {
            let shown = Shown::json(&long).to_string();
            assert!(shown.ends_with('…') && shown.len() < 1_000, "{shown}");
        }
        assert_eq!(Shown::text(&"x".repeat(MAX_CHARS)).0.len(), MAX_CHARS + 2);
        let header = Shown::header([&b"al\xffce"[..], b"bob"]);
        assert_eq!(header.to_string(), "\"al\u{fffd}ce\", \"bob\"");
    }

    #[test]
    fn what_was_found_is_beside_what_was_expected() {
        let many: Vec<String> = (0..7).map(|n| n.to_string()).collect();
        let (found, client) = (json!(["x"]), json!("y"));
        for (found, expected, shown) in [
            (
                &[("iss", None)][..],
                &many[..1],
                "`iss` is missing, expected \"0\"",
            ),
            (
                &[("aud", Some(&found))],
                &many[..],
                "`aud` is [\"x\"], expected \"0\", \"1\", \"2\", \"3\", \"4\" and 2 more",
            ),
            (
                &[("aud", None), ("client_id", Some(&client))],
                &many[..2],
                "`aud` is missing and `client_id` is \"y\", expected \"0\", \"1\"",
            ),
        ] {
            let expected = expected.iter().map(String::as_str);
            assert_eq!(Shown::mismatch(found, expected).to_string(), shown);
        }
    }
}
