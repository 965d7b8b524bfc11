//! The replicas that a command asks, and how they are asked.

use crate::{
    cli::{
        healthcheck::{answers_anybody, reachable},
        output::{CommandError, failed},
    },
    config::Config,
    net::{
        client::{self, Client, HttpCall},
        tls,
        trust::KEY_HEADER,
    },
    telemetry::chain,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, uri::Scheme};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt, fs, net::SocketAddr, path::Path, time::Duration};
use tokio::net::lookup_host;

/// Longer than a replica takes for a revocation.
const TIMEOUT: Duration = Duration::from_secs(40);
/// The answer of a replica about one user.
const ONE_USER: usize = 64 << 10;
/// A page of users; of OpenSearch all of them.
const MANY_USERS: usize = 64 << 20;

/// One replica, and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replica {
    scheme: Scheme,
    authority: String,
    /// Whether its certificate is not verified: on this machine it is asked by an address, which no
    /// certificate has.
    local: bool,
}

impl fmt::Display for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

/// Every replica that the options name, or the one of this configuration.
pub(super) async fn all(config: &Config, named: &[Uri]) -> Result<Vec<Replica>, CommandError> {
    if named.is_empty() {
        return own(config).map(|replica| vec![replica]);
    }
    let mut replicas = Vec::new();
    for uri in named {
        for replica in of(uri).await? {
            if !replicas.contains(&replica) {
                replicas.push(replica);
            }
        }
    }
    Ok(replicas)
}

/// The one on this machine: its listener for operators, or the one of the gateways.
fn own(config: &Config) -> Result<Replica, CommandError> {
    let admin = config.admin_listener();
    let mut listeners = admin.iter().chain(&config.listeners);
    let asked = listeners.find(|listener| answers_anybody(listener));
    let Some((listener, listen)) = asked.and_then(|asked| Some((asked, asked.listen.tcp()?)))
    else {
        return Err(CommandError(
            "no listener of this configuration answers a command on this machine: each is a unix \
             socket, or takes only gateways with a client certificate (`tls.client_ca`), or \
             expects balancers (`proxy_protocol.from`); set `admin.listen`, or name the replica \
             with --replica"
                .to_owned(),
        ));
    };
    Ok(Replica {
        scheme: if listener.tls.is_some() {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        },
        authority: reachable(listen).to_string(),
        local: true,
    })
}

/// The replicas behind one URL: every address of its host. A certificate is for a name, so with
/// `https` the name is asked, and what answers is one replica.
async fn of(uri: &Uri) -> Result<Vec<Replica>, CommandError> {
    let wrong = |why: &str| CommandError(format!("--replica {uri}: {why}"));
    let https = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(wrong("the URL must begin with http:// or https://")),
    };
    let (host, rest) = (uri.host().unwrap_or_default(), uri.path_and_query());
    if host.is_empty() || uri.authority().is_some_and(|it| it.as_str().contains('@')) {
        return Err(wrong("the URL must be a scheme, a host and a port"));
    }
    if rest.is_some_and(|rest| rest.as_str() != "/") {
        return Err(wrong("the URL must not have a path"));
    }
    let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = lookup_host((host, port)).await;
    let found = found.map_err(|error| failed(&format!("{host} has no address"), &error))?;
    let addresses: BTreeSet<SocketAddr> = found.collect();
    if https {
        if addresses.len() > 1 {
            return Err(wrong(
                "the host has several addresses, and with https only its name can be asked; name \
                 each replica with its own --replica",
            ));
        }
        return Ok(vec![Replica {
            scheme: Scheme::HTTPS,
            authority: uri
                .authority()
                .map(|it| it.as_str().to_owned())
                .unwrap_or_default(),
            local: false,
        }]);
    }
    let replica = |address: SocketAddr| Replica {
        scheme: Scheme::HTTP,
        authority: address.to_string(),
        local: false,
    };
    Ok(addresses.into_iter().map(replica).collect())
}

/// Asks replicas as an operator does.
pub(super) struct Operator {
    verifying: Client,
    local: Client,
    key: Option<HeaderValue>,
}

