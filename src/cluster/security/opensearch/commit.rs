//! Writes of many users in one call.
//!
//! OpenSearch keeps all internal users in one document. Each write reads it, changes it, writes it
//! back if nobody else has meanwhile, and empties the credential cache of everybody; a write of a
//! thousand users takes hardly longer than a write of one. So what waits is written together, one
//! call at a time.
//!
//! The calls are made by a task of their own: who stops waiting does not cancel the write of
//! others. What became of a call is so for all who are in it, with two exceptions. Where the
//! cluster refuses it because of one user or one role, the others are written without. And whose
//! user somebody else has changed meanwhile is left out: see [`super::batch`].

use super::{
    batch::write_batch,
    entry::Entry,
    queue::{Shared, Written},
};
use crate::{
    cluster::{
        error::{CallError, CallFailure},
        security::client::Client,
    },
    shutdown::Tasks,
    telemetry::metrics::Call,
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::oneshot, time::sleep};

/// How long the first waits for others: a small part of what a write takes.
const COLLECT: Duration = Duration::from_millis(5);

/// The only way to write to a cluster.
pub(super) struct Commit {
    shared: Arc<Shared>,
    tasks: Tasks,
}

impl Commit {
    pub(super) fn new(client: Arc<Client>) -> Self {
        Self {
            shared: Arc::new(Shared::new(client)),
            tasks: Tasks::default(),
        }
    }

    /// Writes this with whatever else waits.
    pub(super) async fn write(&self, entry: Entry) -> Written {
        let (result, written) = oneshot::channel();
        if !self.shared.add(entry, result)? {
            let shared = Arc::clone(&self.shared);
            self.tasks.spawn(write_all(shared));
        }
        // Without a result the task has ended in the middle of a call.
        written.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Waits until nobody writes, and no time is left to others any more.
    #[cfg(test)]
    pub(super) async fn idle(&self) {
        while !self.shared.is_idle() {
            tokio::task::yield_now().await;
        }
    }
}

/// However it ends, nobody waits for it any more.
struct Writing(Arc<Shared>);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.stop();
    }
}

async fn write_all(shared: Arc<Shared>) {
    let writing = Writing(shared);
    sleep(COLLECT).await;
    loop {
        let batch = writing.0.next();
        if batch.is_empty() {
            return;
        }
        write_batch(&writing.0, batch).await;
    }
}

