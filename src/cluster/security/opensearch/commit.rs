//! Writes of many users in one call.
//!
//! OpenSearch keeps all internal users in one document. Each write reads it, changes it, writes it
//! back if nobody else has meanwhile, and empties the credential cache of everybody; a write of a
//! thousand users takes hardly longer than a write of one. So what waits is written together, one
//! call at a time.
//!
//! The calls are made by a task of their own: who stops waiting does not cancel the write of
//! others. What became of a call is so for all who are in it, with one exception: where the cluster
//! refuses it because of one user or one role, the others are written without.

use super::{
    answer::{self, Culprit, Patched},
    entry::{Entry, patch},
    paths::USERS,
};
use crate::{
    backoff::Backoff,
    cluster::{
        error::{CallError, CallFailure},
        pool::Ask,
        security::client::Client,
    },
    shutdown::Tasks,
    telemetry::metrics::Call,
};
use http::Method;
use std::{
    collections::{HashSet, VecDeque},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

/// How long the first waits for others: a small part of what a write takes.
const COLLECT: Duration = Duration::from_millis(5);
/// Of one call. Some 300 KB.
const MOST_ENTRIES: usize = 500;
const MOST_BYTES: usize = 1024 * 1024;
/// Who waits at once. Beyond it the cluster is overloaded.
const MOST_WAITING: usize = 10_000;
/// After a conflict: other replicas are at it, and a write of theirs takes about that long.
const FIRST_WAIT: Duration = Duration::from_millis(25);
const LONGEST_WAIT: Duration = Duration::from_millis(400);
/// From when on a write is not begun any more.
const PATIENCE: Duration = Duration::from_secs(10);

/// The only way to write to a cluster.
pub(super) struct Commit {
    shared: Arc<Shared>,
    tasks: Tasks,
}

struct Shared {
    client: Arc<Client>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Whether a task writes, until nothing waits.
    writing: bool,
}

struct Waiting {
    entry: Entry,
    until: Instant,
    result: oneshot::Sender<Result<(), CallError>>,
}

impl Commit {
    pub(super) fn new(client: Arc<Client>) -> Self {
        let queue = Mutex::default();
        Self {
            shared: Arc::new(Shared { client, queue }),
            tasks: Tasks::default(),
        }
    }

    /// Writes this with whatever else waits.
    pub(super) async fn write(&self, entry: Entry) -> Result<(), CallError> {
        let (result, written) = oneshot::channel();
        let waiting = Waiting {
            entry,
            until: Instant::now() + PATIENCE,
            result,
        };
        if !self.shared.add(waiting)? {
            let shared = Arc::clone(&self.shared);
            self.tasks.spawn(write_all(shared));
        }
        // Without a result the task has ended in the middle of a call.
        written.await.unwrap_or_else(|_| Err(lost()))
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody writes already.
    fn add(&self, waiting: Waiting) -> Result<bool, CallError> {
        let mut queue = self.queue();
        if queue.waiting.len() >= MOST_WAITING {
            return Err(CallError::of_cluster(Call::WriteUser, CallFailure::Busy));
        }
        queue.waiting.push_back(waiting);
        Ok(mem::replace(&mut queue.writing, true))
    }

    /// What one call takes; nothing if nothing waits, and then nobody writes. Who has waited too
    /// long is told so, and who waits no more is left out.
    fn next(&self) -> Vec<Waiting> {
        let now = Instant::now();
        let mut queue = self.queue();
        let (mut batch, mut bytes) = (Vec::<Waiting>::new(), 0);
        let (mut names, mut later) = (HashSet::new(), VecDeque::new());
        while let Some(waiting) = queue.waiting.pop_front() {
            if waiting.result.is_closed() {
                continue;
            }
            if waiting.until < now {
                let busy = CallError::of_cluster(Call::WriteUser, CallFailure::Busy);
                let _gone = waiting.result.send(Err(busy));
                continue;
            }
            let fits = bytes + waiting.entry.bytes() <= MOST_BYTES || batch.is_empty();
            if batch.len() == MOST_ENTRIES || !fits {
                queue.waiting.push_front(waiting);
                break;
            }
            // Two writes of one user are two writes, in their order.
            if names.insert(waiting.entry.name.clone()) {
                bytes += waiting.entry.bytes();
                batch.push(waiting);
            } else {
                later.push_back(waiting);
            }
        }
        later.append(&mut queue.waiting);
        queue.waiting = later;
        queue.writing = !batch.is_empty();
        batch
    }
}

/// However it ends, nobody waits for it any more.
struct Writing(Arc<Shared>);

impl Drop for Writing {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        if mem::take(&mut queue.writing) {
            queue.waiting.clear();
        }
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
        write_batch(&writing.0.client, batch).await;
    }
}

/// Writes these, and says to each what became of it.
async fn write_batch(client: &Client, batch: Vec<Waiting>) {
    // The parts that are still to be written, the next one last.
    let mut parts = vec![batch];
    let mut conflicts = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    while let Some(mut part) = parts.pop() {
        let entries: Vec<&Entry> = part.iter().map(|waiting| &waiting.entry).collect();
        match send(client, &entries).await {
            Ok(Patched::Done) => answer(part, &Ok(())),
            Err(error) => answer(part, &Err(error)),
            Ok(Patched::Conflict(failure)) => {
                let wait = conflicts.failed();
                let end = Instant::now() + wait;
                let (patient, late) = part.into_iter().partition(|it| it.until > end);
                answer(late, &Err(refused(failure)));
                sleep(wait).await;
                keep(&mut parts, patient);
            }
            Ok(Patched::Refused(failure, culprit)) => {
                let is_meant = |entry: &Entry| match &culprit {
                    Culprit::User(name) => entry.name == *name,
                    Culprit::Role(role) => entry.roles.contains(role),
                    Culprit::Unknown => false,
                };
                let (meant, mut others): (Vec<_>, Vec<_>) =
                    part.drain(..).partition(|it| is_meant(&it.entry));
                if meant.is_empty() {
                    // One of them, or the call as a whole: half of them is the next question.
                    let half = others.split_off(others.len() / 2);
                    if others.is_empty() {
                        answer(half, &Err(refused(failure)));
                    } else {
                        keep(&mut parts, half);
                        keep(&mut parts, others);
                    }
                } else {
                    answer(meant, &Err(refused(failure)));
                    keep(&mut parts, others);
                }
            }
        }
    }
}

fn keep(parts: &mut Vec<Vec<Waiting>>, part: Vec<Waiting>) {
    if !part.is_empty() {
        parts.push(part);
    }
}

async fn send(client: &Client, entries: &[&Entry]) -> Result<Patched, CallError> {
    let ask = Ask {
        call: Call::WriteUser,
        method: Method::PATCH,
        path: USERS,
        authorization: &client.account(Call::WriteUser)?,
        body: patch(entries.iter().copied()),
    };
    let understand = |answer: &_| answer::patched(answer, entries);
    client.pool.write(&ask, understand).await
}

fn answer(part: Vec<Waiting>, result: &Result<(), CallError>) {
    for waiting in part {
        let _gone = waiting.result.send(result.clone());
    }
}

fn refused(failure: CallFailure) -> CallError {
    CallError::of_cluster(Call::WriteUser, failure)
}

/// Whether it was written is not known.
fn lost() -> CallError {
    CallError::of_cluster(Call::WriteUser, CallFailure::Unfinished)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        cluster::{
            pool::Timeouts,
            security::types::{Config, Kind, PasswordForm, ServiceAccount},
            tests::stub::{Manner, Stub},
        },
        net::tls,
        secret::SecretString,
        telemetry::ClusterTelemetry,
    };
    use futures_util::future::join_all;
    use std::task::{Context, Waker};

    const DONE: &str = r#"{"status":"OK","message":"Resource updated."}"#;

    fn commit(node: &Stub) -> Commit {
        let config = Config {
            kind: Kind::Opensearch,
            hosts: vec![format!("http://{}", node.addr).parse().unwrap()],
            account: ServiceAccount::Basic {
                username: "svc".to_owned(),
                password: SecretString::from("pw"),
            },
            tls: tls::ClientConfig::default(),
            passwords: PasswordForm::Hash,
        };
        let client = Client::new(
            &config,
            Clock::System,
            Timeouts::default(),
            &ClusterTelemetry::default(),
        );
        Commit::new(Arc::new(client.unwrap()))
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
}
