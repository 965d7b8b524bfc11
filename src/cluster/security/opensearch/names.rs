//! Names that OpenSearch keeps for itself, or cannot hold.

use crate::model::Username;

/// Users of the plugin itself, whether they exist in a cluster or not.
const BUILT_IN: [&str; 2] = ["admin", "kibanaserver"];

/// Newer versions take no longer values.
const MOST_BYTES: usize = 256;

/// The rule that keeps this name for the cluster, if one does.
pub(crate) fn reserves(name: &Username) -> Option<&'static str> {
    let name = name.as_str();
    if BUILT_IN.contains(&name) {
        Some("a built-in user of the cluster")
    } else if name.starts_with('_') {
        // `_meta` is no user, and a write of it is a 500.
        Some("names that begin with an underscore are the cluster's own")
    } else if name.contains('%') {
        // The plugin decodes a name twice, so two names could be one user.
        Some("the cluster does not keep `%` in a name as it is")
    } else if name.len() > MOST_BYTES {
        Some("the cluster takes names of 256 bytes at most")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_plugin_keeps_or_changes_are_reserved() {
        let reserved = |name: &str| reserves(&Username::parse(name).unwrap()).is_some();
        let (fits, too_long) = ("a".repeat(256), "a".repeat(257));
        for name in ["admin", "kibanaserver", "_meta", "a%2Fb", "50%", &too_long] {
            assert!(reserved(name), "{name}");
        }
        for name in ["alice", "Admin", "elastic", "a b", "a_b", "*", &fits] {
            assert!(!reserved(name), "{name}");
        }
    }
}
