//! Several clusters behind one elastauth: which one a request is for, and that none suffers from
//! another.

mod commands;
mod prune;
mod refused;
mod tenants;

use crate::support::{
    find,
    http::Answer,
    stage::{GATEWAY_KEY, Plan, Stage, question},
};
use bytes::Bytes;
use elastauth::internals::{
    demo::standin::{Endpoint, Fault, Misbehaviour, SERVICE_USER, StandIn},
    shutdown::Tasks,
};
use http::{Request, StatusCode, header};
use http_body_util::Full;
use serde_json::json;
use std::time::Duration;

/// A failure is remembered for a second, and a node that failed is left out for a moment.
const WITHIN: Duration = Duration::from_secs(20);

/// One elastauth with three clusters: `default`, which only its endpoint reaches, `one` and `two`.
struct Scene {
    stage: Stage,
    one: StandIn,
    two: StandIn,
}

/// What the sections `one` and `two` have besides their account.
struct Sections<'a> {
    one: &'a str,
    two: &'a str,
    more: &'a str,
}

const HOSTS: Sections<'_> = Sections {
    one: "    match: {hosts: [one.es.example.com]}\n    group_mappings: {dev: [editor]}",
    two: "    match: {hosts: [two.es.example.com]}\n    group_mappings: {dev: [viewer]}",
    more: "",
};

fn section(name: &str, cluster: &StandIn, more: &str) -> String {
    let (url, password) = (cluster.url(), cluster.service_password());
    format!(
        "  {name}:\n    hosts: [\"{url}\"]\n    username: {SERVICE_USER}\n    \
         password: \"{password}\"\n{more}\n"
    )
}

impl Scene {
    async fn new(sections: Sections<'_>) -> Self {
        let tasks = Tasks::default();
        let start = async || StandIn::start(&tasks).await.expect("a stand-in");
        let (cluster, one, two) = (start().await, start().await, start().await);
        let more = format!(
            "clusters:\n{}{}{}",
            section("one", &one, sections.one),
            section("two", &two, sections.two),
            sections.more
        );
        let plan = Plan {
            more: &more,
            ..Plan::default()
        };
        let stage = Stage::before(cluster, tasks.clone(), plan).await;
        Self { stage, one, two }
    }

    /// Asks as the gateway, for alice of the group dev.
    async fn ask(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.stage
            .send(self.stage.gateway(), asked(target, headers))
            .await
    }

    async fn at(&self, host: &str, path: &str) -> Answer {
        let said = [("x-forwarded-host", host), ("x-forwarded-uri", path)];
        self.ask("/elastauth", &said).await
    }

    /// Which cluster takes the login of this answer; it must be one alone.
    fn taken_by(&self, answer: &Answer) -> &'static str {
        let Some(login) = answer.headers.get(header::AUTHORIZATION) else {
            return "none";
        };
        let all = [
            ("default", &self.stage.cluster),
            ("one", &self.one),
            ("two", &self.two),
        ];
        let takers: Vec<_> = all
            .into_iter()
            .filter(|(_, cluster)| cluster.accepts(login))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            takers.len(),
            1,
            "{takers:?}; {}",
            self.stage.elastauth.log()
        );
        takers[0]
    }

    /// Calls about users that have reached any cluster.
    fn calls(&self) -> usize {
        let all = [&self.stage.cluster, &self.one, &self.two];
        let calls = all.into_iter().flat_map(StandIn::calls);
        calls.filter(|call| !call.is_check()).count()
    }

    /// The answer of `/elastauth/ready` to a gateway.
    async fn ready(&self) -> Answer {
        let key = [("x-elastauth-key", GATEWAY_KEY)];
        self.stage.gateway().get("/elastauth/ready", &key).await
    }
}

fn asked(target: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let user = [("remote-user", &b"alice"[..]), ("remote-groups", b"dev")];
    let headers = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()));
    let named = headers.clone().any(|(name, _)| name == "remote-user");
    let user = user.into_iter().filter(|_| !named);
    let all: Vec<(&str, &[u8])> = user.chain(headers).collect();
    question(target, &all)
}

