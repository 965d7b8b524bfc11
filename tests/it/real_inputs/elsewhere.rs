//! Rows that other tests hold: what comes in several requests, or from a provider that has to
//! behave in a certain way. Add yours here; a test makes sure that the named one exists.

/// A row for the document alone. The texts are Markdown.
pub(super) struct Held {
    pub(super) input: &'static str,
    pub(super) answer: &'static str,
    /// `module::function` below tests/it; `real::…` is below tests/real.
    pub(super) test: &'static str,
}

pub(super) const TABLES: &[(&str, &[Held])] = &[
    (
        "Told to operators",
        &[
            Held {
                input: "groups joined by something that is not configured",
                answer: "a WARN once a minute, DEBUG each time, and a `hint` of `explain`",
                test: "real_inputs::told::groups_that_seem_to_be_joined_are_told",
            },
            Held {
                input: "`Remote-User: (null)`",
                answer: "a WARN once a minute; the reason in `explain`",
                test: "real_inputs::told::a_user_header_that_names_nobody_is_told",
            },
            Held {
                input: "`Remote-User: (null)` beside a bearer token, with `auth_provider: [authelia, oidc]`",
                answer: "the token decides",
                test: "real_inputs::told::nobody_in_a_header_does_not_hide_a_token",
            },
            Held {
                input: "a name or a mail that had to be decoded or cannot be read",
                answer: "a WARN once a minute for each kind",
                test: "real_inputs::told::a_name_that_had_to_be_decoded_is_told",
            },
            Held {
                input: "`authelia.header_groups: X-authentik-groups` without a separator",
                answer: "`check` warns and names `authelia.groups_separator`",
                test: "real_inputs::told::check_names_what_the_gateway_will_send",
            },
            Held {
                input: "a configuration of elastauth 2 whose clients may send ID tokens as bearer tokens",
                answer: "`check` warns and names `oidc.id_tokens: anywhere`",
                test: "real_inputs::told::check_names_what_the_gateway_will_send",
            },
            Held {
                input: "a token with another `iss`, `aud` or `azp` than is configured",
                answer: "401; the log and `explain` show both values, the answer neither",
                test: "real_inputs::told::what_does_not_match_is_shown_to_operators_alone",
            },
            Held {
                input: "two names in one header, or a name that no user of the cluster can have",
                answer: "400 or 403; the log and `explain` show the name, the answer does not",
                test: "real_inputs::told::a_name_that_is_refused_is_shown_to_operators_alone",
            },
            Held {
                input: "more than 160 headers, or more than 64 KB of them",
                answer: "431, and a WARN at most once a second",
                test: "real_inputs::told::headers_that_are_too_large_leave_a_line",
            },
            Held {
                input: "`elasticsearch.api_key: \"id:key\"`",
                answer: "`check` warns and says how to encode it",
                test: "commands::check_names_what_people_often_write_by_mistake",
            },
            Held {
                input: "a `secret_key` in quotes or with `\\r` at its end",
                answer: "the start ends, and says what to remove; the key is not shown",
                test: "commands::check_names_what_people_often_write_by_mistake",
            },
            Held {
                input: "another secret with quotes or white space around it",
                answer: "`check` warns",
                test: "commands::check_names_what_people_often_write_by_mistake",
            },
            Held {
                input: "`oidc.issuer` with `/.well-known/openid-configuration`",
                answer: "`check` warns and says what the issuer is",
                test: "commands::check_names_what_people_often_write_by_mistake",
            },
            Held {
                input: "`trusted_proxies: [192.0.2.20/32]`, an address of documentation",
                answer: "`check` warns",
                test: "commands::check_names_what_people_often_write_by_mistake",
            },
            Held {
                input: "a PEM file that is a pipe",
                answer: "the start, `check` and a reload say so and do not wait",
                test: "config_files::a_pipe_instead_of_a_certificate_ends_the_start_and_a_check",
            },
        ],
    ),
    (
        "Tokens: several in one request, and what providers change",
        &[
            Held {
                input: "`Cookie: access_token=T; id_token=T2`; a bearer token beside other cookies; a stale cookie of the same name",
                answer: "the bearer token, then access cookies, then ID cookies: the first that is valid; 400 where two valid ones name different users",
                test: "tokens::several::the_first_token_that_is_valid_counts_and_two_users_are_refused",
            },
            Held {
                input: "`Cf-Access-Jwt-Assertion`, `X-Goog-IAP-JWT-Assertion`",
                answer: "accepted with `oidc.token_headers`",
                test: "tokens::several::a_token_may_be_in_a_header_of_its_own",
            },
            Held {
                input: "`issuer: http://adfs.example.org/adfs/services/trust` or `kibana.example.org` with `jwks_uri`",
                answer: "compared as it is; nothing is fetched from it",
                test: "tokens::issuers::an_issuer_from_which_nothing_is_fetched_may_be_any_text",
            },
            Held {
                input: "`access_token_issuer` in the provider's description (ADFS)",
                answer: "access tokens may name it; the key is the provider's",
                test: "tokens::issuers::access_tokens_may_name_the_issuer_that_the_description_has_for_them",
            },
            Held {
                input: "`access_token_issuer` that is the issuer of another configured provider",
                answer: "the token belongs to the other one",
                test: "tokens::issuers::no_description_takes_the_tokens_of_another_provider",
            },
            Held {
                input: "no issuer, `token_validation: userinfo` with `userinfo_endpoint`",
                answer: "the provider is asked; signed tokens are refused",
                test: "tokens::issuers::a_provider_that_is_asked_about_every_token_needs_no_issuer",
            },
            Held {
                input: "a userinfo address that accepts everything, or is wrong",
                answer: "`check --online` asks about a made-up token, and fails",
                test: "tokens::issuers::check_online_asks_a_provider_without_issuer_about_a_token_that_nobody_has_issued",
            },
            Held {
                input: "`issuer: http://…`, or keys at `http://…`",
                answer: "accepted, with one WARN",
                test: "tokens::faulty_providers::keys_over_plain_http_are_a_warning_wherever_they_are_named",
            },
            Held {
                input: "a description over TLS that names `http://…` for userinfo or introspection",
                answer: "503: no token and no secret is sent there",
                test: "tokens::faulty_providers::no_token_and_no_secret_follows_a_description_from_tls_to_plain_http",
            },
            Held {
                input: "a new key, under a new `kid` or the old one",
                answer: "accepted at once",
                test: "tokens::unusual::a_new_key_counts_at_once_whatever_its_name",
            },
            Held {
                input: "more unknown keys than three at once and then one in 5 s",
                answer: "503 with `Retry-After`: what cannot be looked up yet is not refused",
                test: "tokens::unusual::a_new_key_counts_at_once_whatever_its_name",
            },
            Held {
                input: "301, 307 or 308 for the description or the keys",
                answer: "followed on the same origin or to https",
                test: "tokens::unusual::a_description_and_keys_that_have_moved_are_found",
            },
            Held {
                input: "a redirect to plain http elsewhere",
                answer: "503",
                test: "tokens::unusual::a_redirect_to_plain_http_elsewhere_is_not_followed",
            },
            Held {
                input: "a redirect to another origin over https",
                answer: "followed, unless `custom_headers` or a client certificate would go there",
                test: "tokens::unusual::a_redirect_to_another_origin_gets_no_credentials",
            },
            Held {
                input: "a self-signed certificate of the provider (`CA:TRUE`) that is byte for byte in `oidc.tls.ca_cert`",
                answer: "trusted for its name",
                test: "tokens::unusual::a_provider_whose_own_certificate_is_in_ca_cert_is_trusted_for_its_name",
            },
            Held {
                input: "an encrypted token, or an opaque one with dots, where the provider is asked",
                answer: "asked",
                test: "tokens::unusual::a_token_that_only_the_provider_can_read_is_asked_about",
            },
            Held {
                input: "userinfo as a signed JWT",
                answer: "verified like a token",
                test: "tokens::unusual::a_userinfo_answer_that_is_signed_is_verified",
            },
        ],
    ),
    (
        "Two clients of one person",
        &[
            Held {
                input: "`Remote-Groups: dev,x` and `dev,y` in turn; a name or a mail that differs",
                answer: "200 for each; the roles decide",
                test: "two_clients::groups_and_names_that_give_nothing_refuse_nobody_and_cost_nothing",
            },
            Held {
                input: "the same, for an hour",
                answer: "names and groups are written after a check, not with each request",
                test: "two_clients::they_are_written_after_a_check_and_not_with_each",
            },
            Held {
                input: "an older token whose groups give other roles",
                answer: "401",
                test: "tokens::order::the_newest_token_counts_and_an_older_one_with_other_groups_is_refused",
            },
        ],
    ),
    (
        "The cluster",
        &[
            Held {
                input: "`unavailable_shards_exception`, 429 or 503 for less than a second, at a first login",
                answer: "200: the request is repeated",
                test: "blips::a_first_login_survives_what_passes_within_a_second",
            },
            Held {
                input: "a node that restarts",
                answer: "not noticed by a new user",
                test: "blips::a_node_that_restarts_is_not_noticed_by_a_newcomer",
            },
            Held {
                input: "a write whose end is not known",
                answer: "not repeated at once",
                test: "blips::a_write_of_unknown_end_is_not_repeated_at_once",
            },
            Held {
                input: "a login that the cluster refuses right after it was written",
                answer: "503 for new users, and an ERROR",
                test: "blips::a_cluster_that_refuses_fresh_logins_gets_no_second_write_and_nobody_gets_in",
            },
            Held {
                input: "users that were written with another `secret_key`",
                answer: "a WARN with both key ids",
                test: "key_change::a_user_that_was_written_with_another_key_is_reported_with_both_keys",
            },
            Held {
                input: "security switched off, OpenSearch, Kibana, Serverless, TLS to a plain port and the reverse",
                answer: "named in the log, in readiness and by `check --online`",
                test: "wrong_address::what_answers_instead_of_a_cluster_is_named",
            },
            Held {
                input: "a security index that is blocked for writing (403 `cluster_block_exception`)",
                answer: "503 for new users, named in the log and by `check --online --try-login`",
                test: "wrong_address::a_security_index_that_takes_no_write_is_named",
            },
            Held {
                input: "a wrong service password",
                answer: "a WARN before anybody has come",
                test: "wrong_address::a_wrong_service_password_is_in_the_log_before_anybody_comes",
            },
            Held {
                input: "a self-signed certificate (`CA:TRUE`) that is byte for byte in `elasticsearch.tls.ca_cert`",
                answer: "trusted in its time and for its name",
                test: "cluster_failures::a_cluster_with_the_certificate_of_another_gets_no_password",
            },
            Held {
                input: "the same with Redis (`redis.tls.ca_cert`)",
                answer: "the same",
                test: "real::ledger_redis::topologies::a_server_whose_own_certificate_is_in_ca_cert_is_trusted_for_its_name",
            },
            Held {
                input: "a clock that differs from the cluster's",
                answer: "a WARN, readiness `DEGRADED`, and nobody is refused",
                test: "cluster_failures::a_clock_that_differs_from_the_clusters_is_reported_and_refuses_nobody",
            },
            Held {
                input: "a native realm that is switched off",
                answer: "`check --online --try-login` writes one user, says that its login is refused, and deletes it",
                test: "commands::check_online_tries_a_login_only_if_it_is_told_to",
            },
        ],
    ),
];
