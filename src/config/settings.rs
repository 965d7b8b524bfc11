//! The value of each key, with its place. [`super::gather`] makes it from the sources.

use super::{
    choice::ConfigChoice,
    finding::Place,
    key::ConfigKey,
    raw::{Raw, RawNode},
    standard::StandardVariables,
    value::{FromValue, KeyValue},
    value_type::{SectionsOf, ValueType},
};
use std::collections::{BTreeMap, HashMap};

/// The values of all keys that have one.
#[derive(Clone, Default)]
pub(super) struct Settings {
    pub(super) values: HashMap<&'static str, ReadValue>,
    /// The sections of each key that has some, each section like a configuration of its own.
    pub(super) lists: BTreeMap<SectionsOf, Vec<Self>>,
    /// The name of a section that has one.
    pub(super) name: Box<str>,
    /// The place of the section; [`Place::Nowhere`] for the whole configuration.
    pub(super) place: Place,
    pub(super) standard: StandardVariables,
    /// Whether a source could not be read: then a key that seems to be missing may be in it.
    pub(super) unread: bool,
}

/// A value, and what it was read from.
#[derive(Clone)]
pub(super) struct ReadValue {
    pub(super) raw: Raw,
    /// `None` for a faulty one; the fault was reported.
    pub(super) value: Option<KeyValue>,
}

impl Settings {
    /// The value of a key; `None` where there is none, or a faulty one, whose fault was reported.
    pub(super) fn get<T: FromValue>(&self, key: &ConfigKey) -> Option<T> {
        T::from_value(self.found(key)?.value.as_ref()?)
    }

    pub(super) fn found(&self, key: &ConfigKey) -> Option<&ReadValue> {
        self.values.get(key.path)
    }

    /// What a source gives for a key, or its default.
    pub(super) fn raw(&self, key: &ConfigKey) -> Option<&Raw> {
        self.found(key).map(|found| &found.raw)
    }

    /// The place of a key's value.
    pub(super) fn place(&self, key: &ConfigKey) -> Place {
        let raw = self.raw(key);
        raw.map_or(Place::Nowhere, |raw| raw.place.clone())
    }

    /// Whether a source gives the key a value, valid or not.
    pub(super) fn given(&self, key: &ConfigKey) -> bool {
        self.raw(key).is_some_and(|raw| raw.place != Place::Default)
    }

    /// Whether the list of a key names this choice, also where another item of it is faulty.
    pub(super) fn names<T: ConfigChoice>(&self, key: &ConfigKey, choice: T) -> bool {
        let is_it = |text: &str| T::parse(text.trim()) == Some(choice);
        match self.raw(key).map(|raw| &raw.node) {
            Some(RawNode::Text(text)) => text.split(',').any(is_it),
            Some(RawNode::List(items)) => items
                .iter()
                .any(|item| matches!(&item.node, RawNode::Text(text) if is_it(text))),
            _ => false,
        }
    }

    /// The sections of a list.
    pub(super) fn sections(&self, of: SectionsOf) -> &[Self] {
        self.lists.get(&of).map_or(&[], Vec::as_slice)
    }

    /// Every section of every list, with the list, and those within sections.
    pub(super) fn all_sections(&self) -> Vec<(SectionsOf, &Self)> {
        let own = self.lists.iter();
        let own = own.flat_map(|(of, sections)| sections.iter().map(|section| (*of, section)));
        own.flat_map(|(of, section)| [vec![(of, section)], section.all_sections()].concat())
            .collect()
    }

    /// Gives a key the value that it has in other settings, or none.
    pub(super) fn revert(&mut self, key: &ConfigKey, to: &Self) {
        match to.found(key) {
            Some(found) => drop(self.values.insert(key.path, found.clone())),
            None => drop(self.values.remove(key.path)),
        }
        if let ValueType::Sections(of) = key.value_type {
            self.lists.insert(of, to.sections(of).to_vec());
        }
    }
}