#[tokio::test]
async fn one_person_has_other_roles_and_another_login_in_each_cluster() {
    let scene = Scene::new(HOSTS).await;
    for (host, cluster) in [
        ("one.es.example.com", "one"),
        ("two.es.example.com", "two"),
        ("TWO.es.example.com.:443", "two"),
        ("one.es.example.com:9200", "one"),
    ] {
        let answer = scene.at(host, "/").await;
        assert_eq!(scene.taken_by(&answer), cluster, "{host}");
    }
    let roles = |cluster: &StandIn| cluster.user("alice").map(|user| user.roles);
    assert_eq!(
        roles(&scene.one),
        Some(vec!["editor".to_owned(), "viewer".to_owned()])
    );
    assert_eq!(roles(&scene.two), Some(vec!["viewer".to_owned()]));
    assert_eq!(roles(&scene.stage.cluster), None);
    // Known in both: nobody is asked.
    let before = scene.calls();
    for host in ["one.es.example.com", "two.es.example.com"] {
        assert_eq!(scene.at(host, "/").await.status, StatusCode::OK);
    }
    assert_eq!(scene.calls(), before);
}

#[tokio::test]
async fn an_endpoint_of_its_own_names_the_cluster_whatever_the_client_writes() {
    let scene = Scene::new(HOSTS).await;
    let moved = [
        ("x-forwarded-host", "two.es.example.com"),
        ("x-forwarded-uri", "/elastauth/clusters/two"),
        ("x-original-url", "https://two.es.example.com/"),
    ];
    for target in [
        "/elastauth/clusters/one",
        "/elastauth/clusters/one/",
        "/elastauth/clusters/one?cluster=two",
        "/elastauth/clusters/one/auth-request",
        "/elastauth/clusters/one/ext-authz/",
        "/elastauth/clusters/one/ext-authz/elastauth/clusters/two",
    ] {
        for headers in [&moved[..], &[]] {
            let answer = scene.ask(target, headers).await;
            assert_eq!(scene.taken_by(&answer), "one", "{target}");
        }
    }
    let answer = scene.ask("/elastauth/clusters/default", &moved).await;
    assert_eq!(scene.taken_by(&answer), "default");
    let before = scene.calls();
    for target in [
        "/elastauth/clusters",
        "/elastauth/clusters/",
        "/elastauth/clusters/three",
        "/elastauth/clusters/One",
        "/elastauth/clusters/%6fne",
        "/elastauth/clusters/one%2f",
        "/elastauth/clusters/three/ext-authz/",
    ] {
        let answer = scene.ask(target, &moved).await;
        scene.stage.says(&answer, 403, "no_cluster");
    }
    // nginx knows 401 and 403 alone, and drops the body.
    let answer = scene
        .ask("/elastauth/clusters/three/auth-request", &moved)
        .await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (403, 0));
    assert_eq!(scene.calls(), before);
    // A gateway that appends the client's path to `/elastauth`: one that says that path elsewhere
    // too, and Envoy, which says it nowhere else.
    for said in [
        ("x-forwarded-uri", "/clusters/one?a"),
        ("x-envoy-expected-rq-timeout-ms", "200"),
    ] {
        let answer = scene.ask("/elastauth/clusters/one?a", &[said]).await;
        scene.stage.says(&answer, 403, "no_cluster");
    }
    assert_eq!(scene.calls(), before);
    let log = scene.stage.elastauth.log();
    assert!(log.contains("there is no cluster `three`"), "{log}");
    let appended = "the gateway puts the client's own path behind `/elastauth`";
    assert_eq!(log.matches(appended).count(), 2, "{log}");
}

