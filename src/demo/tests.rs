//! The gateway and its site, with a scripted elastauth behind them; and the whole tour with the
//! real one.

use super::{gateway::Trip, site::DemoEvent, standin::StandIn, *};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use std::{
    convert::Infallible,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};
use tokio::net::TcpListener;

/// What the scripted elastauth answers to every question, and the headers of the last one.
#[derive(Debug, Default)]
struct Script {
    status: StatusCode,
    logins: Vec<String>,
    body: &'static str,
    asked: Mutex<Option<HeaderMap>>,
}

struct Scene {
    stage: Stage,
    standin: StandIn,
    search: StandIn,
    script: Arc<Script>,
    tasks: Tasks,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.tasks.end();
    }
}

/// What came back to the browser.
struct Received {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Scene {
    /// `ada` is in `logs` already, with the password of [`login`].
    async fn with(script: Script) -> Self {
        let (tasks, script) = (Tasks::default(), Arc::new(script));
        let clusters = DemoClusters::start(&tasks).await.unwrap();
        let standin = clusters.logs.standin.clone();
        standin.set_user(standin::StoredUser::new("ada", "derived").with_roles(&["viewer"]));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let elastauth = listener.local_addr().unwrap();
        tasks.spawn(play(listener, Arc::clone(&script), tasks.clone()));
        let stage = Stage::open(None, elastauth, clusters.clone(), &tasks)
            .await
            .unwrap();
        Self {
            stage,
            standin,
            search: clusters.search.standin,
            script,
            tasks,
        }
    }

    async fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Received {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{target}", self.stage.addr));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let (head, body) = client
            .request(request.body(Empty::new()).unwrap())
            .await
            .unwrap()
            .into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Received {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    fn trip(&mut self) -> Box<Trip> {
        match self.stage.events.try_recv() {
            Ok(DemoEvent::Trip(trip)) => trip,
            other => panic!("{other:?}"),
        }
    }

    fn asked(&self) -> HeaderMap {
        self.script.asked.lock().unwrap().clone().unwrap()
    }
}

async fn play(listener: TcpListener, script: Arc<Script>, tasks: Tasks) {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            () = tasks.ending() => return,
        };
        let (script, ending) = (Arc::clone(&script), tasks.clone());
        tasks.spawn(async move {
            let service = service_fn(|request: Request<hyper::body::Incoming>| {
                *script.asked.lock().unwrap() = Some(request.headers().clone());
                let mut response = Response::builder().status(script.status);
                for login in &script.logins {
                    response = response.header("authorization", login);
                }
                let response = response.body(Full::<Bytes>::from(script.body)).unwrap();
                async move { Ok::<_, Infallible>(response) }
            });
            tokio::select! {
                served = http1::Builder::new().serve_connection(TokioIo::new(stream), service) => drop(served),
                () = ending.ending() => {}
            }
        });
    }
}

fn login(password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("ada:{password}")))
}

fn permits(password: &str) -> Script {
    Script {
        logins: vec![login(password)],
        ..Script::default()
    }
}

const ME: &str = "/_security/_authenticate";
const INFO: &str = "/_plugins/_security/authinfo?pretty";

