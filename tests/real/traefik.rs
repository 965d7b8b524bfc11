//! The guide's own files on a real Traefik, the shipped elastauth behind it and a real
//! Elasticsearch at the end: what a client can reach from the outside, and what it cannot.

use crate::support::{
    all_at_once,
    authelia::{Authelia, BYPASSED, DENIED, PORTAL},
    elastauth::Elastauth,
    elasticsearch,
    elasticsearch::Elasticsearch,
    guide,
    http::{Answer, basic},
    relay::Relay,
    tls::Authority,
    traefik::Traefik,
};
use http::StatusCode;
use serde_json::json;
use std::net::Ipv4Addr;

const GATEWAY_KEY: &str = "0b6f0e3a7c5549d8a1f2c7e4";
const SECRET_KEY: &str = "c1f9a67d30b84e52976efab0451d8c23e7b04c9f6a1852d3b9ce70f8146da25b";
const WHOAMI: &str = "/_security/_authenticate";

/// The usual case of the guide: Traefik, Authelia, elastauth, Elasticsearch.
struct Setup {
    cluster: &'static Elasticsearch,
    authelia: Authelia,
    elastauth: Elastauth,
    traefik: Traefik,
}

impl Setup {
    async fn usual(account: &str) -> Self {
        let cluster = Elasticsearch::shared().await;
        let elastauth = start_elastauth(cluster, account).await;
        let (authelia, traefik) = usual_gateway(cluster, elastauth.port()).await;
        Self {
            cluster,
            authelia,
            elastauth,
            traefik,
        }
    }

    /// Asks the cluster through Traefik who is asking.
    async fn whoami(&self, headers: &[(&str, &str)]) -> Answer {
        self.traefik.elasticsearch().get(WHOAMI, headers).await
    }

    async fn assert_is(&self, headers: &[(&str, &str)], user: &str, role: &str) {
        let answer = self.whoami(headers).await;
        assert_eq!(
            answer.status,
            StatusCode::OK,
            "{headers:?}: {}\n{}",
            answer.text(),
            self.elastauth.log()
        );
        let whoami = answer.json();
        assert_eq!(
            (&whoami["username"], &whoami["roles"]),
            (&json!(user), &json!([role])),
            "{headers:?}"
        );
        assert_eq!(
            whoami["authentication_realm"], whoami["lookup_realm"],
            "nobody runs as somebody else: {headers:?}"
        );
    }
}

async fn start_elastauth(cluster: &Elasticsearch, account: &str) -> Elastauth {
    let password = cluster.service_account(account).await;
    let config = guide::file(
        "traefik/config.yml",
        &[
            ("0.0.0.0:5000", "127.0.0.1:0"),
            ("192.0.2.20/32", "127.0.0.1/32"),
            ("http://elasticsearch:9200", &cluster.url()),
            ("username: elastauth", &format!("username: {account}")),
        ],
    );
    Elastauth::start_anywhere_in(&config, &[], &secrets(&password)).await
}

async fn usual_gateway(cluster: &Elasticsearch, elastauth: u16) -> (Authelia, Traefik) {
    let authelia = Authelia::start().await;
    let dynamic = guide::file(
        "traefik/dynamic.yml",
        &[
            (
                "http://authelia:9091",
                &format!("http://127.0.0.1:{}", authelia.port),
            ),
            (
                "http://elastauth:5000",
                &format!("http://127.0.0.1:{elastauth}"),
            ),
            ("http://elasticsearch:9200", &cluster.url()),
        ],
    );
    (
        authelia,
        Traefik::start(&dynamic, &[], &[("GATEWAY_KEY", GATEWAY_KEY)]).await,
    )
}

fn secrets(password: &str) -> [(&str, &str); 3] {
    [
        ("GATEWAY_KEY", GATEWAY_KEY),
        ("SECRET_KEY", SECRET_KEY),
        ("ELASTICSEARCH_PASSWORD", password),
    ]
}

