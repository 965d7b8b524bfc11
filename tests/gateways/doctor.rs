//! `elastauth doctor` through real gateways: it finds nothing in the files of the guides, and each
//! mistake in them with the line to change.

use crate::{
    caddy::CADDY,
    envoy::ENVOY,
    gateway::{ELASTICSEARCH, Form, Gateway, Parties, Program},
    haproxy::{HAPROXY_2_6, HAPROXY_2_8},
    nginx::{NGINX, NGINX_1_22},
    stage::Stage,
    support::{
        authelia::Authelia,
        free_port,
        guide::{Mistake, with_mistakes},
        process::command,
    },
    traefik::TRAEFIK,
};
use serde_json::Value;
use std::process::Output;

/// What the doctor has said.
#[derive(Debug)]
struct Said {
    code: i32,
    report: Value,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        let report = serde_json::from_str(&text);
        let told = String::from_utf8_lossy(&output.stderr);
        Self {
            code: output.status.code().expect("an exit code"),
            report: report.unwrap_or_else(|fault| panic!("{fault}: {text}{told}")),
        }
    }

    /// The checks with this result, each with what to change.
    fn with(&self, result: &str) -> Vec<(String, String)> {
        let checks = self.report["checks"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let checks = checks.iter().filter(|check| check["result"] == result);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let checks = checks.map(|check| (text(&check["check"]), text(&check["change"])));
        checks.collect()
    }

    fn assert_finds(&self, name: &str, change: &str, what: &str) {
        let findings = self.with("finding");
        let is_it = |(found, line): &(String, String)| found == name && line.contains(change);
        assert!(
            self.code == 1 && findings.iter().any(is_it),
            "{what}: no {name} with {change:?} in {:#}",
            self.report
        );
    }

    fn assert_is_clean(&self, what: &str) {
        assert!(
            self.code == 0 && self.report["ok"] == true && self.with("finding").is_empty(),
            "{what}: {:#}",
            self.report
        );
    }
}

async fn doctor(gateway: &Gateway, arguments: &[&str]) -> Said {
    let mut doctor = command(env!("CARGO_BIN_EXE_elastauth"));
    doctor
        .args(["doctor", "--json", "--gateway"])
        .arg(format!("https://{ELASTICSEARCH}/"))
        .args(["--connect", &format!("127.0.0.1:{}", gateway.client.port())])
        .arg("--ca-cert")
        .arg(gateway.home.path().join("ca.crt"))
        .args(arguments);
    let output = tokio::process::Command::from(doctor).output().await;
    Said::of(&output.expect("the doctor"))
}

/// The doctor is elastauth and the applications behind this gateway.
async fn listening(program: &Program, form: Form, mistakes: &[Mistake]) -> Said {
    with_mistakes(mistakes);
    let authelia = Authelia::start().await;
    let port = free_port();
    let parties = Parties {
        authelia: authelia.port,
        elastauth: port,
        elasticsearch: port,
        kibana: port,
        wiki: port,
    };
    let gateway = (program.start)(form, parties).await;
    let listen = format!("127.0.0.1:{port}");
    let session = if form == Form::Tokens {
        [
            "--header".to_owned(),
            "Authorization: Bearer of.the.user".to_owned(),
        ]
    } else {
        [
            "--cookie".to_owned(),
            authelia.sign_in("alice", "search-readers"),
        ]
    };
    let arguments = [
        "--kind",
        program.folder,
        "--listen",
        &listen,
        &session[0],
        &session[1],
    ];
    doctor(&gateway, &arguments).await
}

/// The doctor is a client in front of a gateway with elastauth.
async fn asking(program: &Program, mistakes: &[Mistake]) -> Said {
    with_mistakes(mistakes);
    let stage = Stage::new(program, Form::Authelia).await;
    let cookie = stage.authelia.sign_in("alice", "search-readers");
    let elastauth = format!("http://127.0.0.1:{}", stage.elastauth.port());
    let before = stage.cluster.user("_elastauth-doctor");
    let mut arguments = vec!["--elastauth", &elastauth, "--cookie", &cookie];
    if program.folder == "traefik" || program.folder == "haproxy" {
        arguments.extend(["--kind", program.folder]);
    }
    let said = doctor(&stage.gateway, &arguments).await;
    // Nothing was written but the signed-in user.
    assert!(before.is_none() && stage.cluster.user("_elastauth-doctor").is_none());
    let written: Vec<String> = (stage.cluster.calls().iter())
        .filter(|call| call.method == "PUT")
        .map(|call| call.path.clone())
        .collect();
    let is_alices = |path: &String| path.starts_with("/_security/user/alice?");
    assert!(
        written.len() <= 1 && written.iter().all(is_alices),
        "{written:?}"
    );
    said
}

macro_rules! doctor_tests {
    ($name:ident, $program:expr) => {
        mod $name {
            use super::*;

            #[tokio::test]
            async fn the_guides_files_have_no_findings() {
                for form in [Form::Authelia, Form::Tokens] {
                    let said = listening(&$program, form, &[]).await;
                    said.assert_is_clean("as elastauth and the applications");
                }
                let said = asking(&$program, &[]).await;
                said.assert_is_clean("as a client");
                assert_eq!(said.report["kind"], $program.folder, "{:#}", said.report);
            }
        }
    };
}

doctor_tests!(traefik, TRAEFIK);
doctor_tests!(caddy, CADDY);
doctor_tests!(nginx_1_22, NGINX_1_22);
doctor_tests!(nginx, NGINX);
doctor_tests!(haproxy_2_6, HAPROXY_2_6);
doctor_tests!(haproxy_2_8, HAPROXY_2_8);
doctor_tests!(envoy, ENVOY);

