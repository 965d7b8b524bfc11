//! A real Traefik with the guide's static file.

use super::{
    guide,
    http::Server,
    part, ports,
    process::{NotReady, Process, command},
    tls::Authority,
};
use std::{path::PathBuf, time::Duration};
use tempfile::TempDir;

#[derive(Debug)]
pub(crate) struct Traefik {
    process: Process,
    server: Server,
    plain: Server,
    home: TempDir,
}

impl Traefik {
    /// Starts it with the text of a dynamic file; `/etc/traefik/` in it becomes the folder that
    /// gets `files`.
    pub(crate) async fn start(
        dynamic: &str,
        files: &[(&str, &str)],
        environment: &[(&str, &str)],
    ) -> Self {
        ports::started(async || Self::start_once(dynamic, files, environment).await).await
    }

    async fn start_once(
        dynamic: &str,
        files: &[(&str, &str)],
        environment: &[(&str, &str)],
    ) -> Result<Self, NotReady> {
        let home = tempfile::tempdir().expect("a folder for Traefik");
        let etc = format!("{}/", home.path().display());
        let (port, plain) = (ports::free_port(), ports::free_port());
        let [listen, listen_plain] = [port, plain].map(|port| format!("\"127.0.0.1:{port}\""));
        let fixed = guide::file(
            "traefik/traefik.yml",
            &[
                ("/etc/traefik/", &etc),
                ("\":443\"", &listen),
                ("\":80\"", &listen_plain),
            ],
        );
        let authority = Authority::new();
        let signed = authority.sign_for(&["localhost", "127.0.0.1", "*.example.org"]);
        for (name, content) in [("tls.crt", &signed.certificate), ("tls.key", &signed.key)] {
            std::fs::write(home.path().join(name), content).expect("Traefik's certificate");
        }
        std::fs::write(home.path().join("ca.crt"), authority.pem()).expect("Traefik's CA");
        std::fs::write(home.path().join("traefik.yml"), fixed).expect("the static file");
        std::fs::write(
            home.path().join("dynamic.yml"),
            dynamic.replace("/etc/traefik/", &etc),
        )
        .expect("the dynamic file");
        for (name, content) in files {
            std::fs::write(home.path().join(name), content).expect("a file for Traefik");
        }
        let mut traefik = command(part("traefik"));
        traefik
            .arg(format!("--configfile={etc}traefik.yml"))
            .envs(environment.iter().copied());
        let mut process = Process::start("traefik", &mut traefik);
        let host = "elasticsearch.example.org";
        let server = Server::plain(port).with_tls(authority.client()).host(host);
        let plain = Server::plain(plain).host(host);
        // 404 is Traefik's answer as long as it has not read its routers.
        let routed = async |_: &Process| {
            let answer = server
                .try_ask(http::Method::GET, "/", &[], None)
                .await
                .ok()?;
            (answer.status != http::StatusCode::NOT_FOUND).then_some(())
        };
        process
            .ready("its first route", Duration::from_secs(20), routed)
            .await?;
        Ok(Self {
            process,
            server,
            plain,
            home,
        })
    }

    /// The way in for clients of Elasticsearch.
    pub(crate) fn elasticsearch(&self) -> &Server {
        &self.server
    }

    /// The way in without TLS.
    pub(crate) fn plain(&self) -> &Server {
        &self.plain
    }

    /// Who has signed its certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.home.path().join("ca.crt")
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }
}
