//! The answer that lets a request through.

use super::body::{Body, Response};
use crate::{
    flow::Grant,
    identity::{Identity, group_list::Separator, headers},
    model::Group,
};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, CACHE_CONTROL},
};

/// nginx reads the headers of an answer into 4 KB (`proxy_buffer_size`) and makes a 500 of more. A
/// little is left for what a proxy between adds.
const MAX_BYTES: usize = 4_000;

/// The status line, the headers whose size does not change, and those that the HTTP layer adds
/// (`date`, `content-length`), with some room.
const FIXED_BYTES: usize = 256;

/// The table of a request with more headers than a browser behind two gateways sends.
const LARGE: usize = 64;

/// Tells Envoy to take this header from the client's request: with it, a client whose user has
/// `run_as` could act as somebody else.
const REMOVE: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-envoy-auth-headers-to-remove"),
    HeaderValue::from_static("es-security-runas-user"),
);

/// 200 with the login and the identity, under the names of the request's identity headers. The body
/// is empty: behind a body, Caddy and nginx open a
/// new connection for every auth request.
#[must_use]
pub(crate) fn grant(grant: &Grant, names: &headers::Config, table: HeaderMap) -> Response {
    let mut response = Response::new(Body::default());
    let login = grant.credential().authorization();
    *response.headers_mut() = headers(login, grant.identity(), names, table);
    response
}

/// Uses the table of the request again, which hyper then uses for the next one. A large one is
/// given back to the system: an idle connection would keep it.
fn cleared(mut table: HeaderMap) -> HeaderMap {
    if table.capacity() > LARGE {
        // Eight come from here, two from the HTTP layer.
        return HeaderMap::with_capacity(10);
    }
    table.clear();
    table
}

fn headers(
    authorization: &HeaderValue,
    identity: &Identity,
    names: &headers::Config,
    table: HeaderMap,
) -> HeaderMap {
    let mut headers = cleared(table);
    let user = identity.user().as_str();
    // The first takes its room below; the others repeat the name.
    let repeated = (names.users.len().saturating_sub(1)) * user.len();
    let others = [&names.groups, &names.email, &names.name];
    let names_bytes = names
        .users
        .iter()
        .chain(others)
        .map(|name| name.as_str().len() + ": \r\n".len())
        .sum::<usize>();
    let mut room =
        MAX_BYTES.saturating_sub(FIXED_BYTES + names_bytes + repeated + authorization.len());
    let mut put = |name: &HeaderName, value: HeaderValue| {
        let value = if value.len() <= room {
            value
        } else {
            HeaderValue::from_static("")
        };
        room -= value.len();
        headers.insert(name, value);
    };
    // All always: Envoy and HAProxy leave the client's own in place where ours is lacking.
    // What does not fit is left empty as a whole, groups first: half a list of groups would be a
    // lie, and no header but `Authorization` is needed for the login to work.
    let mut users = names.users.iter();
    if let Some(first) = users.next() {
        put(first, text(user));
    }
    put(&names.email, text(identity.email().unwrap_or_default()));
    put(&names.name, text(identity.full_name().unwrap_or_default()));
    put(&names.groups, groups(identity, names.separator));
    for other in users {
        headers.insert(other, text(user));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REMOVE.0, REMOVE.1);
    // Last, and by `insert`: whatever the names above are, there is exactly one.
    headers.insert(AUTHORIZATION, authorization.clone());
    headers
}

/// Separated as in the request, because the applications behind expect what the authentication
/// service sends. A group with the separator in its name, as a token may have, would be read as
/// two. Then the header is left empty.
fn groups(identity: &Identity, separator: Separator) -> HeaderValue {
    let is_two = |group: &Group| group.as_str().contains(separator.char());
    match identity.groups() {
        all if all.iter().any(is_two) => HeaderValue::from_static(""),
        [] => HeaderValue::from_static(""),
        [one] => text(one.as_str()),
        [first, others @ ..] => {
            let mut joined = first.as_str().to_owned();
            for group in others {
                joined.push(separator.char());
                joined.push_str(group.as_str());
            }
            text(&joined)
        }
    }
}