/// Whether it was written is not known.
fn lost() -> CallError {
    CallError::of_cluster(Call::WriteUser, CallFailure::Unfinished)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{batch::MOST_REFUSALS, document::User, queue::MOST_ENTRIES},
        *,
    };
    use crate::{
        clock::{Clock, Timestamp},
        cluster::{
            security::{opensearch::tests::client, types::StoredAccount},
            tests::stub::{Manner, Stub},
        },
    };
    use futures_util::future::join_all;
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        task::{Context, Waker},
    };

    const DONE: &str = r#"{"status":"OK","message":"Resource updated."}"#;

    fn commit(node: &Stub) -> Commit {
        commit_at(node, Clock::System)
    }

    fn commit_at(node: &Stub, clock: Clock) -> Commit {
        Commit::new(client(node, clock))
    }

    fn entry(name: &str, role: &str) -> Entry {
        let mut entry = Entry::removal(name);
        entry.roles = vec![role.to_owned()];
        entry
    }

    fn said(status: u16, word: &str, message: &str) -> Manner {
        let body = serde_json::json!({ "status": word, "message": message });
        Manner::answer(status, &body.to_string())
    }

    /// The names that each call was for.
    fn calls(node: &Stub) -> Vec<Vec<String>> {
        let names = |request: &String| {
            let (_, body) = request.split_once("\r\n\r\n").unwrap();
            let operations: Vec<serde_json::Value> = serde_json::from_str(body).unwrap();
            let names = operations.iter().map(|it| it["path"].as_str().unwrap());
            names.map(|path| path[1..].to_owned()).collect()
        };
        node.requests().iter().map(names).collect()
    }

    #[tokio::test]
    async fn what_waits_at_once_is_written_in_one_call() {
        let node = Stub::start(Manner::answer(200, DONE)).await;
        let commit = commit(&node);
        let writes = (0..64).map(|n| commit.write(entry(&format!("u{n}"), "viewer")));
        for written in join_all(writes).await {
            assert_eq!(written, Ok(()));
        }
        let calls = calls(&node);
        assert_eq!((calls.len(), calls[0].len()), (1, 64));
    }

    #[tokio::test]
    async fn a_call_is_bounded_and_two_writes_of_one_user_are_two_calls() {
        let node = Stub::start(Manner::answer(200, DONE)).await;
        let commit = commit(&node);
        let writes = (0..=MOST_ENTRIES).map(|n| commit.write(entry(&format!("u{n}"), "viewer")));
        assert!(join_all(writes).await.iter().all(Result::is_ok));
        let twice = [entry("joe", "viewer"), entry("joe", "editor")].map(|it| commit.write(it));
        assert!(join_all(twice).await.iter().all(Result::is_ok));
        let sizes: Vec<usize> = calls(&node).iter().map(Vec::len).collect();
        assert_eq!(sizes, [MOST_ENTRIES, 1, 1, 1]);
    }

    #[tokio::test]
    async fn a_user_with_a_missing_role_does_not_hold_back_the_others() {
        let node = Stub::start(said(404, "NOT_FOUND", "role 'nope' not found.")).await;
        let commit = commit(&node);
        let behaves = async {
            node.asked(1).await;
            node.behave(Manner::answer(200, DONE));
        };
        let writes = [
            commit.write(entry("a", "viewer")),
            commit.write(entry("b", "nope")),
            commit.write(entry("c", "viewer")),
        ];
        let (written, ()) = tokio::join!(join_all(writes), behaves);
        let [a, b, c] = <[_; 3]>::try_from(written).unwrap();
        assert_eq!((a, c), (Ok(()), Ok(())));
        let error = b.unwrap_err();
        assert!(error.to_string().contains("no role `nope`"), "{error}");
        assert!(!error.may_take_effect());
    }

    #[tokio::test]
    async fn of_a_call_that_is_refused_for_nothing_known_each_is_asked_alone() {
        let node = Stub::start(said(400, "BAD_REQUEST", "something else")).await;
        let commit = commit(&node);
        let writes = ["a", "b", "c"].map(|name| commit.write(entry(name, "viewer")));
        for written in join_all(writes).await {
            assert_eq!(written.unwrap_err().status().unwrap(), 400);
        }
        let mut alone: Vec<String> = calls(&node)
            .into_iter()
            .filter(|names| names.len() == 1)
            .flatten()
            .collect();
        alone.sort();
        assert_eq!(alone, ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn a_conflict_is_tried_again_and_nobody_sees_it() {
        let node = Stub::start(said(409, "CONFLICT", "version conflict")).await;
        let commit = commit(&node);
        let behaves = async {
            node.asked(3).await;
            node.behave(Manner::answer(200, DONE));
        };
        let (written, ()) = tokio::join!(commit.write(entry("a", "viewer")), behaves);
        assert_eq!(written, Ok(()));
    }

    #[tokio::test]
    async fn who_waits_no_more_does_not_cancel_the_write_of_others() {
        let node = Stub::start(Manner::answer(200, DONE)).await;
        let commit = commit(&node);
        let mut gone = Box::pin(commit.write(entry("a", "viewer")));
        // It is in the queue from the first poll on.
        let mut context = Context::from_waker(Waker::noop());
        assert!(gone.as_mut().poll(&mut context).is_pending());
        let stays = commit.write(entry("b", "viewer"));
        drop(gone);
        assert_eq!(stays.await, Ok(()));
    }

    #[tokio::test]
    async fn an_unknown_outcome_is_unknown_for_all() {
        let node = Stub::start(Manner::HangUp).await;
        let commit = commit(&node);
        let writes = ["a", "b"].map(|name| commit.write(entry(name, "viewer")));
        for written in join_all(writes).await {
            assert!(written.unwrap_err().may_take_effect());
        }
        node.behave(Manner::answer(200, DONE));
        assert_eq!(commit.write(entry("a", "viewer")).await, Ok(()));
    }

    /// With these roles and this attribute, as a list has them; a patch is done with that too.
    fn listed(role: &str, attribute: &str) -> String {
        let body = serde_json::json!({
            "status": "OK", "message": "Resource updated.",
            "a": user(role, attribute),
        });
        body.to_string()
    }

    fn user(role: &str, attribute: &str) -> serde_json::Value {
        serde_json::json!({
            "hash": "", "reserved": false, "hidden": false, "static": false, "backend_roles": [],
            "attributes": { attribute: "true" }, "opendistro_security_roles": [role],
        })
    }

    fn stored(role: &str, attribute: &str) -> StoredAccount {
        let user: User = serde_json::from_value(user(role, attribute)).unwrap();
        user.stored("a")
    }

    /// Of the write of `a`, which was read like this, after a conflict: what became of it, and
    /// which calls were made.
    async fn after_conflict(
        read: Option<&StoredAccount>,
        now: &str,
    ) -> (Result<(), CallError>, Vec<String>) {
        let node = Stub::start(said(409, "CONFLICT", "version conflict")).await;
        let commit = commit(&node);
        let behaves = async {
            node.asked(1).await;
            node.behave(Manner::answer(200, now));
        };
        let write = commit.write(entry("a", "viewer").over(read));
        let (written, ()) = tokio::join!(write, behaves);
        let requests = node.requests();
        let method = |request: &String| request.split(' ').next().unwrap().to_owned();
        (written, requests.iter().map(method).collect())
    }

    #[tokio::test]
    async fn after_a_conflict_nobody_is_written_over_whom_somebody_else_has_changed() {
        let read = stored("editor", "elastauth_fingerprint_f");
        let same = listed("editor", "elastauth_fingerprint_f");
        assert_eq!(
            after_conflict(Some(&read), &same).await,
            (
                Ok(()),
                ["PATCH", "GET", "PATCH"].map(str::to_owned).to_vec()
            )
        );
        for (read, now) in [
            (Some(&read), listed("editor", "elastauth_locked")),
            (Some(&read), listed("viewer", "elastauth_fingerprint_g")),
            (Some(&read), listed("viewer", "elastauth_fingerprint_f")),
            (Some(&read), DONE.to_owned()),
            (None, same),
        ] {
            let (written, calls) = after_conflict(read, &now).await;
            let error = written.unwrap_err();
            assert!(error.is_overtaken() && error.may_pass() && !error.may_take_effect());
            assert_eq!(calls, ["PATCH", "GET"], "{now}");
        }
    }

    #[tokio::test]
    async fn who_has_waited_during_a_call_is_looked_at_again() {
        let node = Stub::start(Manner::answer(200, &listed("viewer", "x"))).await;
        let commit = commit(&node);
        let (before, other) = (stored("viewer", "x"), stored("editor", "x"));
        // Two writes of one user are two calls, and the second one waits for the first.
        let twice = [
            entry("a", "viewer"),
            entry("a", "editor").over(Some(&other)),
        ];
        let [first, second] = twice.map(|it| commit.write(it));
        let (first, second) = tokio::join!(first, second);
        assert_eq!(first, Ok(()));
        assert!(second.unwrap_err().is_overtaken());
        let twice = [
            entry("a", "viewer"),
            entry("a", "editor").over(Some(&before)),
        ];
        let [first, second] = twice.map(|it| commit.write(it));
        assert_eq!(tokio::join!(first, second), (Ok(()), Ok(())));
        // So is who was read before a call that has just ended, for all that is known.
        commit.idle().await;
        let late = commit.write(entry("a", "x").over(Some(&other))).await;
        assert!(late.unwrap_err().is_overtaken());
    }

    #[tokio::test]
    async fn where_there_was_no_call_nothing_is_read() {
        let node = Stub::start(Manner::answer(200, DONE)).await;
        let other = stored("editor", "x");
        let commit = commit(&node);
        let write = commit.write(entry("a", "x").over(Some(&other)));
        assert_eq!(write.await, Ok(()));
        assert_eq!(node.requests().len(), 1);
    }

    #[tokio::test]
    async fn no_call_is_made_after_the_time_up_to_which_a_write_may_begin() {
        let node = Stub::start(said(409, "CONFLICT", "version conflict")).await;
        let time = Arc::new(AtomicU64::new(1_000));
        let commit = commit_at(&node, Clock::Manual(Arc::clone(&time)));
        let until = |ms: u64| entry("a", "viewer").not_after(Some(Timestamp(ms)));
        // The first call is in time, and meets a conflict.
        let passes = async {
            node.asked(1).await;
            node.behave(Manner::answer(200, DONE));
            time.store(1_001, Ordering::SeqCst);
        };
        let (written, ()) = tokio::join!(commit.write(until(1_000)), passes);
        let error = written.unwrap_err();
        assert!(error.is_overtaken() && error.may_pass() && !error.may_take_effect());
        assert_eq!(node.requests().len(), 1);
        // Another one of the same batch is not held up.
        let other = entry("b", "viewer");
        let (late, other) = tokio::join!(commit.write(until(1_000)), commit.write(other));
        assert!(late.unwrap_err().is_overtaken());
        assert_eq!(other, Ok(()));
        assert_eq!(calls(&node).last().unwrap(), &["b"]);
        assert_eq!(commit.write(until(1_001)).await, Ok(()));
    }

    #[tokio::test]
    async fn a_cluster_that_cannot_be_read_after_a_conflict_is_written_to_no_more() {
        let node = Stub::start(said(409, "CONFLICT", "version conflict")).await;
        let commit = commit(&node);
        let behaves = async {
            node.asked(1).await;
            node.behave(Manner::answer(500, "{}"));
        };
        let write = commit.write(entry("a", "viewer").over(None));
        let (written, ()) = tokio::join!(write, behaves);
        let error = written.unwrap_err();
        assert!(!error.may_take_effect() && error.may_pass(), "{error}");
    }

    #[tokio::test]
    async fn a_cluster_that_refuses_all_for_nothing_known_is_not_asked_for_each() {
        let node = Stub::start(said(400, "BAD_REQUEST", "something else")).await;
        let commit = commit(&node);
        let writes = (0..MOST_ENTRIES).map(|n| commit.write(entry(&format!("u{n}"), "viewer")));
        for written in join_all(writes).await {
            assert_eq!(written.unwrap_err().status().unwrap(), 400);
        }
        assert_eq!(node.requests().len(), MOST_REFUSALS);
    }
}
