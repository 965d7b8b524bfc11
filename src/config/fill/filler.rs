//! What every filler reads from and reports to.

use crate::{
    config::{
        finding::{Findings, Place, Reported},
        key::ConfigKey,
        section,
        settings::Settings,
        value::FromValue,
        yaml::shown,
    },
    net::{
        client::{NoProxy, Proxy},
        tls::{IdentityFiles, TrustedCas},
    },
};
use std::fmt::Display;

/// The settings to read, and the findings to add to.
pub(super) struct Filler<'a> {
    pub(super) settings: &'a Settings,
    pub(super) findings: &'a mut Findings,
    /// For the connections to all clusters.
    pub(super) cas: TrustedCas,
}

/// The proxy for connections to others over https, where the machine has one.
pub(super) type OutboundProxy = Result<Option<Proxy>, Reported>;

impl<'a> Filler<'a> {
    pub(super) fn new(settings: &'a Settings, findings: &'a mut Findings) -> Self {
        let cas = TrustedCas::default();
        Self {
            settings,
            findings,
            cas,
        }
    }

    /// For a section of a list.
    pub(super) fn section<'b>(&'b mut self, settings: &'b Settings) -> Filler<'b> {
        Filler {
            settings,
            findings: self.findings,
            cas: self.cas.clone(),
        }
    }

    pub(super) fn get<T: FromValue>(&self, key: &ConfigKey) -> Option<T> {
        self.settings.get(key)
    }

    /// A number in the width that the component has for it.
    pub(super) fn number<T: TryFrom<u64>>(&self, key: &ConfigKey) -> Option<T> {
        self.get::<u64>(key)?.try_into().ok()
    }

    pub(super) fn given(&self, key: &ConfigKey) -> bool {
        self.settings.given(key)
    }

    /// A fault at the value of a key.
    pub(super) fn fault(&mut self, key: &ConfigKey, text: impl Into<String>) {
        let (place, text) = self.within(key, text.into());
        self.findings.fault(&place, text);
    }

    /// In the section of a cluster, the keys of `elasticsearch` are those of the section.
    fn within(&self, key: &ConfigKey, text: String) -> (Place, String) {
        let place = self.settings.place(key);
        let name = &self.settings.name;
        if name.is_empty() {
            return (place, text);
        }
        let within = format!("`clusters.{}.", shown(name));
        let text = text
            .replace(&format!("`{}", section::ES), &within)
            .replace("`proxy.", &format!("{within}proxy."));
        let place = if place == Place::Nowhere && section::is_of_one_cluster(key) {
            self.settings.place.clone()
        } else {
            place
        };
        (place, text)
    }

    /// A fault that another parser found in the value of a key.
    pub(super) fn invalid(&mut self, key: &ConfigKey, why: impl Display) {
        self.fault(key, format!("`{}`: {why}", key.path));
    }

    /// A fault where a key has a value and another one, which it needs, has none.
    pub(super) fn requires(&mut self, key: &ConfigKey, other: &ConfigKey) {
        if self.given(key) && !self.given(other) {
            let fault = format!("`{}` needs `{}` as well", key.path, other.path);
            self.fault(key, fault);
        }
    }

    /// A warning at the value of a key.
    pub(super) fn warn(&mut self, key: &ConfigKey, text: impl Into<String>) {
        let (place, text) = self.within(key, text.into());
        self.findings.warn(&place, text);
    }

    /// A certificate and its key: both, or neither.
    pub(super) fn identity_files(
        &mut self,
        cert: &ConfigKey,
        key: &ConfigKey,
    ) -> Option<IdentityFiles> {
        self.requires(cert, key);
        self.requires(key, cert);
        Some(IdentityFiles {
            cert: self.get(cert)?,
            key: self.get(key)?,
        })
    }

    pub(super) fn outbound_proxy(&mut self) -> OutboundProxy {
        let (proxy, except) = self.settings.standard.proxy();
        let proxy = proxy.map(|text| Proxy::parse(text, NoProxy::parse(except)));
        proxy.transpose().map_err(|why| {
            let place = Place::Variable("HTTPS_PROXY".to_owned());
            self.findings.fault(&place, format!("`HTTPS_PROXY`: {why}"));
            Reported
        })
    }
}
