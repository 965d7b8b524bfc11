//! What one write does to one user: operations of a JSON patch.

use super::document::{CACHE_EMPTIED, LOCKED, SentPassword, UNUSABLE, YES, entry};
use crate::{
    clock::Timestamp,
    cluster::security::types::{Account, StoredAccount},
};
use bytes::Bytes;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// A change of one user.
pub(super) struct Entry {
    pub(super) name: String,
    /// The roles that it gives: the cluster refuses those that it does not have.
    pub(super) roles: Vec<String>,
    /// The operations as JSON, one after another. They hold a hash or a password.
    operations: Zeroizing<String>,
    over: Over,
    /// When it may be sent at the latest.
    not_after: Option<Timestamp>,
}

/// What is written over.
enum Over {
    Anything,
    /// The user as they were read, or that there was none.
    Read(Option<Box<StoredAccount>>),
}

impl Entry {
    /// The whole user, whether they are there or not.
    pub(super) fn whole(account: &Account, password: SentPassword<'_>) -> Self {
        let name = account.name.clone();
        let add =
            json!({ "op": "add", "path": pointer(&name, ""), "value": entry(account, password) });
        Self::of(name, account.roles.clone(), &[add])
    }

    /// No user of that name. That there is none already makes no difference.
    pub(super) fn removal(name: &str) -> Self {
        let remove = json!({ "op": "remove", "path": pointer(name, "") });
        Self::of(name.to_owned(), Vec::new(), &[remove])
    }

    /// The lock of a user, and nothing else of them. To let them in again the lock goes; a hash
    /// that fits their password comes with the next write.
    pub(super) fn switch(name: &str, enabled: bool) -> Self {
        let lock = pointer(name, &format!("/attributes/{LOCKED}"));
        let operations = if enabled {
            vec![json!({ "op": "remove", "path": lock })]
        } else {
            vec![
                json!({ "op": "add", "path": lock, "value": YES }),
                json!({ "op": "add", "path": pointer(name, "/hash"), "value": UNUSABLE }),
            ]
        };
        Self::of(name.to_owned(), Vec::new(), &operations)
    }

    /// A note of the time, which makes the cluster empty its credential cache. A change that changes
    /// nothing would not be written.
    pub(super) fn time(name: &str, Timestamp(now): Timestamp) -> Self {
        let path = pointer(name, &format!("/attributes/{CACHE_EMPTIED}"));
        let add = json!({ "op": "add", "path": path, "value": now.to_string() });
        Self::of(name.to_owned(), Vec::new(), &[add])
    }

    fn of(name: String, roles: Vec<String>, operations: &[Value]) -> Self {
        let texts: Vec<String> = operations.iter().map(Value::to_string).collect();
        Self {
            name,
            roles,
            operations: Zeroizing::new(texts.join(",")),
            over: Over::Anything,
            not_after: None,
        }
    }

    /// The same, but only over the user as they were read.
    pub(super) fn over(self, read: Option<&StoredAccount>) -> Self {
        Self {
            over: Over::Read(read.cloned().map(Box::new)),
            ..self
        }
    }

    /// The same, but sent at this time at the latest: another replica may write the user then.
    pub(super) fn not_after(self, not_after: Option<Timestamp>) -> Self {
        Self { not_after, ..self }
    }

    pub(super) fn is_late(&self, now: Timestamp) -> bool {
        self.not_after.is_some_and(|latest| latest < now)
    }

    pub(super) fn is_over_one(&self) -> bool {
        matches!(self.over, Over::Read(_))
    }

    /// Whether there was a user when it was read: one whom somebody may have locked since.
    pub(super) fn is_over_a_user(&self) -> bool {
        matches!(self.over, Over::Read(Some(_)))
    }

    /// Whether it may be written over the user as they are now.
    pub(super) fn fits(&self, now: Option<&StoredAccount>) -> bool {
        match &self.over {
            Over::Anything => true,
            Over::Read(read) => read.as_deref() == now,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.operations.len()
    }

    /// The patch with this alone.
    pub(super) fn alone(&self) -> Bytes {
        patch([self].into_iter())
    }
}

/// One patch of all these.
pub(super) fn patch<'a>(entries: impl Iterator<Item = &'a Entry>) -> Bytes {
    let operations: Vec<&str> = entries.map(|entry| entry.operations.as_str()).collect();
    format!("[{}]", operations.join(",")).into()
}

/// A JSON pointer (RFC 6901) to something of a user.
fn pointer(name: &str, within: &str) -> String {
    format!("/{}{within}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_step_of_a_pointer_whatever_it_holds() {
        for (name, expected) in [
            ("alice", "/alice"),
            ("a/b", "/a~1b"),
            ("a~b", "/a~0b"),
            ("~1", "/~01"),
            ("a b@c", "/a b@c"),
        ] {
            assert_eq!(pointer(name, ""), expected);
        }
    }

    #[test]
    fn operations_of_several_users_are_one_patch() {
        let (removal, lock) = (Entry::removal("a"), Entry::switch("b", false));
        assert_eq!(
            patch([&removal, &lock].into_iter()),
            "[{\"op\":\"remove\",\"path\":\"/a\"},\
             {\"op\":\"add\",\"path\":\"/b/attributes/elastauth_locked\",\"value\":\"true\"},\
             {\"op\":\"add\",\"path\":\"/b/hash\",\"value\":\"!\"}]"
        );
        assert_eq!(
            Entry::switch("b", true).alone(),
            "[{\"op\":\"remove\",\"path\":\"/b/attributes/elastauth_locked\"}]"
        );
        assert_eq!(
            Entry::time("b", Timestamp(7)).alone(),
            "[{\"op\":\"add\",\"path\":\"/b/attributes/elastauth_cache_emptied\",\"value\":\"7\"}]"
        );
    }
}
