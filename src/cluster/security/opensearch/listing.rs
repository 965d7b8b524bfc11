//! All users of a cluster: which of them elastauth has written, and when. Read one by one: of users
//! that are not ours nothing is kept.

use super::{answer::ok, document::User};
use crate::{
    cluster::{
        error::CallFailure,
        pool::NodeAnswer,
        security::types::{ListedUser, UserPage},
    },
    model::Username,
};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use std::fmt;

/// Of a question for all users.
pub(super) fn all(answer: &NodeAnswer) -> Result<UserPage, CallFailure> {
    let Users(users) = ok(answer)?;
    Ok(UserPage { users, next: None })
}

struct Users(Vec<ListedUser>);

impl<'de> Deserialize<'de> for Users {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneByOne;

        impl<'de> Visitor<'de> for OneByOne {
            type Value = Users;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("users by their names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Users, A::Error> {
                let mut users = Vec::new();
                while let Some((name, user)) = map.next_entry::<String, User>()? {
                    let origin = user.origin();
                    // A user who cannot be a user of ours has a name that is none.
                    if let (Some(marker), Ok(name)) = (origin.marker(), Username::parse(&name)) {
                        users.push(ListedUser {
                            name,
                            marker: marker.clone(),
                            enabled: user.is_enabled(),
                        });
                    }
                }
                Ok(Users(users))
            }
        }

        deserializer.deserialize_map(OneByOne)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    /// As a real 2.19.4 gives them.
    const ALL: &str = r#"{
        "admin":{"hash":"","reserved":true,"hidden":false,"backend_roles":["admin"],"attributes":{},"opendistro_security_roles":[],"static":false},
        "bob":{"hash":"","reserved":false,"hidden":false,"backend_roles":[],"attributes":{"team":"x"},"opendistro_security_roles":["viewer"],"static":false},
        "u1":{"hash":"","reserved":false,"hidden":false,"backend_roles":[],"attributes":{"elastauth_epoch":"2","elastauth_key":"k"},"opendistro_security_roles":["viewer"],"static":false},
        "u2":{"hash":"","reserved":false,"hidden":false,"backend_roles":[],"attributes":{"elastauth_epoch":"2","elastauth_locked":"true"},"opendistro_security_roles":["viewer"],"static":false}}"#;

    #[test]
    fn of_a_listing_only_users_of_ours_are_kept() {
        let answer = |status, body: &'static str| NodeAnswer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: http::HeaderMap::new(),
            body: Ok(body.into()),
        };
        let page = all(&answer(200, ALL)).unwrap();
        let users = page.users.iter();
        let users: Vec<(&str, bool)> = users
            .map(|user| (user.name.as_str(), user.enabled))
            .collect();
        assert_eq!(
            (users, page.next),
            (vec![("u1", true), ("u2", false)], None)
        );
        assert_eq!(page.users[0].marker.epoch, Some(2));
        assert!(all(&answer(200, "{}")).unwrap().users.is_empty());
        for (status, body) in [
            (403, "{}"),
            (503, ""),
            (200, "<html>"),
            (200, r#"{"a":{}}"#),
        ] {
            assert!(all(&answer(status, body)).is_err(), "{status} {body}");
        }
    }
}
