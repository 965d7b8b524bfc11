//! The kinds of values: what each takes, in words and in code.

mod forms;

use super::{
    finding::{Findings, Place},
    raw::{Node, Raw},
    value::Value,
};
use crate::{
    model::{Group, Role},
    secret::{GatewayKey, SecretKey, SecretString},
};
use forms::{duration_text, go_duration, listen, moment, network, url};
use http::HeaderName;
use std::{path::PathBuf, time::Duration};

/// What a key takes.
#[derive(Debug)]
pub(super) enum ValueType {
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds, both included.
    Number(u64, u64),
    /// A duration text of Go, `1h30m`, within bounds in milliseconds, both included.
    Duration(u64, u64),
    /// A moment, RFC 3339.
    Moment,
    /// One of a few words.
    OneOf(&'static [Word]),
    /// Any text that is not empty.
    Text,
    /// Any text that is not empty and must not be shown.
    Secret,
    /// 64 hex digits.
    SecretKey,
    /// A key that a gateway shows.
    GatewayKey,
    /// Base URL of a server.
    Url,
    /// A file or folder.
    Path,
    /// The name of an HTTP header.
    Header,
    /// Address and port to listen on.
    Listen,
    /// A network in CIDR form, or one address.
    Network,
    /// A role of the cluster.
    Role,
    /// A group, `*` as wildcard.
    Group,
    /// A list of something.
    List(&'static ValueType),
    /// Group to list of roles.
    Mappings,
    /// Name to text; the texts may be secret.
    Pairs,
    /// A list of sections of `super::section::keys`, each read like a configuration of its own.
    Sections,
}

/// One of the words of a choice, and whether the program can do it yet.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) text: &'static str,
    pub(super) available: bool,
}

/// A word that the program knows what to do with.
pub(super) const fn yes(text: &'static str) -> Word {
    Word {
        text,
        available: true,
    }
}

impl ValueType {
    /// Whether a value of this value type must never be shown.
    pub(super) fn is_secret(&self) -> bool {
        if let Self::List(of) = self {
            return of.is_secret();
        }
        matches!(
            self,
            Self::Secret | Self::SecretKey | Self::GatewayKey | Self::Pairs
        )
    }

    /// Whether the value may stand in a file of its own.
    pub(super) fn has_file_variant(&self) -> bool {
        self.is_secret() && !matches!(self, Self::Pairs)
    }

    /// What is allowed, to follow "must be".
    pub(super) fn allowed(&self) -> String {
        match self {
            Self::Bool => "`true` or `false`".to_owned(),
            Self::Number(least, most) => format!("a whole number from {least} to {most}"),
            Self::Duration(least, most) => {
                format!("a duration such as `1h30m`, `90s` or `500ms`, from {} to {}", duration_text(*least), duration_text(*most))
            }
            Self::OneOf(words) => {
                let words: Vec<String> = words.iter().filter(|word| word.available).map(|word| format!("`{}`", word.text)).collect();
                words.join(" or ")
            }
            Self::Moment => "a moment such as `2027-01-31T12:00:00Z`".to_owned(),
            Self::Text | Self::Secret => "a text".to_owned(),
            Self::SecretKey => "64 hex digits, as `elastauth generate-key` makes them".to_owned(),
            Self::GatewayKey => format!("at least {} visible ASCII characters", GatewayKey::MIN_BYTES),
            Self::Url => "a URL such as `https://host:9200`".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Header => "the name of an HTTP header".to_owned(),
            Self::Listen => "an address and a port such as `127.0.0.1:5000`, `[::1]:5000` or `:5000`".to_owned(),
            Self::Network => "a network such as `10.0.0.0/8`, or one address".to_owned(),
            Self::Role => "the name of a role: 1 to 507 printable ASCII characters with no space at either end".to_owned(),
            Self::Group => "the name of a group, `*` standing for any text".to_owned(),
            Self::List(of) => format!("a list, each item {}", of.allowed()),
            Self::Mappings => "a section of groups, each with its list of roles".to_owned(),
            Self::Pairs => "a section of names, each with its text".to_owned(),
            Self::Sections => "a list of sections".to_owned(),
        }
    }

