//! What is known of one key. Everything that the program says about keys follows from it: names of
//! variables, schema, reference, example.

use super::value_type::ValueType;

/// One key of the configuration.
pub(super) struct ConfigKey {
    /// Its place in the file, sections joined by dots.
    pub(super) path: &'static str,
    pub(super) value_type: ValueType,
    /// What it is, for people.
    pub(super) doc: &'static str,
    /// The value where no source gives one, as an environment variable would hold it; empty where
    /// there is none.
    pub(super) default: &'static str,
    /// An example value in YAML, where the default shows nothing.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the generated documents show it")
    )]
    pub(super) example: &'static str,
    /// Names in the environment besides the one that follows from the path.
    pub(super) variables: &'static [&'static str],
    /// Names in older files, accepted with a warning.
    pub(super) old: &'static [&'static str],
    /// Whether a running program applies a new value.
    pub(super) reload: bool,
    pub(super) status: Status,
}

/// Whether the key does something.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Status {
    Current,
    /// Accepted with a warning that says what to use.
    Old(&'static str),
}

impl PartialEq for ConfigKey {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl ConfigKey {
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
            status: Status::Current,
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
