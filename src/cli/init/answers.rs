//! The questions, and which answers go together.

use super::{
    names::{self, Address, HostName, is_https},
    options::Options,
    questions::{Mode, Question, Questions, choices},
    types::{Answers, ClusterKind, Failure, Gateway, Provider, ProviderKind, Run},
};
use crate::config;
use http::Uri;
use std::{io::IsTerminal as _, net::IpAddr, path::Path};

/// More would be a mistake: one replica answers tens of thousands of requests a second.
const MOST_REPLICAS: u16 = 100;
/// A bundle of CAs is smaller.
const LARGEST_CA: u64 = 1 << 20;

/// # Errors
/// With everything that is missing or wrong.
pub(super) fn gather(options: &Options) -> Result<Answers, Failure> {
    let at_terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let mut questions = Questions::new(if options.yes {
        Mode::Defaults
    } else if at_terminal {
        Mode::Terminal
    } else {
        Mode::Flags
    });
    let q = &mut questions;
    let gateway = gateway(q, options)?;
    let run = run(q, options, gateway)?;
    let host = q.ask(
        &Question {
            flag: "--host",
            text: "Host name of Elasticsearch, for example elasticsearch.example.org",
            why: "The gateway knows by the name which application a client asks for.",
            default: None,
        },
        options.host.as_deref(),
        HostName::parse,
    )?;
    let provider = provider(q, options, run, host.as_ref())?;
    let cluster = q.ask(
        &Question {
            flag: "--cluster",
            text: "URL of the cluster, several nodes with commas between them",
            why: "elastauth writes users there, and the gateway passes requests on to it.",
            default: Some("https://elasticsearch:9200".to_owned()),
        },
        options.cluster.as_deref(),
        |text| nodes(text, gateway),
    )?;
    let cluster_kind = cluster_kind(q, options)?;
    let cluster_ca = cluster_ca(q, options, cluster.as_deref())?;
    let (replicas, redis) = replicas(q, options, run)?;
    let gateway_address = gateway_address(q, options)?;
    let elastauth = elastauth(q, options, run)?;
    questions.end()?;
    // Each of them is there, or `end` has failed.
    let lost = || Failure::Failed("an answer was lost; this is a bug of elastauth".to_owned());
    Ok(Answers {
        gateway: gateway.ok_or_else(lost)?,
        run: run.ok_or_else(lost)?,
        provider: provider.ok_or_else(lost)?,
        host: host.ok_or_else(lost)?,
        cluster: cluster.ok_or_else(lost)?,
        cluster_kind: cluster_kind.ok_or_else(lost)?,
        cluster_ca,
        elastauth: elastauth.ok_or_else(lost)?,
        gateway_address,
        replicas,
        redis,
    })
}

fn gateway(q: &mut Questions, options: &Options) -> Result<Option<Gateway>, Failure> {
    let question = Question {
        flag: "--gateway",
        text: &format!("Gateway ({})", choices::<Gateway>()),
        why: "The gateway carries all requests, and asks elastauth about each one.",
        default: Some("traefik".to_owned()),
    };
    q.choose(&question, options.gateway.as_ref(), |_| Ok(()))
}

fn run(
    q: &mut Questions,
    options: &Options,
    gateway: Option<Gateway>,
) -> Result<Option<Run>, Failure> {
    let question = Question {
        flag: "--run",
        text: &format!("How elastauth runs ({})", choices::<Run>()),
        why: "compose: in containers with the gateway. systemd and binary: beside the gateway on \
              one machine.",
        default: Some("compose".to_owned()),
    };
    q.choose(&question, options.run.as_ref(), |run| {
        match (run, gateway) {
            (Run::Kubernetes, Some(gateway)) if gateway != Gateway::Traefik => Err(format!(
                "kubernetes has files for traefik alone, and the gateway is {}; see \
             docs/deployment/kubernetes.md",
                gateway.name()
            )),
            _ => Ok(()),
        }
    })
}

fn provider(
    q: &mut Questions,
    options: &Options,
    run: Option<Run>,
    host: Option<&HostName>,
) -> Result<Option<Provider>, Failure> {
    let question = Question {
        flag: "--provider",
        text: &format!("Who says who asks ({})", choices::<ProviderKind>()),
        why: "authelia: identity headers of Authelia or the like, for browsers. oidc: clients \
              bring a token.",
        default: Some("authelia".to_owned()),
    };
    let kind = q.choose(&question, options.provider.as_ref(), |kind| {
        match (kind, run) {
            (ProviderKind::Oidc, Some(Run::Kubernetes)) => {
                Err("kubernetes has files for authelia alone; for tokens see \
             docs/deployment/kubernetes.md"
                    .to_owned())
            }
            _ => Ok(()),
        }
    })?;
    match kind {
        Some(ProviderKind::Authelia) => authelia(q, options, run, host),
        Some(ProviderKind::Oidc) => oidc(q, options),
        None => Ok(None),
    }
}

