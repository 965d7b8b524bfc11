//! What the guide for Traefik can be held to without a Traefik: its labels of Docker and its objects
//! of Kubernetes say the same as its file, and the stand-in for Authelia is as strict as Authelia.

use crate::support::{
    authelia::{Authelia, BYPASSED, DENIED, PORTAL},
    http::{Answer, Server, basic},
};
use http::Method;
use saphyr_parser::{Event, Parser};
use std::collections::BTreeMap;

const FILE: &str = include_str!("../../docs/gateways/traefik/dynamic.yml");
const COMPOSE: &str = include_str!("../../docs/gateways/traefik/compose.yml");
const KUBERNETES: &str = include_str!("../../docs/gateways/traefik/kubernetes.yml");

/// An open section or list.
struct Open {
    path: String,
    /// Of a section: the length of its own path. Behind it is the key whose value is next.
    own: Option<usize>,
}

impl Open {
    fn waits_for_a_key(&self) -> bool {
        self.own == Some(self.path.len())
    }
}

/// Every scalar under the path of its keys, in lower case; the items of a list joined by commas.
fn flat(yaml: &str) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    let mut open: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(yaml) {
        let path = open
            .last()
            .map_or_else(String::new, |open| open.path.clone());
        match (event.unwrap().0, open.last_mut()) {
            (Event::Scalar(name, ..), Some(section)) if section.waits_for_a_key() => {
                section.path.push('.');
                section.path.push_str(&name.to_ascii_lowercase());
                continue;
            }
            (Event::Scalar(text, ..), _) => {
                let before = flat.remove(&path).map(|before: String| before + ",");
                flat.insert(path, before.unwrap_or_default() + &text);
            }
            (Event::MappingStart(..), _) => {
                let own = Some(path.len());
                open.push(Open { path, own });
                continue;
            }
            (Event::SequenceStart(..), _) => {
                open.push(Open { path, own: None });
                continue;
            }
            (Event::MappingEnd | Event::SequenceEnd, _) => drop(open.pop()),
            _ => continue,
        }
        // A value has ended.
        if let Some(Open {
            path,
            own: Some(own),
        }) = open.last_mut()
        {
            path.truncate(*own);
        }
    }
    flat
}

#[test]
fn the_labels_of_docker_say_what_the_file_says() {
    let file: BTreeMap<String, String> = flat(FILE)
        .into_iter()
        .filter_map(|(path, value)| {
            let path = path.strip_prefix(".http.")?;
            // Services have other forms, there is no second host, and a label has no dot in a name.
            let is_compared = !path.starts_with("services.")
                && !path.starts_with("routers.elasticsearch")
                && !path.contains(".remote.")
                && !path.ends_with(".service");
            let value = value.replace("{{ env \"GATEWAY_KEY\" }}", "${GATEWAY_KEY}");
            is_compared.then(|| (path.to_owned(), value))
        })
        .collect();
    let labels: BTreeMap<String, String> = flat(COMPOSE)
        .into_iter()
        .filter_map(|(path, value)| {
            let (_, path) = path.split_once(".labels.traefik.http.")?;
            let is_service = path.starts_with("services.");
            (!is_service).then(|| (path.to_owned(), value))
        })
        .collect();
    assert!(file.len() > 40, "{file:#?}");
    assert_eq!(file, labels);
}

#[test]
fn the_objects_of_kubernetes_say_what_the_file_says() {
    let file: BTreeMap<String, String> = flat(FILE)
        .into_iter()
        .filter_map(|(path, value)| {
            let path = path.strip_prefix(".http.")?;
            // Services are objects of their own. The key is in a file of Traefik's.
            let is_compared =
                !path.starts_with("services.") && !path.starts_with("middlewares.gateway-key.");
            is_compared.then(|| (path.to_owned(), value))
        })
        .collect();
    let objects = KUBERNETES.split("\n---\n").map(flat);
    let mut found = BTreeMap::new();
    for object in objects {
        let name = &object[".metadata.name"];
        assert_eq!(object[".metadata.namespace"], "search", "{name}");
        let folder = match object[".kind"].as_str() {
            "Middleware" => "middlewares",
            "IngressRoute" => "routers",
            "ConfigMap" => {
                let key = &object[".data.gateway-key.yml"];
                assert!(key.contains("{{ env \"GATEWAY_KEY\" }}"), "{key}");
                continue;
            }
            other => panic!("{other}"),
        };
        for (path, value) in &object {
            let Some(path) = path.strip_prefix(".spec.") else {
                continue;
            };
            // The words that an object has for the same.
            let path = match path {
                "routes.kind" | "routes.services.port" | "tls.secretname" => continue,
                "routes.match" => "rule",
                "routes.services.name" => "service",
                path => path.strip_prefix("routes.").unwrap_or(path),
            };
            let path = match path.strip_suffix(".name") {
                Some(list) if list.ends_with("middlewares") => list,
                _ => path,
            };
            let value = value.replace("@file", "").replace(".search:", ":");
            found.insert(format!("{folder}.{name}.{path}"), value);
        }
    }
    assert!(file.len() > 50, "{file:#?}");
    assert_eq!(file, found);
}

