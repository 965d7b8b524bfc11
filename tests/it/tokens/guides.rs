//! The guides of docs/oidc, taken at their word: the program is started with the configuration of
//! each and shown its token.

use crate::support::{
    elastauth::Elastauth,
    idp::{Idp, now},
};
use elastauth::internals::{demo::standin::StandIn, shutdown::Tasks};
use serde_json::{Value, json};
use std::{collections::HashMap, path::Path};

const GUIDES: [&str; 8] = [
    "auth0",
    "authelia",
    "authentik",
    "dex",
    "entra",
    "google",
    "keycloak",
    "okta",
];

/// The text of a fenced block that begins so, and what stands behind the fence's first word.
fn block<'a>(guide: &'a str, fence: &str, beginning: &str) -> (&'a str, &'a str) {
    let found = guide.split("\n```").find_map(|part| {
        let (first, text) = part.split_once('\n')?;
        Some((first.strip_prefix(fence)?, text)).filter(|(_, text)| text.starts_with(beginning))
    });
    found.unwrap_or_else(|| panic!("no block of {fence} that begins with {beginning}"))
}

#[tokio::test]
async fn each_guides_configuration_takes_the_guides_token_and_no_other() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/oidc");
    assert_eq!(
        std::fs::read_dir(&folder).unwrap().count(),
        GUIDES.len(),
        "each guide is tried"
    );
    for name in GUIDES {
        let guide = std::fs::read_to_string(folder.join(format!("{name}.md"))).unwrap();
        let (_, config) = block(&guide, "yaml", "# elastauth: config.yml");
        let (info, token) = block(&guide, "json", "{");
        let info: HashMap<&str, &str> = info
            .split_whitespace()
            .map(|part| part.split_once('=').unwrap())
            .collect();
        let mut claims: Value = serde_json::from_str(token).unwrap();
        let (idp, tasks) = (Idp::start().await, Tasks::default());
        let cluster = StandIn::start(&tasks).await.unwrap();
        let issuer = claims["iss"].as_str().unwrap();
        assert!(
            config.contains(&format!("  issuer: {issuer}\n")),
            "{name}: the issuer is written as tokens have it"
        );
        let config = config
            .replace(issuer, &idp.issuer)
            // The test's provider has one key, on a curve.
            .replace("algorithms: [RS256]", "algorithms: [ES256]")
            .replace("0.0.0.0:5000", "127.0.0.1:0")
            .replace("192.0.2.20/32", "127.0.0.1/32")
            .replace(
                "https://elasticsearch:9200",
                cluster.url().trim_end_matches('/'),
            )
            .replace("${GATEWAY_KEY}", "a-key-of-the-test")
            .replace(
                "${SECRET_KEY}",
                "c1f9a67d30b84e52976efab0451d8c23e7b04c9f6a1852d3b9ce70f8146da25b",
            )
            .replace("${ELASTICSEARCH_PASSWORD}", cluster.service_password());
        let elastauth = Elastauth::start_anywhere(&config, &[]).await;
        claims["iss"] = json!(idp.issuer);
        claims["iat"] = json!(now());
        claims["exp"] = json!(now() + 300);
        let ask = async |claims: &Value| {
            let token = idp.sign(info["typ"], claims);
            let (header, value) = match info["as"] {
                "bearer" => ("authorization", format!("Bearer {token}")),
                cookie => ("cookie", format!("{cookie}={token}")),
            };
            elastauth
                .server()
                .get(
                    "/elastauth",
                    &[("x-elastauth-key", "a-key-of-the-test"), (header, &value)],
                )
                .await
                .status
        };
        assert_eq!(ask(&claims).await, 200, "{name}: {}", elastauth.log());
        let user = cluster
            .user(info["user"])
            .unwrap_or_else(|| panic!("{name}: no user {}", info["user"]));
        assert_eq!(user.roles.join(","), info["roles"], "{name}");
        assert_eq!(user.full_name.as_deref(), claims["name"].as_str(), "{name}");
        let mut others = claims.clone();
        others["aud"] = json!("another");
        assert_eq!(ask(&others).await, 401, "{name}: another audience");
        let mut others = claims.clone();
        others["azp"] = json!("another");
        assert_eq!(ask(&others).await, 401, "{name}: issued to somebody else");
    }
}
