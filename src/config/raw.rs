//! What was given, before anybody knows what it means: texts, lists and sections, each with its
//! place.

use super::finding::Place;
use std::fmt;

/// A node and where it stands.
#[derive(Clone)]
pub(super) struct Raw {
    pub(super) node: Node,
    pub(super) place: Place,
}

/// The three shapes of YAML, and what is missing.
#[derive(Clone)]
pub(super) enum Node {
    /// Nothing: `key:` alone, `~`, `null`.
    Null,
    /// A scalar of any kind; `true` and `12` are texts until a kind reads them.
    Text(String),
    /// A list.
    List(Vec<Raw>),
    /// Names with their own places, and what they hold.
    Map(Vec<(Name, Raw)>),
    /// A value whose fault was told already.
    Invalid,
}

/// A key as it was written.
#[derive(Clone)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) place: Place,
}

impl Raw {
    pub(super) fn text(text: impl Into<String>, place: Place) -> Self {
        Self {
            node: Node::Text(text.into()),
            place,
        }
    }

    /// Nobody means anything by it: absent, null, or the empty text that an unset variable leaves
    /// behind.
    pub(super) fn is_unset(&self) -> bool {
        match &self.node {
            Node::Null => true,
            Node::Text(text) => text.is_empty(),
            Node::List(_) | Node::Map(_) | Node::Invalid => false,
        }
    }

    /// The kind of what stands there, for a fault. Never the value.
    pub(super) fn what(&self) -> &'static str {
        match &self.node {
            Node::Null => "nothing",
            Node::Text(text) if text.is_empty() => "an empty text",
            Node::Text(text) if text == "true" || text == "false" => "a truth value",
            Node::Text(text) if text.parse::<f64>().is_ok() => "a number",
            Node::Text(_) => "a text",
            Node::List(list) if list.is_empty() => "an empty list",
            Node::List(_) => "a list",
            Node::Map(_) => "a section",
            Node::Invalid => "a faulty value",
        }
    }
}

/// Kinds only: any of it may be a secret.
impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raw({} at {})", self.what(), self.place)
    }
}
