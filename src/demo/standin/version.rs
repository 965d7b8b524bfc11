//! Versions of Elasticsearch.

/// A release of Elasticsearch, as far as answers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Version {
    /// 7.17: a hash has to be of the cluster's own algorithm, and there is no query for users.
    V7_17,
    /// 8.19.
    V8_19,
    /// 9.5.
    #[default]
    V9_5,
}

impl Version {
    pub(super) fn number(self) -> &'static str {
        match self {
            Self::V7_17 => "7.17.28",
            Self::V8_19 => "8.19.4",
            Self::V9_5 => "9.5.3",
        }
    }
}
