//! Which bodies, names and callers are refused, and in which words.

use super::*;

#[tokio::test]
async fn each_bad_body_has_its_own_error_type() {
    let caller = Caller::new().await;
    let with = |field: &str, value: Value| {
        let mut body = json!({ "password": "long enough", "roles": [] });
        body[field] = value;
        body.to_string()
    };
    for (body, error_type, reason) in [
        (
            with("password", json!("short")),
            "validation_exception",
            "at least [6] characters",
        ),
        (
            with("password", json!("")),
            "validation_exception",
            "at least [6] characters",
        ),
        (with("password", Value::Null), "parse_exception", "password"),
        (
            with("password_hash", json!("clear text")),
            "illegal_argument_exception",
            "known hash algorithm",
        ),
        (
            with(
                "password_hash",
                json!("{PBKDF2}10$c2FsdHNhbHQ=$a2V5a2V5a2V5a2V5a2V5aw=="),
            ),
            "illegal_argument_exception",
            "",
        ),
        (
            with("password_hash", json!("{SSHA256}abc")),
            "illegal_argument_exception",
            "",
        ),
        (
            with("password_hash", json!(hash_of("x", 1_000))),
            "validation_exception",
            "already been set",
        ),
        (with("roles", Value::Null), "parse_exception", "roles"),
        (with("roles", json!([1])), "parse_exception", "roles"),
        (
            with("roles", json!([""])),
            "action_request_validation_exception",
            "Role names",
        ),
        (
            with("roles", json!(["vi\u{e9}wer"])),
            "action_request_validation_exception",
            "Role names",
        ),
        (with("metadata", Value::Null), "parse_exception", "metadata"),
        (
            with("metadata", json!("text")),
            "parse_exception",
            "metadata",
        ),
        (
            with("metadata", json!({ "_x": 1 })),
            "action_request_validation_exception",
            "may not start with [_]",
        ),
        (with("enabled", json!("true")), "parse_exception", "enabled"),
        (with("full_name", json!(7)), "parse_exception", "full_name"),
        (
            with("foo", json!(1)),
            "parse_exception",
            "unexpected field [foo]",
        ),
        (
            with("username", json!("bob")),
            "illegal_argument_exception",
            "does not match",
        ),
        (
            json!({ "password": "long enough" }).to_string(),
            "action_request_validation_exception",
            "1: roles are missing;",
        ),
        (
            json!({ "roles": [] }).to_string(),
            "validation_exception",
            "password must be specified",
        ),
        (json!([1]).to_string(), "parse_exception", ""),
        (String::new(), "parse_exception", "request body is required"),
        (
            r#"{"password":"secret!","roles":["#.to_owned(),
            "x_content_e_o_f_exception",
            "secret!",
        ),
        (
            r#"{"password":"secret!","roles":[],"roles":[]}"#.to_owned(),
            "x_content_parse_exception",
            "secret!",
        ),
        (
            r#"{"password":"secret!" "roles":[]}"#.to_owned(),
            "x_content_parse_exception",
            "secret!",
        ),
    ] {
        let received = caller.put_text("ada", &body).await;
        assert_eq!(
            (received.status, received.error_type()),
            (StatusCode::BAD_REQUEST, error_type),
            "{body}"
        );
        assert!(
            received.reason().contains(reason),
            "{body}: {}",
            received.reason()
        );
        assert_eq!(received.body["error"]["root_cause"][0]["type"], error_type);
        assert_eq!(received.body["status"], 400);
        assert_eq!(received.headers["x-elastic-product"], "Elasticsearch");
    }
    assert!(caller.standin.user("ada").is_none());
}

#[tokio::test]
async fn several_faults_are_numbered() {
    let received = Caller::new()
        .await
        .put(
            "ada",
            &json!({ "password": "long enough", "metadata": { "_x": 1 } }),
        )
        .await;
    assert_eq!(
        received.reason(),
        "Validation Failed: 1: roles are missing; 2: metadata keys may not start with [_];"
    );
}

