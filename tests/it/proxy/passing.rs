//! What reaches the cluster, and what comes back.

use super::setup::{OK, Setup, header, request};

#[tokio::test]
async fn a_request_reaches_the_cluster_with_the_users_login() {
    let setup = Setup::answering(OK).await;
    let answer = setup
        .ask(&request("GET /a%2Fb//c;d?e=%2e", "alice", ""))
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    let head = setup.upstream.head();
    assert!(
        head.starts_with("GET /a%2Fb//c;d?e=%2e HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(setup.is_login(header(&head, "authorization").unwrap()));
    assert_eq!(header(&head, "host"), Some("es.example:9200"));
    for gone in ["x-elastauth-key", "remote-user", "remote-groups"] {
        assert_eq!(header(&head, gone), None, "{head}");
    }
}