    /// Reads a value; tells every fault in it and then gives nothing.
    pub(super) fn read(&self, key: &str, raw: &Raw, findings: &mut Findings) -> Option<Value> {
        match (self, &raw.node) {
            (_, Node::Invalid) => None,
            (Self::List(of), Node::List(items)) => {
                let read: Vec<Option<Value>> = items
                    .iter()
                    .map(|item| of.read(key, item, findings))
                    .collect();
                read.into_iter().collect::<Option<_>>().map(Value::List)
            }
            (Self::List(of), Node::Text(text)) => {
                // One text is a list of one, or of several with commas: environment variables know
                // no other way.
                let items = pieces(text).map(|piece| of.scalar(key, piece, &raw.place, findings));
                items
                    .collect::<Vec<_>>()
                    .into_iter()
                    .collect::<Option<_>>()
                    .map(Value::List)
            }
            (Self::Mappings, Node::Map(entries)) => mappings(key, entries, findings),
            (Self::Pairs, Node::Map(entries)) => {
                let pairs: Vec<_> = entries
                    .iter()
                    .map(|(name, raw)| match Self::Text.read(key, raw, findings) {
                        Some(Value::Text(text)) => {
                            Some((name.text.clone(), SecretString::from(text)))
                        }
                        _ => None,
                    })
                    .collect();
                pairs.into_iter().collect::<Option<_>>().map(Value::Pairs)
            }
            (Self::Sections, Node::List(items)) => {
                let wrong = items
                    .iter()
                    .filter(|item| !matches!(item.node, Node::Map(_) | Node::Invalid));
                let wrong = wrong.map(|item| {
                    findings.fault(
                        &item.place,
                        format!("`{key}` has {} in the place of a section", item.what()),
                    );
                });
                (wrong.count() == 0).then_some(Value::Sections)
            }
            (Self::List(_) | Self::Mappings | Self::Pairs | Self::Sections, _)
            | (_, Node::Null | Node::List(_) | Node::Map(_)) => self.refuse(key, raw, findings),
            (_, Node::Text(text)) => self.scalar(key, text, &raw.place, findings),
        }
    }

    fn refuse(&self, key: &str, raw: &Raw, findings: &mut Findings) -> Option<Value> {
        findings.fault(
            &raw.place,
            format!(
                "`{key}` holds {}; it must be {}",
                raw.what(),
                self.allowed()
            ),
        );
        None
    }

    fn scalar(
        &self,
        key: &str,
        text: &str,
        place: &Place,
        findings: &mut Findings,
    ) -> Option<Value> {
        let value = self.parse(text);
        let later = |word: &&Word| !word.available && word.text.eq_ignore_ascii_case(text);
        if let Self::OneOf(words) = self
            && let Some(word) = words.iter().find(later)
        {
            findings.fault(
                place,
                format!("`{key}: {}` is not available yet", word.text),
            );
        } else if let Err(why) = &value {
            let what = Raw::text(text, place.clone()).what();
            let because = why
                .as_ref()
                .map_or_else(String::new, |why| format!(": {why}"));
            findings.fault(
                place,
                format!(
                    "`{key}` holds {what}; it must be {}{because}",
                    self.allowed()
                ),
            );
        }
        value.ok()
    }

