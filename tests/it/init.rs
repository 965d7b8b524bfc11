//! `elastauth init`, as people run it.

use crate::support::process::command;
use elastauth::internals::{demo::standin::StandIn, shutdown::Tasks};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const GATEWAYS: [&str; 5] = ["traefik", "caddy", "nginx", "haproxy", "envoy"];

/// What is given where a test is about something else.
const AUTHELIA: [&str; 12] = [
    "--run",
    "binary",
    "--provider",
    "authelia",
    "--host",
    "es.corp.test",
    "--kibana-host",
    "kb.corp.test",
    "--auth-host",
    "login.corp.test",
    "--cluster",
    "http://127.0.0.1:19200",
];
const TOKENS: [&str; 10] = [
    "--provider",
    "oidc",
    "--issuer",
    "https://sso.corp.test/realms/main",
    "--client-id",
    "search",
    "--host",
    "es.corp.test",
    "--cluster",
    "http://127.0.0.1:19200",
];

struct Desk {
    home: TempDir,
}

impl Desk {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { home }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
    }

    /// Everything in the folder, hidden files as well.
    fn entries(&self, name: &str) -> BTreeSet<String> {
        fs::read_dir(self.path(name))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    async fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut program = tokio::process::Command::from(command(env!("CARGO_BIN_EXE_elastauth")));
        program
            .current_dir(self.home.path())
            .args(arguments)
            .envs(environment.iter().copied());
        program.output().await.unwrap()
    }

    async fn init(&self, arguments: &[&str]) -> Output {
        self.run(&[&["init"], arguments].concat(), &[]).await
    }

    /// It has to work.
    async fn made(&self, arguments: &[&str]) -> String {
        let output = self.init(arguments).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        said
    }

    /// It has to fail with this exit code, to write nothing, and to say all of these.
    async fn refused(&self, arguments: &[&str], code: i32, words: &[&str]) -> String {
        let before = self.entries("");
        let output = self.init(arguments).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{arguments:?}: no {word:?} in {said}");
        }
        assert_eq!(self.entries(""), before, "{arguments:?} left something");
        said
    }

    /// `elastauth check --strict` has nothing to say about what was written.
    async fn holds(&self, folder: &str) {
        let secrets = format!("{}/", self.path(folder).join("secrets").display());
        let config = format!("{folder}/config.yml");
        let arguments = ["check", "--strict", "--config", &config];
        // The unit sets this variable; the other files do without.
        for environment in [&[("SECRETS", secrets.as_str())][..], &[]] {
            if environment.is_empty() && self.path(folder).join("elastauth.service").exists() {
                continue;
            }
            let output = self.run(&arguments, environment).await;
            assert!(output.status.success(), "{folder}: {output:?}");
        }
    }
}

fn guide(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
}

/// Where each written file comes from.
fn sources(gateway: &str, provider: &str) -> Vec<(String, String)> {
    let names: &[(&str, &str)] = match (gateway, provider) {
        ("traefik", "authelia") => &[
            ("traefik.yml", "traefik.yml"),
            ("dynamic.yml", "dynamic.yml"),
        ],
        ("traefik", _) => &[("traefik.yml", "traefik.yml"), ("dynamic.yml", "oidc.yml")],
        ("caddy", "authelia") => &[
            ("Caddyfile", "authelia.Caddyfile"),
            ("elastauth.caddy", "elastauth.caddy"),
        ],
        ("caddy", _) => &[
            ("Caddyfile", "oidc.Caddyfile"),
            ("elastauth.caddy", "elastauth.caddy"),
        ],
        ("nginx", "authelia") => &[
            ("nginx.conf", "nginx.conf"),
            ("conf.d/elastauth.conf", "authelia.conf"),
            ("elastauth/answers.conf", "elastauth/answers.conf"),
            ("elastauth/application.conf", "elastauth/application.conf"),
            ("elastauth/ask-authelia.conf", "elastauth/ask-authelia.conf"),
            ("elastauth/http.conf", "elastauth/http.conf"),
            ("elastauth/protected.conf", "elastauth/protected.conf"),
            ("elastauth/two-checks.conf", "elastauth/two-checks.conf"),
        ],
        ("nginx", _) => &[
            ("nginx.conf", "nginx.conf"),
            ("conf.d/elastauth.conf", "oidc.conf"),
            ("elastauth/answers.conf", "elastauth/answers.conf"),
            ("elastauth/application.conf", "elastauth/application.conf"),
            ("elastauth/http.conf", "elastauth/http.conf"),
            ("elastauth/protected.conf", "elastauth/protected.conf"),
        ],
        ("haproxy", "authelia") => &[("haproxy.cfg", "haproxy.cfg")],
        ("haproxy", _) => &[("haproxy.cfg", "oidc.cfg")],
        ("envoy", "authelia") => &[("envoy.yaml", "envoy.yaml")],
        ("envoy", _) => &[("envoy.yaml", "oidc.yaml")],
        _ => panic!("{gateway} is no gateway"),
    };
    let of_guide = |(written, from): &(&str, &str)| {
        let from = guide(&format!("docs/gateways/{gateway}/{from}"));
        ((*written).to_owned(), from)
    };
    let mut sources: Vec<_> = names.iter().map(of_guide).collect();
    if gateway == "haproxy" {
        let script = guide("contrib/haproxy/elastauth.lua");
        sources.push(("elastauth.lua".to_owned(), script));
    }
    sources
}

