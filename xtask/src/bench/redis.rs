//! Known users with their Redis there, killed, and hanging.

use super::{
    clients::rest_until,
    known::{fill, load},
    median, now,
    rounds::against,
    server::{Elastauth, Folder, Running, free_address},
    standin::StandIn,
};
use anyhow::{Context, ensure};
use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

const ROUNDS: usize = 10;
/// Enough that some are checked all the time once Redis is gone: each user every ten seconds at
/// most, instead of once an hour.
const USERS: usize = 1_000;

/// Three times the same: elastauth, a Redis and a cluster. One Redis is killed, one is stopped and
/// hangs, and the rates are compared in turn.
pub(super) fn run() -> anyhow::Result<()> {
    let (there, killed, hanging) = (Scene::start()?, Scene::start()?, Scene::start()?);
    killed.redis.signal("KILL")?;
    hanging.redis.signal("STOP")?;
    let alive = ("Redis there", &*there.elastauth);
    let told = |what: &str, scene: &Scene| {
        let found = against(ROUNDS, (what, &scene.elastauth), alive, |server| {
            load(server, USERS)
        })?;
        println!(
            "known users, requests/s, {what} against there: {} (aim: at least 0.97)",
            median(&mut found.rates()).1
        );
        println!(
            "known users, CPU a request, {what} against there: {}",
            median(&mut found.costs()).1
        );
        anyhow::Ok(())
    };
    told("Redis killed", &killed)?;
    told("Redis hanging", &hanging)
}

struct Scene {
    elastauth: Elastauth,
    redis: Running,
    _cluster: StandIn,
    _home: Folder,
}

impl Scene {
    /// Everybody is let in once, and Redis knows of it.
    fn start() -> anyhow::Result<Self> {
        let (cluster, home, address) = (StandIn::start(2)?, Folder::new()?, free_address()?);
        let redis = redis(address, &home)?;
        let more = format!(
            "cache:\n  type: redis\n  redis_host: {address}\nusers:\n  new_per_minute: 1000000\n"
        );
        let elastauth = cluster.elastauth(&more)?;
        fill(elastauth.address, USERS)?;
        let until = now() + Duration::from_secs(10);
        while keys(address)? < USERS {
            ensure!(now() < until, "Redis does not hear of the users");
            rest_until(now() + Duration::from_millis(50));
        }
        Ok(Self {
            elastauth,
            redis,
            _cluster: cluster,
            _home: home,
        })
    }
}

fn redis(address: SocketAddr, home: &Folder) -> anyhow::Result<Running> {
    let child = Command::new("redis-server")
        .args([
            "--bind",
            "127.0.0.1",
            "--port",
            &address.port().to_string(),
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
        ])
        .arg(home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("redis-server is missing: apt-get install redis-server")?;
    let running = Running::of(child, address);
    let until = now() + Duration::from_secs(10);
    while keys(address).is_err() {
        ensure!(now() < until, "Redis does not answer");
        rest_until(now() + Duration::from_millis(50));
    }
    Ok(running)
}

fn keys(address: SocketAddr) -> anyhow::Result<usize> {
    let output = Command::new("redis-cli")
        .args(["-p", &address.port().to_string(), "DBSIZE"])
        .output()
        .context("redis-cli")?;
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .context("the number of keys")
}
