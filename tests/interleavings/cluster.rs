//! A cluster that does nothing by itself: each call waits at the gate until the explorer says what
//! becomes of it.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// One life of a replica. After a restart the same place has another life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Life {
    pub(crate) place: usize,
    pub(crate) number: usize,
}

/// A native user as the cluster keeps it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct User {
    pub(crate) password: String,
    pub(crate) roles: Vec<String>,
    pub(crate) enabled: bool,
    pub(crate) metadata: Map<String, Value>,
    full_name: Value,
    email: Value,
}

impl User {
    /// Somebody else's user, which elastauth must leave alone.
    pub(crate) fn foreign() -> Self {
        Self {
            password: "of her own".to_owned(),
            roles: vec!["monitoring_user".to_owned()],
            enabled: true,
            metadata: Map::new(),
            full_name: Value::Null,
            email: Value::Null,
        }
    }

    /// Without elastauth's mark.
    pub(crate) fn is_foreign(&self) -> bool {
        !self.metadata.contains_key("elastauth")
    }

    /// What elastauth has noted about the user.
    fn mark(&self, name: &str) -> Option<&Value> {
        self.metadata.get("elastauth")?.get(name)
    }

    /// Whether the login is one that nobody is given.
    pub(crate) fn is_parked(&self) -> bool {
        self.mark("parked") == Some(&Value::Bool(true))
    }

    /// How often the login was revoked.
    pub(crate) fn generation(&self) -> u64 {
        self.mark("generation")
            .and_then(Value::as_u64)
            .unwrap_or_default()
    }

    fn as_json(&self, name: &str) -> Value {
        json!({ "username": name, "roles": self.roles, "full_name": self.full_name,
            "email": self.email,
            "metadata": self.metadata, "enabled": self.enabled })
    }
}

impl Hash for User {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (
            &self.password,
            &self.roles,
            self.enabled,
            self.metadata.contains_key("elastauth"),
            self.generation(),
            self.is_parked(),
        )
            .hash(state);
    }
}

/// What a call wants.
#[derive(Debug, Clone)]
pub(crate) enum Wish {
    /// Who am I, with this login.
    Ask { login: Option<(String, String)> },
    /// What is this user.
    Read { name: String },
    /// Who is there.
    List,
    /// Let this user be so.
    Write { name: String, user: Box<User> },
}

impl Wish {
    pub(crate) fn is_write(&self) -> bool {
        matches!(self, Self::Write { .. })
    }

    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Ask { .. } => "ask",
            Self::Read { .. } => "read",
            Self::List => "list",
            Self::Write { .. } => "write",
        }
    }
}

/// An answer as it goes back.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

/// A call that has come and is not answered yet, or whose caller has gone.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) by: Life,
    pub(crate) wish: Wish,
    /// When it came, on the true clock.
    pub(crate) came: u64,
    /// The caller still waits.
    pub(crate) awaited: bool,
    /// What the reply will be, once the cluster has dealt with it.
    pub(crate) dealt: Option<Reply>,
    answer: Option<oneshot::Sender<Reply>>,
}

/// The name of a call: whose, and its number in that life.
pub(crate) type CallName = (Life, u32);

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) calls: BTreeMap<CallName, Call>,
    /// Calls of each life so far; a life that is not here is over, and nothing of it gets through.
    pub(crate) lives: BTreeMap<Life, u32>,
    /// Every call that came, for whoever keeps the rules.
    pub(crate) came: Vec<CallName>,
    /// The true clock.
    pub(crate) now: u64,
}

/// The cluster with its gate. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    state: Arc<Mutex<State>>,
    addr: SocketAddr,
}

impl Cluster {
    pub(crate) async fn open() -> (Self, JoinHandle<()>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let cluster = Self {
            state: Arc::default(),
            addr: listener.local_addr().unwrap(),
        };
        let served = cluster.clone();
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let served = served.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| served.clone().take(request));
                    // How a connection ends is part of the play.
                    drop(
                        http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await,
                    );
                });
            }
        });
        (cluster, accepting)
    }

    pub(crate) fn url(&self, life: Life) -> String {
        format!("http://{}/{}/{}", self.addr, life.place, life.number)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn take(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, io::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let (life, wish) =
            understand(&head, &body).ok_or_else(|| io::Error::other("no such call"))?;
        let (answer, reply) = oneshot::channel();
        let name = {
            let mut state = self.state();
            let now = state.now;
            let Some(number) = state.lives.get_mut(&life) else {
                return Err(io::Error::other("a dead caller"));
            };
            *number += 1;
            let name = (life, *number);
            state.calls.insert(
                name,
                Call {
                    by: life,
                    wish,
                    came: now,
                    awaited: true,
                    dealt: None,
                    answer: Some(answer),
                },
            );
            state.came.push(name);
            name
        };
        let _gone = Gone {
            cluster: &self,
            name,
        };
        // Nothing is sent where the connection is to be cut.
        let reply = reply.await.map_err(io::Error::other)?;
        let body = Full::new(Bytes::from(reply.body.to_string()));
        Ok(Response::builder()
            .status(reply.status)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .unwrap())
    }
}

