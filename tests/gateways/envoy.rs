//! Envoy, with `ext_authz` over HTTP.

mod lines;

use crate::{
    client::Client,
    gateway::{self, Exception, Form, GATEWAY_KEY, Gateway, Parties, Program},
    support::{
        free_port, part, ports,
        process::{NotReady, command},
    },
};
use futures_util::FutureExt as _;

pub(crate) const ENVOY: Program = Program {
    name: "Envoy 1.40",
    folder: "envoy",
    start: |form, parties| {
        ports::started(async move || start(form, parties, &|text| text, &[]).await).boxed_local()
    },
    exceptions: EXCEPTIONS,
    waits: &[],
};

const EXCEPTIONS: &[Exception] = &[];

/// `change` is for the file, after its addresses; `files` are more of them in `/etc/envoy/`.
async fn start(
    form: Form,
    parties: Parties,
    change: &dyn Fn(String) -> String,
    files: &[(&str, &str)],
) -> Result<Gateway, NotReady> {
    let (home, authority) = gateway::home();
    let etc = format!("{}/", home.path().display());
    let (port, plain) = (free_port(), free_port());
    let name = match form {
        Form::Authelia => "envoy/envoy.yaml",
        Form::Tokens => "envoy/oidc.yaml",
        Form::Applications => "envoy/applications.yaml",
    };
    let address = |host: &str, port: u16| format!("address: {host}, port_value: {port}}}");
    let mut replace = Vec::new();
    for (of_guide, port) in [(443, port), (80, plain)] {
        let here = address("127.0.0.1", port);
        replace.push((address("0.0.0.0", of_guide), here));
    }
    let mut services = vec![
        (address("elastauth", 5000), parties.elastauth),
        (address("elasticsearch", 9200), parties.elasticsearch),
    ];
    if form != Form::Tokens {
        services.push((address("authelia", 9091), parties.authelia));
        services.push((address("kibana", 5601), parties.kibana));
    }
    if form == Form::Applications {
        services.push((address("wiki", 8000), parties.wiki));
    }
    let services = services
        .into_iter()
        .map(|(of_guide, port)| (of_guide, address("127.0.0.1", port)));
    replace.extend(services);
    let replace: Vec<(&str, &str)> = replace
        .iter()
        .map(|(of_guide, here)| (of_guide.as_str(), here.as_str()))
        .collect();
    let text = change(parties.guide(name, &replace)).replace("/etc/envoy/", &etc);
    gateway::write(home.path(), "envoy.yaml", &text);
    for (name, content) in files {
        gateway::write(home.path(), name, content);
    }
    let mut envoy = command(part("envoy"));
    envoy
        .arg("-c")
        .arg(home.path().join("envoy.yaml"))
        .args([
            "--use-dynamic-base-id",
            "--concurrency",
            "2",
            "-l",
            "warning",
        ])
        .env("GATEWAY_KEY", GATEWAY_KEY);
    let client = Client::new(port, authority.client());
    Gateway::started("envoy", &mut envoy, client, plain, home, |_| true).await
}
