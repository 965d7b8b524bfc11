//! Which versions of which cluster elastauth is made for: those of docs/COMPATIBILITY.md.

use super::types::Kind;

/// What to say about another version than those.
pub(crate) fn warning(kind: Kind, version: &str) -> Option<&'static str> {
    let mut numbers = version
        .split(['.', '-', '+'])
        .map(|part| part.parse::<u32>().ok());
    let (major, minor) = (numbers.next().flatten()?, numbers.next().flatten()?);
    match kind {
        Kind::Elasticsearch if !matches!((major, minor), (7, 17..) | (8 | 9, _)) => Some(
            "elastauth is made for Elasticsearch 7.17, 8 and 9, and was never tried on this \
             version; see docs/COMPATIBILITY.md",
        ),
        Kind::Opensearch if !matches!(major, 2 | 3) => Some(
            "elastauth is made for OpenSearch 2 and 3, and was never tried on this version; see \
             docs/COMPATIBILITY.md",
        ),
        Kind::Auto | Kind::Elasticsearch | Kind::Opensearch => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_outside_the_documented_ones_is_a_warning() {
        for (kind, version, expected) in [
            (Kind::Elasticsearch, "7.17.0", false),
            (Kind::Elasticsearch, "7.16.3", true),
            (Kind::Elasticsearch, "8.0.0-rc1", false),
            (Kind::Elasticsearch, "9.5.3", false),
            (Kind::Elasticsearch, "10.0.0", true),
            (Kind::Elasticsearch, "6.8.23", true),
            (Kind::Opensearch, "2.19.4", false),
            (Kind::Opensearch, "3.6.0", false),
            (Kind::Opensearch, "1.3.20", true),
            (Kind::Opensearch, "4.0.0-SNAPSHOT", true),
            (Kind::Auto, "1.0.0", false),
            (Kind::Elasticsearch, "current", false),
        ] {
            assert_eq!(
                warning(kind, version).is_some(),
                expected,
                "{kind} {version}"
            );
        }
    }
}
