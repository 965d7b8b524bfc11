//! What to change, for each gateway. The guides in docs/gateways have whole files.

use super::types::{Mode, Subject};
use clap::ValueEnum;
use http::{HeaderMap, header};

/// Which gateway it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    Traefik,
    Caddy,
    Nginx,
    Haproxy,
    Envoy,
}

impl Kind {
    /// By what the gateway says of itself. Traefik and `HAProxy` say nothing.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let said = [header::SERVER, header::VIA].into_iter();
        let said = said.flat_map(|name| headers.get_all(name));
        let mut said = said.map(|value| String::from_utf8_lossy(value.as_bytes()).to_lowercase());
        said.find_map(|text| {
            let known = [
                ("caddy", Self::Caddy),
                ("nginx", Self::Nginx),
                ("envoy", Self::Envoy),
            ];
            let mut known = known.into_iter();
            known.find_map(|(name, kind)| text.contains(name).then_some(kind))
        })
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Traefik => "traefik",
            Self::Caddy => "caddy",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
        }
    }
}

/// The line to change.
pub(super) fn advice(subject: Subject, kind: Option<Kind>, mode: Option<Mode>) -> String {
    // A gateway in front of proxy mode may still have the line.
    if mode == Some(Mode::Proxy)
        && let Some(line) = of_proxy_mode(subject)
    {
        return format!("{line} (docs/deployment/proxy-mode.md)");
    }
    let line = kind.and_then(|kind| of_kind(subject, kind));
    match (line, kind) {
        (Some(line), Some(kind)) => format!("{line} (docs/gateways/{}.md)", kind.name()),
        (Some(line), None) => line.to_owned(),
        (None, _) => general(subject).to_owned(),
    }
}

const fn of_proxy_mode(subject: Subject) -> Option<&'static str> {
    use Subject as S;
    Some(match subject {
        S::User | S::Groups | S::Spelling | S::Key | S::ClientKey | S::Direct => {
            "set `trusted_proxies: []` in elastauth's configuration if clients bring tokens; else \
             name the address of your gateway there, set `gateway_keys`, and let the gateway \
             delete these headers of the client"
        }
        S::Endpoints => {
            "let no request of a client reach an elastauth in auth-only mode: its answers hold the \
             login; look which one has this address"
        }
        S::Pages => {
            "set `admin.listen`: then this address has health alone. A balancer or tunnel on \
             elastauth's machine that passes on bare TCP makes every client look local"
        }
        S::Framing => "let what is in front of elastauth refuse such requests, or take it away",
        S::Cluster => {
            "look for the request's `request_id` in elastauth's log, and ask `elastauth check \
             --online`"
        }
        S::Closed | S::FailsClosed => {
            "let no address lead to the cluster past elastauth, and look which program answers here"
        }
        S::Authorization
        | S::Connection
        | S::RunAs
        | S::Forwarded
        | S::Mixing
        | S::Preflight
        | S::WebSocket => return None,
    })
}

const fn general(subject: Subject) -> &'static str {
    use Subject as S;
    match subject {
        S::Closed | S::FailsClosed => {
            "let the gateway ask elastauth on this route, and let nothing through that elastauth \
             has not answered with 200"
        }
        S::User | S::Groups => {
            "delete every identity header from the client's request before elastauth is asked"
        }
        S::Spelling => {
            "delete identity headers and their forms with `_` before the request goes to the \
             application"
        }
        S::Authorization => {
            "set `Authorization` of the request to the one of elastauth's answer, also if there is \
             none"
        }
        S::Connection => "do not let the client's `Connection` name headers that the gateway sets",
        S::RunAs => "delete this header from the client's request",
        S::Key => {
            "set `X-Elastauth-Key` on requests to elastauth, and delete it before the application"
        }
        S::ClientKey => "overwrite the client's `X-Elastauth-Key` on requests to elastauth",
        S::Forwarded => "overwrite `X-Forwarded-*` of clients; keep those of listed proxies only",
        S::Mixing => {
            "no gateway of the guides does this: look for a cache or a second proxy on the way, \
             and report it"
        }
        S::Preflight => {
            "give `OPTIONS` a route of its own that takes out `Cookie`, `Authorization` and \
             identity headers"
        }
        S::WebSocket => "let the gateway ask elastauth about the handshake like any other request",
        S::Direct => {
            "set `gateway_keys` in elastauth's configuration, and name the gateway in \
             `trusted_proxies`"
        }
        S::Endpoints | S::Pages | S::Framing | S::Cluster => "see docs/deployment/proxy-mode.md",
    }
}

