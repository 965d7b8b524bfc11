//! What the file of a gateway gives to the tests, and what it gets.
//!
//! A gateway is a `Program`: `start` runs the very files of its guide for one of the three forms.
//! In them only addresses, ports and `/etc/<gateway>/` may be replaced.

use crate::client::{Client, Reply};
use crate::draft::Draft;
use crate::support::{
    guide,
    process::{NotReady, Process},
    tls::Authority,
};
use futures_util::future::LocalBoxFuture;
use std::{path::Path, process::Command, time::Duration};
use tempfile::TempDir;

/// The secret that a gateway gets in the environment, as `GATEWAY_KEY`.
pub(crate) const GATEWAY_KEY: &str = "0b6f0e3a7c5549d8a1f2c7e4";

/// The hosts of all guides.
pub(crate) const ELASTICSEARCH: &str = "elasticsearch.example.org";
pub(crate) const KIBANA: &str = "kibana.example.org";
/// In [`Form::Applications`]: behind Authelia, and elastauth has nothing to do with it.
pub(crate) const WIKI: &str = "wiki.example.org";
pub(crate) const PORTAL: &str = "auth.example.org";

/// The three set-ups that each guide has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// Authelia says who asks. Hosts: Elasticsearch, Kibana and the portal.
    Authelia,
    /// The client has a token of an identity provider. Host: Elasticsearch.
    Tokens,
    /// Behind Authelia: Elasticsearch, Kibana, the portal, and the wiki, which has no elastauth.
    Applications,
}

impl Form {
    pub(crate) const ALL: [Self; 3] = [Self::Authelia, Self::Tokens, Self::Applications];

    /// As the documents name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Authelia => "Authelia",
            Self::Tokens => "tokens",
            Self::Applications => "several applications",
        }
    }

    /// elastauth's own file in the folder of the gateway.
    pub(crate) fn config(self) -> &'static str {
        match self {
            Self::Authelia | Self::Applications => "config.yml",
            Self::Tokens => "config-oidc.yml",
        }
    }
}

/// Where the others are: ports of 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parties {
    pub(crate) authelia: u16,
    pub(crate) elastauth: u16,
    pub(crate) elasticsearch: u16,
    pub(crate) kibana: u16,
    pub(crate) wiki: u16,
}

impl Parties {
    /// A file of docs/gateways. `authelia:9091`, `elastauth:5000`, `elasticsearch:9200`,
    /// `kibana:5601` and `wiki:8000` become the addresses here, as far as the file has them.
    ///
    /// # Panics
    /// Where the file does not name elastauth, or not what `more` replaces.
    pub(crate) fn guide(&self, name: &str, more: &[(&str, &str)]) -> String {
        let text = guide::file(name, more);
        assert!(text.contains("elastauth:5000"), "{name} has no elastauth");
        self.addresses(text)
    }

    /// The same for a text that need not name elastauth.
    pub(crate) fn addresses(&self, mut text: String) -> String {
        for (of_guide, port) in [
            ("authelia:9091", self.authelia),
            ("elastauth:5000", self.elastauth),
            ("elasticsearch:9200", self.elasticsearch),
            ("kibana:5601", self.kibana),
            ("wiki:8000", self.wiki),
        ] {
            text = text.replace(of_guide, &format!("127.0.0.1:{port}"));
        }
        text
    }
}

/// A gateway that runs. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) process: Process,
    /// The entry point with TLS, for all hosts.
    pub(crate) client: Client,
    /// The port of plain HTTP, which only redirects.
    pub(crate) plain: u16,
    /// Its files.
    pub(crate) home: TempDir,
}

impl Gateway {
    /// Starts the program, and waits until it answers for Elasticsearch with such a status.
    pub(crate) async fn started(
        name: &'static str,
        program: &mut Command,
        client: Client,
        plain: u16,
        home: TempDir,
        is_ready: impl Fn(u16) -> bool,
    ) -> Result<Self, NotReady> {
        let mut process = Process::start(name, program);
        let answers = async |_: &Process| {
            let draft = Draft::get(ELASTICSEARCH, "/ready");
            match client.send(&draft).await {
                Reply::Answer(answer) if is_ready(answer.status()) => Some(()),
                Reply::Answer(_) | Reply::Closed | Reply::Silent => None,
            }
        };
        process
            .ready("its first answer", Duration::from_secs(20), answers)
            .await?;
        Ok(Self {
            process,
            client,
            plain,
            home,
        })
    }
}

/// A gateway that can be started.
#[derive(Debug)]
pub(crate) struct Program {
    /// As the documents name it, with the version.
    pub(crate) name: &'static str,
    /// The folder of its guide in docs/gateways.
    pub(crate) folder: &'static str,
    /// Starts it, and returns once it takes requests: use `ports::started`.
    pub(crate) start: fn(Form, Parties) -> LocalBoxFuture<'static, Gateway>,
    /// What it cannot prevent.
    pub(crate) exceptions: &'static [Exception],
    /// Rows of docs/gateways/ANSWERS.md in which a client has to wait for more than 15 s.
    pub(crate) waits: &'static [&'static str],
}

/// An attack that a gateway cannot prevent. One that does not happen any more fails the test.
#[derive(Debug)]
pub(crate) struct Exception {
    /// The name of the attack.
    pub(crate) attack: &'static str,
    pub(crate) forms: &'static [Form],
    /// What happens, and what to do about it: sentences for the document.
    pub(crate) what: &'static str,
}

/// A new folder with `tls.crt` and `tls.key` for all hosts of the guides, and who signed them.
pub(crate) fn home() -> (TempDir, Authority) {
    let home = tempfile::tempdir().expect("a folder for a gateway");
    let authority = Authority::new();
    let signed = authority.sign_for(&["*.example.org", "localhost"]);
    write(home.path(), "tls.crt", &signed.certificate);
    write(home.path(), "tls.key", &signed.key);
    write(home.path(), "ca.crt", &authority.pem());
    (home, authority)
}

/// Writes a file of a gateway.
pub(crate) fn write(home: &Path, name: &str, content: &str) {
    std::fs::write(home.join(name), content).expect("a file for a gateway");
}
