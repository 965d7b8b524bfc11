//! `elastauth doctor` without a gateway that has to be fetched: elastauth's own port, and what it
//! says when nothing can be said. tests/gateways has the real gateways.

use super::tokens::setup::Setup;
use crate::support::{ports::Closed, process::command, stage::Stage};
use elastauth::internals::demo::standin::RecordedCall;
use serde_json::Value;
use std::process::Output;

async fn doctor(arguments: &[&str]) -> Output {
    let mut doctor = command(env!("CARGO_BIN_EXE_elastauth"));
    doctor.arg("doctor").args(arguments);
    let doctor = tokio::process::Command::from(doctor).output().await;
    doctor.expect("the doctor")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn elastauths_own_port_refuses_who_shows_no_key_and_believes_others_without_one() {
    let stage = Stage::usual().await;
    let url = format!("http://127.0.0.1:{}/", stage.elastauth.port());
    let said = doctor(&["--gateway", &url, "--elastauth", &url]).await;
    let report = text(&said.stdout);
    assert_eq!(
        said.status.code(),
        Some(1),
        "{report}{}",
        text(&said.stderr)
    );
    assert!(
        report.contains("finding: elastauth says that the gateway shows no key")
            && report.contains("ok: elastauth's own port refuses whoever shows no key"),
        "{report}"
    );

    // Without keys elastauth itself is a gateway that cleans nothing.
    let setup = Setup::new().await;
    let url = format!(
        "http://127.0.0.1:{}/",
        setup.elastauth.server().address().port()
    );
    let said = doctor(&["--gateway", &url, "--elastauth", &url, "--json"]).await;
    let report: Value = serde_json::from_slice(&said.stdout).expect("JSON");
    let findings = report["checks"].as_array().expect("checks").iter();
    let findings: Vec<&str> = findings
        .filter(|check| check["result"] == "finding")
        .filter_map(|check| check["check"].as_str())
        .collect();
    assert_eq!(
        findings,
        ["user_header", "user_header", "elastauth_port"],
        "{report:#}"
    );
    assert_eq!(said.status.code(), Some(1));
    // Whatever was believed, nothing was written.
    let calls = setup.cluster.calls();
    let written: Vec<String> = calls
        .iter()
        .filter(|call| call.method != "GET")
        .map(RecordedCall::line)
        .collect();
    assert!(written.is_empty(), "{written:?}");
}

#[tokio::test]
async fn what_cannot_be_asked_is_said_and_has_its_own_exit_code() {
    let nobody = Closed::new();
    for (arguments, why) in [
        (&["--gateway", &nobody.url()][..], "no connection"),
        (
            &["--gateway", "ftp://a/"],
            "must begin with http:// or https://",
        ),
        (
            &["--gateway", "http://a/", "--header", "no colon"],
            "must be `Name: value`",
        ),
        (
            &["--gateway", "http://a/", "--cookie", "@/nowhere"],
            "/nowhere",
        ),
        (
            &["--gateway", "http://a/", "--listen", "9100"],
            "an address and a port",
        ),
    ] {
        let said = doctor(arguments).await;
        assert_eq!(said.status.code(), Some(2), "{arguments:?}");
        assert!(
            text(&said.stderr).contains(why),
            "{arguments:?}: {}",
            text(&said.stderr)
        );
        let json = doctor(&[arguments, &["--json"]].concat()).await;
        let report: Value = serde_json::from_slice(&json.stdout).expect("JSON");
        assert!(
            report["error"]
                .as_str()
                .is_some_and(|error| error.contains(why)),
            "{report}"
        );
    }
    // An unknown option is clap's own.
    assert_eq!(doctor(&["--gateway"]).await.status.code(), Some(2));
}
