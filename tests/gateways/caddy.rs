//! Caddy 2.

use crate::{
    client::Client,
    gateway::{self, Form, GATEWAY_KEY, Gateway, Parties, Program},
    support::{
        free_port, guide, part, ports,
        process::{NotReady, Process, command},
    },
};
use futures_util::FutureExt as _;
use std::time::Duration;

pub(crate) const CADDY: Program = Program {
    name: "Caddy 2.11",
    folder: "caddy",
    start: |form, parties| ports::started(async move || start(form, parties).await).boxed_local(),
    exceptions: &[],
};

async fn start(form: Form, parties: Parties) -> Result<Gateway, NotReady> {
    let (home, authority) = gateway::home();
    let etc = format!("{}/", home.path().display());
    let (port, plain) = (free_port(), free_port());
    let sites = match form {
        Form::Authelia => "caddy/authelia.Caddyfile",
        Form::Tokens => "caddy/oidc.Caddyfile",
        Form::Applications => "caddy/applications.Caddyfile",
    };
    let sites = guide::file(
        sites,
        &[
            ("/etc/caddy/", &etc),
            ("/var/lib/caddy/", &etc),
            ("http_port 80", &format!("http_port {plain}")),
            ("https_port 443", &format!("https_port {port}")),
            (":443 {", &format!(":{port} {{")),
            ("0.0.0.0 [::]", "127.0.0.1"),
        ],
    );
    let shared = parties.guide("caddy/elastauth.caddy", &[("/etc/caddy/", &etc)]);
    gateway::write(home.path(), "Caddyfile", &parties.addresses(sites));
    gateway::write(home.path(), "elastauth.caddy", &shared);
    let mut caddy = command(part("caddy"));
    caddy
        .args(["run", "--config", &format!("{etc}Caddyfile")])
        .env("GATEWAY_KEY", GATEWAY_KEY)
        // Its own files.
        .envs(["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"].map(|name| (name, &etc)));
    let mut process = Process::start("caddy", &mut caddy);
    let client = Client::new(port, authority.client());
    let routed = async |_: &Process| gateway::answers(&client, |_| true).await;
    process
        .ready("its first route", Duration::from_secs(20), routed)
        .await?;
    Ok(Gateway {
        process,
        client,
        plain,
        home,
    })
}