/// Each mistake, the check that finds it, and a part of the line to change.
async fn finds(program: &Program, rows: &[(&[Mistake], &str, &str)]) {
    for (mistakes, check, change) in rows {
        let said = listening(program, Form::Authelia, mistakes).await;
        said.assert_finds(check, change, &format!("{mistakes:?}"));
    }
}

#[tokio::test]
async fn mistakes_in_traefiks_files_are_found() {
    const DYNAMIC: &str = "traefik/dynamic.yml";
    const NO_CLEAN: Mistake = (DYNAMIC, "[clean, authelia,", "[authelia,");
    const ONLY_USER: Mistake = (
        DYNAMIC,
        "[Remote-User, Remote-Groups, Remote-Email, Remote-Name]",
        "[Remote-User]",
    );
    finds(
        &TRAEFIK,
        &[
            (&[NO_CLEAN], "run_as", "`clean`"),
            (
                &[NO_CLEAN, ONLY_USER],
                "groups_header",
                "`authResponseHeaders` of the first check",
            ),
            (
                &[(
                    DYNAMIC,
                    "authResponseHeaders: [Authorization]",
                    "authResponseHeaders: [X-A]",
                )],
                "client_authorization",
                "`authResponseHeaders: [Authorization]`",
            ),
            (
                &[(DYNAMIC, "          - X-Elastauth-Key\n", "")],
                "gateway_key",
                "authRequestHeaders",
            ),
            (
                &[(DYNAMIC, ", elastauth, forget]", ", elastauth]")],
                "gateway_key",
                "a last middleware",
            ),
            (
                &[(
                    DYNAMIC,
                    "[clean, authelia, gateway-key, elastauth, forget]",
                    "[authelia]",
                )],
                "closed",
                "let the gateway ask elastauth",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_elastauth_that_believes_the_client_shows_in_the_answers() {
    let chain = "[clean, authelia, gateway-key, elastauth, forget]";
    let alone: Mistake = (
        "traefik/dynamic.yml",
        chain,
        "[gateway-key, elastauth, forget]",
    );
    with_mistakes(&[alone]);
    let stage = Stage::new(&TRAEFIK, Form::Authelia).await;
    let said = doctor(&stage.gateway, &["--kind", "traefik"]).await;
    said.assert_finds(
        "user_header",
        "`customRequestHeaders` (`clean`)",
        "no first check",
    );
    let calls = stage.cluster.calls();
    assert!(
        calls.iter().all(|call| call.method == "GET"),
        "nothing is written: {calls:?}"
    );
}

#[tokio::test]
async fn mistakes_in_caddys_files_are_found() {
    const SHARED: &str = "caddy/elastauth.caddy";
    finds(
        &CADDY,
        &[
            (
                &[(SHARED, "request_header @no_websocket -Connection", "")],
                "connection_header",
                "`request_header @plain -Connection`",
            ),
            (
                &[
                    (SHARED, "\troute {", "\thandle {"),
                    (SHARED, "\t\timport authelia\n", ""),
                ],
                "user_header",
                "inside `route { }`",
            ),
            (
                &[(SHARED, "request_header -Es-Security-*", "")],
                "run_as",
                "inside `route { }`",
            ),
            (
                &[(SHARED, "header_up X-Elastauth-Key {env.GATEWAY_KEY}", "")],
                "gateway_key",
                "`header_up X-Elastauth-Key",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn mistakes_in_nginxs_files_are_found() {
    const APPLICATION: &str = "nginx/elastauth/application.conf";
    const PROTECTED: &str = "nginx/elastauth/protected.conf";
    finds(
        &NGINX,
        &[
            (
                &[(PROTECTED, "proxy_set_header Authorization $login;", "")],
                "client_authorization",
                "`proxy_set_header Authorization $es_authorization;`",
            ),
            (
                &[(PROTECTED, "    proxy_set_header Remote-User \"\";\n", "")],
                "other_spellings",
                "`proxy_set_header Remote-User \"\";`",
            ),
            (
                &[(
                    APPLICATION,
                    "proxy_set_header Es-Security-Runas-User \"\";",
                    "",
                )],
                "run_as",
                "in the location of the application",
            ),
            (
                &[(
                    "nginx/elastauth/two-checks.conf",
                    "proxy_set_header X-Elastauth-Key $http_x_elastauth_key;",
                    "",
                )],
                "gateway_key",
                "in the location that asks elastauth",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn mistakes_in_haproxys_and_envoys_files_are_found() {
    const HAPROXY: &str = "haproxy/haproxy.cfg";
    const ENVOYS: &str = "envoy/envoy.yaml";
    finds(
        &HAPROXY_2_8,
        &[
            (
                &[(
                    HAPROXY,
                    "(es-security-runas-user|es-secondary-authorization)",
                    "(x-none)",
                )],
                "run_as",
                "`http-request del-header`",
            ),
            (
                &[(
                    HAPROXY,
                    "http-request set-header X-Elastauth-Key \"${GATEWAY_KEY}\"",
                    "",
                )],
                "gateway_key",
                "`http-request set-header X-Elastauth-Key`",
            ),
        ],
    )
    .await;
    finds(
        &ENVOY,
        &[
            (
                &[(
                    ENVOYS,
                    "- remove: es-security-runas-user\n",
                    "- remove: x-none\n",
                )],
                "run_as",
                "`remove: es-security-runas-user`",
            ),
            (
                // Each of them alone keeps the application closed.
                &[
                    (
                        ENVOYS,
                        "failure_mode_allow: false",
                        "failure_mode_allow: true",
                    ),
                    (ENVOYS, "action: ALLOW", "action: LOG"),
                ],
                "fails_closed",
                "`failure_mode_allow: false`",
            ),
        ],
    )
    .await;
}