/// All files below a folder.
fn files_below(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            let below = files_below(&entry.path());
            found.extend(below.into_iter().map(|below| format!("{name}/{below}")));
        } else {
            found.insert(name);
        }
    }
    found
}

fn replaced(text: &str, provider: &str) -> String {
    let mut text = text
        .replace("elasticsearch.example.org", "es.corp.test")
        .replace("elastauth:5000", "127.0.0.1:5000")
        .replace("elasticsearch:9200", "127.0.0.1:19200")
        .replace(
            "{address: elastauth, port_value: 5000}",
            "{address: 127.0.0.1, port_value: 5000}",
        )
        .replace(
            "{address: elasticsearch, port_value: 9200}",
            "{address: 127.0.0.1, port_value: 19200}",
        );
    let mut redirected = "es.corp.test".to_owned();
    if provider == "authelia" {
        redirected.push_str(" kb.corp.test login.corp.test");
        text = text
            .replace("kibana.example.org", "kb.corp.test")
            .replace("auth.example.org", "login.corp.test")
            .replace("kibana:5601", "127.0.0.1:5601")
            .replace("authelia:9091", "127.0.0.1:9091")
            .replace(
                "{address: kibana, port_value: 5601}",
                "{address: 127.0.0.1, port_value: 5601}",
            )
            .replace(
                "{address: authelia, port_value: 9091}",
                "{address: 127.0.0.1, port_value: 9091}",
            );
    }
    text.replace(
        "server_name .example.org;",
        &format!("server_name {redirected};"),
    )
}

#[tokio::test]
async fn each_gateway_gets_the_files_of_its_guide_and_a_sound_configuration() {
    for gateway in GATEWAYS {
        for (provider, flags) in [
            ("authelia", &AUTHELIA[..]),
            ("oidc", &[&TOKENS[..], &["--run", "binary"]].concat()),
        ] {
            let desk = Desk::new();
            desk.made(&[&["made", "--gateway", gateway], flags].concat())
                .await;
            desk.holds("made").await;

            let sources = sources(gateway, provider);
            let mut names: BTreeSet<String> = BTreeSet::new();
            for (name, text) in &sources {
                let written = desk.read(&format!("made/gateway/{name}"));
                assert!(
                    written == replaced(text, provider),
                    "{gateway} {provider}: {name} is not the guide's"
                );
                names.insert(name.clone());
            }
            let key = desk.read("made/secrets/gateway_key");
            let key = key.trim();
            if gateway == "nginx" {
                let name = "elastauth/gateway-key.conf";
                assert_eq!(
                    desk.read(&format!("made/gateway/{name}")),
                    format!("proxy_set_header X-Elastauth-Key \"{key}\";\n")
                );
                names.insert(name.to_owned());
            } else {
                let variables = desk.read("made/secrets/gateway.env");
                assert_eq!(variables, format!("GATEWAY_KEY={key}\n"));
            }
            assert_eq!(files_below(&desk.path("made/gateway")), names);
        }
    }
}

#[tokio::test]
async fn each_way_to_run_has_its_files_and_secrets_are_for_their_owner_alone() {
    for (run, more, files) in [
        ("binary", &[][..], &[][..]),
        (
            "systemd",
            &[],
            &["elastauth.service", "elastauth.sysusers", "install.sh"],
        ),
        ("compose", &[], &["compose.yml"]),
        ("compose", &["--replicas", "3"], &["compose.yml"]),
        (
            "kubernetes",
            &[
                "--replicas",
                "2",
                "--redis",
                "rediss://redis.corp.test:6379",
            ],
            &["values.yaml", "install.sh"],
        ),
    ] {
        let desk = Desk::new();
        let arguments = ["made", "--gateway", "traefik", "--run", run];
        let said = desk
            .made(&[&arguments[..], &AUTHELIA[2..], more].concat())
            .await;
        desk.holds("made").await;
        let mut expected =
            BTreeSet::from(["config.yml", "gateway", "secrets", "service-account.sh"]);
        expected.extend(files);
        let found = desk.entries("made");
        assert_eq!(
            found.iter().map(String::as_str).collect::<BTreeSet<_>>(),
            expected
        );

        let mode = |name: &str| {
            let found = fs::metadata(desk.path(name)).unwrap();
            found.permissions().mode() & 0o777
        };
        assert_eq!(mode("made/secrets"), 0o700);
        for name in desk.entries("made/secrets") {
            assert_eq!(mode(&format!("made/secrets/{name}")), 0o600, "{name}");
            let secret = desk.read(&format!("made/secrets/{name}"));
            assert!(!said.contains(secret.trim()), "{name} is printed");
            for file in files_below(&desk.path("made")) {
                let is_secret = file.starts_with("secrets/");
                assert!(
                    is_secret || !desk.read(&format!("made/{file}")).contains(secret.trim()),
                    "{file} holds {name}"
                );
            }
        }
        // Nothing is beside it, and the commands can be copied.
        assert_eq!(desk.entries(""), BTreeSet::from(["made".to_owned()]));
        let commands = said.lines().filter(|line| line.starts_with("    "));
        let commands: Vec<&str> = commands.map(str::trim).collect();
        assert_eq!(commands.len(), 3, "{said}");
        for command in commands {
            for word in command.split(' ').filter(|word| word.starts_with('/')) {
                assert!(Path::new(word).exists(), "{command}");
            }
        }
        if run == "systemd" {
            assert_eq!(
                desk.read("made/elastauth.service"),
                guide("deploy/systemd/elastauth.service")
            );
        }
    }
}

