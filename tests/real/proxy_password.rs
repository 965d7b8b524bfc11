//! In proxy mode a user can ask the cluster for another password for themselves. Elasticsearch
//! gives it, and elastauth takes it back with the next request; OpenSearch asks for the present
//! one, which no user knows.

use super::proxy_clients::{before_opensearch, proxy};
use crate::support::{
    elasticsearch::Elasticsearch,
    http::{Server, basic},
};
use http::{Method, StatusCode};
use serde_json::json;

const CHOSEN: &str = "chosen-by-the-user-1";
const ALICE: [(&str, &str); 2] = [("remote-user", "own-alice"), ("remote-groups", "editors")];

/// The cluster, past elastauth.
fn at(url: &str) -> Server {
    let (_, port) = url.trim_end_matches('/').rsplit_once(':').unwrap();
    Server::plain(port.parse().unwrap())
}

async fn takes(cluster: &Server, path: &str, password: &str) -> StatusCode {
    let login = basic("own-alice", password);
    cluster.get(path, &[("authorization", &login)]).await.status
}

#[tokio::test]
async fn a_password_that_a_user_chooses_at_elasticsearch_ends_with_their_next_request() {
    let cluster = Elasticsearch::start(None).await;
    let password = cluster.service_account("svc-own").await;
    let mapping = "group_mappings: {editors: [editor]}";
    let elastauth = proxy(&cluster.url(), ("svc-own", &password), mapping, "").await;
    let whoami = "/_security/_authenticate";
    assert_eq!(elastauth.server().get(whoami, &ALICE).await.status, 200);
    let direct = at(&cluster.url());
    for method in [Method::PUT, Method::POST] {
        let body = json!({ "password": CHOSEN });
        let changed = elastauth
            .server()
            .ask(
                method.clone(),
                "/_security/user/_password",
                &ALICE,
                Some(&body),
            )
            .await;
        assert_eq!(changed.status, 200, "{method}: {}", changed.text());
        // Whoever reaches the cluster itself may use it until then.
        assert_eq!(takes(&direct, whoami, CHOSEN).await, 200, "{method}");
        let answer = elastauth.server().get(whoami, &ALICE).await;
        assert_eq!(answer.status, 200, "{method}: {}", answer.text());
        assert_eq!(answer.json()["username"], "own-alice");
        assert_eq!(takes(&direct, whoami, CHOSEN).await, 401, "{method}");
    }
    // Nobody changes anybody else's.
    let other = elastauth
        .server()
        .ask(
            Method::PUT,
            "/_security/user/elastic/_password",
            &ALICE,
            Some(&json!({ "password": CHOSEN })),
        )
        .await;
    assert_eq!(other.status, 403, "{}", other.text());
}

#[tokio::test]
async fn opensearch_changes_no_password_without_the_present_one() {
    let (cluster, elastauth) = before_opensearch().await;
    let whoami = "/_plugins/_security/authinfo";
    let known = elastauth.server().get(whoami, &ALICE).await;
    assert_eq!(known.status, 200, "{}", known.text());
    let account = "/_plugins/_security/api/account";
    for body in [
        json!({ "password": CHOSEN }),
        json!({ "password": CHOSEN, "current_password": CHOSEN }),
        json!({ "password": CHOSEN, "current_password": "" }),
    ] {
        let refused = elastauth
            .server()
            .ask(Method::PUT, account, &ALICE, Some(&body))
            .await;
        assert!(!refused.status.is_success(), "{body}: {}", refused.text());
        assert_ne!(refused.status, 401, "{}", refused.text());
    }
    let direct = at(&cluster.url());
    assert_eq!(takes(&direct, whoami, CHOSEN).await, 401);
    assert_eq!(elastauth.server().get(whoami, &ALICE).await.status, 200);
}