async fn asked(authelia: &Authelia, headers: &[(&str, &str)]) -> Answer {
    let usual = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "kibana.example.org"),
        ("x-forwarded-method", "GET"),
        ("x-forwarded-uri", "/app"),
    ];
    let is_given = |name: &str| headers.iter().any(|(given, _)| *given == name);
    let usual = usual.iter().filter(|(name, _)| !is_given(name));
    let headers: Vec<_> = usual.chain(headers).copied().collect();
    Server::plain(authelia.port)
        .try_ask(Method::GET, "/api/authz/forward-auth", &headers, None)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_stand_in_for_authelia_is_as_strict_as_authelia() {
    let authelia = Authelia::start().await;
    let cookie = authelia.sign_in("alice", "dev,x");
    let cookie = ("cookie", cookie.as_str());
    let password = basic("bob", "secret");
    authelia.has_user("bob", "ops", &password);
    let (public, denied) = (format!("{BYPASSED}/x"), format!("{DENIED}/x"));
    let (public, denied) = (("x-forwarded-uri", &*public), ("x-forwarded-uri", &*denied));
    let page = ("accept", "text/html");
    let wrong = basic("bob", "wrong");
    let long = "x".repeat(4_096);
    for (headers, status, user) in [
        (&[cookie][..], 200, Some("alice")),
        (&[cookie, ("x-forwarded-proto", "http")], 400, None),
        (&[public, ("x-forwarded-proto", "http")], 400, None),
        (
            &[cookie, ("x-forwarded-host", "kibana.example.com")],
            400,
            None,
        ),
        (&[cookie, ("x-forwarded-method", "M-SEARCH")], 400, None),
        (&[cookie, ("x-long", &long)], 431, None),
        (&[], 401, None),
        (&[page], 302, None),
        (&[("accept", "*/*")], 302, None),
        (&[page, ("x-forwarded-method", "POST")], 303, None),
        (&[page, ("x-requested-with", "XMLHttpRequest")], 401, None),
        (&[cookie, denied], 403, None),
        (&[page, cookie, denied], 403, None),
        (&[public], 200, None),
        (&[public, cookie], 200, Some("alice")),
        (&[("authorization", &password)], 200, Some("bob")),
        (&[cookie, ("authorization", &password)], 200, Some("bob")),
        (&[cookie, ("authorization", &wrong)], 401, None),
        (&[cookie, ("authorization", "ApiKey x")], 401, None),
        (&[cookie, ("authorization", "Bearer x")], 200, Some("alice")),
    ] {
        let answer = asked(&authelia, headers).await;
        let shown = (answer.status.as_u16(), answer.header("remote-user"));
        assert_eq!(shown, (status, user), "{headers:?}");
        assert!(answer.header("set-cookie").is_none());
        let is_redirect = answer.status.is_redirection();
        let to_portal = answer
            .header("location")
            .is_some_and(|to| to.starts_with(PORTAL));
        assert_eq!(is_redirect, to_portal);
    }
    // What nginx asks, and the only refusals that nginx passes on.
    let nginx = [
        ("x-original-url", "https://kibana.example.org/app"),
        ("x-original-method", "GET"),
    ];
    let plain = [
        ("x-original-url", "http://kibana.example.org/app"),
        nginx[1],
    ];
    for (headers, status) in [
        ([&nginx[..], &[cookie]].concat(), 200),
        ([&nginx[..], &[page]].concat(), 401),
        (nginx.to_vec(), 401),
        ([&plain[..], &[cookie]].concat(), 400),
    ] {
        let answer = Server::plain(authelia.port)
            .get("/api/authz/auth-request", &headers)
            .await;
        assert_eq!(answer.status.as_u16(), status, "{headers:?}");
        let place = answer.header("location").unwrap_or_default();
        assert_eq!(place.starts_with(PORTAL), status == 401, "{place}");
    }
    let groups = asked(&authelia, &[cookie]).await;
    assert_eq!(groups.header("remote-groups"), Some("dev,x"));
    assert_eq!(groups.header("remote-email"), Some(""));
}
