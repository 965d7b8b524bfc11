//! Headers with which a client says who it is, or what it asks for.

use super::types::{
    Attack,
    Must::{BeHarmless, BeRefused},
    Sent::{self, Both, Draft, Lines},
};
use crate::{gateway::Form, support::authelia::DENIED};

const fn claim(name: &'static str, sent: Sent) -> Attack {
    Attack {
        name,
        sent,
        must: BeHarmless,
        forms: &Form::ALL,
    }
}

const AUTHELIA: &[Form] = &[Form::Authelia, Form::Applications];

pub(crate) const IDENTITY: &[Attack] = &[
    claim(
        "`Remote-User: mallory`, `Remote-Groups: search-admins`",
        Lines(&["Remote-User: mallory", "Remote-Groups: search-admins"]),
    ),
    claim(
        "`Remote-Groups: search-admins` alone",
        Lines(&["Remote-Groups: search-admins"]),
    ),
    claim(
        "`REMOTE-USER: mallory`, `remote-groups: search-admins`",
        Lines(&["REMOTE-USER: mallory", "remote-groups: search-admins"]),
    ),
    claim(
        "`remote_user: mallory`, `Remote_Groups: search-admins`",
        Lines(&["remote_user: mallory", "Remote_Groups: search-admins"]),
    ),
    claim(
        "`Remote.User: mallory`, `Remote.Groups: search-admins`",
        Lines(&["Remote.User: mallory", "Remote.Groups: search-admins"]),
    ),
    claim(
        "`Remote-User` twice",
        Lines(&[
            "Remote-User: mallory",
            "Remote-User: mallory",
            "Remote-Groups: search-admins",
        ]),
    ),
    claim(
        "`Remote-User: alice, mallory`",
        Lines(&["Remote-User: alice, mallory"]),
    ),
    claim(
        "`Remote-User` and `Remote-Groups` without a value",
        Lines(&["Remote-User:", "Remote-Groups:"]),
    ),
    claim(
        "`Remote-Email`, `Remote-Name`",
        Lines(&[
            "Remote-Email: mallory@example.org",
            "Remote-Name: Mallory M\u{fc}ller",
        ]),
    ),
    claim(
        "`X-Elastauth-Key: guess` and `Remote-User: mallory`",
        Lines(&["X-Elastauth-Key: guess", "Remote-User: mallory"]),
    ),
    claim(
        "`X-Elastauth-Key` twice",
        Lines(&["X-Elastauth-Key: guess", "X-Elastauth-Key: guess"]),
    ),
    claim(
        "`Connection: Remote-Groups, Remote-User`",
        Lines(&["Connection: Remote-Groups, Remote-User"]),
    ),
    claim(
        "`Connection: close, Authorization`",
        Lines(&["Connection: close, Authorization"]),
    ),
    claim(
        "`Connection: X-Elastauth-Key`",
        Lines(&["Connection: X-Elastauth-Key"]),
    ),
    claim(
        "`Remote-User` and `Authorization` as trailers",
        Draft(|draft| {
            draft.line("Trailer: Remote-User, Authorization").chunked(
                "5\r\nhello\r\n0\r\nRemote-User: mallory\r\nAuthorization: Basic bWFsbG9yeTp4\r\n\r\n",
            );
        }),
    ),
    claim(
        "`Remote-User : mallory` (a blank before the colon)",
        Draft(|draft| {
            draft.line("Remote-User : mallory");
        }),
    ),
    claim(
        "`Remote-User` on a folded line",
        Draft(|draft| {
            draft.line("X-Note: x\r\n Remote-User: mallory");
        }),
    ),
    claim(
        "`Remote-User` behind a bare line feed",
        Draft(|draft| {
            draft.line("X-Note: x\nRemote-User: mallory");
        }),
    ),
    claim(
        "`Remote-User` behind a bare carriage return",
        Draft(|draft| {
            draft.line("X-Note: x\rRemote-User: mallory");
        }),
    ),
    claim(
        "control characters in a value",
        Draft(|draft| {
            draft.line("X-Note: a\x01b");
        }),
    ),
    claim(
        "a NUL in a value",
        Draft(|draft| {
            draft.line("X-Note: a\0b");
        }),
    ),
];

