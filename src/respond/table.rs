//! The one table from refusal to status, headers and texts.
//!
//! Each line follows from what gateways do with an answer: any 2xx lets the request through, any
//! header of a refusal may reach the client as it is, and nginx knows no refusal but 401 and 403.
//! docs/STATUS-CODES.md explains each line to operators; a test compares the two.

use crate::{outcome::Refusal, request::Protocol};
use http::StatusCode;
use tracing::Level;

/// What is answered and logged for a refusal. Both texts are for the client, and say nothing of
/// whoever asks.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The status for every protocol but [`Protocol::AuthRequest`].
    pub status: StatusCode,
    /// The status for [`Protocol::AuthRequest`].
    pub auth_request: StatusCode,
    /// For programs. Several outcomes may share one: the difference is for the log alone.
    pub code: &'static str,
    /// What happened.
    pub message: &'static str,
    /// What a person can do about it; shown on the page.
    pub advice: &'static str,
    /// Seconds of `Retry-After`.
    pub retry_after: Option<u8>,
    /// `WWW-Authenticate`: on every 401, as RFC 9110 demands.
    pub challenge: Option<Challenge>,
    /// With which severity the refusal is logged.
    pub level: Level,
}

impl Row {
    /// The table.
    ///
    /// Levels: `INFO` for what users do, `WARN` for what a gateway or an administrator should look
    /// at, `ERROR` for what keeps everybody out.
    #[must_use]
    pub const fn of(refusal: Refusal) -> Self {
        use Refusal as R;
        match refusal {
            // An untrusted peer gets what everybody gets who is not logged in. The answer does not
            // say that the address is the reason.
            R::UntrustedPeer => not_authenticated(Level::WARN),
            R::GatewayKey => Self {
                code: "gateway_key",
                message: "The gateway did not show its key or certificate.",
                advice: "The service is set up wrongly. Tell the people who run it.",
                ..not_allowed(Level::WARN)
            },
            // Who asks is not known yet, and 404 would become a 500 in nginx.
            R::NoCluster => Self {
                code: "no_cluster",
                message: "There is no cluster for this address.",
                advice: "Check the address. If it is right, tell the people who run this service.",
                ..not_allowed(Level::WARN)
            },
            R::NobodyAsks => not_authenticated(Level::INFO),
            R::Malformed => Self {
                status: StatusCode::BAD_REQUEST,
                auth_request: StatusCode::FORBIDDEN,
                code: "malformed_identity",
                message: "The identity in the request is malformed.",
                advice: "Sign in again. If that does not help, tell the people who run this \
                         service.",
                retry_after: None,
                challenge: None,
                level: Level::WARN,
            },
            // Tokens expire all day. The error code is RFC 6750's: a client takes it as the advice
            // to fetch a new one.
            R::TokenRefused | R::TokenOutdated => Self {
                code: "invalid_token",
                message: "The token is not accepted.",
                challenge: Some(Challenge::AnotherToken),
                ..not_authenticated(Level::INFO)
            },
            R::TokenClaims | R::ImpossibleName | R::ReservedName | R::ForeignUser => {
                not_allowed(Level::WARN)
            }
            R::GroupNotAllowed | R::NoRole | R::Disabled => not_allowed(Level::INFO),
            // The budget is counted over a minute: a place in it comes free after seconds, not at
            // once.
            R::WriteBudget => unavailable(2, Level::WARN),
            // The keys may be fetched again by then. Anybody can make up names of keys, so it is no
            // fault of the provider and no error.
            R::UnknownKey => unavailable(5, Level::INFO),
            // A flood does not end within a second; who comes back with it only waits again.
            R::NewUsers => unavailable(5, Level::WARN),
            R::IdentityProvider | R::ServiceAccount | R::Cluster | R::NoConnection => {
                unavailable(2, Level::ERROR)
            }
            R::Late | R::Busy | R::Overdue | R::LoginRejected => unavailable(1, Level::WARN),
            R::CrossOrigin => Self {
                code: "cross_origin",
                message: "A page of another site sent this request.",
                advice: "Open the address of this service itself, and try it again there.",
                ..not_allowed(Level::WARN)
            },
            // Of requests that are passed on. `Retry-After` is for the next request of the client:
            // this one was not sent twice.
            R::NoAnswer => Self {
                status: StatusCode::GATEWAY_TIMEOUT,
                auth_request: StatusCode::GATEWAY_TIMEOUT,
                code: "no_answer",
                message: "The cluster did not answer in time.",
                ..unavailable(1, Level::WARN)
            },
            R::BadAnswer => Self {
                status: StatusCode::BAD_GATEWAY,
                auth_request: StatusCode::BAD_GATEWAY,
                code: "bad_answer",
                message: "The cluster's answer is not usable.",
                ..unavailable(1, Level::WARN)
            },
            R::BadUpload => Self {
                status: StatusCode::BAD_REQUEST,
                auth_request: StatusCode::FORBIDDEN,
                code: "bad_upload",
                message: "The body of the request is not whole.",
                advice: "Send it again.",
                retry_after: None,
                challenge: None,
                level: Level::INFO,
            },
            // The next try reaches another replica.
            R::Bug => Self {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                auth_request: StatusCode::INTERNAL_SERVER_ERROR,
                code: "internal",
                message: "Something went wrong inside the service.",
                advice: "This is not your fault. Tell the people who run this service, with the \
                         request id below.",
                retry_after: None,
                challenge: None,
                level: Level::ERROR,
            },
        }
    }

