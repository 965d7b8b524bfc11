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
            epoch: Some(document.target.epoch),
            key_id: None,
            parked: false,
        };
    }
    if owner == Owner::Reserved {
        return Err(BrokerError::ReservedName("a built-in user of the cluster"));
    }
    if !found.enabled {
        return Err(BrokerError::Disabled);
    }
    if let Some(provider) = document.other_provider_of(found) {
        if adopt != Adopt::Any {
            let asking = document.identity.provider().name().into();
            return Err(BrokerError::SomebodyElses { provider, asking });
        }
    } else if let Owner::Elastauth { .. } = owner
        && let Some(newest) = document.newer_statement(found, now)
    {
        return Err(BrokerError::Outdated { newest });
    }
    match owner {
        // Written under the other key of this deployment: the first write under this key is as
        // regular as that of a new period.
        Owner::Elastauth {
            key_id: Some(id), ..
        } if document.key_id() != Some(&id) && knows_key(&id) => Ok(Reason::Rotated),
        // Its login was given to nobody: whoever comes back gets one, however often that is.
        Owner::Elastauth {
            parked: true,
            key_id,
            ..
        } if key_id.as_deref().is_none_or(&knows_key) => Ok(Reason::Rotated),
        // A later period than ours belongs to a replica with another clock or other settings:
        // the writes budget has to bound that too.
        Owner::Elastauth { epoch, .. } if epoch >= Some(document.target.epoch) => {
            Ok(Reason::Changed)
        }
        Owner::Elastauth { .. } => Ok(Reason::Rotated),
        Owner::Adoptable => Ok(Reason::Adopted),
        Owner::Foreign | Owner::Reserved => Err(BrokerError::Foreign),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::{Marker, Origin},
        identity::Identity,
    };

    const NOW: Timestamp = Timestamp(900_000);

    fn ours() -> Document {
        Document::of(Identity::of_provider_at(
            "sso",
            "alice",
            &["dev"],
            Some(NOW),
        ))
    }

    /// The verdict about an account like ours with this change, under each setting of `adopt`.
    fn verdicts(
        login_works: bool,
        change: impl Fn(&mut Account),
    ) -> [Result<Reason, BrokerError>; 3] {
        let (document, mut found) = (ours(), ours().account);
        change(&mut found);
        [Adopt::Never, Adopt::ElastauthGo, Adopt::Any].map(|adopt| {
            judge(
                &document,
                &found,
                login_works,
                adopt,
                |id| ["k", "previous"].contains(&id),
                NOW,
            )
        })
    }

    fn marked(found: &mut Account, change: impl Fn(&mut Marker)) {
        let mut marker = found.origin.marker().cloned().unwrap();
        change(&mut marker);
        found.origin = Origin::Elastauth(marker);
    }

    fn always<T: Clone>(verdict: T) -> [T; 3] {
        [verdict.clone(), verdict.clone(), verdict]
    }

    #[test]
    fn a_built_in_user_and_a_disabled_one_are_never_written() {
        let reserved = BrokerError::ReservedName("a built-in user of the cluster");
        for login_works in [false, true] {
            assert_eq!(
                verdicts(login_works, |found| found.origin = Origin::BuiltIn),
                always(Err(reserved.clone()))
            );
            for origin in [ours().account.origin.clone(), Origin::Other] {
                let change = |found: &mut Account| {
                    found.enabled = false;
                    found.origin = origin.clone();
                };
                assert_eq!(
                    verdicts(login_works, change),
                    always(Err(BrokerError::Disabled))
                );
            }
        }
    }

    #[test]
    fn an_account_without_a_marker_is_adopted_as_configured_and_ours_if_the_login_works() {
        let (foreign, adopted) = (Err(BrokerError::Foreign), Ok(Reason::Adopted));
        assert_eq!(
            verdicts(false, |found| found.origin = Origin::Other),
            [foreign.clone(), foreign.clone(), adopted.clone()]
        );
        assert_eq!(
            verdicts(false, |found| found.origin = Origin::ElastauthGo),
            [foreign, adopted.clone(), adopted]
        );
        assert_eq!(
            verdicts(true, |found| found.origin = Origin::Other),
            always(Ok(Reason::Changed))
        );
    }

    #[test]
    fn an_earlier_period_or_the_other_key_is_rotation_and_all_else_a_change() {
        for (epoch, reason) in [
            (None, Reason::Rotated),
            (Some(2), Reason::Rotated),
            (Some(3), Reason::Changed),
            (Some(4), Reason::Changed),
        ] {
            let change = |found: &mut Account| marked(found, |marker| marker.epoch = epoch);
            assert_eq!(verdicts(false, change), always(Ok(reason)), "{epoch:?}");
            assert_eq!(verdicts(true, change), always(Ok(Reason::Changed)));
        }
        for (key, reason) in [("previous", Reason::Rotated), ("unknown", Reason::Changed)] {
            let change = |found: &mut Account| {
                marked(found, |marker| marker.key_id = Some(key.to_owned()));
            };
            assert_eq!(verdicts(false, change), always(Ok(reason)), "{key}");
        }
    }

    #[test]
    fn whoever_was_parked_comes_back_like_in_a_new_period() {
        for (key, reason) in [("k", Reason::Rotated), ("unknown", Reason::Changed)] {
            let change = |found: &mut Account| {
                marked(found, |marker| {
                    (marker.parked, marker.key_id) = (true, Some(key.to_owned()));
                });
            };
            assert_eq!(verdicts(false, change), always(Ok(reason)), "{key}");
            let disabled = |found: &mut Account| {
                change(found);
                found.enabled = false;
            };
            assert_eq!(
                verdicts(false, disabled),
                always(Err(BrokerError::Disabled))
            );
        }
    }

    #[test]
    fn another_persons_account_is_taken_over_only_if_any_is_adopted() {
        let refused = Err(BrokerError::SomebodyElses {
            provider: "other".into(),
            asking: "sso".into(),
        });
        for login_works in [false, true] {
            let change = |found: &mut Account| {
                found.roles.push("editor".to_owned());
                marked(found, |marker| {
                    marker.provider = Some("other".to_owned());
                    marker.issued_at = Some(Timestamp(NOW.0 + 1));
                });
            };
            assert_eq!(
                verdicts(login_works, change),
                [refused.clone(), refused.clone(), Ok(Reason::Changed)]
            );
        }
    }

    #[test]
    fn an_account_from_a_newer_token_is_not_overwritten() {
        let newest = Timestamp(NOW.0 + 1);
        let change = |found: &mut Account| {
            found.roles.push("editor".to_owned());
            marked(found, |marker| marker.issued_at = Some(newest));
        };
        let outdated = Err(BrokerError::Outdated { newest });
        assert_eq!(verdicts(false, change), always(outdated.clone()));
        assert_eq!(verdicts(true, change), always(outdated));
    }
}
