//! The one table of keys. Longer than other files, because a key in two tables would soon differ in
//! them.
//!
//! A row has the documentation, the name by which the fillers ask, the path, the type, and what
//! differs from the usual.

use super::{
    choice::{AuthProvider, CacheType, ClientAuthMethod, texts},
    key::{ConfigKey, Status},
    value_type::{SectionsOf, ValueType as T},
};
use crate::{
    broker::Adopt,
    cluster::{Kind, PasswordForm},
    identity::{
        group_list::Separator,
        oidc::{IdTokens, Validation},
        user_name::UserNameCase,
    },
    idp::Algorithm,
    roles::DefaultRolesApply,
    telemetry::{
        access_log::Format as AccessLogFormat,
        audit::{Grants, Requests},
        log::{Format, Level},
    },
    upstream::HostHeader,
};
use std::time::Duration;

const USE_ALLOWED_GROUPS: Status = Status::Old("allowed_groups");

const fn hours(hours: u64) -> Duration {
    Duration::from_hours(hours)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

macro_rules! table {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident: $path:literal, $value_type:expr $(, $field:ident = $value:expr)*;
    )+) => {
        $(
            $(#[doc = $doc])+
            pub(super) static $name: ConfigKey =
                ConfigKey {
                    $($field: $value,)*
                    ..ConfigKey::new($path, $value_type, concat!($($doc),+))
                };
        )+
        /// Every key, in the order of the reference.
        pub(super) static ALL: &[&ConfigKey] = &[$(&$name),+];
    };
}

