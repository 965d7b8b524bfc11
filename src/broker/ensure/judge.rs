//! May a user that exists in the cluster be written, and why. Pure: the same facts give the same
//! verdict.

use super::types::Reason;
use crate::{
    broker::{
        config::Adopt,
        document::{Document, Owner, owner},
        error::BrokerError,
    },
    clock::Timestamp,
    cluster::Account,
};

/// The rules, the most forbidding first. `login_works` says that the password derived for this
/// period was accepted; `knows_key` whether a key id is of this deployment.
pub(super) fn judge(
    document: &Document,
    found: &Account,
    login_works: bool,
    adopt: Adopt,
    knows_key: impl Fn(&str) -> bool,
    now: Timestamp,
) -> Result<Reason, BrokerError> {
    let mut owner = owner(&found.origin, adopt);
    if login_works && owner != Owner::Reserved {
        // A login that only our key can make proves who wrote the user and in which period,
        // whatever became of its metadata.
        owner = Owner::Elastauth {
            epoch: Some(document.epoch()),
            key_id: None,
        };
    }
    if owner == Owner::Reserved {
        return Err(BrokerError::ReservedName("a built-in user of the cluster"));
    }
    if !found.enabled {
        return Err(BrokerError::Disabled);
    }
    if let Some(provider) = document.is_somebody_elses(found) {
        if adopt != Adopt::Any {
            let asking = document.identity().provider().name().into();
            return Err(BrokerError::SomebodyElses { provider, asking });
        }
    } else if let Owner::Elastauth { .. } = owner
        && let Some(newest) = document.is_outdated_by(found, now)
    {
        return Err(BrokerError::Outdated { newest });
    }
    match owner {
        // Written under the other key of this deployment: the first write under this key is as
        // regular as that of a new period.
        Owner::Elastauth {
            key_id: Some(id), ..
        } if document.key_id() != Some(&id) && knows_key(&id) => Ok(Reason::Rotated),
        // A later period than ours belongs to a replica with another clock or other settings:
        // the writes budget has to bound that too.
        Owner::Elastauth { epoch, .. } if epoch >= Some(document.epoch()) => Ok(Reason::Changed),
        Owner::Elastauth { .. } => Ok(Reason::Rotated),
        Owner::Adoptable => Ok(Reason::Adopted),
        Owner::Foreign | Owner::Reserved => Err(BrokerError::Foreign),
    }
}