impl Operator {
    pub(super) fn new(key_file: Option<&Path>) -> Result<Self, CommandError> {
        let client = |danger_skip_verify| {
            let tls = tls::ClientConfig {
                danger_skip_verify,
                ..tls::ClientConfig::default()
            };
            let client = Client::new(client::Config {
                tls,
                ..client::Config::default()
            });
            client.map_err(|error| failed("TLS cannot be set up", &error))
        };
        Ok(Self {
            verifying: client(false)?,
            local: client(true)?,
            key: key_file.map(key).transpose()?,
        })
    }

    pub(super) async fn ask(
        &self,
        replica: &Replica,
        user: &str,
        action: &'static str,
        query: &str,
    ) -> Asked {
        let user = utf8_percent_encode(user, NON_ALPHANUMERIC);
        let uri = format!("{replica}/elastauth/admin/users/{user}/{action}{query}");
        let answer = match uri.parse() {
            Ok(uri) => self.call(replica, Method::POST, uri, ONE_USER).await,
            Err(error) => Err(chain(&error)),
        };
        Asked {
            replica: replica.clone(),
            action,
            answer,
        }
    }

    /// Asks for what is below the path of all users, which changes nothing.
    pub(super) async fn look(&self, replica: &Replica, action: &'static str, what: &str) -> Asked {
        let uri = format!("{replica}/elastauth/admin/users{what}");
        let answer = match uri.parse() {
            Ok(uri) => self.call(replica, Method::GET, uri, MANY_USERS).await,
            Err(error) => Err(chain(&error)),
        };
        Asked {
            replica: replica.clone(),
            action,
            answer,
        }
    }

    async fn call(
        &self,
        replica: &Replica,
        method: Method,
        uri: Uri,
        max_bytes: usize,
    ) -> Result<(StatusCode, Value), String> {
        let mut headers = HeaderMap::new();
        if let Some(key) = &self.key {
            headers.insert(KEY_HEADER, key.clone());
        }
        let call = HttpCall {
            method,
            uri,
            headers,
            body: Bytes::new(),
            timeout: TIMEOUT,
            send_timeout: None,
            max_bytes,
        };
        let client = if replica.local {
            &self.local
        } else {
            &self.verifying
        };
        let answer = client.call(call).await.map_err(|error| chain(&error))?;
        let body = serde_json::from_slice(&answer.body);
        Ok((answer.status, body.unwrap_or_default()))
    }
}

/// A gateway key, for replicas that ask for one.
fn key(path: &Path) -> Result<HeaderValue, CommandError> {
    let name = path.display();
    let text = fs::read_to_string(path);
    let text = text.map_err(|error| failed(&format!("{name} cannot be read"), &error))?;
    let mut key = HeaderValue::from_str(text.trim())
        .map_err(|error| failed(&format!("{name} holds no gateway key"), &error))?;
    key.set_sensitive(true);
    Ok(key)
}

/// What a replica has answered.
pub(super) struct Asked {
    pub(super) replica: Replica,
    pub(super) action: &'static str,
    pub(super) answer: Result<(StatusCode, Value), String>,
}

impl Asked {
    pub(super) fn is_ok(&self) -> bool {
        matches!(self.answer, Ok((StatusCode::OK, _)))
    }

    /// Whether what it did may be done although it did not say so.
    pub(super) fn may_be_done(&self) -> bool {
        match &self.answer {
            Ok((status, _)) => *status == StatusCode::OK || status.is_server_error(),
            Err(_) => true,
        }
    }

