//! Traefik 3.

use crate::{
    client::Client,
    gateway::{self, Form, GATEWAY_KEY, Gateway, Parties, Program},
    support::{
        free_port, guide, part, ports,
        process::{NotReady, command},
    },
};
use futures_util::FutureExt as _;

pub(crate) const TRAEFIK: Program = Program {
    name: "Traefik 3.7",
    folder: "traefik",
    start: |form, parties| ports::started(async move || start(form, parties).await).boxed_local(),
    exceptions: &[],
    // It asks with Go's default client, whose 30 s cannot be changed.
    waits: &[
        "elastauth stands still",
        "takes connections and says nothing",
        "begins an answer and does not end it",
    ],
};

async fn start(form: Form, parties: Parties) -> Result<Gateway, NotReady> {
    let (home, authority) = gateway::home();
    let etc = format!("{}/", home.path().display());
    let (port, plain) = (free_port(), free_port());
    let [listen, listen_plain] = [port, plain].map(|port| format!("\"127.0.0.1:{port}\""));
    let fixed = guide::file(
        "traefik/traefik.yml",
        &[
            ("/etc/traefik/", &etc),
            ("\":443\"", &listen),
            ("\":80\"", &listen_plain),
        ],
    );
    let dynamic = match form {
        Form::Authelia => "traefik/dynamic.yml",
        Form::Tokens => "traefik/oidc.yml",
        Form::Applications => "traefik/applications.yml",
    };
    let dynamic = parties.guide(dynamic, &[("/etc/traefik/", &etc)]);
    gateway::write(home.path(), "traefik.yml", &fixed);
    gateway::write(home.path(), "dynamic.yml", &dynamic);
    let mut traefik = command(part("traefik"));
    traefik
        .arg(format!("--configfile={etc}traefik.yml"))
        .env("GATEWAY_KEY", GATEWAY_KEY);
    // 404 is Traefik's answer as long as it has not read its routers.
    let client = Client::new(port, authority.client());
    Gateway::started("traefik", &mut traefik, client, plain, home, |status| {
        status != 404
    })
    .await
}
