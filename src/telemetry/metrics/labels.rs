//! The closed sets of label values. Nothing else can become one: no user name, no address, no
//! path.

use crate::outcome::Outcome;
use http::Method;
use std::borrow::Cow;

/// The labels of one series.
pub(super) type Labels = Vec<(&'static str, Cow<'static, str>)>;

/// The closed labels of a series: a value of one set, or of two.
pub(super) trait Label: Copy {
    const COUNT: usize;
    /// All values, in the order of their indices.
    fn all() -> impl Iterator<Item = Self>;
    fn index(self) -> usize;
    fn add_to(self, labels: &mut Labels);
}

impl<A: Label, B: Label> Label for (A, B) {
    const COUNT: usize = A::COUNT * B::COUNT;

    fn all() -> impl Iterator<Item = Self> {
        A::all().flat_map(|a| B::all().map(move |b| (a, b)))
    }

    fn index(self) -> usize {
        self.0.index() * B::COUNT + self.1.index()
    }

    fn add_to(self, labels: &mut Labels) {
        self.0.add_to(labels);
        self.1.add_to(labels);
    }
}

macro_rules! labels {
    ($($(#[$doc:meta])* $set:ident($name:literal) { $($value:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $set { $($value,)* }

        impl $set {
            /// The value as it is exposed.
            pub(crate) fn text(self) -> &'static str {
                match self { $(Self::$value => $text,)* }
            }
        }

        impl Label for $set {
            const COUNT: usize = [$($text,)*].len();

            fn all() -> impl Iterator<Item = Self> {
                [$(Self::$value,)*].into_iter()
            }

            fn index(self) -> usize {
                self as usize
            }

            fn add_to(self, labels: &mut Labels) {
                labels.push(($name, self.text().into()));
            }
        }
    )*};
}

labels! {
    /// Which provider identified or refused the user.
    ProviderLabel("provider") {
        None = "none",
        Authelia = "authelia",
        Oidc = "oidc",
    }

    /// What became of the logout token of an identity provider.
    Logout("result") {
        Taken = "taken",
        Refused = "refused",
        Unavailable = "unavailable",
    }

    /// How an attempt to make the cluster agree on a user ended, or a revocation.
    Step("step") {
        Confirmed = "confirmed",
        WrittenFirst = "written_first",
        WrittenChanged = "written_changed",
        WrittenSeen = "written_seen",
        WrittenRotated = "written_rotated",
        WrittenAdopted = "written_adopted",
        Revoked = "revoked",
        Refused = "refused",
        Failed = "failed",
    }

    /// What an operator has done to a user's account.
    UserAction("action") {
        Disable = "disable",
        Enable = "enable",
        Delete = "delete",
        Prune = "prune",
        PruneAfter = "prune_after",
    }

    /// How that ended.
    ActionEnd("result") {
        Done = "done",
        Refused = "refused",
        Failed = "failed",
    }

    /// A call of the cluster's security API.
    Call("call") {
        Authenticate = "authenticate",
        ReadUser = "read_user",
        WriteUser = "write_user",
        ListApiKeys = "list_api_keys",
        InvalidateApiKeys = "invalidate_api_keys",
        ListUsers = "list_users",
        Check = "check",
    }

    /// How a call ended: the class of its status, or no status.
    CallEnd("status_class") {
        Success = "2xx",
        Redirect = "3xx",
        Refused = "4xx",
        Failed = "5xx",
        NotSent = "not_sent",
        Lost = "lost",
    }

    /// How a look through the users for parking ended.
    Scan("result") {
        Complete = "complete",
        Failed = "failed",
    }

    /// What the ledger knew of a user.
    Lookup("result") {
        Hit = "hit",
        Stale = "stale",
        Miss = "miss",
    }

    /// Which bound of a listener refused a connection.
    Bound("bound") {
        Trusted = "trusted",
        // Of peers in `trusted_proxies` that have shown no key or certificate yet.
        Unproven = "unproven",
        UnprovenOfAddress = "unproven_of_address",
        Untrusted = "untrusted",
        UntrustedOfAddress = "untrusted_of_address",
    }

    /// A message between replicas that was not used, or is missing.
    StoreMessage("result") {
        Again = "again",
        Missed = "missed",
        OtherVersion = "other_version",
    }

    /// How a reload of the configuration ended.
    Reload("result") {
        Applied = "applied",
        Unchanged = "unchanged",
        Refused = "refused",
    }

    /// What became of a line of the audit stream.
    AuditLine("result") {
        Written = "written",
        Lost = "lost",
    }

    /// Whose clock ours is compared with.
    ClockSource("source") {
        // The cluster, or the proxy before it: Elasticsearch itself sends no `Date`, the proxies of
        // hosted ones do.
        Cluster = "cluster",
        // Another replica, through Redis.
        Replica = "replica",
        IdentityProvider = "identity_provider",
    }

    /// The method of a request of proxy mode.
    MethodLabel("method") {
        Get = "GET",
        Head = "HEAD",
        Post = "POST",
        Put = "PUT",
        Delete = "DELETE",
        Patch = "PATCH",
        Options = "OPTIONS",
        Other = "other",
    }

    /// The class of the status that a client of proxy mode got.
    StatusLabel("status") {
        Informational = "1xx",
        Success = "2xx",
        Redirect = "3xx",
        Refused = "4xx",
        Failed = "5xx",
        // The client left before there was one.
        Unknown = "unknown",
    }

    /// Why a request of proxy mode has no whole answer of the cluster. The first four have the
    /// names of elastauth 2.
    ProxyError("error_type") {
        AuthFailed = "auth_failed",
        InvalidRequest = "invalid_request",
        InvalidUsername = "invalid_username",
        NoLogin = "credential_generation_failed",
        NotAllowed = "not_allowed",
        NoCluster = "no_cluster",
        LoginRefused = "login_refused",
        NotReached = "not_reached",
        Timeout = "timeout",
        Invalid = "answer_invalid",
        Cut = "answer_cut",
        BodyCut = "body_cut",
        ClientGone = "client_gone",
    }

    /// What became of a span.
    SpanEnd("result") {
        Exported = "exported",
        QueueFull = "queue_full",
        Refused = "refused",
        Unreachable = "unreachable",
    }
}

