//! Constant load on a gateway: clients that keep their connections and send one request after the
//! other. It tells how many there were, and each that failed.

use crate::{
    client::{Client, answer},
    draft::Draft,
    gateway::ELASTICSEARCH,
    support::find,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::task::JoinSet;

/// nginx closes a client's connection after a thousand.
const ON_ONE_CONNECTION: usize = 500;

#[derive(Debug)]
pub(crate) struct Load {
    sent: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
    clients: JoinSet<Vec<String>>,
}

impl Load {
    /// Begins with one client for each of these requests.
    pub(crate) fn start(client: &Client, drafts: Vec<Draft>) -> Self {
        let (sent, ended) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let clients = drafts.into_iter().map(|draft| {
            let (sent, ended) = (Arc::clone(&sent), Arc::clone(&ended));
            send(client.clone(), draft, sent, ended)
        });
        Self {
            clients: clients.collect(),
            sent,
            ended,
        }
    }

    /// How many requests were sent so far.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(SeqCst)
    }

    /// Waits until so many were sent.
    pub(crate) async fn reached(&self, count: usize) {
        let enough = async || (self.sent() >= count).then_some(());
        find("the load", Duration::from_mins(2), enough).await;
    }

    /// Ends it: how many requests there were, and those that failed.
    pub(crate) async fn end(self) -> (usize, Vec<String>) {
        self.ended.store(true, SeqCst);
        let failed = self.clients.join_all().await.into_iter().flatten();
        (self.sent.load(SeqCst), failed.collect())
    }
}

async fn send(
    client: Client,
    draft: Draft,
    sent: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
) -> Vec<String> {
    let mut failed = Vec::new();
    while !ended.load(SeqCst) {
        let mut wire = client.connect(ELASTICSEARCH).await.expect("the gateway");
        for _ in 0..ON_ONE_CONNECTION {
            if ended.load(SeqCst) {
                break;
            }
            sent.fetch_add(1, SeqCst);
            let exchange = async {
                wire.send(&draft.bytes()).await?;
                answer(&mut wire, &draft.method).await
            };
            match exchange.await {
                Ok(Some(answer)) if answer.status() == 200 => {}
                Ok(Some(answer)) => failed.push(answer.first),
                other => {
                    failed.push(format!("{other:?}"));
                    break;
                }
            }
        }
    }
    failed
}
