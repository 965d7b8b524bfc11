//! A CA for one test, and what it signs.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// Speaks TLS before a plain server.
pub(crate) struct TlsFront {
    pub(crate) port: u16,
    /// Of connections that begin from now on.
    config: Arc<Mutex<Arc<ServerConfig>>>,
    _serving: JoinSet<()>,
}

/// Before the server at this port of 127.0.0.1.
pub(crate) async fn front(config: Arc<ServerConfig>, target: u16) -> TlsFront {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let config = Arc::new(Mutex::new(config));
    let current = Arc::clone(&config);
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = TlsAcceptor::from(Arc::clone(&current.lock().expect("a configuration")));
            connections.spawn(async move {
                let Ok(mut client) = acceptor.accept(client).await else {
                    return;
                };
                if let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await {
                    let _either_hangs_up = copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    TlsFront {
        port,
        config,
        _serving: serving,
    }
}

impl TlsFront {
    /// Connections that are there already stay.
    pub(crate) fn change(&self, config: Arc<ServerConfig>) {
        *self.config.lock().expect("a configuration") = config;
    }
}

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, both PEM.
#[derive(Debug)]
pub(crate) struct Signed {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Signed {
    /// Self-signed, for these names, and with `CA:TRUE`.
    pub(crate) fn by_itself(names: &[&str]) -> Self {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut about = CertificateParams::new(names).expect("parameters of a certificate");
        about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = about.self_signed(&key).expect("a certificate");
        Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// A server that shows this certificate.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes())
            .expect("our own certificate");
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("our own key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions");
        Arc::new(
            config
                .with_no_client_auth()
                .with_single_cert(vec![certificate], key)
                .expect("a certificate and its key"),
        )
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut about = CertificateParams::new(Vec::<String>::new()).expect("parameters of a CA");
        // A name of its own: OpenSSL takes a certificate that is named as its issuer for
        // self-signed.
        about
            .distinguished_name
            .push(DnType::CommonName, "a CA for tests");
        about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        about.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(
            CertifiedIssuer::self_signed(about, KeyPair::generate().expect("a key")).expect("a CA"),
        )
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for 127.0.0.1 and `localhost`.
    pub(crate) fn sign(&self) -> Signed {
        self.sign_for(&["localhost", "127.0.0.1"])
    }

    /// A certificate for these names.
    pub(crate) fn sign_for(&self, names: &[&str]) -> Signed {
        let key = KeyPair::generate().expect("a key");
        let about = CertificateParams::new(
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>(),
        )
        .expect("parameters of a certificate");
        let certificate = about.signed_by(&key, &self.0).expect("a certificate");
        Signed {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// A certificate with this URI as its only name.
    pub(crate) fn sign_uri(&self, uri: &str) -> Signed {
        let key = KeyPair::generate().expect("a key");
        let mut about = CertificateParams::new(Vec::<String>::new()).expect("parameters");
        let uri = uri.to_owned().try_into().expect("a URI");
        about.subject_alt_names = vec![SanType::URI(uri)];
        let certificate = about.signed_by(&key, &self.0).expect("a certificate");
        Signed {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// A client that believes this CA and shows a certificate.
    pub(crate) fn client_with(&self, own: &Signed) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from(self.0.der().to_vec()))
            .expect("our own CA");
        let certificate = CertificateDer::from_pem_slice(own.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_root_certificates(roots);
        let config = config.with_client_auth_cert(
            vec![certificate.expect("our own certificate")],
            key.expect("our own key"),
        );
        Arc::new(config.expect("a certificate and its key"))
    }

    /// A server that shows this certificate, and takes clients with one of these CAs alone.
    pub(crate) fn server_for_clients_of(all: &[&Self], own: &Signed) -> Arc<ServerConfig> {
        let mut roots = RootCertStore::empty();
        for one in all {
            roots
                .add(CertificateDer::from(one.0.der().to_vec()))
                .expect("our own CA");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .expect("a verifier");
        let certificate = CertificateDer::from_pem_slice(own.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_client_cert_verifier(verifier);
        let config = config.with_single_cert(
            vec![certificate.expect("our own certificate")],
            key.expect("our own key"),
        );
        Arc::new(config.expect("a certificate and its key"))
    }

    /// A client that believes this CA and nobody else.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from(self.0.der().to_vec()))
            .expect("our own CA");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions");
        Arc::new(config.with_root_certificates(roots).with_no_client_auth())
    }
}