#[tokio::test]
async fn paths_and_headers_choose_and_the_more_specific_wins() {
    let scene = Scene::new(Sections {
        one: "    match: {hosts: [es.example.com], paths: [/tenant1, /shared]}",
        two: "    match: {hosts: [es.example.com], paths: [/tenant2, /shared/two]}",
        more: "  three:\n    hosts: [\"http://127.0.0.1:9\"]\n    username: a\n    password: b\n    \
               match: {header: {name: X-Cluster, value: three}}\n",
    })
    .await;
    for (path, cluster) in [
        ("/tenant1", "one"),
        ("/tenant1/", "one"),
        ("/tenant1/_search?q=/tenant2", "one"),
        ("/tenant1/i/_doc/a%2Fb;c", "one"),
        ("/tenant2/x", "two"),
        ("/shared", "one"),
        ("/shared/one", "one"),
        ("/shared/two/x", "two"),
        ("/shared/twox", "one"),
    ] {
        let answer = scene.at("es.example.com", path).await;
        assert_eq!(scene.taken_by(&answer), cluster, "{path}");
    }
    for path in ["/", "/tenant", "/tenant11", "/Tenant1", "/x/tenant1"] {
        let answer = scene.at("es.example.com", path).await;
        scene.stage.says(&answer, 403, "no_cluster");
    }
    let three = [
        ("x-forwarded-host", "else.example.com"),
        ("x-forwarded-uri", "/"),
        ("x-cluster", "three"),
    ];
    // Nobody answers there: the cluster was chosen.
    let answer = scene.ask("/elastauth", &three).await;
    scene.stage.says(&answer, 503, "unavailable");
    let other = [three[0], three[1], ("x-cluster", "Three")];
    let answer = scene.ask("/elastauth", &other).await;
    scene.stage.says(&answer, 403, "no_cluster");
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_for_no_cluster() {
    // Whatever no rule fits is for `one`, and what is unclear is not.
    let scene = Scene::new(Sections {
        one: "    match: {hosts: [es.example.com, '*.tenants.example.com', b\u{fc}cher.example]}",
        two: "    match: {hosts: [es.example.com], paths: [/tenant2]}",
        more: "  unmatched: one\n",
    })
    .await;
    for host in [
        "b\u{fc}cher.example",
        "xn--bcher-kva.example",
        "[2001:db8::1]:9200",
        "x",
    ] {
        let answer = scene.at(host, "/").await;
        assert_eq!(scene.taken_by(&answer), "one", "{host}");
    }
    let before = scene.calls();
    let long = "x".repeat(8_192);
    for host in [
        "",
        "a@es.example.com",
        "es.example.com@a",
        "es.example.com,a",
        "es.example.com, a.tenants.example.com",
        "es.example.com/",
        "es.example.com:80:80",
        "es.example.com:x",
        "es..example.com",
        "es.example.com..",
        "es.example.com%00",
        "a_\u{fc}.tenants.example.com\u{3002}x",
        "[::1",
        "[es.example.com]",
        long.as_str(),
    ] {
        let answer = scene.at(host, "/").await;
        scene.stage.says(&answer, 403, "no_cluster");
    }
    for path in [
        "",
        "tenant2",
        "http://es.example.com/tenant2",
        "/tenant1/../tenant2",
        "/tenant2/..",
        "/./tenant2",
        "//tenant2",
        "/%74enant2",
        "/tenant2%2F",
        "/tenant2;x",
        "/x/%2e%2e/tenant2",
        "/x/%2E%2e/tenant2",
        "/x/..%2Ftenant2",
        "/x/%252e%252e/tenant2",
        "/x/..;/tenant2",
        "/x\\..\\tenant2",
        "/x/..%5ctenant2",
        "/tenant2%",
        "/tenant2%zz",
    ] {
        let answer = scene.at("es.example.com", path).await;
        scene.stage.says(&answer, 403, "no_cluster");
    }
    let (host, path) = (
        ("x-forwarded-host", "es.example.com"),
        ("x-forwarded-uri", "/"),
    );
    for headers in [
        &[][..],
        &[host],
        &[path],
        &[host, host, path],
        &[host, path, path],
        &[
            host,
            path,
            ("x-original-url", "https://es.example.com/tenant2"),
        ],
        &[host, path, ("x-original-url", "https://other.example.com/")],
        &[("x-original-url", "https://es.example.com/")],
    ] {
        let answer = scene.ask("/elastauth", headers).await;
        scene.stage.says(&answer, 403, "no_cluster");
    }
    assert_eq!(scene.calls(), before);
}

#[tokio::test]
async fn the_log_says_why_a_request_is_for_no_cluster() {
    let scene = Scene::new(Sections {
        two: "    match: {hosts: [two.es.example.com], paths: [/two]}",
        ..HOSTS
    })
    .await;
    let (host, path) = (
        ("x-forwarded-host", "two.es.example.com"),
        ("x-forwarded-uri", "/two"),
    );
    for (headers, why) in [
        (
            &[path][..],
            "the gateway does not say which host was asked for",
        ),
        (
            &[host, host, path],
            "the gateway says twice which host was asked for",
        ),
        (
            &[("x-forwarded-host", "a,b"), path],
            "the host has a character that no host name has",
        ),
        (
            &[host, ("x-forwarded-uri", "/a/../two")],
            "the path has a segment `.` or `..`",
        ),
        (
            &[host, ("x-forwarded-uri", "/%74wo")],
            "where clusters are told apart",
        ),
        (
            &[
                host,
                path,
                ("x-original-url", "https://two.es.example.com/"),
            ],
            "the headers of the request name two paths",
        ),
        (
            &[host, ("x-forwarded-uri", "/one")],
            "no cluster's `match` fits",
        ),
    ] {
        let answer = scene.ask("/elastauth", headers).await;
        scene.stage.says(&answer, 403, "no_cluster");
        let log = scene.stage.elastauth.log();
        let line = log.lines().find(|line| line.contains(why));
        let line = line.unwrap_or_else(|| panic!("{why}: {log}"));
        assert!(
            line.contains("WARN") && line.contains("outcome=no_cluster"),
            "{line}"
        );
    }
    let answer = scene.at("two.es.example.com", "/two").await;
    assert_eq!(scene.taken_by(&answer), "two");
}

#[tokio::test]
async fn nginx_and_envoy_say_it_in_their_own_way() {
    let scene = Scene::new(HOSTS).await;
    let url = |url| [("x-original-url", url)];
    let answer = scene
        .ask(
            "/elastauth/auth-request",
            &url("https://two.es.example.com/x?y"),
        )
        .await;
    assert_eq!(scene.taken_by(&answer), "two");
    // Envoy's own host is that of the client; the header may be the client's own.
    let mut envoy = asked("/elastauth/ext-authz/x", &[]);
    let host = "one.es.example.com".parse().expect("a host");
    envoy.headers_mut().insert(header::HOST, host);
    let answer = scene.stage.send(scene.stage.gateway(), envoy.clone()).await;
    assert_eq!(scene.taken_by(&answer), "one");
    let other = "two.es.example.com".parse().expect("a host");
    envoy.headers_mut().insert("x-forwarded-host", other);
    let answer = scene.stage.send(scene.stage.gateway(), envoy).await;
    scene.stage.says(&answer, 403, "no_cluster");
}

#[tokio::test]
async fn a_cluster_in_trouble_leaves_the_others_as_they_are() {
    let scene = Scene::new(HOSTS).await;
    for host in ["one.es.example.com", "two.es.example.com"] {
        assert_eq!(scene.at(host, "/").await.status, StatusCode::OK);
    }
    for trouble in [
        Misbehaviour::Hang,
        Misbehaviour::Status(StatusCode::SERVICE_UNAVAILABLE),
        Misbehaviour::CloseBefore,
        Misbehaviour::SecurityUnavailable,
    ] {
        scene.one.clear_faults();
        scene.one.fault(Fault::new(Endpoint::Any, trouble));
        let (one, two) = (scene.one.count(), scene.two.count());
        let new = format!("user-{one}");
        let of = |host| {
            [
                ("x-forwarded-host", host),
                ("x-forwarded-uri", "/"),
                ("remote-user", &*new),
            ]
        };
        let (of_one, of_two) = (of("one.es.example.com"), of("two.es.example.com"));
        let (refused, granted) = tokio::join!(
            scene.ask("/elastauth", &of_one),
            scene.ask("/elastauth", &of_two)
        );
        scene.stage.says(&refused, 503, "unavailable");
        assert_eq!(scene.taken_by(&granted), "two", "{trouble:?}");
        assert!(scene.one.count() > one && scene.two.count() > two);
        // Who is known there is answered without it.
        let known = scene.at("one.es.example.com", "/").await;
        assert_eq!(known.status, StatusCode::OK, "{trouble:?}");
        let ready = scene.ready().await;
        let (status, body) = (ready.status, ready.json());
        assert_eq!(
            (status, &body["status"]),
            (StatusCode::OK, &json!("DEGRADED"))
        );
        let clusters = &body["checks"]["clusters"];
        assert_eq!(
            (
                &clusters["one"]["status"],
                &clusters["two"],
                &clusters["default"]
            ),
            (
                &json!("ERROR"),
                &json!({"status": "OK"}),
                &json!({"status": "OK"})
            ),
            "{trouble:?}: {body}"
        );
        let urls = [&scene.one, &scene.two].map(|cluster| cluster.addr().port().to_string());
        assert!(
            !urls.iter().any(|port| ready.text().contains(port)),
            "{body}"
        );
        let told = scene
            .stage
            .untrusted()
            .get("/elastauth/ready", &[])
            .await
            .text();
        assert!(!told.contains("\"one\""), "{told}");
    }
    scene.one.clear_faults();
    find("the cluster to be there again", WITHIN, async || {
        (scene.ready().await.json()["status"] == "OK").then_some(())
    })
    .await;
}

#[tokio::test]
async fn actions_on_users_are_for_one_cluster_or_for_all() {
    let scene = Scene::new(HOSTS).await;
    for host in ["one.es.example.com", "two.es.example.com"] {
        assert_eq!(scene.at(host, "/").await.status, StatusCode::OK);
    }
    let act = async |action: &str| {
        let target = format!("/elastauth/admin/users/alice/{action}");
        let key = [("x-elastauth-key", GATEWAY_KEY)];
        let server = scene.stage.gateway();
        server.ask(http::Method::POST, &target, &key, None).await
    };
    let (one, two) = (scene.one.count(), scene.two.count());
    let answer = act("recheck?cluster=one").await;
    assert_eq!(answer.json()["known"], true, "{}", answer.text());
    for host in ["one.es.example.com", "two.es.example.com"] {
        assert_eq!(scene.at(host, "/").await.status, StatusCode::OK);
    }
    assert!(scene.one.count() > one);
    assert_eq!(scene.two.count(), two);
    let answer = act("revoke?cluster=two").await.json();
    let clusters = answer["clusters"].as_array().map(Vec::len);
    assert_eq!(
        (&answer["clusters"][0]["cluster"], clusters),
        (&json!("two"), Some(1))
    );
    let answer = act("revoke").await.json();
    assert_eq!(
        answer["clusters"].as_array().map(Vec::len),
        Some(3),
        "{answer}"
    );
    assert_eq!(
        act("revoke?cluster=three").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        act("recheck?clusters=one").await.status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn a_replica_is_not_ready_where_all_clusters_that_answer_refuse_its_account() {
    let tasks = Tasks::default();
    let start = async || StandIn::start(&tasks).await.expect("a stand-in");
    let (cluster, one) = (start().await, start().await);
    let refused = Misbehaviour::Status(StatusCode::FORBIDDEN);
    one.fault(Fault::new(Endpoint::Check, refused));
    cluster.fault(Fault::new(Endpoint::Any, Misbehaviour::CloseBefore));
    let section = section("one", &one, "    match: {hosts: [one.es.example.com]}");
    let more = format!("clusters:\n{section}");
    let plan = Plan {
        more: &more,
        ..Plan::default()
    };
    let stage = Stage::before(cluster, tasks.clone(), plan).await;
    let ready = async |wanted: StatusCode, status: &str| {
        let look = async || {
            let answer = stage.gateway().get("/elastauth/ready", &[]).await;
            (answer.status == wanted && answer.json()["status"] == status).then_some(())
        };
        find(status, WITHIN, look).await;
    };
    // One is away, and the other one refuses.
    ready(StatusCode::SERVICE_UNAVAILABLE, "NOT_READY").await;
    stage.cluster.clear_faults();
    ready(StatusCode::OK, "DEGRADED").await;
    // That one has accepted the account; whether it is away now says nothing of this replica.
    let away = Fault::new(Endpoint::Any, Misbehaviour::CloseBefore);
    stage.cluster.fault(away);
    find("both fail", WITHIN, async || {
        let key = [("x-elastauth-key", GATEWAY_KEY)];
        let answer = stage.gateway().get("/elastauth/ready", &key).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let clusters = &answer.json()["checks"]["clusters"];
        (clusters["default"]["status"] == "ERROR" && clusters["one"]["status"] == "ERROR")
            .then_some(())
    })
    .await;
}
