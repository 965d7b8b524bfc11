//! Who is to be parked. Pure: the same facts give the same verdict.

use crate::{
    broker::rotation::Period,
    cluster::{Account, Marker},
    keys::Keyring,
};

/// Whether the login that this marker is about is one of ours, was handed out, and belongs to a
/// period of the user that is over.
pub(super) fn is_over(marker: &Marker, period: Period, keys: &Keyring) -> bool {
    let (Some(epoch), Some(key_id)) = (marker.epoch, marker.key_id.as_deref()) else {
        return false;
    };
    // Two deployments may share a cluster.
    if marker.parked || !keys.knows(key_id) {
        return false;
    }
    // The next period is that of a replica whose clock is ahead, whatever its key.
    let is_next = Some(epoch) == period.epoch.checked_add(1);
    let is_present = epoch == period.epoch && key_id == &*keys.of(period.key).credentials.id;
    !is_next && !is_present
}

/// The same of an account that was read just now: an administrator may have disabled it.
pub(super) fn is_due(account: &Account, period: Period, keys: &Keyring) -> bool {
    let over = account
        .origin
        .marker()
        .is_some_and(|marker| is_over(marker, period, keys));
    account.enabled && over
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cluster::Origin, keys::Slot, secret::SecretKey};

    fn keys() -> Keyring {
        let key = |digit| {
            let rest = "0123456789abcdef".repeat(4);
            SecretKey::parse(&format!("{digit}{}", &rest[1..])).unwrap()
        };
        Keyring::new(&key('1'), Some(&key('2')), "default")
    }

    fn marker(epoch: u64, key: Slot) -> Marker {
        Marker {
            epoch: Some(epoch),
            key_id: Some(keys().of(key).credentials.id.to_string()),
            ..Marker::default()
        }
    }

    #[test]
    fn a_login_is_over_unless_it_is_of_the_present_or_the_next_period() {
        let over = |epoch, key| is_over(&marker(epoch, key), Period::of_epoch(5), &keys());
        assert!(over(4, Slot::Current) && over(0, Slot::Current) && over(4, Slot::Previous));
        assert!(!over(5, Slot::Current));
        // Another replica's clock is ahead, and the key may change with the period.
        assert!(!over(6, Slot::Current) && !over(6, Slot::Previous));
        // With another `credentials.rotation` periods are counted from another number.
        assert!(over(7, Slot::Current) && over(400_000, Slot::Current));
        assert!(over(5, Slot::Previous));
    }

    #[test]
    fn a_marker_that_says_too_little_or_is_of_another_deployment_is_left_alone() {
        let over = |change: &dyn Fn(&mut Marker)| {
            let mut marker = marker(4, Slot::Current);
            change(&mut marker);
            is_over(&marker, Period::of_epoch(5), &keys())
        };
        assert!(over(&|_| {}));
        assert!(!over(&|marker| marker.epoch = None));
        assert!(!over(&|marker| marker.key_id = None));
        assert!(!over(&|marker| marker.key_id = Some("other".to_owned())));
        assert!(!over(&|marker| marker.parked = true));
    }

    #[test]
    fn an_account_is_due_unless_it_is_disabled_or_not_ours() {
        let mut account = Account {
            name: "alice".to_owned(),
            roles: Vec::new(),
            full_name: None,
            email: None,
            groups: Vec::new(),
            enabled: true,
            origin: Origin::Elastauth(marker(4, Slot::Current)),
        };
        let due = |account: &Account| is_due(account, Period::of_epoch(5), &keys());
        assert!(due(&account));
        account.enabled = false;
        assert!(!due(&account));
        account.enabled = true;
        for origin in [Origin::ElastauthGo, Origin::BuiltIn, Origin::Other] {
            account.origin = origin;
            assert!(!due(&account));
        }
    }
}