    /// The status of an answer, where the browser is sent to sign in and where it is not.
    #[must_use]
    pub(crate) const fn status_of(&self, protocol: Protocol, signs_in: bool) -> StatusCode {
        if signs_in {
            StatusCode::FOUND
        } else {
            self.status_for(protocol)
        }
    }

    /// The status in a protocol.
    #[must_use]
    pub const fn status_for(&self, protocol: Protocol) -> StatusCode {
        match protocol {
            Protocol::ForwardAuth | Protocol::ExtAuthz | Protocol::Proxy => self.status,
            Protocol::AuthRequest => self.auth_request,
        }
    }
}

/// What a 401 asks for. One challenge and never two: nginx 1.22 hands on the first alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// Nothing was shown.
    SignIn,
    /// A token was shown, and another one is wanted.
    AnotherToken,
}

impl Challenge {
    /// The value of `WWW-Authenticate`, where tokens are taken and where they are not.
    #[must_use]
    pub const fn text(self, tokens: bool) -> &'static str {
        match (self, tokens) {
            // No browser knows this scheme, so none pops up a password dialog (as it does for
            // `Basic`) whose password would lead nowhere. nginx copies it to its own 401.
            (Self::SignIn, false) => r#"SSO realm="elastauth""#,
            // RFC 6750, §3.1: no error where nothing was shown. Nor does any browser pop up
            // anything for this one.
            (Self::SignIn, true) => r#"Bearer realm="elastauth""#,
            // Which rule the token breaks is for the log: whoever forges tokens must not learn how
            // far they got.
            (Self::AnotherToken, _) => r#"Bearer realm="elastauth", error="invalid_token""#,
        }
    }
}

const fn not_authenticated(level: Level) -> Row {
    Row {
        status: StatusCode::UNAUTHORIZED,
        auth_request: StatusCode::UNAUTHORIZED,
        code: "not_authenticated",
        message: "You are not signed in.",
        advice: "Sign in where you usually do, then open this page again.",
        retry_after: None,
        challenge: Some(Challenge::SignIn),
        level,
    }
}

const fn not_allowed(level: Level) -> Row {
    Row {
        status: StatusCode::FORBIDDEN,
        auth_request: StatusCode::FORBIDDEN,
        code: "user_not_allowed",
        message: "You are signed in, but this user may not enter.",
        advice: "If you should have access, ask the people who run this service and give them the \
                 request id below.",
        retry_after: None,
        challenge: None,
        level,
    }
}

const fn unavailable(retry_after: u8, level: Level) -> Row {
    Row {
        status: StatusCode::SERVICE_UNAVAILABLE,
        auth_request: StatusCode::SERVICE_UNAVAILABLE,
        code: "unavailable",
        message: "The service cannot answer just now.",
        advice: "Nothing is wrong with your account. Try again in a moment.",
        retry_after: Some(retry_after),
        challenge: None,
        level,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_refusal_is_a_grant_and_nginx_gets_what_it_can_pass_on() {
        for refusal in Refusal::ALL {
            let row = Row::of(refusal);
            for protocol in [
                Protocol::ForwardAuth,
                Protocol::ExtAuthz,
                Protocol::AuthRequest,
                Protocol::Proxy,
            ] {
                let status = row.status_for(protocol);
                assert!(
                    status.is_client_error() || status.is_server_error(),
                    "{refusal:?}"
                );
                assert_eq!(
                    [502, 503, 504].contains(&status.as_u16()),
                    row.retry_after.is_some(),
                    "{refusal:?}"
                );
            }
            let nginx = row.status_for(Protocol::AuthRequest);
            assert!(
                nginx.is_server_error() || [401, 403].contains(&nginx.as_u16()),
                "{refusal:?}"
            );
        }
    }

    /// One line a row, as `docs/STATUS-CODES.md` has it.
    fn row(refusal: Refusal) -> String {
        let row = Row::of(refusal);
        let retry = row
            .retry_after
            .map_or_else(|| "none".to_owned(), |seconds| format!("{seconds} s"));
        let name = refusal.name();
        format!(
            "| `{name}` | {} | {} | `{}` | {retry} | {} |",
            row.status.as_u16(),
            row.auth_request.as_u16(),
            row.code,
            row.level.as_str().to_lowercase()
        )
    }

    #[test]
    fn the_document_has_the_table_line_for_line() {
        let document = include_str!("../../docs/STATUS-CODES.md");
        let written: Vec<&str> = document
            .lines()
            .filter(|line| line.starts_with("| `"))
            .filter(|line| line.matches('|').count() >= 7)
            .collect();
        assert_eq!(written.len(), Refusal::ALL.len());
        for (written, refusal) in written.into_iter().zip(Refusal::ALL) {
            assert!(
                written.starts_with(&row(refusal)),
                "expected\n{}\nfound\n{written}",
                row(refusal)
            );
            assert!(document.contains(Row::of(refusal).message), "{refusal:?}");
        }
    }
}