#[tokio::test]
async fn a_request_reaches_the_cluster_as_its_user_with_the_roles_of_its_groups() {
    let setup = Setup::usual("svc-usual").await;
    let cookie = setup
        .authelia
        .sign_in("usual-alice", "search-readers,others");
    setup
        .assert_is(&[("cookie", &cookie)], "usual-alice", "viewer")
        .await;

    // Groups that change in the first check change the roles at the next request, in both
    // directions.
    setup.authelia.sign_in("usual-alice", "search-editors");
    setup
        .assert_is(&[("cookie", &cookie)], "usual-alice", "editor")
        .await;
    setup.authelia.sign_in("usual-alice", "search-readers");
    setup
        .assert_is(&[("cookie", &cookie)], "usual-alice", "viewer")
        .await;

    // Without a group that gives a role there is no way in.
    setup.authelia.sign_in("usual-alice", "");
    let refused = setup.whoami(&[("cookie", &cookie)]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
    assert!(refused.header("authorization").is_none());
}

#[tokio::test]
async fn what_a_client_claims_does_not_help() {
    let setup = Setup::usual("svc-forged").await;
    let bob = setup.authelia.sign_in("forged-bob", "search-readers");
    let elastic = elasticsearch::admin();
    let wrong = basic("elastic", "wrong");
    let claims: &[&[(&str, &str)]] = &[
        &[("remote-user", "elastic")],
        &[("Remote-User", "elastic"), ("remote-user", "forged-carol")],
        &[("remote-groups", "search-admins")],
        &[
            ("remote_user", "elastic"),
            ("remote_groups", "search-admins"),
        ],
        &[("authorization", &elastic)],
        &[("authorization", &wrong)],
        &[("es-security-runas-user", "elastic")],
        &[("x-elastauth-key", GATEWAY_KEY), ("remote-user", "elastic")],
        &[(
            "connection",
            "remote-groups, x-elastauth-key, authorization",
        )],
        &[
            ("x-forwarded-for", "127.0.0.1"),
            ("x-real-ip", "127.0.0.1"),
            ("x-original-url", "/public"),
        ],
    ];
    for claim in claims {
        // A user who is signed in keeps their identity; Authelia refuses a password that is not
        // one of its own before it looks at the session.
        let with_cookie = [&[("cookie", bob.as_str())], *claim].concat();
        if claim.iter().any(|(name, _)| *name == "authorization") {
            let refused = setup.whoami(&with_cookie).await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{claim:?}");
            assert_eq!(refused.header("x-answered-by"), Some("authelia"));
        } else {
            setup.assert_is(&with_cookie, "forged-bob", "viewer").await;
        }

        // Nobody stays nobody, whether the first check refuses ...
        let refused = setup.whoami(claim).await;
        assert_eq!(
            (refused.status, refused.header("x-answered-by")),
            (StatusCode::UNAUTHORIZED, Some("authelia")),
            "{claim:?}"
        );

        // ... or lets the path through without asking.
        let bypassed = setup
            .traefik
            .elasticsearch()
            .get(&format!("{BYPASSED}/_search"), claim)
            .await;
        assert_eq!(
            bypassed.status,
            StatusCode::UNAUTHORIZED,
            "{claim:?}: {}",
            bypassed.text()
        );
        assert!(
            bypassed.header("x-elastic-product").is_none()
                && !bypassed.text().contains("security_exception"),
            "elastauth has answered, not the cluster"
        );
    }
    // Run-as with a user who has the privilege: the header has to be gone, or this would be the
    // kibana_system user.
    let admin = setup.authelia.sign_in("forged-admin", "search-admins");
    setup
        .assert_is(
            &[
                ("cookie", &admin),
                ("es-security-runas-user", "kibana_system"),
            ],
            "forged-admin",
            "superuser",
        )
        .await;
}

#[tokio::test]
async fn a_disabled_user_has_no_way_in() {
    let setup = Setup::usual("svc-off").await;
    let cookie = setup.authelia.sign_in("off-alice", "search-readers");
    setup
        .assert_is(&[("cookie", &cookie)], "off-alice", "viewer")
        .await;
    setup.cluster.disable("off-alice").await;
    // elastauth may still believe its memory; the cluster refuses the login itself.
    assert_ne!(
        setup.whoami(&[("cookie", &cookie)]).await.status,
        StatusCode::OK
    );
    // At the next look at the user it is elastauth that says no, and it does not switch the user on
    // again.
    setup.authelia.sign_in("off-alice", "search-editors");
    assert_eq!(
        setup.whoami(&[("cookie", &cookie)]).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        setup.cluster.user("off-alice").await.unwrap()["enabled"],
        json!(false)
    );
}

#[tokio::test]
async fn without_elastauth_nobody_gets_in() {
    let mut setup = Setup::usual("svc-down").await;
    let cookie = setup.authelia.sign_in("down-alice", "search-readers");
    setup
        .assert_is(&[("cookie", &cookie)], "down-alice", "viewer")
        .await;
    setup.elastauth.kill();
    let cookie = ("cookie", cookie.as_str());
    let admin = elasticsearch::admin();
    for (headers, status) in [
        (&[cookie][..], StatusCode::INTERNAL_SERVER_ERROR),
        // Authelia does not know that password.
        (
            &[cookie, ("authorization", &admin)],
            StatusCode::UNAUTHORIZED,
        ),
        // It leaves a bearer token to others, and so it reaches the dead elastauth.
        (
            &[cookie, ("authorization", "Bearer x")],
            StatusCode::INTERNAL_SERVER_ERROR,
        ),
    ] {
        assert_eq!(setup.whoami(headers).await.status, status, "{headers:?}");
    }
}

#[tokio::test]
async fn past_the_gateway_there_is_nothing_to_get() {
    let setup = Setup::usual("svc-past").await;
    let server = setup.elastauth.server();
    let claim = [
        ("remote-user", "past-mallory"),
        ("remote-groups", "search-admins"),
    ];
    // A trusted address without the key, or with a wrong one.
    assert_eq!(
        server.get("/elastauth/forward-auth", &claim).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        server
            .get(
                "/elastauth/forward-auth",
                &[&claim[..], &[("x-elastauth-key", "guess")]].concat()
            )
            .await
            .status,
        StatusCode::FORBIDDEN
    );
    // The key from an address that is not trusted.
    let untrusted = server.from(Ipv4Addr::new(127, 0, 0, 9));
    let answer = untrusted
        .get(
            "/elastauth/forward-auth",
            &[&claim[..], &[("x-elastauth-key", GATEWAY_KEY)]].concat(),
        )
        .await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(setup.cluster.user("past-mallory").await, None);
}

#[tokio::test]
async fn behind_a_portal_only_the_portal_is_believed() {
    let cluster = Elasticsearch::shared().await;
    let elastauth = start_elastauth(cluster, "svc-portal").await;
    let port = elastauth.port();
    let dynamic = guide::file(
        "traefik/standalone.yml",
        &[
            ("192.0.2.10/32", "127.0.0.1/32"),
            ("http://elastauth:5000", &format!("http://127.0.0.1:{port}")),
            ("http://elasticsearch:9200", &cluster.url()),
        ],
    );
    let traefik = Traefik::start(&dynamic, &[], &[("GATEWAY_KEY", GATEWAY_KEY)]).await;
    let claim = [
        ("remote-user", "portal-alice"),
        ("remote-groups", "search-readers"),
        ("x-elastauth-key", "guess"),
    ];

    let portal = traefik.elasticsearch();
    let whoami = portal.get(WHOAMI, &claim).await;
    assert_eq!(
        whoami.status,
        StatusCode::OK,
        "{}\n{}",
        whoami.text(),
        elastauth.log()
    );
    assert_eq!(
        (&whoami.json()["username"], &whoami.json()["roles"]),
        (&json!("portal-alice"), &json!(["viewer"]))
    );
    assert_eq!(
        portal.get(WHOAMI, &[]).await.status,
        StatusCode::UNAUTHORIZED
    );

    let neighbour = portal.from(Ipv4Addr::new(127, 0, 0, 9));
    assert_eq!(
        neighbour.get(WHOAMI, &claim).await.status,
        StatusCode::FORBIDDEN
    );
    let pretender = [
        &claim[..],
        &[("x-forwarded-for", "127.0.0.1"), ("x-real-ip", "127.0.0.1")],
    ]
    .concat();
    assert_eq!(
        neighbour.get(WHOAMI, &pretender).await.status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn over_tls_one_connection_carries_all_questions() {
    let (to_elastauth, to_cluster) = (Authority::new(), Authority::new());
    let cluster = Elasticsearch::start(Some(&to_cluster)).await;
    let password = cluster.service_account("svc-tls").await;
    let config = guide::file(
        "traefik/config-tls.yml",
        &[
            ("0.0.0.0:5000", "127.0.0.1:0"),
            ("192.0.2.20/32", "127.0.0.1/32"),
            ("https://elasticsearch:9200", &cluster.url()),
            ("username: elastauth", "username: svc-tls"),
        ],
    );
    let signed = to_elastauth.sign();
    let cluster_ca = to_cluster.pem();
    let files = [
        ("tls.crt", signed.certificate.as_str()),
        ("tls.key", &signed.key),
        ("elasticsearch-ca.pem", &cluster_ca),
    ];
    let elastauth = Elastauth::start_anywhere_in(&config, &files, &secrets(&password))
        .await
        .over_tls(to_elastauth.client());

    let (authelia, relay) = (Authelia::start().await, Relay::to(elastauth.port()).await);
    let dynamic = guide::file(
        "traefik/tls.yml",
        &[
            (
                "https://authelia:9091",
                &format!("http://127.0.0.1:{}", authelia.port),
            ),
            (
                "https://elastauth:5000",
                &format!("https://127.0.0.1:{}", relay.port),
            ),
            ("https://elasticsearch:9200", &cluster.url()),
        ],
    );
    let files = [
        // The stand-ins of Authelia and Kibana speak no TLS; Traefik reads these files anyway.
        ("authelia-ca.pem", cluster_ca.clone()),
        ("kibana-ca.pem", cluster_ca.clone()),
        ("elastauth-ca.pem", to_elastauth.pem()),
        ("elasticsearch-ca.pem", cluster_ca.clone()),
    ];
    let files = files
        .each_ref()
        .map(|(name, content)| (*name, content.as_str()));
    let traefik = Traefik::start(&dynamic, &files, &[("GATEWAY_KEY", GATEWAY_KEY)]).await;

    let whoami = traefik
        .elasticsearch()
        .get(
            WHOAMI,
            &[("cookie", &authelia.sign_in("tls-alice", "search-readers"))],
        )
        .await;
    assert_eq!(
        whoami.status,
        StatusCode::OK,
        "{}\n{}\n{}",
        whoami.text(),
        elastauth.log(),
        traefik.log()
    );
    assert_eq!(
        (&whoami.json()["username"], &whoami.json()["roles"]),
        (&json!("tls-alice"), &json!(["viewer"]))
    );

    // Sixteen first logins at once. HTTP/1.1 carries one question at a time on a connection; only
    // h2 needs no second one.
    let before = relay.connections();
    assert_eq!(sixteen_first_logins(&traefik, &authelia).await, 16);
    assert_eq!(
        (before, relay.connections()),
        (1, 1),
        "TCP connections from Traefik to elastauth"
    );
}

/// What the count above is worth: the same over plain HTTP does open more.
#[tokio::test]
async fn over_plain_http_they_do_not_share_a_connection() {
    let cluster = Elasticsearch::shared().await;
    let elastauth = start_elastauth(cluster, "svc-plain").await;
    let relay = Relay::to(elastauth.port()).await;
    let (authelia, traefik) = usual_gateway(cluster, relay.port).await;
    assert_eq!(
        sixteen_first_logins(&traefik, &authelia).await,
        16,
        "{}",
        elastauth.log()
    );
    assert!(
        relay.connections() > 1,
        "{} connection",
        relay.connections()
    );
}

/// How many of sixteen new users get in, all asking at once.
async fn sixteen_first_logins(traefik: &Traefik, authelia: &Authelia) -> usize {
    let cookies: Vec<String> = (0..16)
        .map(|n| authelia.sign_in(&format!("burst-{n}"), "search-readers"))
        .collect();
    let answers = all_at_once(cookies.iter().map(async |cookie| {
        traefik
            .elasticsearch()
            .get(WHOAMI, &[("cookie", cookie)])
            .await
    }))
    .await;
    for answer in answers
        .iter()
        .filter(|answer| answer.status != StatusCode::OK)
    {
        println!("{} {}", answer.status, answer.text());
    }
    answers
        .iter()
        .filter(|answer| answer.status == StatusCode::OK)
        .count()
}

#[tokio::test]
async fn browsers_are_sent_to_sign_in_and_get_pages() {
    let setup = Setup::usual("svc-pages").await;
    let site = setup.traefik.elasticsearch();
    let page = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

    // Authelia takes https only, so plain HTTP goes there before anything is asked.
    let plain = setup.traefik.plain().get(WHOAMI, &[page]).await;
    assert!(plain.status.is_redirection(), "{plain:?}");
    assert!(
        plain.header("location").unwrap().starts_with("https://"),
        "{plain:?}"
    );

    let signed_out = site.get(WHOAMI, &[page]).await;
    assert_eq!(
        signed_out.status,
        StatusCode::FOUND,
        "{}",
        signed_out.text()
    );
    let portal = signed_out.header("location").unwrap();
    assert!(
        portal.starts_with(PORTAL) && portal.contains(&format!("example.org{WHOAMI}")),
        "{portal}"
    );
    let script = [page, ("x-requested-with", "XMLHttpRequest")];
    assert_eq!(
        site.get(WHOAMI, &script).await.status,
        StatusCode::UNAUTHORIZED
    );
    // The sign-in page is behind nothing.
    let portal = site.clone().host("auth.example.org").get("/", &[]).await;
    assert_eq!(
        portal.header("x-answered-by"),
        Some("authelia"),
        "{portal:?}"
    );

    let cookie = setup.authelia.sign_in("pages-alice", "search-readers");
    let cookie = ("cookie", cookie.as_str());
    let denied = site.get(&format!("{DENIED}/x"), &[cookie, page]).await;
    assert_eq!(
        (denied.status, denied.header("x-answered-by")),
        (StatusCode::FORBIDDEN, Some("authelia"))
    );
    setup
        .assert_is(&[cookie, page], "pages-alice", "viewer")
        .await;
    // A password of Authelia is a sign-in of its own.
    let password = basic("pages-bob", "secret");
    setup
        .authelia
        .has_user("pages-bob", "search-editors", &password);
    setup
        .assert_is(&[("authorization", &password)], "pages-bob", "editor")
        .await;

    // A refusal of elastauth is a page, too, with the id of the request.
    setup.authelia.sign_in("pages-alice", "");
    let id = ("x-request-id", "pages-0af7651916cd43dd");
    let refused = site.get(WHOAMI, &[cookie, page, id]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(
        refused.text().contains("<html") && refused.text().contains(id.1),
        "{}",
        refused.text()
    );
    let refused = site.get(WHOAMI, &[cookie, id]).await;
    assert_eq!(
        refused.json()["code"].as_str(),
        Some("user_not_allowed"),
        "{}",
        refused.text()
    );
}