fn authelia(
    q: &mut Questions,
    options: &Options,
    run: Option<Run>,
    host: Option<&HostName>,
) -> Result<Option<Provider>, Failure> {
    for (flag, given) in [
        ("--issuer", options.issuer.is_some()),
        ("--client-id", options.client_id.is_some()),
    ] {
        if given {
            q.wrong(format!("`{flag}` is for `--provider oidc`; leave it out"));
        }
    }
    let name = |text: &str| {
        let name = HostName::parse(text)?;
        if host == Some(&name) {
            return Err("Elasticsearch has this name already".to_owned());
        }
        Ok(name)
    };
    let kibana = q.ask(
        &Question {
            flag: "--kibana-host",
            text: "Host name of Kibana",
            why: "Under this name browsers open Kibana.",
            default: host.and_then(|host| host.sibling("kibana")),
        },
        options.kibana_host.as_deref(),
        name,
    )?;
    let portal = q.ask(
        &Question {
            flag: "--auth-host",
            text: "Host name of Authelia's sign-in page",
            why: "The gateway leads there without a check: nobody could sign in otherwise.",
            default: host.and_then(|host| host.sibling("auth")),
        },
        options.auth_host.as_deref(),
        |text| {
            let portal = name(text)?;
            if kibana.as_ref() == Some(&portal) {
                return Err("Kibana has this name already".to_owned());
            }
            Ok(portal)
        },
    )?;
    // Names of services in containers, and ports of this machine elsewhere.
    let at = |service: &str, port: u16| match run {
        Some(Run::Systemd | Run::Binary) => format!("127.0.0.1:{port}"),
        Some(Run::Compose | Run::Kubernetes) | None => format!("{service}:{port}"),
    };
    let mut address = |flag, text, why, default: String, given: Option<&str>| {
        // It always has a default: only a person is asked.
        let given = if q.are_answered_by_a_person() {
            given
        } else {
            given.or(Some(&default))
        };
        let question = Question {
            flag,
            text,
            why,
            default: Some(default.clone()),
        };
        q.ask(&question, given, Address::parse)
    };
    let authelia_at = address(
        "--authelia",
        "Where Authelia listens",
        "The gateway asks Authelia there who the user is.",
        at("authelia", 9091),
        options.authelia.as_deref(),
    )?;
    let kibana_at = address(
        "--kibana",
        "Where Kibana listens",
        "The gateway passes requests on to it.",
        at("kibana", 5601),
        options.kibana.as_deref(),
    )?;
    Ok(
        if let (Some(portal), Some(kibana), Some(authelia_at), Some(kibana_at)) =
            (portal, kibana, authelia_at, kibana_at)
        {
            Some(Provider::Authelia {
                portal,
                kibana,
                authelia_at,
                kibana_at,
            })
        } else {
            None
        },
    )
}

fn oidc(q: &mut Questions, options: &Options) -> Result<Option<Provider>, Failure> {
    for (flag, given) in [
        ("--kibana-host", options.kibana_host.is_some()),
        ("--kibana", options.kibana.is_some()),
        ("--auth-host", options.auth_host.is_some()),
        ("--authelia", options.authelia.is_some()),
    ] {
        if given {
            q.wrong(format!(
                "`{flag}` is for `--provider authelia`; with tokens the files have Elasticsearch \
                 alone"
            ));
        }
    }
    let issuer = q.ask(
        &Question {
            flag: "--issuer",
            text: "Issuer, for example https://sso.example.org/realms/main",
            why: "Tokens must name it exactly so, and elastauth fetches its keys.",
            default: None,
        },
        options.issuer.as_deref(),
        names::issuer,
    )?;
    let client_id = q.ask(
        &Question {
            flag: "--client-id",
            text: "Client ID",
            why: "Tokens must be for this client.",
            default: None,
        },
        options.client_id.as_deref(),
        |text| {
            let is_plain = !text.is_empty() && !text.contains(char::is_control);
            is_plain
                .then(|| text.to_owned())
                .ok_or_else(|| "it must be a text without line ends".to_owned())
        },
    )?;
    Ok(issuer
        .zip(client_id)
        .map(|(issuer, client_id)| Provider::Oidc { issuer, client_id }))
}

fn nodes(text: &str, gateway: Option<Gateway>) -> Result<Vec<Uri>, String> {
    let nodes = names::cluster(text)?;
    let Some(first) = nodes.first() else {
        return Ok(nodes);
    };
    let is_address = Address::of(first)?.host().parse::<IpAddr>().is_ok();
    if is_https(first)
        && is_address
        && let Some(gateway @ (Gateway::Nginx | Gateway::Haproxy)) = gateway
    {
        return Err(format!(
            "over TLS {} compares names and no addresses; give the name that is in the \
             certificate",
            gateway.title()
        ));
    }
    Ok(nodes)
}

