//! Caddy 2.

use crate::{
    client::Client,
    gateway::{self, Form, GATEWAY_KEY, Gateway, Parties, Program},
    over_tls::{holds, lines},
    stage::Stage,
    support::{
        free_port, guide, part, ports,
        process::{NotReady, command},
    },
};
use futures_util::FutureExt as _;

pub(crate) const CADDY: Program = Program {
    name: "Caddy 2.11",
    folder: "caddy",
    start: |form, parties| {
        ports::started(async move || start(form, parties, &|shared| shared, &[]).await)
            .boxed_local()
    },
    exceptions: &[],
    waits: &[],
};

/// `change` is for what all files share, after its addresses; `files` are more of them.
async fn start(
    form: Form,
    parties: Parties,
    change: &dyn Fn(String) -> String,
    files: &[(&str, &str)],
) -> Result<Gateway, NotReady> {
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
    let shared = change(parties.guide("caddy/elastauth.caddy", &[]));
    let shared = shared.replace("/etc/caddy/", &etc);
    gateway::write(home.path(), "Caddyfile", &parties.addresses(sites));
    gateway::write(home.path(), "elastauth.caddy", &shared);
    for (name, content) in files {
        gateway::write(home.path(), name, content);
    }
    let mut caddy = command(part("caddy"));
    caddy
        .args(["run", "--config", &format!("{etc}Caddyfile")])
        .env("GATEWAY_KEY", GATEWAY_KEY)
        // Its own files.
        .envs(["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"].map(|name| (name, &etc)));
    let client = Client::new(port, authority.client());
    Gateway::started("caddy", &mut caddy, client, plain, home, |_| true).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elastauth_is_asked_over_tls() {
    let stage = Stage::new(&CADDY, Form::Authelia).await;
    holds(&stage, async |parties, ca| {
        let code = lines("caddy.md", "## TLS to elastauth").join("\n\t\t");
        let plain = format!("forward_auth 127.0.0.1:{}", parties.elastauth);
        let over_tls = plain.replace("127", "https://127");
        let change = |text: String| {
            let (before, own) = text.split_once("\n(elastauth)").expect("its snippet");
            let own = own.replacen(
                "transport http {",
                &format!("transport http {{\n\t\t{code}"),
                1,
            );
            format!("{before}\n(elastauth){own}").replace(&plain, &over_tls)
        };
        start(Form::Authelia, parties, &change, &[("ca.pem", &ca)])
            .await
            .unwrap_or_else(|why| panic!("{why}"))
    })
    .await;
}
