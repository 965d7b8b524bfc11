//! What the sources give before it is read: texts, lists and sections, each with its place.

use super::finding::Place;

/// A node and its place.
#[derive(Clone)]
pub(super) struct Raw {
    pub(super) node: RawNode,
    pub(super) place: Place,
}

/// The three shapes of YAML, and nothing.
#[derive(Clone, PartialEq)]
pub(super) enum RawNode {
    /// Nothing: `key:` alone, `~`, `null`.
    Null,
    /// A scalar of any kind; `true` and `12` are texts until a value type reads them.
    Text(String),
    List(Vec<Raw>),
    /// Names with their own places, and what they hold.
    Map(Vec<(Name, Raw)>),
    /// A value whose fault is reported already.
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
            node: RawNode::Text(text.into()),
            place,
        }
    }

    /// Whether it says nothing: null, or the empty text that an unset variable becomes.
    pub(super) fn is_unset(&self) -> bool {
        match &self.node {
            RawNode::Null => true,
            RawNode::Text(text) => text.is_empty(),
            RawNode::List(_) | RawNode::Map(_) | RawNode::Invalid => false,
        }
    }

    /// The shape of the value, for a fault. Never the value.
    pub(super) fn what(&self) -> &'static str {
        match &self.node {
            RawNode::Null => "nothing",
            RawNode::Text(text) if text.is_empty() => "an empty text",
            RawNode::Text(text) if text == "true" || text == "false" => "`true` or `false`",
            RawNode::Text(text) if text.parse::<f64>().is_ok() => "a number",
            RawNode::Text(_) => "a text",
            RawNode::List(list) if list.is_empty() => "an empty list",
            RawNode::List(_) => "a list",
            RawNode::Map(_) => "a section",
            RawNode::Invalid => "a faulty value",
        }
    }
}

/// Two sources may give the same value at different places.
impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
