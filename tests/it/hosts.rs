//! Pages for operators, asked for by a page in an operator's browser: by DNS rebinding, or from
//! another site.

use crate::support::{
    http::Server,
    ports::free_port,
    stage::{GATEWAY_KEY, Plan, Stage},
    until,
};
use http::Method;

const EVIL: &str = "rebound.evil.example:5000";
const PAGES: [(&str, &str); 11] = [
    ("GET", "/elastauth/config"),
    ("GET", "/elastauth/docs"),
    ("GET", "/elastauth/openapi.yaml"),
    ("GET", "/config"),
    ("POST", "/elastauth/admin/users/alice/recheck"),
    ("POST", "/elastauth/admin/users/alice/revoke"),
    ("GET", "/elastauth/admin/users"),
    ("GET", "/elastauth/admin/users/alice/show"),
    ("POST", "/elastauth/admin/users/alice/disable"),
    ("POST", "/elastauth/admin/users/alice/enable"),
    ("POST", "/elastauth/admin/users/alice/delete"),
];
const CROSS: [(&str, &str); 4] = [
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-site", "same-site"),
    ("origin", "http://evil.example"),
    ("origin", "null"),
];

/// Status and code of an answer.
async fn asked(
    server: &Server,
    (method, path): (&str, &str),
    header: (&str, &str),
) -> (u16, String) {
    let headers = [("x-elastauth-key", GATEWAY_KEY), header];
    let method: Method = method.parse().unwrap();
    let answer = server.ask(method, path, &headers, None).await;
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = json["code"].as_str().unwrap_or_default().to_owned();
    (answer.status.as_u16(), code)
}

const NONE: (&str, &str) = ("x-none", "");

#[tokio::test]
async fn pages_and_actions_are_for_hosts_of_ours_and_never_for_other_sites() {
    let stage = Stage::planned(Plan {
        more: "enable_metrics: true\naudit: {path: /etc/elastauth/audit}",
        ..Plan::default()
    })
    .await;
    let rebound = stage.gateway().clone().host(EVIL);
    for page in PAGES {
        let expected = (403, "unknown_host".to_owned());
        assert_eq!(asked(&rebound, page, NONE).await, expected, "{page:?}");
        for header in CROSS {
            let expected = (403, "cross_site".to_owned());
            assert_eq!(
                asked(stage.gateway(), page, header).await,
                expected,
                "{page:?}"
            );
        }
    }
    let log = stage.elastauth.log();
    assert!(
        log.contains("`rebound.evil.example:5000`, which is not in `admin.hosts`"),
        "{log}"
    );
    let audit = stage.elastauth.file("audit");
    assert!(
        !audit.contains("recheck") && !audit.contains("revoke"),
        "{audit}"
    );
    // The operator, and a page of ours.
    let config = ("GET", "/elastauth/config");
    for host in ["localhost:5000", "[::1]:5000", "192.0.2.1"] {
        let server = stage.gateway().clone().host(host);
        assert_eq!(asked(&server, config, NONE).await.0, 200, "{host}");
        let origin = format!("http://{host}");
        assert_eq!(
            asked(&server, config, ("origin", &origin)).await.0,
            200,
            "{host}"
        );
    }
    for site in ["none", "same-origin"] {
        let header = ("sec-fetch-site", site);
        assert_eq!(
            asked(stage.gateway(), PAGES[4], header).await.0,
            200,
            "{site}"
        );
    }
    // Probes and gateways name any host.
    for path in ["/elastauth/health", "/elastauth/live", "/elastauth/ready"] {
        assert_eq!(asked(&rebound, ("GET", path), NONE).await.0, 200, "{path}");
    }
    let user = ("remote-user", "alice");
    assert_eq!(asked(&rebound, ("GET", "/elastauth"), user).await.0, 200);
    assert_eq!(
        asked(&rebound, ("GET", "/elastauth"), CROSS[0]).await.0,
        401
    );
}

#[tokio::test]
async fn a_scraper_keeps_its_numbers_by_any_name_until_names_are_set() {
    let metrics = ("GET", "/elastauth/metrics");
    let stage = Stage::planned(Plan {
        more: "enable_metrics: true",
        ..Plan::default()
    })
    .await;
    let by_name = stage.gateway().clone().host("elastauth.internal:5000");
    for _ in 0..3 {
        assert_eq!(asked(&by_name, metrics, NONE).await.0, 200);
        assert_eq!(asked(&by_name, ("GET", "/metrics"), NONE).await.0, 200);
    }
    let warning = "the metrics are shown by a name that any page in a browser may use";
    until("a warning", || stage.elastauth.log().contains(warning)).await;
    assert_eq!(stage.elastauth.log().matches(warning).count(), 1);
    assert_eq!(asked(&by_name, metrics, CROSS[0]).await.0, 403);

    let port = free_port();
    let more = format!(
        "enable_metrics: true\nadmin: {{listen: \"127.0.0.1:{port}\", hosts: [Elastauth.Internal]}}"
    );
    let stage = Stage::planned(Plan {
        more: &more,
        ..Plan::default()
    })
    .await;
    let pages = Server::plain(port);
    for page in [metrics, PAGES[0], PAGES[4]] {
        for (host, status) in [("elastauth.internal:5001", 200), ("other.internal", 403)] {
            let server = pages.clone().host(host);
            assert_eq!(
                asked(&server, page, NONE).await.0,
                status,
                "{host} {page:?}"
            );
        }
    }
    assert!(!stage.elastauth.log().contains(warning));
}
