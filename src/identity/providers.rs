//! The configured providers, and the order in which they are asked.

use super::{
    headers, oidc,
    rejected::Rejected,
    types::{Identity, Provider},
};
use crate::{
    clock::Clock,
    net::tls::TlsError,
    request::Request,
    shutdown::Tasks,
    telemetry::{Telemetry, metrics},
};

/// The providers to ask.
#[derive(Debug, Clone)]
pub struct Config {
    /// In the order in which they are asked. Never empty.
    pub providers: Vec<ProviderConfig>,
}

/// The closed set of ways to learn who asks.
#[derive(Debug, Clone)]
pub enum ProviderConfig {
    /// Identity headers of an authentication service in front, such as Authelia.
    Headers(headers::Config),
    /// Tokens of OpenID Connect providers.
    Oidc(oidc::Config),
}

/// The configured providers, ready to be asked.
#[derive(Debug)]
pub struct Providers(Vec<Ready>);

#[derive(Debug)]
enum Ready {
    Headers(headers::Headers),
    Oidc(Box<oidc::Oidc>),
}

impl Providers {
    /// Makes the providers ready. None is asked yet.
    ///
    /// # Errors
    /// When a certificate or key file towards an identity provider cannot be used.
    pub fn new(
        config: Config,
        clock: &Clock,
        tasks: &Tasks,
        telemetry: &Telemetry,
    ) -> Result<Self, TlsError> {
        let ready = |provider| {
            Ok(match provider {
                ProviderConfig::Headers(names) => Ready::Headers(headers::Headers::new(names)),
                ProviderConfig::Oidc(config) => {
                    Ready::Oidc(Box::new(oidc::Oidc::new(config, clock, tasks, telemetry)?))
                }
            })
        };
        let ready: Result<_, _> = config.providers.into_iter().map(ready).collect();
        ready.map(Self)
    }

    /// Identity headers alone.
    #[cfg(any(test, feature = "internals"))]
    #[must_use]
    pub fn headers(names: headers::Config) -> Self {
        Self(vec![Ready::Headers(headers::Headers::new(names))])
    }

    /// Asks the providers in their configured order, but for those that the gateway's key is not
    /// for: to this request they are not configured. `None` if the request carries no credential.
    /// Headers and remembered tokens are answered without waiting for anything.
    ///
    /// # Errors
    /// The refusal of the first provider whose kind of credential the request carries: a credential
    /// that failed is never tried with another provider.
    pub async fn identify(&self, request: &Request) -> Result<Option<Identity>, Rejected> {
        let mut nobody = None;
        let (headers, allowed) = (request.headers(), request.allowed_providers());
        for provider in &self.0 {
            let identity = match provider {
                Ready::Headers(_)
                    if !request.is_of_gateway() || !allowed.allow(Provider::HEADERS) =>
                {
                    continue;
                }
                Ready::Headers(provider) => provider.identify(headers),
                Ready::Oidc(provider) => provider.identify(headers, allowed).await,
            };
            match identity {
                Ok(None) => {}
                // No credential, so it is no reason to refuse another one.
                Err(why @ Rejected::Nobody(_)) => nobody = Some(why),
                Ok(Some(_)) | Err(_) => return identity,
            }
        }
        nobody.map_or(Ok(None), Err)
    }

    /// The kinds of providers in their order, separated by commas.
    ///
    /// # Errors
    /// Why an identity provider could not be asked the last time, without its address. Remembered
    /// tokens and known keys stay in use.
    pub fn state(&self) -> Result<String, String> {
        if let Some(why) = self.oidc().and_then(oidc::Oidc::trouble) {
            return Err(why);
        }
        let kind = |provider: &Ready| match provider {
            Ready::Headers(_) => Provider::HEADERS,
            Ready::Oidc(_) => metrics::ProviderLabel::Oidc.name().unwrap_or_default(),
        };
        Ok(self.0.iter().map(kind).collect::<Vec<_>>().join(", "))
    }

    /// Forgets what a provider said about the request's token a while ago; whether there was such a
    /// statement.
    #[must_use]
    pub fn forget(&self, request: &Request) -> bool {
        self.oidc()
            .is_some_and(|oidc| oidc.forget(request.headers()))
    }

    /// The token provider, where there is one.
    #[must_use]
    pub fn oidc(&self) -> Option<&oidc::Oidc> {
        self.0.iter().find_map(|provider| match provider {
            Ready::Headers(_) => None,
            Ready::Oidc(oidc) => Some(&**oidc),
        })
    }
}
