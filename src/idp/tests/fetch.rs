//! Keys and the description: when they are fetched, and what happens while they cannot be.

use super::*;

#[tokio::test]
async fn keys_are_fetched_when_first_needed_and_then_known() {
    let key = Signer::new("a", "ES256");
    let stage = Stage::new(&[&key]).await;
    assert_eq!(
        stage.fake.count("/keys"),
        0,
        "nothing is asked before it is needed"
    );
    for _ in 0..3 {
        assert_eq!(stage.knows("a").await, Ok(true));
    }
    assert_eq!(
        (
            stage.fake.count("/keys"),
            stage.fake.count("/.well-known/openid-configuration")
        ),
        (1, 1)
    );
    let asked = stage.fake.last("/keys").to_ascii_lowercase();
    assert!(
        asked.contains("accept-encoding: identity") && !asked.contains("authorization"),
        "{asked}"
    );
}

#[tokio::test]
async fn metrics_have_the_time_of_the_last_successful_fetch_of_keys() {
    let key = Signer::new("a", "ES256");
    let stage = Stage::new(&[&key]).await;
    let metrics = &stage.metrics;
    let series = "elastauth_jwks_fetched_timestamp_seconds{provider=\"main\"}";
    assert!(
        !metrics.expose().contains(series),
        "before the first token there are no keys"
    );
    assert_eq!(stage.knows("a").await, Ok(true));
    assert!(
        metrics.expose().contains(&format!("{series} 1800000000\n")),
        "{}",
        metrics.expose()
    );
    stage.fake.on("/keys", Manner::HangUp);
    stage.pass(Duration::from_mins(10));
    assert!(stage.knows("b").await.is_err());
    assert!(
        metrics.expose().contains(&format!("{series} 1800000000\n")),
        "{}",
        metrics.expose()
    );
}