fn cluster_kind(q: &mut Questions, options: &Options) -> Result<Option<ClusterKind>, Failure> {
    let question = Question {
        flag: "--cluster-kind",
        text: &format!("What the cluster is ({})", choices::<ClusterKind>()),
        why: "Each has another call that makes elastauth's account.",
        default: Some("elasticsearch".to_owned()),
    };
    // It always has a default: only a person is asked.
    let default = (!q.are_answered_by_a_person()).then_some(ClusterKind::Elasticsearch);
    let given = options.cluster_kind.or(default);
    q.choose(&question, given.as_ref(), |_| Ok(()))
}

fn cluster_ca(
    q: &mut Questions,
    options: &Options,
    cluster: Option<&[Uri]>,
) -> Result<Option<Vec<u8>>, Failure> {
    let is_plain = cluster.is_some_and(|nodes| !nodes.iter().all(is_https));
    if options.cluster_ca.is_none() && (is_plain || !q.are_answered_by_a_person()) {
        return Ok(None);
    }
    let read = q.ask(
        &Question {
            flag: "--cluster-ca",
            text: "File with the CA of the cluster's certificate",
            why: "Empty if a CA of this system has signed it.",
            default: Some(String::new()),
        },
        options.cluster_ca.as_deref(),
        |text| {
            if text.is_empty() {
                Ok(None)
            } else if is_plain {
                Err("the cluster is `http`, so it has no certificate; write `https`".to_owned())
            } else {
                certificates(Path::new(text)).map(Some)
            }
        },
    )?;
    Ok(read.flatten())
}

fn certificates(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let size = std::fs::metadata(path).map_err(cannot)?.len();
    if size > LARGEST_CA {
        return Err(format!("{} is larger than 1 MiB", path.display()));
    }
    let content = std::fs::read(path).map_err(cannot)?;
    let text = String::from_utf8_lossy(&content);
    if text.contains("PRIVATE KEY") {
        return Err(format!(
            "{} holds a private key, which must stay where it is; name the certificate",
            path.display()
        ));
    }
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        return Err(format!(
            "{} holds no certificate in PEM form",
            path.display()
        ));
    }
    Ok(content)
}

/// How many, and the Redis that they need where init makes none.
fn replicas(
    q: &mut Questions,
    options: &Options,
    run: Option<Run>,
) -> Result<(u16, Option<String>), Failure> {
    let given = options.replicas.as_deref();
    let given = if q.are_answered_by_a_person() {
        given
    } else {
        given.or(Some("1"))
    };
    let replicas = q.ask(
        &Question {
            flag: "--replicas",
            text: "Replicas of elastauth",
            why: "With more than one, Redis saves them from asking the cluster about each other's \
                  users.",
            default: Some("1".to_owned()),
        },
        given,
        |text| {
            let number = text.parse().ok();
            let number = number.filter(|number| (1..=MOST_REPLICAS).contains(number));
            number.ok_or_else(|| format!("it must be a number from 1 to {MOST_REPLICAS}"))
        },
    )?;
    let replicas = replicas.unwrap_or(1);
    // The compose file has a Redis.
    let needed = replicas > 1 && run.is_some_and(|run| run != Run::Compose);
    if options.redis.is_none() && !needed {
        return Ok((replicas, None));
    }
    let redis = q.ask(
        &Question {
            flag: "--redis",
            text: "Address of Redis, for example rediss://redis.example.org:6379",
            why: "The replicas meet there; rediss:// is with TLS.",
            default: None,
        },
        options.redis.as_deref(),
        names::redis,
    )?;
    Ok((replicas, redis))
}

fn elastauth(
    q: &mut Questions,
    options: &Options,
    run: Option<Run>,
) -> Result<Option<Address>, Failure> {
    let usual = match run {
        Some(Run::Systemd | Run::Binary) => "127.0.0.1:5000",
        Some(Run::Compose | Run::Kubernetes) | None => "elastauth:5000",
    };
    if options.elastauth.is_some() && matches!(run, Some(Run::Compose | Run::Kubernetes)) {
        q.wrong("`--elastauth` is for `--run systemd` and `--run binary`; leave it out".to_owned());
    }
    let question = Question {
        flag: "--elastauth",
        text: "Where the gateway finds elastauth",
        why: "The gateway asks there.",
        default: None,
    };
    let given = options.elastauth.as_deref().unwrap_or(usual);
    q.ask(&question, Some(given), Address::parse)
}

fn gateway_address(q: &mut Questions, options: &Options) -> Result<Option<ipnet::IpNet>, Failure> {
    let Some(given) = options.gateway_address.as_deref() else {
        return Ok(None);
    };
    let question = Question {
        flag: "--gateway-address",
        text: "Address from which the gateway connects",
        why: "elastauth reads headers of this peer alone.",
        default: None,
    };
    q.ask(&question, Some(given), |text| {
        let network = config::network(text)?;
        if network.prefix_len() == 0 {
            return Err("it is every address; name that of the gateway".to_owned());
        }
        Ok(network)
    })
}