    /// What its answer means, in a sentence for each cluster, and whether that is done: one cluster
    /// may have done what another has not.
    pub(super) fn sentences(&self) -> Vec<(bool, String)> {
        let (status, answer) = match &self.answer {
            Ok(answer) => answer,
            Err(why) => return vec![(false, why.clone())],
        };
        let Some(clusters) = self.clusters() else {
            let sentence = match *status {
                StatusCode::OK => text(answer, "message"),
                // Without a code it is the answer to whoever is no operator.
                StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED if !is_of_cluster(answer) => {
                    format!(
                        "it answered {status}: it does not take this machine for an operator's; ask \
                     its `admin.listen`, or ask from an address in `trusted_proxies` with \
                     --gateway-key-file"
                    )
                }
                _ => format!("it answered {status}: {}", text(answer, "message")),
            };
            return vec![(self.is_ok(), sentence)];
        };
        let mut sentences = Vec::new();
        for cluster in clusters {
            let of_cluster = |name| text(cluster, name);
            let done = match of_cluster("result").as_str() {
                "revoked" | "api_keys_remain" | "done" => true,
                // Another cluster may have the user.
                "no_such_user" => self.is_ok(),
                _ => false,
            };
            let sentence = format!("{}: {}", of_cluster("cluster"), of_cluster("message"));
            sentences.push((done, sentence));
            if let Some(keys) = cluster.get("api_keys") {
                let number = |name| keys.get(name).and_then(Value::as_u64).unwrap_or_default();
                let error = keys.get("error").and_then(Value::as_str);
                sentences.push(if let Some(why) = error {
                    (false, format!("the API keys are not invalidated: {why}"))
                } else {
                    let (invalidated, failed) = (number("invalidated"), number("failed"));
                    let sentence = format!("API keys: {invalidated} invalidated, {failed} not");
                    (failed == 0, sentence)
                });
            }
        }
        sentences
    }

    /// Why it is not done.
    pub(super) fn failure(&self) -> String {
        let (action, replica) = (self.action, &self.replica);
        let why = self.sentences().into_iter().map(|(_, why)| why);
        let why: Vec<String> = why.collect();
        format!("failed: {action} at {replica}: {}", why.join("; "))
    }

    /// What it says of each cluster, where it does.
    pub(super) fn clusters(&self) -> Option<&Vec<Value>> {
        let (_, answer) = self.answer.as_ref().ok()?;
        answer.get("clusters").and_then(Value::as_array)
    }

    /// Whether it says that other replicas learn nothing.
    pub(super) fn is_alone(&self) -> bool {
        self.clusters().into_iter().flatten().any(|cluster| {
            cluster.get("other_replicas").and_then(Value::as_str) == Some("not_told")
        })
    }

    pub(super) fn shown(&self) -> Value {
        let mut shown = json!({
            "replica": self.replica.to_string(), "action": self.action, "ok": self.is_ok(),
        });
        let more = match &self.answer {
            Ok((status, answer)) => [
                ("status", json!(status.as_u16())),
                ("answer", answer.clone()),
            ],
            Err(why) => [("status", Value::Null), ("error", json!(why))],
        };
        if let Some(shown) = shown.as_object_mut() {
            shown.extend(more.map(|(name, value)| (name.to_owned(), value)));
        }
        shown
    }
}

/// The text of this name; empty without one.
pub(super) fn text(value: &Value, name: &str) -> String {
    let text = value.get(name).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

/// Whether an answer is about a name of a cluster that was asked for.
fn is_of_cluster(answer: &Value) -> bool {
    text(answer, "code") == "no_such_cluster"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cluster_says_for_itself_whether_it_is_done() {
        let asked = |status, clusters: Value| Asked {
            replica: Replica {
                scheme: Scheme::HTTP,
                authority: "127.0.0.1:5000".to_owned(),
                local: true,
            },
            action: "revoke",
            answer: Ok((status, json!({ "clusters": clusters }))),
        };
        let done = |asked: Asked| -> Vec<bool> {
            let sentences = asked.sentences().into_iter();
            sentences.map(|(done, _)| done).collect()
        };
        let of = |result: &str| json!({ "cluster": "a", "result": result, "message": "" });
        let two = |status, one, other| done(asked(status, json!([of(one), of(other)])));
        assert_eq!(two(StatusCode::OK, "refused", "revoked"), [false, true]);
        assert_eq!(two(StatusCode::OK, "no_such_user", "revoked"), [true; 2]);
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(two(unavailable, "revoked", "failed"), [true, false]);
        let mut remain = of("api_keys_remain");
        remain["api_keys"] = json!({ "invalidated": 1, "failed": 1 });
        assert_eq!(done(asked(unavailable, json!([remain]))), [true, false]);
        let absent = json!([of("no_such_user")]);
        assert_eq!(done(asked(StatusCode::NOT_FOUND, absent)), [false]);
    }
}