/// Notices that a caller has hung up.
struct Gone<'a> {
    cluster: &'a Cluster,
    name: CallName,
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        if let Some(call) = self.cluster.state().calls.get_mut(&self.name) {
            call.awaited = false;
        }
    }
}

fn understand(head: &http::request::Parts, body: &[u8]) -> Option<(Life, Wish)> {
    let mut path = head.uri.path().trim_start_matches('/').splitn(3, '/');
    let life = Life {
        place: path.next()?.parse().ok()?,
        number: path.next()?.parse().ok()?,
    };
    let path = path.next()?;
    let wish = match (&head.method, path.strip_prefix("_security/user/")) {
        (&Method::GET, None) => {
            let login = head
                .headers
                .get(header::AUTHORIZATION)
                .and_then(|value| login(value.to_str().ok()?));
            Wish::Ask { login }
        }
        (&Method::GET, Some(name)) => Wish::Read {
            name: name.to_owned(),
        },
        (&Method::POST, None) if path == "_security/_query/user" => Wish::List,
        (&Method::PUT, Some(name)) => {
            let body: Value = serde_json::from_slice(body).ok()?;
            let user = User {
                password: body["password"].as_str()?.to_owned(),
                roles: body["roles"]
                    .as_array()?
                    .iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect(),
                // What is left out means true, as in a real cluster.
                enabled: body["enabled"].as_bool().unwrap_or(true),
                metadata: body["metadata"].as_object().cloned().unwrap_or_default(),
                full_name: body["full_name"].clone(),
                email: body["email"].clone(),
            };
            Wish::Write {
                name: name.to_owned(),
                user: Box::new(user),
            }
        }
        _ => return None,
    };
    Some((life, wish))
}

/// Name and password of a value of `Authorization`.
pub(crate) fn login(authorization: &str) -> Option<(String, String)> {
    let text = BASE64_STANDARD
        .decode(authorization.strip_prefix("Basic ")?)
        .ok()?;
    let text = String::from_utf8(text).ok()?;
    text.split_once(':')
        .map(|(name, password)| (name.to_owned(), password.to_owned()))
}

impl State {
    pub(crate) fn accepts(&self, name: &str, password: &str) -> bool {
        self.users
            .get(name)
            .is_some_and(|user| user.enabled && user.password == password)
    }

    /// Does what a call wants, and keeps the reply.
    pub(crate) fn deal(&mut self, name: CallName) {
        let Some(wish) = self.calls.get(&name).map(|call| call.wish.clone()) else {
            return;
        };
        let reply = match wish {
            Wish::Ask {
                login: Some((user, password)),
            } if self.accepts(&user, &password) => {
                let mut body = self.users[&user].as_json(&user);
                body["authentication_realm"] =
                    json!({ "name": "default_native", "type": "native" });
                Reply {
                    status: StatusCode::OK,
                    body,
                }
            }
            Wish::Ask { .. } => Reply {
                status: StatusCode::UNAUTHORIZED,
                body: json!({}),
            },
            Wish::Read { name } => match self.users.get(&name) {
                Some(user) => Reply {
                    status: StatusCode::OK,
                    body: json!({ (name.clone()): user.as_json(&name) }),
                },
                None => Reply {
                    status: StatusCode::NOT_FOUND,
                    body: json!({}),
                },
            },
            Wish::List => {
                let users = self.users.iter();
                let users: Vec<Value> = users.map(|(name, user)| user.as_json(name)).collect();
                Reply {
                    status: StatusCode::OK,
                    body: json!({ "users": users }),
                }
            }
            Wish::Write { name, user } => {
                let created = self.users.insert(name, *user).is_none();
                Reply {
                    status: StatusCode::OK,
                    body: json!({ "created": created }),
                }
            }
        };
        if let Some(call) = self.calls.get_mut(&name) {
            call.dealt = Some(reply);
        }
    }

    /// Lets an answer go. The call is over, unless `keep` leaves it with the cluster.
    pub(crate) fn answer(&mut self, name: CallName, reply: Reply, keep: bool) {
        let Some(call) = self.calls.get_mut(&name) else {
            return;
        };
        call.awaited = false;
        if let Some(answer) = call.answer.take() {
            // A caller that hangs up at this moment does not hear it.
            drop(answer.send(reply));
        }
        if !keep {
            self.calls.remove(&name);
        }
    }

    /// Cuts the connection of a call.
    pub(crate) fn cut(&mut self, name: CallName) {
        if let Some(call) = self.calls.get_mut(&name) {
            call.awaited = false;
            call.answer = None;
        }
    }
}
