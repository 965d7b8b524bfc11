//! The protocols by which gateways ask.

/// Which protocol the peer speaks, by the endpoint it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Traefik, Caddy and `HAProxy`: a refusal goes to the client as it is.
    ForwardAuth,
    /// Envoy: the same, and the auth request has the client's own method and path.
    ExtAuthz,
    /// nginx: passes on 401 and 403 without their body and makes everything else its own 500.
    AuthRequest,
    /// No gateway asks: the request is the client's own and is passed on.
    Proxy,
}

impl Protocol {
    /// The endpoint for it. Paths that have no endpoint of their own are asked as
    /// [`Self::ForwardAuth`].
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::ForwardAuth => "/elastauth/forward-auth",
            Self::ExtAuthz => "/elastauth/ext-authz",
            Self::AuthRequest => "/elastauth/auth-request",
            // Every path but our own.
            Self::Proxy => "/",
        }
    }
}
