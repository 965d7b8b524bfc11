//! TLS towards the nodes: which certificates are trusted, and which one is shown.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::path::{Path, PathBuf};

/// A CA with its files.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    cert: PathBuf,
}

fn put(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        Self {
            cert: put(folder, &format!("{name}.pem"), &cert.pem()),
            issuer: Issuer::new(params, key),
        }
    }

    fn issue(&self, folder: &Path, subject: &str) -> tls::IdentityFiles {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new([subject.to_owned()])
            .unwrap()
            .signed_by(&key, &self.issuer)
            .unwrap();
        tls::IdentityFiles {
            cert: put(folder, &format!("{subject}.crt"), &cert.pem()),
            key: put(folder, &format!("{subject}.key"), &key.serialize_pem()),
        }
    }
}

/// A node with this certificate; it speaks HTTP/1.1 only, as Elasticsearch does.
async fn node(identity: tls::IdentityFiles, client_ca: Option<PathBuf>) -> Stub {
    let mut config = tls::server(&tls::ServerConfig {
        identity,
        client_ca,
    })
    .unwrap();
    config.alpn_protocols.clear();
    Stub::start_tls(Manner::answer(404, "{}"), config).await
}

async fn read(node: &Stub, tls: tls::ClientConfig) -> Result<Option<StoredAccount>, CallError> {
    let config = Config {
        tls,
        ..config(&[format!("https://localhost:{}", node.addr.port())])
    };
    SecurityApi::new(&config, Clock::System, &ClusterTelemetry::default())
        .unwrap()
        .read_user(&joe())
        .await
}

fn trusting(ca: &Path) -> tls::ClientConfig {
    tls::ClientConfig {
        ca_cert: Some(ca.to_owned()),
        ..tls::ClientConfig::default()
    }
}

#[tokio::test]
async fn the_right_name_by_the_right_ca_is_trusted_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (
        Authority::new(folder.path(), "ours"),
        Authority::new(folder.path(), "theirs"),
    );
    let right = node(ours.issue(folder.path(), "localhost"), None).await;
    let other_name = node(ours.issue(folder.path(), "elsewhere.test"), None).await;

    assert_eq!(read(&right, trusting(&ours.cert)).await.unwrap(), None);
    for (node, ca) in [(&right, &theirs), (&other_name, &ours)] {
        let error = read(node, trusting(&ca.cert)).await.unwrap_err();
        assert!(
            matches!(error.why, CallFailure::Http(HttpError::Connect(_))),
            "{error:?}"
        );
        assert!(
            format!("{error:?}").contains("InvalidCertificate"),
            "the cause is kept for the log: {error:?}"
        );
    }
    assert_eq!(
        (right.requests().len(), other_name.requests().len()),
        (1, 0),
        "nothing is sent to an untrusted server"
    );

    let anyone = tls::ClientConfig {
        danger_skip_verify: true,
        ..tls::ClientConfig::default()
    };
    assert_eq!(read(&other_name, anyone).await.unwrap(), None);
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_without_one_nobody_gets_in() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ours");
    let strict = node(
        authority.issue(folder.path(), "localhost"),
        Some(authority.cert.clone()),
    )
    .await;

    read(&strict, trusting(&authority.cert)).await.unwrap_err();
    assert_eq!(strict.requests().len(), 0);

    let identity = Some(authority.issue(folder.path(), "elastauth.test"));
    assert_eq!(
        read(
            &strict,
            tls::ClientConfig {
                identity: identity.clone(),
                ..trusting(&authority.cert)
            }
        )
        .await
        .unwrap(),
        None
    );
    let unverified = tls::ClientConfig {
        identity,
        danger_skip_verify: true,
        ..tls::ClientConfig::default()
    };
    assert_eq!(read(&strict, unverified).await.unwrap(), None);
}

#[test]
fn tls_files_matter_only_where_a_host_is_https() {
    let missing = trusting(Path::new("/nowhere/ca.pem"));
    let with = |url: &str| {
        SecurityApi::new(
            &Config {
                tls: missing.clone(),
                ..config(&[url.to_owned()])
            },
            Clock::System,
            &ClusterTelemetry::default(),
        )
        .map(drop)
    };
    assert!(with("http://es:9200").is_ok());
    assert!(matches!(
        with("https://es:9200"),
        Err(tls::TlsError::Read { .. })
    ));
}