/// What cannot stand in a header (a control character of a claim) is left empty.
fn text(value: &str) -> HeaderValue {
    if value.is_empty() {
        return HeaderValue::from_static("");
    }
    HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    const LOGIN: HeaderValue = HeaderValue::from_static("Basic YWxpY2U6RWExLXNlY3JldA==");

    fn answered(asked: &[(&'static str, &[u8])]) -> HeaderMap {
        let names = headers::Config::default();
        let asked = asked
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_bytes(value).unwrap(),
                )
            })
            .collect();
        let identity = headers::identity(&asked);
        headers(&LOGIN, &identity, &names, asked)
    }

    fn size(headers: &HeaderMap) -> usize {
        headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 4)
            .sum::<usize>()
            + "HTTP/1.1 200 OK\r\ncontent-length: 0\r\ndate: Tue, 24 Nov 2026 04:42:19 GMT\r\n\r\n"
                .len()
    }

    #[test]
    fn a_grant_says_all_that_is_known() {
        let answer = answered(&[
            ("remote-user", b"alice"),
            ("remote-groups", b"ops, dev"),
            ("remote-email", b"alice@example.org"),
            ("remote-name", "Zo\u{eb}".as_bytes()),
        ]);
        assert_eq!(answer["remote-user"], "alice");
        assert_eq!(answer["remote-groups"], "dev,ops");
        assert_eq!(answer["remote-email"], "alice@example.org");
        assert_eq!(answer["remote-name"].as_bytes(), "Zo\u{eb}".as_bytes());
        assert_eq!(answer["cache-control"], "no-store");
        assert_eq!(
            answer["x-envoy-auth-headers-to-remove"],
            "es-security-runas-user"
        );
        assert_eq!(
            answer.get_all(AUTHORIZATION).iter().collect::<Vec<_>>(),
            [&LOGIN]
        );
    }

    #[test]
    fn nothing_of_the_request_is_left_and_no_large_table_is_kept() {
        let names = headers::Config::default();
        let alice = Identity::of_provider("main", "alice", &[]);
        let usual = headers(&LOGIN, &alice, &names, HeaderMap::new());
        for others in [3, 100] {
            let mut table = HeaderMap::new();
            table.insert(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
            for n in 0..others {
                let name = HeaderName::try_from(format!("x-{n}")).unwrap();
                table.append(&name, HeaderValue::from_static("1"));
                table.append(&name, HeaderValue::from_static("2"));
            }
            let answer = headers(&LOGIN, &alice, &names, table);
            assert!(answer.iter().eq(usual.iter()), "{answer:?}");
            assert!(answer.capacity() <= LARGE);
        }
    }

    #[test]
    fn groups_are_separated_as_in_the_request_and_every_user_header_is_set() {
        let names = headers::Config {
            users: ["x-upn", "remote-user"].map(HeaderName::from_static).into(),
            separator: Separator::Pipe,
            ..headers::Config::default()
        };
        let answered = |groups: &[&str]| {
            headers(
                &LOGIN,
                &Identity::of_provider("main", "alice", groups),
                &names,
                HeaderMap::new(),
            )
        };
        let answer = answered(&["a,b", "c"]);
        assert_eq!(answer["remote-groups"], "a,b|c");
        for name in ["x-upn", "remote-user"] {
            assert_eq!(answer.get_all(name).iter().collect::<Vec<_>>(), ["alice"]);
        }
        assert_eq!(answered(&["a|b"])["remote-groups"], "");
    }

    #[test]
    fn what_is_not_known_is_there_and_empty() {
        let answer = answered(&[("remote-user", b"alice")]);
        for name in ["remote-groups", "remote-email", "remote-name"] {
            assert_eq!(
                answer.get_all(name).iter().collect::<Vec<_>>(),
                [""],
                "{name}"
            );
        }
    }

    #[test]
    fn a_group_that_would_be_read_as_two_leaves_the_header_empty() {
        let of = |names: &[&str]| {
            let identity = Identity::of_provider("sso", "alice", names);
            groups(&identity, Separator::Comma)
        };
        assert_eq!(of(&["dev", "ops"]), "dev,ops");
        for names in [&["a,b"][..], &["a,b", "dev"], &["dev", "x,"]] {
            assert_eq!(of(names), "", "{names:?}");
        }
    }

    #[test]
    fn groups_that_nginx_cannot_take_are_left_out_and_the_login_stays() {
        let many = (0..400)
            .map(|n| format!("group-{n:04}"))
            .collect::<Vec<_>>()
            .join(",");
        let answer = answered(&[
            ("remote-user", b"alice"),
            ("remote-groups", many.as_bytes()),
            ("remote-email", b"a@example.org"),
        ]);
        assert_eq!(
            (
                &answer["remote-groups"],
                &answer["remote-email"],
                &answer[AUTHORIZATION]
            ),
            (
                &HeaderValue::from_static(""),
                &HeaderValue::from_static("a@example.org"),
                &LOGIN
            )
        );
        assert!(size(&answer) < 4096);
    }

    #[test]
    fn no_identity_makes_the_answer_longer_than_four_kilobytes() {
        for bytes in [
            0, 100, 1_000, 3_000, 3_400, 3_500, 3_600, 3_700, 5_000, 60_000,
        ] {
            let long = vec![b'x'; bytes];
            let answer = answered(&[
                ("remote-user", &[b'u'; 507]),
                ("remote-groups", &long),
                ("remote-email", &long),
                ("remote-name", &long),
            ]);
            assert!(size(&answer) < 4096, "{bytes}");
            assert_eq!(answer["remote-user"].len(), 507);
        }
    }
}
