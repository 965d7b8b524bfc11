//! The users of the stand-in without a call: as an administrator changes them, and as a test looks
//! at them.

use super::{
    super::listener::Lock as _,
    StandIn,
    backend::Backend,
    cluster::Cluster,
    keys,
    opensearch::{InternalUser, OpenSearch},
    users::StoredUser,
};
use http::{HeaderMap, HeaderValue, header};
use std::time::Duration;

/// In the attributes of an OpenSearch user whom elastauth's own command has locked.
const LOCKED: &str = "elastauth_locked";

impl StandIn {
    /// Which of the two kinds of cluster it is.
    #[must_use]
    pub fn is_opensearch(&self) -> bool {
        self.opensearch().is_some()
    }

    /// A user as Elasticsearch keeps it now.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<StoredUser> {
        let users = self.elasticsearch()?.users.held();
        users.stored.get(name).map(|user| StoredUser::clone(user))
    }

    /// Puts a user into Elasticsearch, as an administrator might have done; no rules are checked.
    pub fn set_user(&self, user: StoredUser) {
        if let Some(cluster) = self.elasticsearch() {
            cluster.users.held().put(user);
        }
    }

    /// A user as OpenSearch keeps it now.
    #[must_use]
    pub fn internal_user(&self, name: &str) -> Option<InternalUser> {
        let document = self.opensearch()?.document.held();
        let user = document.users.get(name);
        user.map(|user| InternalUser::clone(user))
    }

    /// Puts a user into OpenSearch, as an administrator might have done; no rules are checked.
    pub fn set_internal_user(&self, user: InternalUser) {
        if let Some(cluster) = self.opensearch() {
            cluster.document.held().put(user);
        }
    }

    /// The roles of a user in either kind of cluster.
    #[must_use]
    pub fn roles_of(&self, name: &str) -> Option<Vec<String>> {
        let of_internal = || self.internal_user(name).map(|user| user.roles);
        self.user(name).map(|user| user.roles).or_else(of_internal)
    }

    /// Switches a user on or off, as an administrator does; `false` where there is no such user. On
    /// OpenSearch, which knows no such switch, as elastauth's own command does it.
    #[must_use]
    pub fn set_enabled(&self, name: &str, enabled: bool) -> bool {
        if let Some(cluster) = self.elasticsearch() {
            let mut users = cluster.users.held();
            return users.change(name, |user| user.enabled = enabled);
        }
        let Some(mut user) = self.internal_user(name) else {
            return false;
        };
        if enabled {
            user.attributes.remove(LOCKED);
        } else {
            "!".clone_into(&mut user.hash);
            user.attributes.insert(LOCKED.to_owned(), "true".to_owned());
        }
        self.set_internal_user(user);
        true
    }

    /// Removes a user; `false` where there is none.
    #[must_use]
    pub fn remove_user(&self, name: &str) -> bool {
        match &self.node.backend {
            Backend::Elasticsearch(cluster) => cluster.users.held().delete(name),
            Backend::OpenSearch(cluster) => cluster.document.held().delete(name),
        }
    }

    /// Adds a role to OpenSearch, which refuses users with roles that do not exist.
    pub fn add_role(&self, role: &str) {
        if let Some(cluster) = self.opensearch() {
            cluster.roles.held().insert(role.to_owned());
        }
    }

    /// Removes a role from OpenSearch; users keep it.
    pub fn remove_role(&self, role: &str) {
        if let Some(cluster) = self.opensearch() {
            cluster.roles.held().remove(role);
        }
    }

    /// How long OpenSearch takes between reading its users and writing them back. Writes that
    /// overlap conflict.
    pub fn set_write_takes(&self, takes: Duration) {
        if let Some(cluster) = self.opensearch() {
            *cluster.write_takes.held() = takes;
        }
    }

    /// Makes an API key of a user of this realm (`native`, `saml1`) and returns its id.
    #[must_use]
    pub fn add_api_key(&self, username: &str, realm: &str) -> String {
        self.elasticsearch().map_or_else(String::new, |cluster| {
            keys::add(&mut cluster.keys.held(), username, realm)
        })
    }

    /// The API keys that are still valid, by their ids.
    #[must_use]
    pub fn valid_api_keys(&self) -> Vec<String> {
        self.elasticsearch()
            .map_or_else(Vec::new, |cluster| keys::valid(&cluster.keys.held()))
    }

    /// Whether the cluster takes this value of `Authorization`. Asked directly: it is no call, and
    /// no fault hits it.
    #[must_use]
    pub fn accepts(&self, authorization: &HeaderValue) -> bool {
        self.roles_with(authorization).is_some()
    }

    /// The roles that count for a request with this value of `Authorization`, where it is taken.
    #[must_use]
    pub fn roles_with(&self, authorization: &HeaderValue) -> Option<Vec<String>> {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, authorization.clone())]);
        self.node.backend.identify(&headers, "/").roles()
    }

    fn elasticsearch(&self) -> Option<&Cluster> {
        match &self.node.backend {
            Backend::Elasticsearch(cluster) => Some(cluster),
            Backend::OpenSearch(_) => None,
        }
    }

    fn opensearch(&self) -> Option<&OpenSearch> {
        match &self.node.backend {
            Backend::Elasticsearch(_) => None,
            Backend::OpenSearch(cluster) => Some(cluster),
        }
    }
}
