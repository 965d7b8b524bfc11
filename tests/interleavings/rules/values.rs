//! What the rules note of each user and replica.

use super::super::cluster::{Life, User};

/// Whose work stands in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Author {
    /// A write that its replica still waits for, or that was dealt with while it did.
    Live(Life),
    /// The same, and the period of the passwords that it was made for was over by then.
    Overtaken(Life),
    /// A write that its replica had given up.
    Adrift(Life),
    /// An administrator.
    Admin,
}

impl Author {
    /// The replica whose work it is.
    pub(super) fn life(self) -> Option<Life> {
        match self {
            Self::Live(life) | Self::Overtaken(life) | Self::Adrift(life) => Some(life),
            Self::Admin => None,
        }
    }
}

/// What has changed in the cluster since some moment, as seen by one replica.
#[derive(Debug, Clone, Copy, Default, Hash)]
pub(super) struct Changed {
    pub(super) by_others: bool,
    pub(super) by_own_adrift: bool,
}

/// When the cluster last confirmed to a replica that its login works.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct Seen {
    pub(super) at: u64,
    pub(super) changed: Changed,
}

/// A login that was sent to the cluster.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) generation: u64,
    pub(super) roles: Vec<String>,
}

/// A login that was answered and is on its way to the cluster.
#[derive(Debug, Clone, Hash)]
pub(super) struct InUse {
    pub(super) user: String,
    pub(super) password: String,
    pub(super) by: Life,
    pub(super) until: u64,
}

/// What a replica saw when it looked at a user for the last time before a write.
#[derive(Debug, Clone, Hash)]
pub(super) enum Look {
    Absent,
    Ours(As),
    Foreign,
}

/// A user as somebody has found it or writes it, without the login.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct As {
    pub(super) enabled: bool,
    pub(super) roles: Vec<String>,
}

impl As {
    pub(super) fn of(user: &User) -> Self {
        Self {
            enabled: user.enabled,
            roles: user.roles.clone(),
        }
    }
}

/// A change of which a replica has not been informed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unreported {
    pub(super) by: Option<Life>,
    /// Its number.
    pub(super) change: u64,
    /// When any replica had last seen what stood before: whoever was informed of that may believe
    /// it for as long as the one who saw it.
    pub(super) seen: Option<u64>,
}

/// The roles that a request with these groups gives.
pub(super) fn roles_of(groups: &str) -> Vec<&'static str> {
    let mut roles = vec!["viewer"];
    for group in groups.split(',') {
        match group {
            "dev" => roles.push("editor"),
            "admins" => roles.extend(["kibana_admin", "superuser"]),
            _ => {}
        }
    }
    roles
}
