//! The two clusters of the demonstration, one of each kind: how a gateway tells them apart, and
//! which roles a group gives in each.

use super::standin::StandIn;
use crate::shutdown::Tasks;
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Map, Value, json};
use std::io;

type Roles = &'static [&'static str];

/// A group of the directory, and its roles in each cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct DemoGroup {
    pub(super) name: &'static str,
    logs: Roles,
    search: Roles,
}

pub(super) const GROUPS: [DemoGroup; 3] = [
    DemoGroup {
        name: "analysts",
        logs: &["viewer"],
        search: &["readall"],
    },
    DemoGroup {
        name: "editors",
        logs: &["editor"],
        search: &["readall"],
    },
    DemoGroup {
        name: "admins",
        logs: &["kibana_admin", "monitoring_user"],
        search: &["kibana_user", "monitoring_user"],
    },
];

/// A stand-in, and what gateway, page and configuration have to know of it.
#[derive(Debug, Clone)]
pub(super) struct DemoCluster {
    /// That of its section in the configuration.
    pub(super) name: &'static str,
    pub(super) product: &'static str,
    /// The host for which it is asked. Such names lead to this machine without any setup.
    pub(super) host: &'static str,
    /// Whose login is this?
    pub(super) whoami: &'static str,
    /// Which group gives which roles.
    pub(super) mappings: [(&'static str, Roles); 3],
    pub(super) standin: StandIn,
}

impl DemoCluster {
    /// A user as this cluster keeps them, whatever its kind in the fields of Elasticsearch.
    fn user(&self, name: &str) -> Option<Value> {
        if let Some(user) = self.standin.user(name) {
            return Some(user.shown());
        }
        let user = self.standin.internal_user(name)?;
        let noted = |what: &str| user.attributes.get(&format!("elastauth_{what}"));
        Some(json!({
            "username": user.username, "roles": user.roles, "full_name": noted("full_name"),
            "email": noted("email"), "metadata": user.attributes,
            "enabled": noted("locked").is_none(),
        }))
    }

    /// For the page.
    pub(super) fn shown<'a>(&self, people: impl Iterator<Item = &'a str>) -> Value {
        let users: Map<String, Value> = people
            .filter_map(|login| Some((login.to_owned(), self.user(login)?)))
            .collect();
        let groups = self
            .mappings
            .map(|(name, roles)| json!({ "name": name, "roles": roles }));
        json!({
            "name": self.name, "product": self.product, "host": self.host,
            "whoami": self.whoami, "groups": groups, "users": users,
        })
    }
}

/// Both. A request whose host names neither is for `logs`.
#[derive(Debug, Clone)]
pub(super) struct DemoClusters {
    pub(super) logs: DemoCluster,
    pub(super) search: DemoCluster,
}

impl DemoClusters {
    pub(super) async fn start(tasks: &Tasks) -> io::Result<Self> {
        Ok(Self {
            logs: DemoCluster {
                name: "logs",
                product: "Elasticsearch",
                host: "logs.localhost",
                whoami: "/_security/_authenticate",
                mappings: GROUPS.map(|group| (group.name, group.logs)),
                standin: StandIn::start(tasks).await?,
            },
            search: DemoCluster {
                name: "search",
                product: "OpenSearch",
                host: "search.localhost",
                whoami: "/_plugins/_security/authinfo",
                mappings: GROUPS.map(|group| (group.name, group.search)),
                standin: StandIn::start_opensearch(tasks).await?,
            },
        })
    }

    pub(super) fn both(&self) -> [&DemoCluster; 2] {
        [&self.logs, &self.search]
    }

    /// Where a gateway brings a request with these headers.
    pub(super) fn asked_for(&self, headers: &HeaderMap) -> &DemoCluster {
        let host = headers.get(header::HOST).map(HeaderValue::to_str);
        let host = host.and_then(Result::ok).unwrap_or_default();
        let name = host.split_once(':').map_or(host, |(name, _port)| name);
        let name = name.strip_suffix('.').unwrap_or(name);
        let asked = |cluster: &&DemoCluster| cluster.host.eq_ignore_ascii_case(name);
        self.both().into_iter().find(asked).unwrap_or(&self.logs)
    }

    /// The one of this name; without a name, `logs`.
    pub(super) fn named(&self, name: Option<&str>) -> Option<&DemoCluster> {
        let Some(name) = name else {
            return Some(&self.logs);
        };
        self.both().into_iter().find(|cluster| cluster.name == name)
    }
}