#[tokio::test]
async fn the_program_starts_with_the_folder_and_takes_the_gateways_key_alone() {
    let tasks = Tasks::default();
    let cluster = StandIn::start(&tasks).await.unwrap();
    let desk = Desk::new();
    let url = cluster.url();
    let mut flags = AUTHELIA;
    flags[11] = &url;
    desk.made(
        &[
            &[
                "made",
                "--gateway",
                "traefik",
                "--elastauth",
                "127.0.0.1:5000",
            ],
            &flags[..],
        ]
        .concat(),
    )
    .await;
    // The account that the script would have made.
    fs::write(
        desk.path("made/secrets/elasticsearch_password"),
        cluster.service_password(),
    )
    .unwrap();
    let config = desk.read("made/config.yml");
    let elastauth = crate::support::elastauth::Elastauth::start_anywhere(
        &config.replace("127.0.0.1:5000", "127.0.0.1:0"),
        &[],
    )
    .await;
    let key = desk.read("made/secrets/gateway_key");
    let ask = async |key: &str| {
        let headers = [
            ("x-elastauth-key", key),
            ("remote-user", "alice"),
            ("remote-groups", "search-readers"),
        ];
        let answer = elastauth
            .server()
            .get("/elastauth/forward-auth", &headers)
            .await;
        answer.status
    };
    assert_eq!(ask(key.trim()).await, 200);
    assert_eq!(ask("another-key-of-32-characters-000").await, 403);
}

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

#[tokio::test]
async fn a_cluster_in_clear_is_a_loud_warning_and_a_ca_is_taken_along() {
    let desk = Desk::new();
    let mut flags = AUTHELIA;
    flags[11] = "http://es1.corp.test:9200";
    let said = desk
        .made(&[&["plain", "--gateway", "caddy"], &flags[..]].concat())
        .await;
    assert!(
        said.contains("warning: ") && said.contains("sent in clear; write `https`"),
        "{said}"
    );

    let authority = crate::support::tls::Authority::new();
    fs::write(desk.path("ca.pem"), authority.pem()).unwrap();
    flags[11] = "https://es1.corp.test:9200";
    for gateway in GATEWAYS {
        let with_ca = ["--gateway", gateway, "--cluster-ca", "ca.pem"];
        let folder = format!("made-{gateway}");
        desk.made(&[&[folder.as_str()], &with_ca[..], &flags].concat())
            .await;
        desk.holds(&folder).await;
        let ca = desk.read("ca.pem");
        assert_eq!(
            desk.read(&format!("{folder}/secrets/elasticsearch-ca.pem")),
            ca
        );
        assert_eq!(
            desk.read(&format!("{folder}/gateway/elasticsearch-ca.pem")),
            ca
        );
        let script = desk.read(&format!("{folder}/service-account.sh"));
        assert!(
            script.contains("--cacert secrets/elasticsearch-ca.pem"),
            "{script}"
        );
        // The gateway verifies the cluster with it.
        let texts: String = files_below(&desk.path(&format!("{folder}/gateway")))
            .iter()
            .map(|name| desk.read(&format!("{folder}/gateway/{name}")))
            .collect();
        assert!(
            texts.contains(&format!("/etc/{gateway}/elasticsearch-ca.pem")),
            "{gateway}"
        );
        assert!(texts.contains("es1.corp.test:9200") || gateway == "envoy");
    }
    fs::write(desk.path("broken.pem"), "-----BEGIN CERTIFICATE-----\nAA\n").unwrap();
    let broken = ["made", "--gateway", "caddy", "--cluster-ca", "broken.pem"];
    desk.refused(
        &[&broken[..], &flags].concat(),
        1,
        &["elasticsearch.tls", "nothing is written"],
    )
    .await;
    for (name, word) in [
        ("absent.pem", "cannot be read"),
        ("/dev/null", "no certificate"),
    ] {
        let arguments = ["made", "--gateway", "caddy", "--cluster-ca", name];
        desk.refused(&[&arguments[..], &flags].concat(), 2, &[word])
            .await;
    }
}

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