#[tokio::test]
async fn fifty_requests_with_the_same_new_key_are_one_fetch() {
    let key = Signer::new("a", "ES256");
    let stage = Arc::new(Stage::new(&[&key]).await);
    let asks = (0..50).map(|_| {
        let stage = Arc::clone(&stage);
        #[expect(clippy::disallowed_methods, reason = "joined below")]
        tokio::spawn(async move { stage.knows("a").await })
    });
    for ask in asks.collect::<Vec<_>>() {
        assert_eq!(ask.await.unwrap(), Ok(true));
    }
    assert_eq!(stage.fake.count("/keys"), 1);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_is_three_fetches_and_a_new_key_works_after_a_cool_down() {
    let (old, new) = (Signer::new("old", "ES256"), Signer::new("new", "ES256"));
    let stage = Stage::new(&[&old]).await;
    assert_eq!(stage.knows("old").await, Ok(true));
    let too_soon = Err(IdpError::TooSoon(EndpointKind::Keys));
    for i in 0..200 {
        // What cannot be looked up yet is not refused.
        let expected = if i < 2 { Ok(false) } else { too_soon.clone() };
        assert_eq!(stage.knows(&format!("made-up-{i}")).await, expected);
    }
    assert_eq!(stage.fake.count("/keys"), 3);
    assert_eq!(stage.knows("old").await, Ok(true));

    stage.fake.on("/keys", Manner::json(key_set(&[&old, &new])));
    assert_eq!(stage.knows("new").await, too_soon, "still cooling down");
    stage.pass(Duration::from_secs(5));
    assert_eq!(stage.knows("new").await, Ok(true));
    assert_eq!(stage.fake.count("/keys"), 4);
}

#[tokio::test]
async fn a_new_key_is_found_at_once_without_a_flood() {
    let (old, new) = (Signer::new("old", "ES256"), Signer::new("new", "ES256"));
    let stage = Stage::new(&[&old]).await;
    assert_eq!(stage.knows("old").await, Ok(true));
    stage.pass(Duration::from_mins(1));
    stage.fake.on("/keys", Manner::json(key_set(&[&new])));
    assert_eq!(stage.knows("new").await, Ok(true));
    assert_eq!(
        stage.idp.withdrawals(),
        1,
        "the old key is gone, so the tokens that it verified are judged again"
    );
}

#[tokio::test]
async fn a_new_key_is_found_at_once_after_another_fetch() {
    let (old, new) = (Signer::new("old", "ES256"), Signer::new("new", "ES256"));
    let stage = Stage::new(&[&old]).await;
    assert_eq!(stage.knows("old").await, Ok(true));
    stage.fake.on("/keys", Manner::json(key_set(&[&new])));
    assert_eq!(stage.knows("new").await, Ok(true));
}

#[tokio::test]
async fn a_key_that_was_changed_under_its_name_is_fetched_within_the_same_bounds() {
    let (one, other) = (Signer::new("a", "ES256"), Signer::new("a", "ES256"));
    let stage = Stage::new(&[&one]).await;
    let old = stage.idp.keys(Some("a"), Algorithm::Es256).await.unwrap();
    stage.fake.on("/keys", Manner::json(key_set(&[&other])));
    let new = stage.idp.newer_keys(&old).await.unwrap();
    let key = new.candidates(Some("a"), Algorithm::Es256).next().unwrap();
    assert!(key.verifies(b"m", &other.sign(b"m")));
    // A request that still has the older set needs no fetch.
    assert!(stage.idp.newer_keys(&old).await.is_some());
    assert_eq!(stage.fake.count("/keys"), 2);
    let mut last = new;
    for _ in 0..50 {
        last = stage.idp.newer_keys(&last).await.unwrap_or(last);
    }
    assert_eq!(stage.fake.count("/keys"), 3);
}

#[tokio::test]
async fn a_redirect_of_description_or_keys_is_followed() {
    let key = Signer::new("a", "ES256");
    let stage = Stage::new(&[&key]).await;
    let described = "/.well-known/openid-configuration";
    let moved = |status: &str, to: &str| Manner::with(status, &format!("Location: {to}\r\n"), "");
    let document = serde_json::json!({
        "issuer": stage.fake.issuer(), "jwks_uri": format!("{}/keys", stage.fake.issuer()),
    });
    stage.fake.on("/here", Manner::json(document));
    stage
        .fake
        .on(described, moved("301 Moved Permanently", "/here"));
    stage
        .fake
        .on("/keys", moved("307 Temporary Redirect", "one"));
    stage
        .fake
        .on("/one", moved("308 Permanent Redirect", "/two"));
    stage
        .fake
        .on("/two", moved("301 Moved Permanently", "three"));
    stage.fake.on("/three", Manner::json(key_set(&[&key])));
    assert_eq!(stage.knows("a").await, Ok(true));
}

#[tokio::test]
async fn redirects_that_go_on_are_given_up() {
    let key = Signer::new("a", "ES256");
    let stage = Stage::new(&[&key]).await;
    let circle = Manner::with("308 Permanent Redirect", "Location: /keys\r\n", "");
    stage.fake.on("/keys", circle);
    let refused = IdpError::Redirect(EndpointKind::Keys, StatusCode::PERMANENT_REDIRECT);
    assert_eq!(stage.knows("a").await, Err(refused));
    assert_eq!(stage.fake.count("/keys"), 4);
}

#[tokio::test]
async fn known_keys_are_used_while_the_provider_is_away_and_fetched_again_afterwards() {
    let (old, new) = (Signer::new("old", "ES256"), Signer::new("new", "ES256"));
    let stage = Stage::new(&[&old]).await;
    assert_eq!(stage.knows("old").await, Ok(true));
    stage.fake.on("/keys", Manner::status("500 Oops"));
    stage.pass(Duration::from_hours(3));
    assert_eq!(stage.knows("old").await, Ok(true));
    stage.pass(Duration::from_secs(40));
    assert_eq!(
        stage.knows("new").await,
        Err(IdpError::Status(
            EndpointKind::Keys,
            StatusCode::INTERNAL_SERVER_ERROR
        )),
        "it may have this key by now, so the token is not refused"
    );
    let asked = stage.fake.count("/keys");
    for _ in 0..50 {
        assert!(stage.knows("new").await.is_err());
        assert_eq!(stage.knows("old").await, Ok(true));
    }
    assert_eq!(
        stage.fake.count("/keys"),
        asked,
        "a provider in trouble is left alone for a while"
    );

    stage.fake.on("/keys", Manner::json(key_set(&[&old, &new])));
    stage.pass(Duration::from_secs(40));
    assert_eq!(stage.knows("new").await, Ok(true));
    assert_eq!(stage.idp.withdrawals(), 0);
}

#[tokio::test]
async fn aged_keys_are_used_while_they_are_fetched_again() {
    let key = Signer::new("a", "ES256");
    let stage = Stage::new(&[&key]).await;
    assert_eq!(stage.knows("a").await, Ok(true));
    stage.pass(Duration::from_mins(8));
    assert_eq!(
        (stage.knows("a").await, stage.fake.count("/keys")),
        (Ok(true), 1),
        "ten minutes less a tenth are not over"
    );
    stage.fake.on("/keys", Manner::Hang);
    stage.pass(Duration::from_mins(4));
    assert_eq!(stage.knows("a").await, Ok(true), "nobody waits for it");
    stage.until_fetched(2).await;
}

#[tokio::test]
async fn after_a_clock_was_set_back_keys_are_fetched_again() {
    let key = Signer::new("a", "ES256");
    let stage = Stage::new(&[&key]).await;
    assert_eq!(stage.knows("a").await, Ok(true));
    stage.idp.keep_fresh();
    assert_eq!(stage.fake.count("/keys"), 1);
    stage.set_back(Duration::from_hours(2));
    // Also if all tokens are remembered ones.
    stage.idp.keep_fresh();
    stage.until_fetched(2).await;
    assert_eq!(stage.knows("a").await, Ok(true));
}

#[tokio::test]
async fn a_wait_after_a_failure_ends_when_the_clock_is_set_back() {
    let key = Signer::new("a", "ES256");
    let stage = Stage::new(&[&key]).await;
    stage.fake.on("/keys", Manner::HangUp);
    assert!(stage.knows("a").await.is_err());
    stage.fake.on("/keys", Manner::json(key_set(&[&key])));
    assert!(stage.knows("a").await.is_err());
    stage.set_back(Duration::from_hours(2));
    assert_eq!(stage.knows("a").await, Ok(true));
}

#[tokio::test]
async fn max_age_decides_when_keys_are_fetched_again_within_bounds() {
    let key = Signer::new("a", "ES256");
    for (header, fresh, aged) in [
        ("max-age=1200", 17, 23),
        ("public, max-age=999999", 53, 67),
        ("no-store", 0, 2),
        ("max-age=0", 0, 2),
    ] {
        let stage = Stage::new(&[&key]).await;
        stage.fake.on(
            "/keys",
            Manner::with(
                "200 OK",
                &format!("Cache-Control: {header}\r\n"),
                &key_set(&[&key]),
            ),
        );
        assert_eq!(stage.knows("a").await, Ok(true));
        stage.pass(Duration::from_mins(fresh));
        assert_eq!(
            (stage.knows("a").await, stage.fake.count("/keys")),
            (Ok(true), 1),
            "{header}"
        );
        stage.pass(Duration::from_mins(aged - fresh));
        assert_eq!(stage.knows("a").await, Ok(true));
        stage.until_fetched(2).await;
    }
}

#[tokio::test]
async fn a_provider_that_is_away_at_first_is_tried_again_after_waits() {
    let key = Signer::new("a", "ES256");
    let stage = Stage::new(&[&key]).await;
    stage
        .fake
        .on("/.well-known/openid-configuration", Manner::HangUp);
    for _ in 0..20 {
        assert!(matches!(
            stage.knows("a").await,
            Err(IdpError::Call(EndpointKind::Discovery, _))
        ));
    }
    assert!(
        stage.fake.count("/.well-known/openid-configuration") <= 2,
        "a second try comes from the client where a connection was kept"
    );
    let issuer = stage.fake.issuer();
    stage.fake.on(
        "/.well-known/openid-configuration",
        Manner::json(serde_json::json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")})),
    );
    stage.pass(Duration::from_secs(2));
    assert_eq!(stage.knows("a").await, Ok(true));
}

type Check = &'static dyn Fn(&IdpError) -> bool;

#[tokio::test]
async fn a_wrong_or_oversized_answer_gives_no_keys() {
    let key = Signer::new("a", "ES256");
    let keys = key_set(&[&key]);
    let redirect = "Location: http://127.0.0.1:1/keys\r\n";
    let cases: [(&str, Manner, Check); 9] = [
        (
            "/.well-known/openid-configuration",
            Manner::json(r#"{"issuer":"https://other.test","jwks_uri":"https://other.test/k"}"#),
            &|e| matches!(e, IdpError::Discovery(InvalidDiscovery::Issuer(_))),
        ),
        (
            "/.well-known/openid-configuration",
            Manner::with("302 Found", redirect, ""),
            &|e| *e == IdpError::Status(EndpointKind::Discovery, StatusCode::FOUND),
        ),
        (
            "/.well-known/openid-configuration",
            Manner::json("<html>"),
            &|e| *e == IdpError::Discovery(InvalidDiscovery::Shape),
        ),
        ("/keys", Manner::Endless, &|e| {
            *e == IdpError::Call(EndpointKind::Keys, HttpError::TooBig)
        }),
        (
            "/keys",
            Manner::with("200 OK", "Content-Encoding: gzip\r\n", &keys),
            &|e| *e == IdpError::Call(EndpointKind::Keys, HttpError::Encoded),
        ),
        ("/keys", Manner::with("302 Found", redirect, ""), &|e| {
            *e == IdpError::Status(EndpointKind::Keys, StatusCode::FOUND)
        }),
        ("/keys", Manner::status("503 Later"), &|e| {
            *e == IdpError::Status(EndpointKind::Keys, StatusCode::SERVICE_UNAVAILABLE)
        }),
        ("/keys", Manner::json(r#"{"keys":[]}"#), &|e| {
            *e == IdpError::Keys(InvalidKeySet::NoKey)
        }),
        ("/keys", Manner::json("[".repeat(100_000)), &|e| {
            *e == IdpError::Keys(InvalidKeySet::Shape)
        }),
    ];
    for (path, manner, expected) in cases {
        let stage = Stage::new(&[&key]).await;
        let shown = format!("{manner:?}").chars().take(60).collect::<String>();
        stage.fake.on(path, manner);
        let error = stage.knows("a").await.unwrap_err();
        assert!(expected(&error), "{shown}: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_or_is_slow_is_not_waited_for_long() {
    let key = Signer::new("a", "ES256");
    for manner in [Manner::Hang, Manner::Drip] {
        let stage = Stage::new(&[&key]).await;
        stage.fake.on("/keys", manner.clone());
        stage.fake.on("/userinfo", manner);
        let began = tokio::time::Instant::now();
        assert!(stage.knows("a").await.is_err());
        assert!(stage.idp.userinfo("opaque").await.is_err());
        assert!(began.elapsed() <= PATIENCE * 2, "{:?}", began.elapsed());
    }
}
