//! nginx: Debian's 1.22 and the newest, with the same files.

mod lines;

use crate::{
    client::Client,
    gateway::{self, Exception, Form, GATEWAY_KEY, Gateway, Parties, Program},
    support::{
        free_port, guide, part, ports,
        process::{NotReady, command},
    },
};
use futures_util::FutureExt as _;
use std::path::{Path, PathBuf};

pub(crate) const NGINX_1_22: Program = Program {
    name: "nginx 1.22",
    folder: "nginx",
    start: |form, parties| {
        ports::started(async move || start(debian(), form, parties, UNCHANGED).await).boxed_local()
    },
    exceptions: EXCEPTIONS,
    waits: &[],
};

pub(crate) const NGINX: Program = Program {
    name: "nginx 1.31",
    folder: "nginx",
    start: |form, parties| {
        ports::started(async move || start(part("nginx"), form, parties, UNCHANGED).await)
            .boxed_local()
    },
    exceptions: EXCEPTIONS,
    waits: &[],
};

const EXCEPTIONS: &[Exception] = &[];

fn debian() -> PathBuf {
    let path = Path::new("/usr/sbin/nginx");
    assert!(path.exists(), "Debian's package nginx is missing");
    path.to_owned()
}

/// What a test changes beside addresses: the file, what is there, and what comes instead.
type Change<'a> = (&'a str, &'a str, &'a str);

const UNCHANGED: &[Change<'static>] = &[];

async fn start(
    nginx: PathBuf,
    form: Form,
    parties: Parties,
    changes: &[Change<'_>],
) -> Result<Gateway, NotReady> {
    let (home, authority) = gateway::home();
    let etc = format!("{}/", home.path().display());
    let (port, plain, checks) = (free_port(), free_port(), free_port());
    let [listen, listen_plain, checks] =
        [port, plain, checks].map(|port| format!("127.0.0.1:{port}"));
    for folder in ["elastauth", "conf.d"] {
        std::fs::create_dir(home.path().join(folder)).expect("a folder for nginx");
    }
    let put = |name: &str, content: &str| {
        let mut content = content.to_owned();
        for (_, from, to) in changes.iter().filter(|(file, ..)| *file == name) {
            assert!(content.contains(from), "{name} has no {from}");
            content = content.replace(from, to);
        }
        gateway::write(home.path(), name, &content.replace("/etc/nginx/", &etc));
    };

    put(
        "nginx.conf",
        &guide::file(
            "nginx/nginx.conf",
            &[
                ("/run/nginx.pid", &format!("{etc}nginx.pid")),
                ("/var/log/nginx/", &etc),
                ("/var/cache/nginx/", &etc),
            ],
        ),
    );
    let [to_tls, to_plain] = [&listen, &listen_plain].map(|address| format!("listen {address}"));
    let shared: [(&str, &[(&str, &str)]); 6] = [
        (
            "http.conf",
            &[("listen 443", &to_tls), ("listen 80", &to_plain)],
        ),
        ("answers.conf", &[]),
        ("application.conf", &[]),
        ("ask-authelia.conf", &[]),
        ("protected.conf", &[]),
        (
            "two-checks.conf",
            &[("listen 443", &to_tls), ("127.0.0.1:8089", &checks)],
        ),
    ];
    for (name, replace) in shared {
        let name = format!("elastauth/{name}");
        put(&name, &guide::file(&format!("nginx/{name}"), replace));
    }
    put(
        "elastauth/gateway-key.conf",
        &format!("proxy_set_header X-Elastauth-Key \"{GATEWAY_KEY}\";\n"),
    );
    let sites = match form {
        Form::Authelia => "nginx/authelia.conf",
        Form::Tokens => "nginx/oidc.conf",
        Form::Applications => "nginx/applications.conf",
    };
    put(
        "conf.d/elastauth.conf",
        &parties.guide(sites, &[("listen 443", &to_tls)]),
    );

    // A file that is in no guide.
    for (name, _, content) in changes.iter().filter(|(_, from, _)| from.is_empty()) {
        gateway::write(home.path(), name, content);
    }
    let mut program = command(nginx);
    // One process, which ends with the test.
    program
        .args(["-p", &etc, "-c", &format!("{etc}nginx.conf")])
        .args(["-e", "stderr", "-g", "daemon off; master_process off;"]);
    let client = Client::new(port, authority.client());
    Gateway::started("nginx", &mut program, client, plain, home, |_| true).await
}
