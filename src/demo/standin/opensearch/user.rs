//! An internal user.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Cheap: nobody waits for a stand-in.
const COST: u32 = 4;

/// An internal user of OpenSearch as the cluster keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InternalUser {
    /// The name, case kept.
    pub username: String,
    /// Free text that role mappings may name.
    pub backend_roles: Vec<String>,
    /// `opendistro_security_roles`: roles that count without a mapping.
    pub roles: Vec<String>,
    /// Free data; a program keeps its marker here. Users see the names of their own, not the values.
    pub attributes: BTreeMap<String, String>,
    /// Free text.
    pub description: Option<String>,
    /// Nobody changes it through the API.
    pub reserved: bool,
    /// Nobody sees it through the API.
    pub hidden: bool,
    /// bcrypt, or anything else: then nobody can log in.
    pub hash: String,
}

impl InternalUser {
    /// A user with this password and nothing else.
    #[must_use]
    pub fn new(username: &str, password: &str) -> Self {
        Self {
            username: username.to_owned(),
            backend_roles: Vec::new(),
            roles: Vec::new(),
            attributes: BTreeMap::new(),
            description: None,
            reserved: false,
            hidden: false,
            hash: hash_of(password),
        }
    }

    /// The same user with these direct roles.
    #[must_use]
    pub fn with_roles(self, roles: &[&str]) -> Self {
        Self {
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            ..self
        }
    }

    /// As the API shows it: the hash is blank.
    #[must_use]
    pub fn shown(&self) -> Value {
        let mut shown = json!({
            "hash": "", "reserved": self.reserved, "hidden": self.hidden,
            "backend_roles": self.backend_roles, "attributes": self.attributes,
            "opendistro_security_roles": self.roles, "static": false,
        });
        if let (Some(description), Some(fields)) = (&self.description, shown.as_object_mut()) {
            fields.insert("description".to_owned(), description.clone().into());
        }
        shown
    }

    /// What a patch works on: the fields that a write may name, the hash included.
    pub(super) fn fields(&self) -> Map<String, Value> {
        let mut fields = Map::from_iter([
            ("hash".to_owned(), self.hash.clone().into()),
            ("backend_roles".to_owned(), json!(self.backend_roles)),
            ("attributes".to_owned(), json!(self.attributes)),
            ("opendistro_security_roles".to_owned(), json!(self.roles)),
        ]);
        if let Some(description) = &self.description {
            fields.insert("description".to_owned(), description.clone().into());
        }
        fields
    }

    /// The slow part of a login. Only the first 72 bytes of a password count.
    pub(super) fn verifies(&self, password: &str) -> bool {
        bcrypt::verify(password, &self.hash).unwrap_or(false)
    }
}

/// Without a salt nothing can be hashed, and nobody can log in.
pub(super) fn hash_of(password: &str) -> String {
    let mut salt = [0; 16];
    let _best_effort = aws_lc_rs::rand::fill(&mut salt);
    bcrypt::hash_with_salt(password, COST, salt).map_or_else(
        |_| "!".to_owned(),
        |parts| parts.format_for_version(bcrypt::Version::TwoY),
    )
}
