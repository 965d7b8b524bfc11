//! Credentials are derived, not drawn: the same key, cluster, user, provider, subject, generation
//! and epoch, and on OpenSearch the same roles, give the same password on every replica and after
//! every restart.

use super::rotation::Period;
use crate::{
    cluster::NewPassword,
    identity::Identity,
    keys::{CredentialKeys, Login, LoginKind, RolesDigest},
    model::{Fingerprint, Generation, Role, Username},
    roles::Entitled,
};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use http::HeaderValue;
use std::fmt;
use zeroize::Zeroizing;

/// Upper and lower case, a digit and a symbol: what class-based password rules ask for.
const PREFIX: &str = "Ea1-";

/// The login that the requests of an entitled identity get in this period.
pub(super) fn granted(entitled: &Entitled, generation: Generation, period: Period) -> Login<'_> {
    let roles = || RolesDigest::of(entitled.roles().iter().map(Role::as_str));
    let roles = period.product.binds_roles().then(roles);
    login(entitled.identity(), roles, generation, period.epoch)
}

/// The login of an identity with these roles, where it is bound to them.
pub(super) fn login(
    identity: &Identity,
    roles: Option<RolesDigest>,
    generation: Generation,
    epoch: u64,
) -> Login<'_> {
    Login {
        kind: LoginKind::Granted,
        user: identity.user(),
        provider: identity.provider().name(),
        subject: identity.subject().unwrap_or_default(),
        generation,
        epoch,
        roles,
    }
}

/// Covers what must be right before anybody is answered: the login and the roles, which are in
/// their order, each once. Names, mail and groups decide nothing and are not in it.
pub(super) fn fingerprint<T: AsRef<str>>(
    keys: &CredentialKeys,
    login: &Login<'_>,
    roles: impl Iterator<Item = T>,
) -> Fingerprint {
    // Two people of one name are two, whatever else they share: the login's pieces say who it is.
    let mut pieces = login.pieces();
    for role in roles {
        pieces.add(role.as_ref().as_bytes());
    }
    keys.fingerprint(&pieces)
}

/// 47 printable ASCII characters that carry 256 bits; zeroized when dropped.
pub(super) struct Password(Zeroizing<String>);

