//! Servers that show a certificate which is itself in `ca_cert`.
//!
//! Self-signed certificates as `openssl req -x509` and the packages of distributions make them say
//! `CA:TRUE`, and webpki takes no CA for a server. curl and Go trust one that is byte for byte in
//! their file of CAs, in its time and for its name; so does this.

use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use std::sync::Arc;

/// What webpki says of a server with a certificate that says `CA:TRUE`. It has looked at the time
/// before, and at nothing after.
const IS_CA: &str = "CaUsedAsEndEntity";

#[derive(Debug)]
pub(super) struct KnownCertificates {
    pub(super) usual: Arc<WebPkiServerVerifier>,
    /// Those of `ca_cert`.
    pub(super) known: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for KnownCertificates {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let usual = self.usual.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match usual {
            Err(Error::InvalidCertificate(CertificateError::Other(OtherError(why))))
                if why.to_string() == IS_CA && self.known.contains(end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            usual => usual,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::{ClientConfig, client};
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use rustls::pki_types::pem::PemObject as _;
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
    };

    /// A self-signed certificate that says `CA:TRUE`, and its key.
    fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut about = CertificateParams::new(["node.test".to_owned()]).unwrap();
        about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut about);
        (about.self_signed(&key).unwrap(), key)
    }

    /// Whether a client that knows these certificates speaks to this server under that name.
    fn is_trusted(known: &str, (shown, key): &(rcgen::Certificate, KeyPair), name: &str) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, known).unwrap();
        let config = client(&ClientConfig {
            ca_cert: Some(path),
            ..ClientConfig::default()
        })
        .unwrap();
        let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes());
        let server = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![shown.der().clone()], key.unwrap())
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut session = rustls::ServerConnection::new(Arc::new(server)).unwrap();
            let mut stream = rustls::Stream::new(&mut session, &mut stream);
            let _refused = stream.write_all(b"x");
        });
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let read = rustls::Stream::new(&mut session, &mut stream).read_exact(&mut [0]);
        drop(stream);
        serving.join().unwrap();
        read.is_ok()
    }

    #[test]
    fn a_self_signed_ca_that_is_known_byte_for_byte_is_a_server() {
        let one = self_signed(|_| {});
        assert!(is_trusted(&one.0.pem(), &one, "node.test"));
        assert!(!is_trusted(&one.0.pem(), &one, "other.test"));
        // The same key and names, in another certificate.
        let mut about = CertificateParams::new(["node.test".to_owned()]).unwrap();
        about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let other = about.self_signed(&one.1).unwrap();
        assert!(!is_trusted(&other.pem(), &one, "node.test"));
        let past = self_signed(|about| about.not_after = rcgen::date_time_ymd(2020, 1, 1));
        assert!(!is_trusted(&past.0.pem(), &past, "node.test"));
        let future = self_signed(|about| about.not_before = rcgen::date_time_ymd(2090, 1, 1));
        assert!(!is_trusted(&future.0.pem(), &future, "node.test"));
    }
}
