//! What the project's own tests and examples use of the program. This is no API: it is behind the
//! feature `internals`, and changes with the program.

#![expect(missing_docs, reason = "each name is explained where it is defined")]

pub mod app {
    pub use crate::app::App;
}
pub mod broker {
    pub use crate::broker::{
        Adopt, Broker, BrokerError, Config, OpenSearchPeriods, PreviousKey, RevokeError,
        RevokeOrder, Revoked,
    };
}
pub mod clock {
    pub use crate::clock::{Clock, Timestamp};
}
pub mod cluster {
    pub use crate::cluster::{Config, Kind, PasswordForm, SecurityApi, ServiceAccount};
}
pub mod config {
    pub use crate::config::{ClusterConfig, Config, Flags, Sources, check};
}
#[cfg(feature = "demo")]
pub mod demo {
    pub mod standin {
        pub use crate::demo::standin::{
            By, Endpoint, Fault, InternalUser, Misbehaviour, RecordedCall, SERVICE_USER, StandIn,
            StoredUser, Version,
        };
    }
}
pub mod flow {
    pub use crate::flow::{AuthError, Flow, Grant, RefusedRequest};
}
pub mod identity {
    pub use crate::identity::{Config, ProviderConfig, Providers};
    pub mod headers {
        pub use crate::identity::headers::Config;
    }
}
pub mod keys {
    pub use crate::keys::Keyring;
}
pub mod ledger {
    pub use crate::ledger::{
        Config, Folders, Forgotten, Ledger, LedgerContext, Others, StoreConfig,
    };
    pub mod redis {
        pub use crate::ledger::redis::{Config, DEADLINE, RedisNode, Topology};
    }
}
pub mod model {
    pub use crate::model::{ClusterName, Group, Role, Username, mixed};
}
pub mod net {
    pub mod peer {
        pub use crate::net::peer::Peer;
    }
    pub mod tls {
        pub use crate::net::tls::config::ClientConfig;
    }
    pub mod trust {
        pub use crate::net::trust::{Config, Trust};
    }
}
pub mod outcome {
    pub use crate::outcome::Refusal;
}
pub mod request {
    pub use crate::request::{Protocol, Request};
}
pub mod respond {
    pub use crate::respond::Row;
}
pub mod roles {
    pub use crate::roles::{Mapping, config::Config};
}
pub mod secret {
    pub use crate::secret::{SecretKey, SecretString};
}
pub mod serve {
    pub use crate::serve::{
        AdminConfig, Audience, ClientLimits, Config, Listen, Server, Service, ServiceParts,
    };
}
pub mod shutdown {
    pub use crate::shutdown::{Config, Tasks};
}
pub mod telemetry {
    pub use crate::telemetry::{ClusterTelemetry, Telemetry};
    pub mod access_log {
        pub use crate::telemetry::access_log::Format;
    }
    pub mod audit {
        pub use crate::telemetry::audit::{Audit, AuditTarget, Config, Grants, Requests};
    }
    pub mod clocks {
        pub use crate::telemetry::clocks::ClockCheck;
    }
    pub mod log {
        pub use crate::telemetry::log::Config;
    }
    pub mod metrics {
        pub use crate::telemetry::metrics::{ClusterMetrics, Metrics, Proxied};
    }
    pub mod traces {
        pub use crate::telemetry::traces::Config;
    }
}
pub mod upstream {
    pub use crate::upstream::{
        HostHeader, Match, ProxyConfig, ProxyTarget, ProxyUpstream, Unmatched, Upstream,
    };
}
