//! Which peers are gateways, and what the program says where nothing shows it.

mod certificates;
mod listeners;
mod proxy_protocol;
mod setup;

use crate::support::{elastauth::Elastauth, stage::SECRET_KEY};
use std::process::Output;
use tempfile::TempDir;
use tokio::process::Command;

/// An address of documentation, which no machine has: the program starts, warns, and cannot bind.
const ELSEWHERE: &str = "192.0.2.77:5000";

fn configuration(more: &str) -> String {
    format!(
        "secret_key: {SECRET_KEY}\ndefault_roles: [viewer]\n\
         elasticsearch: {{hosts: [\"http://127.0.0.1:1\"], username: elastauth, password: p}}\n\
         {more}"
    )
}

async fn run(home: &TempDir, arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_elastauth"));
    program.env_clear().current_dir(home.path()).args(arguments);
    program.output().await.unwrap()
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

#[tokio::test]
async fn a_listener_without_a_barrier_starts_with_a_warning_and_strict_makes_it_a_fault() {
    let open = "every host in a private network";
    for (more, is_open) in [
        ("", true),
        ("trusted_proxies: [10.0.0.7]\n", false),
        ("gateway_keys: [0123456789abcdef]\n", false),
    ] {
        let file = configuration(&format!("listen: {ELSEWHERE}\n{more}"));
        let home = Elastauth::folder(&file, &[]);
        let check = run(&home, &["check"]).await;
        assert!(check.status.success(), "{}", text(&check));
        assert_eq!(text(&check).contains(open), is_open, "{}", text(&check));
        let strict = run(&home, &["check", "--strict", "--json"]).await;
        let report: serde_json::Value = serde_json::from_slice(&strict.stdout).unwrap();
        assert_eq!(report["ok"], strict.status.success(), "{report}");
        assert_eq!(report["warnings"].to_string().contains(open), is_open);
        let start = text(&run(&home, &[]).await);
        assert_eq!(start.contains(open), is_open, "{start}");
        assert!(start.contains("cannot listen"), "{start}");
    }
    // Nothing but this warning: `--strict` is about it alone.
    let file = configuration(&format!("listen: {ELSEWHERE}\n"));
    let file = file.replace("http://127.0.0.1:1", "https://127.0.0.1:1");
    for (more, ok) in [("", false), ("trusted_proxies: [10.0.0.7]\n", true)] {
        let home = Elastauth::folder(&format!("{file}{more}"), &[]);
        let strict = run(&home, &["check", "--strict"]).await;
        assert_eq!(strict.status.success(), ok, "{}", text(&strict));
    }
    // What only this machine reaches needs no barrier.
    let home = Elastauth::folder(&configuration("listen: 127.0.0.1:0\n"), &[]);
    let check = run(&home, &["check"]).await;
    assert!(!text(&check).contains(open), "{}", text(&check));
}
