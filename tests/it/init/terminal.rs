//! The questions, on a pseudo terminal.

use super::desk::Desk;
use crate::support::process::command;
use std::process::Stdio;
use tokio::io::AsyncWriteExt as _;

/// `elastauth init` on a terminal, at which somebody types this and leaves.
async fn typed(desk: &Desk, text: &str) -> (Option<i32>, String) {
    let program = format!("'{}' init made", env!("CARGO_BIN_EXE_elastauth"));
    let mut script = tokio::process::Command::from(command("script"));
    let mut child = script
        .current_dir(desk.home.path())
        .args(["--quiet", "--return", "--command", &program, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = child.stdin.take().unwrap();
    keys.write_all(text.as_bytes()).await.unwrap();
    drop(keys);
    let output = child.wait_with_output().await.unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).replace('\r', ""),
    )
}

#[tokio::test]
async fn on_a_terminal_it_asks_and_asks_again_where_an_answer_is_wrong() {
    let desk = Desk::new();
    let answers = [
        "apache",
        "haproxy",
        "binary",
        "",
        "https://es.corp.test",
        "es.corp.test",
        "",
        "kb.corp.test",
        "",
        "",
        "",
        "https://u:MARKED@es:9200",
        "http://127.0.0.1:19200",
        "solr",
        "",
        "many",
        "1",
    ];
    let (code, said) = typed(&desk, &(answers.join("\n") + "\n")).await;
    assert_eq!(code, Some(0), "{said}");
    for words in [
        "Gateway (traefik, caddy, nginx, haproxy, envoy) [traefik]: ",
        "it must be traefik or caddy",
        "an answer is needed",
        "a host name has no scheme",
        "Host name of Kibana [kibana.corp.test]: ",
        "Host name of Authelia's sign-in page [auth.corp.test]: ",
        "Where Authelia listens [127.0.0.1:9091]: ",
        "keys of their own",
        "What the cluster is (elasticsearch, opensearch) [elasticsearch]: ",
        "it must be elasticsearch or opensearch",
        "it must be a number",
        "0 fault(s), 0 warning(s)",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    let config = desk.read("made/gateway/haproxy.cfg");
    assert!(config.contains("kb.corp.test") && config.contains("auth.corp.test"));
    desk.holds("made").await;
}

#[tokio::test]
async fn the_end_of_the_input_among_the_questions_writes_nothing() {
    let desk = Desk::new();
    let (code, said) = typed(&desk, "caddy\nbinary\n").await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("ended before the last one; nothing is written"),
        "{said}"
    );
    assert!(desk.entries("").is_empty());
}
