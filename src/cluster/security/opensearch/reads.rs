//! Reads of many users in one call.
//!
//! A read of one user costs OpenSearch nearly as much as a read of all, because all are one
//! document: 40 ms at 1,000 users, 270 ms at 10,000. So where several wait, one call reads for all
//! of them. Who comes during a call waits for the next one: nobody gets what was read before they
//! asked.

use super::{
    answer::{self, ok_body},
    document::User,
    paths::USERS,
};
use crate::{
    cluster::{
        error::{CallError, CallFailure},
        pool::NodeAnswer,
        security::{
            answer::unusable,
            client::{Client, get, segment},
            types::StoredAccount,
        },
    },
    model::Username,
    net::client::HttpError,
    shutdown::Tasks,
    telemetry::metrics::Call,
};
use serde::{
    Deserializer as _,
    de::{IgnoredAny, MapAccess, Visitor},
};
use std::{
    collections::{HashMap, HashSet},
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

/// How long the first waits for others: whoever was written in one call comes back at once, and a
/// read takes several times as long.
const COLLECT: Duration = Duration::from_millis(5);
/// Up to so many are read one by one.
const FEW: usize = 2;
/// For a read of all users, which a request waits for.
const PATIENCE: Duration = Duration::from_secs(3);

type Found = Result<Option<StoredAccount>, CallError>;

/// Reads users as the service account.
pub(super) struct Reads {
    shared: Arc<Shared>,
    tasks: Tasks,
}

struct Shared {
    client: Arc<Client>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    /// Whether a task reads, until nothing waits.
    reading: bool,
}

struct Waiting {
    name: Username,
    result: oneshot::Sender<Found>,
}

impl Reads {
    pub(super) fn new(client: Arc<Client>) -> Self {
        let queue = Mutex::default();
        Self {
            shared: Arc::new(Shared { client, queue }),
            tasks: Tasks::default(),
        }
    }

    /// What the cluster has of this user from now on.
    pub(super) async fn read(&self, name: &Username) -> Found {
        let (result, found) = oneshot::channel();
        let name = name.clone();
        if !self.shared.add(Waiting { name, result }) {
            let shared = Arc::clone(&self.shared);
            self.tasks.spawn(read_all(shared));
        }
        let cut = |_| {
            let why = CallFailure::Unfinished;
            Err(CallError::of_cluster(Call::ReadUser, why))
        };
        found.await.unwrap_or_else(cut)
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody reads already.
    fn add(&self, waiting: Waiting) -> bool {
        let mut queue = self.queue();
        queue.waiting.push(waiting);
        mem::replace(&mut queue.reading, true)
    }

    /// All who wait; nobody if nobody does, and then nobody reads.
    fn next(&self) -> Vec<Waiting> {
        let mut queue = self.queue();
        let mut waiting = mem::take(&mut queue.waiting);
        waiting.retain(|waiting| !waiting.result.is_closed());
        queue.reading = !waiting.is_empty();
        waiting
    }
}

/// However it ends, nobody waits for it any more.
struct Reading(Arc<Shared>);

impl Drop for Reading {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        if mem::take(&mut queue.reading) {
            queue.waiting.clear();
        }
    }
}

async fn read_all(shared: Arc<Shared>) {
    let reading = Reading(shared);
    sleep(COLLECT).await;
    loop {
        let waiting = reading.0.next();
        if waiting.is_empty() {
            return;
        }
        let client = &reading.0.client;
        if waiting.len() > FEW {
            read_many(client, waiting).await;
        } else {
            for Waiting { name, result } in waiting {
                let _gone = result.send(read_one(client, &name).await);
            }
        }
    }
}

async fn read_one(client: &Client, name: &Username) -> Found {
    let account = client.account(Call::ReadUser)?;
    let path = format!("{USERS}/{}", segment(name.as_str()));
    let ask = get(Call::ReadUser, &path, &account);
    let understand = |answer: &NodeAnswer| answer::user(answer, name);
    client.pool.read(&ask, understand).await
}

async fn read_many(client: &Client, waiting: Vec<Waiting>) {
    let names = waiting.iter().map(|one| one.name.as_str()).collect();
    let found = current(client, names).await;
    for Waiting { name, result } in waiting {
        let _gone = result.send(match &found {
            // Two may wait for one user.
            Ok(users) => Ok(users.get(name.as_str()).cloned()),
            Err(error) => Err(error.clone()),
        });
    }
}

/// Those of these users whom the cluster has, by their names; in one call.
pub(super) async fn current(
    client: &Client,
    names: HashSet<&str>,
) -> Result<HashMap<String, StoredAccount>, CallError> {
    let read = async {
        let account = client.account(Call::ListUsers)?;
        let ask = get(Call::ListUsers, USERS, &account);
        let wanted = Wanted(names);
        client.pool.read(&ask, |answer| wanted.of(answer)).await
    };
    let late = |_| {
        let why = CallFailure::Http(HttpError::TimedOut);
        Err(CallError::of_cluster(Call::ListUsers, why))
    };
    timeout(PATIENCE, read).await.unwrap_or_else(late)
}

/// Of all users those who are asked for.
struct Wanted<'a>(HashSet<&'a str>);

