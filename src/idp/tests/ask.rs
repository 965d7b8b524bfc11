//! Questions about tokens, and how the client authenticates.

use super::*;

#[tokio::test]
async fn configured_addresses_win_and_need_no_discovery() {
    let key = Signer::new("a", "ES256");
    let other = FakeIdp::start(key_set(&[&key])).await;
    let jwks = IdpEndpoint::parse(&format!("{}/keys", other.issuer())).unwrap();
    let stage = Stage::with(&[], |config| config.endpoints.jwks = Some(jwks)).await;
    assert_eq!(stage.knows("a").await, Ok(true));
    assert_eq!(
        (
            stage.fake.count("/keys"),
            stage.fake.count("/.well-known/openid-configuration"),
            other.count("/keys")
        ),
        (0, 0, 1)
    );
}

#[tokio::test]
async fn introspection_authenticates_the_client_and_accepts_only_active_true() {
    let stage = Stage::with(&[], |config| {
        config
            .http
            .headers
            .insert("x-tenant", HeaderValue::from_static("blue"));
    })
    .await;
    for (answer, verdict) in [
        (Manner::json(r#"{"active":true,"sub":"1"}"#), Ok(true)),
        (Manner::json(r#"{"active":false}"#), Ok(false)),
        (Manner::json(r#"{"active":"true"}"#), Ok(false)),
        (Manner::json("{}"), Ok(false)),
        (
            Manner::with("400 Bad", "", r#"{"error":"invalid_request"}"#),
            Ok(false),
        ),
        (
            Manner::with("400 Bad", "", r#"{"error":"unsupported_token_type"}"#),
            Ok(false),
        ),
        (
            Manner::with("400 Bad", "", r#"{"error":"invalid_client"}"#),
            Err(IdpError::OurClient(EndpointKind::Introspection)),
        ),
        // oidc-provider, when what it knows of the client is wrong.
        (
            Manner::with("400 Bad", "", r#"{"error":"invalid_client_metadata"}"#),
            Err(IdpError::OurClient(EndpointKind::Introspection)),
        ),
        (
            Manner::status("401 No"),
            Err(IdpError::OurClient(EndpointKind::Introspection)),
        ),
        (
            Manner::status("403 No"),
            Err(IdpError::OurClient(EndpointKind::Introspection)),
        ),
        (
            Manner::status("500 Oops"),
            Err(IdpError::Status(
                EndpointKind::Introspection,
                StatusCode::INTERNAL_SERVER_ERROR,
            )),
        ),
        (
            Manner::json("[]"),
            Err(IdpError::Claims(
                EndpointKind::Introspection,
                InvalidJson::NotAnObject,
            )),
        ),
        (
            Manner::json(r#"{"active":true,"active":false}"#),
            Err(IdpError::Claims(
                EndpointKind::Introspection,
                InvalidJson::Duplicate,
            )),
        ),
        (
            Manner::with(
                "200 OK",
                "Content-Type: application/token-introspection+jwt\r\n",
                "e30",
            ),
            Err(IdpError::Signed(EndpointKind::Introspection)),
        ),
    ] {
        stage.fake.on("/introspect", answer);
        let said = stage
            .idp
            .introspect("to+ken")
            .await
            .map(|verdict| matches!(verdict, Verdict::Claims(_)));
        assert_eq!(said, verdict);
    }
    let asked = stage.fake.last("/introspect");
    // elastauth:s%3A3cret%26
    assert!(
        asked.contains("Basic ZWxhc3RhdXRoOnMlM0EzY3JldCUyNg=="),
        "{asked}"
    );
    assert!(
        asked.ends_with("\r\n\r\ntoken=to%2Bken&token_type_hint=access_token")
            && asked.contains("x-tenant: blue"),
        "{asked}"
    );
}

#[tokio::test]
async fn each_client_authentication_follows_the_standard() {
    let key = rcgen::KeyPair::generate().unwrap();
    let signing = SigningKey::parse_pem(key.serialize_pem().as_bytes(), Some("mine")).unwrap();
    for (auth, form) in [
        (
            ClientAuth::SecretPost("s&".to_owned().into()),
            "&client_id=elastauth&client_secret=s%26",
        ),
        (ClientAuth::NameOnly, "&client_id=elastauth"),
        (
            ClientAuth::PrivateKeyJwt(signing),
            "&client_id=elastauth&client_assertion_type=\
             urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=",
        ),
    ] {
        let stage = Stage::with(&[], |config| config.client_auth = auth).await;
        stage
            .fake
            .on("/introspect", Manner::json(r#"{"active":true}"#));
        assert!(stage.idp.introspect("t").await.is_ok());
        let asked = stage.fake.last("/introspect");
        let (head, body) = asked.split_once("\r\n\r\n").unwrap();
        assert!(
            !head.to_ascii_lowercase().contains("authorization:"),
            "{head}"
        );
        let rest = body
            .strip_prefix("token=t&token_type_hint=access_token")
            .and_then(|rest| rest.strip_prefix(form))
            .unwrap();
        if let Some(assertion) = Some(rest).filter(|rest| !rest.is_empty()) {
            let jws = Jws::parse(assertion).unwrap();
            assert_eq!(
                (jws.algorithm(), jws.kid()),
                (Algorithm::Es256, Some("mine"))
            );
            assert_eq!(jws.unproven()["aud"], stage.fake.issuer());
            let public = key.public_key_raw();
            let jwk = serde_json::json!({"kty": "EC", "crv": "P-256",
                "x": signer::b64(&public[1..33]), "y": signer::b64(&public[33..])});
            assert!(
                jws.verified([&PublicKey::parse(&jwk, Algorithm::Rs256).unwrap()])
                    .is_ok()
            );
        }
    }
}

#[tokio::test]
async fn a_new_client_secret_and_new_headers_are_used_from_the_next_call_on() {
    let stage = Stage::with(&[], |config| {
        config.client_auth = ClientAuth::SecretPost("old".to_owned().into());
    })
    .await;
    stage
        .fake
        .on("/introspect", Manner::json(r#"{"active":true}"#));
    assert!(stage.idp.introspect("t").await.is_ok());
    assert!(
        stage
            .fake
            .last("/introspect")
            .ends_with("client_secret=old")
    );
    let mut config = Config::new(
        stage.idp.issuer().clone(),
        "elastauth",
        ClientAuth::SecretPost("new".to_owned().into()),
    );
    config
        .http
        .headers
        .insert("x-tenant", HeaderValue::from_static("blue"));
    stage.idp.replace(Idp::access(&config).unwrap());
    assert!(stage.idp.introspect("t").await.is_ok());
    let asked = stage.fake.last("/introspect");
    assert!(
        asked.ends_with("client_secret=new") && asked.contains("x-tenant: blue"),
        "{asked}"
    );
}

#[test]
fn debug_output_has_no_secret() {
    let issuer: SocketAddr = ([127, 0, 0, 1], 1).into();
    let config = Config::new(
        Issuer::parse(&format!("http://{issuer}")).unwrap(),
        "elastauth",
        ClientAuth::SecretPost("hunter2".to_owned().into()),
    );
    let idp = Idp::new(
        config.clone(),
        &Arc::from("main"),
        Clock::System,
        Tasks::default(),
        &Telemetry::default(),
    );
    assert!(!format!("{config:?} {idp:?}").contains("hunter2"));
}
