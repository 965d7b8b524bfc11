//! Configurations in which nothing says for which of two clusters a request would be, or whose
//! users are written: neither a check nor a start takes them.

use crate::support::{elastauth::private, process::command, stage::SECRET_KEY};

const ONE: &str = "{hosts: [\"http://127.0.0.1:9201\"], username: a, password: b, match: {hosts: \
                   [one.example.com]}}";
const TWO: &str = "{hosts: [\"http://127.0.0.1:9202\"], username: a, password: b, match: {hosts: \
                   [two.example.com]}}";

#[tokio::test]
async fn sections_that_could_be_taken_for_each_other_end_a_check_and_a_start() {
    let home = tempfile::tempdir().expect("a folder");
    let config = home.path().join("config.yml");
    let (same_host, same_node) = (
        TWO.replace("two.example.com", "ONE.example.com."),
        TWO.replace("9202", "9201"),
    );
    let tenants = |name: &str, port: u16| {
        let own = TWO.replace("two.example.com", &format!("\"{{{name}}}.example.com\""));
        own.replace("9202", &port.to_string())
    };
    for (first, second, sections, words) in [
        (
            "one",
            "One",
            [ONE.to_owned(), TWO.to_owned()],
            "differ in the case of letters only",
        ),
        ("one", "two", [ONE.to_owned(), same_host], "are both for"),
        (
            "one",
            "two",
            [ONE.to_owned(), same_node],
            "both have the node",
        ),
        (
            "one",
            "two",
            [tenants("a", 9203), tenants("b", 9204)],
            "are both for",
        ),
        (
            "one",
            "default",
            [ONE.to_owned(), TWO.to_owned()],
            "has the name of the cluster of",
        ),
        (
            "one",
            "two words",
            [ONE.to_owned(), TWO.to_owned()],
            "is no name for a cluster",
        ),
    ] {
        let [one, two] = sections;
        let text = format!(
            "listen: 127.0.0.1:0\nsecret_key: {SECRET_KEY}\ndefault_roles: [viewer]\n\
             elasticsearch: {{hosts: [\"http://127.0.0.1:9200\"], username: a, password: b, match: \
             {{hosts: [es.example.com]}}}}\nclusters:\n  {first}: {one}\n  {second}: {two}\n"
        );
        std::fs::write(&config, text).expect("the configuration");
        private(&config);
        for subcommand in ["check", "serve"] {
            let mut program =
                tokio::process::Command::from(command(env!("CARGO_BIN_EXE_elastauth")));
            program.arg(subcommand).arg("--config").arg(&config);
            let output = program.output().await.expect("elastauth");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{second}: {said}");
            assert!(said.contains(words), "{second}, {subcommand}: {said}");
        }
    }
}