table! {
    /// Where to listen. Nothing before the colon means every address of the machine.
    LISTEN: "listen", T::Listen, default = "127.0.0.1:5000";
    /// The certificate chain of the listener, PEM, leaf first. With it the listener speaks TLS,
    /// HTTP/2 included.
    TLS_CERT: "tls.cert", T::Path, example = "/etc/elastauth/tls.crt", reload = true;
    /// The private key of the certificate, PEM.
    TLS_KEY: "tls.key", T::Path, example = "/etc/elastauth/tls.key", reload = true;
    /// A PEM file of CAs. Only clients with a certificate of one of them may connect.
    TLS_CLIENT_CA: "tls.client_ca", T::Path,
        example = "/etc/elastauth/gateways-ca.pem", reload = true;
    /// Names, one of which the certificate of a gateway must have: exactly, as a DNS name, a URI
    /// (SPIFFE) or an address in its `subjectAltName`. Without this key, every certificate of
    /// `tls.client_ca` is a gateway's. `{name: …, providers: [partners]}` binds a name to
    /// providers, as `gateway_keys` does with a key. A gateway that also has to show a key must
    /// show both.
    TLS_CLIENT_NAMES: "tls.client_names", T::List(&T::ClientName),
        example = "[traefik.example.org, \"spiffe://example.org/gateway\"]", reload = true;
    /// Networks from which gateways connect. Identity headers from other addresses are ignored.
    TRUSTED_PROXIES: "trusted_proxies", T::List(&T::Network), reload = true,
        default = "127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7,fe80::/10";
    /// Keys, one of which a gateway must show in the header `X-Elastauth-Key`. List several to
    /// change a key without an outage. `{key: …, providers: [partners]}` (or `key_file`) binds a
    /// key to providers: `authelia`, `oidc`, or names of `oidc.providers`. To a request with that
    /// key, all other providers are as if they were not configured.
    GATEWAY_KEYS: "gateway_keys", T::List(&T::GatewayKey),
        example = "[\"${GATEWAY_KEY}\"]", reload = true;
    /// Networks of balancers that open each connection with a header of the PROXY protocol, version
    /// 1 or 2. From there the header is required, and the address in it is the peer: for
    /// `trusted_proxies`, the log and all bounds. From other addresses no header is read.
    PROXY_PROTOCOL: "proxy_protocol.from", T::List(&T::Network), example = "[10.0.0.5]";
    /// Let a second elastauth of the same user listen on the same address, so that a new one answers
    /// before the old one ends. New connections go to the newer one. A unix socket cannot be shared.
    /// docs/deployment/bare-metal.md says how to restart so.
    REUSE_PORT: "reuse_port", T::Bool, default = "false";
    /// Several listeners instead of `listen`, at most 16. Each has an `address`, or a unix socket:
    /// `unix` is its file, `unix_mode` the mode of the file (`0660` without a value). Each may have
    /// its own `tls`, `trusted_proxies`, `gateway_keys` and `proxy_protocol`; what it does not say
    /// is as the general keys say. A unix socket uses TLS only if its section has a `tls`, and
    /// `tls: {enabled: false}` is a listener without TLS. docs/listeners.md says more.
    LISTENERS: "listeners", T::Sections(SectionsOf::Listeners), reload = true,
        example = "[{address: \"0.0.0.0:5000\"}, {unix: /run/elastauth/elastauth.sock}]";

    /// How long elastauth goes on answering after SIGTERM, while readiness is negative, before it
    /// closes its listeners and finishes running requests. Gateways and Kubernetes learn in this
    /// time that it ends. A second SIGTERM ends the wait.
    SHUTDOWN_DELAY: "shutdown.delay", T::Duration(Duration::ZERO, millis(300_000)),
        default = "0s";
    /// How long running requests may take at the end before they are given up. Default: 15s, and 30s
    /// in proxy mode, where answers may be long.
    SHUTDOWN_TIMEOUT: "shutdown.timeout", T::Duration(millis(1_000), hours(1)), example = "30s";

    /// What identifies users: one provider, or a list of providers that are asked in this order.
    AUTH_PROVIDER: "auth_provider", T::List(&T::Choice(texts::<AuthProvider>)),
        default = "authelia";
    /// The header with the user name, or a list of headers: the first that is there counts. The
    /// gateway must remove each of them from the client's request. What gateways send for nobody
    /// (`(null)`, `-`, `undefined`, `anonymous` and the like) counts as absent.
    AUTHELIA_USERNAME: "authelia.header_username", T::List(&T::Header), default = "Remote-User",
        old = &["headers_username", "headers.username"];
    /// Whether the case of user names counts. With `lower`, `Alice` and `alice` are one user.
    AUTHELIA_USERNAME_CASE: "authelia.username_case", T::Choice(texts::<UserNameCase>),
        default = "keep";
    /// A regular expression with exactly one group. It must match the whole header, and the group
    /// is the user name; any other name is refused. Headers carry no subject: with a pattern that
    /// drops a domain, two people of two domains are one user.
    AUTHELIA_USERNAME_PATTERN: "authelia.username_pattern", T::Text,
        example = r"'CORP\\(.+)'";
    /// The header with the groups. Each may be in double quotes, and the header may be a JSON list.
    AUTHELIA_GROUPS: "authelia.header_groups", T::Header, default = "Remote-Groups",
        old = &["headers_groups", "headers.groups"];
    /// What separates the groups in that header: a comma unless this says otherwise (authentik
    /// sends `|`).
    AUTHELIA_GROUPS_SEPARATOR: "authelia.groups_separator", T::Choice(texts::<Separator>),
        example = "\"|\"";
    /// The header with the mail address.
    AUTHELIA_EMAIL: "authelia.header_email", T::Header, default = "Remote-Email",
        old = &["headers_email", "headers.email"];
    /// The header with the full name.
    AUTHELIA_NAME: "authelia.header_name", T::Header, default = "Remote-Name",
        old = &["headers_name", "headers.name"];
    /// Refuse a request that has no groups header. An empty header is accepted. With
    /// `default_roles_apply: unmapped` this is always on.
    AUTHELIA_GROUPS_REQUIRED: "authelia.groups_required", T::Bool, default = "false";
    /// Where users sign in, an absolute URL. A browser that asks for a page without an identity, or
    /// with a token that has expired, gets 302 to it; all other requests get 401. `{url}` stands
    /// for the URL that the user wanted to see, percent-encoded. It is made of `X-Forwarded-Proto`,
    /// `-Host` and `-Uri`, and without all three there is no redirect. In proxy mode a browser that
    /// comes without a gateway says it by its own request. nginx redirects by itself, as its guide
    /// says.
    LOGIN_URL: "login_url", T::Address, reload = true,
        example = "\"https://auth.example.org/?rd={url}\"";

    /// Roles for every user, in addition to those of the mappings.
    DEFAULT_ROLES: "default_roles", T::List(&T::Role), example = "[viewer]", reload = true;
    /// Who gets the default roles: every user (`always`), or only users whom no mapping matches
    /// (`unmapped`, as the Go program did).
    DEFAULT_ROLES_APPLY: "default_roles_apply", T::Choice(texts::<DefaultRolesApply>),
        default = "always";
    /// Which group gives which roles. ASCII case does not count, `*` matches any text. Below a
    /// pattern, `{1}` in the name of a role is what its first `*` stands for, `{2}` the second:
    /// `"team-*": ["kibana-{1}"]`. That text must have 1 to 128 ASCII letters, digits or `. _ - @
    /// +`, and it cannot make an administrator's role. In the environment, one variable for each
    /// group.
    GROUP_MAPPINGS: "group_mappings", T::Mappings, reload = true,
        example = "\n  search-readers: [viewer]\n  search-editors: [editor]";
    /// Which user has which roles, in addition to those of the groups. Case counts, `*` and `{1}`
    /// are as in `group_mappings`. With several providers, a name is that of each of them: use
    /// `oidc.username_prefix`, or mappings in the sections of `oidc.providers`. A user whom
    /// `allowed_groups` refuses stays refused. In the environment, one variable for each user,
    /// whose name is in small letters then.
    USER_MAPPINGS: "user_mappings", T::Mappings, reload = true,
        example = "\n  alice: [editor]\n  \"svc-*\": [\"service-{1}\"]";
    /// Only users with one of these groups may enter; `*` matches any text. Leave it out to let
    /// every group in.
    ALLOWED_GROUPS: "allowed_groups", T::List(&T::Group),
        example = "[\"search-*\"]", reload = true;
    /// Whether `group_whitelist` counts.
    ENABLE_GROUP_WHITELIST: "enable_group_whitelist", T::Bool,
        status = USE_ALLOWED_GROUPS, reload = true;
    /// The groups that may enter.
    GROUP_WHITELIST: "group_whitelist", T::List(&T::Group),
        status = USE_ALLOWED_GROUPS, reload = true;

    /// Whose security API the cluster has. With `auto`, elastauth asks the cluster before the first
    /// call.
    ES_KIND: "elasticsearch.kind", T::Choice(texts::<Kind>), default = "auto";
    /// Base URLs of the cluster's nodes. A path is a prefix.
    ES_HOSTS: "elasticsearch.hosts", T::List(&T::NodeUrl),
        example = "[\"https://elasticsearch:9200\"]",
        old = &["elasticsearch.host", "elasticsearch_host"];
    /// The service account that writes users.
    ES_USERNAME: "elasticsearch.username", T::Text, example = "elastauth",
        old = &["elasticsearch_username"];
    /// The password of the service account.
    ES_PASSWORD: "elasticsearch.password", T::Secret, example = "\"${ELASTICSEARCH_PASSWORD}\"",
        old = &["elasticsearch_password"], reload = true;
    /// An API key in its encoded form, instead of user name and password.
    ES_API_KEY: "elasticsearch.api_key", T::Secret, example = "\"${ELASTICSEARCH_API_KEY}\"",
        reload = true;
    /// A name for the cluster. It is part of every derived password: two clusters that share a
    /// `secret_key` need two names.
    ES_CLUSTER_NAME: "elasticsearch.cluster_name", T::Text, default = "default";
    /// Answer with logins and write no users. For trying things out.
    ES_DRY_RUN: "elasticsearch.dry_run", T::Bool, default = "false",
        old = &["elasticsearch_dry_run"];
    /// Only a check: with `true`, every host must be `https`. The URL of a host decides whether
    /// elastauth uses TLS.
    ES_TLS_ENABLED: "elasticsearch.tls.enabled", T::Bool, default = "false";
    /// A PEM file of CAs that are trusted instead of the system's. A server whose own certificate
    /// is in the file is trusted as well, also if that certificate says `CA:TRUE`.
    ES_TLS_CA: "elasticsearch.tls.ca_cert", T::Path,
        example = "/etc/elastauth/elasticsearch-ca.pem", reload = true;
    /// A client certificate, PEM.
    ES_TLS_CERT: "elasticsearch.tls.client_cert", T::Path,
        example = "/etc/elastauth/client.crt", reload = true;
    /// The private key of the client certificate, PEM.
    ES_TLS_KEY: "elasticsearch.tls.client_key", T::Path,
        example = "/etc/elastauth/client.key", reload = true;
    /// Accept any certificate. Anyone between elastauth and the cluster can then read the password
    /// of the service account.
    ES_TLS_SKIP: "elasticsearch.tls.insecure_skip_verify", T::Bool, default = "false",
        old = &["insecure_skip_verify"];
    /// If there are several clusters: the hosts that clients ask for, for which this cluster is.
    /// `*.es.example.com` stands for every host below that domain, `{tenant}.es.example.com` for
    /// those with one label more. Exact hosts count before a capture in braces, and that before
    /// `*`. The gateway says the host. docs/clusters.md has the rules.
    ES_MATCH_HOSTS: "elasticsearch.match.hosts", T::List(&T::Text), reload = true,
        example = "[es.example.com]";
    /// Prefixes of the paths that clients ask for, in whole segments. The longest one counts.
    ES_MATCH_PATHS: "elasticsearch.match.paths", T::List(&T::Text), reload = true,
        example = "[/elasticsearch]";
    /// A header that chooses this cluster. The gateway must set it in every request and remove it
    /// from the client's: elastauth cannot see who has sent it.
    ES_MATCH_HEADER_NAME: "elasticsearch.match.header.name", T::Text, reload = true,
        example = "X-Cluster";
    /// The exact value of that header.
    ES_MATCH_HEADER_VALUE: "elasticsearch.match.header.value", T::Text, reload = true,
        example = "default";
    /// In proxy mode: what is beside the cluster, such as Kibana. Each has a `name`, a `url`, and a
    /// `match` with `hosts` or `paths`, as a cluster has: its requests go on to the URL, with the
    /// same login. `strip_prefix: true` removes the path by which it was found. `host_header`
    /// is as `proxy.host_header`, and `tls` has `ca_cert`, `client_cert`, `client_key` and
    /// `insecure_skip_verify`. docs/deployment/proxy-mode.md says more.
    ES_UPSTREAMS: "elasticsearch.upstreams", T::Sections(SectionsOf::Upstreams),
        example = "[{name: kibana, url: \"https://kibana:5601\", match: {hosts: [kibana.example.com]}}]";
    /// Further clusters, each under its name: 1 to 63 small letters, digits, `-` and `_`. A section
    /// has the keys of `elasticsearch` without that prefix, except `cluster_name`: its name is part
    /// of every derived password. It may have its own `default_roles`, `default_roles_apply`,
    /// `group_mappings`, `user_mappings`, `allowed_groups`, `credentials` (`rotation`, `grace`,
    /// `rotation_window`, `rotation_time_zone`, `park`, `park_within`, `hash`) and `users` (`adopt`,
    /// `writes_per_minute`, `new_per_minute`, `writes_at_once`, `prune_after`); for each key that it
    /// does not have, the general one counts. The cluster of `elasticsearch` exists beside these if one of its keys
    /// is set; its name is `elasticsearch.cluster_name`. docs/clusters.md says more.
    CLUSTERS: "clusters", T::Sections(SectionsOf::Clusters), reload = true,
        example = "\n  unmatched: refuse\n  search:\n    kind: opensearch\n    hosts: [\"https://search:9200\"]\n    username: elastauth\n    password: \"${SEARCH_PASSWORD}\"\n    match: {hosts: [search.example.com]}\n    group_mappings: {search-readers: [readall]}";
    /// What becomes of a request that is for no cluster by its `match`: `refuse` (403), or the name
    /// of the cluster that it is for. Without a value such requests are refused, unless there is one
    /// cluster only and it has no `match`.
    UNMATCHED: "clusters.unmatched", T::Text, reload = true, example = "refuse";

    /// The key from which elastauth computes every password; the same on every replica. Without it,
    /// each start makes a key.
    SECRET_KEY: "secret_key", T::SecretKey, example = "\"${SECRET_KEY}\"";
    /// The key before the present one, while the key is being changed.
    SECRET_KEY_PREVIOUS: "secret_key_previous", T::SecretKey,
        example = "\"${SECRET_KEY_PREVIOUS}\"";
    /// The time from which users move from the previous key to the present one, each at the next
    /// change of the password. Choose a time by which every replica has both keys.
    SECRET_KEY_SINCE: "secret_key_since", T::Timestamp, example = "2027-01-31T12:00:00Z";
    /// How long a user's password is valid; with 0 it does not change. On OpenSearch the default is
    /// `168h`: each write of a user there makes the cluster check everybody's login again.
    ROTATION: "credentials.rotation", T::Duration(Duration::ZERO, hours(365 * 24)),
        default = "24h";
    /// How long a user's requests wait when the password changes. Choose more than the clocks of
    /// the replicas differ.
    GRACE: "credentials.grace", T::Duration(Duration::ZERO, millis(1_500)), default = "500ms";
    /// The time of day in which passwords change, such as `02:00-05:00`.
    ROTATION_WINDOW: "credentials.rotation_window", T::Text, example = "02:00-05:00";
    /// The time zone of that window.
    ROTATION_TIME_ZONE: "credentials.rotation_time_zone", T::Text, default = "UTC";
    /// Park users who stay away. Their login of an ended period works until somebody writes the
    /// user again; parking gives the user a password that no request gets. Users who come back get
    /// in as always. Without rotation it does nothing.
    PARK: "credentials.park", T::Bool, default = "true";
    /// How long after the end of its period a login of a user who stays away may still work, at
    /// most. Without a value it is a quarter of `credentials.rotation`, at least `2s` and at most
    /// `1h`, and on OpenSearch, which parks many users by one write, at most `24h`.
    PARK_WITHIN: "credentials.park_within", T::Duration(millis(2_000), hours(7 * 24)),
        example = "1h";
    /// How passwords are sent: as a cheap hash where the cluster accepts it (`auto`), or in clear
    /// (`off`).
    HASH: "credentials.hash", T::Choice(texts::<PasswordForm>), default = "auto";
    /// Which existing users elastauth may take over: none, those of the Go program, or any that is
    /// not reserved. The last also takes over users that were written for a user of that name of
    /// another provider, or with another subject.
    ADOPT: "users.adopt", T::Choice(texts::<Adopt>), default = "elastauth-go";
    /// How often one user may be written in a minute. Requests that need more writes are refused.
    WRITES_PER_MINUTE: "users.writes_per_minute", T::Number(1, 1_000), default = "10";
    /// How many users that the cluster does not have one replica creates in a minute, for each
    /// provider. Beyond it, new users of that provider get 503; all others are not affected.
    NEW_PER_MINUTE: "users.new_per_minute", T::Number(1, 1_000_000), default = "1000";
    /// How many users one replica writes at the same time; a quarter of these writes are reserved
    /// for known users. Each write changes the cluster's security index, and a small cluster makes
    /// such changes one by one.
    WRITES_AT_ONCE: "users.writes_at_once", T::Number(1, 64), default = "16";
    /// Delete users whom nobody has used for so long; without a value, or with 0, nobody is
    /// deleted. Whoever comes back is made again. Disabled users stay, and so do those of whom it
    /// is not noted when they were seen. At least twice `credentials.rotation`: it is known to
    /// within that when a user was seen. Without rotation at least `50h`, and `338h` on OpenSearch,
    /// with the default of `cache.expiration`. If more than half of all users, and more than 10,
    /// would go at once, nobody is deleted and the log says so. elastauth's own account needs the
    /// right to delete users.
    PRUNE_AFTER: "users.prune_after", T::Duration(Duration::ZERO, hours(10 * 365 * 24)),
        example = "2160h";

    /// Accepted from older files, without effect: elastauth checks each user again after
    /// `cache.expiration`, used or not.
    EXTEND_CACHE: "extend_cache", T::Bool, default = "false";
    /// Where elastauth remembers which users are in the cluster.
    CACHE_TYPE: "cache.type", T::Choice(texts::<CacheType>), default = "memory",
        old = &["cache_type"];
    /// How long elastauth relies on what it remembers of a user, at most, before it asks the
    /// cluster again. Each user is checked at a time of its own, so that the checks are spread.
    CACHE_EXPIRATION: "cache.expiration", T::Duration(millis(100), hours(31 * 24)),
        default = "1h", old = &["cache_expire"];
    /// How many users are remembered in memory. The default has room for a million; memory is used
    /// only as users come.
    CACHE_CAPACITY: "cache.capacity", T::Number(1, 100_000_000), default = "1200000";
    /// Host and port of Redis.
    REDIS_HOST: "cache.redis_host", T::Address, default = "localhost:6379", old = &["redis_host"];
    /// The number of the Redis database.
    REDIS_DB: "cache.redis_db", T::Number(0, 65_535), default = "0", old = &["redis_db"];
    /// The Redis user.
    REDIS_USERNAME: "cache.redis_username", T::Text, example = "elastauth", reload = true;
    /// The password of the Redis user.
    REDIS_PASSWORD: "cache.redis_password", T::Secret, example = "\"${REDIS_PASSWORD}\"",
        reload = true;
    /// The folder of the file cache, for elastauth alone: it makes the folder, and no other user
    /// can read it. The default is `cache` in the state directory that systemd gives a service
    /// (`STATE_DIRECTORY`); without either, users are remembered in memory.
    CACHE_PATH: "cache.path", T::Path, example = "/var/lib/elastauth/cache",
        old = &["cache_path"];
    /// Redis by URL, instead of `cache.redis_host`: `redis://`, `rediss://` (TLS) or `unix://`,
    /// with user, password and database if needed.
    REDIS_URL: "redis.url", T::Secret, example = "\"rediss://redis:6379\"";
    /// Redis Sentinels, each `host:port` or a URL. They name the server that is used.
    REDIS_SENTINEL: "redis.sentinel", T::List(&T::Secret),
        example = "[\"sentinel-0:26379\", \"sentinel-1:26379\"]";
    /// The name of that server at the Sentinels.
    REDIS_SENTINEL_MASTER: "redis.sentinel_master", T::Text, example = "mymaster";
    /// Some nodes of a Redis cluster, each `host:port` or a URL. They name the others.
    REDIS_CLUSTER: "redis.cluster", T::List(&T::Secret),
        example = "[\"redis-0:6379\", \"redis-1:6379\"]";
    /// A PEM file of CAs that are trusted instead of the system's, for `rediss://` addresses: also
    /// for the server that Sentinels name. A server's own certificate may be in the file, except in
    /// a cluster (`redis.cluster`), where it takes a CA.
    REDIS_TLS_CA: "redis.tls.ca_cert", T::Path, example = "/etc/elastauth/redis-ca.pem",
        reload = true;
    /// A client certificate for Redis, PEM.
    REDIS_TLS_CERT: "redis.tls.client_cert", T::Path,
        example = "/etc/elastauth/redis-client.crt", reload = true;
    /// The private key of that certificate, PEM.
    REDIS_TLS_KEY: "redis.tls.client_key", T::Path,
        example = "/etc/elastauth/redis-client.key", reload = true;

    /// The lowest severity that is logged.
    LOG_LEVEL: "log_level", T::Choice(texts::<Level>), default = "info", reload = true;
    /// The format of the log.
    LOG_FORMAT: "log_format", T::Choice(texts::<Format>), default = "text";
    /// Where the audit lines go: a file, or `stdout`.
    AUDIT_PATH: "audit.path", T::Path, example = "/var/log/elastauth/audit.jsonl";
    /// Which logins the audit stream has: those for which elastauth asked or changed the cluster
    /// (`changes`), or every one (`all`).
    AUDIT_GRANTS: "audit.grants", T::Choice(texts::<Grants>), default = "changes";
    /// In proxy mode: which requests the audit stream has, with user, method, path, indices and
    /// status: those that may change something (`writes`), or every one (`all`). A search by POST
    /// changes nothing; what elastauth does not know counts as a write.
    AUDIT_REQUESTS: "audit.requests", T::Choice(texts::<Requests>), default = "off";
    /// In proxy mode: a line for each request on standard output, with user, method, path without
    /// query, status, bytes, times and node. The log itself goes to standard error.
    ACCESS_LOG: "access_log", T::Choice(texts::<AccessLogFormat>), default = "off";
    /// Serve metrics for Prometheus at `/elastauth/metrics`.
    ENABLE_METRICS: "enable_metrics", T::Bool, default = "false";
    /// Send traces as the standard `OTEL_*` variables say; docs/TRACING.md lists those that count.
    ENABLE_OTEL: "enableOtel", T::Bool, default = "false", variables = &["ELASTAUTH_ENABLE_OTEL"];
    /// A separate listener for the pages of operators: metrics, configuration, API description,
    /// health. Everybody who reaches it sees them; the main listener then serves only health.
    /// Without the key the main listener shows them to `trusted_proxies`; in proxy mode, where
    /// clients reach it, to processes of this machine alone.
    ADMIN_LISTEN: "admin.listen", T::Listen, example = "127.0.0.1:5001";
    /// Host names by which operators and scrapers ask for these pages, without ports. Addresses and
    /// `localhost` need not be named. By any other name the pages are not shown, so that a page in
    /// an operator's browser cannot read them by DNS rebinding; while the key is not set, metrics
    /// are shown by every name, with a warning. Health is shown by every name.
    ADMIN_HOSTS: "admin.hosts", T::List(&T::Text), example = "[elastauth.internal]";

    /// The name of the provider in the log, and in the metadata of the users that are written for
    /// it. With another name it is another provider to the users in the cluster.
    OIDC_NAME: "oidc.name", T::Text, default = "oidc";
    /// The issuer of the tokens, exactly as in `iss`. What no other key says is discovered from it:
    /// then it is a URL. With `oidc.jwks_uri`, and the endpoints that `oidc.token_validation` asks,
    /// it may be any text. Without signed tokens it may be left out: set
    /// `oidc.token_validation: userinfo` and `oidc.userinfo_endpoint`, or `introspection` and
    /// `oidc.introspection_endpoint`.
    OIDC_ISSUER: "oidc.issuer", T::Address, example = "https://sso.example.org/realms/main";
    /// The client id of elastauth at the issuer. A token must be issued for it, unless
    /// `oidc.audiences` says otherwise.
    OIDC_CLIENT_ID: "oidc.client_id", T::Text, example = "elastauth";
    /// The client secret of elastauth at the issuer. Only introspection uses it.
    OIDC_CLIENT_SECRET: "oidc.client_secret", T::Secret, example = "\"${OIDC_CLIENT_SECRET}\"",
        reload = true;
    /// Where users sign in. Accepted from older files; elastauth only checks tokens.
    OIDC_AUTHORIZATION_ENDPOINT: "oidc.authorization_endpoint", T::Url,
        example = "https://sso.example.org/authorize";
    /// Where tokens are issued. Accepted from older files; elastauth only checks tokens.
    OIDC_TOKEN_ENDPOINT: "oidc.token_endpoint", T::Url,
        example = "https://sso.example.org/token";
    /// Replaces the discovered userinfo endpoint.
    OIDC_USERINFO_ENDPOINT: "oidc.userinfo_endpoint", T::Address,
        example = "https://sso.example.org/userinfo";
    /// Replaces the discovered introspection endpoint.
    OIDC_INTROSPECTION_ENDPOINT: "oidc.introspection_endpoint", T::Address,
        example = "https://sso.example.org/introspect";
    /// Replaces the discovered key set.
    OIDC_JWKS_URI: "oidc.jwks_uri", T::Address, example = "https://sso.example.org/keys";
    /// The scopes of a sign-in. Accepted from older files; elastauth only checks tokens.
    OIDC_SCOPES: "oidc.scopes", T::List(&T::Text), default = "openid,profile,email,groups";
    /// How elastauth authenticates at the issuer. `none` sends the client id alone, and a client
    /// certificate if one is set.
    OIDC_CLIENT_AUTH_METHOD: "oidc.client_auth_method", T::Choice(texts::<ClientAuthMethod>),
        default = "client_secret_basic";
    /// The private key for `private_key_jwt`: PEM, RSA, P-256, P-384 or Ed25519.
    OIDC_PRIVATE_KEY: "oidc.private_key", T::Secret, example = "\"${OIDC_PRIVATE_KEY}\"",
        reload = true;
    /// The id of that key at the issuer (`kid`).
    OIDC_PRIVATE_KEY_ID: "oidc.private_key_id", T::Text, example = "elastauth-1";
    /// How a token is checked: by its signature (`jwks`), by asking the issuer (`userinfo`,
    /// `introspection`), or signed tokens by their signature and all others by asking (`both`).
    OIDC_TOKEN_VALIDATION: "oidc.token_validation", T::Choice(texts::<Validation>),
        default = "jwks";
    /// Use PKCE at a sign-in. Accepted from older files; elastauth only checks tokens.
    OIDC_USE_PKCE: "oidc.use_pkce", T::Bool, default = "true";
    /// Audiences, one of which a token must have. The default is the client id.
    OIDC_AUDIENCES: "oidc.audiences", T::List(&T::Text), example = "[elastauth]";
    /// Clients to which a token may be issued (`azp`); `*` means any client. The default is the
    /// client itself and the audiences.
    OIDC_AUTHORIZED_PARTIES: "oidc.authorized_parties", T::List(&T::Text),
        example = "[kibana-login]";
    /// Where ID tokens are accepted: in their own cookie, nowhere, or wherever an access token is.
    OIDC_ID_TOKENS: "oidc.id_tokens", T::Choice(texts::<IdTokens>), default = "in_cookie";
    /// The cookie that may hold an access token.
    OIDC_ACCESS_COOKIE: "oidc.access_token_cookie", T::Text, default = "access_token";
    /// The cookie that may hold an ID token.
    OIDC_ID_COOKIE: "oidc.id_token_cookie", T::Text, default = "id_token";
    /// Headers that hold a token and nothing else, as Cloudflare Access and Google IAP send them.
    OIDC_TOKEN_HEADERS: "oidc.token_headers", T::List(&T::Header),
        example = "[Cf-Access-Jwt-Assertion]";
    /// Accept only access tokens that say so in their header (`at+jwt`, RFC 9068).
    OIDC_REQUIRE_AT_JWT: "oidc.require_at_jwt", T::Bool, default = "false";
    /// Signature algorithms that are accepted. The first RSA one also counts for RSA keys that name
    /// none.
    OIDC_ALGORITHMS: "oidc.algorithms", T::List(&T::Choice(texts::<Algorithm>)),
        default = "RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,EdDSA";
    /// How far the issuer's clock may differ.
    OIDC_LEEWAY: "oidc.leeway", T::Duration(Duration::ZERO, millis(300_000)), default = "30s";
    /// How long the issuer's answer about an opaque token is remembered; with 0 it is not.
    OIDC_CACHE: "oidc.cache", T::Duration(Duration::ZERO, hours(24)), default = "30s";
    /// Whether the case of user names counts. With `lower`, `Alice` and `alice` are one name; the
    /// subject (`sub`) still decides whose it is, so a token without one is refused.
    OIDC_USERNAME_CASE: "oidc.username_case", T::Choice(texts::<UserNameCase>),
        default = "keep";
    /// A regular expression with exactly one group. It must match the whole claim, and the group is
    /// the user name; any other name is refused. A token without a subject (`sub`) is refused as
    /// well.
    OIDC_USERNAME_PATTERN: "oidc.username_pattern", T::Text,
        example = "'accounts\\.google\\.com:(.+)'";
    /// What separates groups in a claim that is one text. Without it such a text is one group,
    /// unless it is a JSON list.
    OIDC_GROUPS_SEPARATOR: "oidc.groups_separator", T::Choice(texts::<Separator>),
        example = "\";\"";
    /// A prefix for every user name of this provider.
    OIDC_USERNAME_PREFIX: "oidc.username_prefix", T::Text, example = "\"sso-\"";
    /// A prefix for every group of this provider.
    OIDC_GROUP_PREFIX: "oidc.group_prefix", T::Text, example = "\"sso:\"";
    /// Where the user name is a mail address: refuse tokens that do not say by `email_verified`
    /// whether the address is verified. Tokens that say that it is not are always refused.
    OIDC_EMAIL_VERIFIED_REQUIRED: "oidc.email_verified_required", T::Bool, default = "true";
    /// The claim with the user name, or a list of claims: the first that is there counts. A claim
    /// is a name, a URL, a path (`a.b`), a JSON pointer (`/a/b`) or a quoted name.
    OIDC_CLAIM_USERNAME: "oidc.claim_mappings.username", T::List(&T::Text),
        default = "preferred_username";
    /// The claim with the mail address.
    OIDC_CLAIM_EMAIL: "oidc.claim_mappings.email", T::Text, default = "email";
    /// The claims with the groups. A user has the groups of all of them. A claim may be a list, a
    /// text, or an object whose keys are the groups.
    OIDC_CLAIM_GROUPS: "oidc.claim_mappings.groups", T::List(&T::Text), default = "groups";
    /// If groups are a list of objects, the member with the name.
    OIDC_CLAIM_GROUP_MEMBER: "oidc.claim_mappings.group_member", T::Text, default = "name";
    /// The claim with the full name.
    OIDC_CLAIM_NAME: "oidc.claim_mappings.full_name", T::Text, default = "name";
    /// Headers that are sent to the issuer. In the environment, one variable for each header, `_`
    /// for `-`.
    OIDC_CUSTOM_HEADERS: "oidc.custom_headers", T::Pairs,
        example = "{X-Tenant: \"${TENANT}\"}", reload = true;
    /// A PEM file of CAs that are trusted for the issuer instead of the system's, or the issuer's
    /// own certificate.
    OIDC_TLS_CA: "oidc.tls.ca_cert", T::Path, example = "/etc/elastauth/sso-ca.pem",
        reload = true;
    /// A client certificate for the issuer, PEM.
    OIDC_TLS_CERT: "oidc.tls.client_cert", T::Path, example = "/etc/elastauth/client.crt",
        reload = true;
    /// The private key of the client certificate, PEM.
    OIDC_TLS_KEY: "oidc.tls.client_key", T::Path, example = "/etc/elastauth/client.key",
        reload = true;
    /// Several providers instead of one. Each section has a `name` and the keys that a single
    /// provider has below `oidc`, except the cookies and headers that hold tokens. The `iss` of a
    /// token selects the provider. A section may have its own `default_roles`,
    /// `default_roles_apply`, `group_mappings`, `user_mappings` and `allowed_groups`; with any of
    /// these, none of the general ones applies to its users. A running elastauth applies new values
    /// of the keys of a section that say so; any other change of the list requires a restart.
    OIDC_PROVIDERS: "oidc.providers", T::Sections(SectionsOf::Providers), reload = true,
        example = "[{name: staff, issuer: \"https://sso.example.org\", client_id: elastauth}]";

    /// Proxy mode: elastauth carries the requests to the cluster itself, each with the login of its
    /// user, instead of answering a gateway. Its own pages are below `/elastauth/`; everything else
    /// is the cluster's. docs/deployment/proxy-mode.md says more.
    PROXY_ENABLED: "proxy.enabled", T::Bool, default = "false";
    /// Where requests go on to, where that is not `elasticsearch.hosts`: a balancer in front of the
    /// nodes, or nodes for searches alone. A path is a prefix. In a section of `clusters` it is
    /// `proxy.elasticsearch_url` of that section.
    PROXY_URL: "proxy.elasticsearch_url", T::Url, example = "\"https://elasticsearch:9200\"";
    /// How long the cluster may take until the head of its answer is there; with 0 there is no
    /// bound. The body of an answer may take as long as it likes.
    PROXY_TIMEOUT: "proxy.timeout", T::Duration(Duration::ZERO, hours(24)), default = "30s";
    /// How many idle connections to each node are kept.
    PROXY_MAX_IDLE: "proxy.max_idle_conns", T::Number(0, 100_000), default = "100";
    /// How long an idle connection is kept. Choose less than what a balancer in between has.
    PROXY_IDLE_TIMEOUT: "proxy.idle_conn_timeout", T::Duration(Duration::ZERO, hours(24)),
        default = "90s";
    /// Which `Host` the cluster sees: the client's own, which Kibana needs for its redirects, or
    /// that of the URL (`upstream`), by which a hosted cluster is found.
    PROXY_HOST: "proxy.host_header", T::Choice(texts::<HostHeader>), default = "client";
    /// Only a check: with `true`, `proxy.elasticsearch_url` must be `https`.
    PROXY_TLS_ENABLED: "proxy.tls.enabled", T::Bool, default = "false";
    /// Accept any certificate at `proxy.elasticsearch_url`. Anyone between elastauth and the cluster
    /// can then read the logins of all users.
    PROXY_TLS_SKIP: "proxy.tls.insecure_skip_verify", T::Bool, default = "false";
    /// A PEM file of CAs that are trusted at `proxy.elasticsearch_url` instead of the system's.
    /// Without `proxy.elasticsearch_url`, `elasticsearch.tls` counts.
    PROXY_TLS_CA: "proxy.tls.ca_cert", T::Path, example = "/etc/elastauth/elasticsearch-ca.pem";
    /// A client certificate for `proxy.elasticsearch_url`, PEM.
    PROXY_TLS_CERT: "proxy.tls.client_cert", T::Path, example = "/etc/elastauth/client.crt";
    /// The private key of the client certificate, PEM.
    PROXY_TLS_KEY: "proxy.tls.client_key", T::Path, example = "/etc/elastauth/client.key";

    /// In proxy mode: how many bytes the request line and all headers of a request may have
    /// together. The bounds of `proxy.limits` hold for each listener.
    LIMIT_HEADER_BYTES: "proxy.limits.header_bytes", T::Number(8_192, 1_048_576),
        default = "65536";
    /// How many headers a request may have.
    LIMIT_HEADERS: "proxy.limits.headers", T::Number(20, 1_000), default = "100";
    /// How many connections of clients are open at once. Those from `trusted_proxies` count apart,
    /// against the same bound. Each needs a file descriptor, and one more while its request is
    /// passed on.
    LIMIT_CONNECTIONS: "proxy.limits.connections", T::Number(1, 1_000_000), default = "10000";
    /// How many of them one address may have; in IPv6, one /64. Addresses in `trusted_proxies` may
    /// have all.
    LIMIT_OF_ADDRESS: "proxy.limits.connections_per_address", T::Number(1, 1_000_000),
        default = "1000";
    /// After how many requests a connection ends. The client opens another one.
    LIMIT_REQUESTS: "proxy.limits.requests_per_connection", T::Number(1, 1_000_000_000),
        default = "100000";
    /// How many requests one HTTP/2 connection may have at once.
    LIMIT_STREAMS: "proxy.limits.streams", T::Number(1, 10_000), default = "128";
    /// How long a client may take for all headers of a request, and to send the first one on a new
    /// connection.
    LIMIT_HEADER_TIMEOUT: "proxy.limits.header_timeout", T::Duration(millis(100), hours(1)),
        default = "30s";
    /// How long a connection may stay open without a request, and a tunnel (WebSocket) without a
    /// byte either way.
    LIMIT_IDLE_TIMEOUT: "proxy.limits.idle_timeout", T::Duration(millis(100), hours(24)),
        default = "2m";
    /// The interval in which a client has to send or read `proxy.limits.progress_bytes` of a body,
    /// while the cluster waits for it. A client that is slow and goes on is left alone, and so is
    /// one that waits for the cluster.
    LIMIT_PROGRESS_TIMEOUT: "proxy.limits.progress_timeout", T::Duration(millis(100), hours(24)),
        default = "1m";
    /// How many bytes of a body that are.
    LIMIT_PROGRESS_BYTES: "proxy.limits.progress_bytes", T::Number(1, 1_048_576),
        default = "1024";
}
