//! What a write does to a user, and to the next login.

use super::*;

#[tokio::test]
async fn a_write_is_the_whole_user() {
    let caller = Caller::new().await;
    let full = json!({
        "password": "long enough", "roles": ["viewer", "viewer"], "full_name": "Ada Lovelace", "email": "ada@example.org",
        "metadata": { "groups": ["analysts"], "deep": { "n": 12_345_678_901_234_567_890_u64 } }, "enabled": false,
    });
    assert_eq!(
        caller.put("ada", &full).await.body,
        json!({ "created": true })
    );
    let shown = &caller.get("/_security/user/ada").await.body["ada"];
    for field in ["roles", "full_name", "email", "metadata", "enabled"] {
        assert_eq!(shown[field], full[field]);
    }

    assert_eq!(
        caller
            .put("ada", &json!({ "password": "quite another", "roles": [] }))
            .await
            .body,
        json!({ "created": false })
    );
    let shown = &caller.get("/_security/user/ada").await.body["ada"];
    assert_eq!(
        *shown,
        json!({ "username": "ada", "roles": [], "full_name": null, "email": null, "metadata": {}, "enabled": true })
    );
    assert_eq!(
        caller.whoami(&basic("ada", "long enough")).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        caller.whoami(&basic("ada", "quite another")).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn without_a_password_the_old_one_and_the_metadata_stay() {
    let caller = Caller::new().await;
    caller.put("ada", &json!({ "password": "long enough", "roles": ["a"], "email": "a@b", "metadata": { "one": 1, "two": 2 } })).await;
    caller
        .put("ada", &json!({ "roles": ["b"], "metadata": { "two": 3 } }))
        .await;
    let received = caller.whoami(&basic("ada", "long enough")).await;
    assert_eq!(
        (&received.body["roles"], &received.body["email"]),
        (&json!(["b"]), &Value::Null)
    );
    assert_eq!(received.body["metadata"], json!({ "one": 1, "two": 3 }));
}

#[tokio::test]
async fn a_hash_is_really_verified() {
    let caller = Caller::new().await;
    for rounds in [1_000, 10_000] {
        caller
            .put(
                "ada",
                &json!({ "password_hash": hash_of("Ea1-derived", rounds), "roles": ["viewer"] }),
            )
            .await;
        // Twice: the second comes from the cache.
        for _ in 0..2 {
            let received = caller.whoami(&basic("ada", "Ea1-derived")).await;
            assert_eq!(
                (received.status, &received.body["username"]),
                (StatusCode::OK, &json!("ada"))
            );
            assert_eq!(
                received.body["authentication_realm"],
                json!({ "name": "default_native", "type": "native" })
            );
            assert_eq!(received.body["authentication_type"], "realm");
        }
        assert_eq!(
            caller.whoami(&basic("ada", "Ea1-derivee")).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    assert!(
        caller
            .standin
            .accepts(&basic("ada", "Ea1-derived").parse().unwrap())
    );
    assert!(
        !caller
            .standin
            .accepts(&basic("ada", "{PBKDF2}").parse().unwrap())
    );
}

#[tokio::test]
async fn of_a_clear_password_72_bytes_count() {
    let caller = Caller::new().await;
    let a72 = "a".repeat(72);
    caller
        .put(
            "ada",
            &json!({ "password": format!("{a72}XXXX"), "roles": [] }),
        )
        .await;
    assert_eq!(
        caller
            .whoami(&basic("ada", &format!("{a72}YYYY")))
            .await
            .status,
        StatusCode::OK
    );
    caller
        .put(
            "ada",
            &json!({ "password_hash": hash_of(&format!("{a72}XXXX"), 1_000), "roles": [] }),
        )
        .await;
    assert_eq!(
        caller
            .whoami(&basic("ada", &format!("{a72}YYYY")))
            .await
            .status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn absent_wrong_and_disabled_look_the_same() {
    let caller = Caller::new().await;
    let (path, service) = ("/_security/user/ada/_disable", caller.service());
    let unknown = caller
        .received(Method::PUT, path, &service, "")
        .await
        .unwrap();
    assert_eq!(
        (unknown.status, unknown.error_type()),
        (StatusCode::BAD_REQUEST, "validation_exception")
    );
    let absent = caller.whoami(&basic("ada", "long enough")).await;
    caller
        .put(
            "ada",
            &json!({ "password": "long enough", "roles": ["viewer"] }),
        )
        .await;
    let wrong = caller.whoami(&basic("ada", "long enougj")).await;
    assert_eq!(
        caller.whoami(&basic("ada", "long enough")).await.status,
        StatusCode::OK
    );
    for _ in 0..2 {
        assert_eq!(
            caller
                .received(Method::PUT, path, &service, "")
                .await
                .unwrap()
                .body,
            json!({})
        );
    }
    // At once, although the login was cached.
    let disabled = caller.whoami(&basic("ada", "long enough")).await;
    assert_eq!(
        (&absent.body, &wrong.body),
        (&disabled.body, &disabled.body)
    );
    assert_eq!(disabled.status, StatusCode::UNAUTHORIZED);
    caller
        .received(Method::POST, "/_security/user/ada/_enable", &service, "")
        .await
        .unwrap();
    assert_eq!(
        caller.whoami(&basic("ada", "long enough")).await.status,
        StatusCode::OK
    );
    let own = caller
        .received(
            Method::PUT,
            "/_security/user/elastauth/_disable",
            &service,
            "",
        )
        .await
        .unwrap();
    assert_eq!(own.error_type(), "illegal_argument_exception");
}

#[tokio::test]
async fn a_deleted_user_is_gone() {
    let caller = Caller::new().await;
    caller
        .put("ada", &json!({ "password": "long enough", "roles": [] }))
        .await;
    for (status, found) in [(StatusCode::OK, true), (StatusCode::NOT_FOUND, false)] {
        let received = caller
            .received(Method::DELETE, "/_security/user/ada", &caller.service(), "")
            .await
            .unwrap();
        assert_eq!(
            (received.status, received.body),
            (status, json!({ "found": found }))
        );
    }
    let received = caller.get("/_security/user/ada").await;
    assert_eq!(
        (received.status, received.body),
        (StatusCode::NOT_FOUND, json!({}))
    );
}

#[tokio::test]
async fn every_call_is_written_down_as_it_came() {
    let caller = Caller::new().await;
    let before = caller.standin.count();
    caller
        .put("a%2Fb", &json!({ "password": "long enough", "roles": [] }))
        .await;
    caller.whoami(&basic("a/b", "long enough")).await;
    caller.whoami("").await;
    let calls = caller.standin.calls_since(before);
    let lines: Vec<String> = calls.iter().map(RecordedCall::line).collect();
    assert_eq!(
        lines,
        [
            "PUT /_security/user/a%2Fb?refresh=false 200",
            "GET /_security/_authenticate 200",
            "GET /_security/_authenticate 401"
        ]
    );
    let by: Vec<&By> = calls.iter().map(|call| &call.by).collect();
    assert_eq!(
        by,
        [
            &By::ServiceAccount,
            &By::User("a/b".to_owned()),
            &By::Nobody
        ]
    );
    caller.standin.forget_calls();
    assert!(caller.standin.calls().is_empty());
    caller.whoami("").await;
    assert!(
        caller
            .standin
            .calls()
            .iter()
            .all(|call| call.status.is_some())
    );
}

#[tokio::test]
async fn two_nodes_are_one_cluster_and_fail_alone() {
    let caller = Caller::new().await;
    let second = caller.standin.start_node().await.unwrap();
    let other = Caller {
        standin: second,
        tasks: caller.tasks.clone(),
        client: caller.client.clone(),
    };
    caller
        .put("ada", &json!({ "password": "long enough", "roles": [] }))
        .await;
    assert_eq!(
        other.whoami(&basic("ada", "long enough")).await.status,
        StatusCode::OK
    );
    assert_eq!(other.standin.count(), 1);
    caller.standin.stop();
    assert!(
        caller
            .received(Method::GET, "/", &caller.service(), "")
            .await
            .is_none()
    );
    assert_eq!(other.get("/").await.status, StatusCode::OK);
}