impl Password {
    pub(super) fn derive(keys: &CredentialKeys, login: &Login<'_>) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 43));
        text.push_str(PREFIX);
        BASE64_URL_SAFE_NO_PAD.encode_string(*keys.password(login), &mut text);
        Self(text)
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// As it is written. The salt is derived too, so that a repeated write is the same write.
    pub(super) fn to_write(&self, keys: &CredentialKeys, login: &Login<'_>) -> NewPassword {
        NewPassword::new(self.expose(), keys.salt(login))
    }

    /// The value of `Authorization` for HTTP Basic (RFC 7617), marked sensitive.
    pub(super) fn authorization(&self, user: &Username) -> HeaderValue {
        let mut login = Zeroizing::new(String::with_capacity(
            user.as_str().len() + 1 + self.0.len(),
        ));
        login.push_str(user.as_str());
        login.push(':');
        login.push_str(&self.0);
        let mut text = String::with_capacity(6 + login.len().div_ceil(3) * 4);
        text.push_str("Basic ");
        BASE64_STANDARD.encode_string(login.as_bytes(), &mut text);
        let mut value = HeaderValue::try_from(text)
            .unwrap_or_else(|_| unreachable!("base64 is a legal header value"));
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keys::{Keyring, Slot},
        secret::SecretKey,
    };
    use aws_lc_rs::hkdf;

    fn secret(byte: u8) -> SecretKey {
        SecretKey::parse(&format!(
            "{byte:02x}{}",
            "0123456789abcdef".repeat(4).get(2..).unwrap()
        ))
        .unwrap()
    }

    fn ring(byte: u8, cluster: &str) -> Keyring {
        Keyring::new(&secret(byte), None, cluster)
    }

    fn derived(byte: u8, cluster: &str, change: impl Fn(&mut Login<'_>)) -> Password {
        let (ring, alice) = (ring(byte, cluster), user("alice"));
        let mut login = of(&alice);
        change(&mut login);
        Password::derive(&ring.of(Slot::Current).credentials, &login)
    }

    fn of(user: &Username) -> Login<'_> {
        Login {
            kind: LoginKind::Granted,
            user,
            provider: "sso",
            subject: "u1",
            generation: Generation(0),
            epoch: 20_000,
            roles: None,
        }
    }

    fn bound<'a>(user: &'a Username, roles: &[&str]) -> Login<'a> {
        Login {
            roles: Some(RolesDigest::of(roles.iter())),
            ..of(user)
        }
    }

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    #[test]
    fn a_password_is_the_same_wherever_it_is_derived_and_fits_every_rule() {
        let password = derived(7, "default", |_| ());
        assert_eq!(password.expose(), derived(7, "default", |_| ()).expose());
        assert_eq!(password.expose().len(), 47);
        assert!(password.expose().bytes().all(|b| b.is_ascii_graphic()));
        assert!(password.expose().starts_with("Ea1-"));
    }

    #[test]
    fn whatever_a_login_follows_from_changes_it() {
        let other = user("Alice");
        let alice = user("alice");
        let logins = [
            of(&alice),
            Login {
                user: &other,
                ..of(&alice)
            },
            Login {
                provider: "authelia",
                ..of(&alice)
            },
            Login {
                subject: "u2",
                ..of(&alice)
            },
            Login {
                subject: "",
                ..of(&alice)
            },
            Login {
                provider: "ssou",
                subject: "1",
                ..of(&alice)
            },
            Login {
                generation: Generation(1),
                ..of(&alice)
            },
            Login {
                epoch: 2,
                ..of(&alice)
            },
            Login {
                kind: LoginKind::Parked,
                ..of(&alice)
            },
            bound(&alice, &[]),
            bound(&alice, &["viewer"]),
            bound(&alice, &["editor", "viewer"]),
            bound(&alice, &["editorviewer"]),
            Login {
                kind: LoginKind::Parked,
                ..bound(&alice, &["viewer"])
            },
        ];
        let mut secrets = Vec::new();
        for (byte, cluster) in [(7, "default"), (8, "default"), (7, "other")] {
            let ring = ring(byte, cluster);
            let keys = &ring.of(Slot::Current).credentials;
            for login in &logins {
                secrets.push(Password::derive(keys, login).expose().to_owned());
                secrets.push(BASE64_STANDARD.encode(*keys.salt(login)));
                secrets.push(fingerprint(keys, login, std::iter::empty::<&str>()).to_string());
            }
        }
        let different: std::collections::HashSet<&String> = secrets.iter().collect();
        assert_eq!(different.len(), 3 * 3 * logins.len());
    }

    /// The derivation is HKDF by the book: the library's own gives the same bytes.
    #[test]
    fn the_derivation_is_hkdf() {
        let (generation, epoch) = (4_u32.to_be_bytes(), 3_u64.to_be_bytes());
        for (kind, purpose) in [
            (LoginKind::Granted, &b"password"[..]),
            (LoginKind::Parked, b"parked"),
        ] {
            let mut info = Vec::new();
            for bytes in [
                purpose,
                b"default",
                b"sso",
                b"u1",
                b"alice",
                &generation,
                &epoch,
            ] {
                info.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
                info.extend_from_slice(bytes);
            }
            let mut expected = [0; 32];
            let info = [info.as_slice()];
            let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"elastauth/v2");
            salt.extract(secret(7).expose())
                .expand(&info, hkdf::HKDF_SHA256)
                .unwrap()
                .fill(&mut expected)
                .unwrap();
            let password = derived(7, "default", |login| {
                (login.kind, login.generation, login.epoch) = (kind, Generation(4), 3);
            });
            assert_eq!(
                password.expose().strip_prefix(PREFIX),
                Some(BASE64_URL_SAFE_NO_PAD.encode(expected).as_str())
            );
        }
    }

    /// What these bytes are must never change: an upgrade would rewrite every user. What the cluster
    /// makes of this password and this salt has its own vector in
    /// `cluster::security::elasticsearch::password`.
    #[test]
    fn fixed_vectors() {
        let (ring, alice) = (ring(7, "default"), user("alice"));
        let keys = &ring.of(Slot::Current).credentials;
        let shown = |login: &Login<'_>| {
            [
                Password::derive(keys, login).expose().to_owned(),
                BASE64_STANDARD.encode(*keys.salt(login)),
                fingerprint(keys, login, ["editor", "viewer"].into_iter()).to_string(),
            ]
        };
        let granted = of(&alice);
        let parked = Login {
            kind: LoginKind::Parked,
            generation: Generation(3),
            ..granted
        };
        assert_eq!(&*keys.id, "JkcnzOBV");
        assert_eq!(
            shown(&granted),
            [
                "Ea1-IZvsLSM3nrcLBeSgPKHPa18WalRjf-NpeAJhS92jz34",
                "ZuWxgpfKfdMolMKrt8rl28ey/M3RO6yY8wvYlwu2Xvk=",
                "JRZntNNBf8FOX2U4wTfGmA",
            ]
        );
        assert_eq!(
            shown(&parked),
            [
                "Ea1-dfb_jU2acuLVXMcqSSICsI4r01GmEDIclzmZ0_TlEBY",
                "pfbd3mc2XgfWV4KXbc3E1eJjwVH8BjTb1uB1S3l/6ZU=",
                "YAzgtzvst1qzQgHHB8He_g",
            ]
        );
    }

    /// The same for logins that are bound to their roles.
    #[test]
    fn fixed_vectors_with_roles() {
        let (ring, alice) = (ring(7, "default"), user("alice"));
        let keys = &ring.of(Slot::Current).credentials;
        let roles = ["editor", "viewer"];
        let shown = |login: &Login<'_>| {
            [
                Password::derive(keys, login).expose().to_owned(),
                BASE64_STANDARD.encode(*keys.salt(login)),
                fingerprint(keys, login, roles.into_iter()).to_string(),
            ]
        };
        let granted = bound(&alice, &roles);
        let parked = Login {
            kind: LoginKind::Parked,
            generation: Generation(3),
            ..granted
        };
        assert_eq!(
            shown(&granted),
            [
                "Ea1-Ud2WQ-kOZ6gO5WOiHWjRHNj_kg2kYfEhCSICNdKbkZg",
                "JK5tMV7d3/a41gsukPPwHEdXo4Bzt+Qqywq2qJ29P4Y=",
                "V-MaIUyQ5y-lv2yqAY65gQ"
            ]
        );
        assert_eq!(
            shown(&parked),
            [
                "Ea1-gsSALuoXyfbtdFTvaIZew33dKIQ14A69dwoVSINt8ZE",
                "ScKdJI//LK31oVBhPsKggL4rqern6lQ+RCqChNX4te8=",
                "WZUbQIiAgoTDCDIA-FwGgw"
            ]
        );
    }

    #[test]
    fn nothing_here_shows_a_secret() {
        let (ring, alice) = (ring(7, "default"), user("alice"));
        let password = Password::derive(&ring.of(Slot::Current).credentials, &of(&alice));
        let shown = format!("{ring:?} {password:?} {:?}", password.authorization(&alice));
        assert!(
            !shown.contains(password.expose()) && !shown.contains("Basic"),
            "{shown}"
        );
    }
}
