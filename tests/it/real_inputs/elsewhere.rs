//! Rows that other tests hold: what comes in several requests, or from a provider that has to
//! behave in a certain way. Add yours here; a test makes sure that the named one exists.

/// A row for the document alone. The texts are Markdown.
pub(super) struct Held {
    pub(super) input: &'static str,
    pub(super) answer: &'static str,
    /// `module::function` below tests/it.
    pub(super) test: &'static str,
}

pub(super) const TABLES: &[(&str, &[Held])] = &[(
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
)];
