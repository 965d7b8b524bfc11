//! The files of docs/gateways, as the tests of the gateways run them.

use super::types::{Gateway, ProviderKind};

/// A file of a guide.
pub(super) struct GuideFile {
    /// Its name below `/etc/<gateway>/`.
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

macro_rules! guide {
    ($name:literal, $path:literal) => {
        GuideFile {
            name: $name,
            text: include_str!(concat!("../../../", $path)),
        }
    };
}

const TRAEFIK: &[GuideFile] = &[
    guide!("traefik.yml", "docs/gateways/traefik/traefik.yml"),
    guide!("dynamic.yml", "docs/gateways/traefik/dynamic.yml"),
];
const TRAEFIK_TOKENS: &[GuideFile] = &[
    guide!("traefik.yml", "docs/gateways/traefik/traefik.yml"),
    guide!("dynamic.yml", "docs/gateways/traefik/oidc.yml"),
];
const CADDY: &[GuideFile] = &[
    guide!("Caddyfile", "docs/gateways/caddy/authelia.Caddyfile"),
    guide!("elastauth.caddy", "docs/gateways/caddy/elastauth.caddy"),
];
const CADDY_TOKENS: &[GuideFile] = &[
    guide!("Caddyfile", "docs/gateways/caddy/oidc.Caddyfile"),
    guide!("elastauth.caddy", "docs/gateways/caddy/elastauth.caddy"),
];
const NGINX: &[GuideFile] = &[
    guide!("nginx.conf", "docs/gateways/nginx/nginx.conf"),
    guide!("conf.d/elastauth.conf", "docs/gateways/nginx/authelia.conf"),
    guide!(
        "elastauth/answers.conf",
        "docs/gateways/nginx/elastauth/answers.conf"
    ),
    guide!(
        "elastauth/application.conf",
        "docs/gateways/nginx/elastauth/application.conf"
    ),
    guide!(
        "elastauth/ask-authelia.conf",
        "docs/gateways/nginx/elastauth/ask-authelia.conf"
    ),
    guide!(
        "elastauth/http.conf",
        "docs/gateways/nginx/elastauth/http.conf"
    ),
    guide!(
        "elastauth/protected.conf",
        "docs/gateways/nginx/elastauth/protected.conf"
    ),
    guide!(
        "elastauth/two-checks.conf",
        "docs/gateways/nginx/elastauth/two-checks.conf"
    ),
];
const NGINX_TOKENS: &[GuideFile] = &[
    guide!("nginx.conf", "docs/gateways/nginx/nginx.conf"),
    guide!("conf.d/elastauth.conf", "docs/gateways/nginx/oidc.conf"),
    guide!(
        "elastauth/answers.conf",
        "docs/gateways/nginx/elastauth/answers.conf"
    ),
    guide!(
        "elastauth/application.conf",
        "docs/gateways/nginx/elastauth/application.conf"
    ),
    guide!(
        "elastauth/http.conf",
        "docs/gateways/nginx/elastauth/http.conf"
    ),
    guide!(
        "elastauth/protected.conf",
        "docs/gateways/nginx/elastauth/protected.conf"
    ),
];
const HAPROXY: &[GuideFile] = &[
    guide!("haproxy.cfg", "docs/gateways/haproxy/haproxy.cfg"),
    guide!("elastauth.lua", "contrib/haproxy/elastauth.lua"),
];
const HAPROXY_TOKENS: &[GuideFile] = &[
    guide!("haproxy.cfg", "docs/gateways/haproxy/oidc.cfg"),
    guide!("elastauth.lua", "contrib/haproxy/elastauth.lua"),
];
const ENVOY: &[GuideFile] = &[guide!("envoy.yaml", "docs/gateways/envoy/envoy.yaml")];
const ENVOY_TOKENS: &[GuideFile] = &[guide!("envoy.yaml", "docs/gateways/envoy/oidc.yaml")];

/// With objects instead of files, behind Authelia.
pub(super) const KUBERNETES: &[GuideFile] = &[guide!(
    "kubernetes.yml",
    "docs/gateways/traefik/kubernetes.yml"
)];

pub(super) fn of(gateway: Gateway, provider: ProviderKind) -> &'static [GuideFile] {
    match (gateway, provider) {
        (Gateway::Traefik, ProviderKind::Authelia) => TRAEFIK,
        (Gateway::Traefik, ProviderKind::Oidc) => TRAEFIK_TOKENS,
        (Gateway::Caddy, ProviderKind::Authelia) => CADDY,
        (Gateway::Caddy, ProviderKind::Oidc) => CADDY_TOKENS,
        (Gateway::Nginx, ProviderKind::Authelia) => NGINX,
        (Gateway::Nginx, ProviderKind::Oidc) => NGINX_TOKENS,
        (Gateway::Haproxy, ProviderKind::Authelia) => HAPROXY,
        (Gateway::Haproxy, ProviderKind::Oidc) => HAPROXY_TOKENS,
        (Gateway::Envoy, ProviderKind::Authelia) => ENVOY,
        (Gateway::Envoy, ProviderKind::Oidc) => ENVOY_TOKENS,
    }
}

/// elastauth's own configuration in the guide.
pub(super) fn config(gateway: Gateway, provider: ProviderKind) -> &'static str {
    match (gateway, provider) {
        (Gateway::Traefik, ProviderKind::Authelia) => {
            include_str!("../../../docs/gateways/traefik/config.yml")
        }
        (Gateway::Traefik, ProviderKind::Oidc) => {
            include_str!("../../../docs/gateways/traefik/config-oidc.yml")
        }
        (Gateway::Caddy, ProviderKind::Authelia) => {
            include_str!("../../../docs/gateways/caddy/config.yml")
        }
        (Gateway::Caddy, ProviderKind::Oidc) => {
            include_str!("../../../docs/gateways/caddy/config-oidc.yml")
        }
        (Gateway::Nginx, ProviderKind::Authelia) => {
            include_str!("../../../docs/gateways/nginx/config.yml")
        }
        (Gateway::Nginx, ProviderKind::Oidc) => {
            include_str!("../../../docs/gateways/nginx/config-oidc.yml")
        }
        (Gateway::Haproxy, ProviderKind::Authelia) => {
            include_str!("../../../docs/gateways/haproxy/config.yml")
        }
        (Gateway::Haproxy, ProviderKind::Oidc) => {
            include_str!("../../../docs/gateways/haproxy/config-oidc.yml")
        }
        (Gateway::Envoy, ProviderKind::Authelia) => {
            include_str!("../../../docs/gateways/envoy/config.yml")
        }
        (Gateway::Envoy, ProviderKind::Oidc) => {
            include_str!("../../../docs/gateways/envoy/config-oidc.yml")
        }
    }
}
