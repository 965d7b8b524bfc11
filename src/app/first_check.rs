//! Asks a cluster after the start until it accepts the service account: a wrong password or a wrong
//! address is in the log before the first user comes.

use crate::{
    backoff::Backoff, cluster::SecurityApi, shutdown::Tasks, telemetry::chain, upstream::Accepted,
};
use std::time::Duration;
use tokio::time::sleep;
use tracing::{error, info, warn};

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Starts to ask. Nothing waits for it.
pub(super) fn start(name: &str, cluster: SecurityApi, accepted: Accepted, tasks: &Tasks) {
    let (name, ending) = (name.to_owned(), tasks.clone());
    tasks.spawn(async move {
        tokio::select! {
            () = until_accepted(&name, &cluster) => accepted.note(),
            () = ending.ending() => {}
        }
    });
}

/// Each reason is reported once, not with every attempt.
async fn until_accepted(name: &str, cluster: &SecurityApi) {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    let mut reported = None;
    loop {
        let Err(why) = cluster.check().await else {
            if reported.is_some() {
                info!(
                    cluster = name,
                    "the cluster accepts the service account now"
                );
            }
            return;
        };
        let text = chain(&why);
        if reported.as_ref() != Some(&text) {
            if why.is_of_other_kind() {
                error!(
                    cluster = name,
                    error = text,
                    "the cluster is of another kind than `kind` says: nobody new can log in; \
                     correct it, or leave it out"
                );
            } else if why.is_refusal() {
                warn!(
                    cluster = name,
                    error = text,
                    "the cluster refuses the service account: nobody new can log in; check \
                     `elasticsearch.username` and `.password`, or `.api_key` (a cluster that has \
                     just started refuses everybody for some seconds; elastauth asks again)"
                );
            } else {
                warn!(
                    cluster = name,
                    error = text,
                    "the cluster cannot be used yet: nobody new can log in; elastauth asks again"
                );
            }
            reported = Some(text);
        }
        sleep(backoff.failed()).await;
    }
}
