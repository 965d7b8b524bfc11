//! Names that must never be written, whoever asks.

use crate::model::Username;

/// Users that Elasticsearch keeps for itself. It refuses to change them; asking would only show
/// that elastauth tried.
const RESERVED: [&str; 7] = [
    "elastic",
    "kibana",
    "kibana_system",
    "logstash_system",
    "beats_system",
    "apm_system",
    "remote_monitoring_user",
];

/// Whether a user of this name may be written.
///
/// # Errors
/// Says which rule forbids it.
pub(super) fn permit(user: &Username, service_account: Option<&str>) -> Result<(), &'static str> {
    let name = user.as_str();
    if RESERVED.contains(&name) {
        Err("a built-in user of the cluster")
    } else if name.starts_with('_') {
        // `_password` and its like are routes of the user API, `_system` and its like are internal
        // users that a recent cluster lets anybody write.
        Err("names that begin with an underscore are the cluster's own")
    } else if service_account == Some(name) {
        Err("elastauth's own account")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_cluster_or_to_us_is_nobodys_login() {
        for name in [
            "elastic",
            "kibana_system",
            "remote_monitoring_user",
            "_bulk",
            "_password",
            "_system",
            "svc-elastauth",
        ] {
            assert!(
                permit(&Username::parse(name).unwrap(), Some("svc-elastauth")).is_err(),
                "{name}"
            );
        }
        for name in ["alice", "Elastic", "elastic2", "a_b", "svc-elastauth2"] {
            assert!(
                permit(&Username::parse(name).unwrap(), Some("svc-elastauth")).is_ok(),
                "{name}"
            );
        }
    }
}
