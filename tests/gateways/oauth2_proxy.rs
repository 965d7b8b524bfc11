//! The files of docs/gateways/oauth2-proxy on a real Traefik: oauth2-proxy says who has a session,
//! elastauth gives the login, and sends browsers to sign in that have none.

use crate::{
    application::Application,
    gateway::GATEWAY_KEY,
    support::{
        elastauth::Elastauth, guide, http::Answer, http::pair, oauth2_proxy::OAuth2Proxy,
        process::command, traefik::Traefik,
    },
};
use elastauth::internals::{
    demo::standin::{SERVICE_USER, StandIn},
    shutdown::Tasks,
};
use http::{HeaderValue, Method};

const SECRET_KEY: &str = "c1f9a67d30b84e52976efab0451d8c23e7b04c9f6a1852d3b9ce70f8146da25b";
const PAGE: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
const NAVIGATE: (&str, &str) = ("sec-fetch-mode", "navigate");
const THERE: &str = "https://auth.example.org/oauth2/start?rd=\
                     https%3A%2F%2Fkibana.example.org%2Fapp%2Fdiscover%3Fq%3D1";

struct Setup {
    oauth2_proxy: OAuth2Proxy,
    cluster: StandIn,
    kibana: Application,
    traefik: Traefik,
    elastauth: Elastauth,
    _tasks: Tasks,
}

impl Setup {
    async fn new() -> Self {
        let tasks = Tasks::default();
        let cluster = StandIn::start(&tasks).await.unwrap();
        let (oauth2_proxy, kibana) = (OAuth2Proxy::start().await, Application::start().await);
        let config = guide::file(
            "oauth2-proxy/config.yml",
            &[
                ("0.0.0.0:5000", "127.0.0.1:0"),
                ("192.0.2.20/32", "127.0.0.1/32"),
                ("http://elasticsearch:9200", &cluster.url()),
                ("username: elastauth", &format!("username: {SERVICE_USER}")),
            ],
        );
        let secrets = [
            ("GATEWAY_KEY", GATEWAY_KEY),
            ("SECRET_KEY", SECRET_KEY),
            ("ELASTICSEARCH_PASSWORD", cluster.service_password()),
        ];
        let elastauth = Elastauth::start_anywhere_in(&config, &[], &secrets).await;
        let at = |port: u16| format!("http://127.0.0.1:{port}");
        let dynamic = guide::file(
            "oauth2-proxy/dynamic.yml",
            &[
                ("http://oauth2-proxy:4180", &at(oauth2_proxy.port)),
                ("http://elastauth:5000", &at(elastauth.port())),
                ("http://kibana:5601", &at(kibana.port)),
                ("http://elasticsearch:9200", &at(kibana.port)),
            ],
        );
        let traefik = Traefik::start(&dynamic, &[], &[("GATEWAY_KEY", GATEWAY_KEY)]).await;
        Self {
            oauth2_proxy,
            cluster,
            kibana,
            traefik,
            elastauth,
            _tasks: tasks,
        }
    }

    async fn ask(&self, method: &str, headers: &[(&str, &str)]) -> Answer {
        let server = self
            .traefik
            .elasticsearch()
            .clone()
            .host("kibana.example.org");
        let method: Method = method.parse().unwrap();
        server.ask(method, "/app/discover?q=1", headers, None).await
    }
}

#[tokio::test]
async fn a_browser_is_sent_to_sign_in_and_comes_back_as_its_user() {
    let setup = Setup::new().await;
    for headers in [&[PAGE][..], &[PAGE, NAVIGATE], &[NAVIGATE]] {
        let answer = setup.ask("GET", headers).await;
        let log = setup.elastauth.log();
        assert_eq!(
            (answer.status.as_u16(), answer.header("location")),
            (302, Some(THERE)),
            "{log}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    // The sign-in itself is not behind the check.
    let portal = setup
        .traefik
        .elasticsearch()
        .clone()
        .host("auth.example.org");
    let start = portal.get("/oauth2/start?rd=x", &[]).await;
    assert_eq!(
        (start.status.as_u16(), start.header("x-answered-by")),
        (302, Some("oauth2-proxy"))
    );
    assert_eq!(setup.kibana.count(), 0, "nothing has reached Kibana");

    let cookie = setup.oauth2_proxy.sign_in("alice", &["search-readers"]);
    let answer = setup
        .ask("GET", &[PAGE, NAVIGATE, ("cookie", &cookie)])
        .await;
    assert_eq!(answer.status, 200, "{}", setup.elastauth.log());
    let record = setup.kibana.since(0).remove(0);
    let login = record.all("authorization").join(",");
    assert_eq!(pair(&login).0, "alice");
    assert!(
        setup
            .cluster
            .accepts(&HeaderValue::from_str(&login).unwrap())
    );
    assert_eq!(setup.cluster.user("alice").unwrap().roles, ["viewer"]);
    for name in [
        "x-auth-request-user",
        "x-auth-request-groups",
        "x-elastauth-key",
    ] {
        assert!(record.all(name).is_empty(), "{name} has reached Kibana");
    }
}

#[tokio::test]
async fn scripts_programs_and_forged_names_are_refused() {
    let setup = Setup::new().await;
    let xhr = ("x-requested-with", "XMLHttpRequest");
    for (method, headers) in [
        ("GET", &[][..]),
        ("GET", &[("accept", "application/json")]),
        ("GET", &[PAGE, ("sec-fetch-mode", "cors")]),
        ("GET", &[PAGE, xhr]),
        ("POST", &[PAGE, NAVIGATE]),
        ("GET", &[("x-auth-request-preferred-username", "mallory")]),
        (
            "GET",
            &[
                ("x-auth-request-user", "mallory"),
                ("remote-user", "mallory"),
            ],
        ),
    ] {
        let answer = setup.ask(method, headers).await;
        let found = (answer.status.as_u16(), answer.header("location"));
        assert_eq!(found, (401, None), "{method} {headers:?}");
    }
    // Whatever a client says of hosts, it is sent back to the one that it asked.
    for forged in [
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-uri", "/evil"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-method", "POST"),
    ] {
        let answer = setup.ask("GET", &[PAGE, NAVIGATE, forged]).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("location")),
            (302, Some(THERE))
        );
    }
    assert_eq!(setup.kibana.count(), 0, "nothing has reached Kibana");
    assert!(setup.cluster.user("mallory").is_none());
}

#[tokio::test]
async fn the_doctor_finds_nothing() {
    let setup = Setup::new().await;
    let cookie = setup.oauth2_proxy.sign_in("alice", &["search-readers"]);
    let mut doctor = command(env!("CARGO_BIN_EXE_elastauth"));
    let connect = setup.traefik.elasticsearch().address().to_string();
    doctor
        .args([
            "doctor",
            "--gateway",
            "https://kibana.example.org/app",
            "--kind",
            "traefik",
        ])
        .args(["--connect", &connect, "--cookie", &cookie])
        .args(["--user-header", "X-Auth-Request-Preferred-Username"])
        .args(["--groups-header", "X-Auth-Request-Groups", "--ca-cert"])
        .arg(setup.traefik.ca());
    let said = tokio::process::Command::from(doctor)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    let told = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{text}{told}");
    for seen in [
        "`X-Forwarded-*` of the client do not decide where a browser is sent",
        "a forged `x-auth-request-groups` of a signed-in user changes nothing",
    ] {
        assert!(text.contains(seen), "{text}");
    }
}
