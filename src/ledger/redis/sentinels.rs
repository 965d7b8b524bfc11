//! Sentinels: they name the server that is the master, and it has to agree.

use super::server::Server;
use redis::{Cmd, ErrorKind, FromRedisValue as _, RedisError, RedisResult, ServerErrorKind, Value};
use std::{
    collections::HashMap,
    io,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::time::timeout;

/// How long one Sentinel, and the server that it names, may take to answer.
const EACH: Duration = Duration::from_secs(1);

pub(super) struct Sentinels {
    servers: Vec<Server>,
    /// Which one is asked first: the last one that answered.
    first: AtomicUsize,
    /// The master's name.
    name: String,
    /// What the master's connection has beside its address.
    template: Server,
}

impl Sentinels {
    pub(super) fn new(servers: Vec<Server>, name: String, template: Server) -> Self {
        Self {
            servers,
            first: AtomicUsize::new(0),
            name,
            template,
        }
    }

    /// The server that is the master now.
    pub(super) async fn master(&self) -> RedisResult<Server> {
        let first = self.first.load(Ordering::Relaxed);
        let count = self.servers.len();
        let mut last = unknown();
        for (index, sentinel) in self
            .servers
            .iter()
            .enumerate()
            .cycle()
            .skip(first)
            .take(count)
        {
            let answer = timeout(EACH, self.master_of(sentinel)).await;
            match answer.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())) {
                Ok(master) => {
                    self.first.store(index, Ordering::Relaxed);
                    return Ok(master);
                }
                Err(error) => {
                    // The whole search has a deadline too: the next one begins where it ended.
                    self.first.store((index + 1) % count, Ordering::Relaxed);
                    last = error;
                }
            }
        }
        Err(last)
    }

    async fn master_of(&self, sentinel: &Server) -> RedisResult<Server> {
        let mut masters = Cmd::new();
        masters.arg("SENTINEL").arg("MASTERS");
        let masters: Vec<HashMap<String, String>> = sentinel.ask(&masters, EACH).await?;
        for about in masters {
            if let Some((host, port)) = self.address(&about) {
                let master = self.template.at(host, port);
                if is_master(&master).await? {
                    return Ok(master);
                }
            }
        }
        Err(unknown())
    }

    /// Where the master is, if this is about it and it is up.
    fn address(&self, about: &HashMap<String, String>) -> Option<(String, u16)> {
        let flags: Vec<&str> = about.get("flags")?.split(',').collect();
        let is_up =
            flags.contains(&"master") && !flags.contains(&"s_down") && !flags.contains(&"o_down");
        let port = about.get("port")?.parse().ok()?;
        let is_it = *about.get("name")? == self.name;
        (is_it && is_up).then(|| about.get("ip").cloned().map(|host| (host, port)))?
    }
}

/// What the server says of itself: a Sentinel may not have heard of a failover. An ACL may allow
/// one of the two commands only.
async fn is_master(server: &Server) -> RedisResult<bool> {
    let mut role = Cmd::new();
    role.arg("ROLE");
    let error = match server.ask::<Vec<Value>>(&role, EACH).await {
        Ok(answer) => {
            let role = answer.into_iter().next().map(String::from_redis_value);
            return Ok(role.is_some_and(|role| role.is_ok_and(|role| role == "master")));
        }
        Err(error) => error,
    };
    let is_refused = matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::ResponseError | ServerErrorKind::NoPerm)
    );
    if !is_refused {
        return Err(error);
    }
    let mut info = Cmd::new();
    info.arg("INFO").arg("REPLICATION");
    let info: String = server.ask(&info, EACH).await?;
    Ok(info.lines().any(|line| line.trim_end() == "role:master"))
}

fn unknown() -> RedisError {
    (
        ErrorKind::MasterNameNotFoundBySentinel,
        "no Sentinel names a master that is up",
    )
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::redis::address::{Config, RedisNode, Topology};

    #[test]
    fn only_a_master_of_that_name_that_is_up_counts() {
        let node = RedisNode::parse("sentinel:26379").unwrap();
        let config = Config {
            topology: Topology::Single(node.clone()),
            database: 0,
            username: None,
            password: None,
            tls: crate::net::tls::ClientConfig::default(),
        };
        let server = || Server::new(&node, &config, None);
        let sentinels = Sentinels::new(vec![server()], "main".to_owned(), server());
        let address = |name: &str, flags: &str, port: &str| {
            let about = [
                ("name", name),
                ("flags", flags),
                ("port", port),
                ("ip", "10.0.0.1"),
            ];
            let about = about.map(|(key, value)| (key.to_owned(), value.to_owned()));
            sentinels.address(&about.into())
        };
        let there = Some(("10.0.0.1".to_owned(), 6379));
        assert_eq!(address("main", "master", "6379"), there);
        assert_eq!(address("main", "master,disconnected", "6379"), there);
        assert_eq!(address("other", "master", "6379"), None);
        assert_eq!(address("main", "s_down,master", "6379"), None);
        assert_eq!(address("main", "master,o_down", "6379"), None);
        assert_eq!(address("main", "slave", "6379"), None);
        assert_eq!(address("main", "master", "no port"), None);
    }
}
