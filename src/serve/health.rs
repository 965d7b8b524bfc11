//! Health endpoints, in the form that users of elastauth 2 have in their probes.

use super::connection::PeerConnection;
use crate::{
    respond::{self, Response},
    upstream::{NotReady, Upstreams},
};
use http::{Method, StatusCode, request::Parts};
use serde_json::{Value, json};
use std::{sync::atomic::Ordering::Relaxed, time::Duration};

/// Which of the health endpoints.
#[derive(Clone, Copy)]
pub(super) enum Probe {
    Health,
    Live,
    Ready,
}

/// Answers a probe of anybody. Only trusted peers see why something is missing.
pub(super) async fn answer(connection: &PeerConnection, request: &Parts, probe: Probe) -> Response {
    let service = &connection.service;
    let now = service.clock.now();
    if ![Method::GET, Method::HEAD].contains(&request.method) {
        return respond::method_not_allowed(now, "GET, HEAD");
    }
    match probe {
        Probe::Health => respond::json(
            StatusCode::OK,
            &json!({"status": "OK", "mode": service.mode}),
        ),
        Probe::Live => {
            let uptime = now.since(service.started).unwrap_or_default();
            respond::json(
                StatusCode::OK,
                &json!({
                    "status": "OK",
                    "timestamp": now.to_string(),
                    "uptime": go_duration(uptime),
                    "mode": service.mode,
                }),
            )
        }
        Probe::Ready => ready(connection, request).await,
    }
}

/// All clusters are asked at once, and none waits for another.
async fn ready(connection: &PeerConnection, request: &Parts) -> Response {
    let service = &connection.service;
    let (now, upstreams) = (service.clock.now(), service.flow.upstreams());
    let asked: Vec<_> = upstreams
        .iter()
        .map(|upstream| (upstream.name().to_owned(), upstream.is_ready()))
        .collect();
    let mut clusters = Vec::with_capacity(asked.len());
    for (name, state) in asked {
        clusters.push((name, state.await));
    }
    let trusted = connection.admit(&request.headers).is_ok();
    let check = |state: Result<Value, String>, failed: &str| match state {
        Ok(Value::Null) => json!({"status": "OK"}),
        Ok(message) => json!({"status": "OK", "message": message}),
        Err(error) if trusted => json!({"status": failed, "error": error}),
        Err(_) => json!({"status": failed}),
    };
    let degraded = "DEGRADED";
    let store = store_state(&upstreams);
    let providers = service.flow.providers.state();
    let clocks = service.telemetry.clocks.state();
    let leaving = service.leaving.load(Relaxed);
    let is_degraded = clusters.iter().any(|(_, state)| state.is_err())
        || store.is_err()
        || providers.is_err()
        || clocks.is_err();
    // Only what this replica alone lacks makes it NOT_READY. All replicas share clusters, a store,
    // identity providers and clocks that fail, and would all leave the service at once, though
    // known users can still be answered.
    let was_accepted = upstreams.iter().any(|upstream| upstream.was_accepted());
    let is_refused = !was_accepted && is_refused(&clusters);
    let (code, status) = match (leaving || is_refused, is_degraded) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "NOT_READY"),
        (false, true) => (StatusCode::OK, degraded),
        (false, false) => (StatusCode::OK, "OK"),
    };
    let mut checks = json!({
        "elasticsearch": check(together(&clusters).map(Value::from), "ERROR"),
        "cache": check(store.map(Value::from).map_err(str::to_owned), degraded),
        "clock": check(clocks.map(Value::from), degraded),
        "provider": check(providers.map(Value::from), degraded),
    });
    if leaving && let Some(checks) = checks.as_object_mut() {
        let why = "the process ends soon and still answers; ask another replica";
        checks.insert("shutdown".to_owned(), check(Err(why.to_owned()), "ENDING"));
    }
    let waiting = service.requires_restart.load();
    if trusted && let Some(checks) = checks.as_object_mut() {
        let each = clusters.into_iter();
        let each = each.map(|(name, state)| {
            let state = state.map(Value::from).map_err(|error| error.why);
            (name, check(state, "ERROR"))
        });
        checks.insert("clusters".to_owned(), each.collect());
        let state = if waiting.is_empty() {
            Ok(Value::Null)
        } else {
            let keys = waiting.join(", ");
            Err(format!("new values require a restart: {keys}"))
        };
        checks.insert("configuration".to_owned(), check(state, "RESTART_REQUIRED"));
        let unprotected = service.unprotected.load();
        if !unprotected.is_empty() {
            let why = format!(
                "every host in a private network that reaches {} may name themselves any user; set \
                 `trusted_proxies`, `gateway_keys` or `tls.client_ca`",
                unprotected.join(", ")
            );
            checks.insert("trust".to_owned(), check(Err(why), "UNPROTECTED"));
        }
    }
    let mut answer = json!({
        "status": status,
        "checks": checks,
        "timestamp": now.to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "mode": service.mode,
    });
    if let (true, Some(first), Some(answer)) =
        (trusted, upstreams.iter().next(), answer.as_object_mut())
    {
        answer.insert("key_id".to_owned(), first.broker().key_id().into());
    }
    respond::json(code, &answer)
}

/// The state of each cluster by name.
type Clusters = [(String, Result<(), NotReady>)];

/// Whether every cluster that has answered refuses elastauth's account, and one has. Of a replica
/// whose account none has accepted so far this is most likely the replica's own fault: it knows
/// nobody, and another one may have the right account.
fn is_refused(clusters: &Clusters) -> bool {
    let refusals = clusters.iter().map(|(_, state)| match state {
        Ok(()) => Some(false),
        Err(why) => why.is_refusal.then_some(true),
    });
    let mut answers = refusals.flatten().peekable();
    answers.peek().is_some() && answers.all(|is_refusal| is_refusal)
}

/// The clusters as one check, as it was before there could be several: the first that is away.
fn together(clusters: &Clusters) -> Result<(), String> {
    let away = clusters
        .iter()
        .find_map(|(name, state)| Some((name, &state.as_ref().err()?.why)));
    match (away, clusters) {
        (None, _) => Ok(()),
        (Some((_, why)), [_]) => Err(why.clone()),
        (Some((name, why)), _) => Err(format!("{name}: {why}")),
    }
}

/// The store behind the ledgers: what is wrong with the first one that has a problem.
fn store_state(upstreams: &Upstreams) -> Result<&'static str, &'static str> {
    let mut states = upstreams
        .iter()
        .map(|upstream| upstream.broker().ledger().store_state());
    let first = states.next().unwrap_or(Ok("memory"));
    states.fold(first, Result::and)
}

/// `1h2m3s`, as Go writes it.
fn go_duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_not_ready_where_every_answer_is_a_refusal() {
        let error = |is_refusal| {
            let why = String::new();
            Err(NotReady { why, is_refusal })
        };
        let (refused, away) = (error(true), error(false));
        for (states, expected) in [
            (vec![&refused], true),
            (vec![&away], false),
            (vec![&Ok(())], false),
            (vec![&refused, &away], true),
            (vec![&refused, &Ok(())], false),
            (vec![], false),
        ] {
            let clusters: Vec<_> = states
                .into_iter()
                .map(|state| (String::new(), state.clone()))
                .collect();
            assert_eq!(is_refused(&clusters), expected, "{clusters:?}");
        }
    }

    #[test]
    fn uptime_reads_as_it_did() {
        assert_eq!(
            [0, 61, 3_723].map(|s| go_duration(Duration::from_secs(s))),
            ["0s", "1m1s", "1h2m3s"]
        );
    }
}
