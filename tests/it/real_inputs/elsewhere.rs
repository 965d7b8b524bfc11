//! Rows that other tests hold: what comes in several requests, or from a provider that has to
//! behave in a certain way. Add yours here; a test makes sure that the named one exists.

/// A row for the document alone. The texts are Markdown.
pub(super) struct Held {
    pub(super) input: &'static str,
    pub(super) answer: &'static str,
    /// `module::function` below tests/it.
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
                input: "more than 500 headers, or more than 64 KB of them",
                answer: "431, and a WARN at most once a second",
                test: "real_inputs::told::headers_that_are_too_large_leave_a_line",
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
                input: "no issuer, `token_validation: userinfo` with `userinfo_endpoint`",
                answer: "the provider is asked; signed tokens are refused",
                test: "tokens::issuers::a_provider_that_is_asked_about_every_token_needs_no_issuer",
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
                input: "a wrong service password",
                answer: "a WARN before anybody has come",
                test: "wrong_address::a_wrong_service_password_is_in_the_log_before_anybody_comes",
            },
        ],
    ),
];
