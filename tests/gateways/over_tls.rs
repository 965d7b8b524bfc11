//! A gateway that asks elastauth over TLS, with the lines that its guide has for that.

use crate::{
    gateway::{Form, GATEWAY_KEY, Gateway, Parties},
    stage::{SECRET_KEY, Stage},
    support::{elastauth::Elastauth, relay::Relay, tls::Authority},
};
use std::path::Path;

/// The lines of a guide that are indented as code, the first of them after `heading`.
///
/// # Panics
/// Where there are none.
pub(crate) fn lines(guide: &str, heading: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs/gateways")
        .join(guide);
    let text = std::fs::read_to_string(path).expect("a guide");
    let (_, rest) = text.split_once(heading).expect("the heading");
    let is_code = |line: &&str| line.starts_with("    ");
    let code = rest.lines().skip_while(|line| !is_code(line));
    let code: Vec<String> = code
        .take_while(is_code)
        .map(|line| line.chars().skip(4).collect())
        .collect();
    assert!(!code.is_empty(), "{guide} has no code after {heading}");
    code
}

/// With the right CA the request arrives with a login, and one connection or two carry all calls;
/// with another CA nothing arrives. `start` gets elastauth's port and the CA's certificate.
pub(crate) async fn holds(stage: &Stage, start: impl AsyncFn(Parties, String) -> Gateway) {
    assert_eq!(stage.form, Form::Authelia);
    let authority = Authority::new();
    let signed = authority.sign_for(&["elastauth", "localhost"]);
    let config = format!(
        "{}\ntls:\n  cert: /etc/elastauth/tls.crt\n  key: /etc/elastauth/tls.key\n",
        stage
            .config
            .replace(&stage.elastauth.port().to_string(), "0")
    );
    let files = [
        ("tls.crt", signed.certificate.as_str()),
        ("tls.key", &signed.key),
    ];
    let secrets = [
        ("GATEWAY_KEY", GATEWAY_KEY),
        ("SECRET_KEY", SECRET_KEY),
        ("ELASTICSEARCH_PASSWORD", stage.cluster.service_password()),
    ];
    let elastauth = Elastauth::start_anywhere_in(&config, &files, &secrets)
        .await
        .over_tls(authority.client());
    let relay = Relay::to(elastauth.port()).await;
    let parties = Parties {
        elastauth: relay.port,
        ..stage.parties()
    };

    let gateway = start(parties, authority.pem()).await;
    for _ in 0..40 {
        let answer = gateway.client.send(&stage.request_of("alice")).await;
        assert_eq!(answer.answer().status(), 200, "{}", gateway.process.log());
    }
    let opened = relay.connections();
    assert!(opened <= 4, "{opened} connections for 40 calls");

    let arrived = stage.arrived();
    let gateway = start(parties, Authority::new().pem()).await;
    let answer = gateway.client.send(&stage.request_of("alice")).await;
    let status = answer.answer().status();
    // Caddy says 502.
    assert!(status == 503 || status == 502, "{status}");
    assert_eq!(stage.arrived(), arrived);
}
