//! Health endpoints, in the form that users of elastauth 2 have in their probes.

use super::{Connection, admin};
use crate::{respond::Response, shutdown::Tasks, upstream::Upstreams};
use bytes::Bytes;
use http::{
    HeaderValue, Method, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE},
    request::Parts,
};
use http_body_util::Full;
use serde_json::{Value, json};
use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

/// Asks the cluster whether it takes elastauth's own account. The text of a failure goes to trusted
/// peers: it must name no address.
pub type Check =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// How long a probe waits. Kubernetes gives a probe one second by default, and a cluster that needs
/// longer is not one to send users to.
const DEADLINE: Duration = Duration::from_secs(1);

/// How long an answer of the cluster is good for all probes: a flood of them costs one call a
/// second.
const SHARED: Duration = Duration::from_secs(1);

/// The only mode there is: elastauth answers questions and carries no traffic itself.
const MODE: &str = "auth-only";

/// Which of the health endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Health,
    Live,
    Ready,
}

/// Answers a probe. Anybody may ask; why something is missing is told to trusted peers only.
pub(super) async fn answer(
    connection: &Connection,
    request: &Parts,
    endpoint: Endpoint,
) -> Response {
    let now = connection.service.clock.now();
    if ![Method::GET, Method::HEAD].contains(&request.method) {
        let mut response = admin::told(
            now,
            StatusCode::METHOD_NOT_ALLOWED,
            "Health is asked with GET or HEAD.",
            "method_not_allowed",
        );
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let service = &connection.service;
    match endpoint {
        Endpoint::Health => answered(StatusCode::OK, &json!({"status": "OK", "mode": MODE})),
        Endpoint::Live => {
            let uptime = now.since(service.started).unwrap_or_default();
            answered(
                StatusCode::OK,
                &json!({"status": "OK", "timestamp": now.to_string(), "uptime": duration(uptime), "mode": MODE}),
            )
        }
        Endpoint::Ready => {
            let cluster = service.readiness.ask(&connection.tasks).await;
            let told = service
                .trust
                .load()
                .admit(connection.peer, &request.headers)
                .is_ok();
            let (status, word) = if cluster.is_ok() {
                (StatusCode::OK, "OK")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "NOT_READY")
            };
            let body = json!({
                "status": word,
                "checks": {
                    "elasticsearch": check(cluster, told),
                    "cache": degraded(store_state(service.flow.upstreams()), told),
                    "clock": degraded(service.telemetry.clocks.state().map(|()| Value::Null), told),
                    "provider": degraded(service.flow.providers().state(), told),
                },
                "timestamp": now.to_string(),
                "version": env!("CARGO_PKG_VERSION"),
                "mode": MODE,
            });
            answered(status, &body)
        }
    }
}

/// The store behind the ledgers: what is wrong with the first one that has a problem.
fn store_state(upstreams: &Upstreams) -> Result<&'static str, String> {
    let mut states = upstreams
        .iter()
        .map(|upstream| upstream.broker().ledger().store_state());
    let first = states.next().unwrap_or(Ok("memory"));
    states.fold(first, Result::and)
}

fn check(result: Result<(), String>, told: bool) -> Value {
    match result {
        Ok(()) => json!({"status": "OK"}),
        Err(why) if told => json!({"status": "ERROR", "error": why}),
        Err(_) => json!({"status": "ERROR"}),
    }
}

/// A store or an identity provider that is away, and clocks that differ, make nobody `NOT_READY`:
/// what is known goes on, and all replicas would leave the service at once.
fn degraded(state: Result<impl Into<Value>, String>, told: bool) -> Value {
    match state {
        Ok(kind) => {
            let kind = kind.into();
            if kind.is_null() {
                json!({"status": "OK"})
            } else {
                json!({"status": "OK", "message": kind})
            }
        }
        Err(why) if told => json!({"status": "DEGRADED", "error": why}),
        Err(_) => json!({"status": "DEGRADED"}),
    }
}

fn answered(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `1h2m3s`, as Go writes it.
fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// What the cluster said lately.
pub(super) struct Readiness {
    check: Check,
    latest: Mutex<Option<Latest>>,
}

struct Latest {
    since: Instant,
    result: watch::Receiver<Option<Result<(), String>>>,
}

impl Readiness {
    pub(super) fn new(check: Check) -> Self {
        Self {
            check,
            latest: Mutex::new(None),
        }
    }

    /// Joins the check that is under way or was made within the last second, or begins one. It runs
    /// on its own task, so that probes which hang up do not each begin another.
    async fn ask(&self, tasks: &Tasks) -> Result<(), String> {
        let mut result = {
            let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
            match &*latest {
                Some(latest) if latest.since.elapsed() < SHARED => latest.result.clone(),
                _ => {
                    let (done, result) = watch::channel(None);
                    let call = (self.check)();
                    tasks.spawn(async move {
                        let mut call = call;
                        match timeout(DEADLINE, &mut call).await {
                            Ok(said) => drop(done.send_replace(Some(said))),
                            Err(_late) => {
                                done.send_replace(Some(Err(format!(
                                    "no answer within {DEADLINE:?}"
                                ))));
                                // To its own end, which is not far: cut here, the cluster's client
                                // would never learn that a node hangs, and would ask it again for
                                // every third probe.
                                drop(call.await);
                            }
                        }
                    });
                    *latest = Some(Latest {
                        since: Instant::now(),
                        result: result.clone(),
                    });
                    result
                }
            }
        };
        // A check that crashed has dropped its end.
        result
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|said| said.clone())
            .unwrap_or_else(|| Err("the check crashed".to_owned()))
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_probes_is_one_call_a_second() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let readiness = Readiness::new(Arc::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Box::pin(async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Err("down".to_owned())
            })
        }));
        let tasks = Tasks::default();
        for _ in 0..50 {
            // A probe that hangs up leaves the check to the others.
            assert!(
                timeout(Duration::from_millis(1), readiness.ask(&tasks))
                    .await
                    .is_err()
            );
        }
        for _ in 0..50 {
            assert_eq!(readiness.ask(&tasks).await, Err("down".to_owned()));
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        tokio::time::advance(SHARED).await;
        assert!(readiness.ask(&tasks).await.is_err());
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_or_crashes_is_a_failed_one() {
        let hangs = Readiness::new(Arc::new(|| Box::pin(std::future::pending())));
        assert_eq!(
            hangs.ask(&Tasks::default()).await,
            Err("no answer within 1s".to_owned())
        );
        let crashes = Readiness::new(Arc::new(|| Box::pin(async { panic!("a test's panic") })));
        assert_eq!(
            crashes.ask(&Tasks::default()).await,
            Err("the check crashed".to_owned())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_is_late_is_not_cut() {
        let ended = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&ended);
        let readiness = Readiness::new(Arc::new(move || {
            let counted = Arc::clone(&counted);
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(1_500)).await;
                counted.fetch_add(1, Ordering::SeqCst);
                Ok(())
            })
        }));
        let tasks = Tasks::default();
        assert_eq!(
            readiness.ask(&tasks).await,
            Err("no answer within 1s".to_owned())
        );
        tasks.end();
        assert!(tasks.drained(Duration::from_secs(1)).await);
        assert_eq!(ended.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn uptime_reads_as_it_did() {
        assert_eq!(
            [0, 61, 3_723].map(|s| duration(Duration::from_secs(s))),
            ["0s", "1m1s", "1h2m3s"]
        );
    }
}
