//! Answers and folders that are refused: nothing is written, and all that is wrong is said.

use super::desk::{AUTHELIA, Desk};
use crate::support::process::command;
use std::fs;

#[tokio::test]
async fn nothing_is_overwritten_and_a_failure_leaves_nothing() {
    let desk = Desk::new();
    let flags = [&["--gateway", "nginx"], &AUTHELIA[..]].concat();
    let with = |folder| [&[folder][..], &flags].concat();

    fs::create_dir(desk.path("full")).unwrap();
    fs::write(desk.path("full/notes.txt"), "mine").unwrap();
    desk.refused(&with("full"), 1, &["notes.txt", "nothing is overwritten"])
        .await;
    assert_eq!(desk.read("full/notes.txt"), "mine");
    desk.refused(&with("full/notes.txt"), 1, &["is there already"])
        .await;
    std::os::unix::fs::symlink("elsewhere", desk.path("link")).unwrap();
    desk.refused(&with("link"), 1, &["is there already"]).await;
    desk.refused(
        &with("a/b/c"),
        1,
        &["there is no folder", "a/b; make it first"],
    )
    .await;
    desk.refused(&with("."), 1, &["the folder you are in"])
        .await;
    desk.refused(&with("we$ird"), 1, &["choose another folder"])
        .await;
    // Nobody may make a folder there, root neither.
    desk.refused(
        &with("/sys/elastauth-setup"),
        1,
        &["cannot be made", "nothing is written"],
    )
    .await;

    fs::create_dir(desk.path("empty")).unwrap();
    desk.made(&with("empty")).await;
    desk.refused(&with("empty"), 1, &["config.yml"]).await;
}

/// A file may have 4 KiB: there is no room for the larger ones.
#[tokio::test]
async fn a_disk_that_is_full_leaves_nothing() {
    let desk = Desk::new();
    let mut program = tokio::process::Command::from(command("sh"));
    let output = program
        .current_dir(desk.home.path())
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 8; exec \"$0\" init made --gateway traefik \"$@\"",
        ])
        .arg(env!("CARGO_BIN_EXE_elastauth"))
        .args(AUTHELIA)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("dynamic.yml cannot be written: File too large"),
        "{said}"
    );
    assert!(desk.entries("").is_empty(), "{:?}", desk.entries(""));
}

#[tokio::test]
async fn what_is_wrong_or_missing_is_said_at_once() {
    let desk = Desk::new();
    // Nobody can be asked here.
    desk.refused(
        &["made"],
        2,
        &[
            "missing: --gateway, --run, --host, --provider, --cluster",
            "no terminal",
        ],
    )
    .await;
    desk.refused(&["made", "--yes"], 2, &["missing: --host"])
        .await;
    desk.refused(
        &["made", "--gateway", "apache"],
        2,
        &["apache", "traefik", "envoy"],
    )
    .await;
    let oidc = [
        "made",
        "--gateway",
        "envoy",
        "--run",
        "binary",
        "--provider",
        "oidc",
    ];
    let cluster = [
        "--host",
        "es.corp.test",
        "--cluster",
        "https://es.corp.test:9200",
    ];
    desk.refused(
        &[&oidc[..], &cluster].concat(),
        2,
        &["missing: --issuer, --client-id"],
    )
    .await;
    let issuer = |issuer| {
        [
            &oidc[..],
            &cluster,
            &["--client-id", "a", "--issuer", issuer],
        ]
        .concat()
    };
    desk.refused(
        &issuer("http://sso.corp.test"),
        2,
        &["`--issuer`", "https://"],
    )
    .await;
    desk.refused(
        &[
            &issuer("https://sso.corp.test")[..],
            &["--kibana-host", "kb.corp.test"],
        ]
        .concat(),
        2,
        &["`--kibana-host` is for `--provider authelia`"],
    )
    .await;
    for (host, word) in [
        ("https://es.corp.test", "scheme"),
        ("es.corp.test/app", "path"),
        ("bücher.corp.test", "xn--"),
        ("es corp", "no host name"),
        ("es.corp.test:443", "port"),
        ("kb.corp.test", "has this name already"),
    ] {
        let mut flags = AUTHELIA;
        flags[5] = host;
        let arguments = [&["made", "--gateway", "traefik"], &flags[..]].concat();
        desk.refused(&arguments, 2, &["host`", word]).await;
    }
    desk.refused(
        &["made", "--config", "config.yml"],
        2,
        &["leave out `--config`"],
    )
    .await;
    // All at once.
    let mut flags = AUTHELIA;
    (flags[5], flags[11]) = ("a/b", "https://elastic:MARKED@es:9200");
    let said = desk
        .refused(
            &[
                &["made", "--gateway", "traefik", "--replicas", "2"],
                &flags[..],
            ]
            .concat(),
            2,
            &[
                "`--host`",
                "`--cluster`",
                "keys of their own",
                "missing: --redis",
            ],
        )
        .await;
    assert!(!said.contains("MARKED"), "{said}");
    for (more, word) in [
        (&["--replicas", "0"][..], "from 1 to"),
        (&["--issuer", "https://a"], "is for `--provider oidc`"),
        (
            &["--redis", "redis://:MARKED@redis:6379"],
            "its password does not belong",
        ),
        (&["--redis", "redis;6379:x"], "rediss://"),
        (&["--cluster-ca", "/dev/null"], "has no certificate"),
        (&["--gateway-address", "0.0.0.0/0"], "--elastauth"),
        (
            &["--gateway-address", "0.0.0.0/0", "--elastauth", "a:1"],
            "every address",
        ),
        (&["--kibana", "http://kibana:5601"], "without a scheme"),
    ] {
        let arguments = [&["made", "--gateway", "traefik"], &AUTHELIA[..], more].concat();
        let said = desk.refused(&arguments, 2, &[word]).await;
        assert!(!said.contains("MARKED"), "{said}");
    }
    for (gateway, run) in [("caddy", "kubernetes"), ("envoy", "kubernetes")] {
        let mut flags = AUTHELIA;
        flags[1] = run;
        let arguments = [&["made", "--gateway", gateway], &flags[..]].concat();
        desk.refused(&arguments, 2, &["traefik alone"]).await;
    }
}
