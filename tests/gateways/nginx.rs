//! nginx: Debian's 1.22 and the newest, with the same files.

use crate::{
    client::Client,
    draft::Draft,
    gateway::{
        self, ELASTICSEARCH, Exception, Form, GATEWAY_KEY, Gateway, KIBANA, PORTAL, Parties,
        Program, WIKI,
    },
    stage::Stage,
    support::{
        free_port, guide,
        http::Server,
        part, ports,
        process::{NotReady, Process, command},
    },
};
use futures_util::FutureExt as _;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

pub(crate) const NGINX_1_22: Program = Program {
    name: "nginx 1.22",
    folder: "nginx",
    start: |form, parties| {
        ports::started(async move || start(debian(), form, parties).await).boxed_local()
    },
    exceptions: EXCEPTIONS,
};

pub(crate) const NGINX: Program = Program {
    name: "nginx 1.31",
    folder: "nginx",
    start: |form, parties| {
        ports::started(async move || start(part("nginx"), form, parties).await).boxed_local()
    },
    exceptions: EXCEPTIONS,
};

const EXCEPTIONS: &[Exception] = &[];

fn debian() -> PathBuf {
    let path = Path::new("/usr/sbin/nginx");
    assert!(path.exists(), "Debian's package nginx is missing");
    path.to_owned()
}

async fn start(nginx: PathBuf, form: Form, parties: Parties) -> Result<Gateway, NotReady> {
    let (home, authority) = gateway::home();
    let etc = format!("{}/", home.path().display());
    let (port, plain, checks) = (free_port(), free_port(), free_port());
    let [listen, listen_plain, checks] =
        [port, plain, checks].map(|port| format!("127.0.0.1:{port}"));
    for folder in ["elastauth", "conf.d"] {
        std::fs::create_dir(home.path().join(folder)).expect("a folder for nginx");
    }
    let put = |name: &str, content: &str| {
        let content = content.replace("/etc/nginx/", &etc);
        gateway::write(home.path(), name, &content);
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

    let mut program = command(nginx);
    // One process, which ends with the test.
    program
        .args(["-p", &etc, "-c", &format!("{etc}nginx.conf")])
        .args(["-e", "stderr", "-g", "daemon off; master_process off;"]);
    let mut process = Process::start("nginx", &mut program);
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

/// The second check listens on this machine. Whoever is not nginx gets no login there, though they
/// may have a session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_of_both_checks_gives_a_login_to_nginx_only() {
    for program in [&NGINX_1_22, &NGINX] {
        let stage = Stage::new(program, Form::Authelia).await;
        let file = stage.gateway.home.path().join("elastauth/two-checks.conf");
        let file = std::fs::read_to_string(file).unwrap();
        let (_, port) = file.split_once("listen 127.0.0.1:").unwrap();
        let port = port.split(';').next().unwrap().parse().unwrap();
        let cookie = stage.authelia.sign_in("alice", "search-readers");
        let asked = [
            ("cookie", cookie.as_str()),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", ELASTICSEARCH),
            ("x-forwarded-uri", "/_search"),
            ("x-forwarded-method", "GET"),
        ];
        for (key, status) in [(None, 403), (Some("guess"), 403), (Some(GATEWAY_KEY), 200)] {
            let key = key.map(|key| ("x-elastauth-key", key));
            let headers: Vec<_> = asked.into_iter().chain(key).collect();
            let answer = Server::plain(port)
                .get("/elastauth/auth-request", &headers)
                .await;
            let has_login = answer.header("authorization").is_some();
            assert_eq!(
                (answer.status.as_u16(), has_login),
                (status, status == 200),
                "{}, {key:?}",
                program.name
            );
        }
    }
}

/// `auth_request` cannot redirect: the guide's own lines do, and only for a browser's page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_is_sent_to_the_sign_in_page_and_a_script_is_not() {
    for program in [&NGINX_1_22, &NGINX] {
        for form in [Form::Authelia, Form::Applications] {
            let stage = Stage::new(program, form).await;
            let hosts: &[&str] = match form {
                Form::Applications => &[KIBANA, ELASTICSEARCH, WIKI],
                Form::Authelia | Form::Tokens => &[KIBANA, ELASTICSEARCH],
            };
            for host in hosts {
                let page = "Accept: text/html,application/xhtml+xml";
                for (lines, status) in [
                    (&[page][..], 302),
                    (&[page, "Sec-Fetch-Mode: navigate"], 302),
                    (&[page, "Sec-Fetch-Mode: cors"], 401),
                    (&[page, "X-Requested-With: XMLHttpRequest"], 401),
                    (&["Accept: application/json"], 401),
                    (&[], 401),
                ] {
                    let mut draft = Draft::get(host, "/app/home?a=b");
                    for line in lines {
                        draft.line(line);
                    }
                    let answer = stage.gateway.client.send(&draft).await.answer();
                    let seen = (answer.status(), answer.header("location"));
                    let to = format!("https://auth.example.org/?rd=https://{host}/app/home?a=b");
                    let is_right = match seen {
                        (302, Some(location)) => location.starts_with(&to),
                        (_, location) => location.is_none(),
                    };
                    assert!(
                        is_right && answer.status() == status,
                        "{}, {form:?}, {host}, {lines:?}: {seen:?}",
                        program.name
                    );
                }
            }
            let draft = Draft::get(PORTAL, "/");
            let portal = stage.gateway.client.send(&draft).await.answer();
            assert_eq!(portal.header("x-answered-by"), Some("authelia"));
        }
    }
}
