//! What is known of one key. Everything else that the program says about keys follows from it:
//! variable names, schema, reference, example.

use super::value_type::ValueType;

/// One key of the configuration.
#[derive(Debug)]
pub(super) struct Key {
    /// Its place in the file, sections joined by dots.
    pub(super) path: &'static str,
    pub(super) value_type: ValueType,
    /// What it is, for people.
    pub(super) doc: &'static str,
    /// The value where nobody gives one, as an environment variable would hold it; empty where
    /// there is none.
    pub(super) default: &'static str,
    /// What a value looks like where the default shows nothing, in YAML.
    pub(super) example: &'static str,
    /// Names in the environment beside the one that follows from the path.
    pub(super) variables: &'static [&'static str],
    /// Names in older files, taken with a warning.
    pub(super) old: &'static [&'static str],
    /// Whether a running program takes a new value.
    pub(super) reload: bool,
    pub(super) status: Status,
}

/// Whether the program can do what the key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Available,
    /// Known, and refused with these words unless it says what is the case anyhow.
    NotYet,
    /// Taken for older files; the words say what to use.
    Old(&'static str),
}

impl Key {
    pub(super) const fn new(path: &'static str, value_type: ValueType, doc: &'static str) -> Self {
        Self {
            path,
            value_type,
            doc,
            default: "",
            example: "",
            variables: &[],
            old: &[],
            reload: false,
            status: Status::Available,
        }
    }

    /// Its name in the environment.
    pub(super) fn variable(&self) -> String {
        variable(self.path)
    }

    /// Its sentences without the space that every doc comment begins with.
    pub(super) fn doc(&self) -> &'static str {
        self.doc.trim()
    }
}

/// The prefix of our variables.
pub(super) const PREFIX: &str = "ELASTAUTH_";
/// The prefix of the variables of OpenTelemetry.
pub(super) const OTEL_PREFIX: &str = "OTEL_";

/// The name in the environment of a path.
pub(super) fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "_").to_ascii_uppercase())
}
