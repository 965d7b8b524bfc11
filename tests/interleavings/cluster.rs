//! A cluster that does nothing by itself: each call waits at the gate until the explorer says what
//! becomes of it.

mod elasticsearch;
mod opensearch;
mod types;

pub(crate) use opensearch::mark_of;
pub(crate) use types::{Life, Reply, User, Wish, Written};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::Instant};

/// A call that has come and is not answered yet, or whose caller has gone.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) by: Life,
    pub(crate) wish: Wish,
    /// When it came, on the true clock.
    pub(crate) came: u64,
    /// The same by tokio's clock.
    pub(crate) arrived: Instant,
    /// Which state of the users a write has to find, or another one was between.
    pub(crate) version: u64,
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
    pub(crate) opensearch: bool,
    /// Where clients are made for each story: calls of other stories are refused.
    pub(crate) story: u64,
    pub(crate) users: BTreeMap<String, User>,
    /// How often users were written: OpenSearch keeps all of them in one document.
    pub(crate) version: u64,
    /// Users of before the last write whom OpenSearch's credential cache still lets in: their login
    /// was being checked during that write.
    pub(crate) cached: BTreeMap<String, User>,
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
        let story = self.state().story;
        format!(
            "http://{}/{story}/{}/{}",
            self.addr, life.place, life.number
        )
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn take(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, io::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let (life, wish) = self
            .understand(&head, &body)
            .ok_or_else(|| io::Error::other("no such call"))?;
        let (answer, reply) = oneshot::channel();
        let name = {
            let mut state = self.state();
            let (now, version) = (state.now, state.version);
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
                    arrived: Instant::now(),
                    version,
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

    fn understand(&self, head: &http::request::Parts, body: &[u8]) -> Option<(Life, Wish)> {
        let mut path = head.uri.path().trim_start_matches('/').splitn(4, '/');
        let story: u64 = path.next()?.parse().ok()?;
        let life = Life {
            place: path.next()?.parse().ok()?,
            number: path.next()?.parse().ok()?,
        };
        let path = path.next()?;
        let state = self.state();
        if state.story != story {
            return None;
        }
        let wish = if state.opensearch {
            opensearch::understand(head, path, body)?
        } else {
            elasticsearch::understand(head, path, body)?
        };
        Some((life, wish))
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

/// Name and password of a value of `Authorization`.
pub(crate) fn login(authorization: &str) -> Option<(String, String)> {
    let text = BASE64_STANDARD
        .decode(authorization.strip_prefix("Basic ")?)
        .ok()?;
    let text = String::from_utf8(text).ok()?;
    text.split_once(':')
        .map(|(name, password)| (name.to_owned(), password.to_owned()))
}

/// The login of a request.
fn login_of(head: &http::request::Parts) -> Option<(String, String)> {
    let value = head.headers.get(header::AUTHORIZATION)?;
    login(value.to_str().ok()?)
}

impl State {
    pub(crate) fn accepts(&self, name: &str, password: &str) -> bool {
        self.of_login(name, password).is_some()
    }

    /// As whom the cluster lets this login in.
    pub(crate) fn of_login(&self, name: &str, password: &str) -> Option<&User> {
        let fits = |user: &&User| user.enabled && user.password == password;
        let cached = self.cached.get(name).filter(fits);
        cached.or_else(|| self.users.get(name).filter(fits))
    }

    /// Does what a call wants, and keeps the reply. With `keeps` OpenSearch's credential cache
    /// keeps the logins that a write replaces.
    pub(crate) fn deal(&mut self, name: CallName, keeps: bool) {
        let Some(wish) = self.calls.get(&name).map(|call| call.wish.clone()) else {
            return;
        };
        if let Wish::Write(entries) = &wish {
            self.write(entries, keeps);
        }
        let reply = if self.opensearch {
            opensearch::reply(self, &wish)
        } else {
            elasticsearch::reply(self, &wish)
        };
        if let Some(call) = self.calls.get_mut(&name) {
            call.dealt = Some(reply);
        }
    }

    fn write(&mut self, entries: &[Written], keeps: bool) {
        self.users_changed();
        for Written { name, user } in entries {
            let Some(user) = user else { continue };
            let before = self.users.insert(name.clone(), User::clone(user));
            if let Some(before) = before.filter(|_| keeps) {
                self.cached.insert(name.clone(), before);
            }
        }
    }

    /// Somebody has written users.
    pub(crate) fn users_changed(&mut self) {
        self.version += 1;
        self.cached.clear();
    }

    /// Whether OpenSearch may find that somebody else has written users since this write came.
    pub(crate) fn may_conflict(&self, call: &Call) -> bool {
        self.opensearch && call.wish.is_write() && call.version != self.version
    }

    /// Lets a write go with the answer that somebody else has written users since it came.
    pub(crate) fn conflict(&mut self, name: CallName) {
        self.answer(name, opensearch::conflict(), false);
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