#[tokio::test]
async fn who_has_signed_in_arrives_with_the_login_and_never_sees_it() {
    let mut scene = Scene::with(permits("derived")).await;
    let received = scene
        .ask("GET", ME, &[("cookie", "theme=dark; who=ada")])
        .await;
    assert_eq!(received.status, StatusCode::OK);
    assert!(
        received.body.contains(r#""username":"ada""#),
        "{}",
        received.body
    );
    let asked = scene.asked();
    for (name, value) in [
        ("remote-user", "ada"),
        ("remote-groups", "analysts"),
        ("remote-name", "Ada Lovelace"),
        ("x-forwarded-uri", ME),
    ] {
        assert_eq!(asked[name], value);
    }
    assert!(!asked.contains_key("cookie"));
    let shown = format!(
        "{} {:?} {}",
        serde_json::to_string(&scene.trip()).unwrap(),
        received.headers,
        received.body
    );
    assert!(!shown.contains(&login("derived")[6..]));
}

#[tokio::test]
async fn the_host_says_for_which_cluster_it_is_and_elastauth_is_told() {
    let mut scene = Scene::with(permits("other")).await;
    scene
        .search
        .set_internal_user(standin::InternalUser::new("ada", "other").with_roles(&["readall"]));
    for host in ["search.localhost", "SEARCH.localhost.:80"] {
        let headers = [
            ("host", host),
            ("x-forwarded-host", "logs.localhost"),
            ("cookie", "who=ada"),
        ];
        let received = scene.ask("GET", INFO, &headers).await;
        assert_eq!(received.status, StatusCode::OK, "{host}");
        let name = r#""user_name":"ada""#;
        assert!(received.body.contains(name), "{}", received.body);
        let asked = scene.asked();
        let said: Vec<_> = asked.get_all("x-forwarded-host").iter().collect();
        assert_eq!(said, [host]);
        assert_eq!(asked["x-forwarded-uri"], INFO);
        assert_eq!(scene.trip().cluster, "search");
    }
    assert_eq!(scene.standin.count(), 0);
    // The login of one cluster is none of the other, and each other host is for that.
    let received = scene.ask("GET", ME, &[("cookie", "who=ada")]).await;
    assert_eq!(received.status, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.standin.count(), 1);
}

#[tokio::test]
async fn the_page_asks_and_changes_the_cluster_that_it_names() {
    let scene = Scene::with(permits("other")).await;
    scene
        .search
        .set_internal_user(standin::InternalUser::new("ada", "other").with_roles(&["readall"]));
    let received = scene
        .ask("POST", "/demo/api/ask?who=ada&cluster=search", &[])
        .await;
    let told: serde_json::Value = serde_json::from_str(&received.body).unwrap();
    assert_eq!(told["trip"]["cluster"], "search");
    assert_eq!(told["trip"]["arrival"]["body"]["user_name"], "ada");
    let kept = |told: &serde_json::Value| {
        let clusters = told["clusters"].as_array().unwrap().iter();
        let kept = clusters.map(|one| {
            let ada = &one["users"]["ada"];
            (
                one["name"].clone(),
                ada["roles"].clone(),
                ada["enabled"].clone(),
            )
        });
        serde_json::json!(kept.collect::<Vec<_>>())
    };
    let before = serde_json::json!([["logs", ["viewer"], true], ["search", ["readall"], true]]);
    assert_eq!(kept(&told["state"]), before);
    let disable = "/demo/api/cluster/ada?enabled=false&cluster=search";
    let received = scene.ask("POST", disable, &[]).await;
    let state = serde_json::from_str(&received.body).unwrap();
    let after = serde_json::json!([["logs", ["viewer"], true], ["search", ["readall"], false]]);
    assert_eq!(kept(&state), after);
    for unknown in [
        "/demo/api/ask?who=ada&cluster=else",
        "/demo/api/cluster/ada?enabled=true&cluster=else",
    ] {
        let received = scene.ask("POST", unknown, &[]).await;
        assert_eq!(received.status, StatusCode::NOT_FOUND, "{unknown}");
    }
}

#[tokio::test]
async fn what_a_browser_claims_is_struck_out() {
    let mut scene = Scene::with(Script {
        status: StatusCode::UNAUTHORIZED,
        ..Script::default()
    })
    .await;
    let claims = [
        ("Remote-User", "grace"),
        ("Remote_User", "grace"),
        ("X-Forwarded-For", "::1"),
        ("Authorization", "Basic YTpi"),
        ("X-Elastauth-Key", "k"),
    ];
    assert_eq!(
        scene.ask("GET", ME, &claims).await.status,
        StatusCode::UNAUTHORIZED
    );
    let asked = scene.asked();
    for (name, _) in claims {
        assert!(!asked.contains_key(name), "{name}");
    }
    assert_eq!(scene.trip().struck_out.len(), claims.len());
    assert_eq!(scene.standin.count(), 0);
}

#[tokio::test]
async fn a_refusal_is_handed_on_and_nothing_reaches_the_cluster() {
    let body = r#"{"message":"this user may not enter"}"#;
    let mut scene = Scene::with(Script {
        status: StatusCode::FORBIDDEN,
        body,
        ..Script::default()
    })
    .await;
    let received = scene.ask("GET", ME, &[("cookie", "who=ada")]).await;
    assert_eq!(
        (received.status, received.body.as_str()),
        (StatusCode::FORBIDDEN, body)
    );
    assert_eq!(
        scene.trip().decision.message.as_deref(),
        Some("this user may not enter")
    );
    assert_eq!(scene.standin.count(), 0);
}

#[tokio::test]
async fn a_permission_with_no_login_or_two_is_none() {
    for logins in [
        vec![],
        vec![String::new()],
        vec![login("derived"), login("other")],
    ] {
        let scene = Scene::with(Script {
            logins,
            ..Script::default()
        })
        .await;
        assert_eq!(
            scene.ask("GET", ME, &[("cookie", "who=ada")]).await.status,
            StatusCode::BAD_GATEWAY
        );
        assert_eq!(scene.standin.count(), 0);
    }
}

#[tokio::test]
async fn the_clusters_challenge_stays_at_the_gateway() {
    let scene = Scene::with(permits("outdated")).await;
    let received = scene.ask("GET", ME, &[("cookie", "who=ada")]).await;
    assert_eq!(received.status, StatusCode::UNAUTHORIZED);
    assert!(!received.headers.contains_key("www-authenticate"));
}

#[tokio::test]
async fn the_page_changes_groups_and_the_cluster_but_no_other_site_does() {
    let scene = Scene::with(permits("derived")).await;
    let own = format!("http://{}", scene.stage.addr);
    let (groups, enabled) = (
        "/demo/api/people/ada?groups=analysts,editors",
        "/demo/api/cluster/ada?enabled=false",
    );
    for target in [groups, enabled] {
        assert_eq!(
            scene
                .ask("POST", target, &[("origin", "http://elsewhere.example")])
                .await
                .status,
            StatusCode::FORBIDDEN
        );
        assert_eq!(
            scene.ask("POST", target, &[("origin", &own)]).await.status,
            StatusCode::OK
        );
    }
    assert!(scene.standin.user("ada").is_some_and(|user| !user.enabled));
    scene.ask("POST", "/demo/api/ask?who=ada", &[]).await;
    assert_eq!(scene.asked()["remote-groups"], "analysts,editors");
    for target in [
        "/demo/api/people/ada?groups=nonsense",
        "/demo/api/people/bob?groups=",
        "/demo/api/cluster/elastauth?enabled=false",
    ] {
        assert_eq!(
            scene.ask("POST", target, &[]).await.status,
            StatusCode::NOT_FOUND,
            "{target}"
        );
    }
}

#[tokio::test]
async fn the_page_fetches_nothing_from_elsewhere() {
    let scene = Scene::with(Script::default()).await;
    let received = scene.ask("GET", "/", &[]).await;
    assert_eq!(received.status, StatusCode::OK);
    assert!(
        received.headers["content-security-policy"]
            .to_str()
            .unwrap()
            .starts_with("default-src 'none'")
    );
    // The one address in it names the format of its own little picture.
    let addresses = received.body.replace("http://www.w3.org/2000/svg", "");
    assert!(
        !addresses.contains("http://")
            && !addresses.contains("https://")
            && !addresses.contains(" src=")
    );
}

#[tokio::test]
async fn the_tour_without_a_gateway_succeeds() {
    let (tasks, mut out) = (Tasks::default(), Vec::new());
    let shown = show_alone(true, None, &tasks, &mut out).await;
    tasks.end();
    let story = String::from_utf8(out).unwrap();
    assert!(shown.is_ok(), "{shown:?}\n{story}");
    assert!(story.ends_with("All six went as told.\n"), "{story}");
    // No token and no login is in it.
    assert!(
        !story.contains("eyJ") && !story.contains("Basic "),
        "{story}"
    );
}

#[tokio::test]
async fn the_tour_succeeds() {
    let (tasks, mut out) = (Tasks::default(), Vec::new());
    let shown = show(true, None, &tasks, &mut out).await;
    tasks.end();
    let story = String::from_utf8(out).unwrap();
    assert!(shown.is_ok(), "{shown:?}\n{story}");
    assert!(story.ends_with("All six went as told.\n"), "{story}");
}
