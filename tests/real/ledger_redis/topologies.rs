//! How Redis is reached: users and passwords, sockets, TLS, a cluster, Sentinels.

use super::{at, ready, replica, shares};
use crate::support::{
    Why,
    deployment::{Deployment, ask, upstream_of},
    pause, ports, process,
    redis::Redis,
    sentinel::Sentinel,
    tls, until,
};
use elastauth::internals::{
    ledger::redis::{RedisNode, Topology},
    secret::SecretString,
};
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn the_ways_to_redis() {
    let deployment = Deployment::new().await;
    let redis = Redis::start(&[]).await;
    let rights = "on >secret resetchannels &elastauth:* resetkeys ~elastauth:* -@all +ping +get \
        +set +del +eval +publish +subscribe";
    let rights: Vec<&str> = ["ACL", "SETUSER", "elastauth"]
        .into_iter()
        .chain(rights.split(' '))
        .collect();
    assert_eq!(redis.cli(&rights), "OK");
    assert_eq!(
        redis.cli(&["ACL", "SETUSER", "default", "resetpass", ">other"]),
        "OK"
    );
    let mut config = at(&format!("127.0.0.1:{}", redis.port));
    (config.username, config.password) = (
        Some("elastauth".to_owned()),
        Some(SecretString::from("secret")),
    );
    shares(&deployment, &config, "acl").await;
    config.password = Some(SecretString::from("wrong"));
    let wrong = replica(&deployment, config, |_| {});
    let refused = || {
        upstream_of(&wrong.flow)
            .broker()
            .ledger()
            .store_state()
            .is_err_and(|why| why.contains("user name or the password"))
    };
    until("a wrong password is reported as one", refused).await;
    ask(&wrong.flow, "erin", "dev").await.unwrap();
    drop(redis);

    let redis = Redis::start(&["--unixsocket", "HOME/redis.sock"]).await;
    shares(
        &deployment,
        &at(&format!("unix://{}/redis.sock", redis.home.display())),
        "socket",
    )
    .await;
    shares(
        &deployment,
        &at(&format!("redis://127.0.0.1:{}/3", redis.port)),
        "database",
    )
    .await;
    drop(redis);

    let (authority, folder) = (tls::Authority::new(), process::folder());
    let signed = authority.sign();
    for (name, text) in [
        ("ca.pem", &authority.pem()),
        ("redis.pem", &signed.certificate),
        ("redis.key", &signed.key),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let file = |name: &str| folder.join(name).display().to_string();
    let (ca, cert, key) = (file("ca.pem"), file("redis.pem"), file("redis.key"));
    let server = [
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "no",
    ];
    let redis = Redis::start_for(&server, &["--tls", "--cacert", &ca]).await;
    let mut config = at(&format!("rediss://localhost:{}", redis.port));
    let without_ca = replica(&deployment, config.clone(), |_| {});
    config.tls.ca_cert = Some(ca.into());
    shares(&deployment, &config, "tls").await;
    assert!(
        upstream_of(&without_ca.flow)
            .broker()
            .ledger()
            .store_state()
            .is_err(),
        "a certificate of a CA that nobody named is not believed"
    );
}

/// A certificate as `openssl req -x509` makes it, and its files.
fn self_signed(names: &[&str]) -> (String, String) {
    let (signed, folder) = (tls::Signed::by_itself(names), process::folder());
    let file = |name: &str, text: &str| {
        let path = folder.join(format!("self-signed-{}-{name}", names.join("-")));
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    (
        file("cert.pem", &signed.certificate),
        file("key.pem", &signed.key),
    )
}

async fn with_certificate(cert: &str, key: &str) -> Redis {
    let files = ["--tls-cert-file", cert, "--tls-key-file", key];
    let more = ["--tls-ca-cert-file", cert, "--tls-auth-clients", "no"];
    Redis::start_for(&[files, more].concat(), &["--tls", "--insecure"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_own_certificate_is_in_ca_cert_is_trusted_for_its_name() {
    let deployment = Deployment::new().await;
    let (cert, key) = self_signed(&["localhost"]);
    let redis = with_certificate(&cert, &key).await;
    let mut config = at(&format!("rediss://localhost:{}", redis.port));
    config.tls.ca_cert = Some(cert.clone().into());
    shares(&deployment, &config, "self-signed").await;

    let mut elsewhere = at(&format!("rediss://127.0.0.1:{}", redis.port));
    elsewhere.tls.ca_cert = Some(cert.into());
    let of_another_name = replica(&deployment, elsewhere, |_| {});
    config.tls.ca_cert = Some(self_signed(&["localhost", "other"]).0.into());
    let with_another_certificate = replica(&deployment, config, |_| {});
    ask(&of_another_name.flow, "erin", "dev").await.unwrap();
    // They try for longer than the first connection takes.
    pause(Why::Again, Duration::from_millis(500)).await;
    for replica in [&of_another_name, &with_another_certificate] {
        assert!(
            upstream_of(&replica.flow)
                .broker()
                .ledger()
                .store_state()
                .is_err()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_a_sentinel_names_is_trusted_by_the_same_file() {
    let deployment = Deployment::new().await;
    let (cert, key) = self_signed(&["localhost", "127.0.0.1"]);
    let master = with_certificate(&cert, &key).await;
    let lines = format!(
        "port 0\ntls-port PORT\ntls-cert-file {cert}\ntls-key-file {key}\n\
         tls-ca-cert-file {cert}\ntls-auth-clients no\ntls-replication yes\n"
    );
    let sentinel = Sentinel::start_encrypted(master.port, 1, &lines).await;
    let mut config = at("localhost");
    let sentinel = format!("rediss://127.0.0.1:{}", sentinel.port);
    config.topology = Topology::Sentinel {
        sentinels: vec![
            // One that is away costs a second try, no more.
            RedisNode::parse("rediss://127.0.0.1:1").unwrap(),
            RedisNode::parse(&sentinel).unwrap(),
        ],
        master: "main".to_owned(),
    };
    config.tls.ca_cert = Some(cert.into());
    shares(&deployment, &config, "encrypted-sentinel").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_and_a_sentinel() {
    let deployment = Deployment::new().await;
    // Left to itself it takes a second port, ten thousand higher, which may be somebody's.
    let bus = ports::free_port().to_string();
    let node = Redis::start(&["--cluster-enabled", "yes", "--cluster-port", &bus]).await;
    node.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    until("the cluster", || {
        node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
    })
    .await;
    let mut config = at("localhost");
    config.topology = Topology::Cluster(vec![
        RedisNode::parse(&format!("127.0.0.1:{}", node.port)).unwrap(),
    ]);
    shares(&deployment, &config, "cluster").await;
    drop(node);

    let master = Redis::start(&[]).await;
    let sentinel = Sentinel::start(master.port, 1, "").await;
    config.topology = Topology::Sentinel {
        sentinels: vec![RedisNode::parse(&format!("127.0.0.1:{}", sentinel.port)).unwrap()],
        master: "main".to_owned(),
    };
    shares(&deployment, &config, "sentinel").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_of_sentinels_is_followed_and_costs_no_login() {
    let deployment = Deployment::new().await;
    let mut master = Redis::start(&[]).await;
    let replica_of = ["--replicaof", &format!("127.0.0.1 {}", master.port)].map(str::to_owned);
    let second = Redis::start(&[&replica_of[0], &replica_of[1]]).await;
    until("the second one in step", || {
        second
            .cli(&["INFO", "replication"])
            .contains("master_link_status:up")
    })
    .await;
    let sentinel = Sentinel::start(
        master.port,
        1,
        "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000",
    )
    .await;
    let port = sentinel.port;
    let mut config = at("localhost");
    config.topology = Topology::Sentinel {
        sentinels: vec![RedisNode::parse(&format!("127.0.0.1:{port}")).unwrap()],
        master: "main".to_owned(),
    };
    let (one, other) = (
        replica(&deployment, config.clone(), |_| {}),
        replica(&deployment, config.clone(), |_| {}),
    );
    ready(&one).await;
    ready(&other).await;
    ask(&one.flow, "alice", "admins").await.unwrap();
    ask(&other.flow, "alice", "admins").await.unwrap();
    // Sentinels ask a master for its replicas every ten seconds.
    until_slowly("the Sentinel's knowledge of the second one", || {
        sentinel_knows(port, second.port)
    })
    .await;
    master.kill();
    deployment.pass(Duration::from_secs(1));
    let is_master = || second.cli(&["INFO", "replication"]).contains("role:master");
    let end = Instant::now() + Duration::from_secs(30);
    let mut n = 0;
    while !(is_master()
        && upstream_of(&one.flow)
            .broker()
            .ledger()
            .store_state()
            .is_ok()
        && upstream_of(&other.flow)
            .broker()
            .ledger()
            .store_state()
            .is_ok())
    {
        assert!(
            Instant::now() < end,
            "{:?} {:?}",
            upstream_of(&one.flow).broker().ledger().store_state(),
            upstream_of(&other.flow).broker().ledger().store_state()
        );
        n += 1;
        for flow in [&one.flow, &other.flow] {
            let grant = ask(flow, &format!("user-{n}"), "dev").await.unwrap();
            assert!(
                deployment
                    .cluster
                    .accepts(grant.credential().authorization())
            );
        }
        pause(Why::Again, Duration::from_millis(100)).await;
    }
    // The new master has what was stored before, and nothing of it is believed: something may be
    // missing.
    deployment.pass(Duration::from_secs(11));
    deployment.calls();
    ask(&other.flow, "alice", "admins").await.unwrap();
    assert_eq!(
        deployment.calls(),
        ["GET /_security/_authenticate 200 by alice"]
    );
    shares(&deployment, &config, "after the failover").await;
}

fn sentinel_knows(sentinel: u16, replica: u16) -> bool {
    let arguments = [
        "-h",
        "127.0.0.1",
        "-p",
        &sentinel.to_string(),
        "SENTINEL",
        "REPLICAS",
        "main",
    ]
    .map(str::to_owned);
    let output = std::process::Command::new("redis-cli")
        .args(arguments)
        .output();
    output
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(&replica.to_string()))
}

async fn until_slowly(what: &str, mut seen: impl FnMut() -> bool) {
    for _ in 0..3 {
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            if seen() {
                return;
            }
            pause(Why::Again, Duration::from_millis(200)).await;
        }
    }
    panic!("{what}: not seen");
}
