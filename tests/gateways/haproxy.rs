//! HAProxy 2.6 (Debian's) and 2.8, with the action of contrib/haproxy.

mod action;
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
use std::path::{Path, PathBuf};

const DEBIAN: &str = "/usr/sbin/haproxy";
/// The action that the files load.
const SCRIPT: &str = "contrib/haproxy/elastauth.lua";

pub(crate) const HAPROXY_2_6: Program = Program {
    name: "HAProxy 2.6",
    folder: "haproxy",
    start: |form, parties| {
        let program = || PathBuf::from(DEBIAN);
        ports::started(async move || start(program(), &script(), form, parties).await).boxed_local()
    },
    exceptions: EXCEPTIONS,
    waits: &[],
};

pub(crate) const HAPROXY_2_8: Program = Program {
    name: "HAProxy 2.8",
    folder: "haproxy",
    start: |form, parties| {
        ports::started(async move || start(part("haproxy"), &script(), form, parties).await)
            .boxed_local()
    },
    exceptions: EXCEPTIONS,
    waits: &[],
};

const EXCEPTIONS: &[Exception] = &[Exception {
    attack: "`Remote-User` and `Authorization` as trailers",
    forms: &Form::ALL,
    what: "HAProxy passes trailers on as trailers, and has no rule that changes them. elastauth, \
           Elasticsearch and Kibana read none. An application that merges trailers into headers \
           must not be behind HAProxy.",
}];

fn script() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(SCRIPT);
    std::fs::read_to_string(path).expect("the action")
}

/// What a test changes beside addresses.
#[derive(Clone, Copy)]
struct Changes<'a> {
    /// Instead of the action.
    script: &'a str,
    /// For the file, after its addresses.
    text: &'a dyn Fn(String) -> String,
    /// More files in `/etc/haproxy/`.
    files: &'a [(&'a str, &'a str)],
}

async fn start(
    program: PathBuf,
    script: &str,
    form: Form,
    parties: Parties,
) -> Result<Gateway, NotReady> {
    let changes = Changes {
        script,
        text: &|text| text,
        files: &[],
    };
    start_changed(program, changes, form, parties).await
}

async fn start_changed(
    program: PathBuf,
    changes: Changes<'_>,
    form: Form,
    parties: Parties,
) -> Result<Gateway, NotReady> {
    let (home, authority) = gateway::home();
    let etc = format!("{}/", home.path().display());
    let (port, plain) = (free_port(), free_port());
    let [listen, listen_plain] = [port, plain].map(|port| format!("bind 127.0.0.1:{port}"));
    // Other HAProxies of this machine have this name, too.
    let inner = format!("abns@forward-auth-{port}");
    let name = match form {
        Form::Authelia => "haproxy/haproxy.cfg",
        Form::Tokens => "haproxy/oidc.cfg",
        Form::Applications => "haproxy/applications.cfg",
    };
    let text = parties.guide(
        name,
        &[
            ("bind :443", &listen),
            ("bind :80", &listen_plain),
            ("abns@forward-auth", &inner),
        ],
    );
    let text = (changes.text)(text).replace("/etc/haproxy/", &etc);
    gateway::write(home.path(), "haproxy.cfg", &text);
    gateway::write(home.path(), "elastauth.lua", changes.script);
    for (name, content) in changes.files {
        gateway::write(home.path(), name, content);
    }
    let mut haproxy = command(program);
    haproxy
        .args(["-db", "-f"])
        .arg(home.path().join("haproxy.cfg"))
        .env("GATEWAY_KEY", GATEWAY_KEY);
    let client = Client::new(port, authority.client());
    Gateway::started("haproxy", &mut haproxy, client, plain, home, |_| true).await
}
