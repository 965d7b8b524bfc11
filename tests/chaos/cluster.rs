//! The cluster behind the replicas: a stand-in, or two real nodes. Clients ask it what it makes of
//! a login, an administrator edits its users, and it says what it cannot do at the moment.

use crate::nodes::Nodes;
use elastauth::internals::demo::standin::{StandIn, StoredUser};
use http::HeaderValue;
use std::{collections::BTreeSet, sync::Arc};
use tokio::time::Instant;

pub(crate) enum Cluster {
    StandIn(StandIn),
    Nodes(Arc<Nodes>),
}

/// What the cluster makes of a login.
pub(crate) enum Seen {
    /// It takes it for this user's, who has these roles there at the moment.
    Taken {
        name: String,
        roles: BTreeSet<String>,
    },
    /// It does not take it, and takes others. What stands of the user, where that is seen at the
    /// same moment.
    Refused {
        detail: String,
        standing: Option<BTreeSet<String>>,
    },
    /// No node could say, for a reason of its own.
    Unsaid(&'static str),
}

/// What an administrator does to a user.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Edit {
    Delete,
    Superuser,
    OtherPassword,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edited {
    Done,
    /// There is no such user.
    NotThere,
    /// It may be done, or may be yet.
    Unknown,
}

impl Cluster {
    /// Asks who the bearer of a login is; of several nodes it asks this one first.
    pub(crate) async fn whoami(&self, name: &str, login: &HeaderValue, first: u64) -> Seen {
        match self {
            Self::StandIn(cluster) => {
                let taken = cluster.accepts(login);
                let roles = cluster
                    .user(name)
                    .map(|user| user.roles.into_iter().collect())
                    .unwrap_or_default();
                if taken {
                    Seen::Taken {
                        name: name.to_owned(),
                        roles,
                    }
                } else {
                    Seen::Refused {
                        detail: String::new(),
                        standing: Some(roles),
                    }
                }
            }
            Self::Nodes(nodes) => nodes.whoami(login, first).await,
        }
    }

    pub(crate) async fn edit(&self, name: &str, edit: Edit) -> Edited {
        let cluster = match self {
            Self::Nodes(nodes) => return nodes.edit(name, edit).await,
            Self::StandIn(cluster) => cluster,
        };
        let Some(user) = cluster.user(name) else {
            return Edited::NotThere;
        };
        match edit {
            Edit::Delete => drop(cluster.remove_user(name)),
            Edit::Superuser => cluster.set_user(user.with_roles(&["superuser"])),
            Edit::OtherPassword => {
                let mut other = StoredUser::new(name, "another password").with_roles(&["viewer"]);
                other.metadata = user.metadata;
                cluster.set_user(other);
            }
        }
        Edited::Done
    }

    /// The hosts of elastauth's configuration, where they are not the stand-in's.
    pub(crate) fn hosts(&self) -> Option<Vec<String>> {
        Some(self.nodes()?.urls())
    }

    /// The real nodes, if it is these.
    pub(crate) fn nodes(&self) -> Option<&Arc<Nodes>> {
        match self {
            Self::StandIn(_) => None,
            Self::Nodes(nodes) => Some(nodes),
        }
    }

    /// Why elastauth could not do what a request asked then needed: with a write to the cluster, or
    /// without.
    pub(crate) fn excuse(&self, asked: Instant, writes: bool) -> Option<&'static str> {
        self.nodes()?.health().excuse(asked, writes)
    }

    /// What is known of its nodes, for a message.
    pub(crate) fn detail(&self) -> String {
        self.nodes()
            .map(|nodes| format!("; {}", nodes.health().detail()))
            .unwrap_or_default()
    }
}
