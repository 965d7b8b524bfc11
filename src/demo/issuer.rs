//! The identity provider of the demonstration in proxy mode: it shows its key, and signs a token
//! for anybody in the directory. In production a portal would ask for a password first.

use super::{
    listener::{Answered, Answers, serve},
    people::DirectoryUser,
};
use crate::{clock::Timestamp, respond, shutdown::Tasks};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What its tokens name as their issuer. Nothing is fetched from there.
pub(super) const NAME: &str = "https://sso.demo.localhost";
/// Seconds. Longer than anybody looks at a demonstration.
const LIFETIME: u64 = 8 * 3_600;

/// The provider, with its key.
pub(super) struct Issuer {
    pair: Ed25519KeyPair,
}

impl Issuer {
    /// A new key, shown on a free port of the loopback address.
    pub(super) async fn start(tasks: &Tasks) -> io::Result<(Arc<Self>, SocketAddr)> {
        let pair = Ed25519KeyPair::generate().map_err(io::Error::other)?;
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = tcp.local_addr()?;
        let issuer = Arc::new(Self { pair });
        serve(&issuer, tcp, None, CancellationToken::new(), tasks);
        Ok((issuer, addr))
    }

    /// A token for this user, issued at this time.
    pub(super) fn token(&self, user: &DirectoryUser, at: Timestamp) -> String {
        let seconds = at.0 / 1_000;
        let header = json!({ "alg": "EdDSA", "kid": "demo", "typ": "at+jwt" });
        let claims = json!({
            "iss": NAME, "aud": "elastauth", "azp": "elastauth", "sub": user.login,
            "iat": seconds, "exp": seconds + LIFETIME,
            "preferred_username": user.login, "name": user.name, "email": user.email,
            "groups": user.groups,
        });
        let signed = format!("{}.{}", encoded(&header), encoded(&claims));
        let signature = self.pair.sign(signed.as_bytes());
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    fn keys(&self) -> Value {
        let x = BASE64_URL_SAFE_NO_PAD.encode(self.pair.public_key());
        json!({ "keys": [{
            "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "demo", "alg": "EdDSA", "use": "sig",
        }] })
    }
}

fn encoded(part: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(part.to_string())
}

impl Answers for Issuer {
    /// elastauth asks for its keys now and then.
    const MAX_CONNECTIONS: usize = 4;

    async fn answer(self: Arc<Self>, _: Request<Incoming>) -> Answered {
        let answer = respond::json(StatusCode::OK, &self.keys());
        Ok(answer.map(|body| body.map_err(io::Error::other).boxed_unsync()))
    }
}
