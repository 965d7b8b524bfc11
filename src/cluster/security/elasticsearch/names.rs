//! Names that Elasticsearch keeps for itself.

use crate::model::Username;

/// Built-in users. The cluster refuses to change them; asking would only show that elastauth tried.
const BUILT_IN: [&str; 7] = [
    "elastic",
    "kibana",
    "kibana_system",
    "logstash_system",
    "beats_system",
    "apm_system",
    "remote_monitoring_user",
];

/// The rule that keeps this name for the cluster, if one does.
pub(crate) fn reserves(name: &Username) -> Option<&'static str> {
    if BUILT_IN.contains(&name.as_str()) {
        Some("a built-in user of the cluster")
    } else if name.as_str().starts_with('_') {
        // `_password` and its like are routes of the user API, `_system` and its like are internal
        // users that a recent cluster lets anybody write.
        Some("names that begin with an underscore are the cluster's own")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_users_and_names_with_an_underscore_are_reserved() {
        let reserved = |name| reserves(&Username::parse(name).unwrap()).is_some();
        for name in [
            "elastic",
            "kibana_system",
            "remote_monitoring_user",
            "_bulk",
            "_password",
            "_system",
        ] {
            assert!(reserved(name), "{name}");
        }
        for name in ["alice", "Elastic", "elastic2", "a_b", "svc-elastauth2"] {
            assert!(!reserved(name), "{name}");
        }
    }
}
