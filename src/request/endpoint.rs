//! The paths by which gateways ask. Where the path names a cluster, nothing that the client writes
//! can choose another one.

use super::protocol::Protocol;

/// What the paths of all endpoints begin with.
pub(super) const OURS: &str = "/elastauth";

/// What the path of an auth request says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Endpoint<'a> {
    pub(crate) protocol: Protocol,
    /// The name behind `/elastauth/clusters/`, as it is written; there may be no such cluster.
    pub(crate) cluster: Option<&'a str>,
    /// What follows: Envoy puts the client's own path there.
    pub(crate) rest: &'a str,
}

impl<'a> Endpoint<'a> {
    /// Every path is one: Caddy and Envoy put the client's path and query behind the configured
    /// one, and what is not known is asked as [`Protocol::ForwardAuth`].
    #[must_use]
    pub(crate) fn of(path: &'a str) -> Self {
        let own = path.strip_prefix(OURS);
        let (cluster, rest) = match own.and_then(|own| below(own, "/clusters")) {
            Some(named) => {
                let named = named.strip_prefix('/').unwrap_or(named);
                let end = named.find('/').unwrap_or(named.len());
                let (name, rest) = named.split_at(end);
                (Some(name), Some(rest))
            }
            None => (None, own),
        };
        if let Some(rest) = rest.and_then(|rest| below(rest, "/ext-authz")) {
            return Self {
                protocol: Protocol::ExtAuthz,
                cluster,
                rest,
            };
        }
        let protocol = match rest {
            Some("/auth-request") => Protocol::AuthRequest,
            _ => Protocol::ForwardAuth,
        };
        Self {
            protocol,
            cluster,
            rest: "",
        }
    }
}

/// What follows these whole segments.
fn below<'a>(path: &'a str, segments: &str) -> Option<&'a str> {
    path.strip_prefix(segments)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_asks_by_one_protocol_and_perhaps_about_one_cluster() {
        use Protocol as P;
        for (path, protocol, cluster, rest) in [
            ("/", P::ForwardAuth, None, ""),
            ("/elastauth", P::ForwardAuth, None, ""),
            ("/elastauth/forward-auth", P::ForwardAuth, None, ""),
            ("/elastauth/auth-request", P::AuthRequest, None, ""),
            ("/elastauth/auth-request/x", P::ForwardAuth, None, ""),
            ("/elastauth/ext-authz", P::ExtAuthz, None, ""),
            ("/elastauth/ext-authz/a/b", P::ExtAuthz, None, "/a/b"),
            ("/elastauth/ext-authzx", P::ForwardAuth, None, ""),
            ("/ext-authz/a", P::ForwardAuth, None, ""),
            ("/clusters/a", P::ForwardAuth, None, ""),
            ("/elastauth/clusters", P::ForwardAuth, Some(""), ""),
            ("/elastauth/clusters/", P::ForwardAuth, Some(""), ""),
            ("/elastauth/clustersx/a", P::ForwardAuth, None, ""),
            ("/elastauth/clusters/a", P::ForwardAuth, Some("a"), ""),
            ("/elastauth/clusters/a/", P::ForwardAuth, Some("a"), ""),
            ("/elastauth/clusters/a/b/c", P::ForwardAuth, Some("a"), ""),
            (
                "/elastauth/clusters/a/auth-request",
                P::AuthRequest,
                Some("a"),
                "",
            ),
            (
                "/elastauth/clusters/a/ext-authz",
                P::ExtAuthz,
                Some("a"),
                "",
            ),
            (
                "/elastauth/clusters/a/ext-authz/b",
                P::ExtAuthz,
                Some("a"),
                "/b",
            ),
            (
                "/elastauth/clusters/ext-authz/ext-authz/clusters/b",
                P::ExtAuthz,
                Some("ext-authz"),
                "/clusters/b",
            ),
            (
                "/elastauth/ext-authz/elastauth/clusters/b",
                P::ExtAuthz,
                None,
                "/elastauth/clusters/b",
            ),
            ("/elastauth/clusters/%61", P::ForwardAuth, Some("%61"), ""),
        ] {
            let expected = Endpoint {
                protocol,
                cluster,
                rest,
            };
            assert_eq!(Endpoint::of(path), expected, "{path}");
        }
    }
}