impl Wanted<'_> {
    fn of(&self, answer: &NodeAnswer) -> Result<HashMap<String, StoredAccount>, CallFailure> {
        let mut reader = serde_json::Deserializer::from_slice(ok_body(answer)?);
        let read = reader.deserialize_map(self);
        read.map_err(|error| unusable(&error))
    }
}

impl<'de> Visitor<'de> for &Wanted<'_> {
    type Value = HashMap<String, StoredAccount>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("users by their names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = HashMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if self.0.contains(name.as_str()) {
                let user: User = map.next_value()?;
                let stored = user.stored(&name);
                found.insert(name, stored);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        cluster::{
            security::opensearch::tests::client,
            tests::stub::{Manner, Stub},
        },
    };
    use futures_util::future::join_all;
    use http::StatusCode;

    /// As a real 2.19.4 gives them.
    const ALL: &str = r#"{
        "ann":{"hash":"","reserved":false,"hidden":false,"backend_roles":[],"attributes":{},"opendistro_security_roles":["viewer"],"static":false},
        "joe":{"hash":"","reserved":false,"hidden":false,"backend_roles":[],"attributes":{"elastauth_epoch":"2"},"opendistro_security_roles":["editor"],"static":false}}"#;

    fn reads(node: &Stub) -> Reads {
        Reads::new(client(node, Clock::System))
    }

    #[tokio::test]
    async fn who_waits_at_once_is_read_in_one_call() {
        let node = Stub::start(Manner::answer(200, ALL)).await;
        let reads = reads(&node);
        let names = ["joe", "ann", "bob", "joe"].map(|name| Username::parse(name).unwrap());
        let found = join_all(names.iter().map(|name| reads.read(name))).await;
        let roles: Vec<Option<Vec<String>>> = found
            .into_iter()
            .map(|found| found.unwrap().map(|stored| stored.account.roles))
            .collect();
        let role = |role: &str| Some(vec![role.to_owned()]);
        assert_eq!(
            roles,
            [role("editor"), role("viewer"), None, role("editor")]
        );
        assert_eq!(node.requests().len(), 1);
    }

    #[tokio::test]
    async fn few_are_read_alone() {
        let node = Stub::start(Manner::answer(200, ALL)).await;
        let joe = Username::parse("joe").unwrap();
        assert!(reads(&node).read(&joe).await.unwrap().is_some());
        assert!(node.requests()[0].starts_with("GET /_plugins/_security/api/internalusers/joe "));
    }

    #[tokio::test]
    async fn what_is_no_list_is_an_error_for_all() {
        for (status, body) in [
            (503, ""),
            (401, "Unauthorized"),
            (200, "<html>"),
            (200, "[]"),
        ] {
            let node = Stub::start(Manner::answer(status, body)).await;
            let reads = reads(&node);
            let names = ["a", "b", "c"].map(|name| Username::parse(name).unwrap());
            for found in join_all(names.iter().map(|name| reads.read(name))).await {
                let error = found.unwrap_err();
                assert_eq!(error.is_refusal(), status == 401, "{status} {body}");
                let status = StatusCode::from_u16(status).unwrap();
                assert!(error.status().is_none_or(|found| found == status));
            }
        }
    }
}