    /// `Err` with the rule that is broken, where the general words do not say it.
    fn parse(&self, text: &str) -> Result<Value, Option<String>> {
        let rule = |text: &str| Some(text.to_owned());
        match self {
            // Go's reader takes `1` and `0` from the environment.
            Self::Bool => match text {
                "true" | "True" | "TRUE" | "1" => Ok(Value::Bool(true)),
                "false" | "False" | "FALSE" | "0" => Ok(Value::Bool(false)),
                _ => Err(None),
            },
            Self::Number(least, most) => {
                let number = text
                    .parse::<u64>()
                    .ok()
                    .filter(|number| (least..=most).contains(&number));
                number.map(Value::Number).ok_or(None)
            }
            Self::Duration(least, most) => {
                let duration = go_duration(text).ok_or(None)?;
                let within = duration >= Duration::from_millis(*least)
                    && duration <= Duration::from_millis(*most);
                if within {
                    Ok(Value::Duration(duration))
                } else {
                    Err(None)
                }
            }
            Self::Moment => moment(text).map(Value::Moment).ok_or(None),
            Self::OneOf(words) => match words
                .iter()
                .find(|word| word.text.eq_ignore_ascii_case(text))
            {
                Some(word) if word.available => Ok(Value::Word(word.text)),
                Some(_) => Err(None),
                None => Err(nearest(text, words.iter().map(|word| word.text))
                    .map(|word| format!("did you mean `{word}`?"))),
            },
            Self::Text | Self::Secret | Self::Path if text.is_empty() => Err(None),
            Self::Text => Ok(Value::Text(text.to_owned())),
            Self::Secret => Ok(Value::Secret(SecretString::from(text.to_owned()))),
            Self::SecretKey => SecretKey::parse(text)
                .map(Value::Key)
                .map_err(|why| Some(why.to_string())),
            Self::GatewayKey => GatewayKey::parse(text).map(Value::GatewayKey).ok_or(None),
            Self::Url => url(text).map(Value::Url).map_err(rule),
            Self::Path => Ok(Value::Path(PathBuf::from(text))),
            Self::Header => text
                .parse::<HeaderName>()
                .map(Value::Header)
                .map_err(|_| None),
            Self::Listen => listen(text).map(Value::Listen).ok_or(None),
            Self::Network => network(text).map(Value::Network),
            Self::Role => Role::parse(text).map(Value::Role).ok_or(None),
            Self::Group => Group::parse(text).map(Value::Group).ok_or(None),
            Self::List(_) | Self::Mappings | Self::Pairs | Self::Sections => Err(None),
        }
    }
}

/// The items of a list in one text. Nothing between two commas is nothing.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|piece| !piece.is_empty())
}

fn mappings(
    key: &str,
    entries: &[(super::raw::Name, Raw)],
    findings: &mut Findings,
) -> Option<Value> {
    let mut read = Some(Vec::with_capacity(entries.len()));
    for (name, raw) in entries {
        let group = Group::parse(&name.text);
        if group.is_none() {
            findings.fault(
                &name.place,
                format!("`{key}` has a group with an empty name"),
            );
        }
        let roles = match ValueType::List(&ValueType::Role).read(key, raw, findings) {
            Some(Value::List(roles)) if roles.is_empty() => {
                findings.fault(
                    &name.place,
                    format!("`{key}` maps a group to no role; name a role or take the group out"),
                );
                None
            }
            Some(Value::List(roles)) => Some(roles.into_iter().filter_map(|role| {
                if let Value::Role(role) = role {
                    Some(role)
                } else {
                    None
                }
            })),
            _ => None,
        };
        match (group, roles, &mut read) {
            (Some(group), Some(roles), Some(read)) => read.push((group, roles.collect())),
            (_, _, read) => *read = None,
        }
    }
    read.map(Value::Mappings)
}

/// The candidate that was probably meant: few letters away in proportion to its length.
pub(super) fn nearest<'a>(
    text: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let text: String = text
        .chars()
        .take(80)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let rated = candidates.map(|candidate| {
        (
            strsim::normalized_damerau_levenshtein(&text, &candidate.to_ascii_lowercase()),
            candidate,
        )
    });
    let best = rated.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= 0.6).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_named_only_where_it_is_near() {
        assert_eq!(
            nearest("wran", ["debug", "info", "warn", "error"].into_iter()),
            Some("warn")
        );
        assert_eq!(
            nearest("something else", ["debug", "info"].into_iter()),
            None
        );
    }
}