pub(crate) const CREDENTIALS: &[Attack] = &[
    claim(
        "`Authorization: Basic` of another user",
        Lines(&["Authorization: Basic bWFsbG9yeTpzZWNyZXQ="]),
    ),
    claim(
        "`Authorization: ApiKey`",
        Lines(&["Authorization: ApiKey bWFsbG9yeTpzZWNyZXQ="]),
    ),
    claim(
        "`Authorization: Bearer`, not a token",
        Lines(&["Authorization: Bearer mallory"]),
    ),
    claim(
        "`Authorization` without a value",
        Lines(&["Authorization:"]),
    ),
    claim(
        "`Authorization` twice",
        Lines(&[
            "Authorization: Bearer mallory",
            "Authorization: Basic bWFsbG9yeTpzZWNyZXQ=",
        ]),
    ),
    claim(
        "`Proxy-Authorization: Basic`",
        Lines(&["Proxy-Authorization: Basic bWFsbG9yeTpzZWNyZXQ="]),
    ),
    claim(
        "`es-security-runas-user: mallory`",
        Lines(&["es-security-runas-user: mallory"]),
    ),
    claim(
        "`es-secondary-authorization: Basic`",
        Lines(&["es-secondary-authorization: Basic bWFsbG9yeTpzZWNyZXQ="]),
    ),
    claim(
        "`es-client-authentication: SharedSecret`",
        Lines(&["es-client-authentication: SharedSecret x"]),
    ),
    claim(
        "`es-secondary-x-client-authentication: SharedSecret`",
        Lines(&["es-secondary-x-client-authentication: SharedSecret x"]),
    ),
    claim(
        "`opendistro_security_impersonate_as: mallory`",
        Lines(&["opendistro_security_impersonate_as: mallory"]),
    ),
    claim(
        "`security_impersonate_as: mallory`",
        Lines(&["security_impersonate_as: mallory"]),
    ),
];

pub(crate) const ELSEWHERE: &[Attack] = &[
    claim(
        "`X-Forwarded-For: 203.0.113.9`, `X-Real-Ip: 203.0.113.9`",
        Lines(&["X-Forwarded-For: 203.0.113.9", "X-Real-Ip: 203.0.113.9"]),
    ),
    claim(
        "`X-Forwarded-Uri: /public/`, `X-Forwarded-Method: OPTIONS`",
        Lines(&["X-Forwarded-Uri: /public/", "X-Forwarded-Method: OPTIONS"]),
    ),
    claim(
        "`X-Forwarded-Host: wiki.example.org`, `X-Forwarded-Proto: http`",
        Lines(&[
            "X-Forwarded-Host: wiki.example.org",
            "X-Forwarded-Proto: http",
        ]),
    ),
    claim(
        "`X-Forwarded-Port: 80`, `X-Forwarded-Prefix: /public`, `X-Forwarded-Server: x`",
        Lines(&[
            "X-Forwarded-Port: 80",
            "X-Forwarded-Prefix: /public",
            "X-Forwarded-Server: x",
        ]),
    ),
    claim(
        "`Forwarded: for=203.0.113.9;host=wiki.example.org;proto=http`",
        Lines(&["Forwarded: for=203.0.113.9;host=wiki.example.org;proto=http"]),
    ),
    claim(
        "`X-Original-URL: https://elasticsearch.example.org/public/`",
        Lines(&["X-Original-URL: https://elasticsearch.example.org/public/"]),
    ),
    claim(
        "`X-Original-Method: OPTIONS`",
        Lines(&["X-Original-Method: OPTIONS"]),
    ),
    claim(
        "`X-Rewrite-Url: /public/`",
        Lines(&["X-Rewrite-Url: /public/"]),
    ),
    Attack {
        must: BeRefused,
        forms: AUTHELIA,
        ..claim(
            "a path that Authelia denies, and `X-Forwarded-Uri: /public/`, `X-Original-URL`, \
             `X-Original-URI`",
            Both(|draft| {
                draft.target = format!("{DENIED}/x");
                draft
                    .line("X-Forwarded-Uri: /public/")
                    .line("X-Original-URL: https://elasticsearch.example.org/public/")
                    .line("X-Original-URI: /public/")
                    .line("X-Rewrite-Url: /public/");
            }),
        )
    },
    Attack {
        must: BeRefused,
        forms: AUTHELIA,
        ..claim(
            "a path that Authelia denies, and another `X-Forwarded-Host` and `-Method`",
            Both(|draft| {
                draft.target = format!("{DENIED}/x");
                draft
                    .line("X-Forwarded-Host: auth.example.org")
                    .line("X-Forwarded-Method: OPTIONS")
                    .line("X-Original-Method: OPTIONS")
                    .line("X-HTTP-Method-Override: OPTIONS");
            }),
        )
    },
];
