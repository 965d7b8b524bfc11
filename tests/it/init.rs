//! `elastauth init`, as people run it.

mod desk;
mod guide;
mod refused;
mod terminal;

use crate::support::{elastauth::Elastauth, tls::Authority};
use desk::{AUTHELIA, Desk, GATEWAYS, TOKENS, files_below};
use elastauth::internals::{demo::standin::StandIn, shutdown::Tasks};
use guide::{guide, replaced, sources};
use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, path::Path};

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
    let elastauth =
        Elastauth::start_anywhere(&config.replace("127.0.0.1:5000", "127.0.0.1:0"), &[]).await;
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

    let authority = Authority::new();
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
