//! The users of a cluster, page by page: which of them elastauth has written, and when.
//!
//! A page has only what tells that. From 8.14 on a cluster gives pages; an older one, or an account
//! without the right to them, gives all users in one answer. Both are searches: they may be a
//! second behind what was written.

use super::{
    answer::{ok, unexpected_status},
    document::origin,
};
use crate::{
    cluster::{
        error::CallFailure,
        pool::NodeAnswer,
        security::types::{ListedUser, UserPage},
    },
    model::Username,
};
use bytes::Bytes;
use http::StatusCode;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, json};
use std::fmt;

/// Users in a page: some 300 KB.
const PAGE: usize = 2_000;

pub(super) const PAGES: &str = "/_security/_query/user?filter_path=users.username,users.enabled,\
                                users.metadata.elastauth,users.metadata._reserved";
pub(super) const ALL: &str = "/_security/user?filter_path=*.username,*.enabled,\
                              *.metadata.elastauth,*.metadata._reserved";

/// The question for the page after this user.
pub(super) fn question(after: Option<&str>, only_enabled: bool) -> Bytes {
    let mut body = json!({ "size": PAGE, "sort": ["username"] });
    if let Some(body) = body.as_object_mut() {
        if only_enabled {
            let query = json!({ "term": { "enabled": true } });
            body.insert("query".to_owned(), query);
        }
        if let Some(after) = after {
            body.insert("search_after".to_owned(), json!([after]));
        }
    }
    body.to_string().into()
}

/// Of a question for a page. `None` where the cluster gives no pages, or not to this account.
pub(super) fn page(answer: &NodeAnswer) -> Result<Option<UserPage>, CallFailure> {
    match answer.status {
        StatusCode::BAD_REQUEST
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED => return Ok(None),
        StatusCode::OK => {}
        _ => return Err(unexpected_status(answer)),
    }
    let Page { users } = ok(answer)?;
    let next = users.last.filter(|_| users.count == PAGE);
    Ok(Some(UserPage {
        users: users.ours,
        next,
    }))
}

/// Of a question for all users.
pub(super) fn all(answer: &NodeAnswer) -> Result<UserPage, CallFailure> {
    let users: Users = ok(answer)?;
    Ok(UserPage {
        users: users.ours,
        next: None,
    })
}

#[derive(Deserialize)]
struct Page {
    /// Absent where nobody is left.
    #[serde(default)]
    users: Users,
}

/// Read one by one: of users that are not ours nothing is kept.
#[derive(Default)]
struct Users {
    count: usize,
    last: Option<String>,
    ours: Vec<ListedUser>,
}

#[derive(Deserialize)]
struct User {
    username: String,
    enabled: Option<bool>,
    metadata: Option<Map<String, Value>>,
}

impl Users {
    fn add(&mut self, user: User) {
        self.count += 1;
        let origin = origin(&user.metadata.unwrap_or_default());
        // A user who cannot be a user of ours has a name that is none.
        if let (Some(enabled), Some(marker), Ok(name)) = (
            user.enabled,
            origin.marker(),
            Username::parse(&user.username),
        ) {
            self.ours.push(ListedUser {
                name,
                marker: marker.clone(),
                enabled,
            });
        }
        self.last = Some(user.username);
    }
}

impl<'de> Deserialize<'de> for Users {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneByOne;

        impl<'de> Visitor<'de> for OneByOne {
            type Value = Users;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("users")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Users, A::Error> {
                let mut users = Users::default();
                while let Some(user) = list.next_element()? {
                    users.add(user);
                }
                Ok(users)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Users, A::Error> {
                let mut users = Users::default();
                while let Some((IgnoredAny, user)) = map.next_entry()? {
                    users.add(user);
                }
                Ok(users)
            }
        }

        deserializer.deserialize_any(OneByOne)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> NodeAnswer {
        NodeAnswer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: http::HeaderMap::new(),
            body: Ok(Bytes::copy_from_slice(body.as_bytes())),
        }
    }

    fn names(page: &UserPage) -> Vec<(&str, bool)> {
        let users = page.users.iter();
        users
            .map(|user| (user.name.as_str(), user.enabled))
            .collect()
    }

    /// As a real 9.5.3 gives them.
    const IN_A_PAGE: &str = r#"{"users":[{"username":"svc","enabled":true},
        {"username":"u1","metadata":{"elastauth":{"epoch":1,"key":"k"}},"enabled":true},
        {"username":"u2","metadata":{"elastauth":{"epoch":2,"key":"k"}},"enabled":false},
        {"username":"a,b","metadata":{"elastauth":{"epoch":2,"key":"k"}},"enabled":true}]}"#;
    const OF_ALL: &str = r#"{"elastic":{"username":"elastic","metadata":{"_reserved":true},
        "enabled":true},"svc":{"username":"svc","enabled":true},
        "u1":{"username":"u1","metadata":{"elastauth":{"epoch":1,"key":"k"}},"enabled":true}}"#;

    #[test]
    fn of_a_listing_only_users_of_ours_are_kept() {
        let in_a_page = page(&answer(200, IN_A_PAGE)).unwrap().unwrap();
        let ours = vec![("u1", true), ("u2", false)];
        assert_eq!((names(&in_a_page), &in_a_page.next), (ours, &None));
        assert_eq!(in_a_page.users[0].marker.epoch, Some(1));
        assert_eq!(names(&all(&answer(200, OF_ALL)).unwrap()), [("u1", true)]);
        for nobody in ["{}", r#"{"users":[]}"#] {
            let nobody = page(&answer(200, nobody)).unwrap().unwrap();
            assert!(nobody.users.is_empty() && nobody.next.is_none());
        }
    }

    #[test]
    fn the_next_page_begins_after_the_last_user_of_a_full_one() {
        let full: Vec<Value> = (0..PAGE)
            .map(|n| json!({ "username": format!("u{n:05}"), "enabled": true }))
            .collect();
        let of = |users: &[Value]| {
            let body = json!({ "users": users }).to_string();
            page(&answer(200, &body)).unwrap().unwrap().next
        };
        assert_eq!(of(&full).as_deref(), Some("u01999"));
        assert_eq!(of(&full[1..]), None);
        assert_eq!(
            question(None, false),
            r#"{"size":2000,"sort":["username"]}"#
        );
        assert_eq!(
            question(Some("u01999"), true),
            r#"{"query":{"term":{"enabled":true}},"search_after":["u01999"],"size":2000,"sort":["username"]}"#
        );
    }

    #[test]
    fn a_cluster_without_pages_is_no_failure_and_one_that_is_away_is() {
        for status in [400, 403, 404, 405] {
            assert!(page(&answer(status, "{}")).unwrap().is_none(), "{status}");
        }
        for status in [401, 429, 500, 503] {
            assert!(page(&answer(status, "{}")).is_err(), "{status}");
        }
        assert!(page(&answer(200, "<html>")).is_err());
        assert!(all(&answer(403, "{}")).is_err());
        assert!(all(&answer(200, r#"{"a":{"enabled":true}}"#)).is_err());
    }
}
