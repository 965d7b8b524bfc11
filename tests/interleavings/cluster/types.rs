//! What a cluster has, and what is wanted of it.

use http::StatusCode;
use serde_json::{Map, Value};
use std::hash::{Hash, Hasher};

/// One life of a replica. After a restart the same place has another life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Life {
    pub(crate) place: usize,
    pub(crate) number: usize,
}

/// A user as the cluster keeps it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct User {
    pub(crate) password: String,
    pub(crate) roles: Vec<String>,
    pub(crate) enabled: bool,
    /// Of OpenSearch as much of its attributes as the rules speak of, in Elasticsearch's form.
    pub(crate) metadata: Map<String, Value>,
    pub(super) full_name: Value,
    pub(super) email: Value,
    /// Of OpenSearch alone.
    pub(super) attributes: Map<String, Value>,
}

impl User {
    /// Somebody else's user, which elastauth must leave alone.
    pub(crate) fn foreign() -> Self {
        Self {
            password: "of her own".to_owned(),
            roles: vec!["monitoring_user".to_owned()],
            enabled: true,
            ..Self::default()
        }
    }

    /// Without elastauth's mark.
    pub(crate) fn is_foreign(&self) -> bool {
        !self.metadata.contains_key("elastauth")
    }

    /// What elastauth has noted about the user.
    fn mark(&self, name: &str) -> Option<&Value> {
        self.metadata.get("elastauth")?.get(name)
    }

    /// Whether the login is one that nobody is given.
    pub(crate) fn is_parked(&self) -> bool {
        self.mark("parked") == Some(&Value::Bool(true))
    }

    /// How often the login was revoked.
    pub(crate) fn generation(&self) -> u64 {
        self.mark("generation")
            .and_then(Value::as_u64)
            .unwrap_or_default()
    }
}

impl Hash for User {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (
            &self.password,
            &self.roles,
            self.enabled,
            self.metadata.contains_key("elastauth"),
            self.generation(),
            self.is_parked(),
        )
            .hash(state);
    }
}

/// What a call wants.
#[derive(Debug, Clone)]
pub(crate) enum Wish {
    /// Who am I, with this login.
    Ask { login: Option<(String, String)> },
    /// What is this user.
    Read { name: String },
    /// Who is there.
    List,
    /// Let these users be so: one of Elasticsearch, one or more of OpenSearch.
    Write(Vec<Written>),
}

/// What a write wants of one user.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) name: String,
    /// Not given where the user is to stay as they are: only OpenSearch's credential cache is to be
    /// emptied.
    pub(crate) user: Option<Box<User>>,
}

impl Wish {
    pub(crate) fn is_write(&self) -> bool {
        matches!(self, Self::Write(_))
    }

    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Ask { .. } => "ask",
            Self::Read { .. } => "read",
            Self::List => "list",
            Self::Write(_) => "write",
        }
    }

    /// Whom it writes.
    pub(crate) fn written(&self) -> &[Written] {
        match self {
            Self::Write(entries) => entries,
            Self::Ask { .. } | Self::Read { .. } | Self::List => &[],
        }
    }
}

/// An answer as it goes back.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Reply {
    pub(super) fn new(status: StatusCode, body: Value) -> Self {
        Self { status, body }
    }
}
