//! Headers with which a client says who it is.

use super::types::{
    Attack,
    Must::BeHarmless,
    Sent::{self, Lines},
};
use crate::gateway::Form;

const fn claim(name: &'static str, sent: Sent) -> Attack {
    Attack {
        name,
        sent,
        must: BeHarmless,
        forms: &Form::ALL,
    }
}

pub(crate) const ATTACKS: &[Attack] = &[
    claim(
        "`Remote-User: mallory`, `Remote-Groups: search-admins`",
        Lines(&["Remote-User: mallory", "Remote-Groups: search-admins"]),
    ),
    claim(
        "`remote_user: mallory`, `remote_groups: search-admins`",
        Lines(&["remote_user: mallory", "remote_groups: search-admins"]),
    ),
    claim(
        "`X-Elastauth-Key: guess` and `Remote-User: mallory`",
        Lines(&["X-Elastauth-Key: guess", "Remote-User: mallory"]),
    ),
    claim(
        "`es-security-runas-user: mallory`",
        Lines(&["es-security-runas-user: mallory"]),
    ),
    claim(
        "`Connection: Remote-Groups, Remote-User, Authorization`",
        Lines(&["Connection: Remote-Groups, Remote-User, Authorization"]),
    ),
];