#[tokio::test]
async fn lenient_where_a_real_cluster_is() {
    let caller = Caller::new().await;
    for body in [
        r#"{"password":"long enough","roles":"viewer"}"#,
        r#"{"password":"long enough","roles":["no such role"]} trailing garbage"#,
        r#"{"password":"long enough","roles":[],"username":"ada","email":null,"metadata":{"a":{"_nested":[null]}}}"#,
    ] {
        assert_eq!(
            caller.put_text("ada", body).await.status,
            StatusCode::OK,
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_name_is_checked_and_decoded_as_one_segment() {
    let caller = Caller::new().await;
    let body = json!({ "password": "long enough", "roles": [] });
    for (segment, name) in [
        ("a%2Fb", "a/b"),
        ("a%20b", "a b"),
        ("a+b", "a+b"),
        ("a%2Bb", "a+b"),
        ("%252e", "%2e"),
        ("%2E%2E", ".."),
        ("_xpack", "_xpack"),
    ] {
        assert_eq!(
            caller.put(segment, &body).await.status,
            StatusCode::OK,
            "{segment}"
        );
        assert!(caller.standin.user(name).is_some(), "{segment}");
        assert_eq!(
            caller.get(&format!("/_security/user/{segment}")).await.body[name]["username"],
            name
        );
    }
    let long = "x".repeat(508);
    for segment in [
        "%20ada",
        "ada%20",
        "a%09b",
        "zo%C3%AB",
        "%7F",
        "%00",
        &long,
        "elastic",
        "kibana_system",
        "apm_system",
    ] {
        let received = caller.put(segment, &body).await;
        assert_eq!(
            (received.status, received.error_type()),
            (
                StatusCode::BAD_REQUEST,
                "action_request_validation_exception"
            ),
            "{segment}"
        );
    }
    assert_eq!(
        caller.put(&"x".repeat(507), &body).await.status,
        StatusCode::OK
    );
    assert_eq!(
        caller.put("a%zz", &body).await.error_type(),
        "illegal_argument_exception"
    );
}

#[tokio::test]
async fn a_name_with_a_comma_is_never_found_again() {
    let caller = Caller::new().await;
    let body = json!({ "password": "long enough", "roles": [] });
    for segment in ["a%2Cb", "ada", "grace"] {
        assert_eq!(caller.put(segment, &body).await.status, StatusCode::OK);
    }
    for path in ["/_security/user/a,b", "/_security/user/a%2Cb"] {
        let received = caller.get(path).await;
        assert_eq!(
            (received.status, received.body),
            (StatusCode::NOT_FOUND, json!({}))
        );
    }
    let both = caller.get("/_security/user/ada,grace,nobody").await;
    assert_eq!(
        (both.status, both.body.as_object().unwrap().len()),
        (StatusCode::OK, 2)
    );
}

#[tokio::test]
async fn a_user_named_like_a_route_changes_the_callers_own_password() {
    let caller = Caller::new().await;
    let received = caller
        .put_text("_password", r#"{"password":"taken over"}"#)
        .await;
    assert_eq!(received.status, StatusCode::OK);
    assert_eq!(
        caller.whoami(&caller.service()).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_login_is_read_as_basic_with_one_colon_that_counts() {
    let caller = Caller::new().await;
    let password = caller.standin.service_password().to_owned();
    let raw = |text: &str| format!("bAsIc {}", STANDARD.encode(text));
    for (authorization, status, reason) in [
        (raw(&format!("elastauth:{password}")), 200, ""),
        (format!("ApiKey {}", caller.standin.api_key()), 200, ""),
        (
            raw(&format!("elastauth:{password}x")),
            401,
            "unable to authenticate user [elastauth]",
        ),
        (raw("nobody:x"), 401, "unable to authenticate user [nobody]"),
        (
            raw("no colon"),
            401,
            "invalid basic authentication header value",
        ),
        (
            "Basic ???".to_owned(),
            401,
            "invalid basic authentication header encoding",
        ),
        (
            "Bearer abc".to_owned(),
            401,
            "missing authentication credentials",
        ),
        (String::new(), 401, "missing authentication credentials"),
    ] {
        let received = caller.whoami(&authorization).await;
        assert_eq!(received.status.as_u16(), status, "{reason}");
        assert!(received.reason().contains(reason), "{}", received.reason());
        if status == 401 {
            assert_eq!(
                received.headers.get_all("www-authenticate").iter().count(),
                2
            );
            assert_eq!(received.error_type(), "security_exception");
            assert!(!received.headers.contains_key("x-elastic-product"));
        }
    }
}

#[tokio::test]
async fn only_the_service_account_may_touch_users() {
    let caller = Caller::new().await;
    caller
        .put(
            "ada",
            &json!({ "password": "long enough", "roles": ["viewer"] }),
        )
        .await;
    let ada = basic("ada", "long enough");
    for (method, path, body) in [
        (Method::GET, "/_security/user/ada", ""),
        (
            Method::PUT,
            "/_security/user/bob",
            r#"{"password":"long enough","roles":[]}"#,
        ),
        (Method::PUT, "/_security/user/ada/_disable", ""),
        (Method::DELETE, "/_security/user/ada", ""),
        (Method::GET, "/", ""),
    ] {
        let received = caller.received(method, path, &ada, body).await.unwrap();
        assert_eq!(
            (received.status, received.error_type()),
            (StatusCode::FORBIDDEN, "security_exception"),
            "{path}"
        );
    }
    assert_eq!(
        caller
            .received(Method::GET, "/_search", &ada, "")
            .await
            .unwrap()
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn what_the_rest_layer_refuses_has_a_plain_string() {
    let caller = Caller::new().await;
    let received = caller
        .received(
            Method::PATCH,
            "/_security/user/ada",
            &caller.service(),
            "{}",
        )
        .await
        .unwrap();
    assert_eq!(received.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(received.body["error"].is_string());
    assert_eq!(
        caller.get("/_nothing/here").await.status,
        StatusCode::BAD_REQUEST
    );
    for query in ["bogus=1", "refresh=bogus"] {
        let path = format!("/_security/user/ada?{query}");
        let received = caller
            .received(Method::PUT, &path, &caller.service(), "{}")
            .await
            .unwrap();
        assert_eq!(
            (received.status, received.error_type()),
            (StatusCode::BAD_REQUEST, "illegal_argument_exception")
        );
    }
}
