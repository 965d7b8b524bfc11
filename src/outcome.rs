//! How a decision ended. The log, the audit stream, the metrics, the traces and the documents all
//! use [`Outcome::name`].

/// How a decision ended: with a login, or with one of the refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Granted,
    Refused(Refusal),
}

impl Outcome {
    /// The one spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Refused(refusal) => refusal.name(),
        }
    }

    /// Its index in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Granted => 0,
            Self::Refused(refusal) => 1 + refusal as usize,
        }
    }
}

macro_rules! refusals {
    ($($refusal:ident = $name:literal,)*) => {
        /// Why a request gets no login. docs/STATUS-CODES.md explains each to operators.
        ///
        /// A new one does not compile until `respond` has an answer for it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "docs/STATUS-CODES.md explains each")]
        pub enum Refusal { $($refusal,)* }

        impl Outcome {
            /// All of them, each at its [`Self::index`].
            pub const ALL: [Self; 1 + Refusal::ALL.len()] =
                [Self::Granted, $(Self::Refused(Refusal::$refusal),)*];
        }

        impl Refusal {
            /// All of them, in the order of docs/STATUS-CODES.md.
            pub const ALL: [Self; [$($name,)*].len()] = [$(Self::$refusal,)*];

            /// The one spelling.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$refusal => $name,)* }
            }
        }
    };
}

refusals! {
    UntrustedPeer = "untrusted_peer",
    GatewayKey = "gateway_key",
    NoCluster = "no_cluster",
    NobodyAsks = "nobody_asks",
    Malformed = "malformed",
    TokenRefused = "token_refused",
    TokenOutdated = "token_outdated",
    TokenClaims = "token_claims",
    IdentityProvider = "identity_provider",
    UnknownKey = "unknown_key",
    ImpossibleName = "impossible_name",
    GroupNotAllowed = "group_not_allowed",
    NoRole = "no_role",
    ReservedName = "reserved_name",
    Disabled = "disabled",
    ForeignUser = "foreign_user",
    WriteBudget = "write_budget",
    NewUsers = "new_users",
    ServiceAccount = "service_account",
    Cluster = "cluster",
    Late = "late",
    Busy = "busy",
    Overdue = "overdue",
    CrossOrigin = "cross_origin",
    LoginRejected = "login_rejected",
    NoConnection = "no_connection",
    NoAnswer = "no_answer",
    BadAnswer = "bad_answer",
    BadUpload = "bad_upload",
    Bug = "bug",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_is_listed_once_at_its_index() {
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome.index(), index, "{outcome:?}");
        }
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, index, "{refusal:?}");
        }
    }

    #[test]
    fn a_name_is_the_variant_in_snake_case() {
        for refusal in Refusal::ALL {
            let camel: String = refusal
                .name()
                .split('_')
                .flat_map(|word| {
                    let (first, rest) = word.split_at(1);
                    [first.to_uppercase(), rest.to_owned()]
                })
                .collect();
            assert_eq!(format!("{refusal:?}"), camel);
        }
    }
}