const fn of_kind(subject: Subject, kind: Kind) -> Option<&'static str> {
    use Kind as K;
    use Subject as S;
    Some(match (kind, subject) {
        (K::Traefik, S::User | S::Groups) => {
            "put a middleware first in the chain that sets each identity header to \"\" in \
             `customRequestHeaders` (`clean`), and name all of them in `authResponseHeaders` of \
             the first check"
        }
        (K::Traefik, S::Spelling) => {
            "`underscoreHeadersStrategy: delete` at the entry point, and a last middleware that \
             sets the identity headers to \"\" (`forget`)"
        }
        (K::Traefik, S::Authorization) => {
            "`authResponseHeaders: [Authorization]` in the middleware that asks elastauth"
        }
        (K::Traefik, S::RunAs) => "add this header to `customRequestHeaders` of `clean`, as \"\"",
        (K::Traefik, S::Key) => {
            "a middleware before elastauth that sets `X-Elastauth-Key`, the header in \
             `authRequestHeaders`, and a last middleware that sets it to \"\""
        }
        (K::Traefik, S::ClientKey) => {
            "a middleware before elastauth that sets `X-Elastauth-Key` (`gateway-key`)"
        }
        (K::Traefik, S::Forwarded) => {
            "`trustForwardHeader: false`, and `forwardedHeaders.trustedIPs` of your balancer only"
        }
        (K::Caddy, S::User | S::Groups) => {
            "`request_header -Remote-User`, and a line for each identity header, inside `route { }` \
             and before `forward_auth`; outside of `route` Caddy runs them too late"
        }
        (K::Caddy, S::Spelling) => "`request_header -Remote-User` before `reverse_proxy` as well",
        (K::Caddy, S::Authorization) => {
            "`copy_headers Authorization` in `forward_auth elastauth`, inside `route { }`"
        }
        (K::Caddy, S::Connection) => {
            "set `Connection` yourself before `forward_auth`: `request_header @plain -Connection` \
             and `request_header @upgrade Connection Upgrade`, inside `route { }`"
        }
        (K::Caddy, S::RunAs) => "`request_header -Es-Security-Runas-User` inside `route { }`",
        (K::Caddy, S::Key | S::ClientKey) => {
            "`header_up X-Elastauth-Key {env.GATEWAY_KEY}` in `forward_auth elastauth`, and \
             `request_header -X-Elastauth-Key` before it"
        }
        (K::Caddy, S::Forwarded) => "`trusted_proxies` of your balancer only",
        (K::Nginx, S::User | S::Groups) => {
            "`proxy_set_header` for each identity header in the location that asks elastauth: the \
             value of the first check, or \"\""
        }
        (K::Nginx, S::Spelling) => {
            "`proxy_set_header Remote-User \"\";`, and a line for each identity header, in the \
             location of the application; `underscores_in_headers off;`"
        }
        (K::Nginx, S::Authorization) => {
            "`auth_request_set $es_authorization $upstream_http_authorization;` and \
             `proxy_set_header Authorization $es_authorization;` in the location of the application"
        }
        (K::Nginx, S::RunAs) => {
            "`proxy_set_header es-security-runas-user \"\";` in the location of the application"
        }
        (K::Nginx, S::Key | S::ClientKey) => {
            "`proxy_set_header X-Elastauth-Key …;` in the location that asks elastauth, and \
             `proxy_set_header X-Elastauth-Key \"\";` in that of the application"
        }
        (K::Nginx, S::Forwarded) => {
            "`proxy_set_header` for each of `X-Forwarded-For`, `-Proto`, `-Host`, `-Uri`, `-Method` \
             in the location that asks"
        }
        (K::Haproxy, S::User | S::Groups | S::Spelling | S::RunAs) => {
            "`http-request del-header` with a pattern for identity and run-as headers, `[-_]` \
             between the words, before the action that asks elastauth"
        }
        (K::Haproxy, S::Authorization) => {
            "ask with the action of contrib/haproxy, which replaces the client's `Authorization`"
        }
        (K::Haproxy, S::Key | S::ClientKey) => {
            "`http-request set-header X-Elastauth-Key` before the action that asks elastauth, and \
             `del-header` after it"
        }
        (K::Haproxy, S::Forwarded) => "`http-request set-header` for each `X-Forwarded-*`",
        (K::Envoy, S::User | S::Groups) => {
            "a `header_mutation` filter before `ext_authz` with `remove: remote-user`, and a line \
             for each identity header"
        }
        (K::Envoy, S::Spelling) => {
            "`headers_with_underscores_action: DROP_HEADER`, and a `header_mutation` filter after \
             `ext_authz` that removes the identity headers"
        }
        (K::Envoy, S::Authorization) => {
            "`allowed_upstream_headers: {patterns: [{exact: authorization}]}` in `ext_authz`, and \
             `remove: authorization` before it"
        }
        (K::Envoy, S::RunAs) => "`remove: es-security-runas-user` in the first `header_mutation`",
        (K::Envoy, S::Key | S::ClientKey) => {
            "`headers_to_add` with `x-elastauth-key` in `ext_authz`, and `remove: x-elastauth-key` \
             in the first `header_mutation`"
        }
        (K::Envoy, S::FailsClosed) => "`failure_mode_allow: false` in `ext_authz`",
        (K::Envoy, S::Forwarded) => "`use_remote_address: true`",
        _ => return None,
    })
}
