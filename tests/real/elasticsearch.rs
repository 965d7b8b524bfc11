//! elastauth as it is shipped against a real Elasticsearch, asked directly: what it writes, what it
//! refuses to touch, and that the login it hands out works.

use crate::support::{
    all_at_once, elastauth::Elastauth, elasticsearch::Elasticsearch, find, http::Answer,
};
use http::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;

const SECRET_KEY: &str = "5b0e4a6fd2c97381f0a4be6c1d7e93528c2f6b1a0d94e7738fb15c60a29ed847";

/// elastauth in front of the shared node, with an account of its own.
struct Setup {
    cluster: &'static Elasticsearch,
    elastauth: Elastauth,
}

impl Setup {
    async fn new(account: &str) -> Self {
        let cluster = Elasticsearch::shared().await;
        let password = cluster.service_account(account).await;
        Self::with_account(&format!("username: {account}\n  password: {password}")).await
    }

    async fn with_account(account: &str) -> Self {
        Self::with(account, "", &[]).await
    }

    /// The same with further sections of the configuration.
    async fn with(account: &str, more: &str, environment: &[(&str, &str)]) -> Self {
        let cluster = Elasticsearch::shared().await;
        let config = format!(
            "listen: 127.0.0.1:0
trusted_proxies: [127.0.0.1/32]
secret_key: {SECRET_KEY}
group_mappings:
  readers: [viewer]
  editors: [editor]
elasticsearch:
  hosts: [\"{}\"]
  {account}
{more}
",
            cluster.url()
        );
        Self {
            cluster,
            elastauth: Elastauth::start_anywhere_in(&config, &[], environment).await,
        }
    }

    async fn ask(&self, user: &str, groups: &str) -> Answer {
        let headers = [
            ("remote-user", user),
            ("remote-groups", groups),
            ("remote-email", "x@example.org"),
            ("remote-name", "X Y"),
        ];
        self.elastauth.server().get("/elastauth", &headers).await
    }

    /// Asks, expects a grant, and returns what the cluster says about its login.
    async fn login(&self, user: &str, groups: &str) -> Value {
        let mut granted = self.ask(user, groups).await;
        // A node that has just started, beside other servers that do, may answer too late. The
        // client is told to ask again.
        for _ in 0..3 {
            if granted.status != StatusCode::SERVICE_UNAVAILABLE {
                break;
            }
            granted = self.ask(user, groups).await;
        }
        assert_eq!(
            (granted.status, granted.text().as_str()),
            (StatusCode::OK, ""),
            "log:\n{}",
            self.elastauth.log()
        );
        let whoami = self
            .cluster
            .authenticate(granted.header("authorization").unwrap())
            .await;
        assert_eq!(whoami.status, StatusCode::OK, "{}", whoami.text());
        whoami.json()
    }

    async fn assert_refused(&self, user: &str) {
        let refused = self.ask(user, "readers").await;
        assert_eq!(
            refused.status,
            StatusCode::FORBIDDEN,
            "{user}: {}",
            refused.text()
        );
        assert!(refused.header("authorization").is_none(), "{user}");
    }
}

#[tokio::test]
async fn a_first_login_makes_a_user_that_works() {
    let setup = Setup::new("svc-first").await;
    let whoami = setup
        .login("first-alice", "readers, nobody-maps-this")
        .await;
    assert_eq!(whoami["username"], "first-alice");
    assert_eq!(whoami["roles"], json!(["viewer"]));
    assert_eq!(
        (&whoami["email"], &whoami["full_name"]),
        (&json!("x@example.org"), &json!("X Y"))
    );
    assert_eq!(whoami["authentication_realm"]["type"], "native");

    let nobody = setup.elastauth.server().get("/elastauth", &[]).await;
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
    assert!(nobody.header("authorization").is_none());
}

#[tokio::test]
async fn changed_groups_count_at_the_very_next_request() {
    let setup = Setup::new("svc-change").await;
    assert_eq!(
        setup.login("change-alice", "readers").await["roles"],
        json!(["viewer"])
    );
    assert_eq!(
        setup.login("change-alice", "editors").await["roles"],
        json!(["editor"])
    );
    assert_eq!(
        setup.login("change-alice", "readers").await["roles"],
        json!(["viewer"])
    );
    // No group that gives a role: not a login with fewer roles, but none.
    assert_eq!(
        setup.ask("change-alice", "unknown").await.status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn fifty_first_requests_at_once_are_fifty_working_logins() {
    let setup = Setup::new("svc-fifty").await;
    let logins = (0..50).map(|_| setup.login("fifty-alice", "readers"));
    for whoami in all_at_once(logins).await {
        assert_eq!(whoami["roles"], json!(["viewer"]));
    }
}

#[tokio::test]
async fn the_password_travels_as_a_hash() {
    let setup = Setup::new("svc-hash").await;
    setup.login("hash-alice", "readers").await;
    let document = setup.cluster.document("user-hash-alice").await;
    let stored = document["_source"]["password"].as_str().unwrap().to_owned();
    // The cluster's own hash would begin with `$2a$10$`.
    assert!(
        stored.starts_with("{PBKDF2}1000$"),
        "{}",
        stored.split('$').next().unwrap_or_default()
    );
}

#[tokio::test]
async fn a_replica_that_starts_later_needs_no_write() {
    let setup = Setup::new("svc-replica").await;
    setup.login("replica-alice", "readers").await;
    let before = setup.cluster.document("user-replica-alice").await["_version"].clone();
    let second = Setup::new("svc-replica").await;
    assert_eq!(
        second.login("replica-alice", "readers").await["username"],
        "replica-alice"
    );
    assert_eq!(
        setup.cluster.document("user-replica-alice").await["_version"],
        before
    );
}

#[tokio::test]
async fn a_disabled_user_is_refused_and_stays_disabled() {
    let setup = Setup::new("svc-disabled").await;
    setup.login("disabled-alice", "readers").await;
    setup.cluster.disable("disabled-alice").await;
    // Other groups make elastauth look at the user again; so does a start.
    let refused = setup.ask("disabled-alice", "editors").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
    Setup::new("svc-disabled")
        .await
        .assert_refused("disabled-alice")
        .await;
    let user = setup.cluster.user("disabled-alice").await.unwrap();
    assert_eq!(
        (&user["enabled"], &user["roles"]),
        (&json!(false), &json!(["viewer"]))
    );
}

#[tokio::test]
async fn what_an_administrator_does_to_a_user_is_put_right_after_a_recheck() {
    let setup = Setup::new("svc-meddle").await;
    assert_eq!(
        setup.login("meddle-alice", "readers").await["roles"],
        json!(["viewer"])
    );
    let before = setup.cluster.user("meddle-alice").await.unwrap();
    let other = json!({ "password": "another password", "roles": ["superuser"],
        "metadata": before["metadata"] });
    for what in [
        "re-roled and given another password",
        "given another password",
        "deleted",
    ] {
        match what {
            "deleted" => setup.cluster.delete("/_security/user/meddle-alice").await,
            "given another password" => {
                setup
                    .cluster
                    .put(
                        "/_security/user/meddle-alice/_password",
                        &json!({"password": "another one"}),
                    )
                    .await;
            }
            _ => drop(
                setup
                    .cluster
                    .put("/_security/user/meddle-alice", &other)
                    .await,
            ),
        }
        let path = "/elastauth/admin/users/meddle-alice/recheck";
        let done = setup
            .elastauth
            .server()
            .ask(http::Method::POST, path, &[], None)
            .await;
        assert_eq!(
            (done.status, &done.json()["known"]),
            (StatusCode::OK, &json!(true)),
            "{what}"
        );
        assert_eq!(
            setup.login("meddle-alice", "readers").await["roles"],
            json!(["viewer"]),
            "{what}"
        );
        assert_eq!(
            setup.cluster.user("meddle-alice").await.unwrap(),
            before,
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_revoked_login_and_the_api_keys_of_its_user_end_at_once() {
    let setup = Setup::new("svc-revoke").await;
    let login = async || {
        let granted = setup.ask("revoke-alice", "readers").await;
        granted.header("authorization").unwrap().to_owned()
    };
    let status = async |login: &str| setup.cluster.authenticate(login).await.status;
    let revoke = async |query: &str| {
        let path = format!("/elastauth/admin/users/revoke-alice/revoke{query}");
        let server = setup.elastauth.server();
        let answer = server.ask(http::Method::POST, &path, &[], None).await;
        (answer.status, answer.json()["clusters"][0].clone())
    };
    let old = login().await;
    let key = setup.cluster.api_key_of(&old).await;
    let (done, cluster) = revoke("").await;
    assert_eq!(
        (done, &cluster["generation"]),
        (StatusCode::OK, &json!(1)),
        "{cluster}"
    );
    assert_eq!(status(&old).await, StatusCode::UNAUTHORIZED);
    let new = login().await;
    assert_eq!(status(&new).await, StatusCode::OK);
    assert_eq!(
        status(&key).await,
        StatusCode::OK,
        "keys outlive the password"
    );

    // The account of the guides may not touch keys.
    let (done, cluster) = revoke("?api_keys=true").await;
    let why = cluster["api_keys"]["error"].to_string();
    assert_eq!(done, StatusCode::SERVICE_UNAVAILABLE, "{cluster}");
    assert!(
        why.contains("403") && why.contains("`manage_api_key`"),
        "{why}"
    );
    assert_eq!(status(&new).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&key).await, StatusCode::OK);
    setup.cluster.may_manage_api_keys("svc-revoke").await;
    let (done, cluster) = revoke("?api_keys=true").await;
    assert_eq!(
        (done, &cluster["api_keys"]),
        (StatusCode::OK, &json!({ "invalidated": 1, "failed": 0 })),
        "{cluster}"
    );
    assert_eq!(status(&key).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&login().await).await, StatusCode::OK);
}

/// So docs/METRICS.md says. If this fails, clocks can be compared with the cluster's own.
#[tokio::test]
async fn the_cluster_itself_says_nothing_of_its_clock() {
    let setup = Setup::new("svc-clock").await;
    let granted = setup.ask("clock-alice", "readers").await;
    let whoami = setup
        .cluster
        .authenticate(granted.header("authorization").unwrap())
        .await;
    assert_eq!(
        (whoami.status, whoami.header("date")),
        (StatusCode::OK, None)
    );
}

#[tokio::test]
async fn a_user_that_the_go_program_wrote_is_adopted() {
    let setup = Setup::new("svc-go").await;
    let old = json!({ "password": "drawn by the old program", "roles": ["superuser"],
        "email": null, "metadata": { "groups": ["readers"] } });
    setup.cluster.put("/_security/user/go-alice", &old).await;
    assert_eq!(
        setup.login("go-alice", "readers").await["roles"],
        json!(["viewer"])
    );
}

#[tokio::test]
async fn a_user_that_somebody_else_made_is_left_alone() {
    let setup = Setup::new("svc-foreign").await;
    let theirs = json!({ "password": "somebody else's", "roles": ["superuser"],
        "metadata": { "groups": ["readers"], "team": "ops" } });
    setup
        .cluster
        .put("/_security/user/foreign-alice", &theirs)
        .await;
    let before = setup.cluster.user("foreign-alice").await;
    setup.assert_refused("foreign-alice").await;
    assert_eq!(setup.cluster.user("foreign-alice").await, before);
    assert!(
        setup.elastauth.log().contains("adopt"),
        "the log says how to adopt it:\n{}",
        setup.elastauth.log()
    );
}

#[tokio::test]
async fn reserved_names_and_the_service_account_are_never_written() {
    let setup = Setup::new("svc-reserved").await;
    let before = setup.cluster.user("svc-reserved").await;
    for name in [
        "elastic",
        "kibana_system",
        "_bulk",
        "_password",
        "svc-reserved",
    ] {
        setup.assert_refused(name).await;
    }
    assert_eq!(setup.cluster.user("svc-reserved").await, before);
    assert_eq!(setup.cluster.user("_bulk").await, None);
}

#[tokio::test]
async fn odd_names_are_one_segment_of_the_path() {
    let setup = Setup::new("svc-odd").await;
    for (name, in_path) in [
        ("odd/a/b", "odd%2Fa%2Fb"),
        ("%2e%2e", "%252e%252e"),
        ("odd ? # % ; +", "odd%20%3F%20%23%20%25%20%3B%20%2B"),
    ] {
        assert_eq!(setup.login(name, "readers").await["username"], name);
        assert_eq!(setup.cluster.user(in_path).await.unwrap()["username"], name);
    }
}

#[tokio::test]
async fn an_api_key_with_the_least_rights_is_enough() {
    let cluster = Elasticsearch::shared().await;
    let key = cluster.api_key("elastauth").await;
    let setup = Setup::with_account(&format!("api_key: {key}")).await;
    assert_eq!(
        setup.login("key-alice", "readers").await["roles"],
        json!(["viewer"])
    );
    assert_eq!(
        setup
            .elastauth
            .server()
            .get("/elastauth/ready", &[])
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_wrong_service_password_is_our_fault_not_the_users() {
    let setup = Setup::with_account("username: svc-wrong\n  password: not-the-password").await;
    let answer = setup.ask("wrong-alice", "readers").await;
    assert_eq!(
        answer.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        answer.text()
    );
    assert!(answer.header("retry-after").is_some() && answer.header("authorization").is_none());
    let ready = setup.elastauth.server().get("/elastauth/ready", &[]).await;
    assert_eq!(
        (ready.status, ready.json()["status"].as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("NOT_READY"))
    );
    let log = setup.elastauth.log();
    assert!(
        log.contains("service account"),
        "the log names the account that was refused:\n{log}"
    );
    assert!(
        !log.contains("not-the-password") && !log.contains(SECRET_KEY),
        "no secret in the log"
    );
}

#[tokio::test]
async fn a_signal_ends_it_in_order() {
    let mut setup = Setup::new("svc-signal").await;
    setup.login("signal-alice", "readers").await;
    assert!(
        setup.elastauth.terminate().await.success(),
        "{}",
        setup.elastauth.log()
    );
}

/// With the least rights the cluster gives all users at once, with one more right in pages.
#[tokio::test]
async fn whoever_stays_away_is_parked_and_gets_in_again() {
    const MORE: &str = "enable_metrics: true\n\
                        credentials: {rotation: 8s, grace: 500ms, park_within: 2s}";
    // Users of the other tests are of another key, so they are left alone.
    let keys = [
        "a41c90e7d25b3f8862c7d9105ea3f46b9d18c2705be6439fa07d1c84e25b6f93",
        "e96b20d1f7a84c35908e6d1b42fa7c03d85e9174cb26a0f3561d8be94c07fa28",
    ];
    let cluster = Elasticsearch::shared().await;
    let paged = json!({ "cluster": ["cluster:admin/xpack/security/user/query"] });
    cluster.put("/_security/role/elastauth-pages", &paged).await;
    for (account, key) in ["svc-park-all", "svc-park-pages"].into_iter().zip(keys) {
        let password = cluster.service_account(account).await;
        if account == "svc-park-pages" {
            let roles = ["elastauth", "elastauth-pages"];
            let user = json!({ "password": password, "roles": roles });
            cluster
                .put(&format!("/_security/user/{account}"), &user)
                .await;
        }
        let setup = Setup::with(
            &format!("username: {account}\n  password: {password}"),
            MORE,
            &[("ELASTAUTH_SECRET_KEY", key)],
        )
        .await;
        let (user, disabled) = (format!("{account}-alice"), format!("{account}-bob"));
        // The first write makes the security index, which may take longer than an answer waits.
        let granted = async || {
            let answer = setup.ask(&user, "editors").await;
            answer.header("authorization").map(str::to_owned)
        };
        let login = find("a login", Duration::from_secs(40), granted).await;
        setup.login(&disabled, "readers").await;
        cluster.disable(&disabled).await;
        let parked = async || {
            let found = cluster.user(&user).await?;
            (found["metadata"]["elastauth"]["parked"] == true).then_some(found)
        };
        let found = find("alice is parked", Duration::from_secs(40), parked).await;
        assert_eq!(found["roles"], json!(["editor"]));
        assert_eq!(found["metadata"]["groups"], json!(["editors"]));
        // The node drops what it remembers of a login just after it has the new document.
        let refused = async || {
            let answer = cluster.authenticate(&login).await;
            (answer.status == StatusCode::UNAUTHORIZED).then_some(())
        };
        find("the login is dead", Duration::from_secs(10), refused).await;
        assert_eq!(
            setup.login(&user, "editors").await["roles"],
            json!(["editor"])
        );
        let disabled = cluster.user(&disabled).await.unwrap();
        assert_eq!(disabled["enabled"], false);
        assert_eq!(disabled["metadata"]["elastauth"]["parked"], Value::Null);
        let metrics = setup
            .elastauth
            .server()
            .get("/elastauth/metrics", &[])
            .await;
        let refused = "call=\"list_users\",status_class=\"4xx\"} 0";
        assert_eq!(
            metrics.text().contains(refused),
            account == "svc-park-pages",
            "{}",
            metrics.text()
        );
    }
}