impl Label for Outcome {
    const COUNT: usize = Self::ALL.len();

    fn all() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter()
    }

    fn index(self) -> usize {
        Self::index(self)
    }

    fn add_to(self, labels: &mut Labels) {
        labels.push(("outcome", self.name().into()));
    }
}

impl Call {
    /// The name that Elasticsearch's API gives to it, for traces.
    #[must_use]
    pub fn operation(self) -> &'static str {
        match self {
            Self::Authenticate => "security.authenticate",
            Self::ReadUser => "security.get_user",
            Self::WriteUser => "security.put_user",
            Self::ListApiKeys => "security.get_api_key",
            Self::InvalidateApiKeys => "security.invalidate_api_key",
            Self::ListUsers => "security.query_user",
            Self::Check => "check",
        }
    }
}

impl MethodLabel {
    #[must_use]
    pub(crate) fn of(method: &Method) -> Self {
        let mut all = Self::all();
        let known = all.find(|label| label.text() == method.as_str());
        known.unwrap_or(Self::Other)
    }
}

impl StatusLabel {
    #[must_use]
    pub(crate) fn of(status: Option<u16>) -> Self {
        match status {
            None => Self::Unknown,
            Some(..200) => Self::Informational,
            Some(200..300) => Self::Success,
            Some(300..400) => Self::Redirect,
            Some(400..500) => Self::Refused,
            Some(500..) => Self::Failed,
        }
    }
}

impl ProviderLabel {
    /// Its name in the configuration; `None` where no provider identified the user.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        (self != Self::None).then(|| self.text())
    }
}

impl CallEnd {
    /// The class of a status. A status below 200 never ends a call; it counts as a redirect.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            200..300 => Self::Success,
            400..500 => Self::Refused,
            500.. => Self::Failed,
            _ => Self::Redirect,
        }
    }
}
