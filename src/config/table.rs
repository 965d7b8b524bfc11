//! The one table of keys. Longer than other files, because a key that stood in two tables would
//! soon differ in them.
//!
//! A row is the documentation, the name by which the fillers ask, the path, the value type, and what
//! differs from the usual. A capability that arrives flips its rows by taking `status = NOT_YET`
//! away and is then filled in `fill/`.

use super::{
    key::{Key, Status},
    value_type::{ValueType, yes},
};

const NOT_YET: Status = Status::NotYet;
const DAY: u64 = 86_400_000;

macro_rules! table {
    ($($(#[doc = $doc:literal])+ $name:ident: $path:literal, $value_type:expr $(, $field:ident = $value:expr)*;)+) => {
        $($(#[doc = $doc])+ pub(super) static $name: Key =
            Key { $($field: $value,)* ..Key::new($path, $value_type, concat!($($doc),+)) };)+
        /// Every key, in the order of the reference.
        pub(super) static ALL: &[&Key] = &[$(&$name),+];
    };
}

table! {
    /// Where to listen. Nothing before the colon means every address of the machine.
    LISTEN: "listen", ValueType::Listen, default = "127.0.0.1:5000";
    /// The certificate chain of the listener, PEM, leaf first. With it the listener speaks TLS,
    /// HTTP/2 included.
    TLS_CERT: "tls.cert", ValueType::Path, example = "/etc/elastauth/tls.crt", reload = true;
    /// The private key of the certificate, PEM.
    TLS_KEY: "tls.key", ValueType::Path, example = "/etc/elastauth/tls.key", reload = true;
    /// A PEM file of CAs. Only clients with a certificate of one of them get in.
    TLS_CLIENT_CA: "tls.client_ca", ValueType::Path, example = "/etc/elastauth/gateways-ca.pem", reload = true;
    /// Networks from which gateways connect. Identity headers of any other peer are as if absent.
    TRUSTED_PROXIES: "trusted_proxies", ValueType::List(&ValueType::Network), reload = true,
        default = "127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7,fe80::/10";
    /// Keys, one of which a gateway must show in the header `X-Elastauth-Key`. Several at once let
    /// them be changed without an outage.
    GATEWAY_KEYS: "gateway_keys", ValueType::List(&ValueType::GatewayKey), example = "[\"${GATEWAY_KEY}\"]", reload = true;

    /// Who vouches for users: one provider, or a list that is asked in its order.
    AUTH_PROVIDER: "auth_provider", ValueType::List(&ValueType::OneOf(&[yes("authelia"), yes("oidc")])), default = "authelia";
    /// The header that carries the user name.
    AUTHELIA_USERNAME: "authelia.header_username", ValueType::Header, default = "Remote-User", old = &["headers_username", "headers.username"];
    /// The header that carries the groups, separated by commas.
    AUTHELIA_GROUPS: "authelia.header_groups", ValueType::Header, default = "Remote-Groups", old = &["headers_groups", "headers.groups"];
    /// The header that carries the mail address.
    AUTHELIA_EMAIL: "authelia.header_email", ValueType::Header, default = "Remote-Email", old = &["headers_email", "headers.email"];
    /// The header that carries the full name.
    AUTHELIA_NAME: "authelia.header_name", ValueType::Header, default = "Remote-Name", old = &["headers_name", "headers.name"];
    /// Refuse a request that has no groups header. Present and empty is fine. Always so with
    /// `default_roles_apply: unmapped`.
    AUTHELIA_GROUPS_REQUIRED: "authelia.groups_required", ValueType::Bool, default = "false";

    /// Roles for every user, beside those of the mappings.
    DEFAULT_ROLES: "default_roles", ValueType::List(&ValueType::Role), example = "[viewer]", reload = true;
    /// Whether the default roles go to every user (`always`) or only to those whom no mapping
    /// matches (`unmapped`, as the Go program did).
    DEFAULT_ROLES_APPLY: "default_roles_apply", ValueType::OneOf(&[yes("always"), yes("unmapped")]), default = "always";
    /// Which group gives which roles. ASCII case does not count, `*` stands for any text. In the
    /// environment one variable a group.
    GROUP_MAPPINGS: "group_mappings", ValueType::Mappings, example = "\n  search-readers: [viewer]\n  search-editors: [editor]", reload = true;
    /// Only users with one of these groups may enter, `*` standing for any text. Leave it out to
    /// let every group in.
    ALLOWED_GROUPS: "allowed_groups", ValueType::List(&ValueType::Group), example = "[\"search-*\"]", reload = true;
    /// Whether `group_whitelist` counts.
    ENABLE_GROUP_WHITELIST: "enable_group_whitelist", ValueType::Bool, status = Status::Old("allowed_groups"), reload = true;
    /// The groups that may enter.
    GROUP_WHITELIST: "group_whitelist", ValueType::List(&ValueType::Group), status = Status::Old("allowed_groups"), reload = true;

    /// Base URLs of the cluster's nodes. A path is a prefix.
    ES_HOSTS: "elasticsearch.hosts", ValueType::List(&ValueType::Url), example = "[\"https://elasticsearch:9200\"]",
        old = &["elasticsearch.host", "elasticsearch_host"];
    /// The service account with which users are written.
    ES_USERNAME: "elasticsearch.username", ValueType::Text, example = "elastauth", old = &["elasticsearch_username"];
    /// Its password.
    ES_PASSWORD: "elasticsearch.password", ValueType::Secret, example = "\"${ELASTICSEARCH_PASSWORD}\"", old = &["elasticsearch_password"], reload = true;
    /// An API key in its encoded form, in the place of user name and password.
    ES_API_KEY: "elasticsearch.api_key", ValueType::Secret, example = "\"${ELASTICSEARCH_API_KEY}\"", reload = true;
    /// A name for the cluster. It is part of every derived password: two clusters that share a
    /// `secret_key` need two names.
    ES_CLUSTER_NAME: "elasticsearch.cluster_name", ValueType::Text, default = "default";
    /// Answer with a login and write nothing. For trying things out.
    ES_DRY_RUN: "elasticsearch.dry_run", ValueType::Bool, default = "false", old = &["elasticsearch_dry_run"];
    /// Only a check: `true` wants every host to be `https`. Whether TLS is spoken follows from the
    /// host's URL.
    ES_TLS_ENABLED: "elasticsearch.tls.enabled", ValueType::Bool, default = "false";
    /// A PEM file of CAs that are believed in the place of the system's.
    ES_TLS_CA: "elasticsearch.tls.ca_cert", ValueType::Path, example = "/etc/elastauth/elasticsearch-ca.pem", reload = true;
    /// A client certificate, PEM.
    ES_TLS_CERT: "elasticsearch.tls.client_cert", ValueType::Path, example = "/etc/elastauth/client.crt", reload = true;
    /// The private key of the client certificate, PEM.
    ES_TLS_KEY: "elasticsearch.tls.client_key", ValueType::Path, example = "/etc/elastauth/client.key", reload = true;
    /// Believe any certificate. Whoever stands on the way then learns the service account's
    /// password.
    ES_TLS_SKIP: "elasticsearch.tls.insecure_skip_verify", ValueType::Bool, default = "false", old = &["insecure_skip_verify"];

    /// The key from which every credential is derived; the same on every replica. Without one, a
    /// key is made at each start.
    SECRET_KEY: "secret_key", ValueType::SecretKey, example = "\"${SECRET_KEY}\"";
    /// The key before the present one, while it is being changed.
    SECRET_KEY_PREVIOUS: "secret_key_previous", ValueType::SecretKey, example = "\"${SECRET_KEY_PREVIOUS}\"";
    /// From when on users move from the previous key to the present one, each at the next change of
    /// the password. A moment by which every replica knows both keys.
    SECRET_KEY_SINCE: "secret_key_since", ValueType::Moment, example = "2027-01-31T12:00:00Z";
    /// How long a user's password lives; 0 means for ever.
    ROTATION: "credentials.rotation", ValueType::Duration(0, 365 * DAY), default = "24h";
    /// How long nobody is answered at the boundary of two passwords. More than the replicas' clocks
    /// differ.
    GRACE: "credentials.grace", ValueType::Duration(0, 1_500), default = "500ms";
    /// The time of day into which the boundaries fall, as `02:00-05:00`.
    ROTATION_WINDOW: "credentials.rotation_window", ValueType::Text, example = "02:00-05:00";
    /// The time zone of that window.
    ROTATION_TIME_ZONE: "credentials.rotation_time_zone", ValueType::Text, default = "UTC";
    /// Send passwords as a cheap hash where the cluster takes it (`auto`), or in clear (`off`).
    HASH: "credentials.hash", ValueType::OneOf(&[yes("auto"), yes("off")]), default = "auto";
    /// Which existing users may be taken over: none, those of the Go program, or any that is not
    /// reserved; the last also takes over users that were written for another provider's user, or
    /// another subject, of that name.
    ADOPT: "users.adopt", ValueType::OneOf(&[yes("never"), yes("elastauth-go"), yes("any")]), default = "elastauth-go";
    /// How often one user may be written in a minute before his requests are refused.
    WRITES_PER_MINUTE: "users.writes_per_minute", ValueType::Number(1, 1_000), default = "10";
    /// How many users whom the cluster does not have one replica makes in a minute. Beyond it
    /// strangers get 503; who is known is not touched by it.
    NEW_PER_MINUTE: "users.new_per_minute", ValueType::Number(1, 1_000_000), default = "1000";
    /// How many users one replica writes at the same time; a quarter of the places are for those
    /// whom it knows. Each write is a change of the cluster's security index, which a small cluster
    /// makes one by one.
    WRITES_AT_ONCE: "users.writes_at_once", ValueType::Number(1, 64), default = "16";

    /// Accepted from older files. Nothing depends on it: what is used is checked after
    /// `cache.expiration` all the same.
    EXTEND_CACHE: "extend_cache", ValueType::Bool, default = "false";
    /// Where it is remembered which users stand in the cluster.
    CACHE_TYPE: "cache.type", ValueType::OneOf(&[yes("memory"), yes("redis"), yes("file")]), default = "memory", old = &["cache_type"];
    /// How long that is believed at most without asking the cluster again. Each user has a moment
    /// of his own in that time, so that checks spread.
    CACHE_EXPIRATION: "cache.expiration", ValueType::Duration(100, 31 * DAY), default = "1h", old = &["cache_expire"];
    /// How many users are remembered in memory. The default holds a million with room to spare;
    /// memory is taken as they come.
    CACHE_CAPACITY: "cache.capacity", ValueType::Number(1, 100_000_000), default = "1200000";
    /// Host and port of Redis.
    REDIS_HOST: "cache.redis_host", ValueType::Text, default = "localhost:6379", old = &["redis_host"];
    /// The number of the Redis database.
    REDIS_DB: "cache.redis_db", ValueType::Number(0, 65_535), default = "0", old = &["redis_db"];
    /// The Redis user.
    REDIS_USERNAME: "cache.redis_username", ValueType::Text, example = "elastauth", reload = true;
    /// Its password.
    REDIS_PASSWORD: "cache.redis_password", ValueType::Secret, example = "\"${REDIS_PASSWORD}\"", reload = true;
    /// The folder of the file cache.
    CACHE_PATH: "cache.path", ValueType::Path, default = "/tmp/elastauth-cache", old = &["cache_path"];
    /// Redis by URL, in the place of `cache.redis_host`: `redis://`, `rediss://` (TLS) or
    /// `unix://`, with user, password and database where they are needed.
    REDIS_URL: "redis.url", ValueType::Secret, example = "\"rediss://redis:6379\"";
    /// Redis Sentinels, each `host:port` or a URL. They name the server that is used.
    REDIS_SENTINEL: "redis.sentinel", ValueType::List(&ValueType::Secret), example = "[\"sentinel-0:26379\", \"sentinel-1:26379\"]";
    /// Under which name the Sentinels know it.
    REDIS_SENTINEL_MASTER: "redis.sentinel_master", ValueType::Text, example = "mymaster";
    /// Some nodes of a Redis cluster, each `host:port` or a URL. They name the others.
    REDIS_CLUSTER: "redis.cluster", ValueType::List(&ValueType::Secret), example = "[\"redis-0:6379\", \"redis-1:6379\"]";
    /// A PEM file of CAs that are believed in the place of the system's, where the address is
    /// `rediss://`.
    REDIS_TLS_CA: "redis.tls.ca_cert", ValueType::Path, example = "/etc/elastauth/redis-ca.pem", reload = true;
    /// A client certificate for Redis, PEM.
    REDIS_TLS_CERT: "redis.tls.client_cert", ValueType::Path, example = "/etc/elastauth/redis-client.crt", reload = true;
    /// The private key of that certificate, PEM.
    REDIS_TLS_KEY: "redis.tls.client_key", ValueType::Path, example = "/etc/elastauth/redis-client.key", reload = true;

    /// From which severity on the log has lines.
    LOG_LEVEL: "log_level", ValueType::OneOf(&[yes("debug"), yes("info"), yes("warn"), yes("error")]), default = "info", reload = true;
    /// How a line of the log looks.
    LOG_FORMAT: "log_format", ValueType::OneOf(&[yes("text"), yes("json"), yes("ecs")]), default = "text";
    /// Where the audit lines go: a file, or `stdout`.
    AUDIT_PATH: "audit.path", ValueType::Path, example = "/var/log/elastauth/audit.jsonl";
    /// Which logins the audit stream has: those for which the cluster was asked or told something,
    /// or every single one.
    AUDIT_GRANTS: "audit.grants", ValueType::OneOf(&[yes("changes"), yes("all")]), default = "changes";
    /// Show numbers for Prometheus at `/elastauth/metrics`.
    ENABLE_METRICS: "enable_metrics", ValueType::Bool, default = "false";
    /// Send traces, as the standard `OTEL_*` variables say: docs/TRACING.md has those that count.
    ENABLE_OTEL: "enableOtel", ValueType::Bool, default = "false", variables = &["ELASTAUTH_ENABLE_OTEL"];
    /// A listener of its own for the pages of operators: numbers, configuration, descriptions,
    /// health. Whoever reaches it sees them; the main listener then shows none but health.
    ADMIN_LISTEN: "admin.listen", ValueType::Listen, example = "127.0.0.1:5001";

    /// What the provider is called: in the log, and in the metadata of the users that are written
    /// for it. Another name makes it another provider to the users that stand in the cluster.
    OIDC_NAME: "oidc.name", ValueType::Text, default = "oidc";
    /// The issuer of the tokens, exactly as it names itself in `iss`. The rest is discovered from
    /// it.
    OIDC_ISSUER: "oidc.issuer", ValueType::Text, example = "https://sso.example.org/realms/main";
    /// Our name at the issuer. A token must be issued for it, unless `oidc.audiences` says
    /// otherwise.
    OIDC_CLIENT_ID: "oidc.client_id", ValueType::Text, example = "elastauth";
    /// Our secret at the issuer. Only introspection shows it.
    OIDC_CLIENT_SECRET: "oidc.client_secret", ValueType::Secret, example = "\"${OIDC_CLIENT_SECRET}\"", reload = true;
    /// Where users sign in. Accepted from older files; elastauth only checks tokens.
    OIDC_AUTHORIZATION_ENDPOINT: "oidc.authorization_endpoint", ValueType::Url, example = "https://sso.example.org/authorize";
    /// Where tokens are issued. Accepted from older files; elastauth only checks tokens.
    OIDC_TOKEN_ENDPOINT: "oidc.token_endpoint", ValueType::Url, example = "https://sso.example.org/token";
    /// In the place of the discovered endpoint.
    OIDC_USERINFO_ENDPOINT: "oidc.userinfo_endpoint", ValueType::Text, example = "https://sso.example.org/userinfo";
    /// In the place of the discovered endpoint.
    OIDC_INTROSPECTION_ENDPOINT: "oidc.introspection_endpoint", ValueType::Text, example = "https://sso.example.org/introspect";
    /// In the place of the discovered key set.
    OIDC_JWKS_URI: "oidc.jwks_uri", ValueType::Text, example = "https://sso.example.org/keys";
    /// What is asked for at a sign-in. Accepted from older files; elastauth only checks tokens.
    OIDC_SCOPES: "oidc.scopes", ValueType::List(&ValueType::Text), default = "openid,profile,email,groups";
    /// How we show the issuer that we are this client: `none` shows the client id alone, and a
    /// client certificate where one is set.
    OIDC_CLIENT_AUTH_METHOD: "oidc.client_auth_method",
        ValueType::OneOf(&[yes("client_secret_basic"), yes("client_secret_post"), yes("private_key_jwt"), yes("none")]), default = "client_secret_basic";
    /// The private key for `private_key_jwt`: PEM, RSA, P-256, P-384 or Ed25519.
    OIDC_PRIVATE_KEY: "oidc.private_key", ValueType::Secret, example = "\"${OIDC_PRIVATE_KEY}\"", reload = true;
    /// What the issuer calls that key (`kid`).
    OIDC_PRIVATE_KEY_ID: "oidc.private_key_id", ValueType::Text, example = "elastauth-1";
    /// How a token is checked: by its signature (`jwks`), by asking the issuer (`userinfo`,
    /// `introspection`), or signed tokens by their signature and all others by asking (`both`).
    OIDC_TOKEN_VALIDATION: "oidc.token_validation",
        ValueType::OneOf(&[yes("jwks"), yes("userinfo"), yes("introspection"), yes("both")]), default = "jwks";
    /// Use PKCE at a sign-in. Accepted from older files; elastauth only checks tokens.
    OIDC_USE_PKCE: "oidc.use_pkce", ValueType::Bool, default = "true";
    /// Audiences, one of which a token must have; the client id where absent.
    OIDC_AUDIENCES: "oidc.audiences", ValueType::List(&ValueType::Text), example = "[elastauth]";
    /// To whom a token may be issued (`azp`); `*` is anybody. Left out: to the client itself or one
    /// of the audiences.
    OIDC_AUTHORIZED_PARTIES: "oidc.authorized_parties", ValueType::List(&ValueType::Text), example = "[kibana-login]";
    /// Where ID tokens are taken: in the cookie that is there for them, nowhere, or wherever an
    /// access token is.
    OIDC_ID_TOKENS: "oidc.id_tokens", ValueType::OneOf(&[yes("in_cookie"), yes("never"), yes("anywhere")]), default = "in_cookie";
    /// The cookie that may hold an access token. Empty: none.
    OIDC_ACCESS_COOKIE: "oidc.access_token_cookie", ValueType::Text, default = "access_token";
    /// The cookie that may hold an ID token.
    OIDC_ID_COOKIE: "oidc.id_token_cookie", ValueType::Text, default = "id_token";
    /// Take only access tokens that say so in their header (`at+jwt`, RFC 9068).
    OIDC_REQUIRE_AT_JWT: "oidc.require_at_jwt", ValueType::Bool, default = "false";
    /// Signature algorithms that are taken. The first RSA one also counts for RSA keys that name
    /// none.
    OIDC_ALGORITHMS: "oidc.algorithms", ValueType::List(&ValueType::OneOf(&[
        yes("RS256"), yes("RS384"), yes("RS512"), yes("PS256"), yes("PS384"), yes("PS512"), yes("ES256"), yes("ES384"), yes("ES512"), yes("EdDSA"),
    ])), default = "RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,EdDSA";
    /// How far the issuer's clock may differ.
    OIDC_LEEWAY: "oidc.leeway", ValueType::Duration(0, 300_000), default = "30s";
    /// How long the issuer's word on an opaque token is remembered; 0 means never.
    OIDC_CACHE: "oidc.cache", ValueType::Duration(0, DAY), default = "30s";
    /// Stands before every user name of this provider.
    OIDC_USERNAME_PREFIX: "oidc.username_prefix", ValueType::Text, example = "\"sso-\"";
    /// Stands before every group of this provider.
    OIDC_GROUP_PREFIX: "oidc.group_prefix", ValueType::Text, example = "\"sso:\"";
    /// The claim with the user name: a name, a path (`a.b`), a JSON pointer (`/a/b`) or a quoted
    /// name.
    OIDC_CLAIM_USERNAME: "oidc.claim_mappings.username", ValueType::Text, default = "preferred_username";
    /// The claim with the mail address.
    OIDC_CLAIM_EMAIL: "oidc.claim_mappings.email", ValueType::Text, default = "email";
    /// The claims with the groups: those of all of them together.
    OIDC_CLAIM_GROUPS: "oidc.claim_mappings.groups", ValueType::List(&ValueType::Text), default = "groups";
    /// Where groups are objects, the member that names them.
    OIDC_CLAIM_GROUP_MEMBER: "oidc.claim_mappings.group_member", ValueType::Text, example = "name";
    /// The claim with the full name.
    OIDC_CLAIM_NAME: "oidc.claim_mappings.full_name", ValueType::Text, default = "name";
    /// Headers that are sent to the issuer. In the environment one variable a header, `_` for `-`.
    OIDC_CUSTOM_HEADERS: "oidc.custom_headers", ValueType::Pairs, example = "{X-Tenant: \"${TENANT}\"}", reload = true;
    /// A PEM file of CAs that are believed towards the issuer in the place of the system's.
    OIDC_TLS_CA: "oidc.tls.ca_cert", ValueType::Path, example = "/etc/elastauth/sso-ca.pem", reload = true;
    /// A client certificate towards the issuer, PEM.
    OIDC_TLS_CERT: "oidc.tls.client_cert", ValueType::Path, example = "/etc/elastauth/client.crt", reload = true;
    /// The private key of the client certificate, PEM.
    OIDC_TLS_KEY: "oidc.tls.client_key", ValueType::Path, example = "/etc/elastauth/client.key", reload = true;
    /// Several providers in the place of one: each a section with a `name` and the keys that stand
    /// below `oidc` for a single one, the two cookies excepted. A token's `iss` chooses the
    /// provider. A section may have `default_roles`, `default_roles_apply`, `group_mappings` and
    /// `allowed_groups` of its own; with one of these, none of the general ones counts for its
    /// users. While it runs, a section takes what these keys take by themselves; any other change
    /// of the list waits for the next start.
    OIDC_PROVIDERS: "oidc.providers", ValueType::Sections,
        example = "[{name: staff, issuer: \"https://sso.example.org/realms/main\", client_id: elastauth}]", reload = true;

    /// Stand in front of the cluster and pass requests on.
    PROXY_ENABLED: "proxy.enabled", ValueType::Bool, default = "false", status = NOT_YET;
    /// Where requests are passed on to.
    PROXY_URL: "proxy.elasticsearch_url", ValueType::Url, status = NOT_YET;
    /// How long the cluster may take to answer.
    PROXY_TIMEOUT: "proxy.timeout", ValueType::Duration(1, DAY), default = "30s", status = NOT_YET;
    /// Kept connections to the cluster.
    PROXY_MAX_IDLE: "proxy.max_idle_conns", ValueType::Number(0, 100_000), default = "100", status = NOT_YET;
    /// How long a kept connection may idle.
    PROXY_IDLE_TIMEOUT: "proxy.idle_conn_timeout", ValueType::Duration(0, DAY), default = "90s", status = NOT_YET;
    /// Speak TLS to the cluster.
    PROXY_TLS_ENABLED: "proxy.tls.enabled", ValueType::Bool, default = "false", status = NOT_YET;
    /// Believe any certificate.
    PROXY_TLS_SKIP: "proxy.tls.insecure_skip_verify", ValueType::Bool, default = "false", status = NOT_YET;
    /// A PEM file of CAs that are believed in the place of the system's.
    PROXY_TLS_CA: "proxy.tls.ca_cert", ValueType::Path, status = NOT_YET;
    /// A client certificate, PEM.
    PROXY_TLS_CERT: "proxy.tls.client_cert", ValueType::Path, status = NOT_YET;
    /// The private key of the client certificate, PEM.
    PROXY_TLS_KEY: "proxy.tls.client_key", ValueType::Path, status = NOT_YET;
}
